package group

import (
	"time"

	"rtmfp/internal/element"
)

// A report tells a neighbor how it is seen, where the sender can be reached,
// and of members that the neighbor may need:
//
//	0a | options, addresses of the sender among them | 00
//	then of each member: 22 21 0f peer id | VLU seconds | option 0a addresses | 00

// reportHeader is the first part of a report. Addresses are kept as they are
// on the wire, one after the other.
type reportHeader struct {
	reflexive []byte // one address: the receiver's, as the sender sees it
	addresses []byte // the sender's own
	notice    bool   // news only; no answer is wanted
}

func (h *reportHeader) append(b []byte) []byte {
	b = append(b, msgReport)
	if h.notice {
		b = element.AppendOption(b, optNotice, nil)
	}
	if len(h.reflexive) > 0 {
		b = element.AppendOption(b, optReflexive, h.reflexive)
	}
	b = element.AppendOption(b, optAddresses, h.addresses)
	return element.AppendMarker(b)
}

func parseReportHeader(msg []byte) (h reportHeader, rest []byte, ok bool) {
	if len(msg) == 0 || msg[0] != msgReport {
		return h, nil, false
	}
	for b := msg[1:]; len(b) > 0; {
		o, n := element.ConsumeOption(b)
		if n == 0 {
			return h, nil, false
		}
		b = b[n:]
		if o.Marker {
			return h, b, true
		}
		switch o.Type {
		case optReflexive:
			h.reflexive = o.Value
		case optAddresses:
			h.addresses = o.Value
		case optNotice:
			h.notice = true
		}
	}
	return h, nil, false
}

// reported is a member in a report.
type reported struct {
	peer      PeerID
	age       time.Duration // since somebody last heard of it, in whole seconds
	addresses []byte
}

func (r *reported) append(b []byte) []byte {
	b = element.AppendVLU(b, uint64(2+len(r.peer)))
	b = element.AppendOption(b, optPeerID, r.peer[:])
	b = element.AppendVLU(b, uint64(max(r.age, 0)/time.Second))
	b = element.AppendOption(b, optAddresses, r.addresses)
	return element.AppendMarker(b)
}

// maxAge is more than any time that members are remembered; ages above it are
// cut so that they can be reckoned with.
const maxAge = 1000 * time.Hour

// consumeReported reads one member from the front of b, n = 0 if it can't.
func consumeReported(b []byte) (r reported, n int) {
	epd, n := element.ConsumeField(b)
	if n == 0 {
		return r, 0
	}
	var m int
	if r.peer, m = consumePeer(epd); m == 0 {
		return r, 0
	}
	age, m := element.ConsumeVLU(b[n:])
	if m == 0 {
		return r, 0
	}
	n += m
	r.age = time.Duration(min(age, uint64(maxAge/time.Second))) * time.Second
	for {
		o, m := element.ConsumeOption(b[n:])
		if m == 0 {
			return r, 0
		}
		n += m
		if o.Marker {
			return r, n
		}
		if o.Type == optAddresses {
			r.addresses = o.Value
		}
	}
}

// mergeAddresses appends to known those addresses of more that are not in it,
// both as they are on the wire, up to maxAddresses in all. What follows a
// malformed address is left out.
func mergeAddresses(known, more []byte) []byte {
	count := 0
	for b := known; len(b) > 0; count++ {
		_, n := element.ConsumeAddress(b)
		if n == 0 {
			break
		}
		b = b[n:]
	}
	for len(more) > 0 && count < maxAddresses {
		a, n := element.ConsumeAddress(more)
		if n == 0 {
			break
		}
		if usable(a) && !hasAddress(known, a) {
			known = append(known, more[:n]...)
			count++
		}
		more = more[n:]
	}
	return known
}

// usable reports whether packets could be sent to a.
func usable(a element.Address) bool {
	ip := a.Addr()
	return a.Port() != 0 && ip.IsValid() && !ip.IsUnspecified() && !ip.IsMulticast()
}

func hasAddress(list []byte, a element.Address) bool {
	for len(list) > 0 {
		b, n := element.ConsumeAddress(list)
		if n == 0 {
			return false
		}
		if b.AddrPort == a.AddrPort && (b.Origin == element.OriginRelay) == (a.Origin == element.OriginRelay) {
			return true
		}
		list = list[n:]
	}
	return false
}

// unpackAddresses returns the addresses of a list as it is on the wire.
func unpackAddresses(list []byte) []element.Address {
	var out []element.Address
	for len(list) > 0 {
		a, n := element.ConsumeAddress(list)
		if n == 0 {
			break
		}
		out = append(out, a)
		list = list[n:]
	}
	return out
}
