package transport

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"io"
	"net/netip"
	"time"

	"rtmfp/internal/clock"
	"rtmfp/internal/element"
)

// cookieJar makes the cookies of RHellos and knows them again without keeping
// any: "the endpoint SHOULD NOT create any persistent state associated with the
// IHello" (RFC 7016 §3.5.1.1.2).
//
// A cookie is a time, a MAC over the time, and a MAC over the time and the
// initiator's address. The first MAC tells a cookie of ours that comes from
// another address, which is answered by a Cookie Change (RFC 7016 §3.5.1.2).
// The time is that of this endpoint's clock in microseconds, offset by a secret,
// and gives the responder a first idea of the round-trip time.
type cookieJar struct {
	rand   io.Reader
	epoch  int64 // number of the cookieLifetime-long period that secret[0] is for
	mac    [2]hash.Hash
	offset uint64
	sum    [sha256.Size]byte
	addr   [19]byte
}

// Layout of a cookie, in bytes.
const (
	cookieTime = 8
	cookieOurs = cookieTime + 8
	cookieSize = cookieOurs + 16
)

// cookieVerdict says what a cookie is worth.
type cookieVerdict uint8

const (
	cookieForged cookieVerdict = iota // or too old
	cookieElsewhere
	cookieValid
)

func (j *cookieJar) init(rand io.Reader) error {
	var b [8]byte
	if _, err := io.ReadFull(rand, b[:]); err != nil {
		return err
	}
	j.rand, j.offset, j.epoch = rand, binary.BigEndian.Uint64(b[:]), -2
	return nil
}

// rotate draws new secrets as time goes on: each makes cookies for one
// lifetime and is kept for another.
func (j *cookieJar) rotate(now clock.Time) {
	epoch := int64(now) / int64(cookieLifetime)
	if epoch <= j.epoch {
		return
	}
	if epoch == j.epoch+1 {
		j.mac[1] = j.mac[0]
	} else {
		j.mac[1] = nil
	}
	j.epoch = epoch
	var secret [32]byte
	if _, err := io.ReadFull(j.rand, secret[:]); err != nil {
		panic("BUG: transport: Config.Rand failed: " + err.Error())
	}
	j.mac[0] = hmac.New(sha256.New, secret[:])
}

// append appends a cookie for an initiator at addr.
func (j *cookieJar) append(b []byte, now clock.Time, addr netip.AddrPort) []byte {
	j.rotate(now)
	start := len(b)
	b = binary.BigEndian.AppendUint64(b, uint64(now)/uint64(time.Microsecond)+j.offset)
	b = append(b, j.tag(j.mac[0], b[start:], netip.AddrPort{})[:cookieOurs-cookieTime]...)
	return append(b, j.tag(j.mac[0], b[start:start+cookieTime], addr)[:cookieSize-cookieOurs]...)
}

// check judges a cookie that came back from addr and returns its age.
func (j *cookieJar) check(cookie []byte, now clock.Time, addr netip.AddrPort) (verdict cookieVerdict, age time.Duration) {
	j.rotate(now)
	if len(cookie) != cookieSize {
		return cookieForged, 0
	}
	made := binary.BigEndian.Uint64(cookie) - j.offset
	age = time.Duration(uint64(now)/uint64(time.Microsecond)-made) * time.Microsecond
	if made > uint64(now)/uint64(time.Microsecond) || age < 0 || age > cookieLifetime {
		return cookieForged, 0
	}
	for _, mac := range j.mac {
		if mac == nil || !hmac.Equal(j.tag(mac, cookie[:cookieTime], netip.AddrPort{})[:cookieOurs-cookieTime], cookie[cookieTime:cookieOurs]) {
			continue
		}
		if hmac.Equal(j.tag(mac, cookie[:cookieTime], addr)[:cookieSize-cookieOurs], cookie[cookieOurs:]) {
			return cookieValid, age
		}
		return cookieElsewhere, age
	}
	return cookieForged, 0
}

func (j *cookieJar) tag(mac hash.Hash, made []byte, addr netip.AddrPort) []byte {
	mac.Reset()
	mac.Write(made)
	if addr.IsValid() {
		mac.Write(element.AppendAddress(j.addr[:0], element.Address{AddrPort: addr}))
	}
	return mac.Sum(j.sum[:0])
}
