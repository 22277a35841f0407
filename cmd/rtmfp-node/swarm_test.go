package main

import (
	"slices"
	"testing"
	"time"

	"rtmfp/cmd/rtmfp-node/demo"
	"rtmfp/node"
)

func TestParentsOf(t *testing.T) {
	a, b := node.PeerID{1}, node.PeerID{2}
	var trees [node.Slices]node.Slice
	for i, p := range []node.PeerID{a, b, a, a, {}, {9}, b, a} {
		trees[i].Parent = p
	}
	got := parentsOf(trees, map[node.PeerID]string{a: "publisher", b: "viewer 3"})
	want := []demo.EdgeView{{Name: "publisher", Slices: 4}, {Name: "viewer 3", Slices: 2}}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestCompareNames(t *testing.T) {
	want := []string{"introducer", "publisher", "viewer 1", "viewer 2", "viewer 9", "viewer 10", "viewer 11"}
	got := slices.Clone(want)
	slices.Reverse(got)
	slices.SortFunc(got, compareNames)
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestRecentDelays(t *testing.T) {
	var r recentDelays
	if got := r.median(); got != 0 {
		t.Errorf("without any: got %v, want 0", got)
	}
	for i := range 1000 {
		r.add(time.Duration(i) * time.Millisecond)
	}
	// The last 256 are 744 ms to 999 ms.
	if got, want := r.median(), 872*time.Millisecond; got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}
