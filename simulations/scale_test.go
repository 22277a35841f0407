//go:build !race

package simulations

import (
	"encoding/binary"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"rtmfp/group"
	"rtmfp/internal/clock"
	"rtmfp/multicast"
	"rtmfp/node"
)

// The figures of docs/simulations.md: how many nodes fit into a process, and
// how fast their time passes. Each is a benchmark that runs once:
//
//	go test ./simulations -run '^$' -bench Stream/10000 -benchtime 1x -timeout 2h

// crowd is a large group with simulated cryptography. Members join at a steady
// rate through introducers among the first of them.
type crowd struct {
	w       *Network
	members []*node.GroupCore
	spec    *group.Spec
	viewers []*crowdViewer
	pub     *multicast.Publication
	sent    int
	window  time.Duration
}

type crowdViewer struct {
	sub   *multicast.Subscription
	node  *Node
	count int
	lost  int
	next  uint64
	late  []time.Duration // of each message
	wrong string
}

const planetLatency = 5 * time.Millisecond // the least

// planet gives latencies of 5 to 150 ms from places on a square, without
// floating point.
func planet(from, to int) Link {
	place := func(n int) (x, y int) {
		h := mix(0, uint64(n))
		return int(h % 1000), int(h >> 32 % 1000)
	}
	ax, ay := place(from)
	bx, by := place(to)
	d := max(ax-bx, bx-ax) + max(ay-by, by-ay)
	return Link{Latency: planetLatency + time.Duration(d)*72*time.Microsecond}
}

func newCrowd(t testing.TB, cfg Config, size, perSecond int, members MemberOptions) *crowd {
	t.Helper()
	spec, err := group.NewSpec(group.SpecFields{Name: "crowd", Multicast: true, ServerChannel: true, Version: 2})
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Link == nil {
		cfg.Link, cfg.Lookahead = planet, planetLatency
	}
	c := &crowd{w: New(cfg), spec: spec}
	introducers := 1 + size/500
	due := time.Duration(0) // when the next one comes
	for i := range size {
		core := node.CoreConfig{Introduce: i < introducers, SimulatedCrypto: true}
		n, err := c.w.Add(NodeConfig{Core: core, Access: members.Access})
		if err != nil {
			t.Fatal(err)
		}
		c.w.Do(n, func(now clock.Time) {
			if i > 0 {
				door := c.w.Nodes()[(i*7919)%min(i, introducers)]
				n.Core.AddBootstrap(now, "rtmfp://"+door.Addr.String(), addrs(door.Addr))
			}
			c.members = append(c.members, n.Core.Join(now, spec))
		})
		n.OnTurn = func(clock.Time) { drainEvents(n) }
		if i < introducers {
			due += 10 * time.Millisecond
		} else {
			due += time.Second / time.Duration(perSecond)
		}
		// Where they come fast, several come at once, so that nodes can be run ahead of each other.
		if wait := due - time.Duration(c.w.Now()); wait >= planetLatency || i == size-1 {
			c.w.Run(wait)
		}
	}
	return c
}

// MemberOptions say what the members of a crowd have in common.
type MemberOptions struct{ Access Access }

func (c *crowd) sessions() (total, fewest int) {
	fewest = 1 << 30
	for _, m := range c.members {
		n := m.Group().NeighborCount()
		total += n
		fewest = min(fewest, n)
	}
	return total, fewest
}

// play makes all but the publisher, who is the last one, watch.
func (c *crowd) play(t testing.TB) {
	t.Helper()
	for i, n := range c.w.Nodes()[:len(c.members)-1] {
		v := &crowdViewer{node: n}
		c.w.Do(n, func(now clock.Time) {
			var err error
			if v.sub, err = c.members[i].Streams().Play(now, "cam", multicast.PlayConfig{}); err != nil {
				t.Fatal(err)
			}
		})
		n.OnTurn = func(clock.Time) { drainEvents(n); v.drain() }
		c.viewers = append(c.viewers, v)
	}
}

