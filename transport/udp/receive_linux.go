package udp

import (
	"errors"
	"net"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What an Inbox holds. Glued messages are up to 64 KiB long, and few of them
// carry much; single datagrams need the room of a jumbo frame, and more slots.
const (
	gluedMessages  = 4
	gluedSize      = 65535
	singleMessages = 16
	singleSize     = 9216
)

// receiveSlots is the memory of the receiving system call.
type receiveSlots struct {
	msgs     []mmsghdr
	iovs     []unix.Iovec
	names    []unix.RawSockaddrInet6 // big enough for both families
	controls []receiveControl
}

// receiveControl has room for the control messages that tell segments, mark, and
// local address; the last comes twice for an IPv4 peer of an IPv6 socket.
type receiveControl [16]uint64

// recvCall is one system call: what it is given and what it returns.
type recvCall struct {
	slots *receiveSlots
	n     int
	errno syscall.Errno
	fn    func(fd uintptr) bool // made once, so that a call allocates nothing
}

func (c *Conn) inboxShape() (count, size int) {
	if c.platform.gro {
		return gluedMessages, gluedSize
	}
	return singleMessages, singleSize
}

func (r *receiveSlots) init(buffers [][]byte) {
	n := len(buffers)
	r.msgs = make([]mmsghdr, n)
	r.iovs = make([]unix.Iovec, n)
	r.names = make([]unix.RawSockaddrInet6, n)
	r.controls = make([]receiveControl, n)
	for i, b := range buffers {
		r.iovs[i].Base = &b[0]
		r.iovs[i].SetLen(len(b))
		h := &r.msgs[i].hdr
		h.Name = (*byte)(unsafe.Pointer(&r.names[i]))
		h.Iov = &r.iovs[i]
		h.SetIovlen(1)
		h.Control = (*byte)(unsafe.Pointer(&r.controls[i]))
		r.reset(i)
	}
}

// reset undoes what the kernel wrote into a message's header.
func (r *receiveSlots) reset(i int) {
	h := &r.msgs[i].hdr
	h.Namelen = uint32(unsafe.Sizeof(r.names[i]))
	h.SetControllen(int(unsafe.Sizeof(r.controls[i])))
	h.Flags = 0
}

func (r *recvCall) init(c *Conn) {
	r.fn = func(fd uintptr) bool {
		r.n, r.errno = r.slots.receive(fd)
		return r.errno != unix.EAGAIN
	}
}

// receive makes the system call.
func (r *receiveSlots) receive(fd uintptr) (n int, errno syscall.Errno) {
	for {
		// quietly: see quietBytes
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, fd,
			uintptr(unsafe.Pointer(&r.msgs[0])), uintptr(len(r.msgs)), unix.MSG_DONTWAIT, 0, 0)
		if errno != unix.EINTR {
			return int(n), errno
		}
	}
}

func (c *Conn) readBatch(in *Inbox) ([]Packet, error) {
	r := &c.platform.recv
	r.slots = &in.slots
	failures := 0
	for {
		if err := c.platform.raw.Read(r.fn); err != nil {
			if errors.Is(err, net.ErrClosed) {
				err = net.ErrClosed
			}
			return nil, err
		}
		if r.errno != 0 {
			// What the network says about earlier sends comes up here.
			c.counters.readErrors.Add(1)
			if failures++; failures > maxReadErrors {
				return nil, &net.OpError{Op: "read", Net: "udp", Err: r.errno}
			}
			continue
		}
		failures = 0
		c.counters.readCalls.Add(1)
		if packets := c.collect(in, r.n); len(packets) > 0 {
			return packets, nil
		}
	}
}

// receiveBatches is Receive. All of it is one call of RawConn.Read, and so no
// word of the runtime's poller is ever lost: it tells of each datagram that comes
// after one was read, but forgets what it has told when a new Read begins, which
// therefore has to look once more for what may have come in between. For a node
// that is woken by each datagram of a handshake that is every second system
// call. A call that did not fill all messages has left none.
func (c *Conn) receiveBatches(inbox func() *Inbox, take func(*Inbox, []Packet)) error {
	var in *Inbox
	var failure error
	failures := 0
	err := c.platform.raw.Read(func(fd uintptr) bool {
		for {
			if in == nil {
				if in = inbox(); in == nil {
					return true
				}
			}
			n, errno := in.slots.receive(fd)
			switch {
			case errno == unix.EAGAIN:
				return false
			case errno != 0:
				c.counters.readErrors.Add(1)
				if failures++; failures > maxReadErrors {
					failure = &net.OpError{Op: "read", Net: "udp", Err: errno}
					return true
				}
				continue
			}
			failures = 0
			c.counters.readCalls.Add(1)
			all := n < len(in.slots.msgs)
			if packets := c.collect(in, n); len(packets) > 0 {
				take(in, packets)
				in = nil
			}
			if all {
				return false
			}
		}
	})
	if errors.Is(err, net.ErrClosed) {
		return net.ErrClosed
	}
	return errors.Join(err, failure)
}

// collect turns the first n messages of the slots into packets.
func (c *Conn) collect(in *Inbox, n int) []Packet {
	packets := in.packets[:0]
	var bytes uint64
	for i := range n {
		m := &in.slots.msgs[i]
		size := int(m.len)
		switch {
		case m.hdr.Flags&unix.MSG_TRUNC != 0:
			c.counters.truncated.Add(1)
		case size > 0:
			bytes += uint64(size)
			from := c.platform.addrOf(&in.slots.names[i])
			a := parseArrival(in.slots.controls[i].bytes(m.hdr))
			segment := size
			if a.segment > 0 {
				segment = min(a.segment, size)
			}
			packets = append(packets, Packet{
				From: from, Local: c.platform.locals.number(a.local), ECN: a.ecn,
				Data: in.buffers[i][:size], Segment: segment,
			})
		}
		in.slots.reset(i)
	}
	c.counters.readBytes.Add(bytes)
	return packets
}

// bytes returns what the kernel wrote into the room for control messages.
func (b *receiveControl) bytes(h unix.Msghdr) []byte {
	all := unsafe.Slice((*byte)(unsafe.Pointer(b)), unsafe.Sizeof(*b))
	return all[:min(uint64(h.Controllen), uint64(len(all)))]
}
