package records

import (
	"bytes"
	"crypto/sha256"

	"rtmfp/group"
	"rtmfp/internal/element"
	"rtmfp/ring"
)

// Record is a signed value under a key. Its bytes do not change.
type Record struct {
	Key       ring.Addr
	Owner     group.PeerID
	Sequence  uint64 // a higher one replaces a lower one of the same owner
	UnixMilli int64  // when it ends, in milliseconds since 1970
	Value     []byte

	encoded []byte
	id      id
	check   [4]byte // of what is signed
}

// id names a record whatever its version: the first bytes of SHA-256(key ‖ owner).
type id [8]byte

func idOf(key ring.Addr, owner group.PeerID) id {
	var b [64]byte
	copy(b[:], key[:])
	copy(b[32:], owner[:])
	sum := sha256.Sum256(b[:])
	return id(sum[:8])
}

// newer reports whether r replaces o. Of two versions of one number the one
// whose hash is greater stays everywhere.
func (r *Record) newer(o *Record) bool {
	if r.Sequence != o.Sequence {
		return r.Sequence > o.Sequence
	}
	return bytes.Compare(r.check[:], o.check[:]) > 0
}

const (
	recordVersion = 0x01
	signLabel     = "rtmfp record 1"
	maxMilli      = 1 << 50
	// maxRecord is the size of the largest record, encoded.
	maxRecord = 1 + 32 + 2 + maxCertificate + 2*10 + MaxValue + SignatureSize
)

func appendBody(b []byte, key ring.Addr, certificate []byte, sequence uint64, unixMilli int64, value []byte) []byte {
	b = append(b, recordVersion)
	b = append(b, key[:]...)
	b = element.AppendField(b, certificate)
	b = element.AppendVLU(b, sequence)
	b = element.AppendVLU(b, uint64(unixMilli))
	return append(b, value...)
}

// draft is a record whose signature has not been checked.
type draft struct {
	key         ring.Addr
	certificate []byte
	sequence    uint64
	unixMilli   int64
	value, body []byte
	signature   [SignatureSize]byte
}

func parseRecord(b []byte) (d draft, ok bool) {
	if len(b) < 1+32+SignatureSize || b[0] != recordVersion {
		return d, false
	}
	d.body = b[:len(b)-SignatureSize]
	d.signature = [SignatureSize]byte(b[len(b)-SignatureSize:])
	d.key = ring.Addr(b[1:33])
	rest := d.body[33:]
	certificate, n := element.ConsumeField(rest)
	if n == 0 || len(certificate) > maxCertificate {
		return d, false
	}
	d.certificate, rest = certificate, rest[n:]
	if d.sequence, n = element.ConsumeVLU(rest); n == 0 {
		return d, false
	}
	rest = rest[n:]
	at, n := element.ConsumeVLU(rest)
	if n == 0 || at >= maxMilli {
		return d, false
	}
	d.unixMilli, d.value = int64(at), rest[n:]
	return d, len(d.value) <= MaxValue
}

func signedMessage(groupID [32]byte, body []byte) []byte {
	b := make([]byte, 0, len(signLabel)+32+len(body))
	b = append(b, signLabel...)
	b = append(b, groupID[:]...)
	return append(b, body...)
}

// open checks an encoded record and returns it, with bytes of its own.
func (s *Service) open(encoded []byte) (*Record, bool) {
	encoded = bytes.Clone(encoded)
	d, ok := parseRecord(encoded)
	if !ok {
		s.stats.Malformed++
		return nil, false
	}
	signed := signedMessage(s.cfg.GroupID, d.body)
	owner, ok := s.cfg.Keys.Verify(d.certificate, signed, d.signature)
	if !ok {
		s.stats.BadSignature++
		return nil, false
	}
	sum := sha256.Sum256(signed)
	return &Record{
		Key: d.key, Owner: owner, Sequence: d.sequence, UnixMilli: d.unixMilli, Value: d.value,
		encoded: encoded, id: idOf(d.key, owner), check: [4]byte(sum[:4]),
	}, true
}
