package fairness

import (
	"encoding/binary"
	"flag"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"rtmfp/internal/clock"
	"rtmfp/transport"
)

var (
	full    = flag.Bool("full", false, "run every row, for as long as it takes")
	seeds   = flag.Int("seeds", 3, "runs of each row against TCP")
	message = flag.Int("message", 30_000, "bytes of each message of bulk data")
	packets = flag.Bool("packets", false, "the bottleneck's queue counts packets, not bytes")
)

const mbit = 1_000_000

// Jain's index of n shares.
func jain(shares []float64) float64 {
	var sum, squares float64
	for _, x := range shares {
		sum += x
		squares += x * x
	}
	return sum * sum / (float64(len(shares)) * squares)
}

// Own bulk sessions share a bottleneck equally.
func TestOwnFlows(t *testing.T) {
	length := 3 * time.Minute
	counts := []int{2, 8}
	paths := []path{{rate: 20 * mbit, rtt: 40 * time.Millisecond, queue: 1}}
	if *full {
		length = 10 * time.Minute
		counts = []int{2, 3, 4, 6, 8, 12, 16}
		paths = append(paths, path{rate: 50 * mbit, rtt: 20 * time.Millisecond, queue: 0.5})
	}
	for _, n := range counts {
		for _, p := range paths {
			t.Run(fmt.Sprintf("%d/%v", n, p), func(t *testing.T) {
				w := newWorld(t, p, uint64(n))
				to := w.node(false)
				var all []*node
				for i := range n {
					all = append(all, w.bulk(to, transport.FlowOptions{}, time.Duration(i)*100*time.Millisecond))
				}
				shares, total := measure(w, length, func() (seen []int) {
					for _, a := range all {
						seen = append(seen, a.seen)
					}
					return seen
				})
				used := total * 8 / float64(p.rate)
				t.Logf("Jain %.4f, use %.3f, shares %.3f", jain(shares), used, shares)
				if got := jain(shares); got < 0.98 {
					t.Errorf("Jain's index of %d flows: got %.4f, want at least 0.98", n, got)
				}
				if used < 0.9 {
					t.Errorf("use: got %.3f, want at least 0.9", used)
				}
			})
		}
	}
}

// measure lets the flows settle for a quarter of the time, and returns each
// one's share of what passes in the rest, and all of that in bytes per second.
func measure(w *world, length time.Duration, seen func() []int) (shares []float64, rate float64) {
	w.run(length / 4)
	before := seen()
	w.run(length - length/4)
	total := 0.0
	for i, n := range seen() {
		shares = append(shares, float64(n-before[i]))
		total += shares[i]
	}
	for i := range shares {
		shares[i] /= total
	}
	return shares, total / (length - length/4).Seconds()
}

// grid is the paths on which flows meet TCP; without -full some of each speed.
func grid() (all []path) {
	const ms = time.Millisecond
	if !*full {
		return []path{
			{rate: 10 * mbit, rtt: 10 * ms, queue: 0.5}, {rate: 10 * mbit, rtt: 10 * ms, queue: 4},
			{rate: 10 * mbit, rtt: 50 * ms, queue: 1}, {rate: 10 * mbit, rtt: 200 * ms, queue: 0.5},
			{rate: 50 * mbit, rtt: 10 * ms, queue: 4}, {rate: 50 * mbit, rtt: 50 * ms, queue: 1},
			{rate: 100 * mbit, rtt: 10 * ms, queue: 1}, {rate: 100 * mbit, rtt: 10 * ms, queue: 4},
		}
	}
	for _, rate := range []int{10 * mbit, 50 * mbit, 100 * mbit} {
		for _, rtt := range []time.Duration{10 * ms, 50 * ms, 200 * ms} {
			for _, queue := range []float64{0.5, 1, 4} {
				all = append(all, path{rate: rate, rtt: rtt, queue: queue})
			}
		}
	}
	return all
}

// meeting is what became of a session that met a TCP connection: its share of
// what passed, the share of the path that was used, and how often the session
// was cut, the connection, and of those cuts, how often each alone.
type meeting struct {
	share, used                float64
	cuts, tcp, alone, tcpAlone int
}

// meets is meet's mean over a few seeds, since one cut more or less of CUBIC's
// few makes a difference of a tenth within a minute, and the standard error of
// its share. Cuts are summed.
func meets(t *testing.T, p path, o transport.FlowOptions, length time.Duration) (sum meeting, err float64) {
	n := float64(*seeds)
	squares := 0.0
	for seed := range *seeds {
		m := meet(t, p, o, length, uint64(seed+1))
		sum.share += m.share / n
		sum.used += m.used / n
		squares += m.share * m.share / n
		sum.cuts, sum.tcp = sum.cuts+m.cuts, sum.tcp+m.tcp
		sum.alone, sum.tcpAlone = sum.alone+m.alone, sum.tcpAlone+m.tcpAlone
	}
	return sum, math.Sqrt(max(squares-sum.share*sum.share, 0) / max(n-1, 1))
}

// meet lets a session and a TCP connection share a path.
func meet(t *testing.T, p path, o transport.FlowOptions, length time.Duration, seed uint64) (m meeting) {
	w := newWorld(t, p, seed)
	to := w.node(false)
	a := w.bulk(to, o, time.Duration(w.rng.Int64N(int64(time.Second))))
	c := w.tcpFlow(time.Duration(w.rng.Int64N(int64(time.Second))))
	shares, rate := measure(w, length, func() []int { return []int{a.seen, c.seen} })
	trip := p.rtt + time.Duration(p.queue*float64(p.rtt)) // with a full queue
	return meeting{
		share: shares[0], used: rate * 8 / float64(p.rate),
		cuts: len(a.cut), tcp: len(c.cut), alone: alone(a.cut, c.cut, 2*trip), tcpAlone: alone(c.cut, a.cut, 2*trip),
	}
}

