// Package trace writes what an endpoint of package transport does to files: as
// JSON lines in the manner of qlog (NewQlog), and as a capture of decrypted
// packets for the tools that read pcap (NewPcap).
//
//	q := trace.NewQlog(file, trace.Options{Title: "an upload"})
//	defer q.Close()
//	h, err := host.Listen(":1935", host.Config{Trace: q.Tracer()})
//
// Both hold what the peers said in clear, and the capture all of it: they are for
// debugging, and as confidential as the sessions themselves.
package trace

import (
	"bufio"
	"errors"
	"io"
	"net/netip"
	"sync"
	"time"

	"rtmfp/internal/clock"
	"rtmfp/transport"
)

// Options describes a trace. The zero value is the default.
type Options struct {
	// Title says what the trace shows.
	Title string

	// Origin is the wall time of the endpoint's instant 0. By default it is
	// taken from the system's clock at the first event, which is right for an
	// endpoint in real time.
	Origin time.Time

	// Local is the address of the endpoint's socket, for captures. By default
	// it is 127.0.0.1:1935, or ::1 where the far end has an IPv6 address.
	Local netip.AddrPort
}

// file is where a trace goes. The first error ends the trace.
type file struct {
	mu     sync.Mutex
	w      *bufio.Writer
	err    error
	origin time.Time
}

// errClosed is the error of a file that was closed without one.
var errClosed = errors.New("trace: closed")

func newFile(w io.Writer, o Options) file {
	return file{w: bufio.NewWriterSize(w, 64<<10), origin: o.Origin}
}

// wall returns the wall time of an instant.
func (f *file) wall(now clock.Time) time.Time {
	if f.origin.IsZero() {
		f.origin = time.Now().Add(-time.Duration(now))
	}
	return f.origin.Add(time.Duration(now))
}

// write appends to the file.
func (f *file) write(b []byte) {
	if f.err == nil {
		_, f.err = f.w.Write(b)
	}
}

// Close writes what is buffered and ends the trace; what the endpoint does from
// then on is not in it. It returns the first error of all writes.
func (f *file) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		if f.err == errClosed {
			return nil
		}
		return f.err
	}
	f.err = errClosed
	return f.w.Flush()
}

// Join returns a Tracer that tells each of several what happens, in turn.
func Join(tracers ...*transport.Tracer) *transport.Tracer {
	t := &transport.Tracer{}
	for _, next := range tracers {
		t.Sent = then(t.Sent, next.Sent, func(f, g sized) sized {
			return func(now clock.Time, s *transport.Session, a netip.AddrPort, n int) { f(now, s, a, n); g(now, s, a, n) }
		})
		t.Received = then(t.Received, next.Received, func(f, g sized) sized {
			return func(now clock.Time, s *transport.Session, a netip.AddrPort, n int) { f(now, s, a, n); g(now, s, a, n) }
		})
		t.PacketSent = then(t.PacketSent, next.PacketSent, func(f, g packet) packet {
			return func(now clock.Time, p transport.TracedPacket) { f(now, p); g(now, p) }
		})
		t.PacketReceived = then(t.PacketReceived, next.PacketReceived, func(f, g packet) packet {
			return func(now clock.Time, p transport.TracedPacket) { f(now, p); g(now, p) }
		})
		t.Dropped = then(t.Dropped, next.Dropped, func(f, g dropped) dropped {
			return func(now clock.Time, a netip.AddrPort, why transport.Drop) { f(now, a, why); g(now, a, why) }
		})
		t.Lost = then(t.Lost, next.Lost, func(f, g lost) lost {
			return func(now clock.Time, s *transport.Session, flow, seq uint64, timeout bool) {
				f(now, s, flow, seq, timeout)
				g(now, s, flow, seq, timeout)
			}
		})
		t.Acknowledged = then(t.Acknowledged, next.Acknowledged, bothSession)
		t.StateChanged = then(t.StateChanged, next.StateChanged, bothSession)
		t.Window = then(t.Window, next.Window, func(f, g window) window {
			return func(now clock.Time, s *transport.Session, w, th int) { f(now, s, w, th); g(now, s, w, th) }
		})
		t.AddressChanged = then(t.AddressChanged, next.AddressChanged, func(f, g moved) moved {
			return func(now clock.Time, s *transport.Session, old netip.AddrPort) { f(now, s, old); g(now, s, old) }
		})
	}
	return t
}

// Hooks of a Tracer by their shape.
type (
	sized   = func(clock.Time, *transport.Session, netip.AddrPort, int)
	packet  = func(clock.Time, transport.TracedPacket)
	dropped = func(clock.Time, netip.AddrPort, transport.Drop)
	lost    = func(clock.Time, *transport.Session, uint64, uint64, bool)
	session = func(clock.Time, *transport.Session)
	window  = func(clock.Time, *transport.Session, int, int)
	moved   = func(clock.Time, *transport.Session, netip.AddrPort)
)

func bothSession(f, g session) session {
	return func(now clock.Time, s *transport.Session) { f(now, s); g(now, s) }
}

// hook is any of them.
type hook interface {
	sized | packet | dropped | lost | session | window | moved
}

// then returns f and g made one by both, or that one of them which is not nil.
func then[F hook](f, g F, both func(f, g F) F) F {
	switch {
	case f == nil:
		return g
	case g == nil:
		return f
	}
	return both(f, g)
}
