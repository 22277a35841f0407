package transport

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"
)

// RFC 7016 §3.5.5, all orders of closing.
func TestClose(t *testing.T) {
	for _, c := range []struct {
		name  string
		do    func(n *network, a, b *Session)
		fromA error // what a's owner is told, nil for nothing
		fromB error
	}{
		{"orderly", func(n *network, a, b *Session) { a.Close(n.now) }, nil, ErrFarClosed},
		{"both at once", func(n *network, a, b *Session) { a.Close(n.now); b.Close(n.now) }, nil, nil},
		{"abrupt", func(n *network, a, b *Session) { a.Abort(n.now) }, nil, ErrFarClosed},
		{"abrupt from both", func(n *network, a, b *Session) { a.Abort(n.now); b.Abort(n.now) }, nil, nil},
		{"orderly against abrupt", func(n *network, a, b *Session) { a.Close(n.now); b.Abort(n.now) }, nil, nil},
		{"twice", func(n *network, a, b *Session) { a.Close(n.now); a.Close(n.now); a.Abort(n.now) }, nil, ErrFarClosed},
	} {
		for _, loss := range []bool{false, true} {
			n, a, b := pair(t, 1)
			sa, sb := n.connect(a, b)
			f := open(t, sa, n.now, FlowOptions{Metadata: []byte("x")})
			send(t, f, n.now, numbered(1, 50000), SendOptions{})
			n.run(25 * time.Millisecond)
			if loss {
				n.loss = 1
			}
			c.do(n, sa, sb)
			if a.Session(b.PeerID()) != nil {
				t.Errorf("%s: a closed session is still found", c.name)
			}
			n.run(time.Second)
			n.loss = 0
			if err := f.Send(n.now, []byte("x"), SendOptions{}); !errors.Is(err, ErrClosed) || !errors.Is(err, net.ErrClosed) {
				t.Errorf("%s: Send: got %v, want ErrClosed", c.name, err)
			}
			if _, err := sa.OpenFlow(n.now, FlowOptions{}); !errors.Is(err, ErrClosed) {
				t.Errorf("%s: OpenFlow: got %v, want ErrClosed", c.name, err)
			}
			n.run(5 * time.Minute)
			for _, w := range []struct {
				node *testNode
				want error
			}{{a, c.fromA}, {b, c.fromB}} {
				want := w.want
				if loss && want != nil && c.name != "orderly" {
					want = ErrTimeout // nobody told it
				}
				if want == nil && len(w.node.closed) != 0 || want != nil && (len(w.node.closed) != 1 || !errors.Is(w.node.closed[0], want)) {
					t.Errorf("%s, loss %v: %s was told %v, want %v", c.name, loss, w.node.name, w.node.closed, want)
				}
				if got := w.node.Stats(); got.Sessions != 0 || w.node.timers.Len() != 0 {
					t.Errorf("%s, loss %v: %s keeps %d sessions and %d timers", c.name, loss, w.node.name, got.Sessions, w.node.timers.Len())
				}
			}
		}
	}
}

// A session can be opened anew as soon as the old one is closing.
func TestReopenWhileClosing(t *testing.T) {
	n, a, b := pair(t, 1)
	sa, _ := n.connect(a, b)
	sa.Close(n.now)
	again, _ := n.connect(a, b)
	if again == sa {
		t.Errorf("the closing session was returned")
	}
	n.run(30 * time.Second)
	if again.State() != StateOpen {
		t.Errorf("the new session: %v", again.State())
	}
}

// RFC 7016 §3.5.4.1: an idle session stays open, at the cost of a ping now and
// then from one side.
func TestKeepalive(t *testing.T) {
	n, a, b := pair(t, 1)
	sa, sb := n.connect(a, b)
	n.run(10 * time.Second)
	before := a.Stats().DatagramsSent + b.Stats().DatagramsSent
	n.run(10 * time.Minute)
	if sa.State() != StateOpen || sb.State() != StateOpen {
		t.Fatalf("states: %v, %v", sa.State(), sb.State())
	}
	if got := a.Stats().DatagramsSent + b.Stats().DatagramsSent - before; got > 2*2*130 {
		t.Errorf("datagrams of ten idle minutes: got %d, want at most a ping and a reply each way every 5 s", got)
	}
	if rtt := sa.SRTT(); rtt < 19*time.Millisecond || rtt > 21*time.Millisecond {
		t.Errorf("round trip: got %v, want 20 ms", rtt)
	}
}

