package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"rtmfp/simulations/figure"
	"rtmfp/simulations/run"
	"rtmfp/simulations/scenario"
)

// drawing is a plot as it stands on the page.
type drawing struct {
	Title, Read, SVG string
}

func (p *plot) drawing() drawing { return drawing{p.Title, p.Read, p.SVG()} }

// drawings returns all plots for which there is something to draw.
func drawings(s *scenario.Scenario, results []*run.Result) []drawing {
	var all []drawing
	for _, p := range []*plot{
		delayDistribution(results), delayOverTime(results), onTime(s, results), depth(results),
	} {
		if p != nil && !p.empty() {
			all = append(all, p.drawing())
		}
	}
	if d, ok := uploads(s, results); ok {
		all = append(all, d)
	}
	if s.Live != nil {
		if p := duplicates(results); !p.empty() {
			all = append(all, p.drawing())
		}
	}
	for _, p := range repairs(s, results) {
		all = append(all, p.drawing())
	}
	for _, p := range []*plot{ringHealth(results), neighbors(results), nodes(results)} {
		if !p.empty() {
			all = append(all, p.drawing())
		}
	}
	return all
}

func delayDistribution(results []*run.Result) *plot {
	p := newPlot("Delay", "ms", "share of deliveries",
		"From the publisher's write to the moment a viewer can play the message, in order: the curve at 200 ms is the share of "+
			"deliveries that took no longer. The dashed curve is what the network alone would take, straight from the publisher; "+
			"thin curves are single seeds. The further left and the steeper, the better.")
	p.percent = true
	var all, direct figure.Histogram
	for _, r := range results {
		all.Merge(&r.Delay)
		direct.Merge(&r.Direct)
	}
	if all.Count() == 0 {
		return nil
	}
	most := max(all.Quantile(0.999), direct.Quantile(0.999)) / 1000
	if len(results) > 1 {
		for _, r := range results {
			p.line("", "thin", cumulative(&r.Delay, most))
		}
	}
	p.line("straight", "b dashed", cumulative(&direct, most))
	p.line("through the group", "a", cumulative(&all, most))
	p.minX, p.maxX, p.maxY = 0, most, 1
	return p
}

func cumulative(h *figure.Histogram, most float64) []point {
	points := []point{{0, 0}}
	for _, q := range h.Points(400) {
		if q.Value/1000 > most {
			break
		}
		points = append(points, point{q.Value / 1000, q.Share})
	}
	if h.Max()/1000 < most {
		points = append(points, point{most, 1})
	}
	return points
}

// shockMarks adds the shocks to a plot over time.
func (p *plot) shockMarks(results []*run.Result) {
	for _, r := range results {
		if len(r.Shocks) > len(p.marks) {
			p.marks = nil
			for _, s := range r.Shocks {
				p.marks = append(p.marks, mark{s.At, s.Name})
			}
		}
	}
}

func delayOverTime(results []*run.Result) *plot {
	p := newPlot("Delay over time", "s since the stream began", "ms",
		"Delay of the messages that were published in each second: half of the deliveries took less than p50, 95 of 100 less than "+
			"p95, 99 of 100 less than p99; means over the seeds. Peaks after a shock show how long and how badly viewers felt it.")
	for _, c := range []struct {
		name, class string
		get         func(run.Second) float64
	}{
		{"p50", "a", func(s run.Second) float64 { return s.P50 }},
		{"p95", "b", func(s run.Second) float64 { return s.P95 }},
		{"p99", "c", func(s run.Second) float64 { return s.P99 }},
	} {
		var points []point
		for i := range longest(results, func(r *run.Result) int { return len(r.Seconds) }) {
			points = append(points, point{float64(i) + 0.5, meanOver(results, func(r *run.Result) (float64, bool) {
				if i >= len(r.Seconds) {
					return 0, false
				}
				v := c.get(r.Seconds[i])
				return v, !math.IsNaN(v)
			})})
		}
		p.line(c.name, c.class, points)
	}
	p.minX = 0
	p.shockMarks(results)
	return p
}

func longest(results []*run.Result, n func(*run.Result) int) int {
	most := 0
	for _, r := range results {
		most = max(most, n(r))
	}
	return most
}

// meanOver returns the mean over the results that have a value, NaN if none has.
func meanOver(results []*run.Result, get func(*run.Result) (float64, bool)) float64 {
	sum, n := 0.0, 0
	for _, r := range results {
		if v, some := get(r); some {
			sum += v
			n++
		}
	}
	return sum / float64(n)
}

