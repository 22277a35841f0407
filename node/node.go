package node

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"rtmfp/group"
	"rtmfp/internal/clock"
	"rtmfp/multicast"
	"rtmfp/node/keepdir"
	"rtmfp/node/origin"
	"rtmfp/transport/crypto"
	"rtmfp/transport/driver"
	"rtmfp/transport/udp"
)

// Node is a running node: a Core on a real UDP socket. Its methods, and those
// of the handles that it gives out, may be called from any goroutine.
type Node struct {
	cfg     Config
	log     *slog.Logger
	id      PeerID
	conn    *udp.Conn
	driver  *driver.Driver
	origins *origin.Client // nil: none is asked
	done    chan struct{}
	close   sync.Once

	cacheMu sync.Mutex // held while the address cache is written

	// What follows belongs to the driver's loop, and to nobody else.
	core     *Core
	groups   []*Group
	failures map[string]error // introducers that did not answer, by URL
	up       map[string]bool  // introducers that did
	lan      *lanSocket       // nil: none
	saving   *time.Timer      // until the address cache is written
	until    func() bool      // while closing: what is waited for
	reached  chan struct{}    // closed when it is reached
}

// While closing, a node waits at most this long for its farewells to arrive,
// and then for the far ends of its sessions to agree.
const (
	farewellTime = 250 * time.Millisecond
	closingTime  = 250 * time.Millisecond
)

