//go:build e2e && linux

package e2e

import (
	"encoding/json"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The demo shows a moving picture within 15 s of its start, keeps it moving,
// and draws every node.
func TestDemoPage(t *testing.T) {
	b := newBrowser(t)
	addr := freeHTTP(t)
	began := time.Now()
	demo := node(t, "demo", "demo", "--http", addr, "--json")
	awaitHTTP(t, "http://"+addr+"/", 15*time.Second)
	b.open(t, "http://"+addr+"/")

	clock := func() (at float64) {
		b.eval(t, `const v = document.querySelector("video#player"); return v ? v.currentTime : -1`, &at)
		return at
	}
	first := clock()
	if first < 0 {
		t.Fatal(`the page has no <video id="player">`)
	}
	for now := first; now < first+0.2; now = clock() {
		if time.Since(began) > 15*time.Second {
			b.screenshot(t, "demo-failed.png")
			var state any
			b.eval(t, `const v = document.querySelector("video#player");
				return {readyState: v.readyState, paused: v.paused, src: v.currentSrc, error: v.error && v.error.message}`, &state)
			t.Fatalf("the video stands at %.2f s, 15 s after the start of the demo: %v", now, state)
		}
		time.Sleep(100 * time.Millisecond)
	}
	show(t, "demo: picture moves %.1f s after the start", time.Since(began).Seconds())

	// Ten seconds of film take ten seconds, with some for a stall or two.
	from, since := clock(), time.Now()
	var now float64
	for now = from; now < from+10; now = clock() {
		if time.Since(since) > 15*time.Second {
			b.screenshot(t, "demo-failed.png")
			t.Fatalf("the video's clock advanced %.1f s in 15 s, want 10 s", now-from)
		}
		time.Sleep(200 * time.Millisecond)
	}
	show(t, "demo: clock advanced %.1f s in %.1f s", now-from, time.Since(since).Seconds())

	var picture struct {
		Width, Height float64
		Nodes         []string
		Visible       int
		Text          string
	}
	b.eval(t, `const v = document.querySelector("video#player");
		const nodes = [...document.querySelectorAll("[data-node]")];
		return {width: v.videoWidth, height: v.videoHeight, nodes: nodes.map(n => n.getAttribute("data-node")),
			visible: nodes.filter(n => { const r = n.getBoundingClientRect(); return r.width > 0 && r.height > 0 }).length,
			text: document.body.innerText}`, &picture)
	if picture.Width == 0 || picture.Height == 0 {
		t.Errorf("the video has no picture: %v×%v", picture.Width, picture.Height)
	}
	distinct := map[string]bool{}
	for _, n := range picture.Nodes {
		distinct[n] = true
	}
	// An introducer, a publisher, and the viewers.
	if want := viewerCount + 2; len(distinct) != want || picture.Visible < want {
		t.Errorf("the tree shows %d nodes, %d of them visible, want %d: %q", len(distinct), picture.Visible, want, picture.Nodes)
	}
	for _, line := range b.console(t) {
		if strings.HasPrefix(line, "SEVERE") && !strings.Contains(line, "favicon") {
			t.Errorf("browser's console: %s", line)
		}
	}
	b.screenshot(t, "demo.png")
	var phone struct{ Wide bool }
	b.eval(t, `return {wide: document.documentElement.scrollWidth > window.innerWidth}`, &phone)
	if phone.Wide {
		t.Error("the page is wider than its window")
	}

	demo.signal(t, syscall.SIGTERM)
	if code := demo.wait(t, 10*time.Second); code != 0 {
		t.Errorf("exit code %d after SIGTERM", code)
	}
	var report struct{ Viewers []figures }
	if err := json.Unmarshal([]byte(demo.out.String()), &report); err != nil {
		t.Fatalf("--json: %v\n%s", err, tail(demo.out.String(), 1000))
	}
	if len(report.Viewers) != viewerCount {
		t.Fatalf("--json: got %d viewers, want %d", len(report.Viewers), viewerCount)
	}
	for i, v := range report.Viewers {
		if v.Fragments == 0 || v.Lost > 0 || v.StartupMS == nil {
			t.Errorf("viewer %d: got %d fragments, lost %d, startup %v ms; want a whole stream", i+1, v.Fragments, v.Lost, v.startup())
		}
	}
	show(t, "demo: startup up to %.0f ms, delay p99 up to %.1f ms",
		worst(report.Viewers, (*figures).startup), worst(report.Viewers, func(f *figures) float64 { return f.DelayMS.P99 }))
}
