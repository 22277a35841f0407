package node_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"time"

	"rtmfp/group"
	"rtmfp/node"
	"rtmfp/ring"
)

// startIntroducer runs a first node of a new group for the examples, and
// returns the group's spec and the introducer's URL.
func startIntroducer(ctx context.Context, name string) (spec, url string, stop func()) {
	s, err := group.NewSpec(group.SpecFields{Name: name, Version: 2, Multicast: true, Posting: true, Routing: true, ServerChannel: true, Replication: true})
	if err != nil {
		log.Fatal(err)
	}
	n, err := node.Start(ctx, node.Config{Listen: "127.0.0.1:0", Introduce: true, RelayAll: true})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := n.Join(ctx, s.String()); err != nil {
		log.Fatal(err)
	}
	return s.String(), fmt.Sprintf("rtmfp://%v", n.Addr()), func() { n.Close() }
}

// A node starts with an introducer's address and joins a group with its spec.
func ExampleStart() {
	ctx := context.Background()
	spec, introducer, stop := startIntroducer(ctx, "example")
	defer stop()

	n, err := node.Start(ctx, node.Config{Listen: "127.0.0.1:0", Bootstrap: []string{introducer}})
	if err != nil {
		log.Fatal(err)
	}
	defer n.Close()
	g, err := n.Join(ctx, spec)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("member of", g.Name())
	// Output: member of example
}

// A publication is an io.Writer; each Write is a message.
func ExampleGroup_Publish() {
	ctx := context.Background()
	spec, introducer, stop := startIntroducer(ctx, "radio")
	defer stop()
	n, err := node.Start(ctx, node.Config{Listen: "127.0.0.1:0", Bootstrap: []string{introducer}})
	if err != nil {
		log.Fatal(err)
	}
	defer n.Close()
	g, err := n.Join(ctx, spec)
	if err != nil {
		log.Fatal(err)
	}

	pub, err := g.Publish(ctx, "cam1", node.PublishOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer pub.Close()
	if _, err := io.WriteString(pub, "good evening"); err != nil {
		log.Fatal(err)
	}
	fmt.Println(pub.Stats().Messages, "message published")
	// Output: 1 message published
}

// A playback gives the messages of a stream in order, and says what was lost.
func ExampleGroup_Play() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	spec, introducer, stop := startIntroducer(ctx, "cinema")
	defer stop()
	join := func() *node.Group {
		n, err := node.Start(ctx, node.Config{Listen: "127.0.0.1:0", Bootstrap: []string{introducer}})
		if err != nil {
			log.Fatal(err)
		}
		g, err := n.Join(ctx, spec)
		if err != nil {
			log.Fatal(err)
		}
		return g
	}
	pub, err := join().Publish(ctx, "film", node.PublishOptions{})
	if err != nil {
		log.Fatal(err)
	}
	if err := pub.WriteMessage([]byte("reel one"), 0, true); err != nil {
		log.Fatal(err)
	}

	sub, err := join().Play(ctx, "film", node.PlayOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer sub.Close()
	for f, err := range sub.Frames(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s, key %v, lost before it %d\n", f.Data, f.Key, f.Lost)
		break
	}
	// Output: reel one, key true, lost before it 0
}

// A post reaches every member, with its author's name on it.
func ExampleGroup_Post() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	spec, introducer, stop := startIntroducer(ctx, "square")
	defer stop()
	join := func() *node.Group {
		n, err := node.Start(ctx, node.Config{Listen: "127.0.0.1:0", Bootstrap: []string{introducer}})
		if err != nil {
			log.Fatal(err)
		}
		g, err := n.Join(ctx, spec)
		if err != nil {
			log.Fatal(err)
		}
		return g
	}
	if _, err := join().Post(ctx, []byte("hello, all")); err != nil {
		log.Fatal(err)
	}

	// Who comes later asks for what was posted in the last minute.
	for p, err := range join().Posts(ctx, node.PostsOptions{Since: time.Minute}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s\n", p.Data)
		break
	}
	// Output: hello, all
}

