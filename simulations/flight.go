package simulations

import (
	"net/netip"
	"slices"
	"sync"

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

// flights holds the datagrams that are on their way, in blocks that stay where
// they are: a lane may take one while another looks at its own.
type flights struct {
	blocks [maxFlightBlocks]*[flightBlock]flight
	more   sync.Mutex // over n
	n      int        // blocks
}

const (
	flightBlock     = 1 << 10
	maxFlightBlocks = 1 << 14 // 16 million datagrams in flight
	smallFlight     = 160     // most datagrams carry no media
)

// at returns the datagram of a number.
func (s *flights) at(ref uint32) *flight { return &s.blocks[ref/flightBlock][ref%flightBlock] }

// grow makes another block, and returns the numbers in it.
func (s *flights) grow() (first, end uint32) {
	s.more.Lock()
	defer s.more.Unlock()
	if s.n == maxFlightBlocks {
		panic("simulations: over 16 million datagrams are in flight at once")
	}
	b := new([flightBlock]flight)
	first = uint32(s.n) * flightBlock
	for i := range b {
		b[i].ref = first + uint32(i)
	}
	s.blocks[s.n] = b
	s.n++
	return first, first + flightBlock
}

// slim gives blocks back that are no longer needed, and returns what is free in
// the others.
func (s *flights) slim() (free []uint32) {
	for s.n > 0 && !slices.ContainsFunc(s.blocks[s.n-1][:], func(f flight) bool { return f.used }) {
		s.n--
		s.blocks[s.n] = nil
	}
	for i := range uint32(s.n) * flightBlock {
		if !s.at(i).used {
			free = append(free, i)
		}
	}
	return free
}

// pool is what a lane has free of what datagrams need.
type pool struct {
	free  []uint32 // flights
	small [][]byte // buffers of smallFlight bytes
	big   [][]byte // of flightBig
}

// launch makes a flight of a copy of data.
func (l *lane) launch(data []byte) *flight {
	p := &l.pool
	if len(p.free) == 0 {
		first, end := l.net.flights.grow()
		for ref := end; ref > first; ref-- {
			p.free = append(p.free, ref-1)
		}
	}
	last := len(p.free) - 1
	f := l.net.flights.at(p.free[last])
	p.free = p.free[:last]
	var buf []byte
	switch {
	case len(data) <= smallFlight:
		buf = pop(&p.small, smallFlight)
	case len(data) <= flightBig:
		buf = pop(&p.big, flightBig)
	default:
		buf = make([]byte, len(data))
	}
	f.data = append(buf[:0], data...)
	f.stage, f.used = onPath, true
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

// land takes a flight out of the air. Its data must not be used any more.
func (l *lane) land(f *flight) {
	p := &l.pool
	switch cap(f.data) {
	case smallFlight:
		p.small = append(p.small, f.data[:0])
	case flightBig:
		p.big = append(p.big, f.data[:0])
	}
	*f = flight{ref: f.ref}
	p.free = append(p.free, f.ref)
}

// discard ends a flight that does not arrive.
func (l *lane) discard(f *flight, why Drop) {
	l.drop(why, len(f.data))
	l.land(f)
}

// send takes a datagram that a node has sent to an address.
func (l *lane) send(n *Node, to netip.AddrPort, data []byte) {
	size := len(data)
	n.Sent += uint64(size)
	l.stats.Sent++
	l.stats.Bytes += uint64(size)
	left, ok := n.access.leave(l.now, size)
	if !ok {
		l.drop(DropUplink, size)
		return
	}
	r, why := l.route(n, to)
	if r.to == nil && r.nat == nil {
		l.drop(why, size)
		return
	}
	f := l.launch(data)
	f.from, f.to, f.nat, f.dst = r.from, r.to, r.nat, to
	link := l.net.cfg.LAN
	if !r.local {
		link = l.net.cfg.Link(n.number, r.near.number)
	}
	if len(l.net.faults) > 0 && !l.net.applyFaults(n, r.near, &link) {
		l.discard(f, DropFault)
		return
	}
	l.travel(link, n, r.near, left, f)
}

// arrive takes a datagram a step further: through NATs, the receiver's access
// link, its socket, and into its core.
func (l *lane) arrive(ref uint32) {
	f := l.net.flights.at(ref)
	if f.stage == onPath && f.nat != nil {
		n, from, why := f.nat.in(l.now, f.from, f.dst)
		if n == nil {
			l.discard(f, why)
			return
		}
		f.to, f.from, f.nat = n, from, nil
	}
	n := f.to
	if n.stopped {
		l.discard(f, DropDead)
		return
	}
	if f.stage == onPath {
		f.stage = onAccess
		at, ok := n.access.arrive(l.now, len(f.data))
		if !ok {
			l.discard(f, DropDownlink)
			return
		}
		if at > l.now {
			l.plan(at, entryDatagram, ref, n)
			return
		}
	}
	if f.stage == onAccess {
		f.stage = inSocket
		if start := n.attend(l.now); start > l.now {
			if n.waiting+len(f.data) > n.socketSize() {
				l.discard(f, DropSocket)
				return
			}
			n.waiting += len(f.data)
			l.plan(start, entryDatagram, ref, n)
			return
		}
	} else if l.now < n.stalled { // it was stalled while the datagram waited
		l.plan(n.stalled, entryDatagram, ref, n)
		return
	} else {
		n.waiting -= len(f.data)
	}
	l.stats.Events++
	l.stats.Delivered++
	l.stats.DeliveredBytes += uint64(len(f.data))
	n.Received += uint64(len(f.data))
	l.fingerprint(f.from, n, f.data)
	n.driven.HandleDatagram(n.local(l.now), f.from, f.data)
	l.land(f)
	l.turn(n)
}

// attend returns when a node gets to what comes to its socket now.
func (n *Node) attend(now clock.Time) clock.Time {
	start := max(now, n.stalled, n.busy)
	if n.packetCost > 0 {
		n.busy = start.Add(n.packetCost)
	}
	return start
}
