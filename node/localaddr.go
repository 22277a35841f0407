package node

import (
	"net"
	"net/netip"
)

// maxLocalAddresses bounds what a node tells about its own interfaces.
const maxLocalAddresses = 6

// localAddresses returns the addresses at which a socket bound to the given
// one can be reached in its own networks: that address, or for a wildcard
// those of all interfaces but loopback and link-local ones.
func localAddresses(bound netip.AddrPort) []netip.AddrPort {
	if !bound.Addr().IsUnspecified() {
		return []netip.AddrPort{bound}
	}
	// Without its interfaces' addresses a node is still found at the ones
	// that others see it at.
	interfaces, _ := net.InterfaceAddrs()
	var out []netip.AddrPort
	for _, a := range interfaces {
		prefix, err := netip.ParsePrefix(a.String())
		if err != nil {
			continue
		}
		ip := prefix.Addr().Unmap()
		if ip.IsLoopback() || ip.IsLinkLocalUnicast() || len(out) == maxLocalAddresses {
			continue
		}
		if bound.Addr().Is4() && !ip.Is4() {
			continue
		}
		out = append(out, netip.AddrPortFrom(ip, bound.Port()))
	}
	return out
}
