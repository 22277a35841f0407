//go:build e2e && reality && linux

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// What a round of TestCostOfViewers is.
const (
	costViewers = 16
	costSettle  = 6 * time.Second
	costLength  = 10 * time.Second
)

// What it costs viewers to get a live stream and to pass it on: their processor
// time for each Mbit that they wrote. If RTMFP_NODE_OTHER names another build of
// rtmfp-node, it takes turns with this one, as times alone say little on a
// machine that does other things as well. A group is of one build.
func TestCostOfViewers(t *testing.T) {
	rounds := realityRuns(t)
	other := os.Getenv("RTMFP_NODE_OTHER")
	var ours, theirs, ratios []float64
	for i := range rounds {
		ours = append(ours, costRound(t, nodeProgram))
		show(t, "round %d: %.2f ms for each Mbit", i+1, ours[i])
		if other == "" {
			continue
		}
		theirs = append(theirs, costRound(t, other))
		ratios = append(ratios, ours[i]/theirs[i])
		show(t, "round %d: %.2f ms for each Mbit with the other program: %.2f times as much", i+1, theirs[i], ratios[i])
	}
	show(t, "this program: %s ms for each Mbit", spread(ours))
	if other != "" {
		show(t, "the other:    %s ms for each Mbit", spread(theirs))
		show(t, "times as much: %s", spread(ratios))
		if median := percentile(ratios, 0.5); median > 1 {
			t.Errorf("viewers: got %.2f times the processor time of the other program, want at most as much", median)
		}
	}
}

// spread sorts values and returns the one in the middle, and the least and most.
func spread(values []float64) string {
	return fmt.Sprintf("%.3g (%.3g to %.3g, %d)", percentile(values, 0.5), percentile(values, 0), percentile(values, 1), len(values))
}

// costRound returns the ms of processor time that viewers take for each Mbit.
func costRound(t *testing.T, program string) float64 {
	t.Helper()
	dir := t.TempDir()
	out, stderr, err := command(t, 10*time.Second, program, "group", "new", "--name", "cost", "--multicast")
	if err != nil {
		t.Fatalf("group new: %v\n%s", err, stderr)
	}
	common := []string{"--group", strings.TrimSpace(out), "--identity", "none", "--listen"}
	all := []*process{start(t, "introducer", program, append(append([]string{"run"}, common...), fmt.Sprintf("127.0.0.1:%d", freePort(t)))...)}
	url := all[0].line(t, &all[0].out, "rtmfp://", 10*time.Second)
	member := func(name string, args ...string) *process {
		p := start(t, name, program, append(append(args, common...), fmt.Sprintf("127.0.0.1:%d", freePort(t)), "--stream", "cam", "--bootstrap", url)...)
		all = append(all, p)
		return p
	}
	member("publisher", "publish", "--loop", demoClip)
	var viewers []*process
	var files []string
	for i := range costViewers {
		files = append(files, filepath.Join(dir, fmt.Sprintf("viewer%d.ts", i+1)))
		viewers = append(viewers, member(fmt.Sprintf("viewer%d", i+1), "play", "-o", files[i]))
		time.Sleep(100 * time.Millisecond)
	}
	time.Sleep(costSettle)
	cpu, bytes := viewersCPU(t, viewers), viewersBytes(t, files)
	time.Sleep(costLength)
	cpu, bytes = viewersCPU(t, viewers)-cpu, viewersBytes(t, files)-bytes
	for _, p := range all {
		p.signal(t, unix.SIGTERM)
	}
	for _, p := range all {
		p.wait(t, 15*time.Second)
	}
	info, err := os.Stat(demoClip)
	if err != nil {
		t.Fatal(err)
	}
	const clipLength = 20 * time.Second
	if want := float64(info.Size()) * costViewers * float64(costLength) / float64(clipLength); float64(bytes) < 0.9*want {
		t.Errorf("viewers wrote %d bytes, want about %.0f: what they cost says nothing", bytes, want)
	}
	return cpu / (float64(bytes) * 8 / 1e6)
}

// viewersCPU returns the ms of processor time that processes have had.
func viewersCPU(t *testing.T, all []*process) float64 {
	t.Helper()
	const ticks = 100 // a second, to user programs on any machine
	sum := uint64(0)
	for _, p := range all {
		// Pid, name without a space, state, …; utime and stime are the 14th and 15th.
		words := procLine(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid), "", 0)
		if len(words) < 15 || syscall.Kill(p.cmd.Process.Pid, 0) != nil {
			t.Fatalf("%s: has ended", p.name)
		}
		sum += number(words, 13) + number(words, 14)
	}
	return float64(sum) * 1000 / ticks
}

// viewersBytes returns how much is in files together.
func viewersBytes(t *testing.T, names []string) int64 {
	t.Helper()
	sum := int64(0)
	for _, name := range names {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		sum += info.Size()
	}
	return sum
}