func (v *crowdViewer) drain() {
	for f, ok := v.sub.NextFrame(); ok; f, ok = v.sub.NextFrame() {
		n := binary.BigEndian.Uint64(f.Data)
		if v.count > 0 && n < v.next {
			v.wrong = fmt.Sprintf("message %d came after %d", n, v.next-1)
		}
		v.next = n + 1
		v.count++
		v.lost += f.Lost
		v.late = append(v.late, time.Duration(v.node.Unix()-f.SentAt)*time.Microsecond)
		v.sub.Reuse(f.Data)
	}
}

// publish sends a stream of 1 Mbit/s for d, in messages of 940 bytes.
func (c *crowd) publish(t testing.TB, d time.Duration) {
	t.Helper()
	const perSecond = 133
	last := len(c.members) - 1
	n := c.w.Nodes()[last]
	c.w.Do(n, func(now clock.Time) {
		if c.pub != nil {
			return
		}
		var err error
		if c.pub, err = c.members[last].Streams().Publish(now, "cam", multicast.StreamConfig{Window: c.window}); err != nil {
			t.Fatal(err)
		}
	})
	data := make([]byte, 940)
	end := c.w.Now().Add(d)
	var write func(now clock.Time)
	write = func(now clock.Time) {
		binary.BigEndian.PutUint64(data, uint64(c.sent))
		if err := c.pub.Write(now, multicast.Message{
			Data: data, Timestamp: uint32(c.sent * 1000 / perSecond),
			Key: c.sent%perSecond == 0, SentAt: n.Unix(),
		}); err != nil {
			t.Fatal(err)
		}
		c.sent++
		if next := now.Add(time.Second / perSecond); next < end {
			c.w.DoAt(n, next, write)
		}
	}
	c.w.Do(n, write)
	c.w.Run(d)
}

// peakRSS returns the most memory that the process had, in bytes, as Linux
// tells; 0 elsewhere.
func peakRSS() int64 {
	b, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "VmHWM:" {
			kb, _ := strconv.ParseInt(f[1], 10, 64)
			return kb << 10
		}
	}
	return 0
}

// stint is a part of a run that is measured.
type stint struct {
	w      *Network
	wall   time.Time
	cpu    time.Duration
	before Stats
	at     clock.Time
}

// lanes is how many nodes benchmarks run at once: as many as there are
// processors, which -cpu sets.
func lanes() int { return runtime.GOMAXPROCS(0) }

func begin(w *Network) stint { return stint{w, time.Now(), cpuTime(), w.Stats(), w.Now()} }

// report gives its figures.
func (m stint) report(b *testing.B) {
	wall, cpu, virtual := time.Since(m.wall), cpuTime()-m.cpu, m.w.Now().Sub(m.at)
	s, before := m.w.Stats(), m.before
	events, packets := float64(s.Events-before.Events), float64(s.Delivered-before.Delivered)
	b.ReportMetric(virtual.Seconds()/wall.Seconds(), "×real")
	b.ReportMetric(events/wall.Seconds(), "events/s")
	b.ReportMetric(packets/wall.Seconds(), "packets/s")
	b.ReportMetric(packets/virtual.Seconds(), "packets/virtual-s")
	if cpu > 0 {
		b.ReportMetric(virtual.Seconds()/cpu.Seconds(), "virtual-s/cpu-s")
		b.ReportMetric(events/cpu.Seconds(), "events/cpu-s")
	}
	b.ReportMetric(float64(peakRSS())/(1<<30), "GiB-peak")
	b.ReportMetric(0, "ns/op")
}

// How long an idle group settles, and is then measured.
const settleTime, idleTime = 5 * time.Second, 3 * time.Second

