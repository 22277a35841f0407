package transport

import (
	"testing"
	"time"
)

// rtmfp-cpp sends messages of any length. One that can never fit must not leave
// the far end trying forever: its flow is refused, other flows go on.
func TestInteropMessageOverAllLimits(t *testing.T) {
	n := newNetwork(t, 1)
	a := n.add("a", modern, func(c *Config) { c.MaxMessage, c.SendBuffer = 8<<20, 32<<20 })
	b := n.add("b", modern, func(c *Config) { c.MaxMessage, c.RecvBuffer = 64<<10, 64<<10 })
	sa, _ := n.connect(a, b)
	for _, size := range []int{200 << 10, 2 << 20} {
		long := open(t, sa, n.now, FlowOptions{Metadata: []byte("long")})
		send(t, long, n.now, numbered(1, size), SendOptions{})
		short := open(t, sa, n.now, FlowOptions{Metadata: []byte("short")})
		send(t, short, n.now, numbered(2, 1000), SendOptions{})
		short.Close(n.now)
		n.run(10 * time.Second)
		rejected := size > 2*(64<<10+64<<10)
		if got := len(a.rejected) == 1; got != rejected {
			t.Errorf("message of %d bytes: rejections %v, want rejected %v", size, a.rejected, rejected)
		}
		if rejected && b.Stats().Dropped[DropBuffer] == 0 {
			t.Errorf("message of %d bytes: not counted", size)
		}
		if got := len(b.messages[b.flows[len(b.flows)-2]]); got == 1 == rejected {
			t.Errorf("message of %d bytes: delivered %d times, want rejected %v", size, got, rejected)
		}
		if got := len(b.messages[b.flows[len(b.flows)-1]]); got != 1 {
			t.Errorf("beside a message of %d bytes: %d messages of another flow, want 1", size, got)
		}
	}
}
