package posting

import (
	"crypto/sha256"
	"encoding/hex"

	"rtmfp/group"
	"rtmfp/internal/element"
)

// ID names a post: the SHA-256 of the group's id and all that its author signed.
type ID [32]byte

// String returns the id as 64 hexadecimal digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// key is the part of an id by which neighbors speak of a post.
type key [8]byte

func (id ID) key() key { return key(id[:8]) }

// Post is a message to everybody. Its bytes belong to the Service and do not
// change.
type Post struct {
	ID        ID
	Author    group.PeerID
	Series    int64  // when the author joined, in milliseconds since 1970
	Number    uint64 // counts the author's posts of that series from 1
	UnixMilli int64  // the author's clock
	Data      []byte
	Grant     []byte // the author's permission, if one came along
	Old       bool   // from the history, not as it was posted

	encoded []byte
}

// Order compares posts of one author: negative if p was posted before q.
func (p *Post) Order(q *Post) int {
	switch {
	case p.Series != q.Series:
		return sign(p.Series < q.Series)
	case p.Number != q.Number:
		return sign(p.Number < q.Number)
	}
	return 0
}

func sign(less bool) int {
	if less {
		return -1
	}
	return 1
}

// postVersion is the first byte of an encoded post.
const postVersion = 0x01

// signLabel begins what an author signs (docs/posting.md).
const signLabel = "rtmfp posting 1"

// appendBody appends what is signed, after the label and the group's id.
func appendBody(b, certificate []byte, series int64, number uint64, delta uint64, grant, data []byte) []byte {
	b = append(b, postVersion)
	b = element.AppendField(b, certificate)
	b = element.AppendVLU(b, uint64(series))
	b = element.AppendVLU(b, number)
	b = element.AppendVLU(b, delta)
	b = element.AppendField(b, grant)
	return append(b, data...)
}

// draft is an encoded post whose signature has not been checked. Its slices
// point into the message.
type draft struct {
	certificate []byte
	series      int64
	number      uint64
	delta       uint64
	grant       []byte
	data        []byte
	body        []byte
	signature   [SignatureSize]byte
}

func (d *draft) unixMilli() int64 { return d.series + int64(d.delta) }

// Bounds of what is believed about time, so that sums don't overflow.
const maxMilli = 1 << 50

func parsePost(b []byte) (d draft, ok bool) {
	if len(b) < 1+SignatureSize || b[0] != postVersion {
		return d, false
	}
	d.body = b[:len(b)-SignatureSize]
	d.signature = [SignatureSize]byte(b[len(b)-SignatureSize:])
	rest := d.body[1:]
	field := func(most int) (v []byte) {
		v, n := element.ConsumeField(rest)
		if n == 0 || len(v) > most {
			ok = false
			return nil
		}
		rest = rest[n:]
		return v
	}
	number := func() uint64 {
		v, n := element.ConsumeVLU(rest)
		if n == 0 {
			ok = false
			return 0
		}
		rest = rest[n:]
		return v
	}
	ok = true
	d.certificate = field(maxCertSize)
	series := number()
	d.number = number()
	d.delta = number()
	d.grant = field(maxGrantSize)
	d.series = int64(series & (maxMilli - 1))
	d.data = rest
	if series >= maxMilli || d.delta >= maxMilli || d.number == 0 || len(d.data) == 0 || len(d.data) > MaxData {
		ok = false
	}
	return d, ok
}

// signedMessage returns what the author signs, built in buf.
func signedMessage(buf []byte, groupID [32]byte, body []byte) []byte {
	buf = append(buf[:0], signLabel...)
	buf = append(buf, groupID[:]...)
	return append(buf, body...)
}

func idOf(signed []byte) ID { return sha256.Sum256(signed) }
