package multicast

import (
	"bytes"
	"crypto/sha256"
	"errors"

	"rtmfp/group"
	"rtmfp/internal/clock"
	"rtmfp/internal/element"
)

// SignatureSize is the size of an Ed25519 signature in bytes.
const SignatureSize = 64

// Keys signs for this node and checks what others signed. A certificate is what
// a peer id is the hash of, and holds the key that signs.
type Keys interface {
	// Certificate returns this node's, nil if it has no key that signs.
	Certificate() []byte
	// Sign signs a message with the key of that certificate.
	Sign(message []byte) [SignatureSize]byte
	// Author returns the peer id of a certificate and what checks the signatures
	// of its key, nil if it holds none.
	Author(certificate []byte) (group.PeerID, func(message, signature []byte) bool)
}

// ErrNoKey is returned by Publish where streams have to be signed.
var ErrNoKey = errors.New("multicast: this node's identity has no key that signs, and the group takes no streams without signatures")

// Options of a stream description that make it signed (docs/multicast.md). Old
// peers pass over them.
const (
	optAuthor    = 0x2a20 // certificate of the publisher
	optNonce     = 0x2a21 // from which, and from the certificate, the stream's key is made
	optGrant     = 0x2a22 // the publisher's permission, if the group wants one
	optSignature = 0x2a23 // of the description

	nonceSize      = 16
	maxCertificate = 512
	maxGrant       = 256
)

// author is what a description says of who publishes a signed stream.
type author struct {
	certificate []byte
	nonce       [nonceSize]byte
	grant       []byte
	signature   [SignatureSize]byte

	peer   group.PeerID                         // once the signature was checked
	verify func(message, signature []byte) bool // likewise
}

// same reports whether two descriptions were signed as one.
func (a *author) same(b *author) bool {
	return a.signature == b.signature && a.nonce == b.nonce && bytes.Equal(a.certificate, b.certificate) && bytes.Equal(a.grant, b.grant)
}

// streamKey is the key of a signed stream: nobody else can describe another
// stream by it.
func streamKey(nonce *[nonceSize]byte, certificate []byte) Key {
	h := sha256.New()
	_, _ = h.Write([]byte(keyLabel)) // which never fails
	_, _ = h.Write(nonce[:])
	_, _ = h.Write(certificate)
	return Key(h.Sum(nil))
}

// appendAuthor writes the options of a, all but the signature.
func appendAuthor(b []byte, a *author) []byte {
	b = element.AppendOption(b, optAuthor, a.certificate)
	b = element.AppendOption(b, optNonce, a.nonce[:])
	if len(a.grant) > 0 {
		b = element.AppendOption(b, optGrant, a.grant)
	}
	return b
}

// readAuthor takes one of those options of a description. ok is false for one that is malformed.
func (d *description) readAuthor(typ uint64, value []byte, seen *byte) (ok bool) {
	if d.author == nil {
		d.author = &author{}
	}
	switch a := d.author; typ {
	case optAuthor:
		a.certificate = bytes.Clone(value)
		*seen |= 1
		return len(value) > 0 && len(value) <= maxCertificate
	case optNonce:
		*seen |= 2
		return copy(a.nonce[:], value) == nonceSize && len(value) == nonceSize
	case optGrant:
		a.grant = bytes.Clone(value)
		return len(value) <= maxGrant
	default:
		*seen |= 4
		return copy(a.signature[:], value) == SignatureSize && len(value) == SignatureSize
	}
}

// signedBody is what the signature of a description is over, beside the label,
// the group, and the key: the description without it.
func (d *description) signedBody(b []byte) []byte {
	b = appendPlain(b, d)
	return appendAuthor(b, d.author)
}

