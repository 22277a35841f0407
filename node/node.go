package node

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"rtmfp/group"
	"rtmfp/internal/clock"
	"rtmfp/transport"
	"rtmfp/transport/crypto"
	"rtmfp/transport/udp"
)

// Node is a running node: a Core on a real UDP socket. Its methods, and those
// of the handles that it gives out, may be called from any goroutine.
type Node struct {
	cfg   Config
	log   *slog.Logger
	id    PeerID
	conn  *udp.Conn
	start time.Time // the clock's origin

	commands chan func(now clock.Time)
	inboxes  chan inbox // filled by the reader
	spent    chan *udp.Inbox
	work     chan *transport.Work
	worked   chan *transport.Work
	waking   chan struct{} // somebody has room for frames again
	quit     chan struct{} // closed by Close
	done     chan struct{} // closed when the loop and its helpers have ended
	quitOnce sync.Once

	stats atomic.Pointer[Stats]

	// The loop's own; no other goroutine touches these.
	core     *Core
	pending  []*transport.Work // work that no worker has room for yet
	out      []byte
	batches  []udp.Batch
	groups   []*Group
	readErr  error
	failures map[string]error // introducers that did not answer, by URL
	up       map[string]bool  // introducers that did
}

// inbox is one batch of datagrams on its way from the reader to the loop.
type inbox struct {
	memory  *udp.Inbox
	packets []udp.Packet
	err     error
}

// Sizes of the driver's queues. None of them bounds what peers can make us
// hold: the reader waits for the loop, and the kernel drops what does not fit.
const (
	inboxesInFlight = 3       // batches of datagrams between reader and loop
	workQueue       = 64      // public-key work given to the workers
	outSize         = 1 << 18 // bytes of datagrams per write

	// While closing, a node first gives its farewells this long to leave, and
	// then its sessions this long to be closed by the far ends.
	farewellTime = 150 * time.Millisecond
	closingTime  = 350 * time.Millisecond
)

// Start binds the socket and runs the node until Close. The context only
// bounds the start itself.
//
// A Listen address in use unwraps to syscall.EADDRINUSE. Introducers need not
// answer for Start to succeed; Join says when they do not.
func Start(ctx context.Context, cfg Config) (*Node, error) {
	if cfg.Listen == "" {
		cfg.Listen = ":0"
	}
	if cfg.JoinTimeout <= 0 {
		cfg.JoinTimeout = defaultJoinTimeout
	}
	log := cfg.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if cfg.Identity == nil {
		id, err := NewIdentity()
		if err != nil {
			return nil, fmt.Errorf("make an identity: %w", err)
		}
		cfg.Identity = id
	}
	boots, err := resolveAll(ctx, cfg.Bootstrap)
	if err != nil {
		return nil, err
	}
	core, err := NewCore(CoreConfig{
		Identity:    cfg.Identity,
		Rand:        rand.Reader,
		Introduce:   cfg.Introduce,
		RelayAll:    cfg.RelayAll,
		UploadLimit: cfg.UploadLimit,
		AllowLegacy: cfg.AllowLegacy,
	})
	if err != nil {
		return nil, err
	}
	conn, err := udp.Listen(cfg.Listen, udp.Options{})
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", cfg.Listen, err)
	}
	n := &Node{
		cfg: cfg, log: log, id: core.ID(), conn: conn, core: core,
		start:    time.Now(),
		commands: make(chan func(clock.Time)),
		inboxes:  make(chan inbox, inboxesInFlight),
		spent:    make(chan *udp.Inbox, inboxesInFlight),
		work:     make(chan *transport.Work, workQueue),
		worked:   make(chan *transport.Work, workQueue),
		waking:   make(chan struct{}, 1),
		quit:     make(chan struct{}),
		done:     make(chan struct{}),
		out:      make([]byte, outSize),
		failures: map[string]error{},
		up:       map[string]bool{},
	}
	n.stats.Store(&Stats{Addr: conn.LocalAddr()})
	for range inboxesInFlight {
		n.spent <- conn.NewInbox()
	}
	for _, b := range boots {
		core.AddBootstrap(n.now(), b.url, b.addrs)
	}
	go n.run()
	return n, nil
}

type resolved struct {
	url   string
	addrs []netip.AddrPort
}

