package udp

import (
	"errors"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mmsghdr is struct mmsghdr of recvmmsg(2) and sendmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32 // bytes received or sent, set by the kernel
}

// platform is the state of the system calls that move many messages at once.
type platform struct {
	raw  syscall.RawConn
	ipv6 bool        // the socket's family is AF_INET6
	gso  atomic.Bool // the kernel cuts what is sent; only ever switched off
	gro  bool        // the kernel glues what it receives

	ecn     atomic.Bool // congestion marks are read and written; only ever switched off
	pktinfo atomic.Bool // datagrams tell the address that they came to, and leave by it; likewise

	send   sendSlots
	recv   recvCall
	zones  zones
	locals locals
}

// quietBytes is how much one system call may move that the runtime does not
// hear of (RawSyscall6). One that it hears of lets others have the processor
// while it lasts, and wakes the runtime's monitor if the process was idle, which
// then looks around every 20 µs until all is quiet again: a seventh of all CPU
// time for a node that is woken by each datagram of a handshake. These calls
// never wait, and moving as much as this takes no longer than goroutines run
// between two points at which they can be stopped.
const quietBytes = 1 << 16

// startPlatform finds out what the kernel can do and turns it on. Where the
// batch calls are forbidden (a sandbox), the Conn stays portable.
func (c *Conn) startPlatform(o Options) error {
	raw, err := c.udp.SyscallConn()
	if err != nil {
		return err
	}
	p := &c.platform
	p.raw = raw
	var local unix.Sockaddr
	var probe syscall.Errno
	err = raw.Control(func(fd uintptr) {
		growBuffer(int(fd), unix.SO_RCVBUF, unix.SO_RCVBUFFORCE, orDefault(o.ReadBuffer))
		growBuffer(int(fd), unix.SO_SNDBUF, unix.SO_SNDBUFFORCE, orDefault(o.WriteBuffer))
		if local, err = unix.Getsockname(int(fd)); err != nil {
			return
		}
		if probe = probeCalls(fd); probe != 0 || o.NoOffload {
			return
		}
		_, gsoErr := unix.GetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_SEGMENT)
		p.gso.Store(gsoErr == nil)
		p.gro = unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_GRO, 1) == nil
	})
	if err != nil {
		return err
	}
	if local == nil {
		return errors.New("socket has no address")
	}
	_, p.ipv6 = local.(*unix.SockaddrInet6)
	_ = raw.Control(func(fd uintptr) {
		p.fragment(fd, true)
		if probe == 0 {
			c.startControl(int(fd), o)
		}
	})
	c.batched = probe == 0
	if c.batched {
		p.send.init(c)
		p.recv.init(c)
	}
	return nil
}

// growBuffer asks for size bytes against the system's limit where the process
// has the right to, after package net has asked for them within it.
func growBuffer(fd, opt, force, size int) {
	// The kernel reports twice what was asked for: it counts its own overhead.
	if got, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, opt); err == nil && got >= 2*size {
		return
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, force, size) // accept what is there
}

// probeCalls makes both calls without a message.
func probeCalls(fd uintptr) syscall.Errno {
	var m mmsghdr
	for _, call := range [...]uintptr{unix.SYS_SENDMMSG, unix.SYS_RECVMMSG} {
		_, _, errno := unix.Syscall6(call, fd, uintptr(unsafe.Pointer(&m)), 0, unix.MSG_DONTWAIT, 0, 0)
		if errno == unix.ENOSYS || errno == unix.EPERM || errno == unix.EACCES {
			return errno
		}
	}
	return 0
}

// platformStats adds what only the kernel knows.
func (c *Conn) platformStats(s *Stats) {
	p := &c.platform
	s.GSO, s.GRO, s.ECN, s.PacketInfo = p.gso.Load(), p.gro, p.ecn.Load(), p.pktinfo.Load()
	// SO_MEMINFO answers with an array of SK_MEMINFO_VARS (linux/sock_diag.h).
	const drops, vars = 8, 9
	var info [vars]uint32
	size := uint32(unsafe.Sizeof(info))
	_ = p.raw.Control(func(fd uintptr) {
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_MEMINFO,
			uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
		if errno == 0 {
			s.Overflow = uint64(info[drops])
		}
	})
}
