package node

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/net/ipv4"

	"rtmfp/group/lan"
	"rtmfp/internal/clock"
)

// LANAddress is the multicast address at which members find each other on a
// local network. It is of the range for one organization's use (RFC 2365), and
// packets to it have a time to live of one, so that no router passes them on.
const LANAddress = "239.255.19.35:19351"

// lanSocket is the node's part in the multicast group.
type lanSocket struct {
	group *net.UDPAddr
	conn  *ipv4.PacketConn
	on    []lanInterface
}

// lanInterface is an interface, and its address, from which packets go: others
// take that for the node's.
type lanInterface struct {
	net.Interface
	addr netip.Addr
}

// openLAN joins the multicast group on the networks that a socket bound to the
// given address is reachable in.
func openLAN(bound netip.AddrPort) (*lanSocket, error) {
	group, err := net.ResolveUDPAddr("udp4", LANAddress)
	if err != nil {
		return nil, err
	}
	on, err := lanInterfaces(bound.Addr())
	if err != nil {
		return nil, err
	}
	// Of all sockets on this machine that are bound so, each gets every packet.
	c, err := net.ListenMulticastUDP("udp4", &on[0].Interface, group)
	if err != nil {
		return nil, err
	}
	s := &lanSocket{group: group, conn: ipv4.NewPacketConn(c), on: on}
	for i := range on[1:] {
		// A network that does not have it is done without.
		_ = s.conn.JoinGroup(&on[i+1].Interface, group)
	}
	err = errors.Join(s.conn.SetMulticastLoopback(true), s.conn.SetMulticastTTL(1))
	if err != nil {
		c.Close()
		return nil, err
	}
	return s, nil
}

// lanInterfaces returns the interfaces of the networks in which a node is
// reachable at an address: that one's, or for a wildcard all that can multicast.
func lanInterfaces(bound netip.Addr) ([]lanInterface, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	var on []lanInterface
	for _, i := range all {
		addrs, err := i.Addrs()
		if err != nil || i.Flags&net.FlagUp == 0 {
			continue
		}
		wild := bound.IsUnspecified() && i.Flags&net.FlagMulticast != 0 && i.Flags&net.FlagLoopback == 0
		for _, a := range addrs {
			p, err := netip.ParsePrefix(a.String())
			if err != nil {
				continue
			}
			if ip := p.Addr().Unmap(); ip.Is4() && (wild || ip == bound.Unmap()) {
				on = append(on, lanInterface{i, ip})
				break
			}
		}
	}
	if len(on) == 0 {
		return nil, fmt.Errorf("no network with IPv4 multicast at %v", bound)
	}
	return on, nil
}

// read hands packets to the loop until the socket is closed.
func (s *lanSocket) read(n *Node) {
	buf := make([]byte, lan.MaxPacket+1) // longer ones are none of ours
	for {
		size, _, from, err := s.conn.ReadFrom(buf)
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			n.log.Warn("the LAN's multicast address can't be read any more", "err", err)
			return
		}
		addr := from.(*net.UDPAddr).AddrPort().Addr()
		if n.do(func(now clock.Time) { n.core.HandleLAN(now, addr, buf[:size]) }) != nil {
			return
		}
	}
}

// send sends a packet in every network; on Windows, where a packet can't be told
// its interface, in the one that the system takes, as often. What can't be sent is lost, as on any
// network: it is sent again before long.
func (s *lanSocket) send(b []byte) {
	for i := range s.on {
		_, _ = s.conn.WriteTo(b, &ipv4.ControlMessage{IfIndex: s.on[i].Index, Src: s.on[i].addr.AsSlice()}, s.group)
	}
}

// sendLAN sends what the core has for the local network. The loop calls it.
func (n *Node) sendLAN(now clock.Time) {
	if n.lan == nil {
		return
	}
	for b, ok := n.core.NextLAN(now, nil); ok; b, ok = n.core.NextLAN(now, nil) {
		n.lan.send(b)
	}
}
