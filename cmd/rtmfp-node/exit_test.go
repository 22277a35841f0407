package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"rtmfp/cmd/rtmfp-node/mpegts"
	"rtmfp/node"
)

// TestErrors checks the exit code and the words of what can go wrong once a
// command runs.
func TestErrors(t *testing.T) {
	busy := &net.OpError{Op: "listen", Net: "udp", Err: os.NewSyscallError("bind", syscall.EADDRINUSE)}
	denied := &net.OpError{Op: "listen", Net: "tcp", Err: os.NewSyscallError("bind", syscall.EACCES)}
	unknown := &net.DNSError{Err: "no such host", Name: "seed.example.org"}
	flags := &nodeFlags{bootstrap: []bootURL{"rtmfp://seed.example.org"}, JoinTimeout: 10 * time.Second}
	in := &input{name: "talk.ts"}

	for _, tt := range []struct {
		name string
		err  error
		code int
		want []string
	}{
		{"UDP port is busy", startError(fmt.Errorf("listen: %w", busy), ":1935"), exitBusy, []string{":1935", "in use", "--listen"}},
		{"UDP port is not for us", startError(denied, ":80"), exitBusy, []string{":80", "permission denied", "--listen"}},
		{"UDP address is malformed", startError(fmt.Errorf("listen: %w", &net.OpError{Op: "listen", Err: &net.AddrError{Err: "missing port in address", Addr: "here"}}), "here"), exitUsage, []string{"--listen", `"here"`, "missing port"}},
		{"UDP address is unknown", startError(fmt.Errorf("listen: %w", &net.OpError{Op: "listen", Err: unknown}), "seed.example.org:1"), exitUsage, []string{"--listen", "no such host"}},
		{"HTTP address is malformed", httpError(&net.OpError{Op: "listen", Err: &net.AddrError{Err: "missing port in address", Addr: "here"}}, "here"), exitUsage, []string{"--http", `"here"`, "missing port"}},
		{"introducer's name", startError(fmt.Errorf("bootstrap rtmfp://seed.example.org: %w", unknown), ":0"), exitUnreachable, []string{"rtmfp://seed.example.org", "no such host"}},
		{"HTTP port is busy", httpError(busy, "127.0.0.1:8080"), exitBusy, []string{"127.0.0.1:8080", "in use", "--http"}},
		{"HTTP port is not for us", httpError(denied, ":80"), exitBusy, []string{":80", "permission denied", "--http"}},
		{"nobody answers", joinError(fmt.Errorf("join: %w", node.ErrNoIntroducer), flags), exitUnreachable, []string{"rtmfp://seed.example.org", "10s"}},
		{"another group", joinError(fmt.Errorf("join: %w", node.ErrRefused), flags), exitUnreachable, []string{"rtmfp://seed.example.org", "--group"}},
		{"truncated", in.explain(&mpegts.TruncatedError{Offset: 376, Have: 10}), exitInput, []string{"talk.ts", "truncated", "before was published"}},
		{"no clock", in.explain(mpegts.ErrNoClock), exitInput, []string{"talk.ts", "--bitrate"}},
		{"something else", errors.New("strange\nthings"), exitFailure, []string{"strange; things"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, line := explain(tt.err)
			if code != tt.code {
				t.Errorf("exit code: got %d, want %d", code, tt.code)
			}
			for _, w := range append(tt.want, "") {
				if !strings.Contains(line, w) || strings.Contains(line, "\n") {
					t.Errorf("line: got %q, want one line with %q", line, w)
				}
			}
		})
	}
}