// BenchmarkIdle: members of one group that do nothing but belong to it.
func BenchmarkIdle(b *testing.B) {
	for _, size := range []int{1000, 10_000, 100_000} {
		b.Run(strconv.Itoa(size), func(b *testing.B) {
			for b.Loop() {
				defer debug.SetGCPercent(debug.SetGCPercent(30))
				defer debug.SetMemoryLimit(debug.SetMemoryLimit(17 << 30)) // what is asked for is 20 GiB
				before := liveHeap()
				began := time.Now()
				c := newCrowd(b, Config{Seed: 1, Lanes: lanes(), Checks: Checks{Turns: 1 << 20}}, size, max(size/10, 100), MemberOptions{})
				joined := time.Since(began)
				c.w.Run(settleTime)
				m := begin(c.w)
				c.w.Run(idleTime)
				if err := c.w.Err(); err != nil {
					b.Fatal(err)
				}
				total, fewest := c.sessions()
				m.report(b)
				c.w.Slim()
				each := (liveHeap() - before) / int64(size)
				b.ReportMetric(float64(each), "B/node")
				b.ReportMetric(float64(total)/float64(size), "sessions")
				b.ReportMetric(joined.Seconds(), "s-joining")
				b.Logf("%d members, the fewest sessions are %d, ring: %v, trace %016x, %+v", size, fewest, c.w.String(), c.w.Trace(), c.w.Stats())
				runtime.KeepAlive(c)
			}
		})
	}
}

// BenchmarkStream: all members of a group watch one stream of 1 Mbit/s.
func BenchmarkStream(b *testing.B) {
	for _, c := range []struct {
		size          int
		warm, virtual time.Duration
		window        time.Duration // 0: as it is by default, 8 s, a megabyte for each node
	}{{10, 10 * time.Second, 60 * time.Second, 0}, {100, 10 * time.Second, 20 * time.Second, 0}, {1000, 10 * time.Second, 10 * time.Second, 0}, {10_000, 5 * time.Second, 3 * time.Second, 4 * time.Second}} {
		b.Run(strconv.Itoa(c.size), func(b *testing.B) {
			for b.Loop() {
				// What lives as long as a viewer is far more than what it throws away.
				defer debug.SetGCPercent(debug.SetGCPercent(50))
				defer debug.SetMemoryLimit(debug.SetMemoryLimit(11 << 30))
				crowd := newCrowd(b, Config{Seed: 1, Lanes: lanes(), Checks: Checks{Turns: 1 << 16}}, c.size, max(c.size/10, 50), MemberOptions{})
				crowd.w.Run(5 * time.Second)
				crowd.play(b)
				crowd.w.Run(time.Second)
				crowd.window = c.window
				crowd.publish(b, c.warm) // the window fills
				m := begin(crowd.w)
				for _, v := range crowd.viewers {
					v.late = v.late[:0]
				}
				crowd.publish(b, c.virtual)
				m.report(b)
				if err := crowd.w.Err(); err != nil {
					b.Fatal(err)
				}
				crowd.tell(b)
			}
		})
	}
}

// tell reports what viewers saw.
func (c *crowd) tell(b *testing.B) {
	var late []time.Duration
	lost, none := 0, 0
	for i, v := range c.viewers {
		if v.wrong != "" {
			b.Errorf("viewer %d: %s", i, v.wrong)
		}
		lost += v.lost
		if v.count == 0 {
			none++
		}
		late = append(late, v.late...)
	}
	slices.Sort(late)
	if len(late) == 0 {
		b.Fatal("nobody saw anything")
	}
	total, fewest := c.sessions()
	b.Logf("delay p50 %v p95 %v p99 %v max %v; %d lost, %d of %d viewers without a picture; %.1f sessions, %d at least; trace %016x",
		late[len(late)/2], late[len(late)*95/100], late[len(late)*99/100], late[len(late)-1], lost, none, len(c.viewers),
		float64(total)/float64(len(c.members)), fewest, c.w.Trace())
}
