package transport

import (
	"net/netip"
	"testing"
	"time"
)

// The receiver of a stream gets another address in the moment in which it has
// nothing to say: everything was acknowledged, and what comes next goes to where
// it was. It pings long before its keepalive (RFC 7016 §3.5.4.2: "a packet is
// received … with a source address that does not match DESTADDR").
func TestReceiverRebound(t *testing.T) {
	n, a, b := pair(t, 1)
	sa, _ := n.connect(a, b)
	f := open(t, sa, n.now, FlowOptions{Metadata: []byte("x")})
	for i := range 30 {
		send(t, f, n.now, numbered(i, 500), SendOptions{})
		n.run(20 * time.Millisecond)
	}
	n.run(250 * time.Millisecond)
	b.addr = netip.MustParseAddrPort("10.7.7.7:77")
	send(t, f, n.now, numbered(30, 500), SendOptions{})
	began := n.now
	n.until(5*time.Second, func() bool { return len(b.messages[b.flows[0]]) == 31 })
	if took := n.now.Sub(began); took > 1500*time.Millisecond {
		t.Errorf("the receiver was found after %v", took)
	}
	if got := sa.FarAddr(); got != b.addr {
		t.Errorf("far address: got %v, want %v", got, b.addr)
	}
}

// Few packets make no stream: a chat costs no pings beyond its keepalive.
func TestNoPingsAfterFewPackets(t *testing.T) {
	n, a, b := pair(t, 1)
	sa, sb := n.connect(a, b)
	f := open(t, sa, n.now, FlowOptions{Metadata: []byte("x")})
	n.run(20 * time.Second)
	before := sb.Stats().PacketsSent
	for i := range 8 {
		send(t, f, n.now, numbered(i, 500), SendOptions{})
		n.run(2 * time.Second)
	}
	if got := sb.Stats().PacketsSent - before; got > 8 {
		t.Errorf("8 messages were answered by %d packets, want 8 acknowledgements", got)
	}
}
