package simulations

import (
	"net/netip"

	"rtmfp/internal/clock"
)

// flight is a datagram on its way.
type flight struct {
	data  []byte
	from  netip.AddrPort // as the receiver will see it
	to    *Node          // nil while a NAT is still to say who
	nat   *NAT           // that it has come to
	dst   netip.AddrPort // then, the address outside of it
	ref   uint32
	stage stage
	used  bool
}

// stage is where a datagram is.
type stage uint8

const (
	onPath    stage  = iota // on the way to the receiver's access link or NAT
	onAccess                // in the queue of the receiver's access link
	inSocket                // waiting for the receiver's attention
	flightBig = 1500        // bytes of the largest buffer that is kept
)

// flights holds the datagrams that are on their way, and buffers for the next.
type flights struct {
	list  []*flight // by ref
	free  []*flight
	small [][]byte // buffers of smallFlight bytes
	big   [][]byte
	bytes int64 // in flight
	n     int
}

const smallFlight = 160 // most datagrams carry no media

// take makes a flight of a copy of data.
func (s *flights) take(data []byte) *flight {
	var f *flight
	if n := len(s.free); n > 0 {
		f = s.free[n-1]
		s.free = s.free[:n-1]
	} else {
		f = &flight{ref: uint32(len(s.list))}
		s.list = append(s.list, f)
	}
	var buf []byte
	switch {
	case len(data) <= smallFlight:
		buf = pop(&s.small, smallFlight)
	case len(data) <= flightBig:
		buf = pop(&s.big, flightBig)
	default:
		buf = make([]byte, len(data))
	}
	f.data = append(buf[:0], data...)
	f.stage, f.used = onPath, true
	s.bytes += int64(len(data))
	s.n++
	return f
}

func pop(list *[][]byte, size int) []byte {
	if n := len(*list); n > 0 {
		b := (*list)[n-1]
		*list = (*list)[:n-1]
		return b
	}
	return make([]byte, 0, size)
}

// end takes a flight out of the air. Its data must not be used any more.
func (s *flights) end(f *flight) {
	s.bytes -= int64(len(f.data))
	s.n--
	switch cap(f.data) {
	case smallFlight:
		s.small = append(s.small, f.data[:0])
	case flightBig:
		s.big = append(s.big, f.data[:0])
	}
	*f = flight{ref: f.ref}
	s.free = append(s.free, f)
}

// slim forgets what is free.
func (s *flights) slim() {
	s.small, s.big = nil, nil
	last := len(s.list)
	for last > 0 && !s.list[last-1].used {
		last--
	}
	s.list = append([]*flight(nil), s.list[:last]...)
	s.free = nil
	for _, f := range s.list {
		if !f.used {
			s.free = append(s.free, f)
		}
	}
}

// discard ends a flight that does not arrive.
func (w *Network) discard(f *flight, why Drop) {
	w.drop(why, len(f.data))
	w.flights.end(f)
}

// send takes a datagram that a node has sent to an address.
func (w *Network) send(n *Node, to netip.AddrPort, data []byte) {
	size := len(data)
	n.Sent += uint64(size)
	w.stats.Sent++
	w.stats.Bytes += uint64(size)
	left, ok := n.access.leave(w.now, size)
	if !ok {
		w.drop(DropUplink, size)
		return
	}
	r, why := w.route(n, to)
	if r.to == nil && r.nat == nil {
		w.drop(why, size)
		return
	}
	f := w.flights.take(data)
	f.from, f.to, f.nat, f.dst = r.from, r.to, r.nat, to
	link := w.cfg.LAN
	if !r.local {
		link = w.cfg.Link(n.number, r.near.number)
	}
	if len(w.faults) > 0 && !w.applyFaults(n, r.near, &link) {
		w.discard(f, DropFault)
		return
	}
	w.travel(link, n, r.near, left, f)
}

// arrive takes a datagram a step further: through NATs, the receiver's access
// link, its socket, and into its core.
func (w *Network) arrive(ref uint32) {
	f := w.flights.list[ref]
	if f.stage == onPath && f.nat != nil {
		n, from, why := f.nat.in(w.now, f.from, f.dst)
		if n == nil {
			w.discard(f, why)
			return
		}
		f.to, f.from, f.nat = n, from, nil
	}
	n := f.to
	if n.stopped {
		w.discard(f, DropDead)
		return
	}
	if f.stage == onPath {
		f.stage = onAccess
		at, ok := n.access.arrive(w.now, len(f.data))
		if !ok {
			w.discard(f, DropDownlink)
			return
		}
		if at > w.now {
			w.plan(at, entryDatagram, ref, n)
			return
		}
	}
	if f.stage == onAccess {
		f.stage = inSocket
		if start := n.attend(w.now); start > w.now {
			if n.waiting+len(f.data) > n.socketSize() {
				w.discard(f, DropSocket)
				return
			}
			n.waiting += len(f.data)
			w.plan(start, entryDatagram, ref, n)
			return
		}
	} else if w.now < n.stalled { // it was stalled while the datagram waited
		w.plan(n.stalled, entryDatagram, ref, n)
		return
	} else {
		n.waiting -= len(f.data)
	}
	w.stats.Events++
	w.stats.Delivered++
	w.stats.DeliveredBytes += uint64(len(f.data))
	n.Received += uint64(len(f.data))
	w.fingerprint(f.from, n, f.data)
	n.driven.HandleDatagram(n.local(w.now), f.from, f.data)
	w.flights.end(f)
	w.turn(n)
}

// attend returns when a node gets to what comes to its socket now.
func (n *Node) attend(now clock.Time) clock.Time {
	start := max(now, n.stalled, n.busy)
	if n.packetCost > 0 {
		n.busy = start.Add(n.packetCost)
	}
	return start
}
