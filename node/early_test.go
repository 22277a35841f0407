package node_test

import (
	"fmt"
	"testing"
	"time"

	"rtmfp/node"
)

// A viewer whose only neighbor is the publisher sees the stream, whichever of
// the publisher's flows comes first: the greeting or the stream's description.
func TestStreamFromOnlyNeighbor(t *testing.T) {
	spec := testSpec(t, "pair")
	first, source := start(t, spec)
	ctx := testContext(t)
	pub, err := source.Publish(ctx, "s", node.PublishOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := pub.WriteMessage([]byte("picture"), 0, true); err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			n, g := start(t, spec, urlOf(first))
			defer n.Close()
			p, err := g.Play(ctx, "s", node.PlayOptions{})
			if err != nil {
				t.Fatal(err)
			}
			timeout := time.AfterFunc(5*time.Second, func() { n.Close() })
			defer timeout.Stop()
			got := make([]byte, 7)
			if _, err := p.Read(got); err != nil || string(got) != "picture" {
				t.Fatalf("got %q, %v; want the picture", got, err)
			}
		})
	}
}
