package main

import (
	"encoding/json"
	"strings"
	"testing"

	"rtmfp/node"
	"rtmfp/ring"
)

// Two commands show who is there: as a table and as JSON.
func TestMembersAndNeighbors(t *testing.T) {
	n, g, spec, url := startRouting(t)
	common := []string{"--group", spec, "--bootstrap", url, "--identity", "none", "--listen", "127.0.0.1:0", "--settle", "300ms"}
	args := func(what string, more ...string) []string {
		return append(append([]string{"group", what}, common...), more...)
	}
	code, stdout, stderr := command(t, "", args("members")...)
	if code != exitOK || !strings.Contains(stdout, n.ID().String()) || !strings.Contains(stdout, "about 2 members") {
		t.Errorf("members: exit code %d, %q, %q", code, stdout, stderr)
	}
	code, stdout, stderr = command(t, "", args("members", "--json")...)
	var m membersReport
	if err := json.Unmarshal([]byte(stdout), &m); err != nil || code != exitOK {
		t.Fatalf("members --json: exit code %d, %q, %q, %v", code, stdout, stderr, err)
	}
	seed := false
	for _, x := range m.Members {
		seed = seed || x.Peer == n.ID().String() && x.Neighbor && !x.Lost && x.Address == ring.OfPeer(n.ID()).String() && len(x.Sockets) > 0
	}
	if !seed || m.Estimate < 2 || m.Coverage.From == m.Coverage.To {
		t.Errorf("members --json: got %+v, want the introducer as a neighbor", m)
	}

	code, stdout, stderr = command(t, "", args("neighbors")...)
	if code != exitOK || !strings.Contains(stdout, n.ID().String()[:16]) || !strings.Contains(stdout, "ring+near") {
		t.Errorf("neighbors: exit code %d, %q, %q", code, stdout, stderr)
	}
	code, stdout, stderr = command(t, "", args("neighbors", "--json")...)
	var r neighborsReport
	if err := json.Unmarshal([]byte(stdout), &r); err != nil || code != exitOK || len(r.Neighbors) == 0 {
		t.Fatalf("neighbors --json: exit code %d, %q, %q, %v", code, stdout, stderr, err)
	}
	for _, x := range r.Neighbors {
		if x.Peer == n.ID().String() && (x.Sent == 0 || x.Received == 0 || x.AgeMS < 100 || x.RTTMS <= 0 || x.Socket != n.Addr().String()) {
			t.Errorf("neighbors --json: got %+v of the introducer", x)
		}
	}
	if code, stdout, _ := command(t, "", "group", "members", "--group", spec, "--settle=-1s"); code != exitUsage || stdout != "" {
		t.Errorf("a bad --settle: exit code %d, %q", code, stdout)
	}

	// The introducer saw them come and go.
	kinds := map[node.GroupEventKind]bool{}
	for ev, err := range g.Events(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if kinds[ev.Kind] = true; kinds[node.CoverageChanged] && kinds[node.SizeChanged] {
			break
		}
	}
}
