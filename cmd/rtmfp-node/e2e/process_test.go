//go:build e2e && linux

package e2e

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// process is a running program of which the output is kept.
type process struct {
	name string
	cmd  *exec.Cmd
	out  output
	err  output
	done chan struct{}
	exit error // of Wait, once done is closed
}

// output collects what a process writes and lets a test wait for it.
type output struct {
	mu   sync.Mutex
	buf  bytes.Buffer
	more chan struct{} // closed and replaced with each write
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.more != nil {
		close(o.more)
		o.more = nil
	}
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// next returns a channel that is closed when more has been written.
func (o *output) next() <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.more == nil {
		o.more = make(chan struct{})
	}
	return o.more
}

// start runs a program, which is killed at the test's end if it still runs.
func start(t *testing.T, name, program string, args ...string) *process {
	t.Helper()
	p := &process{name: name, cmd: exec.Command(program, args...), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.err
	// A group of its own, so that its children can be ended with it.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	go func() {
		p.exit = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		select {
		case <-p.done:
		default:
			_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
			<-p.done
		}
		if t.Failed() {
			t.Logf("%s: %s\nstderr:\n%s", name, strings.Join(p.cmd.Args, " "), tail(p.err.String(), 4000))
		}
	})
	return p
}

// node runs the program under test.
func node(t *testing.T, name string, args ...string) *process {
	t.Helper()
	return start(t, name, nodeProgram, args...)
}

func (p *process) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatalf("%s: %v", p.name, err)
	}
}

// wait waits until the process has ended and returns its exit code, -1 for a
// signal.
func (p *process) wait(t *testing.T, limit time.Duration) int {
	t.Helper()
	select {
	case <-p.done:
	case <-time.After(limit):
		t.Fatalf("%s: still runs after %v", p.name, limit)
	}
	var exit *exec.ExitError
	switch {
	case p.exit == nil:
		return 0
	case errors.As(p.exit, &exit):
		return exit.ExitCode()
	}
	t.Fatalf("%s: %v", p.name, p.exit)
	return 0
}

// line waits for a line of the output that contains text and returns it.
func (p *process) line(t *testing.T, o *output, text string, limit time.Duration) string {
	t.Helper()
	timeout := time.After(limit)
	for {
		more := o.next()
		for l := range strings.Lines(o.String()) {
			if strings.Contains(l, text) && strings.HasSuffix(l, "\n") {
				return strings.TrimSpace(l)
			}
		}
		select {
		case <-more:
		case <-p.done:
			if !strings.Contains(o.String(), text) {
				t.Fatalf("%s: ended (%v) without the line %q", p.name, p.exit, text)
			}
		case <-timeout:
			t.Fatalf("%s: no line %q within %v", p.name, text, limit)
		}
	}
}

// command runs a program to its end and returns its stdout and stderr.
func command(t *testing.T, limit time.Duration, program string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	err = cmd.Run()
	return o.String(), e.String(), err
}

func tail(s string, n int) string {
	if len(s) > n {
		return "…" + s[len(s)-n:]
	}
	return s
}
