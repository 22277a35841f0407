package transport

import (
	"testing"
	"time"
)

// "To guard against potentially lost acknowledgements that might reopen the
// receive window, a suspended flow sender SHOULD send a packet comprising a
// Buffer Probe chunk … for this flow from time to time" (RFC 7016 §3.6.2.9.1):
// also if the window closed while there was nothing to send.
func TestBufferProbeOfAFlowThatWasIdle(t *testing.T) {
	n := newNetwork(t, 1)
	a := n.add("a", modern, nil)
	b := n.add("b", modern, func(c *Config) { c.RecvBuffer = 4096 })
	sa, _ := n.connect(a, b)
	f := open(t, sa, n.now, FlowOptions{Metadata: []byte("x")})
	send(t, f, n.now, []byte("first"), SendOptions{})
	n.until(time.Second, func() bool { return len(b.flows) == 1 })
	b.flows[0].Hold(n.now, true)
	for f.window > 0 {
		send(t, f, n.now, make([]byte, 500), SendOptions{})
		n.until(5*time.Second, func() bool { return f.queue.n == 0 })
	}
	b.mute = true
	b.flows[0].Hold(n.now, false)
	n.run(time.Second)
	b.mute = false
	got := len(b.messages[b.flows[0]])
	send(t, f, n.now, []byte("last"), SendOptions{})
	n.until(5*time.Second, func() bool { return len(b.messages[b.flows[0]]) == got+1 })
}

// The same for several flows whose probes are due at the same time.
func TestBufferProbesOfSeveralFlows(t *testing.T) {
	n := newNetwork(t, 1)
	a := n.add("a", modern, nil)
	b := n.add("b", modern, func(c *Config) { c.RecvBuffer = 4096 })
	sa, _ := n.connect(a, b)
	for range 5 {
		f := open(t, sa, n.now, FlowOptions{Metadata: []byte("x")})
		send(t, f, n.now, []byte("first"), SendOptions{})
	}
	n.until(time.Second, func() bool { return len(b.flows) == 5 })
	for i, r := range b.flows {
		r.Hold(n.now, true)
		send(t, sa.send[i].flow, n.now, make([]byte, 50000), SendOptions{})
	}
	n.run(time.Second)
	for _, slot := range sa.send {
		if slot.flow.window != 0 {
			t.Fatalf("a flow has a window of %d bytes", slot.flow.window)
		}
		slot.flow.probeAt = n.now.Add(time.Second)
	}
	sa.armFlows(n.now.Add(time.Second))
	b.mute = true
	for _, r := range b.flows {
		r.Hold(n.now, false)
	}
	n.run(500 * time.Millisecond)
	b.mute = false
	n.until(5*time.Second, func() bool {
		for _, r := range b.flows {
			if len(b.messages[r]) != 2 {
				return false
			}
		}
		return true
	})
}
