package group

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"rtmfp/internal/clock"
	"rtmfp/ring"
)

// take drains what routing has for a node.
func (x *testNode) take() {
	for m, ok := x.g.NextRouted(); ok; m, ok = x.g.NextRouted() {
		x.routed = append(x.routed, m)
	}
	for r, ok := x.g.NextRouteResult(); ok; r, ok = x.g.NextRouteResult() {
		x.results = append(x.results, r)
	}
}

func (n *testNet) nearestTo(a ring.Addr) *testNode {
	var best *testNode
	for _, x := range n.members() {
		if best == nil || a.Nearer(x.g.self, best.g.self) {
			best = x
		}
	}
	return best
}

var routingSpec = mustSpec(SpecFields{Name: "test", Routing: true, ServerChannel: true})

func routingNet(t testing.TB, seed uint64, members int) *testNet {
	net := newTestNet(t, seed, rtt)
	first := net.add(func(c *Config) { c.Introduce, c.Spec = true, routingSpec })
	for range members - 1 {
		net.run(10 * time.Millisecond)
		net.add(func(c *Config) { c.Spec = routingSpec }).bootstrap(first)
	}
	net.run(20 * time.Second)
	for _, x := range net.nodes {
		x.input(func(g *Group, now clock.Time) { g.SetReceiveMode(now, ReceiveNearest) })
	}
	net.run(time.Second)
	return net
}

// send routes a message from x and lets the time pass that it may take.
func (x *testNode) send(to ring.Addr, msg []byte, o RouteOptions) RouteResult {
	x.net.t.Helper()
	id := RouteID(0)
	x.input(func(g *Group, now clock.Time) {
		var err error
		if id, err = g.SendToNearest(now, to, msg, o); err != nil {
			x.net.t.Fatal(err)
		}
	})
	for range 1000 {
		for _, r := range x.results {
			if r.ID == id {
				return r
			}
		}
		x.net.run(20 * time.Millisecond)
	}
	x.net.t.Fatal("no result of a routed message")
	return RouteResult{}
}

// A message gets to the member nearest to its target, from everywhere, and the
// result names it.
func TestSendToNearest(t *testing.T) {
	net := routingNet(t, 1, 60)
	hops := 0
	for i, x := range net.nodes {
		to := ring.Hash(fmt.Sprint("room/", i))
		want := net.nearestTo(to)
		res := x.send(to, []byte{byte(i)}, RouteOptions{})
		if res.Status != RouteSent || res.Peer != want.peer || (res.Hops == 0) != (want == x) {
			t.Errorf("from node %d: %v, %d hops; want it at node %d", i, res.Status, res.Hops, want.index)
		}
		got := want.routed[len(want.routed)-1]
		if got.Target != to || got.Origin != x.peer || !bytes.Equal(got.Data, []byte{byte(i)}) || got.Hops != res.Hops {
			t.Errorf("node %d got %+v", want.index, got)
		}
		hops += res.Hops
	}
	if most := 3 * len(net.nodes); hops > most {
		t.Errorf("%d hops in all, want at most %d", hops, most)
	}
	for _, x := range net.nodes {
		if n := x.g.Stats().RoutesAgain; n != 0 {
			t.Errorf("node %d sent %d messages anew although nothing was lost", x.index, n)
		}
	}
	net.run(time.Minute)
	for _, x := range net.nodes {
		bytes := x.g.routeBytes
		for _, r := range x.g.routes { // those of this test were long ago
			if bytes -= len(r.msg); r.service != serviceFind {
				t.Errorf("node %d remembers message %x", x.index, r.id)
			}
		}
		if bytes != 0 {
			t.Errorf("node %d counts %d bytes that it does not remember", x.index, bytes)
		}
	}
}

