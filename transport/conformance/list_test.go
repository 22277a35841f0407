package conformance

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"time"

	"rtmfp/internal/impair"
	"rtmfp/transport"
	"rtmfp/transport/crypto"
	"rtmfp/transport/wire"
)

// row is one test of the list.
type row struct {
	name string
	net  network
	play func(w world, r *result)
	// judge is given the results of all seeds.
	judge func(r *result) error
	// alone is for rows that measure speed: on real sockets nothing runs beside.
	alone bool
}

const (
	kB = 1000
	MB = 1000 * kB

	mbit = 1_000_000 // per second
)

// simple is the runner's usual path.
var simple = impair.Config{Delay: 15 * time.Millisecond, Rate: 10 * mbit, Queue: 25}

// with changes a copy of the usual path.
func with(change func(*impair.Config)) network {
	c := simple
	change(&c)
	return both(c)
}

func lossy(share float64, burst, maxRun int) network {
	return with(func(c *impair.Config) { c.Loss, c.Burst, c.MaxRun = share, burst, maxRun })
}

func corrupting(share float64, burst, maxRun int) network {
	return with(func(c *impair.Config) { c.Corrupt, c.Burst, c.MaxRun = share, burst, maxRun })
}

// list is the QUIC interop runner's, with its networks, read for RTMFP.
var list = []row{
	{name: "handshake", net: both(simple), play: handshake},
	{name: "suites", net: both(simple), play: suites},
	{name: "three_transfers", net: both(simple), play: threeTransfers},
	{name: "long_rtt", net: with(func(c *impair.Config) { c.Delay = 750 * time.Millisecond }), play: longRTT},
	{name: "two_thousand_flows", net: both(simple), play: manyFlows},
	{name: "cookie_change", net: both(simple), play: cookieChange},
	{name: "black_hole", net: with(func(c *impair.Config) { c.On, c.Off = 5*time.Second, 2*time.Second }), play: blackHole},
	{name: "key_update", net: both(simple), play: keyUpdate},
	{name: "handshake_loss", net: lossy(0.3, 0, 3), play: fiftyHandshakes, judge: handshakesInTime},
	{name: "handshake_loss_runs_of_three", net: lossy(0.3, 3, 0), play: fiftyHandshakes, judge: handshakesInTime},
	{name: "transfer_loss", net: lossy(0.02, 3, 0), play: lossyTransfer},
	{name: "handshake_corruption", net: corrupting(0.3, 0, 3), play: fiftyHandshakes, judge: handshakesInTime},
	{name: "handshake_corruption_runs_of_three", net: corrupting(0.3, 3, 0), play: fiftyHandshakes, judge: handshakesInTime},
	{name: "transfer_corruption", net: corrupting(0.02, 3, 0), play: lossyTransfer},
	{name: "port_rebinding_down", net: both(simple), play: func(w world, r *result) { rebinding(w, r, false, false) }},
	{name: "port_rebinding_up", net: both(simple), play: func(w world, r *result) { rebinding(w, r, false, true) }},
	{name: "address_rebinding_down", net: both(simple), play: func(w world, r *result) { rebinding(w, r, true, false) }},
	{name: "address_rebinding_up", net: both(simple), play: func(w world, r *result) { rebinding(w, r, true, true) }},
	{name: "other_candidate", net: network{up: simple, down: simple, second: true}, play: otherCandidate},
	{name: "amplification", play: amplification,
		net: network{down: simple, up: impair.Config{Delay: simple.Delay, Rate: simple.Rate, Queue: simple.Queue, DropList: []int{2, 3, 4, 5, 6, 7}}}},
	{name: "goodput", net: both(simple), play: goodput, alone: true},
	{name: "ipv6", net: network{up: simple, down: simple, ipv6: true}, play: ipv6},
}

// pair makes a client and a server.
func pair(w world) (c, s *peer) { return w.peer(client, nil), w.peer(server, nil) }

// message returns a size for the messages of bulk files.
func message(w world) int { return kB + w.random(15*kB) }

// dial makes a client open a session with a server.
func dial(w world, c, s *peer) *transport.Session {
	session, err := c.Dial(c.clock(), s.PeerID(), append([]netip.AddrPort{s.addr}, s.more...))
	if err != nil {
		w.fail("Dial: %v", err)
	}
	c.sent()
	return session
}

// connect opens a session and returns both ends of it.
func connect(w world, c, s *peer) (cs, ss *transport.Session) {
	cs = dial(w, c, s)
	before := len(s.sessions)
	w.until(90*time.Second, "a session", func() bool { return len(c.sessions) > 0 && len(s.sessions) > before })
	return cs, s.sessions[before]
}

