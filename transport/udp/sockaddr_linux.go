package udp

import (
	"encoding/binary"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// putName writes to into name in the socket's family and returns its length, 0
// if the socket can't speak to such an address.
func (p *platform) putName(name *unix.RawSockaddrInet6, to netip.AddrPort) uint32 {
	addr := to.Addr()
	if !addr.IsValid() || to.Port() == 0 {
		return 0
	}
	if p.ipv6 {
		*name = unix.RawSockaddrInet6{Family: unix.AF_INET6, Addr: addr.As16()}
		if zone := addr.Zone(); zone != "" {
			if name.Scope_id = p.zones.index(zone); name.Scope_id == 0 {
				return 0
			}
		}
		putPort(&name.Port, to.Port())
		return unix.SizeofSockaddrInet6
	}
	addr = addr.Unmap()
	if !addr.Is4() {
		return 0
	}
	name4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(name))
	*name4 = unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: addr.As4()}
	putPort(&name4.Port, to.Port())
	return unix.SizeofSockaddrInet4
}

// addrOf reads an address that the kernel wrote.
func (p *platform) addrOf(name *unix.RawSockaddrInet6) netip.AddrPort {
	switch name.Family {
	case unix.AF_INET:
		name4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(name))
		return netip.AddrPortFrom(netip.AddrFrom4(name4.Addr), port(&name4.Port))
	case unix.AF_INET6:
		addr := netip.AddrFrom16(name.Addr).Unmap()
		if name.Scope_id != 0 && addr.Is6() {
			addr = addr.WithZone(p.zones.name(name.Scope_id))
		}
		return netip.AddrPortFrom(addr, port(&name.Port))
	default:
		return netip.AddrPort{}
	}
}

// The port stands in network order in memory, whatever the machine's order is.

func putPort(field *uint16, port uint16) {
	binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(field))[:], port)
}

func port(field *uint16) uint16 {
	return binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(field))[:])
}

// maxZones bounds the memory of a zones; a machine with more links looks the
// others up each time.
const maxZones = 64

// zones remembers the names of the network interfaces that link-local
// addresses belong to. The reading and the writing side share it.
type zones struct {
	mu    sync.Mutex
	known []zone
}

type zone struct {
	id   uint32
	name string
}

// index returns the kernel's number of an interface, 0 if there is none.
func (z *zones) index(name string) uint32 {
	z.mu.Lock()
	defer z.mu.Unlock()
	for i := range z.known {
		if z.known[i].name == name {
			return z.known[i].id
		}
	}
	if ifi, err := net.InterfaceByName(name); err == nil {
		z.add(uint32(ifi.Index), name)
		return uint32(ifi.Index)
	}
	if id, err := strconv.ParseUint(name, 10, 32); err == nil {
		return uint32(id)
	}
	return 0
}

// name returns the name of an interface, its number if it has none.
func (z *zones) name(id uint32) string {
	z.mu.Lock()
	defer z.mu.Unlock()
	for i := range z.known {
		if z.known[i].id == id {
			return z.known[i].name
		}
	}
	ifi, err := net.InterfaceByIndex(int(id))
	if err != nil {
		return strconv.FormatUint(uint64(id), 10)
	}
	z.add(id, ifi.Name)
	return ifi.Name
}

func (z *zones) add(id uint32, name string) {
	if len(z.known) < maxZones {
		z.known = append(z.known, zone{id, name})
	}
}
