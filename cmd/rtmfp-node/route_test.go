package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"rtmfp/group"
	"rtmfp/node"
	"rtmfp/ring"
)

// startRouting runs an introducer of a group that routes messages.
func startRouting(t *testing.T) (n *node.Node, g *node.Group, spec, url string) {
	t.Helper()
	spec = testSpec(t, group.SpecFields{Routing: true, ServerChannel: true})
	n, err := node.Start(t.Context(), node.Config{Listen: "127.0.0.1:0", Introduce: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	if g, err = n.Join(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	return n, g, spec, fmt.Sprintf("rtmfp://%v", n.Addr())
}

// What one process sends, another takes and answers; what becomes of messages
// shows in the exit code.
func TestRoute(t *testing.T) {
	n, g, spec, url := startRouting(t)
	common := []string{"--group", spec, "--bootstrap", url, "--identity", "none", "--listen", "127.0.0.1:0", "--quiet"}
	send := func(stdin string, args ...string) (int, string, string) {
		t.Helper()
		return command(t, stdin, append(append([]string{"route", "send"}, common...), args...)...)
	}
	seed := ring.OfPeer(n.ID()).String()

	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{seed, "hello"}, exitRefused, "refused"},
		{[]string{"--exact", strings.Repeat("0", 64), "hello"}, exitNoRoute, "no route"},
		{[]string{"--peer", strings.Repeat("0", 64), "hello"}, exitNoRoute, "no route"},
		{[]string{"0123", "hello"}, exitUsage, "64 hexadecimal digits"},
		{nil, exitUsage, "give an address"},
		{[]string{"--next", "--key", "x", "hello"}, exitUsage, "give one of"},
		{[]string{"--timeout", "0s", "--key", "x", "hello"}, exitUsage, "--timeout"},
		{[]string{"--hop-limit", "300", "--key", "x", "hello"}, exitUsage, "--hop-limit"},
		{[]string{"--all", "--request", "hello"}, exitUsage, "--all"},
	} {
		if code, stdout, stderr := send("", c.args...); code != c.code || stdout != "" || !strings.Contains(stderr, c.says) {
			t.Errorf("%v: got exit code %d, %q, %q; want %d and something about %q", c.args, code, stdout, stderr, c.code, c.says)
		}
	}
	if code, _, stderr := send(strings.Repeat("x", node.MaxRouted+1), "--key", "x"); code != exitInput || !strings.Contains(stderr, "65536 bytes") {
		t.Errorf("a message that is too long: exit code %d, %q", code, stderr)
	}

	// The introducer takes messages and answers none: requests time out.
	go func() {
		for _, err := range g.Receive(t.Context()) {
			if err != nil {
				return
			}
		}
	}()
	code, stdout, stderr := send("", "--request", "--timeout", "200ms", "--json", seed, "hello")
	var r routeReport
	if err := json.Unmarshal([]byte(stdout), &r); err != nil || code != exitTimeout || r.Result != "timed out" || r.MS < 200 {
		t.Errorf("a request that nobody answers: exit code %d, %q, %q, %v", code, stdout, stderr, err)
	}
	if code, stdout, stderr := send("from stdin", seed); code != exitOK || stdout != "sent "+n.ID().String()+" hops=1\n" {
		t.Errorf("sent: exit code %d, %q, %q", code, stdout, stderr)
	}
	for _, to := range []string{"--next", "--previous"} {
		if code, stdout, stderr := send("", to, "hello"); code != exitOK || !strings.HasPrefix(stdout, "sent ") || !strings.HasSuffix(stdout, " hops=1\n") {
			t.Errorf("%s: exit code %d, %q, %q", to, code, stdout, stderr)
		}
	}
	if code, stdout, stderr := send("", "--all", "hello"); code != exitOK || !strings.HasPrefix(stdout, "sent ") {
		t.Errorf("to all: exit code %d, %q, %q", code, stdout, stderr)
	}
}

// Listeners answer in three ways, and what they print can be read by programs.
func TestRouteListen(t *testing.T) {
	_, _, spec, url := startRouting(t)
	common := []string{"--group", spec, "--bootstrap", url, "--listen", "127.0.0.1:0"}
	for _, c := range []struct {
		how   []string
		text  string
		reply string
	}{
		{[]string{"--echo"}, "one", "one"},
		{[]string{"--echo", "--exact"}, "to its very address", "to its very address"},
		{[]string{"--reply", "here"}, "two", "here"},
		{[]string{"--exec", "tr a-z A-Z"}, "three; rm -rf /", "THREE; RM -RF /"},
	} {
		identity := t.TempDir() + "/identity"
		id, err := node.LoadIdentity(identity)
		if err != nil {
			t.Fatal(err)
		}
		var heard, errs bytes.Buffer
		ended := make(chan int, 1)
		go func() {
			args := append(append([]string{"route", "listen", "--json", "--count=1", "--identity", identity}, common...), c.how...)
			e := &env{stdin: strings.NewReader(""), stdout: &heard, console: newConsole(&errs, false)}
			ended <- run(t.Context(), e, args)
		}()
		// Until it listens the others say that it is not there.
		var code int
		var stdout, stderr string
		for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
			args := append([]string{"route", "send", "--identity", "none", "--request", "--json", "--peer", id.PeerID().String()}, common...)
			if code, stdout, stderr = command(t, "", append(args, c.text)...); code != exitRefused && code != exitNoRoute {
				break
			}
		}
		var r routeReport
		if err := json.Unmarshal([]byte(stdout), &r); err != nil || code != exitOK || r.Text == nil || *r.Text != c.reply || r.Peer != id.PeerID().String() {
			t.Errorf("%v: exit code %d, %q, %q, %v; want the reply %q", c.how, code, stdout, stderr, err, c.reply)
			continue
		}
		if got := <-ended; got != exitOK {
			t.Errorf("%v: the listener's exit code is %d", c.how, got)
		}
		var m routedReport
		if err := json.Unmarshal(heard.Bytes(), &m); err != nil || m.Text == nil || *m.Text != c.text || !m.Request || m.To != r.Address {
			t.Errorf("%v: the listener printed %q, %v", c.how, heard.Bytes(), err)
		}
	}
	if code, _, stderr := command(t, "", append([]string{"route", "listen", "--echo", "--reply=x"}, common...)...); code != exitUsage || !strings.Contains(stderr, "give one of") {
		t.Errorf("two ways to answer: exit code %d, %q", code, stderr)
	}
	plain := testSpec(t, group.SpecFields{Multicast: true})
	if code, _, stderr := command(t, "", "route", "listen", "--group", plain); code != exitUsage || !strings.Contains(stderr, "carries no directed routing") {
		t.Errorf("a group without routing: exit code %d, %q", code, stderr)
	}
}