// check ends the row if a peer noticed anything wrong.
func check(w world, peers ...*peer) {
	for _, p := range peers {
		for _, f := range p.faults {
			w.fail("%s", f)
		}
		for _, err := range append(p.ended, p.refused...) {
			w.fail("%s: a session ended: %v", p.name, err)
		}
	}
}

// whole waits until all n files that one peer sends have come to the other, and
// the flows are closed at both ends.
func whole(w world, limit time.Duration, from, to *peer, n int) {
	w.until(limit, "all files", func() bool {
		return to.received(n) && from.closed() || len(from.faults)+len(to.faults)+len(from.ended)+len(to.ended) > 0
	})
	check(w, from, to)
	if len(to.receives) != n {
		w.fail("%d flows came, want %d", len(to.receives), n)
	}
}

// hangUp closes a session from one end and waits until both are rid of it.
func hangUp(w world, near *peer, s *transport.Session, far *peer) {
	before := len(far.ended)
	s.Close(near.clock())
	near.sent()
	w.until(time.Second, "the far end's close", func() bool { return len(far.ended) > before })
	if err := far.ended[before]; !errors.Is(err, transport.ErrFarClosed) || !errors.Is(err, net.ErrClosed) {
		w.fail("the far end's session ended with %v, want ErrFarClosed", err)
	}
	w.until(time.Second, "the near end's close", func() bool { return near.Stats().Sessions == 0 })
}

func handshake(w world, r *result) {
	c, s := pair(w)
	began := w.now()
	cs := dial(w, c, s)
	c.send(cs, 1, kB, kB, transport.FlowOptions{})
	w.until(2*time.Second, "1 kB", func() bool { return s.received(1) })
	r.add("ms until 1 kB arrived", ms(w.now()-began))
	whole(w, time.Second, c, s, 1)
	r.add("packets", float64(w.stats(client).Packets+w.stats(server).Packets))
	hangUp(w, c, cs, s)
}

// suites reads the runner's test of one cipher for all there are.
func suites(w world, r *result) {
	for _, suite := range []crypto.Suite{crypto.AES128GCM, crypto.AES256GCM, crypto.ChaCha20Poly1305} {
		c := w.peer(client, func(cfg *transport.Config) { cfg.Policy.Suites = []crypto.Suite{suite} })
		s := w.peer(server, nil)
		cs, ss := connect(w, c, s)
		if !strings.HasPrefix(cs.Suite(), suite.String()) || ss.Suite() != cs.Suite() {
			w.fail("suites %q and %q, want %v", cs.Suite(), ss.Suite(), suite)
		}
		s.send(ss, 1, 100*kB, 8*kB, transport.FlowOptions{})
		whole(w, 2*time.Second, s, c, 1)
	}
}

func threeTransfers(w world, r *result) {
	c := w.peer(client, func(cfg *transport.Config) {
		cfg.RecvBuffer, cfg.MaxRecvBuffer, cfg.SessionBuffer, cfg.MaxMessage = 32<<10, 32<<10, 64<<10, 16<<10
	})
	s := w.peer(server, nil)
	cs, ss := connect(w, c, s)
	for i, size := range []int{2 * MB, 3 * MB, 5 * MB} {
		s.send(ss, uint32(i), size, message(w), transport.FlowOptions{})
	}
	began := w.now()
	whole(w, 15*time.Second, s, c, 3)
	r.add("s", (w.now() - began).Seconds())
	hangUp(w, c, cs, s)
}

func longRTT(w world, r *result) {
	c, s := pair(w)
	began := w.now()
	_, ss := connect(w, c, s)
	s.send(ss, 1, MB, message(w), transport.FlowOptions{})
	whole(w, 40*time.Second, s, c, 1)
	r.add("s from dial to 1 MB", (w.now() - began).Seconds())
	r.add("timeouts", float64(ss.Stats().Timeouts))
}

func manyFlows(w world, r *result) {
	const flows = 2000
	c, s := pair(w)
	s.reply = true
	cs, _ := connect(w, c, s)
	began := w.now()
	for i := range flows {
		c.ask(cs, uint32(i), 100, transport.FlowOptions{Priority: uint8(i % 8)})
	}
	w.until(15*time.Second, "all files and their answers", func() bool {
		return s.received(flows) && c.received(flows) && c.closed() && s.closed() || len(c.faults)+len(s.faults) > 0
	})
	check(w, c, s)
	r.add("s", (w.now() - began).Seconds())
	for _, f := range c.receives {
		if f.recv.Reply() == nil || f.recv.Reply().User.(*file).label != f.label&^answer {
			w.fail("the answer to flow %d belongs to another", f.label&^answer)
		}
	}
}

