package run

import (
	"fmt"
	"math"
	"slices"
	"time"

	"rtmfp/simulations"
	"rtmfp/simulations/figure"
)

// Result is what came of one run.
type Result struct {
	Seed    uint64
	Trace   string // fingerprint of all that arrived, as hexadecimal digits
	Figures map[string]float64
	Breach  *simulations.Breach // the invariant that was broken, nil if none was
	Wall    time.Duration

	// Where is where each node was, by its number.
	Where []Where

	// What reports draw.
	Delay   figure.Histogram // µs
	Direct  figure.Histogram // µs
	Depth   figure.Histogram // hops
	Seconds []Second
	Samples []Sample
	Uploads map[string]*figure.Histogram // bit/s, by class
	OnTime  []float64                    // share in each tenth of a second, -1 where nothing was due
	Shocks  []Shock
}

// Where is a node's place in the geography, and what its line adds to the
// latency one way.
type Where struct {
	Place    int
	LastMile time.Duration
}

// Second is the delay of the messages that were published in one second.
type Second struct{ P50, P95, P99 float64 } // ms; NaN where there is none

// Shock is a shock that came about.
type Shock struct {
	Name     string
	At, Over float64 // s, from the end of warm-up: when it came, and when its cause was gone
	Hit      int     // nodes
}

// result makes the Result of a run that has ended.
func (r *run) result(seed uint64, wall time.Duration) *Result {
	defer r.release()
	if r.measuring { // it was cut short
		r.finish()
	}
	for _, m := range r.living {
		r.closeViewer(m, true)
	}
	res := &Result{
		Seed: seed, Trace: fmt.Sprintf("%016x", r.net.Trace()), Wall: wall,
		Figures: map[string]float64{}, Uploads: map[string]*figure.Histogram{},
		Delay: r.tally.delay, Direct: r.tally.direct, Depth: r.tally.depth, Samples: r.tally.samples,
	}
	for _, m := range r.members {
		res.Where = append(res.Where, Where{m.place, m.lastMile})
	}
	if b, ok := r.net.Err().(*simulations.Breach); ok {
		res.Breach = b
	}
	if !r.begun {
		return res // it did not get beyond its warm-up
	}
	if r.s.Live != nil {
		r.streamFigures(res)
	}
	r.trafficFigures(res)
	r.routeFigures(res)
	r.fileFigures(res)
	r.talkFigures(res)
	r.churnFigures(res)
	r.shockFigures(res)
	r.uploadFigures(res)
	r.groupFigures(res)
	res.machine(r)
	for i := range r.tally.perSecond {
		h := &r.tally.perSecond[i]
		res.Seconds = append(res.Seconds, Second{h.Quantile(0.5) / 1000, h.Quantile(0.95) / 1000, h.Quantile(0.99) / 1000})
	}
	return res
}

// set notes a figure, unless there was nothing to take it of.
func (res *Result) set(name string, v float64) {
	if _, ok := figure.Find(name); !ok {
		panic("BUG: run: no figure is named " + name)
	}
	if !math.IsNaN(v) && !math.IsInf(v, 0) {
		res.Figures[name] = v
	}
}

func (r *run) streamFigures(res *Result) {
	t := &r.tally
	ms := func(name string, us float64) { res.set(name, us/1000) }
	ms("startup_p50_ms", t.startup.Quantile(0.5))
	ms("startup_p95_ms", t.startup.Quantile(0.95))
	ms("startup_p99_ms", t.startup.Quantile(0.99))
	if t.startup.Count() > 0 {
		ms("startup_max_ms", t.startup.Max())
	}
	ms("startup_less_join_p95_ms", t.startupLess.Quantile(0.95))
	res.set("not_started_ratio", float64(t.neverBegan)/float64(t.watched))
	ms("delay_mean_ms", t.delay.Mean())
	ms("delay_p50_ms", t.delay.Quantile(0.5))
	ms("delay_p95_ms", t.delay.Quantile(0.95))
	ms("delay_p99_ms", t.delay.Quantile(0.99))
	if t.delay.Count() > 0 {
		ms("delay_max_ms", t.delay.Max())
	}
	ms("direct_mean_ms", t.direct.Mean())
	ms("direct_p99_ms", t.direct.Quantile(0.99))
	res.set("stretch_mean_ratio", t.delay.Mean()/t.direct.Mean())
	res.set("stretch_p99_ratio", t.delay.Quantile(0.99)/t.direct.Quantile(0.99))
	for i, name := range [...]string{"ontime_200ms_ratio", "ontime_500ms_ratio", "ontime_1000ms_ratio"} {
		if v, some := r.windows.total(i); some {
			res.set(name, v)
		}
	}
	r.fragments.figures(res)
	res.set("short_ratio", max(1-float64(t.came)/float64(t.meant), 0))
	if v, some := r.windows.total(single); some {
		res.set("fragment_ontime_ratio", v)
	}
	res.set("lost_ratio", float64(t.lost)/float64(t.lost+t.played))
	res.set("duplicates_ratio", float64(t.dups)/float64(t.fragments))
	res.set("stream_control_ratio", float64(t.count.ControlBytesSent)/float64(t.count.BytesSent))
	media := float64(r.sent-min(r.counted, r.sent)) * float64(len(r.message))
	res.set("wire_overhead_ratio", float64(t.net.Bytes)/(float64(t.played)*float64(len(r.message)))-1)
	if r.pub != nil {
		res.set("publisher_copies_ratio", float64(r.pub.Stats().BytesSent-r.publisher().books.stream.BytesSent)/media)
		res.set("publisher_wire_copies_ratio", float64(t.pubSent)/media)
	}
	res.set("depth_mean_hops", t.depth.Mean())
	res.set("depth_p95_hops", t.depth.Quantile(0.95))
	if t.depth.Count() > 0 {
		res.set("depth_max_hops", t.depth.Max())
	}
	res.set("pulled_ratio", float64(t.pulled)/float64(t.fragments))
	res.set("unfed_ratio", float64(t.unfed)/float64(t.fed+t.unfed))
}