// sign makes d one that this node vouches for.
func (s *Service) sign(d *description, grant []byte, nonce [nonceSize]byte) {
	keys := s.cfg.Keys
	a := &author{certificate: bytes.Clone(keys.Certificate()), nonce: nonce, grant: bytes.Clone(grant)}
	a.peer, a.verify = keys.Author(a.certificate)
	d.author = a
	d.key = streamKey(&a.nonce, a.certificate)
	a.signature = keys.Sign(s.toSign(streamLabel, &d.key, d.signedBody(nil)))
}

// vouched checks the signature of a description.
func (s *Service) vouched(d *description) bool {
	a := d.author
	if d.key != streamKey(&a.nonce, a.certificate) {
		return false
	}
	a.peer, a.verify = s.cfg.Keys.Author(a.certificate)
	s.counters.SignaturesChecked++
	return a.verify != nil && a.verify(s.toSign(streamLabel, &d.key, d.signedBody(nil)), a.signature[:])
}

// permitted reports whether the publisher of a signed stream may publish.
func (s *Service) permitted(now clock.Time, a *author) bool {
	return s.cfg.MayPublish == nil || s.cfg.MayPublish(now, a.peer, a.grant) == nil
}

// endMessage is what the publisher signs at the end.
func (st *stream) endMessage(last uint64) []byte {
	var b [9]byte
	return st.s.toSign(endLabel, &st.desc.key, element.AppendVLU(b[:0], last))
}

// signed reports whether the stream is.
func (st *stream) signed() bool { return st.desc.author != nil }

// admits reports whether a stream may be carried by its description, which a
// neighbor sent.
func (s *Service) admits(now clock.Time, n *neighbor, d *description) bool {
	if s.exiled(now, n.Peer, &d.key) {
		s.counters.FlowsRefused++
		return false
	}
	st := s.byKey[d.key]
	if s.cfg.Keys == nil {
		d.author = nil // as old peers pass over it
	}
	switch {
	case d.author == nil:
		// An old neighbor that carries a signed stream leaves out what it does not know.
		if s.cfg.AllowUnsigned || st != nil && st.signed() && !n.Modern {
			return true
		}
		s.counters.Unsigned++
		return false
	case st != nil && st.signed():
		if st.desc.author.same(d.author) {
			return true
		}
		s.counters.Unexpected++
		return false
	case !s.vouched(d):
		s.counters.Forged++
		s.ban(now, n, nil)
		return false
	case !s.permitted(now, d.author):
		s.counters.Unpermitted++
		return false
	}
	return true
}

// becomeSigned takes the whole description of a stream that was known by one
// of an old neighbor, or of somebody who cut the signature off. What came so far is dropped.
func (st *stream) becomeSigned(now clock.Time, d description) {
	if st.pub != nil {
		return
	}
	if st.active {
		st.deactivate(now)
	}
	st.desc = d
	st.ended, st.last, st.endAt, st.epochTop = false, 0, 0, 0
	for _, sub := range st.subs {
		sub.placed, sub.delivered, sub.cursor, sub.checked = false, false, 0, 0
		sub.dropPast()
	}
	st.review(now)
}

// hearSignedEnd believes the publisher's signature under the end.
func (st *stream) hearSignedEnd(now clock.Time, p *peer, last uint64, signature []byte) {
	if len(signature) == 0 {
		st.s.counters.Unexpected++ // of an old neighbor, say
		return
	}
	st.s.counters.SignaturesChecked++
	if !st.desc.author.verify(st.endMessage(last), signature) {
		st.blame(now, p, &st.s.counters.Forged)
		return
	}
	st.ending = bytes.Clone(signature)
	st.end(now, last)
}

// watchPermission gives up a stream whose publisher may not publish any more:
// its grant is over, or it was evicted.
func (st *stream) watchPermission(now clock.Time) {
	if st.pub != nil || st.ended || now < st.mayAt {
		return
	}
	st.mayAt = now.Add(idleTick)
	if !st.s.permitted(now, st.desc.author) {
		st.s.counters.Unpermitted++
		st.denied = true
		st.end(now, st.frontier)
	}
}
