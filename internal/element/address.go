package element

import "net/netip"

// Origin says where an address is known from (RFC 7016 §2.1.5).
type Origin uint8

// Origins of an address, in the low two bits of its first byte.
const (
	OriginUnknown  Origin = 0
	OriginLocal    Origin = 1 // reported by the endpoint itself, as one of its interfaces
	OriginObserved Origin = 2 // seen as the source of its packets
	OriginRelay    Origin = 3 // a redirector or forwarder that can reach it
)

const flagIPv6 = 0x80

// Address is a UDP socket address with its origin.
type Address struct {
	netip.AddrPort
	Origin Origin
}

// AppendAddress appends a: flags, 4 or 16 bytes of IP, 16-bit port. IPv4-mapped
// IPv6 addresses are written as IPv4, and zones are left out.
func AppendAddress(b []byte, a Address) []byte {
	ip := a.Addr().Unmap()
	flags := byte(a.Origin & 3)
	if ip.Is4() {
		v := ip.As4()
		b = append(append(b, flags), v[:]...)
	} else {
		v := ip.As16()
		b = append(append(b, flags|flagIPv6), v[:]...)
	}
	return append(b, byte(a.Port()>>8), byte(a.Port()))
}

// ConsumeAddress reads an address from the front of b and returns its size in
// bytes, 0 if b is truncated.
func ConsumeAddress(b []byte) (a Address, n int) {
	if len(b) == 0 {
		return Address{}, 0
	}
	var ip netip.Addr
	if b[0]&flagIPv6 == 0 {
		if n = 1 + 4 + 2; len(b) < n {
			return Address{}, 0
		}
		ip = netip.AddrFrom4([4]byte(b[1:5]))
	} else {
		if n = 1 + 16 + 2; len(b) < n {
			return Address{}, 0
		}
		ip = netip.AddrFrom16([16]byte(b[1:17])).Unmap()
	}
	port := uint16(b[n-2])<<8 | uint16(b[n-1])
	return Address{netip.AddrPortFrom(ip, port), Origin(b[0] & 3)}, n
}
