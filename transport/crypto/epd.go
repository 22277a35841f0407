package crypto

import "rtmfp/internal/element"

// Options of an endpoint discriminator (RFC 7425 §4.4.2).
const (
	epdHostname    = 0x00
	epdAncillary   = 0x0a
	epdFingerprint = 0x0f
)

// EPD is an endpoint discriminator taken apart: what an initiator knows of the
// endpoint that it wants (RFC 7425 §4.4).
type EPD struct {
	Fingerprint    PeerID
	Hostname       []byte
	Ancillary      []byte // the URL that a client connects to
	HasFingerprint bool
	HasHostname    bool
	HasAncillary   bool
}

// EPDForPeer returns the canonical endpoint discriminator of a peer
// (RFC 7425 §4.4.4).
func EPDForPeer(p PeerID) []byte {
	return element.AppendOption(make([]byte, 0, 2+len(p)), epdFingerprint, p[:])
}

// EPDForURL returns the endpoint discriminator of whoever serves a URL, as
// ancillary data.
func EPDForURL(url string) []byte {
	return element.AppendOption(nil, epdAncillary, []byte(url))
}

// Append appends the endpoint discriminator; of nothing but a fingerprint, in
// the canonical form.
func (e EPD) Append(b []byte) []byte {
	if e.HasHostname {
		b = element.AppendOption(b, epdHostname, e.Hostname)
	}
	if e.HasAncillary {
		b = element.AppendOption(b, epdAncillary, e.Ancillary)
	}
	if e.HasFingerprint {
		b = element.AppendOption(b, epdFingerprint, e.Fingerprint[:])
	}
	return b
}

// ParseEPD takes an endpoint discriminator apart. It is false if epd is
// malformed or repeats an option that "MUST NOT occur more than once".
func ParseEPD(epd []byte) (e EPD, ok bool) {
	for len(epd) > 0 {
		o, n := element.ConsumeOption(epd)
		if n == 0 {
			return EPD{}, false
		}
		epd = epd[n:]
		if o.Marker {
			continue
		}
		var seen *bool
		switch o.Type {
		case epdFingerprint:
			if len(o.Value) != len(e.Fingerprint) {
				return EPD{}, false
			}
			seen, e.Fingerprint = &e.HasFingerprint, PeerID(o.Value)
		case epdHostname:
			seen, e.Hostname = &e.HasHostname, o.Value
		case epdAncillary:
			seen, e.Ancillary = &e.HasAncillary, o.Value
		default:
			continue
		}
		if *seen {
			return EPD{}, false
		}
		*seen = true
	}
	return e, true
}