func resolveAll(ctx context.Context, urls []string) ([]resolved, error) {
	out := make([]resolved, 0, len(urls))
	for _, text := range urls {
		u, err := parseBootstrap(text)
		if err != nil {
			return nil, err
		}
		addrs, err := u.resolve(ctx)
		if err != nil {
			return nil, err
		}
		out = append(out, resolved{text, addrs})
	}
	return out, nil
}

// ID returns the node's peer id.
func (n *Node) ID() PeerID { return n.id }

// Identity returns the node's identity.
func (n *Node) Identity() *crypto.Identity { return n.cfg.Identity }

// Addr returns the UDP address that the node listens on.
func (n *Node) Addr() netip.AddrPort { return n.conn.LocalAddr() }

// Done is closed when the node has stopped, by Close or because its socket failed.
func (n *Node) Done() <-chan struct{} { return n.done }

// Stats returns the node's figures, at most a second old.
func (n *Node) Stats() Stats {
	var s Stats
	if n.do(func(clock.Time) { s = n.readStats() }) != nil {
		return *n.stats.Load()
	}
	return s
}

func (n *Node) readStats() Stats {
	t := n.core.ep.Stats()
	u := n.conn.Stats()
	return Stats{
		Addr:            n.conn.LocalAddr(),
		Sessions:        n.core.links.live,
		DatagramsIn:     t.DatagramsReceived,
		DatagramsOut:    t.DatagramsSent,
		BytesIn:         t.BytesReceived,
		BytesOut:        t.BytesSent,
		DatagramsFailed: u.WriteErrors + u.WriteFull,
	}
}

// Close leaves all groups, closes all sessions, and stops the node. It takes
// up to half a second, in which the neighbors are told.
func (n *Node) Close() error {
	n.quitOnce.Do(func() { close(n.quit) })
	<-n.done
	return nil
}

// now returns the instant for the core.
func (n *Node) now() clock.Time { return clock.Time(time.Since(n.start)) }

// do runs f on the loop and waits for it.
func (n *Node) do(f func(now clock.Time)) error {
	ran := make(chan struct{})
	select {
	case n.commands <- func(now clock.Time) { f(now); close(ran) }:
		<-ran
		return nil
	case <-n.done:
		return ErrClosed
	}
}

// wake makes the loop look at its playbacks again.
func (n *Node) wake() {
	select {
	case n.waking <- struct{}{}:
	default:
	}
}

// run is the loop goroutine with its helpers: the reader and the workers.
func (n *Node) run() {
	var helpers sync.WaitGroup
	helpers.Go(n.read)
	for range workers() {
		helpers.Go(func() {
			for w := range n.work {
				w.Run()
				n.worked <- w
			}
		})
	}
	n.loop()
	n.conn.Close()
	close(n.spent)
	close(n.work)
	go func() { // a worker must not wait for a loop that has gone
		for range n.worked {
		}
	}()
	helpers.Wait()
	close(n.worked)
	s := n.readStats()
	n.stats.Store(&s)
	close(n.done)
	for _, g := range n.groups {
		g.ended()
	}
}

// workers is the number of goroutines for public-key work, few so that a node
// has at most eight goroutines in all.
func workers() int { return min(max(runtime.GOMAXPROCS(0)-1, 1), 4) }

// read fills inboxes until the socket is closed.
func (n *Node) read() {
	for in := range n.spent {
		packets, err := n.conn.Read(in)
		n.inboxes <- inbox{in, packets, err} // has room for all that there are
		if err != nil {
			return
		}
	}
}

// loop owns the core. It takes what happens, turns the core, and sleeps.
func (n *Node) loop() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	quit := n.quit
	var closing clock.Time // when the node gives up on closing; 0 = not closing
	var closed bool        // sessions were told
	for {
		select {
		case in := <-n.inboxes:
			n.receive(in)
		case f := <-n.commands:
			f(n.now())
		case w := <-n.worked:
			n.core.FinishWork(n.now(), w)
		case <-n.waking:
		case <-timer.C:
		case <-quit:
			quit = nil
			closing = n.now().Add(farewellTime)
			for _, g := range n.groups {
				g.endStreams(n.now())
			}
			n.core.LeaveAll(n.now())
		}
		deadline := n.turn()
		if closing != 0 {
			now := n.now()
			if now >= closing && !closed {
				closed, closing = true, now.Add(closingTime)
				n.core.CloseAll(now)
				deadline = n.turn()
			}
			if closed && (now >= closing || n.core.links.live == 0) {
				return
			}
			deadline = min(deadline, closing)
		}
		if n.readErr != nil {
			n.log.Error("socket failed", "err", n.readErr)
			return
		}
		timer.Reset(max(deadline.Sub(n.now()), 0))
	}
}

