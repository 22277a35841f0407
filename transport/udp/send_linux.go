package udp

import (
	"errors"
	"net"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// sendMessages is how many messages go into one system call.
	sendMessages = 32

	// maxSegments is UDP_MAX_SEGMENTS of the kernels before 6.9, the number of
	// datagrams that one message may be cut into.
	maxSegments = 64

	// maxMessage is the most that one message may hold: 65535 less the IPv6
	// and UDP headers.
	maxMessage = 65535 - 40 - 8

	// maxRefusals is how many messages in a row the kernel may refuse to cut
	// before it isn't asked any more. A few are normal: segments that are
	// longer than the MTU of one peer's route are refused with EINVAL.
	maxRefusals = 16
)

// sendSlots is the memory of the sending system call, and the place that a
// Write has reached.
type sendSlots struct {
	msgs     [sendMessages]mmsghdr
	iovs     [sendMessages]unix.Iovec
	names    [sendMessages]unix.RawSockaddrInet6 // big enough for both families
	controls [sendMessages]sendControl
	extras   [sendMessages]extra
	ends     [sendMessages]cursor // where the Write stands after each message

	batches  []Batch
	at       cursor
	plain    int // batch that the kernel refused to cut, -1 if none
	refusals int // refusals in a row
	bare     int // batch that the kernel refused to mark or to send from an address, -1 if none
	marks    int // such refusals in a row
	full     bool
	bytes    int  // in the slots
	probe    bool // what is in the slots must not be fragmented

	// Made once, because a closure per call would be an allocation per call.
	try, wait func(fd uintptr) bool
}

// cursor is a place in the batches of a Write.
type cursor struct{ batch, offset int }

// extra says which control messages a message has.
type extra uint8

const (
	extraSegment extra = 1 << iota
	extraMark
	extraFrom
)

func (s *sendSlots) init(c *Conn) {
	s.try = func(fd uintptr) bool {
		s.full = !c.sendAll(fd)
		return true
	}
	s.wait = c.sendAll
	for i := range s.msgs {
		h := &s.msgs[i].hdr
		h.Name = (*byte)(unsafe.Pointer(&s.names[i]))
		h.Iov = &s.iovs[i]
		h.SetIovlen(1)
	}
}

func (c *Conn) writeBatch(batches []Batch) error {
	s := &c.platform.send
	s.batches, s.at, s.plain, s.bare, s.full = batches, cursor{}, -1, -1, false
	err := c.platform.raw.Write(s.try)
	if err == nil && s.full {
		err = c.writeWaiting()
	}
	s.batches = nil
	clear(s.iovs[:])
	if err != nil && errors.Is(err, net.ErrClosed) {
		return net.ErrClosed
	}
	return err
}

// writeWaiting goes on with a Write that found the send buffer full.
func (c *Conn) writeWaiting() error {
	p, s := &c.platform, &c.platform.send
	if err := c.udp.SetWriteDeadline(time.Now().Add(writeWait)); err != nil {
		return err
	}
	err := p.raw.Write(s.wait)
	if cerr := c.udp.SetWriteDeadline(time.Time{}); err == nil {
		err = cerr
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	// On a busy machine the time may have gone by with room to spare.
	if err := p.raw.Write(s.try); err != nil || !s.full {
		return err
	}
	for n := c.fill(); n > 0; n = c.fill() {
		c.counters.writeFull.Add(uint64(n))
		s.at = s.ends[n-1]
	}
	return nil
}

// sendAll sends from where the Write stands. It reports false when the send
// buffer is full and true when all is done.
func (c *Conn) sendAll(fd uintptr) bool {
	s := &c.platform.send
	for {
		n := c.fill()
		if n == 0 {
			return true
		}
		if s.probe {
			c.platform.fragment(fd, false)
		}
		var sent uintptr
		var errno syscall.Errno
		if s.bytes <= quietBytes {
			sent, _, errno = unix.RawSyscall6(unix.SYS_SENDMMSG, fd,
				uintptr(unsafe.Pointer(&s.msgs[0])), uintptr(n), unix.MSG_DONTWAIT, 0, 0)
		} else {
			sent, _, errno = unix.Syscall6(unix.SYS_SENDMMSG, fd,
				uintptr(unsafe.Pointer(&s.msgs[0])), uintptr(n), unix.MSG_DONTWAIT, 0, 0)
		}
		if s.probe {
			c.platform.fragment(fd, true)
		}
		switch errno {
		case 0:
			c.sent(int(sent))
		case unix.EINTR:
		case unix.EAGAIN:
			return false
		default:
			c.refused(errno)
		}
	}
}

// fragment says whether the network may fragment datagrams, which is for the
// socket and not for a message. It may fail: then the kernel keeps what it does.
func (p *platform) fragment(fd uintptr, may bool) {
	v4, v6 := unix.IP_PMTUDISC_PROBE, unix.IPV6_PMTUDISC_PROBE
	if may {
		v4, v6 = unix.IP_PMTUDISC_DONT, unix.IPV6_PMTUDISC_DONT
	}
	if p.ipv6 {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, v6)
	}
	_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, v4) // of IPv4 peers of an IPv6 socket, too
}

