package node_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"rtmfp/group"
	"rtmfp/node"
)

// awaitNeighbor waits until a group has a neighbor.
func awaitNeighbor(t *testing.T, g *node.Group, want node.PeerID) {
	t.Helper()
	for ev, err := range g.Events(testContext(t)) {
		if err != nil {
			t.Fatalf("waiting for a neighbor: %v", err)
		}
		if ev.Kind == node.NeighborConnected && ev.Peer == want {
			return
		}
	}
}

// A node that was in a group before finds it again without any introducer.
func TestAddressCache(t *testing.T) {
	ctx := testContext(t)
	spec := testSpec(t, "cache")
	first, _ := start(t, spec)
	cache := filepath.Join(t.TempDir(), "folder", "addresses")
	run := func(bootstrap ...string) (*node.Node, *node.Group) {
		n, err := node.Start(ctx, node.Config{Listen: "127.0.0.1:0", Bootstrap: bootstrap, AddressCache: cache})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { n.Close() })
		g, err := n.Join(ctx, spec)
		if err != nil {
			t.Fatal(err)
		}
		return n, g
	}
	n, g := run(urlOf(first))
	awaitNeighbor(t, g, first.ID())
	n.Close()
	data, err := os.ReadFile(cache)
	if err != nil || !bytes.Contains(data, []byte(first.ID().String())) {
		t.Fatalf("the cache holds %q, %v; want the address of the first node", data, err)
	}
	if bytes.Contains(data, []byte(spec[2:])) {
		t.Error("the cache shows the groupspec")
	}
	if info, err := os.Stat(cache); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the cache's mode: %v, %v", info.Mode(), err)
	}

	_, again := run()
	awaitNeighbor(t, again, first.ID())
	// An introducer that can't be reached is no hindrance.
	_, again = run("rtmfp://127.0.0.1:9")
	awaitNeighbor(t, again, first.ID())

	// A file that is no cache is begun anew.
	if err := os.WriteFile(cache, []byte("not a cache"), 0o600); err != nil {
		t.Fatal(err)
	}
	n, g = run(urlOf(first))
	awaitNeighbor(t, g, first.ID())
	n.Close()
	if data, err := os.ReadFile(cache); err != nil || !bytes.Contains(data, []byte(first.ID().String())) {
		t.Errorf("after it was damaged the cache holds %q, %v", data, err)
	}
}

// Nodes find each other on a network without any server.
func TestLAN(t *testing.T) {
	ctx := testContext(t)
	s, err := group.NewSpec(group.SpecFields{Name: "lan", Multicast: true, MemberUpdates: true, Unique: []byte(t.TempDir())})
	if err != nil {
		t.Fatal(err)
	}
	var nodes []*node.Node
	var groups []*node.Group
	for range 3 {
		n, err := node.Start(ctx, node.Config{Listen: "127.0.0.1:0", LAN: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { n.Close() })
		g, err := n.Join(ctx, s.String())
		if err != nil {
			t.Fatal(err)
		}
		nodes, groups = append(nodes, n), append(groups, g)
	}
	for i, g := range groups {
		awaitNeighbor(t, g, nodes[(i+1)%len(nodes)].ID())
	}
	if s := nodes[0].Stats().LAN; s.Sent == 0 || s.Found == 0 {
		t.Errorf("figures of the LAN: got %+v", s)
	}
}
