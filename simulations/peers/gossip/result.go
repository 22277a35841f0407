package gossip

import (
	"runtime"
	"slices"
	"time"

	"rtmfp/simulations/peers/usage"
)

// Result is what came of one run.
type Result struct {
	System string
	Error  string `json:",omitempty"`

	Expected  int // deliveries: messages times those who did not publish them
	Delivered int

	Delay  Quantiles // from the call that publishes to the moment at which the receiver has it
	Direct Quantiles // of one datagram on the direct way between the same two

	Copies   float64 // of the payload that came to the receivers, for each that was needed
	Sent     Spread  // by node, from the first message to the end
	Received int64   // UDP payload of all nodes in that time, bytes

	JoinCPU float64 // seconds of the process, the simulator's included, before the first message
	CPU     float64 // and from the first message to the end
	Seconds float64 // virtual, from the first message to the end
	Heap    int64   // bytes, of the live heap and of stacks at the end, beyond what there was at first
	Peak    int64   // bytes of memory that the process had at most

	Notes map[string]int64 `json:",omitempty"` // counters that only one system has
}

// Quantiles describe a distribution of delays, in milliseconds.
type Quantiles struct{ Mean, P50, P95, P99, Max float64 }

// Spread describes what nodes sent, in bytes of UDP payload.
type Spread struct{ Mean, P50, P95, Max float64 }

// quantiles describes the values of all, which it sorts.
func quantiles[T ~int64](all []T) (mean, p50, p95, p99, maximum float64) {
	if len(all) == 0 {
		return
	}
	slices.Sort(all)
	for _, v := range all {
		mean += float64(v) / float64(len(all))
	}
	at := func(p float64) float64 { return float64(all[min(len(all)-1, int(p*float64(len(all))))]) }
	return mean, at(.5), at(.95), at(.99), at(1)
}

func delays(all []time.Duration) (q Quantiles) {
	q.Mean, q.P50, q.P95, q.P99, q.Max = quantiles(all)
	for _, v := range []*float64{&q.Mean, &q.P50, &q.P95, &q.P99, &q.Max} {
		*v /= float64(time.Millisecond)
	}
	return q
}

// memory returns the bytes of the live heap and of the stacks.
func memory() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// run is what is measured while a system carries out a scenario.
type run struct {
	*Scenario
	r         Result
	published []time.Duration   // by message: when
	delays    [][]time.Duration // by receiver; room for all of them is there from the beginning
	base      int64
	cpu       float64
	began     time.Duration
}

func newRun(system string, s *Scenario) *run {
	m := &run{Scenario: s, r: Result{System: system, Notes: map[string]int64{}}}
	m.r.Direct = delays(s.direct())
	m.published = make([]time.Duration, s.messages())
	m.delays = make([][]time.Duration, s.Nodes)
	for i := range m.delays {
		m.delays[i] = make([]time.Duration, 0, s.messages())
	}
	m.base, m.cpu = memory(), usage.CPUSeconds()
	return m
}

// begin is called right before the first message.
func (m *run) begin(now time.Duration) {
	m.r.JoinCPU = usage.CPUSeconds() - m.cpu
	m.cpu, m.began = usage.CPUSeconds(), now
}

// deliver notes that a node has got a message that somebody else published. It
// is called by one goroutine for each node at a time.
func (m *run) deliver(now time.Duration, to int, data []byte) error {
	n, err := check(data, m.Size, m.messages())
	if err == nil {
		m.delays[to] = append(m.delays[to], now-m.published[n])
	}
	return err
}

// end is called when the last message could have arrived, with what each
// node has sent since begin.
func (m *run) end(now time.Duration, sent []int64) {
	m.r.CPU = usage.CPUSeconds() - m.cpu
	m.r.Seconds = (now - m.began).Seconds()
	m.r.Heap, m.r.Peak = memory()-m.base, usage.PeakMemory()
	all := slices.Concat(m.delays...)
	m.r.Expected = m.messages() * (m.Nodes - 1)
	m.r.Delivered = len(all)
	m.r.Delay = delays(all)
	m.r.Sent.Mean, m.r.Sent.P50, m.r.Sent.P95, _, m.r.Sent.Max = quantiles(sent)
}

// fail notes why the run is worth nothing.
func (m *run) fail(err error) {
	if m.r.Error == "" {
		m.r.Error = err.Error()
	}
}
