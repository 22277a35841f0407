package main

import (
	"context"
	"crypto/rand"
	"testing"
	"time"

	"rtmfp/group"
	"rtmfp/node"
	"rtmfp/transport/crypto"
)

// What a live stream of 2 Mbit/s to eight viewers costs all ten nodes together,
// over UDP on the loopback interface, with signatures and without: the publisher
// of a stream that is not signed has no key for that, and all admit that.
func BenchmarkLive(b *testing.B) {
	for _, signed := range []bool{false, true} {
		name := "unsigned"
		if signed {
			name = "signed"
		}
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				cpu, mbit, digests := liveCost(b, signed)
				b.ReportMetric(float64(cpu.Microseconds())/mbit, "cpu-us/Mbit")
				b.ReportMetric(100*digests, "%signatures")
			}
		})
	}
}

// liveCost returns the processor time of ten seconds, what the viewers got in
// them, and the share of signatures in that.
func liveCost(b *testing.B, signed bool) (cpu time.Duration, mbit, digests float64) {
	spec, err := group.NewSpec(group.SpecFields{Name: "cost", Version: 2, Multicast: true, ServerChannel: true})
	if err != nil {
		b.Fatal(err)
	}
	ctx := context.Background()
	start := func(cfg node.Config) (*node.Node, *node.Group) {
		cfg.Listen, cfg.AllowLegacy = "127.0.0.1:0", true
		n, err := node.Start(ctx, cfg)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { n.Close() })
		g, err := n.Join(ctx, spec.String())
		if err != nil {
			b.Fatal(err)
		}
		return n, g
	}
	introducer, _ := start(node.Config{Introduce: true, RelayAll: true})
	boot := []string{"rtmfp://" + introducer.Addr().String()}
	id, err := crypto.NewIdentity(rand.Reader, crypto.IdentityOptions{Sign: signed})
	if err != nil {
		b.Fatal(err)
	}
	_, g := start(node.Config{Bootstrap: boot, Identity: id})
	pub, err := g.Publish(ctx, "cam", node.PublishOptions{})
	if err != nil {
		b.Fatal(err)
	}
	var viewers []*node.Playback
	for range 8 {
		_, g := start(node.Config{Bootstrap: boot})
		p, err := g.Play(ctx, "cam", node.PlayOptions{})
		if err != nil {
			b.Fatal(err)
		}
		go func() {
			for _, err := range p.Frames(ctx) {
				if err != nil {
					return
				}
			}
		}()
		viewers = append(viewers, p)
	}
	const size, every = 940, 940 * 8 * time.Second / 2_000_000
	data := make([]byte, size)
	began := time.Now()
	write := func(until time.Duration) {
		for i := time.Since(began) / every; i < until/every; i++ {
			time.Sleep(time.Until(began.Add(i * every)))
			if err := pub.WriteMessage(data, i*every, i%266 == 0); err != nil {
				b.Fatal(err)
			}
		}
	}
	totals := func() (fragments, signatures uint64) {
		for _, p := range viewers {
			s := p.Stats()
			fragments += s.Fragments
			signatures += s.SignatureBytes
		}
		return fragments, signatures
	}
	write(5 * time.Second)
	cpu0 := cpuTime()
	f0, s0 := totals()
	write(15 * time.Second)
	f1, s1 := totals()
	bytes := float64(f1-f0) * size
	return cpuTime() - cpu0, bytes * 8 / 1e6, float64(s1-s0) / (bytes + float64(s1-s0))
}