// A reply finds its way back, and is the result of the request.
func TestRouteReply(t *testing.T) {
	net := routingNet(t, 2, 40)
	to := ring.Hash("a question")
	server := net.nearestTo(to)
	var client *testNode
	for _, x := range net.nodes {
		if x != server && x.endTo(server) == nil {
			client = x
			break
		}
	}
	answered := false
	server.onTurn = func() {
		if n := len(server.routed); n > 0 && !answered {
			answered = true
			if err := server.g.Reply(net.now, server.routed[n-1].ID, []byte("forty-two")); err != nil {
				t.Error(err)
			}
		}
	}
	res := client.send(to, []byte("what is it?"), RouteOptions{Request: true})
	if res.Status != RouteSent || res.Peer != server.peer || string(res.Reply) != "forty-two" {
		t.Errorf("got %+v", res)
	}
	if err := server.g.Reply(net.now, 1, nil); !errors.Is(err, ErrNoRequest) {
		t.Errorf("reply to nothing: %v", err)
	}
	// To oneself, too.
	answered = false
	if res := server.send(to, nil, RouteOptions{Request: true}); res.Hops != 0 || string(res.Reply) != "forty-two" {
		t.Errorf("a request to oneself: %+v", res)
	}
}

// A member on the way that has died without a word is gone around, and if it
// was the nearest, the next one takes its place.
func TestRouteAroundDeath(t *testing.T) {
	net := routingNet(t, 3, 80)
	x := net.nodes[0]
	rng := rand.New(rand.NewPCG(1, 3))
	for i := range 20 {
		to := ring.Hash(fmt.Sprint("key ", i))
		if l, _ := x.g.nextHop(&relay{target: to}); l != nil {
			net.byPeer[l.peer].kill()
		}
		start := net.now
		res := x.send(to, nil, RouteOptions{})
		if want := net.nearestTo(to); res.Status != RouteSent || res.Peer != want.peer {
			t.Errorf("message %d: %+v, want it at node %d", i, res, want.index)
		}
		if took := net.now.Sub(start); took > 3*time.Second {
			t.Errorf("message %d took %v", i, took)
		}
		net.run(time.Duration(rng.IntN(2000)) * time.Millisecond)
	}
}

func TestRouteRefusals(t *testing.T) {
	net := routingNet(t, 4, 20)
	x := net.nodes[3]
	var long *TooLongError
	if _, err := x.g.SendToNearest(net.now, ring.Addr{}, make([]byte, MaxRouted+1), RouteOptions{}); !errors.As(err, &long) || long.Limit != MaxRouted {
		t.Errorf("a message that is too long: %v", err)
	}
	to := ring.Hash("somewhere")
	nearest := net.nearestTo(to)
	if nearest == x {
		x = net.nodes[4]
	}
	big := bytes.Repeat([]byte{7}, MaxRouted)
	if res := x.send(to, big, RouteOptions{}); res.Status != RouteSent || !bytes.Equal(nearest.routed[0].Data, big) {
		t.Errorf("the longest message: %v", res.Status)
	}
	if res := x.send(to, nil, RouteOptions{Exact: true}); res.Status != RouteNoRoute {
		t.Errorf("to an address that nobody has: %v", res.Status)
	}
	if res := x.send(nearest.g.self, nil, RouteOptions{Exact: true}); res.Status != RouteSent || res.Peer != nearest.peer {
		t.Errorf("to an address that somebody has: %+v", res)
	}
	far := ring.Hash("farther") // more than a hop away: nobody may pass it on
	if l, _ := x.g.nextHop(&relay{target: far}); l != nil && net.nearestTo(far).peer != l.peer {
		if res := x.send(far, nil, RouteOptions{HopLimit: 1}); res.Status != RouteNoRoute {
			t.Errorf("beyond the hop limit: %+v", res)
		}
	}
	// Where the nearest does not listen, the nearest that does gets it.
	nearest.input(func(g *Group, now clock.Time) { g.SetReceiveMode(now, ReceiveNone) })
	net.run(time.Second)
	if res := x.send(to, nil, RouteOptions{}); res.Status != RouteSent || res.Peer == nearest.peer {
		t.Errorf("past one that does not listen: %+v", res)
	}
	// One that takes only what is to its very address does take that, and what a
	// neighbor sends it over one hop.
	nearest.input(func(g *Group, now clock.Time) { g.SetReceiveMode(now, ReceiveExact) })
	net.run(time.Second)
	if res := x.send(to, nil, RouteOptions{}); res.Status != RouteSent || res.Peer == nearest.peer {
		t.Errorf("past one that is not the very one: %+v", res)
	}
	if res := x.send(nearest.g.self, nil, RouteOptions{}); res.Status != RouteSent || res.Peer != nearest.peer {
		t.Errorf("to its very address: %+v", res)
	}
	next := net.byPeer[nearest.g.nextNeighbor(NextIncreasing).peer]
	next.input(func(g *Group, now clock.Time) {
		if _, err := g.SendToNeighbor(now, NextDecreasing, nil, RouteOptions{}); err != nil {
			t.Error(err)
		}
	})
	net.run(2 * rtt)
	if res := next.results[len(next.results)-1]; res.Status != RouteSent || res.Peer != nearest.peer {
		t.Errorf("over one hop: %+v", res)
	}
	for _, y := range net.nodes {
		y.input(func(g *Group, now clock.Time) { g.SetReceiveMode(now, ReceiveNone) })
	}
	net.run(time.Second)
	if res := x.send(to, nil, RouteOptions{}); res.Status != RouteRefused || res.Peer != nearest.peer {
		t.Errorf("nobody listens: %+v, want it refused by node %d", res, nearest.index)
	}
	plain := start(t, 5, 3, 0)
	plain.run(time.Second)
	if _, err := plain.nodes[1].g.SendToNearest(plain.now, to, nil, RouteOptions{}); !errors.Is(err, ErrRouteSpec) {
		t.Errorf("a group without routing: %v", err)
	}
}

