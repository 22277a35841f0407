package run

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"rtmfp/group"
	"rtmfp/internal/clock"
	"rtmfp/node"
	"rtmfp/simulations"
	"rtmfp/simulations/scenario"
)

// Posts get to everybody, and messages to those that are nearest to their
// targets.
func TestTraffic(t *testing.T) {
	s, err := scenario.Parse("t.toml", `
nodes = 7
warmup = "7s"
duration = "5s"
drain = "3s"
[network]
loss = 0.01
[posts]
rate = 3
[routing]
rate = 8
seam = 0.5
[checks]
turns = 1
order = true
ring = true
quiet = "4s"
near = 3
`, "")
	if err != nil {
		t.Fatal(err)
	}
	m, err := s.Map()
	if err != nil {
		t.Fatal(err)
	}
	res, err := Run(context.Background(), s, m, 1, Options{})
	if err != nil || res.Breach != nil {
		t.Fatal(err, res.Breach)
	}
	for _, name := range []string{"post_lost_ratio", "route_lost_ratio", "route_failed_ratio", "route_wrong_ratio", "gone_known_mean_count"} {
		if v, ok := res.Figures[name]; !ok || v != 0 {
			t.Errorf("%s: got %v, %v, want 0", name, v, ok)
		}
	}
	for _, name := range []string{"post_delay_p50_ms", "post_delay_p99_ms", "route_delay_p50_ms", "route_delay_p99_ms", "route_answer_p50_ms", "route_mean_hops"} {
		if v := res.Figures[name]; v <= 0 {
			t.Errorf("%s: got %v, want more than 0", name, v)
		}
	}
}

// Pairs talk: all that they send gets there, under loss, and what they are told
// is true.
func TestTalk(t *testing.T) {
	res := once(t, parse(t, `
nodes = 3
warmup = "1s"
duration = "20s"
drain = "1s"
[network]
loss = 0.03
reorder = 0.02
[talk]
pairs = 2
session = "4s"
[checks]
turns = 4
[[shock]]
at = "8s"
kind = "move"
share = 1
`), 3, Options{})
	f := res.Figures
	for name, most := range map[string]float64{
		"talk_open_mean_ms": 3000, "talk_delay_p50_ms": 400, "talk_close_mean_ms": 2000, "talk_given_up_ratio": 0.5, "talk_wire_ratio": 2,
	} {
		if v, ok := f[name]; !ok || v <= 0 || v > most {
			t.Errorf("%s: got %v, %v, want up to %v", name, v, ok, most)
		}
	}
}

// What a scenario asks to be watched is watched: a node that has hung keeps
// neighbors that have given it up.
func TestWatchedRing(t *testing.T) {
	s := parse(t, "nodes = 8\nwarmup = \"5s\"\nduration = \"60s\"\n[network]\ngeography = \"flat\"\n[checks]\nring = true\ngrace = \"20s\"\n")
	m, err := s.Map()
	if err != nil {
		t.Fatal(err)
	}
	res, err := Run(t.Context(), s, m, 1, Options{Watch: func(number int, _ string, cfg *simulations.NodeConfig) {
		if number == 3 {
			cfg.Wrap = func(_ *simulations.Node, core *node.Core) simulations.Driven { return &hanging{Core: core} }
		}
	}})
	if err != nil || res.Breach == nil || res.Breach.Name != "ring" {
		t.Errorf("got %v and breach %v, want a broken ring", err, res.Breach)
	}
}

// hanging is a core that does nothing from the tenth second on.
type hanging struct {
	*node.Core
	over bool
}

func (h *hanging) HandleDatagram(now clock.Time, from netip.AddrPort, b []byte) {
	if h.over = h.over || now > clock.Time(10*time.Second); !h.over {
		h.Core.HandleDatagram(now, from, b)
	}
}

func (h *hanging) Advance(now clock.Time) {
	if h.over = h.over || now > clock.Time(10*time.Second); !h.over {
		h.Core.Advance(now)
	}
}

func (h *hanging) Deadline() clock.Time {
	if h.over {
		return clock.Never
	}
	return h.Core.Deadline()
}

// A routed message that comes to the wrong member, twice, or is never answered
// breaks an invariant.
func TestRouteInvariants(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(r *run, number int)
	}{
		{"twice", func(r *run, number int) {
			p := &r.routing.sent[number]
			r.routed(p.arrived[0], copyOf(r, number))
		}},
		{"to the wrong member", func(r *run, number int) {
			p := &r.routing.sent[number]
			p.arrived = nil
			for _, m := range r.living {
				if r.nearer(m, p.target) != nil && m != p.from {
					r.routed(m, copyOf(r, number))
					return
				}
			}
		}},
		{"a second result", func(r *run, number int) {
			r.routeResult(r.routing.sent[number].from, &group.RouteResult{ID: r.routing.sent[number].id, Status: group.RouteSent})
		}},
		{"changed on its way", func(r *run, number int) {
			msg := copyOf(r, number)
			msg.Data[20] ^= 1
			r.routed(r.living[0], msg)
		}},
		{"no result", func(r *run, number int) {
			p := &r.routing.sent[number]
			p.told, p.at = false, clock.Time(time.Second)
			r.routing.oldest = number
			if err := r.lookAtRoutes(r.net.Now()); err != nil {
				r.net.Fail(nil, "route", err.Error())
			}
		}},
	} {
		s := parse(t, "nodes = 8\nwarmup = \"4s\"\nduration = \"20s\"\n[network]\ngeography = \"flat\"\n[routing]\n[checks]\nring = true\nquiet = \"10s\"\n")
		m, err := s.Map()
		if err != nil {
			t.Fatal(err)
		}
		var r *run
		res, err := Run(t.Context(), s, m, 2, Options{made: func(made *run) { r = made }})
		if err != nil || res.Breach != nil {
			t.Fatal(err, res.Breach)
		}
		for number := len(r.routing.sent) - 20; ; number++ {
			p := &r.routing.sent[number]
			if len(p.arrived) == 1 && p.told && p.arrived[0] != p.from {
				c.do(r, number)
				break
			}
		}
		if b, ok := r.net.Err().(*simulations.Breach); !ok || b.Name != "route" && b.Name != "bytes" {
			t.Errorf("%s: got %v, want a broken invariant", c.name, r.net.Err())
		}
	}
}

// copyOf makes a routed message as its receiver gets it.
func copyOf(r *run, number int) *group.Routed {
	p := &r.routing.sent[number]
	data := make([]byte, len(r.routing.buf))
	r.routing.pattern.fill(data, uint64(number))
	return &group.Routed{ID: p.id, Origin: group.PeerID(p.from.peer), Target: p.target, Hops: 1, Request: p.request, Data: data}
}

// A message that is not as it was written shows, also if its pieces are those
// of others.
func TestPattern(t *testing.T) {
	const size = 3000
	p := newPattern(size)
	a, b := make([]byte, size), make([]byte, size)
	p.fill(a, 7)
	p.fill(b, 8)
	if n, err := p.read(a, size); n != 7 || err != nil {
		t.Errorf("got %d, %v, want 7", n, err)
	}
	mixed := append(append([]byte(nil), a[:1000]...), b[1000:]...)
	if _, err := p.read(mixed, size); err == nil {
		t.Error("pieces of two messages are taken for one")
	}
	if _, err := p.read(a[:size-1], size); err == nil {
		t.Error("a short message is taken")
	}
	a[size-1] ^= 1
	if _, err := p.read(a, size); err == nil {
		t.Error("a changed bit is not seen")
	}
}
