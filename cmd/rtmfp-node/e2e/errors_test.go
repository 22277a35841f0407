//go:build e2e && linux

package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What users get wrong costs them one line that says so, and an exit code that
// says what kind of mistake it was.
func TestErrors(t *testing.T) {
	s := newSwarm(t)
	dir := t.TempDir()

	// Two seconds of the source that end within a packet.
	_, src := source(t)
	truncated := filepath.Join(dir, "truncated.ts")
	write(t, truncated, src[:len(src)*2/35/188*188+100])
	garbage := filepath.Join(dir, "garbage.ts")
	write(t, garbage, []byte(strings.Repeat("this is not a transport stream\n", 100)))

	busyUDP, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busyUDP.Close()
	busyTCP, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busyTCP.Close()

	group := []string{"--group", s.spec}
	quiet := []string{"--identity", "none", "--quiet"}
	member := append([]string{"--stream", "cam", "--bootstrap", s.url}, quiet...)
	nobody := append([]string{"--stream", "cam", "--bootstrap", fmt.Sprintf("rtmfp://127.0.0.1:%d", freePort(t)),
		"--join-timeout", "1s"}, quiet...)
	for _, c := range []struct {
		name string
		args [][]string
		code int
		says string // part of the line
	}{
		{"bad groupspec, run", [][]string{{"run", "--group", "G:xyz"}, quiet}, 2, "groupspec"},
		{"bad groupspec, play", [][]string{{"play", "--group", "no groupspec", "-o", "-"}, member}, 2, "groupspec"},
		{"bad groupspec, publish", [][]string{{"publish", "--group", "G:", truncated}, member}, 2, "groupspec"},
		{"bad groupspec, show", [][]string{{"group", "show", "G:0102"}}, 2, "groupspec"},
		{"bad URL", [][]string{{"play", "-o", "-", "--stream", "cam", "--bootstrap", "http://127.0.0.1"}, group}, 2, "rtmfp://"},
		{"no such flag", [][]string{{"run", "--grupo", "x"}}, 2, "--grupo"},
		{"no such command", [][]string{{"swim"}}, 2, "swim"},
		{"unreachable introducer, play", [][]string{{"play", "-o", "-"}, group, nobody}, 3, "introducer"},
		{"unreachable introducer, publish", [][]string{{"publish", truncated}, group, nobody}, 3, "introducer"},
		{"unreachable introducer, run", [][]string{{"run", "--listen", "127.0.0.1:0", "--bootstrap", "rtmfp://127.0.0.1:1",
			"--join-timeout", "1s"}, group, quiet}, 3, "introducer"},
		{"busy UDP port, run", [][]string{{"run", "--listen", busyUDP.LocalAddr().String()}, group, quiet}, 5, "in use"},
		{"busy UDP port, play", [][]string{{"play", "-o", "-", "--listen", busyUDP.LocalAddr().String()}, group, member}, 5, "in use"},
		{"busy HTTP port, play", [][]string{{"play", "--http", busyTCP.Addr().String()}, group, member}, 5, "in use"},
		{"busy HTTP port, demo", [][]string{{"demo", "--quiet", "--http", busyTCP.Addr().String()}}, 5, "in use"},
		{"truncated input", [][]string{{"publish", "--linger", "0s", truncated}, group, member}, 4, "truncated.ts"},
		{"input that is no stream", [][]string{{"publish", garbage}, group, member}, 4, "garbage.ts"},
		{"no input", [][]string{{"publish", filepath.Join(dir, "absent.ts")}, group, member}, 4, "absent.ts"},
		// Not "cam": what was published of it above can still be had for a while.
		{"no such stream", [][]string{{"play", "-o", "-", "--wait", "1s", "--stream", "nothing", "--bootstrap", s.url}, group, quiet}, 6, "nothing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var args []string
			for _, a := range c.args {
				args = append(args, a...)
			}
			p := node(t, c.name, args...)
			code := p.wait(t, 20*time.Second)
			stderr := p.err.String()
			if code != c.code {
				t.Errorf("exit code: got %d, want %d", code, c.code)
			}
			if lines := strings.Count(stderr, "\n"); lines != 1 || !strings.HasSuffix(stderr, "\n") {
				t.Errorf("stderr: got %d lines, want 1:\n%s", lines, tail(stderr, 2000))
			}
			if !strings.Contains(stderr, c.says) {
				t.Errorf("stderr: got %q, want something about %q", tail(stderr, 500), c.says)
			}
			if strings.Contains(stderr, "goroutine ") || strings.Contains(stderr, "panic:") {
				t.Errorf("stderr: a stack trace")
			}
			if out := p.out.String(); out != "" && c.code == 2 {
				t.Errorf("stdout: got %q, want nothing", tail(out, 200))
			}
		})
	}
}

func write(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
}
