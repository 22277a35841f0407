package transport

import (
	"errors"
	"slices"
	"testing"
	"time"

	"rtmfp/internal/clock"
	"rtmfp/transport/wire"
)

// RFC 7016 §3.5.5, close.

// closes records the chunks of closing that nodes send in sessions.
type closes struct {
	at  []clock.Time
	typ []wire.ChunkType
}

func (c *closes) tracer() *Tracer {
	return &Tracer{PacketSent: func(now clock.Time, p TracedPacket) {
		_, n := wire.ConsumeHeader(p.Packet)
		for b := p.Packet[n:]; ; {
			typ, _, m := wire.ConsumeChunk(b)
			if m == 0 {
				return
			}
			if b = b[m:]; p.Session != nil && (typ == wire.ChunkClose || typ == wire.ChunkCloseAck) {
				c.at, c.typ = append(c.at, now), append(c.typ, typ)
			}
		}
	}}
}

// closing is an open session between two nodes with a flow each way.
func closing(t *testing.T) (n *network, a, b *testNode, fromA, fromB *closes) {
	n = newNetwork(t, 1)
	fromA, fromB = &closes{}, &closes{}
	a = n.add("a", modern, func(c *Config) { c.Trace = fromA.tracer() })
	b = n.add("b", modern, func(c *Config) { c.Trace = fromB.tracer() })
	sa, sb := n.connect(a, b)
	for _, s := range []*Session{sa, sb} {
		f := open(t, s, n.now, FlowOptions{Metadata: []byte("x")})
		send(t, f, n.now, numbered(1, 100), SendOptions{})
	}
	n.run(time.Second)
	return n, a, b, fromA, fromB
}

// "On a session transitioning from S_OPEN to S_NEARCLOSE and every 5 seconds
// thereafter while still in the S_NEARCLOSE state, send a Session Close Request
// chunk. A session that has been in the S_NEARCLOSE state for at least 90 seconds
// … SHOULD move to the S_CLOSED state."
func TestRFC7016_3_5_5_NearClose(t *testing.T) {
	n, a, b, fromA, _ := closing(t)
	b.dead = true
	s := a.Session(b.PeerID())
	began := n.now
	s.Close(n.now)
	n.run(89 * time.Second)
	if s.State() != StateNearClose {
		t.Errorf("after 89 s: state %v, want S_NEARCLOSE", s.State())
	}
	n.run(2 * time.Second)
	if s.State() != StateClosed || a.Stats().Sessions != 0 {
		t.Errorf("after 91 s: state %v and %d sessions, want S_CLOSED and none", s.State(), a.Stats().Sessions)
	}
	if len(fromA.at) != 18 {
		t.Errorf("got %d Session Close Requests, want 18", len(fromA.at))
	}
	for i, at := range fromA.at {
		if got, want := at.Sub(began), time.Duration(i)*5*time.Second; got != want || fromA.typ[i] != wire.ChunkClose {
			t.Errorf("%d: chunk %#x after %v, want a Session Close Request after %v", i, fromA.typ[i], got, want)
		}
	}
}

// "immediately abort and terminate all open or closing flows. Flows only exist in
// S_OPEN sessions."
func TestRFC7016_3_5_5_Flows(t *testing.T) {
	n, a, b, _, _ := closing(t)
	s := a.Session(b.PeerID())
	f := open(t, s, n.now, FlowOptions{Metadata: []byte("y")})
	send(t, f, n.now, numbered(1, 100_000), SendOptions{})
	s.Close(n.now)
	if len(s.send) != 0 || len(s.recv) != 0 || f.Buffered() != 0 {
		t.Errorf("flows outlive their session: %d, %d, %d bytes", len(s.send), len(s.recv), f.Buffered())
	}
	if err := f.Send(n.now, []byte("x"), SendOptions{}); !errors.Is(err, ErrClosed) {
		t.Errorf("Send: got %v, want ErrClosed", err)
	}
	before := len(b.messages)
	n.run(time.Second)
	if len(b.messages) != before || len(b.closed) != 1 || !errors.Is(b.closed[0], ErrFarClosed) {
		t.Errorf("the far end was told %v", b.closed)
	}
}

