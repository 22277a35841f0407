package mpegts

import "encoding/binary"

// packet is one transport packet of PacketSize bytes that begins with the sync
// byte. Its methods accept any content behind that.
type packet []byte

func (p packet) pid() int { return int(p[1]&0x1f)<<8 | int(p[2]) }

// unitStart reports the payload_unit_start_indicator: a PES packet or a table
// section begins in this packet.
func (p packet) unitStart() bool { return p[1]&0x40 != 0 }

func (p packet) damaged() bool    { return p[1]&0x80 != 0 }
func (p packet) scrambled() bool  { return p[3]&0xc0 != 0 }
func (p packet) hasPayload() bool { return p[3]&0x10 != 0 }
func (p packet) counter() byte    { return p[3] & 0x0f }

func (p packet) setCounter(c byte) { p[3] = p[3]&0xf0 | c&0x0f }

// adaptation returns the adaptation field from its flags on, without its length
// byte; nil if there is none or it does not fit.
func (p packet) adaptation() []byte {
	if p[3]&0x20 == 0 || p[4] == 0 || int(p[4]) > PacketSize-5 {
		return nil
	}
	return p[5 : 5+int(p[4])]
}

// payload returns what follows the header and the adaptation field.
func (p packet) payload() []byte {
	if !p.hasPayload() {
		return nil
	}
	at := 4
	if p[3]&0x20 != 0 {
		at = 5 + int(p[4])
		if at > PacketSize {
			return nil
		}
	}
	return p[at:]
}

// Flags of the adaptation field (13818-1 §2.4.3.4).
const (
	flagDiscontinuity = 0x80
	flagRandomAccess  = 0x40
	flagPCR           = 0x10
	flagOPCR          = 0x08
)

func (p packet) discontinuity() bool {
	a := p.adaptation()
	return a != nil && a[0]&flagDiscontinuity != 0
}

func (p packet) randomAccess() bool {
	a := p.adaptation()
	return a != nil && a[0]&flagRandomAccess != 0
}

// pcrField returns the six bytes of the program clock reference, or nil.
func (p packet) pcrField() []byte {
	a := p.adaptation()
	if len(a) < 7 || a[0]&flagPCR == 0 {
		return nil
	}
	return a[1:7]
}

// opcrField returns the six bytes of the original program clock reference, or nil.
func (p packet) opcrField() []byte {
	a := p.adaptation()
	if a == nil || a[0]&flagOPCR == 0 {
		return nil
	}
	at := 1
	if a[0]&flagPCR != 0 {
		at += 6
	}
	if len(a) < at+6 {
		return nil
	}
	return a[at : at+6]
}

// clock reads a clock reference in 27 MHz ticks: a base of 33 bits at 90 kHz
// and an extension of nine bits that counts to 300 (13818-1 §2.4.3.5).
func clock(b []byte) uint64 {
	base := uint64(binary.BigEndian.Uint32(b))<<1 | uint64(b[4]>>7)
	ext := uint64(b[4]&1)<<8 | uint64(b[5])
	return (base*tickRatio + ext) % clockWrap
}

func putClock(b []byte, ticks uint64) {
	ticks %= clockWrap
	base, ext := ticks/tickRatio, ticks%tickRatio
	binary.BigEndian.PutUint32(b, uint32(base>>1))
	b[4] = byte(base&1)<<7 | b[4]&0x7e | byte(ext>>8)
	b[5] = byte(ext)
}

// pes is the beginning of a PES packet: its header and what of its payload is
// in the same transport packet (13818-1 §2.4.3.6).
type pes struct {
	pts, dts []byte // the five bytes of each, nil if absent
	body     []byte
}

// pes returns the start of the PES packet that begins in this packet. A header
// that does not fit into the packet counts as none; no multiplexer in use
// splits one.
func (p packet) pes() (pes, bool) {
	b := p.payload()
	if !p.unitStart() || p.scrambled() || len(b) < 9 || b[0] != 0 || b[1] != 0 || b[2] != 1 {
		return pes{}, false
	}
	// Streams of the first ids have no such header; the two bits tell as well
	// (MPEG-1 and garbage have others).
	switch b[3] {
	case 0xbc, 0xbe, 0xbf, 0xf0, 0xf1, 0xf2, 0xf8, 0xff:
		return pes{}, false
	}
	end := 9 + int(b[8])
	if b[6]&0xc0 != 0x80 || end > len(b) {
		return pes{}, false
	}
	h := pes{body: b[end:]}
	switch {
	case b[7]>>6 == 2 && b[8] >= 5:
		h.pts = b[9:14]
	case b[7]>>6 == 3 && b[8] >= 10:
		h.pts, h.dts = b[9:14], b[14:19]
	}
	return h, true
}

// decodeTime returns the decoding time stamp, which is the presentation time
// stamp where there is only that.
func (h pes) decodeTime() (uint64, bool) {
	switch {
	case h.dts != nil:
		return stamp(h.dts), true
	case h.pts != nil:
		return stamp(h.pts), true
	}
	return 0, false
}

// stamp reads the 33 bits of a PTS or DTS from between their marker bits.
func stamp(b []byte) uint64 {
	return uint64(b[0]>>1&7)<<30 | uint64(b[1])<<22 | uint64(b[2]>>1)<<15 | uint64(b[3])<<7 | uint64(b[4]>>1)
}

func putStamp(b []byte, v uint64) {
	b[0] = b[0]&0xf1 | byte(v>>30&7)<<1
	b[1] = byte(v >> 22)
	b[2] = b[2]&1 | byte(v>>15)<<1
	b[3] = byte(v >> 7)
	b[4] = b[4]&1 | byte(v)<<1
}

// stampDiff returns a-b on the circle of 33-bit stamps, as the shorter way.
func stampDiff(a, b uint64) int64 {
	d := int64((a - b) % stampWrap)
	if d >= stampWrap/2 {
		d -= stampWrap
	}
	return d
}