// cookieChange reads the runner's Retry: the initiator's address changes between
// IHello and IIKeying, so that its cookie is another address's.
func cookieChange(w world, r *result) {
	c, s := pair(w)
	sent, changes, hellos := 0, 0, 0
	keys := crypto.DefaultKeys()
	w.tap(func(from side, _ netip.AddrPort, b []byte) {
		if from == client {
			if sent++; sent == 2 {
				w.rebind(c, true)
			}
			return
		}
		for _, t := range startupChunks(keys, b) {
			switch t {
			case wire.ChunkCookieChange:
				changes++
			case wire.ChunkRHello:
				hellos++
			}
		}
	})
	began := w.now()
	cs := dial(w, c, s)
	c.send(cs, 1, kB, kB, transport.FlowOptions{})
	whole(w, 3*time.Second, c, s, 1)
	r.add("ms until 1 kB arrived", ms(w.now()-began))
	if changes != 1 || hellos != 1 {
		w.fail("%d cookie changes and %d RHellos, want 1 and 1", changes, hellos)
	}
}

// startupChunks returns the types of the chunks of a packet under the Default
// Session Key.
func startupChunks(keys *crypto.SessionKeys, b []byte) (types []wire.ChunkType) {
	p, err := keys.Open(append([]byte(nil), b...))
	if err != nil {
		return nil
	}
	h, n := wire.ConsumeHeader(p)
	if n == 0 || h.Mode != wire.ModeStartup {
		return nil
	}
	for p = p[n:]; ; p = p[n:] {
		var t wire.ChunkType
		if t, _, n = wire.ConsumeChunk(p); n == 0 {
			return types
		}
		types = append(types, t)
	}
}

func blackHole(w world, r *result) {
	c, s := pair(w)
	_, ss := connect(w, c, s)
	w.run(time.Duration(w.random(7000)) * time.Millisecond) // the first outage comes sooner or later
	began := w.now()
	s.send(ss, 1, 10*MB, message(w), transport.FlowOptions{})
	whole(w, 20*time.Second, s, c, 1)
	r.add("s", (w.now() - began).Seconds())
}

// keyUpdate looks at the phase bit of packets (docs/crypto.md): the keys of both
// directions change within the first MB, again and again.
func keyUpdate(w world, r *result) {
	often := func(cfg *transport.Config) { cfg.Policy.UpdateAfter = 200 }
	c, s := w.peer(client, often), w.peer(server, often)
	_, ss := connect(w, c, s)
	var bytes, updates, first [2]int
	var phase [2]byte
	w.tap(func(from side, _ netip.AddrPort, b []byte) {
		bytes[server] += len(b) * int(from)
		if p := b[4] >> 7; p != phase[from] {
			phase[from] = p
			if updates[from]++; updates[from] == 1 {
				first[from] = bytes[server]
			}
		}
	})
	s.send(ss, 1, 3*MB, message(w), transport.FlowOptions{})
	whole(w, 10*time.Second, s, c, 1)
	for from, n := range updates {
		if n < 3 || first[from] > MB {
			w.fail("%d updates, the first after %d bytes, want some, within 1 MB", n, first[from])
		}
	}
	r.add("updates", float64(updates[server]))
}

// fiftyHandshakes opens fifty sessions one after the other, each with 1 kB. The
// runner takes bursts of three to be three at most; rows of our own have them
// always three long. An open session is borne as long as QUIC's are by default.
func fiftyHandshakes(w world, r *result) {
	const sessions = 50
	patient := func(cfg *transport.Config) { cfg.RetransmitLimit = 30 * time.Second }
	s := w.peer(server, patient)
	began := w.now()
	for i := range sessions {
		c := w.peer(client, patient)
		start := w.now()
		cs := dial(w, c, s)
		c.send(cs, uint32(i), kB, kB, transport.FlowOptions{})
		open := false
		w.until(95*time.Second, "1 kB on a new session", func() bool {
			if !open && len(c.sessions) > 0 {
				open = true
				r.add("handshake s", (w.now() - start).Seconds())
			}
			return s.received(i+1) || len(c.refused)+len(c.ended) > 0
		})
		check(w, c)
		r.add("1 kB s", (w.now() - start).Seconds())
		cs.Close(c.clock())
		c.sent()
	}
	took := (w.now() - began).Seconds()
	r.add("all s", took)
	if took > 300 {
		w.fail("%d sessions took %.0f s, want 300 s at most", sessions, took)
	}
}

func handshakesInTime(r *result) error { return r.below("handshake s", 0.99, 10) }

