package node_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"rtmfp/node"
)

// readTo reads frames up to the one with a number, and tells the first.
func readTo(ctx context.Context, t *testing.T, p *node.Playback, last int) (first node.Frame, no int) {
	t.Helper()
	next := -1
	for f, err := range p.Frames(ctx) {
		if err != nil {
			t.Fatalf("after frame %d: %v", next-1, err)
		}
		at, _ := strconv.Atoi(string(f.Data[:6]))
		if next < 0 {
			first, no = f, at
		} else if at != next || f.Lost > 0 {
			t.Fatalf("frame %d after %d, lost %d", at, next-1, f.Lost)
		}
		if next = at + 1; at == last {
			return first, no
		}
	}
	t.Fatalf("the stream ended after frame %d", next-1)
	return first, no
}

// A viewer goes back to the beginning of what is held, one that comes later begins there, and
// one that has stopped misses nothing.
func TestRewind(t *testing.T) {
	spec := testSpec(t, "rewind")
	first, _ := start(t, spec)
	_, source := start(t, spec, urlOf(first))
	ctx := testContext(t)
	pub, err := source.Publish(ctx, "s", node.PublishOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, g := start(t, spec, urlOf(first))
	p, err := g.Play(ctx, "s", node.PlayOptions{})
	if err != nil {
		t.Fatal(err)
	}
	written := 0
	write := func(n int) {
		for range n {
			if err := pub.WriteMessage(fmt.Appendf(nil, "%06d%s", written, strings.Repeat("x", written%1500)), time.Duration(written)*time.Millisecond, written%100 == 0); err != nil {
				t.Fatal(err)
			}
			written++
		}
	}
	write(1)
	readTo(ctx, t, p, 0)
	write(349)
	if f, no := readTo(ctx, t, p, 349); no != 1 || f.Seek {
		t.Errorf("goes on with frame %d, seek %v", no, f.Seek)
	}
	back, err := p.Seek(ctx, time.Hour)
	if err != nil || back >= time.Hour {
		t.Fatalf("seek: went %v back, %v", back, err)
	}
	if f, no := readTo(ctx, t, p, 349); no != 0 || !f.Seek || !f.Key {
		t.Errorf("after the seek: frame %d, seek %v, key %v", no, f.Seek, f.Key)
	}

	p.Pause()
	write(100)
	_, g = start(t, spec, urlOf(first))
	late, err := g.Play(ctx, "s", node.PlayOptions{Back: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if _, no := readTo(ctx, t, late, 449); no != 0 {
		t.Errorf("who comes late begins with frame %d", no)
	}
	if back, ok := late.Sought(); !ok || back >= time.Hour {
		t.Errorf("who comes late is told of %v, %v", back, ok)
	}
	p.Resume()
	if _, no := readTo(ctx, t, p, 449); no != 350 {
		t.Errorf("after the pause: frame %d", no)
	}
	p.Close()
	if _, err := p.Seek(ctx, 0); err == nil {
		t.Error("seek after Close: no error")
	}
}