// The forms that go one hop only.
func TestSendToNeighbors(t *testing.T) {
	net := routingNet(t, 6, 30)
	var set ring.Set[*testNode]
	for _, x := range net.nodes {
		set.Add(x.g.self, x)
	}
	for i := range set.Len() {
		x := set.At(i).Value
		for d, want := range map[Direction]*testNode{NextIncreasing: set.At(i + 1).Value, NextDecreasing: set.At(i - 1).Value} {
			before := len(want.routed)
			x.input(func(g *Group, now clock.Time) {
				if _, err := g.SendToNeighbor(now, d, []byte("hello"), RouteOptions{}); err != nil {
					t.Error(err)
				}
			})
			net.run(2 * rtt)
			if len(want.routed) != before+1 || x.results[len(x.results)-1].Peer != want.peer {
				t.Errorf("node %d: direction %d did not lead to node %d", x.index, d, want.index)
			}
		}
		from, to := x.g.Coverage()
		if !ring.Between(x.g.self, from, to) || ring.Between(set.At(i+1).Addr, from, to) || ring.Between(set.At(i-1).Addr, from, to) {
			t.Errorf("node %d covers %v to %v", x.index, from, to)
		}
	}
	x := net.nodes[5]
	var ids []RouteID
	x.input(func(g *Group, now clock.Time) { ids, _ = g.SendToAllNeighbors(now, []byte("all"), RouteOptions{}) })
	before := len(x.results)
	net.run(2 * rtt)
	if len(ids) != x.g.NeighborCount() || len(x.results) != before+len(ids) {
		t.Errorf("%d messages and %d results for %d neighbors", len(ids), len(x.results)-before, x.g.NeighborCount())
	}
}

func FuzzRoute(f *testing.F) {
	m := routeMessage{id: 7, flags: routeExact, hops: 1, left: 3, service: 300, target: ring.Hash("x"), origin: PeerID{9}, payload: []byte("abc")}
	f.Add(m.append(nil))
	a := answer{id: 7, code: answerReply, hops: 3, responder: PeerID{8}, payload: []byte("xyz")}
	f.Add(a.append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, ok := parseRoute(b); ok && m.service < 1<<62 {
			if n, ok := parseRoute(m.append(nil)); !ok || n.id != m.id || n.service != m.service || n.target != m.target || !bytes.Equal(n.payload, m.payload) {
				t.Errorf("%x: read as %+v, and that as %+v", b, m, n)
			}
		}
		if a, ok := parseAnswer(b); ok && !bytes.Equal(a.append(nil), b) {
			t.Errorf("%x: read as %+v", b, a)
		}
	})
}