// shockFigures tells how each shock was got over.
func (r *run) shockFigures(res *Result) {
	deadline := slices.Index(deadlineList[:], time.Duration(r.s.Measure.Deadline))
	end := min(len(r.windows.due), binOf(r.ended.Sub(r.began)))
	for i := range end {
		share, some := r.windows.share(i, i+1, deadline)
		if !some {
			share = -1
		}
		res.OnTime = append(res.OnTime, share)
	}
	for i, sh := range r.shocks {
		if sh.at > r.ended.Sub(r.began) {
			break // the run was cut short
		}
		res.Shocks = append(res.Shocks, Shock{sh.name, sh.at.Seconds(), sh.over.Seconds(), sh.hit})
		if end == 0 {
			continue // nothing was sent
		}
		to := end
		if i+1 < len(r.shocks) {
			to = min(to, binOf(r.shocks[i+1].at))
		}
		res.set("worst_ontime_ratio."+sh.name, r.windows.worst(binOf(sh.at), to, deadline))
		if sh.spec.Kind == "latencies" {
			back := -1.0
			if d, ok := r.fragments.recovery(binOf(sh.at), to, float64(r.s.Measure.Stretch)); ok {
				back = d.Seconds()
			}
			res.set("stretch_recovery_s."+sh.name, back)
		}
		for name, column := range map[string]int{"recovery_s.": deadline, "fragment_recovery_s.": single} {
			if d, ok := r.windows.recovery(binOf(sh.over), to, column); ok {
				res.set(name+sh.name, d.Seconds())
			} else {
				res.set(name+sh.name, -1)
			}
		}
	}
}

func (r *run) uploadFigures(res *Result) {
	for name, u := range r.tally.uploads {
		if u.rate.Count() == 0 {
			continue
		}
		res.Uploads[name] = &u.rate
		res.set("upload_mean_bit_per_s."+name, u.rate.Mean())
		res.set("upload_p99_bit_per_s."+name, u.rate.Quantile(0.99))
		if u.limit > 0 {
			res.set("limit_use_ratio."+name, u.use/float64(u.rate.Count()))
		}
	}
}

func (r *run) groupFigures(res *Result) {
	t := &r.tally
	res.set("membership_bytes_per_s", t.membership/t.nodeTime)
	if r.s.Live == nil && r.s.Files == nil {
		res.set("maintenance_bytes_per_s", float64(t.net.Bytes)/t.nodeTime)
	}
	res.set("neighbors_mean_count", t.neighbors.Mean())
	res.set("neighbors_p95_count", t.neighbors.Quantile(0.95))
	res.set("neighbors_max_count", t.neighbors.Max())
	if t.ringN > 0 {
		res.set("ring_ratio", t.ringSum/float64(t.ringN))
		res.set("ring_worst_ratio", t.ringWorst)
		res.set("nodes_mean_count", t.nodesSum/float64(t.ringN))
	}
	res.set("dials_per_s", float64(t.dials)/t.nodeTime)
	res.set("dials_failed_ratio", share(float64(t.dialsFailed), float64(t.dials)))
	res.set("joined_ratio", 1-float64(t.notJoined)/float64(t.stayed))
	sent := float64(t.net.Sent)
	d := &t.net.Dropped
	res.set("lost_datagrams_ratio", float64(d[simulations.DropLoss]+d[simulations.DropFault])/sent)
	res.set("queue_drops_ratio", float64(d[simulations.DropUplink]+d[simulations.DropDownlink]+d[simulations.DropSocket])/sent)
	res.set("refused_count", float64(t.refused))
}

// machine notes the figures that depend on the machine.
func (res *Result) machine(r *run) {
	events := float64(r.net.Stats().Events)
	res.set("events_count", events)
	res.set("events_per_s", events/res.Wall.Seconds())
	res.set("real_time_ratio", time.Duration(r.net.Now()).Seconds()/res.Wall.Seconds())
	res.set("memory_per_node_bytes", r.tally.memory)
}
