package host

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"rtmfp/internal/clock"
	"rtmfp/transport"
	"rtmfp/transport/crypto"
	"rtmfp/transport/driver"
	"rtmfp/transport/udp"
)

// closingTime is how long Close waits for the far ends to confirm.
const closingTime = 500 * time.Millisecond

// Host is an RTMFP endpoint on a UDP socket, with all its sessions.
type Host struct {
	cfg    Config
	conn   *udp.Conn
	driver *driver.Driver
	done   chan struct{}
	close  sync.Once

	mu       sync.Mutex
	bell     bell
	backlog  []*Session // for Accept
	chores   []chore    // what handles want done on the loop
	refused  uint64     // sessions beyond the backlog
	finished bool
	err      error // what handles say once the host has ended

	loop loop
}

// Listen opens a socket on addr, "host:port" as in package net, and runs a host
// on it until Close. Errors are those of package net, or of a bad Config.
func Listen(addr string, cfg Config) (*Host, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	ep, err := cfg.endpoint()
	if err != nil {
		return nil, err
	}
	conn, err := udp.Listen(addr, udp.Options{NoOffload: cfg.NoOffload})
	if err != nil {
		return nil, err
	}
	h := &Host{cfg: cfg, conn: conn, done: make(chan struct{})}
	h.loop = loop{Endpoint: ep, h: h, sessions: map[*Session]struct{}{}}
	h.driver = driver.Start(conn, &h.loop, h.loop.afterTurn)
	go h.ended()
	return h, nil
}

// Addr returns the address of the host's socket; a wildcard stays one.
func (h *Host) Addr() netip.AddrPort { return h.conn.LocalAddr() }

// ID returns the host's own name.
func (h *Host) ID() PeerID { return h.cfg.Identity.PeerID() }

// Identity returns the host's identity.
func (h *Host) Identity() *crypto.Identity { return h.cfg.Identity }

// Done is closed when the host has ended, by Close or because its socket failed.
func (h *Host) Done() <-chan struct{} { return h.done }

// Accept returns the next session that a far end has opened.
func (h *Host) Accept(ctx context.Context) (*Session, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case h.finished:
			return nil, h.err
		case len(h.backlog) > 0:
			s := h.backlog[0]
			h.backlog[0] = nil
			h.backlog = h.backlog[1:]
			return s, nil
		}
		if err := h.bell.wait(ctx, &h.mu); err != nil {
			return nil, err
		}
	}
}

// Stats are the counters of a host.
type Stats struct {
	transport.EndpointStats
	Socket  udp.Stats
	Refused uint64 // sessions that were closed because Config.Backlog was full
}

// Stats returns the host's counters.
func (h *Host) Stats() Stats {
	var st Stats
	if h.do(func(clock.Time) { st.EndpointStats = h.loop.Stats() }) != nil {
		<-h.done
		st.EndpointStats = h.loop.Stats()
	}
	st.Socket = h.conn.Stats()
	h.mu.Lock()
	defer h.mu.Unlock()
	st.Refused = h.refused
	return st
}

// Close closes all sessions in an orderly way and ends the host. It takes up to
// half a second, for the far ends to confirm. What was not acknowledged is
// lost: close the flows first and wait for their Done.
func (h *Host) Close() error {
	h.close.Do(func() {
		empty := make(chan struct{})
		if h.do(func(now clock.Time) { h.loop.closeAll(now, empty) }) == nil {
			timer := time.NewTimer(closingTime)
			defer timer.Stop()
			select {
			case <-empty:
			case <-timer.C:
			case <-h.driver.Done():
			}
		}
		h.driver.Stop()
	})
	<-h.done
	return nil
}

// ended tells everybody that the host has.
func (h *Host) ended() {
	<-h.driver.Done()
	err := errClosed
	if cause := h.driver.Err(); cause != nil {
		err = fmt.Errorf("host: socket failed: %w", cause)
	}
	h.mu.Lock()
	h.finished, h.err = true, err
	h.bell.ring()
	h.mu.Unlock()
	for s := range h.loop.sessions {
		s.end(err)
	}
	close(h.done)
}

// do runs f on the loop and waits for it.
func (h *Host) do(f func(now clock.Time)) error {
	if h.driver.Do(f) != nil {
		return errClosed
	}
	return nil
}

// chore is a handle that wants something done on the loop.
type chore interface{ perform(now clock.Time) }

// enlist has c performed in the loop's next turn.
func (h *Host) enlist(c chore) {
	h.mu.Lock()
	h.chores = append(h.chores, c)
	first := len(h.chores) == 1
	h.mu.Unlock()
	if first {
		h.driver.Wake()
	}
}
