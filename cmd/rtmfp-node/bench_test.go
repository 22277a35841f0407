package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"testing"
	"time"
)

// benchSink runs a sink in this process and returns its URL, and what ends it
// and returns the lines that it printed.
func benchSink(t *testing.T, args ...string) (url string, end func() []string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r, w := io.Pipe()
	var errs bytes.Buffer
	e := &env{stdout: w, console: newConsole(&errs, false)}
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, e, append([]string{"bench", "sink", "--listen", "127.0.0.1:0", "--json"}, args...))
		w.Close()
	}()
	lines := bufio.NewScanner(r)
	var first listening
	if !lines.Scan() {
		t.Fatalf("sink: got no line: %s", &errs)
	}
	if err := json.Unmarshal(lines.Bytes(), &first); err != nil || len(first.URLs) != 1 {
		t.Fatalf("sink: got %q, %v, want where it listens", lines.Text(), err)
	}
	printed := make(chan []string, 1)
	go func() {
		var all []string
		for lines.Scan() {
			all = append(all, lines.Text())
		}
		printed <- all
	}()
	return first.URLs[0], func() []string {
		cancel()
		if got := <-code; got != exitOK {
			t.Errorf("sink: got exit code %d, want 0: %s", got, &errs)
		}
		return <-printed
	}
}

// TestBench transfers with each kind of cryptography; both ends count the same.
func TestBench(t *testing.T) {
	for _, c := range []struct {
		crypto, suite string
		args          []string
	}{
		{"modern", "AES-128-GCM/X25519", []string{"--flows=3"}},
		{"legacy", "AES-128-CBC", []string{"--mtu=1452"}},
		{"plain", "", []string{"--size=100"}},
	} {
		t.Run(c.crypto, func(t *testing.T) {
			const bytes = 1_234_567
			url, end := benchSink(t, "--crypto", c.crypto)
			args := append([]string{"bench", "send", url, "--json", "--crypto", c.crypto, "--bytes", fmt.Sprint(bytes)}, c.args...)
			code, stdout, stderr := command(t, "", args...)
			var sent sendReport
			if err := json.Unmarshal([]byte(stdout), &sent); code != exitOK || err != nil {
				t.Fatalf("send: got exit code %d, %v, %s%s", code, err, stdout, stderr)
			}
			if sent.Bytes != bytes || sent.Seconds <= 0 || sent.Packets < bytes/1452 || sent.SetupMS <= 0 || sent.SRTTMS <= 0 {
				t.Errorf("send: got %+v, want %d bytes", sent, bytes)
			}
			if len(sent.Suite) < len(c.suite) || sent.Suite[:len(c.suite)] != c.suite {
				t.Errorf("suite: got %q, want %q", sent.Suite, c.suite)
			}
			lines := end()
			var session sinkReport
			var total sinkTotal
			if len(lines) != 2 || json.Unmarshal([]byte(lines[0]), &session) != nil || json.Unmarshal([]byte(lines[1]), &total) != nil {
				t.Fatalf("sink: got %q, want the session and the total", lines)
			}
			if session.Bytes != bytes || session.Seconds <= 0 || total.Sessions != 1 || total.Bytes != bytes {
				t.Errorf("sink: got %+v and %+v, want %d bytes in one session", session, total, bytes)
			}
		})
	}
}

func TestBenchSetups(t *testing.T) {
	url, end := benchSink(t)
	code, stdout, stderr := command(t, "", "bench", "send", url, "--json", "--setups=5")
	var r setupReport
	if err := json.Unmarshal([]byte(stdout), &r); code != exitOK || err != nil {
		t.Fatalf("got exit code %d, %v, %s%s", code, err, stdout, stderr)
	}
	if r.Setups != 5 || r.SetupMS <= 0 || r.P90MS < r.SetupMS || r.MaxMS < r.P90MS {
		t.Errorf("got %+v, want five set-ups in order", r)
	}
	if lines := end(); len(lines) != 6 {
		t.Errorf("sink: got %q, want five sessions and the total", lines)
	}
}

// A sender that is told to stop after a time does, and counts what arrived.
func TestBenchSeconds(t *testing.T) {
	url, end := benchSink(t)
	began := time.Now()
	code, stdout, stderr := command(t, "", "bench", "send", url, "--seconds=0.2")
	if took := time.Since(began); code != exitOK || took < 200*time.Millisecond || stdout == "" {
		t.Errorf("got exit code %d after %v, %q %q", code, took, stdout, stderr)
	}
	end()
}

func TestBenchErrors(t *testing.T) {
	plain, end := benchSink(t, "--crypto=plain")
	defer end()
	for _, c := range []struct {
		name string
		args []string
		code int
	}{
		{"nobody there", []string{"bench", "send", "rtmfp://127.0.0.1:9", "--timeout=100ms"}, exitUnreachable},
		{"other cryptography", []string{"bench", "send", plain, "--timeout=1s"}, exitUnreachable},
		{"size", []string{"bench", "send", plain, "--size=0"}, exitUsage},
		{"flows", []string{"bench", "send", plain, "--flows=0"}, exitUsage},
		{"two ends", []string{"bench", "send", plain, "--bytes=1", "--seconds=1"}, exitUsage},
		{"datagrams", []string{"bench", "sink", "--mtu=100"}, exitUsage},
		{"larger datagrams", []string{"bench", "sink", "--max-mtu=10000"}, exitUsage},
		{"cryptography", []string{"bench", "sink", "--crypto=rot13"}, exitUsage},
		{"taken", []string{"bench", "sink", "--listen", plain[len("rtmfp://"):]}, exitBusy},
		{"profile", []string{"bench", "sink", "--profile=/no/such/folder/x"}, exitFailure},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, stdout, stderr := command(t, "", c.args...)
			if code != c.code || stdout != "" || stderr == "" {
				t.Errorf("got exit code %d, %q, %q, want %d and a line on stderr", code, stdout, stderr, c.code)
			}
		})
	}
}