// loopbackMTU is the most that transport tries. Loopback carries more, but what
// the system takes and gives at once has room for two of these.
const loopbackMTU = 32000

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
	var openPast func(stream string) multicast.Disk
	if cfg.KeepDir != nil {
		openPast = func(stream string) multicast.Disk {
			if f := cfg.KeepDir.Create(stream); f != nil {
				return f
			}
			return nil
		}
	}
	core, err := NewCore(CoreConfig{
		Identity:      cfg.Identity,
		Rand:          rand.Reader,
		Introduce:     cfg.Introduce,
		RelayAll:      cfg.RelayAll,
		UploadLimit:   cfg.UploadLimit,
		DownloadLimit: cfg.DownloadLimit,
		AllowLegacy:   cfg.AllowLegacy,
		LoopbackMTU:   loopbackMTU,
		KeepWindow:    cfg.KeepWindow,
		KeepBytes:     cfg.KeepBytes,
		OpenPast:      openPast,
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
		done:     make(chan struct{}),
		failures: map[string]error{},
		up:       map[string]bool{},
	}
	if cfg.Store != nil && !cfg.NoOrigins {
		o := origin.Options{Private: cfg.PrivateOrigins, S3: cfg.S3}
		if cfg.DownloadLimit > 0 {
			o.Pace = n.pace
		}
		n.origins = origin.New(o)
	}
	if cfg.LAN {
		if n.lan, err = openLAN(conn.LocalAddr()); err != nil {
			log.Warn("others on the local network can't be found", "err", err)
		} else {
			core.EnableLAN(conn.LocalAddr().Port())
		}
	}
	n.driver = driver.Start(conn, core, n.afterTurn)
	if n.lan != nil {
		go n.lan.read(n)
	}
	go n.ended()
	err = n.do(func(now clock.Time) {
		core.SetAddresses(now, localAddresses(conn.LocalAddr()))
		for _, b := range boots {
			core.AddBootstrap(now, b.url, b.addrs)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("start: %w", err)
	}
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

// pace waits until the download limit has room again after bytes that came by
// another way than the socket.
func (n *Node) pace(ctx context.Context, bytes int) error {
	for first := true; ; first = false {
		var wait time.Duration
		err := n.do(func(now clock.Time) {
			d := n.core.download
			if first {
				d.Passed(now, bytes)
			}
			if !d.Ready(now) {
				wait = d.When(now).Sub(now)
			}
		})
		if err != nil || wait <= 0 {
			return err
		}
		if !linger(ctx, wait) {
			return ctx.Err()
		}
	}
}

// Addr returns the UDP address that the node listens on.
func (n *Node) Addr() netip.AddrPort { return n.conn.LocalAddr() }

// Done is closed when the node has stopped, by Close or because its socket failed.
func (n *Node) Done() <-chan struct{} { return n.done }

// Stats returns the node's figures.
func (n *Node) Stats() Stats {
	var s Stats
	if n.do(func(clock.Time) { s = n.readStats() }) != nil {
		<-n.done
		s = n.readStats()
	}
	return s
}

func (n *Node) readStats() Stats {
	t := n.core.ep.Stats()
	u := n.conn.Stats()
	return Stats{
		Addr:            n.conn.LocalAddr(),
		Sessions:        n.core.links.live,
		Introducers:     n.core.Introducers(),
		DatagramsIn:     t.DatagramsReceived,
		DatagramsOut:    t.DatagramsSent,
		BytesIn:         t.BytesReceived,
		BytesOut:        t.BytesSent,
		DatagramsFailed: u.WriteErrors + u.WriteFull,
		Refused:         n.core.Counters(),
		LAN:             n.core.LANStats(),
		Kept:            n.keptStats(),
	}
}

func (n *Node) keptStats() keepdir.Stats {
	if n.cfg.KeepDir == nil {
		return keepdir.Stats{}
	}
	return n.cfg.KeepDir.Stats()
}

// Close leaves all groups, closes all sessions, and stops the node. It takes
// up to half a second, in which the neighbors are told.
func (n *Node) Close() error {
	n.close.Do(func() {
		n.saveAddresses()
		n.await(farewellTime, n.core.Left, func(now clock.Time) {
			for _, g := range n.groups {
				g.endStreams(now)
			}
			n.core.LeaveAll(now)
		})
		n.await(closingTime, n.core.Closed, n.core.CloseAll)
		n.driver.Stop()
	})
	<-n.done
	return nil
}

// await runs f on the loop and waits until a turn reaches the condition, but at
// most for d.
func (n *Node) await(d time.Duration, until func() bool, f func(now clock.Time)) {
	reached := make(chan struct{})
	if n.do(func(now clock.Time) { f(now); n.until, n.reached = until, reached }) != nil {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-reached:
	case <-timer.C:
	case <-n.driver.Done():
	}
}

// ended tells everybody that the node has stopped.
func (n *Node) ended() {
	<-n.driver.Done()
	if n.lan != nil {
		n.lan.conn.Close()
	}
	if n.saving != nil {
		n.saving.Stop()
	}
	if err := n.driver.Err(); err != nil {
		n.log.Error("socket failed", "err", err)
	}
	for _, g := range n.groups {
		g.ended()
	}
	if n.origins != nil {
		n.origins.Close()
	}
	close(n.done)
}

// do runs f on the loop and waits for it.
func (n *Node) do(f func(now clock.Time)) error {
	if n.driver.Do(f) != nil {
		return ErrClosed
	}
	return nil
}

// afterTurn passes on what the core has come to.
func (n *Node) afterTurn(now clock.Time) {
	for ev, ok := n.core.NextEvent(); ok; ev, ok = n.core.NextEvent() {
		n.event(ev)
	}
	for _, g := range n.groups {
		g.deliver(now)
	}
	n.sendLAN(now)
	if n.until != nil && n.until() {
		close(n.reached)
		n.until, n.reached = nil, nil
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
	return n.join(ctx, spec, func(*Group, clock.Time) error { return nil })
}

// JoinAndPlay is Join and Play at once, which is sooner: the member that takes this
// node in sends the start of the stream without being asked.
func (n *Node) JoinAndPlay(ctx context.Context, groupspec, name string, o PlayOptions) (*Group, *Playback, error) {
	spec, err := group.ParseSpec(groupspec)
	if err != nil {
		return nil, nil, err
	}
	var p *Playback
	g, err := n.join(ctx, spec, func(g *Group, now clock.Time) (err error) {
		p, err = g.play(now, name, o)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	return g, p, nil
}

// join joins and calls with, on the loop, before the group is looked for.
func (n *Node) join(ctx context.Context, spec *group.Spec, with func(*Group, clock.Time) error) (*Group, error) {
	spec.Unlock() // which takes a while, and is not for the loop
	g := newGroup(n, spec)
	seeds := n.cachedSeeds(spec)
	var err error
	if derr := n.do(func(now clock.Time) {
		n.core.SetUnixMilli(now, time.Now().UnixMilli())
		g.core = n.core.Join(now, spec)
		for _, s := range seeds {
			g.core.group.AddSeed(now, s.peer, s.addrs)
		}
		n.groups = append(n.groups, g)
		err = with(g, now)
	}); derr != nil {
		return nil, fmt.Errorf("join: %w", derr)
	}
	if err != nil {
		g.Close()
		return nil, err
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
		if err = g.whyLate(); err == nil {
			err = fmt.Errorf("%w within %v: %v", ErrNoIntroducer, n.cfg.JoinTimeout, n.cfg.Bootstrap)
		}
	case <-ctx.Done():
		err = ctx.Err()
	case <-n.done:
		err = ErrClosed
	}
	g.Close()
	return nil, fmt.Errorf("join %q: %w", spec.Name, err)
}
