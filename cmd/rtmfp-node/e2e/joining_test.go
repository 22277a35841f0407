//go:build e2e && linux

package e2e

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Without an introducer processes find each other: on the local network, by
// the groupspec alone, and by what one remembers of an earlier run, though the
// introducer of then is dead.
func TestJoinWithoutIntroducer(t *testing.T) {
	dir := t.TempDir()
	identity := filepath.Join(dir, "identity")
	id, _, err := command(t, 20*time.Second, nodeProgram, "identity", "--identity", identity)
	if err != nil {
		t.Fatal(err)
	}
	id = strings.TrimSpace(id)
	members := func(args ...string) (list []string) {
		t.Helper()
		out, stderr, err := command(t, 40*time.Second, nodeProgram, append([]string{"group", "members", "--json", "--settle", "500ms", "--listen", "127.0.0.1:0"}, args...)...)
		if err != nil {
			t.Fatalf("group members %v: %v\n%s", args, err, stderr)
		}
		var r struct{ Members []struct{ Peer string } }
		if err := json.Unmarshal([]byte(out), &r); err != nil {
			t.Fatalf("%q: %v", out, err)
		}
		for _, m := range r.Members {
			list = append(list, m.Peer)
		}
		return list
	}
	sees := func(what string, list []string, peer string) {
		t.Helper()
		if !strings.Contains(strings.Join(list, " "), peer) {
			t.Errorf("%s: told of %v, want %s", what, list, peer)
		}
	}

	lan := newSpec(t, "--name", "lan", "--multicast", "--lan", "--unique", "--no-server-channel")
	one := node(t, "on the LAN", "group", "neighbors", "--follow", "--json", "--group", lan, "--identity", identity, "--listen", "127.0.0.1:0")
	sees("on the LAN", members("--group", lan, "--identity", "none"), id)
	if err := one.cmd.Process.Signal(syscall.SIGTERM); err != nil || one.wait(t, 10*time.Second) != 0 {
		t.Errorf("the end of the one on the LAN: %v", err)
	}

	port := freePort(t)
	there := newSpec(t, "--name", "there", "--multicast", "--unique", "--bootstrap-peer", fmt.Sprintf("%s@127.0.0.1:%d", id, port))
	door := observe(t, "bootstrap peer", "--group", there, "--identity", identity, "--listen", fmt.Sprintf("127.0.0.1:%d", port))
	door.url(t)
	sees("by the groupspec", members("--group", there, "--identity", "none", "--no-lan"), id)

	// Another member, which alone is left when somebody comes back.
	other := filepath.Join(dir, "other")
	otherID, _, err := command(t, 20*time.Second, nodeProgram, "identity", "--identity", other)
	if err != nil {
		t.Fatal(err)
	}
	otherID = strings.TrimSpace(otherID)
	bare := newSpec(t, "--name", "cached", "--multicast")
	inner := observe(t, "introducer", "--group", bare, "--identity", "none", "--listen", "127.0.0.1:0")
	url := inner.url(t)
	left := observe(t, "the one that is left", "--group", bare, "--identity", other, "--addresses", "none", "--listen", "127.0.0.1:0", "--bootstrap", url)
	ringTime(t, []*observer{inner, left}, 30*time.Second)
	cache := filepath.Join(dir, "addresses")
	sees("at first", members("--group", bare, "--identity", "none", "--addresses", cache, "--bootstrap", url, "--no-lan"), otherID)
	inner.signal(t, syscall.SIGKILL)
	inner.wait(t, 10*time.Second)
	began := time.Now()
	sees("by the address cache", members("--group", bare, "--identity", "none", "--addresses", cache, "--bootstrap", url, "--no-lan"), otherID)
	show(t, "by the address cache, the introducer dead: in, settled for 0.5 s, and out after %.2f s", time.Since(began).Seconds())
}
