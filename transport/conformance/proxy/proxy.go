// Package proxy carries UDP datagrams between clients and a server over a path
// that package impair makes worse, and plays the clients' NAT: it gives each a
// port of its own to the server, and another when asked to.
//
// A Path and its proxies may be used from any goroutine.
package proxy

import (
	"container/heap"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"rtmfp/internal/clock"
	"rtmfp/internal/impair"
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

// pass sends a datagram through a link, and calls out with it when it comes out.
func (p *Path) pass(l *impair.Link, b []byte, out func(b []byte)) {
	b = append([]byte(nil), b...)
	at, again := l.Pass(clock.Time(time.Since(p.began)), b)
	for _, t := range [2]clock.Time{at, again} {
		if t != clock.Never {
			p.seq++
			heap.Push(&p.flights, flight{at: t, seq: p.seq, b: b, out: out})
		}
	}
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// deliver calls the flights out when their time has come.
func (p *Path) deliver() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-p.end:
			return
		case <-p.wake:
		case <-timer.C:
		}
		p.mu.Lock()
		wait := time.Hour
		for len(p.flights) > 0 {
			if wait = time.Duration(p.flights[0].at) - time.Since(p.began); wait > 0 {
				break
			}
			f := heap.Pop(&p.flights).(flight)
			f.out(f.b)
			wait = time.Hour
		}
		p.mu.Unlock()
		timer.Reset(wait)
	}
}

// Proxy carries datagrams between clients and one server.
type Proxy struct {
	path   *Path
	server netip.AddrPort
	fronts []*net.UDPConn // where clients find the server
	front  int            // the one that works
	hosts  byte           // addresses given to clients

	clients map[netip.AddrPort]*mapping
}

// mapping is what the NAT has for a client.
type mapping struct {
	client netip.AddrPort
	back   *net.UDPConn // to the server
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
		p.tasks.Go(func() { x.readFront(i) })
	}
	return x, nil
}

func listen(a netip.Addr) (*net.UDPConn, error) {
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, 0)))
	if err == nil {
		_ = c.SetReadBuffer(1 << 20) // a smaller one does as well at these rates
	}
	return c, err
}

func addrOf(c *net.UDPConn) netip.AddrPort {
	a := c.LocalAddr().(*net.UDPAddr).AddrPort()
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
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
		a = append(a, addrOf(c))
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
	host := addrOf(m.back).Addr()
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
	x.path.tasks.Go(func() { x.readBack(m, c) })
	return nil
}

// readFront takes what clients send.
func (x *Proxy) readFront(i int) {
	p := x.path
	buf := make([]byte, 64<<10)
	for {
		n, from, err := x.fronts[i].ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // of an earlier write: the far port was closed
		}
		from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		p.mu.Lock()
		m := x.clients[from]
		if m == nil {
			m = &mapping{client: from}
			if p.ended || x.bind(m, x.server.Addr()) != nil {
				p.mu.Unlock()
				return
			}
			x.clients[from] = m
		}
		outside := addrOf(m.back)
		p.mu.Unlock()
		if p.Tap != nil {
			p.Tap(false, outside, buf[:n])
		}
		p.mu.Lock()
		p.pass(p.up, buf[:n], func(b []byte) {
			if i >= x.front {
				_, _ = m.back.WriteToUDPAddrPort(b, x.server) // lost, like others
			}
		})
		p.mu.Unlock()
	}
}

// readBack takes what the server sends to a client.
func (x *Proxy) readBack(m *mapping, c *net.UDPConn) {
	p := x.path
	buf := make([]byte, 64<<10)
	for {
		n, err := c.Read(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		if p.Tap != nil {
			p.Tap(true, addrOf(c), buf[:n])
		}
		p.mu.Lock()
		p.pass(p.down, buf[:n], func(b []byte) {
			_, _ = x.fronts[x.front].WriteToUDPAddrPort(b, m.client)
		})
		p.mu.Unlock()
	}
}

type flight struct {
	at  clock.Time
	seq uint64
	b   []byte
	out func([]byte)
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
