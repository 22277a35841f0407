//go:build e2e && linux

package e2e

import (
	"cmp"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// faults are what befalls a group, one after the other.
type faults struct {
	viewers int
	over    time.Duration // in which they come
	pause   time.Duration // between what befalls it
	killed  int           // the first of them, by SIGKILL
	stopped int           // the next of them, by SIGSTOP
	stop    time.Duration // until SIGCONT
	cut     time.Duration // for which the publisher's link is cut
}

// smallClip is the demo's clip at 400 kbit/s, as dozens of processes are to get
// it on one machine.
var smallClip = sync.OnceValues(func() (string, error) {
	name := filepath.Join(scratch, "small.ts")
	out, err := exec.Command("ffmpeg", "-v", "error", "-y", "-i", demoClip,
		"-vf", "scale=320:180", "-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p",
		"-g", "25", "-keyint_min", "25", "-sc_threshold", "0", "-flags", "+cgop",
		"-b:v", "300k", "-maxrate", "300k", "-bufsize", "150k", "-c:a", "copy",
		"-muxdelay", "0.2", "-muxpreload", "0", "-pes_payload_size", "500", "-f", "mpegts", name).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("ffmpeg: %w\n%s", err, out)
	}
	return name, nil
})

// demoClip is what the demo shows, from here.
const demoClip = "../demo/clip.ts"

// Members are killed and stopped, one changes its port, and the publisher's link
// is cut: with the others, pictures go on.
func TestStreamThroughFaults(t *testing.T) {
	f := faults{viewers: 8, over: time.Second, pause: time.Second, killed: 2, stopped: 1, stop: time.Second, cut: 2 * time.Second}
	l := newLab(t, f.viewers+2, func(from, to int) time.Duration { return 20 * time.Millisecond })
	f.run(t, l)
}

// run lets a group live through them on a lab.
func (f *faults) run(t *testing.T, l *lab) {
	need(t, "ffmpeg")
	need(t, "ffprobe")
	clip, err := smallClip()
	if err != nil {
		t.Fatal(err)
	}
	j := listenJitter(t)
	g := newLabGroup(t, l)
	g.publish(t, "--loop", "--linger", "3s", clip)
	for range f.viewers {
		g.play(t)
		time.Sleep(f.over / time.Duration(f.viewers))
	}
	time.Sleep(f.over + 2*time.Second) // all have pictures
	began := time.Now()

	killed, rest := g.viewers[:f.killed], g.viewers[f.killed:]
	stopped, rest := rest[:f.stopped], rest[f.stopped:]
	for _, v := range killed {
		v.signal(t, unix.SIGKILL)
	}
	time.Sleep(f.pause)
	for _, v := range stopped {
		v.signal(t, unix.SIGSTOP)
	}
	time.Sleep(f.stop)
	for _, v := range stopped {
		v.signal(t, unix.SIGCONT)
	}
	time.Sleep(f.pause)
	moved := rest[0]
	l.hosts[moved.host].port.Store(labPort + 1)
	time.Sleep(f.pause)
	l.hosts[1].cut.Store(true)
	time.Sleep(f.cut)
	l.hosts[1].cut.Store(false)
	time.Sleep(f.cut/2 + 4*time.Second) // what they are behind is fetched
	played := time.Since(began)
	survivors := slices.Concat(stopped, rest)
	for _, v := range survivors {
		v.signal(t, unix.SIGTERM)
	}
	last := 0.0
	seen := map[*labViewer]pictures{}
	for _, v := range survivors {
		if code := v.wait(t, 30*time.Second); code != 0 {
			t.Errorf("%s: exit code %d after SIGTERM", v.name, code)
			continue
		}
		seen[v] = decode(t, v.name, v.file)
		last = max(last, seen[v].last)
	}
	g.publisher.signal(t, unix.SIGTERM)
	if code := g.publisher.wait(t, 30*time.Second); code != 0 {
		t.Errorf("publisher: exit code %d after SIGTERM", code)
	}
	g.stop(t)
	interfaces, sockets := l.dropped()
	show(t, "dropped: %d by interfaces, %d by sockets", interfaces, sockets)
	j.show(t)
	for _, v := range survivors {
		m, ok := seen[v]
		if !ok {
			continue
		}
		what := ""
		switch {
		case v == moved:
			what = ", changed its port"
		case slices.Contains(stopped, v):
			what = fmt.Sprintf(", stopped for %v", f.stop)
		}
		var n figures
		readJSON(t, v.json, &n)
		show(t, "%-9s %5.1f s of pictures, up to %3.0f ms between two of them, lost %d, delay p50 %.0f ms, max %.0f%s",
			v.name, m.last-m.first, 1000*m.gap, n.Lost, n.DelayMS.P50, n.DelayMS.Max, what)
		// A picture lasts 40 ms.
		const most = 0.06
		if m.gap > most {
			t.Errorf("%s: %.2f s from one picture to the next, want at most %.2f", v.name, m.gap, most)
		}
		// Some may still be fetching on a machine that is slow.
		const behind = 3.0
		if want := played.Seconds() - behind; m.last < last-behind || m.last-m.first < want {
			t.Errorf("%s: pictures from %.1f to %.1f s, want %.1f s of them up to %.1f", v.name, m.first, m.last, want, last-behind)
		}
	}
}

// pictures is what there is to see in a file.
type pictures struct{ first, last, gap float64 } // s of the stream

// decode finds the pictures of a file, and checks that ffmpeg decodes it without
// a word of complaint, but for the last second, in which it ends anywhere.
func decode(t *testing.T, what, file string) pictures {
	t.Helper()
	stdout, stderr, err := command(t, time.Minute, need(t, "ffprobe"),
		"-v", "error", "-select_streams", "v:0", "-show_entries", "packet=pts_time", "-of", "csv=p=0", file)
	if err != nil || stderr != "" {
		t.Errorf("ffprobe of %s: %v\n%s", what, err, tail(stderr, 2000))
	}
	var at []float64
	for line := range strings.Lines(stdout) {
		if s, err := strconv.ParseFloat(strings.Trim(line, ",\n"), 64); err == nil {
			at = append(at, s)
		}
	}
	if len(at) == 0 {
		t.Errorf("%s: no picture", what)
		return pictures{}
	}
	slices.SortFunc(at, cmp.Compare)
	m := pictures{first: at[0], last: at[len(at)-1]}
	for i := range at[1:] {
		if at[i+1] > m.last-1 {
			break // some of the last pictures may be missing, as they come in another order
		}
		m.gap = max(m.gap, at[i+1]-at[i])
	}
	_, stderr, err = command(t, time.Minute, need(t, "ffmpeg"), "-nostdin", "-v", "error", "-i", file,
		"-t", fmt.Sprint(m.last-m.first-1), "-f", "null", "-")
	if err != nil || stderr != "" {
		t.Errorf("ffmpeg of %s: %v\n%s", what, err, tail(stderr, 2000))
	}
	return m
}
