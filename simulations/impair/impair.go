// Package impair is a UDP proxy that makes a path worse: it delays datagrams,
// squeezes them through a bottleneck with a queue, and drops some. It stands in
// for the network between real processes on one machine, where the kernel may
// lack a way to do that.
//
// A Proxy listens on one address and forwards to one other. Each client gets a
// socket of its own towards the target, as a NAT would give it. Both directions
// of each client have their own delay, bottleneck, queue, and losses.
package impair

import (
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"rtmfp/transport/udp"
)

// Path says what one direction does to datagrams. The zero Path forwards them.
type Path struct {
	Delay time.Duration // one way
	Loss  float64       // part of the datagrams that are lost at random, 0 to 1
	Rate  float64       // of the bottleneck in bits per second, headers excluded; 0 is none
	Queue int           // before the bottleneck, in bytes; what does not fit is lost
}

// maxClients bounds the sockets of a proxy.
const maxClients = 1024

// Proxy forwards between its clients and a target until Close.
type Proxy struct {
	front  *udp.Conn
	target netip.AddrPort
	path   Path
	seed   uint64
	stats  counters
	busy   sync.WaitGroup

	writing sync.Mutex // of front, which all clients share

	mu      sync.Mutex
	clients map[netip.AddrPort]*client
	closed  bool
}

type counters struct{ forwarded, lost, overflow atomic.Uint64 }

// Stats counts the datagrams of both directions.
type Stats struct {
	Forwarded uint64
	Lost      uint64 // at random
	Overflow  uint64 // because a queue was full
}

// client is one client's two directions.
type client struct {
	back     *udp.Conn
	up, down *pipe
}

// Listen starts a proxy on a free port of 127.0.0.1. Losses follow from seed.
func Listen(target netip.AddrPort, path Path, seed uint64) (*Proxy, error) {
	front, err := udp.Listen("127.0.0.1:0", udp.Options{})
	if err != nil {
		return nil, err
	}
	p := &Proxy{front: front, target: target, path: path, seed: seed, clients: map[netip.AddrPort]*client{}}
	p.busy.Go(func() {
		read(front, func(from netip.AddrPort, b []byte) {
			if c := p.client(from); c != nil {
				c.up.put(b)
			}
		})
	})
	return p, nil
}

// Addr returns the address at which clients reach the target.
func (p *Proxy) Addr() netip.AddrPort { return p.front.LocalAddr() }

// Stats returns the counters.
func (p *Proxy) Stats() Stats {
	return Stats{p.stats.forwarded.Load(), p.stats.lost.Load(), p.stats.overflow.Load()}
}

// Close ends the proxy; what is under way is lost.
func (p *Proxy) Close() error {
	p.mu.Lock()
	p.closed = true
	p.front.Close()
	for _, c := range p.clients {
		c.back.Close()
		c.up.close()
		c.down.close()
	}
	p.mu.Unlock()
	p.busy.Wait()
	return nil
}

// client returns the client with an address, a new one if need be, nil if there
// are too many.
func (p *Proxy) client(from netip.AddrPort) *client {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c := p.clients[from]; c != nil || p.closed || len(p.clients) >= maxClients {
		return c
	}
	back, err := udp.Listen("127.0.0.1:0", udp.Options{})
	if err != nil {
		return nil
	}
	n := uint64(len(p.clients))
	c := &client{
		back: back,
		up:   newPipe(p.path, &p.stats, rand.NewPCG(p.seed, 2*n)),
		down: newPipe(p.path, &p.stats, rand.NewPCG(p.seed, 2*n+1)),
	}
	p.clients[from] = c
	p.busy.Go(func() { c.up.run(back, p.target, nil) })
	p.busy.Go(func() { c.down.run(p.front, from, &p.writing) })
	p.busy.Go(func() {
		read(back, func(_ netip.AddrPort, b []byte) { c.down.put(b) })
	})
	return c
}

// read hands each datagram to put until the socket is closed.
func read(conn *udp.Conn, put func(from netip.AddrPort, b []byte)) {
	in := conn.NewInbox()
	for {
		packets, err := conn.Read(in)
		if err != nil {
			return
		}
		for i := range packets {
			for b := packets[i].Next(); b != nil; b = packets[i].Next() {
				put(packets[i].From, b)
			}
		}
	}
}