// "To close an S_OPEN session abruptly, send a Session Close Acknowledgement
// chunk, then move to the S_CLOSED state." "On receipt of a Session Close
// Acknowledgement chunk for a session in the S_OPEN, S_NEARCLOSE, or
// S_FARCLOSE_LINGER states, move to the S_CLOSED state."
func TestRFC7016_3_5_5_Abrupt(t *testing.T) {
	n, a, b, fromA, _ := closing(t)
	s, far := a.Session(b.PeerID()), b.Session(a.PeerID())
	s.Abort(n.now)
	if s.State() != StateClosed || a.Stats().Sessions != 0 {
		t.Errorf("state: got %v, want S_CLOSED", s.State())
	}
	n.run(time.Second)
	if !slices.Equal(fromA.typ, []wire.ChunkType{wire.ChunkCloseAck}) {
		t.Errorf("sent %#x, want a Session Close Acknowledgement", fromA.typ)
	}
	if far.State() != StateClosed {
		t.Errorf("the far end: got %v, want S_CLOSED", far.State())
	}
}

// "On receipt of a Session Close Request chunk for a session in the S_OPEN,
// S_NEARCLOSE, or S_FARCLOSE_LINGER states, send a Session Close Acknowledgement
// chunk; then, if the session is in the S_OPEN state, move to the
// S_FARCLOSE_LINGER state. A session that has been in the S_FARCLOSE_LINGER state
// for at least 19 seconds (allowing time to answer 3 retransmissions of a Session
// Close Request) SHOULD move to the S_CLOSED state."
func TestRFC7016_3_5_5_FarClose(t *testing.T) {
	n, a, b, fromA, fromB := closing(t)
	s, far := a.Session(b.PeerID()), b.Session(a.PeerID())
	b.mute = true // its acknowledgements are lost
	s.Close(n.now)
	n.run(18 * time.Second)
	if far.State() != StateFarCloseLinger {
		t.Errorf("after 18 s: state %v, want S_FARCLOSE_LINGER", far.State())
	}
	if len(fromA.typ) != 4 || len(fromB.typ) != 4 || slices.Contains(fromB.typ, wire.ChunkClose) {
		t.Errorf("%d requests were answered by %#x, want four acknowledgements", len(fromA.typ), fromB.typ)
	}
	n.run(2 * time.Second)
	if far.State() != StateClosed || b.Stats().Sessions != 0 {
		t.Errorf("after 20 s: state %v, want S_CLOSED", far.State())
	}
	if len(b.closed) != 1 {
		t.Errorf("the owner was told %v, want it once", b.closed)
	}

	// The first acknowledgement that arrives ends S_NEARCLOSE.
	n, a, b, _, _ = closing(t)
	s = a.Session(b.PeerID())
	s.Close(n.now)
	n.run(3 * n.latency)
	if s.State() != StateClosed {
		t.Errorf("acknowledged: state %v, want S_CLOSED", s.State())
	}
}

// A session in S_NEARCLOSE answers the request of the far end, and nothing else.
func TestRFC7016_3_5_5_BothAtOnce(t *testing.T) {
	n, a, b, fromA, fromB := closing(t)
	a.Session(b.PeerID()).Close(n.now)
	b.Session(a.PeerID()).Close(n.now)
	n.run(time.Second)
	want := []wire.ChunkType{wire.ChunkClose, wire.ChunkCloseAck}
	if !slices.Equal(fromA.typ, want) || !slices.Equal(fromB.typ, want) {
		t.Errorf("sent %#x and %#x, want %#x each", fromA.typ, fromB.typ, want)
	}
	if a.Stats().Sessions != 0 || b.Stats().Sessions != 0 || len(a.closed)+len(b.closed) != 0 {
		t.Errorf("%d and %d sessions remain", a.Stats().Sessions, b.Stats().Sessions)
	}
}
