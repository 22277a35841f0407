// Command pictures draws the pictures of docs/multicast.md: how the trees of a
// stream become better, and how they heal, in a group on the synthetic world.
//
//	go run ./simulations/live/pictures docs
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"rtmfp/simulations/geography"
	"rtmfp/simulations/live"
	"rtmfp/simulations/report"
)

func main() {
	log.SetFlags(0)
	members := flag.Int("members", 150, "in the group, with the introducer and the publisher")
	seed := flag.Uint64("seed", 1, "of everything that is random")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: go run ./simulations/live/pictures [flags] FOLDER")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() != 1 || *members < 10 {
		flag.Usage()
		os.Exit(2)
	}
	files, err := draw(*seed, *members)
	if err != nil {
		log.Fatal(err)
	}
	for name, svg := range files {
		if err := os.WriteFile(filepath.Join(flag.Arg(0), name), []byte(svg), 0o644); err != nil {
			log.Fatal(err)
		}
	}
}

const (
	settle = 60 * time.Second // until a part of them dies
	after  = 10 * time.Second
)

// draw runs the group and returns the files by name.
func draw(seed uint64, members int) (map[string]string, error) {
	a, err := live.New(live.Config{Seed: seed, Map: geography.Synthetic(), LastMile: [2]time.Duration{time.Millisecond, 10 * time.Millisecond},
		Hop: time.Millisecond, Rate: 1_000_000, Pictures: 30, KeyEvery: time.Second, Copies: 4})
	if err != nil {
		return nil, err
	}
	a.Run(time.Second)
	if err := a.Fill(members, 3*time.Second); err != nil {
		return nil, err
	}
	a.Run(2 * time.Second)
	a.Begin()
	a.Measure()
	links := a.LinksRatio()
	panels := []panel{}
	for _, at := range []time.Duration{2 * time.Second, settle} {
		a.Run(at - a.Since())
		panels = append(panels, panel{at: at, tree: a.Tree(0)})
	}
	viewers := a.Viewers()
	for i := 0; i < len(viewers); i += 4 {
		a.Kill(viewers[i])
	}
	a.Run(after)
	a.End()
	a.Run(time.Second)
	a.Figures()
	for i := range panels {
		panels[i].ratio = a.RatioFrom(panels[i].at-2*time.Second, panels[i].at-time.Second)
	}
	return map[string]string{
		"multicast-trees.svg": trees(panels),
		"multicast-delay.svg": delays(a, links),
		"multicast-heal.svg":  healing(a),
	}, nil
}

// delays draws how the mean delay becomes less.
func delays(a *live.Audience, links float64) string {
	var mean [][2]float64
	for at := time.Duration(0); at < settle-time.Second; at += time.Second { // what was written later is cut off by the deaths
		mean = append(mean, [2]float64{at.Seconds() + 0.5, a.RatioFrom(at, at+time.Second)})
	}
	d := report.Drawing{
		Title: "Mean delay of fragments by the delay of the direct way", X: "s since the stream began", Y: "delay / direct delay",
		Curves: []report.Curve{
			{Name: "what the trees have", Points: mean},
			{Name: "best ways over the first links, any number of copies", Dashed: true, Points: [][2]float64{{0, links}, {settle.Seconds(), links}}},
		},
	}
	return d.SVG()
}

// healing draws what comes in time while a quarter of the viewers dies.
func healing(a *live.Audience) string {
	const before, later, step = 2 * time.Second, 6 * time.Second, 100 * time.Millisecond
	var share [][2]float64
	for at := settle - before; at < settle+later; at += step {
		share = append(share, [2]float64{(at - settle).Seconds(), a.OnTimeFrom(at, at+step)})
	}
	d := report.Drawing{
		Title: "Fragments that came within half a second", X: "s since the deaths, when a fragment was written", Y: "share on time, of those who live",
		Percent: true, Curves: []report.Curve{{Points: share}}, Marks: []report.Mark{{X: 0, Name: "a quarter dies"}},
	}
	return d.SVG()
}
