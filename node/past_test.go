package node_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rtmfp/node"
	"rtmfp/node/keepdir"
)

// A relay with a folder keeps there what leaves its window, gives it to a viewer that comes late, and
// leaves nothing behind.
func TestKeepDir(t *testing.T) {
	ctx := testContext(t)
	path := t.TempDir()
	dir, err := keepdir.Open(path, keepdir.Options{})
	if err != nil {
		t.Fatal(err)
	}
	relay, err := node.Start(ctx, node.Config{Listen: "127.0.0.1:0", Introduce: true, RelayAll: true, KeepWindow: time.Hour, KeepDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer relay.Close()
	spec := testSpec(t, "past")
	if _, err := relay.Join(ctx, spec); err != nil {
		t.Fatal(err)
	}
	_, source := start(t, spec, urlOf(relay))
	pub, err := source.Publish(ctx, "cam", node.PublishOptions{Window: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	written := 0
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	// A window of 2.1 s, and what was before.
	for began := time.Now(); time.Since(began) < 5*time.Second || relay.Stats().Kept.Bytes == 0; <-tick.C {
		msg := fmt.Appendf(nil, "%06d%s", written, strings.Repeat("x", written%1500))
		if err := pub.WriteMessage(msg, time.Duration(written)*5*time.Millisecond, written%100 == 0); err != nil {
			t.Fatal(err)
		}
		if written++; ctx.Err() != nil {
			t.Fatal("nothing is kept on disk")
		}
	}
	if s := relay.Stats().Kept; s.Streams != 1 || s.Failed+s.Full+s.Refused > 0 {
		t.Errorf("kept: %+v", s)
	}
	_, g := start(t, spec, urlOf(relay))
	late, err := g.Play(ctx, "cam", node.PlayOptions{Back: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if _, no := readTo(ctx, t, late, written-1); no != 0 {
		t.Errorf("who comes late begins with frame %d", no)
	}
	relay.Close()
	if err := dir.Close(); err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(path, "stream-*")); len(left) > 0 {
		t.Errorf("there are still %v", left)
	}
}
