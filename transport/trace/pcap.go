package trace

import (
	"encoding/binary"
	"io"
	"net/netip"

	"rtmfp/internal/clock"
	"rtmfp/transport"
)

// Pcap writes packets in clear as a capture: IPv4 and IPv6 packets without a link
// layer (LINKTYPE_RAW), of UDP, whose payload is the session id on the wire, four
// bytes, and the packet as it was before encryption: header and chunks
// (RFC 7016 §2.2.4). The times have nanoseconds.
type Pcap struct {
	file
	local netip.AddrPort
	buf   []byte
}

// The format of pcap files (draft-ietf-opsawg-pcap), and headers of IP and UDP.
const (
	pcapMagic   = 0xa1b23c4d // with nanoseconds
	pcapSnap    = 65535
	pcapRaw     = 101 // LINKTYPE_RAW
	pcapRecord  = 16
	ipv4Header  = 20
	ipv6Header  = 40
	udpHeader   = 8
	protocolUDP = 17
	defaultPort = 1935
)

// NewPcap returns a capture that is written to w.
func NewPcap(w io.Writer, o Options) *Pcap {
	p := &Pcap{file: newFile(w, o), local: o.Local}
	var h []byte
	h = binary.LittleEndian.AppendUint32(h, pcapMagic)
	h = binary.LittleEndian.AppendUint16(h, 2) // version 2.4
	h = binary.LittleEndian.AppendUint16(h, 4)
	h = append(h, make([]byte, 8)...)
	h = binary.LittleEndian.AppendUint32(h, pcapSnap)
	h = binary.LittleEndian.AppendUint32(h, pcapRaw)
	p.write(h)
	return p
}

// Tracer returns what is to be the Trace of a Config.
func (p *Pcap) Tracer() *transport.Tracer {
	return &transport.Tracer{
		PacketSent:     func(now clock.Time, t transport.TracedPacket) { p.record(now, t, true) },
		PacketReceived: func(now clock.Time, t transport.TracedPacket) { p.record(now, t, false) },
	}
}

// localFor returns the near address of packets to and from far.
func (p *Pcap) localFor(far netip.AddrPort) netip.AddrPort {
	if p.local.IsValid() && p.local.Addr().Unmap().Is4() == far.Addr().Is4() {
		return netip.AddrPortFrom(p.local.Addr().Unmap(), p.local.Port())
	}
	port := uint16(defaultPort)
	if p.local.IsValid() {
		port = p.local.Port()
	}
	if far.Addr().Is4() {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port)
	}
	return netip.AddrPortFrom(netip.IPv6Loopback(), port)
}

func (p *Pcap) record(now clock.Time, t transport.TracedPacket, sent bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return
	}
	from := netip.AddrPortFrom(t.Addr.Addr().Unmap(), t.Addr.Port())
	to := p.localFor(from)
	if sent {
		from, to = to, from
	}
	b := append(p.buf[:0], make([]byte, pcapRecord)...)
	b = appendDatagram(b, from, to, t.ID, t.Packet)
	at, n := p.wall(now), uint32(len(b)-pcapRecord)
	binary.LittleEndian.PutUint32(b, uint32(at.Unix()))
	binary.LittleEndian.PutUint32(b[4:], uint32(at.Nanosecond()))
	binary.LittleEndian.PutUint32(b[8:], n)
	binary.LittleEndian.PutUint32(b[12:], n)
	p.write(b)
	p.buf = b
}

// appendDatagram appends an IP packet with its checksums.
func appendDatagram(b []byte, from, to netip.AddrPort, id uint32, packet []byte) []byte {
	size := udpHeader + 4 + len(packet)
	start := len(b)
	sum := uint32(protocolUDP) + uint32(size) // of the pseudo-header
	src, dst := from.Addr().AsSlice(), to.Addr().AsSlice()
	if from.Addr().Is4() {
		b = append(b, 0x45, 0)
		b = binary.BigEndian.AppendUint16(b, uint16(ipv4Header+size))
		b = append(b, 0, 0, 0x40, 0, 64, protocolUDP, 0, 0) // may not be fragmented; TTL 64
		b = append(append(b, src...), dst...)
		binary.BigEndian.PutUint16(b[start+10:], ^fold(add(0, b[start:])))
	} else {
		b = append(b, 0x60, 0, 0, 0)
		b = binary.BigEndian.AppendUint16(b, uint16(size))
		b = append(b, protocolUDP, 64)
		b = append(append(b, src...), dst...)
	}
	sum = add(add(sum, src), dst)
	start = len(b)
	b = binary.BigEndian.AppendUint16(b, from.Port())
	b = binary.BigEndian.AppendUint16(b, to.Port())
	b = binary.BigEndian.AppendUint16(b, uint16(size))
	b = append(b, 0, 0)
	b = binary.BigEndian.AppendUint32(b, id)
	b = append(b, packet...)
	check := ^fold(add(sum, b[start:]))
	if check == 0 {
		check = 0xffff // 0 is for no checksum (RFC 768)
	}
	binary.BigEndian.PutUint16(b[start+6:], check)
	return b
}

// add adds 16-bit words to an Internet checksum (RFC 1071), fold ends it.
func add(sum uint32, b []byte) uint32 {
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(b[0])<<8 | uint32(b[1])
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	return sum
}

func fold(sum uint32) uint16 {
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}