func lossyTransfer(w world, r *result) {
	c, s := pair(w)
	_, ss := connect(w, c, s)
	began := w.now()
	s.send(ss, 1, 2*MB, message(w), transport.FlowOptions{})
	whole(w, 60*time.Second, s, c, 1)
	r.add("s", (w.now() - began).Seconds())
}

// rebinding gives the client another port or address after 1 s and every 5 s
// from then on, while 10 MB go one way. A new address gets a ping and nothing
// more until its answer has come.
func rebinding(w world, r *result, address, up bool) {
	c, s := pair(w)
	cs, ss := connect(w, c, s)
	from, to := s, c
	if up {
		from, to, ss = c, s, cs
	}
	began := w.now()
	file := from.send(ss, 1, 10*MB, message(w), transport.FlowOptions{})
	greeted := map[netip.AddrPort]time.Duration{s.sessions[0].FarAddr(): -time.Hour}
	w.tap(func(side side, outside netip.AddrPort, b []byte) {
		if side != server || len(b) < 200 {
			if _, ok := greeted[outside]; side == server && !ok {
				greeted[outside] = w.now()
			}
			return
		}
		at, ok := greeted[outside]
		if ok && w.now()-at < 2*simple.Delay*9/10 {
			w.fail("%d bytes to %v before it was verified", len(b), outside)
		}
	})
	rebinds := 0
	done := func() bool { return to.received(1) && from.closed() || len(c.ended)+len(s.ended) > 0 }
	for next := began + time.Second; !done(); next += 5 * time.Second {
		w.until(next-w.now()+time.Millisecond, "time", func() bool { return w.now() >= next || done() })
		if done() {
			break
		}
		if w.now()-began > 40*time.Second {
			w.fail("%d of %d bytes after %v and %d rebindings", file.offset, file.size, w.now()-began, rebinds)
		}
		w.rebind(c, address)
		rebinds++
	}
	check(w, c, s)
	r.add("s", (w.now() - began).Seconds())
	if s.moved == 0 || s.moved > rebinds {
		w.fail("the server followed %d times to %d addresses", s.moved, rebinds)
	}
}

// otherCandidate moves the server to the other address at which the client knew
// it when the session was opened.
func otherCandidate(w world, r *result) {
	c, s := pair(w)
	_, ss := connect(w, c, s)
	other := s.more[0]
	if c.sessions[0].FarAddr() == other {
		other = s.addr
	}
	began := w.now()
	s.send(ss, 1, 2*MB, message(w), transport.FlowOptions{})
	w.run(500 * time.Millisecond)
	w.move(s)
	whole(w, 10*time.Second, s, c, 1)
	if got := c.sessions[0].FarAddr(); got != other || c.moved != 1 {
		w.fail("the client is with %v after %d moves, want %v", got, c.moved, other)
	}
	r.add("s", (w.now() - began).Seconds())
}

// amplification loses the client's packets from the second to the seventh. As
// long as it has not proven its address, it gets no more than it sent.
func amplification(w world, r *result) {
	c, s := pair(w)
	arrived, answered, n := 0, 0, 0
	most := 0.0
	w.tap(func(from side, _ netip.AddrPort, b []byte) {
		switch {
		case len(s.sessions) > 0:
		case from == client:
			if n++; n < 2 || n > 7 {
				arrived += len(b)
			}
		default:
			answered += len(b)
			most = max(most, float64(answered)/float64(arrived))
			if answered > arrived {
				w.fail("%d bytes in answer to %d", answered, arrived)
			}
		}
	})
	began := w.now()
	cs := dial(w, c, s)
	c.send(cs, 1, kB, kB, transport.FlowOptions{})
	whole(w, 60*time.Second, c, s, 1)
	r.add("answer/request", most)
	r.add("s", (w.now() - began).Seconds())
}

func goodput(w world, r *result) {
	c, s := pair(w)
	_, ss := connect(w, c, s)
	began := w.now()
	s.send(ss, 1, 10*MB, 60*kB, transport.FlowOptions{})
	w.until(20*time.Second, "10 MB", func() bool { return c.received(1) })
	rate := 80 / (w.now() - began).Seconds()
	whole(w, time.Second, s, c, 1)
	r.add("Mbit/s", rate)
	if rate < 9.6 {
		w.fail("%.2f Mbit/s, want 9.6", rate)
	}
}

func ipv6(w world, r *result) {
	c, s := pair(w)
	_, ss := connect(w, c, s)
	if !ss.FarAddr().Addr().Is6() {
		w.fail("the client is at %v", ss.FarAddr())
	}
	began := w.now()
	s.send(ss, 1, MB, message(w), transport.FlowOptions{})
	whole(w, 5*time.Second, s, c, 1)
	r.add("s", (w.now() - began).Seconds())
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
