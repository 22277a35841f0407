//go:build e2e

package conformance

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"rtmfp/internal/clock"
	"rtmfp/internal/impair"
	"rtmfp/transport"
	"rtmfp/transport/conformance/proxy"
	"rtmfp/transport/driver"
	"rtmfp/transport/udp"
)

// TestRealList plays the list once on real UDP sockets, through the proxy.
func TestRealList(t *testing.T) {
	for _, row := range list {
		t.Run(row.name, func(t *testing.T) {
			if !row.alone {
				t.Parallel()
			}
			var r result
			err := playReal(&row, &r)
			for try := 1; err != nil && row.alone && try < tries; try++ {
				t.Logf("try %d: %v", try, err)
				r = result{}
				err = playReal(&row, &r)
			}
			if err != nil { // one run is too few for a judge
				t.Error(err)
			}
			t.Logf("| %s (UDP) | 1 | %s", row.name, &r)
		})
	}
}

// tries is how often a row that measures speed may run: other programs of the
// machine are not to be judged.
const tries = 3

func playReal(row *row, r *result) error {
	w := newReal(row.net)
	defer w.close()
	w.mu.Lock()
	defer w.mu.Unlock()
	return play(row, w, r)
}

// real is a world of UDP sockets on the loopback interface. Its lock is held by
// whoever plays a row, but while that waits, and by each driver's loop while it
// is in a core; so rows may look at peers as they do on virtual time.
type real struct {
	mu     sync.Mutex
	turned *sync.Cond
	path   *proxy.Path
	second bool
	host   string
	began  time.Time
	peers  []*realPeer
	taps   func(side, netip.AddrPort, []byte)
	tapped bool // a tap is running
	broken *failure
}

type realPeer struct {
	*peer
	driver *driver.Driver
	local  netip.AddrPort
	proxy  *proxy.Proxy // of a server
}

func newReal(n network) *real {
	w := &real{path: proxy.New(n.up, n.down, 1), second: n.second, host: "127.0.0.1:0", began: time.Now()}
	if n.ipv6 {
		w.host = "[::1]:0"
	}
	w.turned = sync.NewCond(&w.mu)
	w.path.Tap = func(fromServer bool, outside netip.AddrPort, b []byte) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.taps == nil {
			return
		}
		from := client
		if fromServer {
			from = server
		}
		w.tapped = true
		w.taps(from, outside, b)
		w.tapped = false
	}
	return w
}

// close is called without the lock.
func (w *real) close() {
	for _, p := range w.peers {
		p.driver.Stop()
	}
	w.path.Close()
}

func (w *real) now() time.Duration                       { return time.Since(w.began) }
func (w *real) stats(from side) impair.Stats             { return w.path.Stats(from == server) }
func (w *real) random(n int) int                         { return n / 2 }
func (w *real) tap(f func(side, netip.AddrPort, []byte)) { w.taps = f }
func (w *real) run(d time.Duration) {
	end := w.now() + d
	w.until(d, "time", func() bool { return w.now() >= end })
}

func (w *real) fail(format string, a ...any) {
	f := failure{fmt.Sprintf(format, a...)}
	if !w.tapped {
		panic(f)
	}
	if w.broken == nil {
		w.broken = &f
	}
}

func (w *real) peer(s side, change func(*transport.Config)) *peer {
	name := fmt.Sprint([]string{"client", "server"}[s], len(w.peers)+1)
	p, err := newPeer(name, s, uint64(len(w.peers)+1), change)
	if err != nil {
		w.fail("new peer: %v", err)
	}
	conn, err := udp.Listen(w.host, udp.Options{})
	if err != nil {
		w.fail("%v", err)
	}
	rp := &realPeer{peer: p, local: conn.LocalAddr()}
	if s == server {
		addresses := 1
		if w.second {
			addresses = 2
		}
		if rp.proxy, err = w.path.Serve(rp.local, addresses); err != nil {
			w.fail("%v", err)
		}
		a := rp.proxy.Addrs()
		p.addr, p.more = a[0], a[1:]
	}
	rp.driver = driver.Start(conn, &locked{p.Endpoint, w}, func(now clock.Time) {
		w.mu.Lock()
		defer w.mu.Unlock()
		p.drain(now)
		w.turned.Broadcast()
	})
	p.clock = func() clock.Time { return rp.driver.Instant(time.Now()) }
	p.sent = rp.driver.Wake
	w.peers = append(w.peers, rp)
	return p
}

func (w *real) find(p *peer) *realPeer {
	for _, rp := range w.peers {
		if rp.peer == p {
			return rp
		}
	}
	return nil
}

func (w *real) rebind(p *peer, address bool) {
	for _, s := range w.peers {
		if s.proxy != nil {
			if err := s.proxy.Rebind(w.find(p).local, address); err != nil {
				w.fail("%v", err)
			}
		}
	}
}

func (w *real) move(p *peer) {
	w.find(p).proxy.Move()
	p.addr, p.more = p.more[0], nil
}

// until allows for a machine that has other things to do.
func (w *real) until(limit time.Duration, what string, ok func() bool) {
	end := time.Now().Add(limit + limit/2 + time.Second)
	for !ok() {
		if w.broken != nil {
			panic(*w.broken)
		}
		if time.Now().After(end) {
			w.fail("%s: not within %v", what, limit)
		}
		tick := time.AfterFunc(2*time.Millisecond, w.turned.Broadcast)
		w.turned.Wait()
		tick.Stop()
	}
	if w.broken != nil {
		panic(*w.broken)
	}
}

// locked is an endpoint whose every call takes the world's lock.
type locked struct {
	e *transport.Endpoint
	w *real
}

func (l *locked) HandleArrival(now clock.Time, a transport.Arrival, b []byte) {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	l.e.HandleArrival(now, a, b)
}

func (l *locked) NextWork() (*transport.Work, bool) {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	return l.e.NextWork()
}

func (l *locked) FinishWork(now clock.Time, w *transport.Work) {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	l.e.FinishWork(now, w)
}

func (l *locked) Advance(now clock.Time) {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	l.e.Advance(now)
}

func (l *locked) Transmit(now clock.Time, buf []byte) (transport.Batch, bool) {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	return l.e.Transmit(now, buf)
}

func (l *locked) Deadline() clock.Time {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	return l.e.Deadline()
}
