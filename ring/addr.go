// Package ring is the arithmetic of the circle on which the members of a group
// have their places: 256-bit addresses that increase up to 2^256 and go on at
// zero, distances along it, sorted sets of addresses, and the estimate of how
// many members there are from how close the nearest ones lie.
//
// Values belong to whoever holds them; nothing here is shared or locked. How a
// member gets its place is part of the groups protocol of Adobe's Flash (see
// OfPeer); what neighbors do with it is package group's matter.
package ring

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math/big"
	"math/bits"
)

// Addr is a place on the ring: a 256-bit number, most significant byte first.
type Addr [32]byte

// Hash returns the address of a text: its SHA-256.
func Hash(text string) Addr { return sha256.Sum256([]byte(text)) }

// OfPeer returns the address of a node: SHA-256(21 0f ‖ peer id), the hash of
// the id as an option of a discriminator. It does not depend on the group, so
// that a node has the same place in all of its groups.
func OfPeer(peer [32]byte) Addr {
	var b [34]byte
	b[0], b[1] = 0x21, 0x0f
	copy(b[2:], peer[:])
	return sha256.Sum256(b[:])
}

// Compare orders addresses as numbers: -1 if a < b, 0 if equal, +1 if a > b.
func (a Addr) Compare(b Addr) int { return bytes.Compare(a[:], b[:]) }

// Less reports whether a < b as numbers.
func (a Addr) Less(b Addr) bool { return a.Compare(b) < 0 }

// String returns the address as 64 lower-case hexadecimal digits.
func (a Addr) String() string { return hex.EncodeToString(a[:]) }

// Big returns the address as a number.
func (a Addr) Big() *big.Int { return new(big.Int).SetBytes(a[:]) }

// words returns the number as four 64-bit words, least significant first.
func (a Addr) words() (w [4]uint64) {
	for i := range w {
		o := 24 - 8*i
		w[i] = uint64(a[o])<<56 | uint64(a[o+1])<<48 | uint64(a[o+2])<<40 | uint64(a[o+3])<<32 |
			uint64(a[o+4])<<24 | uint64(a[o+5])<<16 | uint64(a[o+6])<<8 | uint64(a[o+7])
	}
	return w
}

func fromWords(w [4]uint64) (a Addr) {
	for i, v := range w {
		for j := range 8 {
			a[31-8*i-j] = byte(v >> (8 * j))
		}
	}
	return a
}

// Add returns a+b modulo 2^256.
func (a Addr) Add(b Addr) Addr {
	x, y := a.words(), b.words()
	var carry uint64
	for i := range x {
		x[i], carry = bits.Add64(x[i], y[i], carry)
	}
	return fromWords(x)
}

// Sub returns a-b modulo 2^256.
func (a Addr) Sub(b Addr) Addr {
	x, y := a.words(), b.words()
	var borrow uint64
	for i := range x {
		x[i], borrow = bits.Sub64(x[i], y[i], borrow)
	}
	return fromWords(x)
}

// Half returns a/2, rounded down.
func (a Addr) Half() Addr {
	x := a.words()
	for i := range 3 {
		x[i] = x[i]>>1 | x[i+1]<<63
	}
	x[3] >>= 1
	return fromWords(x)
}

// Top returns the 64 most significant bits.
func (a Addr) Top() uint64 { return binary.BigEndian.Uint64(a[:8]) }

// Middle returns the address halfway from one address up the ring to another.
func Middle(from, to Addr) Addr { return from.Add(from.Up(to).Half()) }

// Up returns how far to lies above a: (to - a) mod 2^256.
func (a Addr) Up(to Addr) Addr { return to.Sub(a) }

// Down returns how far to lies below a: (a - to) mod 2^256.
func (a Addr) Down(to Addr) Addr { return a.Sub(to) }

// Distance returns the shorter of the ways up and down between a and b. It is
// a metric, at most 2^255.
func (a Addr) Distance(b Addr) Addr {
	up, down := a.Up(b), a.Down(b)
	if down.Less(up) {
		return down
	}
	return up
}

// Nearer reports whether b is nearer to a than c is. Of two at equal distance
// the one on the way up is the nearer, so that different addresses never tie.
func (a Addr) Nearer(b, c Addr) bool {
	// The first 64 bits nearly always decide; what they leave out changes a
	// distance by at most one of their units.
	toB, toC := b.Top()-a.Top(), c.Top()-a.Top()
	toB, toC = min(toB, -toB), min(toC, -toC)
	if toC > toB && toC-toB > 2 {
		return true
	}
	if toB > toC && toB-toC > 2 {
		return false
	}
	if d := a.Distance(b).Compare(a.Distance(c)); d != 0 {
		return d < 0
	}
	return a.Up(b).Less(a.Up(c))
}

// Between reports whether x lies in the range that begins after from and ends
// with to, going up. The range from an address to itself is the whole ring.
func Between(x, from, to Addr) bool {
	if from == to {
		return true
	}
	d := from.Up(x)
	return d != (Addr{}) && d.Compare(from.Up(to)) <= 0
}
