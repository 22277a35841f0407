package multicast

import (
	"time"

	"rtmfp/internal/element"
)

// Messages of the control flow that old peers know (groups-wire.md §5).
const (
	msgDescription  = 0x21 // also the end of a stream, told apart by its length
	msgAvailability = 0x22
	msgPush         = 0x23
	msgPull         = 0x2b
)

// Messages of the control flow that only modern neighbors get (docs/multicast.md).
const (
	msgState  = 0x60
	msgAsk    = 0x61
	msgRefuse = 0x62
	msgFetch  = 0x63
	msgEnd    = 0x64
	msgStart  = 0x65 // a fragment, to a newcomer: see wish.go
	msgWho    = 0x66 // who feeds a member: see company.go
	msgWay    = 0x67
	msgSeek   = 0x68 // where was the stream some time ago: see recall.go
	msgFound  = 0x69
	msgRecall = 0x6a // a fetch of the past
	msgGone   = 0x6b // what of it is not to be had
)

// Options of a stream description (groups-wire.md §5.1).
const (
	optName         = 0x00
	optKey          = 0x01
	optFlag2        = 0x02 // always sent by old peers; its meaning is unknown
	optWindow       = 0x03
	optFour         = 0x04 // always 300000; its meaning is unknown
	optAvailability = 0x05
	optSendToAll    = 0x06
	optFetch        = 0x07

	optFourValue     = 300000
	maxEndMessage    = 36 // bytes below which 21 is the end of a stream
	maxDescription   = 2048
	maxDurationValue = uint64(24 * time.Hour / time.Millisecond)
)

// description is what a publisher says of its stream.
type description struct {
	name         string
	key          Key
	window       time.Duration
	availability time.Duration
	fetch        time.Duration
	sendToAll    bool
	author       *author // nil: the stream is not signed
}

func describe(name string, key Key, c StreamConfig) description {
	return description{
		name: name, key: key,
		window: c.Window, availability: c.AvailabilityPeriod, fetch: c.FetchPeriod,
		sendToAll: !c.SendToOne,
	}
}

// appendDescription writes d with its options in the order of old peers, and
// after them those that make it signed.
func appendDescription(b []byte, d *description) []byte {
	b = appendPlain(b, d)
	if d.author != nil {
		b = element.AppendOption(appendAuthor(b, d.author), optSignature, d.author.signature[:])
	}
	return b
}

func appendPlain(b []byte, d *description) []byte {
	b = append(b, msgDescription)
	b = element.AppendVLU(b, uint64(1+len(d.name)))
	b = append(append(b, optName), d.name...)
	b = element.AppendOption(b, optKey, d.key[:])
	b = element.AppendOption(b, optFlag2, nil)
	b = appendMillis(b, optWindow, d.window)
	b = element.AppendOptionVLU(b, optFour, optFourValue)
	b = appendMillis(b, optAvailability, d.availability)
	if d.sendToAll {
		b = element.AppendOption(b, optSendToAll, nil)
	}
	return appendMillis(b, optFetch, d.fetch)
}

func appendMillis(b []byte, opt uint64, d time.Duration) []byte {
	return element.AppendOptionVLU(b, opt, uint64(d/time.Millisecond))
}

// consumeDescription reads a description. What it leaves out takes the
// defaults, and what is out of bounds is brought back into them, so that a
// neighbor can't make us hold more than we would.
func consumeDescription(b []byte) (d description, ok bool) {
	if len(b) < maxEndMessage || len(b) > maxDescription || b[0] != msgDescription {
		return description{}, false
	}
	b = b[1:]
	d = description{window: defaultWindow, availability: defaultAvailabilityPeriod, fetch: defaultFetchPeriod}
	named, keyed, vouched := false, false, byte(0)
	for len(b) > 0 {
		o, n := element.ConsumeOption(b)
		if n == 0 {
			return description{}, false
		}
		b = b[n:]
		if o.Marker {
			continue
		}
		switch o.Type {
		case optName:
			if len(o.Value) == 0 || len(o.Value) > maxName {
				return description{}, false
			}
			d.name, named = string(o.Value), true
		case optKey:
			if len(o.Value) != len(d.key) {
				return description{}, false
			}
			copy(d.key[:], o.Value)
			keyed = true
		case optSendToAll:
			d.sendToAll = true
		case optAuthor, optNonce, optGrant, optSignature:
			if !d.readAuthor(o.Type, o.Value, &vouched) {
				return description{}, false
			}
		case optWindow, optAvailability, optFetch:
			v, n := element.ConsumeVLU(o.Value)
			if n == 0 {
				return description{}, false
			}
			t := time.Duration(min(v, maxDurationValue)) * time.Millisecond
			switch o.Type {
			case optWindow:
				d.window = min(max(t, minPeriod), maxWindow)
			case optAvailability:
				d.availability = min(max(t, minPeriod), maxPeriod)
			case optFetch:
				d.fetch = min(t, maxWindow)
			}
		}
	}
	return d, named && keyed && (d.author == nil || vouched == 7)
}

// consumeEnd reads the end of a stream, in the form of old peers or in ours:
// the type byte and the id of the last fragment, and of a signed stream in our
// form the publisher's signature.
func consumeEnd(b []byte) (last uint64, signature []byte, ok bool) {
	if len(b) == 0 {
		return 0, nil, false
	}
	last, n := element.ConsumeVLU(b[1:])
	if n == 0 || last > maxID {
		return 0, nil, false
	}
	signature = b[1+n:]
	return last, signature, len(signature) == 0 || len(signature) == SignatureSize && b[0] == msgEnd
}

func appendEnd(b []byte, typ byte, last uint64, signature []byte) []byte {
	return append(element.AppendVLU(append(b, typ), last), signature...)
}
