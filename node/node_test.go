package node_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"rtmfp/group"
	"rtmfp/node"
)

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func testSpec(t *testing.T, name string) string {
	t.Helper()
	s, err := group.NewSpec(group.SpecFields{Name: name, Version: 2, Multicast: true, ServerChannel: true})
	if err != nil {
		t.Fatal(err)
	}
	return s.String()
}

// start runs a node on loopback that joins the group; the first one of a group
// has no bootstrap and introduces the others.
func start(t *testing.T, spec string, bootstrap ...string) (*node.Node, *node.Group) {
	t.Helper()
	ctx := testContext(t)
	n, err := node.Start(ctx, node.Config{
		Listen: "127.0.0.1:0", Bootstrap: bootstrap,
		Introduce: len(bootstrap) == 0, RelayAll: len(bootstrap) == 0,
	})
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

func urlOf(n *node.Node) string { return fmt.Sprintf("rtmfp://%v", n.Addr()) }

// A stream crosses a group of real nodes: every viewer reads, from the key
// frame at which it starts, exactly the bytes that were published.
func TestStreamCrossesGroup(t *testing.T) {
	spec := testSpec(t, "cross")
	first, _ := start(t, spec)
	_, source := start(t, spec, urlOf(first))
	ctx := testContext(t)
	pub, err := source.Publish(ctx, "s", node.PublishOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var players []*node.Playback
	for range 4 {
		_, g := start(t, spec, urlOf(first))
		p, err := g.Play(ctx, "s", node.PlayOptions{})
		if err != nil {
			t.Fatal(err)
		}
		players = append(players, p)
	}
	var want bytes.Buffer
	for i := range 600 {
		msg := fmt.Appendf(nil, "%06d%s", i, strings.Repeat("x", i%1500))
		want.Write(msg)
		if err := pub.WriteMessage(msg, time.Duration(i)*10*time.Millisecond, i%100 == 0); err != nil {
			t.Fatal(err)
		}
		if i%10 == 0 {
			runtime.Gosched()
		}
	}
	if err := pub.Close(); err != nil {
		t.Fatal(err)
	}
	for i, p := range players {
		got, err := io.ReadAll(p)
		if err != nil {
			t.Fatalf("viewer %d: %v", i, err)
		}
		if !bytes.HasSuffix(want.Bytes(), got) || len(got) == 0 {
			t.Errorf("viewer %d: got %d bytes that are not the end of the %d published", i, len(got), want.Len())
			continue
		}
		if at := string(got[:6]); !strings.HasSuffix(at, "00") {
			t.Errorf("viewer %d: starts at message %s, which is no key frame", i, at)
		}
		if s := p.Stats(); s.Lost != 0 || s.Messages == 0 || s.FirstFrame.IsZero() {
			t.Errorf("viewer %d: got stats %+v, want nothing lost and a first frame", i, s)
		}
	}
}

func TestJoinErrors(t *testing.T) {
	ctx := testContext(t)
	spec := testSpec(t, "errors")
	first, _ := start(t, spec)

	n, err := node.Start(ctx, node.Config{Listen: "127.0.0.1:0", Bootstrap: []string{urlOf(first)}})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if _, err := n.Join(ctx, "G:zz"); err == nil {
		t.Error("join with a bad groupspec: got no error")
	}
	if _, err := n.Join(ctx, testSpec(t, "another group")); !errors.Is(err, node.ErrRefused) {
		t.Errorf("join of a group that the introducer does not know: got %v, want ErrRefused", err)
	}

	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	lonely, err := node.Start(ctx, node.Config{
		Listen: "127.0.0.1:0", Bootstrap: []string{"rtmfp://" + silent.LocalAddr().String()},
		JoinTimeout: 300 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer lonely.Close()
	if _, err := lonely.Join(ctx, spec); !errors.Is(err, node.ErrNoIntroducer) {
		t.Errorf("join through a silent introducer: got %v, want ErrNoIntroducer", err)
	}

	if _, err := node.Start(ctx, node.Config{Listen: first.Addr().String()}); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("listen on a busy port: got %v, want EADDRINUSE", err)
	}
}

// DESIGN: at most eight goroutines for a node, however many sessions.
func TestGoroutinesPerNode(t *testing.T) {
	spec := testSpec(t, "goroutines")
	before := runtime.NumGoroutine()
	first, _ := start(t, spec)
	const nodes = 6
	for range nodes - 1 {
		start(t, spec, urlOf(first))
	}
	if got := runtime.NumGoroutine() - before; got > 8*nodes {
		t.Errorf("goroutines of %d nodes: got %d, want at most 8 each", nodes, got)
	}
}

// What is closed says so, and closing twice is harmless.
func TestClosed(t *testing.T) {
	ctx := testContext(t)
	spec := testSpec(t, "closed")
	n, g := start(t, spec)
	pub, err := g.Publish(ctx, "s", node.PublishOptions{})
	if err != nil {
		t.Fatal(err)
	}
	sub, err := g.Play(ctx, "t", node.PlayOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := n.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	<-n.Done()
	<-g.Done()
	<-sub.Done()
	if _, err := pub.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("write on a closed node: got %v, want net.ErrClosed", err)
	}
	if _, err := n.Join(ctx, spec); !errors.Is(err, node.ErrClosed) {
		t.Errorf("join on a closed node: got %v, want ErrClosed", err)
	}
	for _, err := range sub.Frames(ctx) {
		if err == nil {
			t.Error("a frame after the node was closed")
		}
	}
	if err := g.Close(); err != nil {
		t.Errorf("Close of a group of a closed node: %v", err)
	}
}
