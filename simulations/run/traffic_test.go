package run

import (
	"context"
	"testing"

	"rtmfp/simulations/scenario"
)

// Posts get to everybody.
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
	for _, name := range []string{"post_lost_ratio"} {
		if v, ok := res.Figures[name]; !ok || v != 0 {
			t.Errorf("%s: got %v, %v, want 0", name, v, ok)
		}
	}
	for _, name := range []string{"post_delay_p50_ms", "post_delay_p99_ms"} {
		if v := res.Figures[name]; v <= 0 {
			t.Errorf("%s: got %v, want more than 0", name, v)
		}
	}
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