// A far end that vanishes is noticed within RetransmitLimit of the first packet
// that it does not answer.
func TestVanished(t *testing.T) {
	for _, busy := range []bool{false, true} {
		n, a, b := pair(t, 1)
		sa, _ := n.connect(a, b)
		n.run(time.Second)
		b.dead = true
		began := n.now
		if busy {
			f := open(t, sa, n.now, FlowOptions{})
			send(t, f, n.now, []byte("x"), SendOptions{})
		}
		n.until(time.Minute, func() bool { return len(a.closed) == 1 })
		if !errors.Is(a.closed[0], ErrTimeout) || !errors.Is(a.closed[0], os.ErrDeadlineExceeded) {
			t.Errorf("busy %v: got %v, want ErrTimeout", busy, a.closed[0])
		}
		most := 10*time.Second + 50*time.Millisecond
		if !busy {
			most += 5 * time.Second
		}
		if took := n.now.Sub(began); took > most || took < 9*time.Second {
			t.Errorf("busy %v: noticed after %v, want %v", busy, took, most)
		}
	}
}

// RFC 7016 §3.5.4.2: the far end's address changes while data flows; nobody who
// merely repeats its packets from elsewhere takes the session away.
func TestMobility(t *testing.T) {
	n, a, b := pair(t, 1)
	sa, sb := n.connect(a, b)
	f := open(t, sa, n.now, FlowOptions{Metadata: []byte("x")})
	thief := netip.MustParseAddrPort("10.66.66.66:66")
	var changes int
	b.on = func(ev Event) {
		if ev.Kind == AddressChanged {
			changes++
		}
	}
	forged := 0
	n.drop = func(from, to netip.AddrPort, d []byte) bool {
		if from == a.addr && forged < 5 && n.now > 0 && sb.State() == StateOpen {
			forged++
			b.HandleDatagram(n.now, thief, append([]byte(nil), d...)) // sooner than the true one
		}
		return false
	}
	for i := range 20 {
		send(t, f, n.now, numbered(i, 1000), SendOptions{})
		n.run(50 * time.Millisecond)
	}
	if sb.FarAddr() != a.addr || changes != 0 {
		t.Fatalf("the session went to %v", sb.FarAddr())
	}
	n.drop = nil
	for i := range 5 {
		a.addr = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, 1, byte(i + 1)}), 1935)
		for k := range 40 {
			send(t, f, n.now, numbered(k, 1000), SendOptions{})
			n.run(50 * time.Millisecond)
		}
		if sb.FarAddr() != a.addr || changes != i+1 {
			t.Errorf("change %d: far address %v after %d changes, want %v", i, sb.FarAddr(), changes, a.addr)
		}
	}
	n.run(2 * time.Second)
	if got := len(b.messages[b.flows[0]]); got != 220 {
		t.Errorf("messages: got %d, want 220", got)
	}
}

// SRTT tells a round trip to much less than the 4 ms of the timestamps, with
// data that is acknowledged late.
func TestRoundTripTime(t *testing.T) {
	for _, latency := range []time.Duration{300 * time.Microsecond, 3 * time.Millisecond, 17 * time.Millisecond, 120 * time.Millisecond} {
		n, a, b := pair(t, 1)
		n.latency = latency
		sa, sb := n.connect(a, b)
		f := open(t, sa, n.now, FlowOptions{Metadata: []byte("x"), TimeCritical: true})
		for i := range 100 {
			send(t, f, n.now, numbered(i, 500), SendOptions{})
			n.run(30 * time.Millisecond)
		}
		if got, want := sb.SRTT(), 2*latency; (got - want).Abs() > 8*time.Millisecond {
			t.Errorf("round trip of %v at the receiver, by timestamps alone: got %v", want, got)
		}
		if got, want := sa.SRTT(), 2*latency; got < want || got > want+want/4+time.Millisecond {
			t.Errorf("round trip of %v at the sender: got %v", want, got)
		}
	}
}

// RFC 7016 §3.5.2.1: a receiver of time-critical packets tells its other senders.
func TestTimeCriticalReverse(t *testing.T) {
	n := newNetwork(t, 1)
	a, b, c := n.add("a", modern, nil), n.add("b", modern, nil), n.add("c", modern, nil)
	n.rate, n.queue = 1_250_000, 60_000
	sa, _ := n.connect(a, c)
	sb, _ := n.connect(b, c)
	live := open(t, sa, n.now, FlowOptions{Metadata: []byte("live"), TimeCritical: true})
	bulk := open(t, sb, n.now, FlowOptions{Metadata: []byte("bulk")})
	for i := range 100 {
		send(t, live, n.now, numbered(i, 1000), SendOptions{})
		send(t, bulk, n.now, numbered(i, 1000), SendOptions{})
		n.run(20 * time.Millisecond)
		if i < 5 {
			continue
		}
		if n.now >= sb.congestion.reverseUntil {
			t.Fatalf("round %d: the bulk sender does not know", i)
		}
		if sa.congestion.reverseUntil != 0 {
			t.Fatalf("round %d: the time-critical sender is told of itself", i)
		}
		if n.now >= sa.congestion.criticalUntil {
			t.Fatalf("round %d: TC_SENT is not set", i)
		}
	}
	n.run(time.Second)
	send(t, bulk, n.now, numbered(1, 1000), SendOptions{})
	n.run(time.Second)
	if n.now < sb.congestion.reverseUntil {
		t.Errorf("the notification does not end")
	}
}