func onTime(s *scenario.Scenario, results []*run.Result) *plot {
	p := newPlot("Messages on time", "s since the stream began", fmt.Sprintf("share within %v", s.Measure.Deadline),
		fmt.Sprintf("Share of the messages, published in each half second, that viewers could play within %v. The curve is the mean over "+
			"the seeds, the thin one the worst seed. A dip is what viewers see as a stall, unless their player buffers more.", s.Measure.Deadline))
	p.percent = true
	const bins = 5
	var mean, worst []point
	for i := 0; i < longest(results, func(r *run.Result) int { return len(r.OnTime) }); i += bins {
		x := float64(i)/10 + 0.25
		least := math.NaN()
		y := meanOver(results, func(r *run.Result) (float64, bool) {
			v, some := meanShare(r.OnTime, i, i+bins)
			if some && !(v >= least) {
				least = v
			}
			return v, some
		})
		mean, worst = append(mean, point{x, y}), append(worst, point{x, least})
	}
	if len(results) > 1 {
		p.line("worst seed", "thin", worst)
	}
	p.line("mean", "a", mean)
	p.minX, p.maxY = 0, 1
	p.minY = floorOf(p.lines)
	p.shockMarks(results)
	return p
}

// floorOf returns where the axis of shares begins: near the least of them, so
// that small dips can be seen.
func floorOf(lines []line) float64 {
	least := 1.0
	for _, l := range lines {
		for _, q := range l.points {
			if !math.IsNaN(q.y) {
				least = min(least, q.y)
			}
		}
	}
	for _, floor := range [...]float64{0.99, 0.95, 0.9, 0.8, 0.5} {
		if least > floor {
			return floor
		}
	}
	return 0
}

func meanShare(list []float64, from, to int) (float64, bool) {
	sum, n := 0.0, 0
	for _, v := range list[min(from, len(list)):min(to, len(list))] {
		if v >= 0 {
			sum += v
			n++
		}
	}
	return sum / float64(n), n > 0
}

func depth(results []*run.Result) *plot {
	p := newPlot("Depth of the trees", "hops from the publisher", "share of slices",
		"The stream is cut into eight slices, each with a tree of its own. A bar is the share of all viewers' slices that are so many "+
			"hops from the publisher. Deep trees add delay and break more often; shallow ones cost those near the top more upload.")
	p.percent, p.whole = true, true
	var all figure.Histogram
	for _, r := range results {
		all.Merge(&r.Depth)
	}
	if all.Count() == 0 {
		return nil
	}
	last := 0.0
	for hops := 0; hops <= int(all.Max()); hops++ {
		share := all.Share(uint64(hops))
		if hops > 0 {
			p.bars = append(p.bars, point{float64(hops), share - last})
			p.include(point{float64(hops) - 0.5, share - last})
			p.include(point{float64(hops) + 0.5, share - last})
		}
		last = share
	}
	return p
}

func uploads(s *scenario.Scenario, results []*run.Result) (drawing, bool) {
	byName := map[string]*figure.Histogram{}
	for _, r := range results {
		for name, h := range r.Uploads {
			if byName[name] == nil {
				byName[name] = &figure.Histogram{}
			}
			byName[name].Merge(h)
		}
	}
	var all []strip
	for name, h := range byName {
		st := strip{name: name, p5: h.Quantile(0.05), p50: h.Quantile(0.5), p95: h.Quantile(0.95), p99: h.Quantile(0.99)}
		for i := range s.Classes {
			if c := &s.Classes[i]; c.Name == name {
				if st.cap = float64(c.UploadLimit); st.cap == 0 {
					st.cap = float64(c.Up)
				}
			}
		}
		all = append(all, st)
	}
	slices.SortFunc(all, func(a, b strip) int { return cmp.Compare(a.name, b.name) })
	return drawing{
		Title: "Upload by class",
		Read: "What nodes send, all of it: the bar reaches from the 5th to the 95th percentile of the nodes, the tick is the one in the middle, " +
			"the thin line goes on to the 99th. The red line is what the class may send, its limit or its access link. Good is when nobody " +
			"is at the line and those with room carry more.",
		SVG: strips("Upload by class", all, "bit/s"),
	}, len(all) > 0
}