// A record is a small signed value that members keep under a name.
func ExampleGroup_PutRecord() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	spec, introducer, stop := startIntroducer(ctx, "library")
	defer stop()
	n, err := node.Start(ctx, node.Config{Listen: "127.0.0.1:0", Bootstrap: []string{introducer}})
	if err != nil {
		log.Fatal(err)
	}
	defer n.Close()
	g, err := n.Join(ctx, spec)
	if err != nil {
		log.Fatal(err)
	}

	if err := g.PutRecord(ctx, "opening hours", []byte("9 to 5"), node.PutOptions{}); err != nil {
		log.Fatal(err)
	}
	list, err := g.GetRecords(ctx, "opening hours")
	if err != nil {
		log.Fatal(err)
	}
	for _, r := range list {
		fmt.Printf("%s, mine: %v\n", r.Value, r.Owner == n.ID())
	}
	// Output: 9 to 5, mine: true
}

// A message finds the member that is nearest to an address, which answers.
func ExampleGroup_SendToNearest() {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	spec, introducer, stop := startIntroducer(ctx, "routing")
	defer stop()
	n, err := node.Start(ctx, node.Config{Listen: "127.0.0.1:0", Bootstrap: []string{introducer}})
	if err != nil {
		log.Fatal(err)
	}
	defer n.Close()
	g, err := n.Join(ctx, spec)
	if err != nil {
		log.Fatal(err)
	}
	messages := g.Receive(ctx)
	go func() {
		for m, err := range messages {
			if err == nil {
				_ = m.Reply([]byte("hello, " + string(m.Data)))
			}
		}
	}()
	d, err := g.SendToNearest(ctx, ring.OfPeer(n.ID()), []byte("Ada"), node.RouteOptions{Request: true})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(d.Reply))
	// Output: hello, Ada
}

// Events say who comes and goes, and what part of the ring is this node's.
func ExampleGroup_Events() {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	spec, introducer, stop := startIntroducer(ctx, "events")
	defer stop()
	n, err := node.Start(ctx, node.Config{Listen: "127.0.0.1:0", Bootstrap: []string{introducer}})
	if err != nil {
		log.Fatal(err)
	}
	defer n.Close()
	g, err := n.Join(ctx, spec)
	if err != nil {
		log.Fatal(err)
	}
	for ev, err := range g.Events(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		if ev.Kind == node.NeighborConnected {
			fmt.Println(ev.Kind)
			break
		}
	}
	neighbors, members, figures := g.Neighbors(), g.Members(), g.Stats()
	fmt.Println(len(neighbors), "neighbor of", len(members), "known, about", figures.Members, "members")
	fmt.Println("my own address is mine:", g.Coverage().Contains(g.Address()))
	fmt.Println("something was sent:", figures.Total.Membership.Sent > 0)
	// Output:
	// neighbor connected
	// 1 neighbor of 1 known, about 2 members
	// my own address is mine: true
	// something was sent: true
}

// Objects are fetched by their number from whoever has them.
func ExampleGroup_OpenCollection() {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	spec, introducer, stop := startIntroducer(ctx, "objects")
	defer stop()
	open := func() (*node.Collection, func() error) {
		n, err := node.Start(ctx, node.Config{Listen: "127.0.0.1:0", Bootstrap: []string{introducer}})
		if err != nil {
			log.Fatal(err)
		}
		g, err := n.Join(ctx, spec)
		if err != nil {
			log.Fatal(err)
		}
		c, err := g.OpenCollection(node.CollectionID{}, node.RarestFirst)
		if err != nil {
			log.Fatal(err)
		}
		return c, n.Close
	}
	poems := []string{"roses are red", "violets are blue"}
	has, closeFirst := open()
	defer closeFirst()
	if err := has.AddHave(node.Range{Start: 0, End: 2}); err != nil {
		log.Fatal(err)
	}
	go func() {
		for ev, err := range has.Events(ctx) {
			if err == nil && ev.Kind == node.ObjectRequested {
				_ = ev.Answer([]byte(poems[ev.Index]))
			}
		}
	}()
	wants, closeSecond := open()
	defer closeSecond()
	if err := wants.AddWant(node.Range{Start: 1, End: 2}); err != nil {
		log.Fatal(err)
	}
	for ev, err := range wants.Events(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		if ev.Kind == node.ObjectFetched {
			fmt.Printf("%d: %s\n", ev.Index, ev.Data)
			break
		}
	}
	// Output: 1: violets are blue
}
