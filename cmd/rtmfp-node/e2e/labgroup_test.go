//go:build e2e && linux

package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// labGroup is a group of processes on a lab: an introducer on its first host, a
// publisher on the second, and viewers on those behind.
type labGroup struct {
	l          *lab
	dir        string
	spec       string
	introducer *process
	publisher  *process
	viewers    []*labViewer
}

// labViewer is one that plays into a file.
type labViewer struct {
	*process
	host       int
	file, json string
}

// newLabGroup starts the introducer.
func newLabGroup(t *testing.T, l *lab) *labGroup {
	t.Helper()
	g := &labGroup{l: l, dir: t.TempDir()}
	out, stderr, err := command(t, 10*time.Second, nodeProgram, "group", "new", "--name", "lab", "--multicast")
	if err != nil {
		t.Fatalf("group new: %v\n%s", err, stderr)
	}
	g.spec = strings.TrimSpace(out)
	g.introducer = l.start(t, 0, "introducer", "run", "--group", g.spec, "--identity", "none", "--listen", l.listen(0))
	g.introducer.line(t, &g.introducer.out, "rtmfp://", 10*time.Second)
	return g
}

// start runs a member on a host.
func (g *labGroup) start(t *testing.T, host int, name string, args ...string) *process {
	t.Helper()
	return g.l.start(t, host, name, append(args, "--group", g.spec, "--stream", "cam", "--identity", "none",
		"--listen", g.l.listen(host), "--bootstrap", "rtmfp://"+g.l.listen(0))...)
}

func (g *labGroup) publish(t *testing.T, args ...string) {
	t.Helper()
	g.publisher = g.start(t, 1, "publisher", append([]string{"publish"}, args...)...)
}

// play starts the next viewer.
func (g *labGroup) play(t *testing.T) {
	t.Helper()
	i := len(g.viewers)
	name := fmt.Sprintf("viewer%d", i+1)
	v := &labViewer{host: i + 2, file: filepath.Join(g.dir, name+".ts"), json: filepath.Join(g.dir, name+".json")}
	v.process = g.start(t, v.host, name, "play", "--wait", "60s", "-o", v.file, "--stats", v.json)
	g.viewers = append(g.viewers, v)
}

// stop ends the introducer.
func (g *labGroup) stop(t *testing.T) {
	t.Helper()
	g.introducer.signal(t, unix.SIGTERM)
	g.introducer.wait(t, 10*time.Second)
}