// series returns the mean over the seeds of what a sample tells.
func series(results []*run.Result, get func(*run.Sample) float64) []point {
	var points []point
	for i := range longest(results, func(r *run.Result) int { return len(r.Samples) }) {
		x := 0.0
		y := meanOver(results, func(r *run.Result) (float64, bool) {
			if i >= len(r.Samples) {
				return 0, false
			}
			x = r.Samples[i].At
			return get(&r.Samples[i]), true
		})
		points = append(points, point{x, y})
	}
	return points
}

func duplicates(results []*run.Result) *plot {
	p := newPlot("Duplicates", "s since the stream began", "share of fragments",
		"Fragments that viewers received again, by those received first. They are wasted upload: some are the price of repair that does "+
			"not wait, and there are more of them while trees change.")
	p.percent = true
	p.line("", "a", series(results, func(s *run.Sample) float64 { return s.Duplicates }))
	p.minX = 0
	p.shockMarks(results)
	return p
}

// repairs returns a plot for each shock.
func repairs(s *scenario.Scenario, results []*run.Result) (all []*plot) {
	most := longest(results, func(r *run.Result) int { return len(r.Shocks) })
	for i := range most {
		var p *plot
		var sum []float64
		var n []int
		for _, r := range results {
			if i >= len(r.Shocks) || len(r.OnTime) == 0 {
				continue
			}
			sh := r.Shocks[i]
			before, after := 2.0, sh.Over-sh.At+10
			if i+1 < len(r.Shocks) {
				after = min(after, r.Shocks[i+1].At-sh.At)
			}
			if p == nil {
				p = newPlot("Repair: "+sh.Name, "s since the shock", fmt.Sprintf("share within %v", s.Measure.Deadline),
					fmt.Sprintf("Share of messages on time around the shock at %v, in tenths of a second by when they were published; thin curves are "+
						"single seeds. The dip begins before the shock where messages were under way. %s", time.Duration(sh.At*float64(time.Second)),
						lasts(sh)))
				p.percent = true
				if sh.Over > sh.At {
					p.marks = append(p.marks, mark{sh.Over - sh.At, "it ends"})
				}
				p.marks = append(p.marks, mark{0, sh.Name})
			}
			var points []point
			for k := range int((before + after) * 10) {
				at := int((sh.At-before)*10) + k
				y := math.NaN()
				if at >= 0 && at < len(r.OnTime) && r.OnTime[at] >= 0 {
					y = r.OnTime[at]
				}
				points = append(points, point{float64(k)/10 - before, y})
				if k >= len(sum) {
					sum, n = append(sum, 0), append(n, 0)
				}
				if !math.IsNaN(y) {
					sum[k] += y
					n[k]++
				}
			}
			p.line("", "thin", points)
		}
		if p == nil || p.empty() {
			continue
		}
		var mean []point
		for k := range sum {
			mean = append(mean, point{float64(k)/10 - 2, sum[k] / float64(n[k])})
		}
		p.line("mean", "a", mean)
		p.maxY = 1
		p.minY = floorOf(p.lines)
		all = append(all, p)
	}
	return all
}

func lasts(sh run.Shock) string {
	if sh.Over > sh.At {
		return "Recovery counts from where it ends."
	}
	return "Recovery counts from the shock on."
}

func ringHealth(results []*run.Result) *plot {
	p := newPlot("Ring health", "s since measuring began", "share of ring neighbors",
		"The members of a group stand on a ring. The curve is the share of their neighbors on the ring, one on either side, to whom they "+
			"have a link. Below 100 %, messages to the nearest member can go to the wrong one; after a shock it must come back.")
	p.percent = true
	p.line("", "a", series(results, func(s *run.Sample) float64 { return s.Ring }))
	p.minX, p.maxY = 0, 1
	p.minY = floorOf(p.lines)
	p.shockMarks(results)
	return p
}

func neighbors(results []*run.Result) *plot {
	p := newPlot("Neighbors", "s since measuring began", "mean of all nodes",
		"How many other members a node has links to. Each costs keepalives and memory, so their number should grow with the logarithm of "+
			"the group's size, and come back after a shock.")
	p.line("", "a", series(results, func(s *run.Sample) float64 { return s.Neighbors }))
	p.minX = 0
	p.shockMarks(results)
	return p
}

func nodes(results []*run.Result) *plot {
	p := newPlot("Nodes", "s since measuring began", "nodes",
		"How many nodes there are: those that come and go, crowds, and shocks show here, to hold the other curves against.")
	p.line("", "a", series(results, func(s *run.Sample) float64 { return float64(s.Nodes) }))
	p.minX = 0
	p.shockMarks(results)
	return p
}
