// Package proxy carries UDP datagrams between clients and a server over a path
// that package impair makes worse, and plays the clients' NAT: it gives each a
// port of its own to the server, and another when asked to.
//
// It reads and writes many datagrams with one call, so that it is no bottleneck
// itself where what passes is measured.
//
// A Path and its proxies may be used from any goroutine.
package proxy

import (
	"container/heap"
	"errors"
	"net/netip"
	"sync"
	"time"

	"rtmfp/internal/clock"
	"rtmfp/internal/impair"
	"rtmfp/transport/udp"
)

// Path is the two directions of one path, which any number of servers share.
type Path struct {
	// Tap, if it is not nil, is called for every datagram that enters the path.
	// outside is the client's address as the server sees it. It is set before
	// the first Serve.
	Tap func(fromServer bool, outside netip.AddrPort, b []byte)

	began time.Time

	mu       sync.Mutex
	up, down *impair.Link
	flights  flights
	free     [][]byte // memory of datagrams
	seq      uint64
	wake     chan struct{}
	end      chan struct{}
	closers  []func()
	ended    bool
	tasks    sync.WaitGroup
}

// New returns a path with random numbers from seed. Close ends it.
func New(up, down impair.Config, seed uint64) *Path {
	p := &Path{
		began: time.Now(),
		up:    impair.NewLink(up, seed*2), down: impair.NewLink(down, seed*2+1),
		wake: make(chan struct{}, 1), end: make(chan struct{}),
	}
	p.tasks.Go(p.deliver)
	return p
}

// Close ends the path with all of its proxies.
func (p *Path) Close() {
	p.mu.Lock()
	if p.ended {
		p.mu.Unlock()
		return
	}
	p.ended = true
	close(p.end)
	for _, f := range p.closers {
		f()
	}
	p.mu.Unlock()
	p.tasks.Wait()
}

// Stats returns the counters of one direction.
func (p *Path) Stats(fromServer bool) impair.Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	if fromServer {
		return p.down.Stats()
	}
	return p.up.Stats()
}

// pass sends a datagram through a link.
func (p *Path) pass(l *impair.Link, b []byte, to exit) {
	var data []byte
	if last := len(p.free) - 1; last >= 0 {
		data, p.free = p.free[last], p.free[:last]
	}
	data = append(data[:0], b...)
	at, again := l.Pass(clock.Time(time.Since(p.began)), data)
	for _, t := range [2]clock.Time{at, again} {
		if t != clock.Never {
			p.seq++
			heap.Push(&p.flights, flight{at: t, seq: p.seq, b: data, to: to, shared: again != clock.Never})
		}
	}
	if at == clock.Never && again == clock.Never {
		p.free = append(p.free, data)
	}
}

// nudge makes deliver look at what there is.
func (p *Path) nudge() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Of the datagrams that are due, at most so many are written with one call, and
// the memory of so many is kept.
const (
	batchSize = 64
	freeMost  = 1024
)

// deliver writes datagrams when their time has come.
func (p *Path) deliver() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var due []flight
	var batches []udp.Batch
	for {
		conn, wait := p.due(&due, &batches)
		if len(due) > 0 {
			if conn != nil {
				_ = conn.Write(batches) // lost, like others, if the socket has gone
			}
			p.recycle(due)
			continue
		}
		timer.Reset(wait)
		select {
		case <-p.end:
			return
		case <-p.wake:
		case <-timer.C:
		}
	}
}

// due takes datagrams that are due and leave by the same socket, nil for those
// that go nowhere, or returns how long the next one takes.
func (p *Path) due(due *[]flight, batches *[]udp.Batch) (conn *udp.Conn, wait time.Duration) {
	*due, *batches = (*due)[:0], (*batches)[:0]
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.flights) > 0 && len(*due) < batchSize {
		f := &p.flights[0]
		if wait = time.Duration(f.at) - time.Since(p.began); wait > 0 {
			return conn, wait
		}
		c, addr := f.to.socket()
		if len(*due) == 0 {
			conn = c
		}
		if c != conn {
			return conn, 0
		}
		*batches = append(*batches, udp.Batch{To: addr, Data: f.b})
		*due = append(*due, heap.Pop(&p.flights).(flight))
	}
	return conn, time.Hour
}

// recycle keeps the memory of what was delivered.
func (p *Path) recycle(sent []flight) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range sent {
		if !sent[i].shared && len(p.free) < freeMost {
			p.free = append(p.free, sent[i].b)
		}
		sent[i] = flight{}
	}
}

// Proxy carries datagrams between clients and one server.
type Proxy struct {
	path   *Path
	server netip.AddrPort
	fronts []*udp.Conn // where clients find the server
	front  int         // the one that works
	hosts  byte        // addresses given to clients

	clients map[netip.AddrPort]*mapping
}

// mapping is what the NAT has for a client.
type mapping struct {
	client netip.AddrPort
	back   *udp.Conn // to the server
}

// exit is where a datagram leaves the path.
type exit struct {
	x     *Proxy
	m     *mapping
	front int // which the client sent it to, -1 for what the server sent
}

