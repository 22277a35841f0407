package node_test

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"

	"rtmfp/group"
	"rtmfp/node"
)

// Objects spread over real nodes, who also pass them on; what one sends wrong is
// fetched of another.
func TestObjectsOnSockets(t *testing.T) {
	s, err := group.NewSpec(group.SpecFields{Name: "objects", Replication: true, ServerChannel: true})
	if err != nil {
		t.Fatal(err)
	}
	const objects, size = 200, 20_000
	content := func(i uint64) []byte { return bytes.Repeat([]byte{byte(i), byte(i >> 8)}, size/2) }
	ctx, stop := context.WithCancel(testContext(t))
	defer stop()
	first, g0 := start(t, s.String())
	var finished, running sync.WaitGroup
	for k := range 4 {
		g := g0
		if k > 0 {
			_, g = start(t, s.String(), urlOf(first))
		}
		c, err := g.OpenCollection(node.CollectionID{}, node.RarestFirst)
		if err != nil {
			t.Fatal(err)
		}
		if k == 0 {
			err = c.AddHave(node.Range{Start: 0, End: objects})
		} else {
			err = c.AddWant(node.Range{Start: 0, End: objects})
			finished.Add(1)
		}
		if err != nil {
			t.Fatal(err)
		}
		running.Add(1)
		go func() {
			defer running.Done()
			got, bad := 0, false
			for ev, err := range c.Events(ctx) {
				if err != nil {
					return
				}
				switch ev.Kind {
				case node.ObjectRequested:
					data := content(ev.Index)
					if k == 1 && ev.Index == 3 && !bad {
						bad, data[5] = true, data[5]+1
					}
					// It may have been fetched of another meanwhile.
					if err := ev.Answer(data); err != nil && !errors.Is(err, node.ErrNoRequest) {
						t.Errorf("answer: %v", err)
					}
				case node.ObjectFetched:
					if !bytes.Equal(ev.Data, content(ev.Index)) {
						if err := ev.Bad(); err != nil {
							t.Error(err)
						}
						continue
					}
					if err := c.AddHave(node.Range{Start: ev.Index, End: ev.Index + 1}); err != nil {
						t.Error(err)
					}
					if got++; got == objects {
						finished.Done()
					}
				}
			}
		}()
	}
	done := make(chan struct{})
	go func() { finished.Wait(); close(done) }()
	select {
	case <-done:
	case <-testContext(t).Done():
		t.Error("not everybody got everything")
	}
	if st := g0.Stats(); st.Total.Objects.Sent == 0 {
		t.Errorf("figures: %+v", st.Total)
	}
	stop()
	running.Wait()
}

// What is wrong is said.
func TestObjectErrors(t *testing.T) {
	_, g := start(t, testSpec(t, "no objects"))
	if _, err := g.OpenCollection(node.CollectionID{}, node.RarestFirst); !errors.Is(err, node.ErrNoReplication) {
		t.Errorf("a group without replication: %v", err)
	}
	s, err := group.NewSpec(group.SpecFields{Name: "objects", Replication: true, ServerChannel: true})
	if err != nil {
		t.Fatal(err)
	}
	n, g := start(t, s.String())
	c, err := g.OpenCollection(node.CollectionID{1}, node.LowestFirst)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.OpenCollection(node.CollectionID{1}, node.RarestFirst); err == nil {
		t.Error("a collection was opened twice")
	}
	if err := c.AddWant(node.Range{Start: 5, End: 5}); !errors.Is(err, node.ErrIndex) {
		t.Error(err)
	}
	if err := c.AddWant(node.Range{Start: 5, End: 9}); err != nil {
		t.Error(err)
	}
	if st := c.Stats(); st.Want != 4 || st.Have != 0 {
		t.Errorf("%+v", st)
	}
	short, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range c.Events(short) {
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	n.Close()
	for _, err := range c.Events(t.Context()) {
		if !errors.Is(err, node.ErrClosed) {
			t.Error(err)
		}
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}