// receive hands datagrams to the core and gives the inbox back to the reader.
func (n *Node) receive(in inbox) {
	now := n.now()
	for i := range in.packets {
		p := &in.packets[i]
		for d := p.Next(); d != nil; d = p.Next() {
			n.core.HandleDatagram(now, p.From, d)
		}
	}
	if in.err != nil && !errors.Is(in.err, net.ErrClosed) {
		n.readErr = in.err
	}
	if in.err == nil {
		n.spent <- in.memory
	}
}

// turn lets the core act, and carries out what it wants done. It returns when
// the core wants to be called again.
func (n *Node) turn() clock.Time {
	now := n.now()
	n.core.Advance(now)
	n.dispatchWork()
	n.transmit(now)
	for ev, ok := n.core.NextEvent(); ok; ev, ok = n.core.NextEvent() {
		n.event(ev)
	}
	for _, g := range n.groups {
		g.deliver()
	}
	return n.core.Deadline()
}

func (n *Node) dispatchWork() {
	for w, ok := n.core.NextWork(); ok; w, ok = n.core.NextWork() {
		n.pending = append(n.pending, w)
	}
	for len(n.pending) > 0 {
		select {
		case n.work <- n.pending[0]:
			n.pending = n.pending[1:]
		default:
			return // FinishWork of an earlier one brings us back
		}
	}
	n.pending = nil
}

// transmit sends everything that the core has to send.
func (n *Node) transmit(now clock.Time) {
	for more := true; more; {
		free := n.out
		n.batches = n.batches[:0]
		for len(free) >= outSize/2 {
			var b transport.Batch
			if b, more = n.core.Transmit(now, free); !more {
				break
			}
			n.batches = append(n.batches, udp.Batch{To: b.To, Data: b.B, Segment: b.Segment})
			free = free[len(b.B):]
		}
		if len(n.batches) == 0 {
			return
		}
		if err := n.conn.Write(n.batches); err != nil && n.readErr == nil {
			n.readErr = err
		}
	}
}

// event tells the handles what the core reports.
func (n *Node) event(ev CoreEvent) {
	switch ev.Kind {
	case EventBootstrapUp:
		n.up[ev.URL] = true
		n.log.Info("introducer answered", "url", ev.URL, "peer", ev.Peer)
		return
	case EventBootstrapFailed:
		n.failures[ev.URL] = ev.Err
		n.log.Warn("introducer did not answer", "url", ev.URL, "err", ev.Err)
		for _, g := range n.groups {
			g.bootstrapFailed(n)
		}
		return
	}
	for _, g := range n.groups {
		if g.core == ev.Group {
			g.event(ev)
		}
	}
}

// Join makes the node a member of the group with the given groupspec text. It
// returns once an introducer or a first neighbor has taken the node in, or at
// once if the node has no introducers and so is the one whom others look for.
//
// Errors: a bad groupspec; ErrNoIntroducer; ErrRefused; the context's.
func (n *Node) Join(ctx context.Context, groupspec string) (*Group, error) {
	spec, err := group.ParseSpec(groupspec)
	if err != nil {
		return nil, err
	}
	g := newGroup(n, spec)
	if err := n.do(func(now clock.Time) {
		g.core = n.core.Join(now, spec)
		n.groups = append(n.groups, g)
	}); err != nil {
		return nil, fmt.Errorf("join: %w", err)
	}
	if len(n.cfg.Bootstrap) == 0 {
		return g, nil
	}
	timeout := time.NewTimer(n.cfg.JoinTimeout)
	defer timeout.Stop()
	select {
	case <-g.joined:
		return g, nil
	case err = <-g.failed:
	case <-timeout.C:
		err = fmt.Errorf("%w within %v: %v", ErrNoIntroducer, n.cfg.JoinTimeout, n.cfg.Bootstrap)
	case <-ctx.Done():
		err = ctx.Err()
	case <-n.done:
		err = ErrClosed
	}
	g.Close()
	return nil, fmt.Errorf("join %q: %w", spec.Name, err)
}
