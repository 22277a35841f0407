package multicast

import (
	"crypto/sha256"
	"encoding/binary"

	"rtmfp/internal/element"
)

// A signed stream is made of runs. A run is a digest and the fragments that
// follow it by id, whose hashes the digest holds under the publisher's signature.
// The digest is a fragment like the others: what finds, brings, and keeps those
// does the same for it.

// TypeDigest is the type of the message that is a digest, with digestKey and
// digestKeyed added to it. Players never see it.
const TypeDigest byte = 0x54

// Flags in the type of a digest, which mean what those of our own messages do.
const (
	digestKey   = 0x01 // decoding can start in this run
	digestKeyed = 0x02 // the publisher marks where decoding can start
)

const (
	// hashSize is enough of a SHA-256 for what is worth forging for a window:
	// docs/multicast.md says why, and what more would cost.
	hashSize = 10

	digestFixed = 1 + 4 + SignatureSize // type, epoch, signature
	maxRun      = (maxPayload - SignatureSize) / hashSize

	runLabel    = "rtmfp stream run 1"
	endLabel    = "rtmfp stream end 1"
	streamLabel = "rtmfp stream 1"
	keyLabel    = "rtmfp stream key 1"
)

// fragmentHash is the beginning of a fragment's hash, under the stream's key.
type fragmentHash [hashSize]byte

// isDigest reports whether f is a digest, of a stream that has any.
func (f *fragment) isDigest() bool {
	return f.start && f.pieces == 0 && f.typ&^(digestKey|digestKeyed) == TypeDigest
}

// appendDigest writes the fragment that is a digest, all but its signature.
func appendDigest(b []byte, id uint64, flags byte, epoch uint32, hashes []fragmentHash) []byte {
	b = element.AppendVLU(append(b, markStart), id)
	b = binary.BigEndian.AppendUint32(append(b, TypeDigest|flags), epoch)
	for i := range hashes {
		b = append(b, hashes[i][:]...)
	}
	return b
}

// digest is the fragment of one as it was read.
type digest struct {
	id     uint64
	epoch  uint32
	hashes []byte // one after the other
	signed []byte // what comes before the signature
	sig    []byte
}

// count is the number of fragments in the run.
func (d *digest) count() int { return len(d.hashes) / hashSize }

// consumeDigest reads a digest from the message msg, which was read as f. Its
// slices are parts of msg.
func consumeDigest(f *fragment, msg []byte) (d digest, ok bool) {
	n := len(f.payload) - SignatureSize
	if !f.isDigest() || n < hashSize || n%hashSize != 0 || n/hashSize > maxRun {
		return digest{}, false
	}
	d = digest{id: f.id, epoch: f.timestamp, hashes: f.payload[:n], signed: msg[:len(msg)-SignatureSize], sig: f.payload[n:]}
	return d, true
}

// toSign returns what a signature is over: of a kind, in the group, of a stream.
// It is good until the next message is made.
func (s *Service) toSign(label string, key *Key, body []byte) []byte {
	s.scratch = append(s.scratch[:0], label...)
	s.scratch = append(s.scratch, s.cfg.GroupID[:]...)
	s.scratch = append(s.scratch, key[:]...)
	s.scratch = append(s.scratch, body...)
	return s.scratch
}

// hash returns the hash of a fragment's message in the stream.
func (st *stream) hash(msg []byte) (h fragmentHash) {
	s := st.s
	if s.hasher == nil {
		s.hasher = sha256.New()
	}
	s.hasher.Reset()
	_, _ = s.hasher.Write(st.desc.key[:]) // which never fails
	_, _ = s.hasher.Write(msg)
	s.sum = s.hasher.Sum(s.sum[:0])
	copy(h[:], s.sum)
	return h
}
