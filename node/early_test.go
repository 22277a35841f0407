package node_test

import (
	"fmt"
	"testing"
	"time"

	"rtmfp/node"
)

// showPicture starts a node whose stream "s" begins with a picture.
func showPicture(t *testing.T, spec string) (*node.Node, *node.Publication) {
	t.Helper()
	n, g := start(t, spec)
	pub, err := g.Publish(testContext(t), "s", node.PublishOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := pub.WriteMessage([]byte("picture"), 0, true); err != nil {
		t.Fatal(err)
	}
	return n, pub
}

// reads fails the test unless a message is what comes next.
func reads(t *testing.T, p *node.Playback, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := p.Read(got); err != nil || string(got) != want {
		t.Fatalf("got %q, %v; want %q", got, err, want)
	}
}

// A viewer whose only neighbor is the publisher sees the stream from its key
// frame on, whichever of the publisher's flows comes first, the greeting or the
// stream's description, and whether that comes before or after Play.
func TestStreamFromOnlyNeighbor(t *testing.T) {
	spec := testSpec(t, "pair")
	ctx := testContext(t)
	first, pub := showPicture(t, spec)
	// The stream goes on, without another key frame: what viewers need first is
	// always something from before they came.
	more := make(chan struct{})
	go func() {
		defer close(more)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for n := 1; pub.WriteMessage(fmt.Appendf(nil, "change %d", n), time.Duration(n)*5*time.Millisecond, false) == nil; n++ {
			<-tick.C
		}
	}()
	defer func() {
		first.Close()
		<-more
	}()
	for i := range 6 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			n, g := start(t, spec, urlOf(first))
			defer n.Close()
			p, err := g.Play(ctx, "s", node.PlayOptions{})
			if err != nil {
				t.Fatal(err)
			}
			timeout := time.AfterFunc(5*time.Second, func() { n.Close() })
			defer timeout.Stop()
			reads(t, p, "picture")
		})
	}
}

// Join and Play at once bring the picture with the first word of the stream.
func TestJoinAndPlay(t *testing.T) {
	spec := testSpec(t, "at once")
	ctx := testContext(t)
	first, pub := showPicture(t, spec)
	n, err := node.Start(ctx, node.Config{Listen: "127.0.0.1:0", Bootstrap: []string{urlOf(first)}})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	_, p, err := n.JoinAndPlay(ctx, spec, "s", node.PlayOptions{})
	if err != nil {
		t.Fatal(err)
	}
	timeout := time.AfterFunc(5*time.Second, func() { n.Close() })
	defer timeout.Stop()
	reads(t, p, "picture")
	if s := p.Stats(); s.Duplicates > 0 {
		t.Errorf("%d duplicates", s.Duplicates)
	}
	if err := pub.Send(node.Message{Data: []byte("soundly"), PTS: time.Second, Class: node.ClassFirst}); err != nil {
		t.Fatal(err)
	}
	reads(t, p, "soundly")
	if _, _, err := n.JoinAndPlay(ctx, testSpec(t, "other"), "", node.PlayOptions{}); err == nil {
		t.Error("played a stream without a name")
	}
}