// socket returns the socket that the datagram leaves by, as things are now, and
// its destination; nil if it goes nowhere, as what is sent to an address that the
// server has left.
func (e exit) socket() (*udp.Conn, netip.AddrPort) {
	switch {
	case e.front < 0:
		return e.x.fronts[e.x.front], e.m.client
	case e.front >= e.x.front:
		return e.m.back, e.x.server
	}
	return nil, netip.AddrPort{}
}

// Serve makes a proxy to a server, which clients find at the addresses that
// Addrs returns, as many as asked for. All are on the loopback interface.
func (p *Path) Serve(server netip.AddrPort, addresses int) (*Proxy, error) {
	x := &Proxy{path: p, server: server, clients: make(map[netip.AddrPort]*mapping), hosts: 1}
	for range addresses {
		c, err := listen(server.Addr())
		if err != nil {
			return nil, err
		}
		x.fronts = append(x.fronts, c)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closers = append(p.closers, x.close)
	for i := range x.fronts {
		p.tasks.Go(func() { x.read(x.fronts[i], i, nil) })
	}
	return x, nil
}

func listen(a netip.Addr) (*udp.Conn, error) {
	return udp.Listen(netip.AddrPortFrom(a, 0).String(), udp.Options{})
}

func (x *Proxy) close() {
	for _, c := range x.fronts {
		c.Close()
	}
	for _, m := range x.clients {
		m.back.Close()
	}
}

// Addrs returns where clients find the server.
func (x *Proxy) Addrs() (a []netip.AddrPort) {
	for _, c := range x.fronts {
		a = append(a, c.LocalAddr())
	}
	return a
}

// Move makes the server leave its address for the next one of Addrs.
func (x *Proxy) Move() {
	x.path.mu.Lock()
	defer x.path.mu.Unlock()
	x.front++
}

// Rebind gives a client another port to the server, or another address. What is
// sent to the one before is lost.
func (x *Proxy) Rebind(client netip.AddrPort, address bool) error {
	x.path.mu.Lock()
	defer x.path.mu.Unlock()
	m := x.clients[client]
	if m == nil {
		return errors.New("proxy: nothing came from that client yet")
	}
	host := m.back.LocalAddr().Addr()
	if address && host.Is4() {
		x.hosts++
		host = netip.AddrFrom4([4]byte{127, 0, 0, x.hosts})
	}
	return x.bind(m, host)
}

// bind gives a client a socket to the server.
func (x *Proxy) bind(m *mapping, host netip.Addr) error {
	c, err := listen(host)
	if err != nil {
		return err
	}
	if m.back != nil {
		m.back.Close()
	}
	m.back = c
	x.path.tasks.Go(func() { x.read(c, -1, m) })
	return nil
}

// read passes what comes to a socket until that is closed: what clients send to
// the front of that number, or, with -1, what the server sends to m.
func (x *Proxy) read(c *udp.Conn, front int, m *mapping) {
	in := c.NewInbox()
	for {
		packets, err := c.Read(in)
		if err != nil {
			return
		}
		for i := range packets {
			x.carry(&packets[i], c, front, m)
		}
		x.path.nudge()
	}
}

// carry passes datagrams that came in a row.
func (x *Proxy) carry(packet *udp.Packet, c *udp.Conn, front int, m *mapping) {
	p := x.path
	p.mu.Lock()
	defer p.mu.Unlock()
	link, outside := p.down, c
	if front >= 0 {
		if m = x.mapping(packet.From); m == nil {
			return
		}
		link, outside = p.up, m.back
	}
	for b := packet.Next(); b != nil; b = packet.Next() {
		if p.Tap != nil {
			// Whoever taps may have the server move, or a client rebound.
			p.mu.Unlock()
			p.Tap(front < 0, outside.LocalAddr(), b)
			p.mu.Lock()
		}
		p.pass(link, b, exit{x, m, front})
	}
}

// mapping returns what the NAT has for a client, or gets to have.
func (x *Proxy) mapping(client netip.AddrPort) *mapping {
	m := x.clients[client]
	if m == nil && !x.path.ended {
		m = &mapping{client: client}
		if x.bind(m, x.server.Addr()) != nil {
			return nil
		}
		x.clients[client] = m
	}
	return m
}

type flight struct {
	at     clock.Time
	seq    uint64
	b      []byte
	to     exit
	shared bool // with a copy that is delivered as well
}

// flights is a heap by arrival, then by sending.
type flights []flight

func (f flights) Len() int { return len(f) }
func (f flights) Less(i, j int) bool {
	return f[i].at < f[j].at || f[i].at == f[j].at && f[i].seq < f[j].seq
}
func (f flights) Swap(i, j int) { f[i], f[j] = f[j], f[i] }
func (f *flights) Push(x any)   { *f = append(*f, x.(flight)) }
func (f *flights) Pop() any {
	last := len(*f) - 1
	x := (*f)[last]
	(*f)[last] = flight{}
	*f = (*f)[:last]
	return x
}