// sent moves past the first n messages of the slots.
func (c *Conn) sent(n int) {
	s := &c.platform.send
	var bytes uint64
	for i := range n {
		bytes += uint64(s.msgs[i].len)
		if s.extras[i]&extraSegment != 0 {
			s.refusals = 0
		}
		if s.extras[i]&(extraMark|extraFrom) != 0 {
			s.marks = 0
		}
	}
	s.at = s.ends[n-1]
	c.counters.writeCalls.Add(1)
	c.counters.writeBytes.Add(bytes)
}

// refused decides what becomes of the first message of the slots, which the
// kernel would not send.
func (c *Conn) refused(errno syscall.Errno) {
	s := &c.platform.send
	switch {
	case s.extras[0] == 0:
		c.counters.writeErrors.Add(1)
		s.at = s.ends[0]
		return
	case s.extras[0]&extraSegment == 0:
		// The mark, or an address that is not this machine's any more, or just
		// the sending. Without them it will show.
		c.counters.controlRefused.Add(1)
		s.bare = s.at.batch
		if s.marks++; s.marks >= maxRefusals {
			c.platform.ecn.Store(false)
			c.platform.pktinfo.Store(false)
		}
		return
	}
	// The kernel may have refused the cutting or the sending. Datagrams sent
	// one by one will tell.
	c.counters.segmentRefused.Add(1)
	s.plain = s.at.batch
	s.refusals++
	if errno == unix.EIO || s.refusals >= maxRefusals {
		// EIO: the interface can't compute the checksums of what it cuts.
		c.platform.gso.Store(false)
	}
}

// fill puts the messages that come next into the slots and returns their
// number, 0 at the end of the Write.
func (c *Conn) fill() int {
	p, s := &c.platform, &c.platform.send
	gso := p.gso.Load()
	n := 0
	s.probe, s.bytes = false, 0
	for at := s.at; n < sendMessages && at.batch < len(s.batches) && !s.probe; {
		b := &s.batches[at.batch]
		if b.Probe && n > 0 {
			break // it goes alone
		}
		if at.offset >= len(b.Data) {
			at = cursor{batch: at.batch + 1}
			continue
		}
		h := &s.msgs[n].hdr
		if h.Namelen = p.putName(&s.names[n], b.To); h.Namelen == 0 {
			// The message that this one would have been gets no slot, so what
			// precedes it must be sent first, for it not to be counted twice.
			if n > 0 {
				break
			}
			c.counters.writeErrors.Add(1)
			at = cursor{batch: at.batch + 1}
			s.at = at
			continue
		}
		size := b.segment()
		rest := b.Data[at.offset:]
		take := min(size, len(rest))
		ctl := &s.controls[n]
		ctl.n = 0
		s.extras[n] = 0
		if count := min(maxMessage/size, maxSegments); gso && count > 1 && len(rest) > size && s.plain != at.batch {
			take = min(count*size, len(rest))
			ctl.segment(size)
			s.extras[n] = extraSegment
		}
		if s.bare != at.batch {
			s.extras[n] |= p.decorate(ctl, b)
		}
		h.Control = nil
		if ctl.n > 0 {
			h.Control = &ctl.bytes()[0]
		}
		h.SetControllen(ctl.n)
		s.iovs[n].Base = &rest[0]
		s.iovs[n].SetLen(take)
		at.offset += take
		s.bytes += take
		s.ends[n] = at
		s.probe = b.Probe
		n++
	}
	return n
}

// decorate adds the mark and the address that a batch asks for, as far as they
// are to be had.
func (p *platform) decorate(ctl *sendControl, b *Batch) (has extra) {
	ipv4 := b.To.Addr().Is4() || b.To.Addr().Is4In6()
	if b.ECN&ecnMask != 0 && p.ecn.Load() {
		ctl.mark(b.ECN, ipv4)
		has |= extraMark
	}
	if b.Local != 0 && p.pktinfo.Load() {
		if from := p.locals.address(b.Local); from.IsValid() && from.Is4() == ipv4 {
			ctl.from(from)
			has |= extraFrom
		}
	}
	return has
}