// alone counts the times of which none of the others is within d. Both rise.
func alone(times, others []clock.Time, d time.Duration) (n int) {
	for _, at := range times {
		for len(others) > 0 && others[0] < at.Add(-d) {
			others = others[1:]
		}
		if len(others) == 0 || others[0] > at.Add(d) {
			n++
		}
	}
	return n
}

func TestAgainstTCP(t *testing.T) {
	length := 60 * time.Second
	if *full {
		length = 300 * time.Second
	}
	for _, p := range grid() {
		t.Run(fmt.Sprint(p), func(t *testing.T) {
			t.Parallel()
			length := length
			slow := float64(p.rate)*p.rtt.Seconds() >= 2*mbit // CUBIC cuts once in 4 to 7 s there
			if slow || p.queue > 1 && p.rtt > 100*time.Millisecond {
				length *= 4
			}
			m, err := meets(t, p, transport.FlowOptions{}, length)
			t.Logf("%v: share %.3f (standard error %.3f), use %.3f, cut %d times and %d of them alone, TCP %d and %d",
				p, m.share, err, m.used, m.cuts, m.alone, m.tcp, m.tcpAlone)
			if m.share < 0.4 || m.share > 0.6 {
				t.Errorf("share against TCP: got %.3f, want 0.4 to 0.6", m.share)
			}
		})
	}
}

func TestBackgroundAgainstTCP(t *testing.T) {
	length := 60 * time.Second
	if *full {
		length = 300 * time.Second
	}
	for _, p := range grid() {
		t.Run(fmt.Sprint(p), func(t *testing.T) {
			t.Parallel()
			length := length
			if !*full && p.rate > 10*mbit {
				length /= 2
			}
			m := meet(t, p, transport.FlowOptions{Background: true}, length, 1)
			t.Logf("%v: share %.3f, use %.3f", p, m.share, m.used)
			if m.share > 0.05 {
				t.Errorf("share against TCP: got %.3f, want at most 0.05", m.share)
			}
		})
	}
}

func (p path) String() string {
	return fmt.Sprintf("%dMbit,%v,%gBDP", p.rate/mbit, p.rtt, p.queue)
}

// A time-critical flow whose receiver also takes bulk data from eight others,
// through the same bottleneck, is hardly delayed: the receiver notifies them
// (RFC 7016 §3.5.2.1).
func TestTimeCriticalAmongBulk(t *testing.T) {
	length := 40 * time.Second
	paths := []path{{rate: 50 * mbit, rtt: 40 * time.Millisecond, queue: 1}, {rate: 20 * mbit, rtt: 40 * time.Millisecond, queue: 1}}
	if *full {
		length = 180 * time.Second
		paths = append(paths, path{rate: 100 * mbit, rtt: 20 * time.Millisecond, queue: 4}, path{rate: 50 * mbit, rtt: 100 * time.Millisecond, queue: 2})
	}
	for _, p := range paths {
		t.Run(fmt.Sprint(p), func(t *testing.T) {
			w := newWorld(t, p, 1)
			to := w.node(false)
			var all []*node
			for range 8 {
				all = append(all, w.bulk(to, transport.FlowOptions{}, time.Duration(w.rng.Int64N(int64(time.Second)))))
			}
			live := w.node(true)
			s := w.connect(live, to)
			w.run(5 * time.Second)
			f, err := s.OpenFlow(w.at, transport.FlowOptions{Metadata: []byte("live"), TimeCritical: true, Priority: 5})
			if err != nil {
				t.Fatal(err)
			}
			var delays []time.Duration
			to.on = func(ev transport.Event) {
				if ev.Kind == transport.Message && string(ev.Recv.Metadata()) == "live" {
					delays = append(delays, w.at.Sub(clock.Time(binary.BigEndian.Uint64(ev.Data))))
				}
			}
			var tick func()
			count := 0
			tick = func() { // 1 Mbit/s
				m := binary.BigEndian.AppendUint64(make([]byte, 0, 1000), uint64(w.at))
				if f.Send(w.at, m[:1000], transport.SendOptions{Deadline: w.at.Add(time.Second)}) == nil {
					count++
				}
				live.turn()
				w.after(8*time.Millisecond, tick)
			}
			tick()
			before := 0
			for _, a := range all {
				before -= a.seen
			}
			w.run(length)
			sum := before
			for _, a := range all {
				sum += a.seen
			}
			slices.Sort(delays)
			worst := delays[len(delays)*99/100] - p.rtt/2
			use := float64(sum) * 8 / length.Seconds() / float64(p.rate)
			t.Logf("p50 %v, p99 %v over base, %d of %d; bulk uses %.3f", delays[len(delays)/2]-p.rtt/2, worst, len(delays), count, use)
			if worst > 15*time.Millisecond {
				t.Errorf("p99 of one-way delays: got %v over base, want at most 15 ms", worst)
			}
			if len(delays) < count*99/100 {
				t.Errorf("arrived: got %d of %d", len(delays), count)
			}
			if use < 0.5 {
				t.Errorf("bulk senders use %.3f of the path, want at least half", use)
			}
		})
	}
}
