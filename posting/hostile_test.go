package posting

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"rtmfp/group"
	"rtmfp/internal/clock"
)

// stranger is a neighbor of a node that the test speaks for, on its last link.
type stranger struct {
	n    *testNode
	link group.LinkID
	keys testKeys
}

func newStranger(n *testNode) *stranger {
	n.links = append(n.links, &testLink{far: &testNode{net: n.net, dead: true}, delay: time.Millisecond, up: true})
	s := &stranger{n, group.LinkID(len(n.links)), testKeys{group.PeerID{9, 9, byte(len(n.links))}}}
	n.svc.NeighborUp(n.net.now, s.link, Member{Peer: s.keys.peer, Session: 1})
	return s
}

func (s *stranger) say(kind int, msg []byte) {
	s.n.receive(group.RecvID(flowNo(s.link, kind)), msg)
}

// post makes an encoded post of the stranger's.
func (s *stranger) post(series int64, number, delta uint64, data []byte) []byte {
	body := appendBody(nil, s.keys.Certificate(), series, number, delta, nil, data)
	sig := s.keys.Sign(signedMessage(nil, [32]byte{1}, body))
	return append(body, sig[:]...)
}

func pushed(encoded []byte) []byte { return appendPostMessage(nil, 0, encoded) }

// What is forged, stale, too early, too much, or contradicts itself changes
// nothing, and is counted by its reason.
func TestRefusals(t *testing.T) {
	const wall = 1_700_000_000_000
	for _, c := range []struct {
		name  string
		cfg   Config
		send  func(s *stranger)
		want  func(r *Refused) *uint64
		count uint64
		kept  int
	}{
		{name: "changed on the way", send: func(s *stranger) {
			b := s.post(wall, 1, 0, []byte("pay Bob"))
			i := bytes.Index(b, []byte("Bob"))
			copy(b[i:], "Eve")
			s.say(2, pushed(b))
		}, want: func(r *Refused) *uint64 { return &r.BadSignature }, count: 1},
		{name: "in another's name", send: func(s *stranger) {
			other := testKeys{group.PeerID{7}}
			body := appendBody(nil, other.Certificate(), wall, 1, 0, nil, []byte("hi"))
			sig := s.keys.Sign(signedMessage(nil, [32]byte{1}, body))
			s.say(2, pushed(append(body, sig[:]...)))
		}, want: func(r *Refused) *uint64 { return &r.BadSignature }, count: 1},
		{name: "of another group", send: func(s *stranger) {
			body := appendBody(nil, s.keys.Certificate(), wall, 1, 0, nil, []byte("hi"))
			sig := s.keys.Sign(signedMessage(nil, [32]byte{2}, body))
			s.say(2, pushed(append(body, sig[:]...)))
		}, want: func(r *Refused) *uint64 { return &r.BadSignature }, count: 1},
		{name: "stale", send: func(s *stranger) {
			s.say(2, pushed(s.post(wall-3600_000, 1, 0, []byte("hi"))))
		}, want: func(r *Refused) *uint64 { return &r.Old }, count: 1},
		{name: "from the future", send: func(s *stranger) {
			s.say(2, pushed(s.post(wall, 1, 3600_000, []byte("hi"))))
		}, want: func(r *Refused) *uint64 { return &r.Future }, count: 1},
		{name: "two of one number", send: func(s *stranger) {
			s.say(2, pushed(s.post(wall, 1, 0, []byte("yes"))))
			s.say(2, pushed(s.post(wall, 1, 0, []byte("no"))))
		}, want: func(r *Refused) *uint64 { return &r.Conflict }, count: 1, kept: 1},
		{name: "too many", send: func(s *stranger) {
			for i := range uint64(relayFactor*PostBurst + 30) {
				s.say(2, pushed(s.post(wall, i+1, 0, []byte("spam"))))
			}
		}, want: func(r *Refused) *uint64 { return &r.Rate }, count: 30, kept: relayFactor * PostBurst},
		{name: "too much", send: func(s *stranger) {
			for i := range uint64(17) {
				s.say(2, pushed(s.post(wall, i+1, 0, make([]byte, MaxData))))
			}
		}, want: func(r *Refused) *uint64 { return &r.Rate }, count: 1, kept: 16},
		{name: "too large", send: func(s *stranger) {
			s.say(2, pushed(s.post(wall, 1, 0, make([]byte, MaxData+1))))
		}, want: func(r *Refused) *uint64 { return &r.Malformed }, count: 1},
		{name: "not permitted", cfg: Config{MayPost: func(author group.PeerID, grant []byte, at int64) error {
			return errors.New("no")
		}}, send: func(s *stranger) {
			s.say(2, pushed(s.post(wall, 1, 0, []byte("hi"))))
		}, want: func(r *Refused) *uint64 { return &r.Unauthorized }, count: 1},
		{name: "history full", cfg: Config{MaxPosts: 5}, send: func(s *stranger) {
			for i := range uint64(9) {
				s.say(2, pushed(s.post(wall, i+1, 0, []byte("hi"))))
			}
		}, want: func(r *Refused) *uint64 { return &r.Full }, count: 4, kept: 5},
	} {
		w := newNetwork(t, 1)
		n := w.add(c.cfg)
		n.keep = true
		c.send(newStranger(n))
		s := n.svc.Stats()
		if got := *c.want(&s.Refused); got != c.count {
			t.Errorf("%s: refused %d for that reason, want %d: %+v", c.name, got, c.count, s.Refused)
		}
		if s.Kept != c.kept || len(n.order) != c.kept {
			t.Errorf("%s: kept %d and delivered %d posts, want %d", c.name, s.Kept, len(n.order), c.kept)
		}
	}
}

// A neighbor that sends what no honest one would is not listened to.
func TestBan(t *testing.T) {
	w := newNetwork(t, 1)
	n := w.add(Config{})
	s := newStranger(n)
	for range maxOffenses {
		s.say(2, pushed(append(s.post(w.base, 1, 0, []byte("x")), 0)))
	}
	s.say(2, pushed(s.post(w.base, 2, 0, []byte("honest now"))))
	if st := n.svc.Stats(); st.Kept != 0 || st.Refused.Bans != 1 || st.Refused.Unasked != 1 {
		t.Errorf("after %d forgeries: %+v", maxOffenses, st.Refused)
	}
	w.run(banTime + time.Second)
	s.say(2, pushed(s.post(w.base, 3, uint64(banTime/time.Millisecond), []byte("and later"))))
	if st := n.svc.Stats(); st.Kept != 1 {
		t.Errorf("a minute later: kept %d, want 1", st.Kept)
	}
}

// Announcements of posts that do not exist cost a bounded effort, and don't
// keep true ones from coming.
func TestEmptyPromises(t *testing.T) {
	w := swarm(t, 2, 20)
	n := w.nodes[0]
	s := newStranger(n)
	var keys []key
	for i := range maxPromises + 1000 {
		keys = append(keys, key{byte(i), byte(i >> 8), byte(i >> 16), 1})
	}
	for list := range slices.Chunk(keys, maxAnnounce) {
		s.say(1, appendKeys(nil, msgHave, list))
	}
	if st := n.svc.Stats(); st.Missing != maxPromises || st.Refused.Missing != 1000 {
		t.Errorf("missing %d, refused %d", st.Missing, st.Refused.Missing)
	}
	stop := w.poster(10, 100)
	w.run(10 * time.Second)
	stop()
	w.run(time.Second)
	if st := n.svc.Stats(); st.Missing != 0 || st.Refused.GivenUp != maxPromises {
		t.Errorf("afterwards missing %d, given up %d", st.Missing, st.Refused.GivenUp)
	}
	if o := w.outcome(0, w.now); o.got != o.want {
		t.Errorf("true posts: %v", o)
	}
}

// A neighbor that claims to be the root of every tree and drops what it gets
// does not keep posts from anybody.
func TestSilentRoot(t *testing.T) {
	w := swarm(t, 2, 30)
	w.every(time.Second, func() bool {
		for _, n := range w.nodes[:15] {
			s := &stranger{n: n, link: group.LinkID(len(n.links))}
			if n.links[s.link-1].far.no != 0 || !n.links[s.link-1].far.dead {
				s = newStranger(n)
			}
			routes := n.svc.ownRoutes()
			for k := range routes {
				routes[k] = route{epoch: routes[k].epoch + 1, delay: 1}
			}
			s.say(1, appendRoutes(nil, 1<<numTrees-1, &routes))
		}
		return true
	})
	stop := w.poster(10, 100)
	w.run(20 * time.Second)
	stop()
	w.run(5 * time.Second)
	if o := w.outcome(0, w.now); o.got != o.want || o.max > 5*time.Second {
		t.Errorf("beside false roots: %v", o)
	}
}

// What one neighbor and one node hold is bounded, and counted where it ends.
func TestLimits(t *testing.T) {
	w := newNetwork(t, 1)
	n := w.add(Config{MaxNeighbors: 8, MaxQueue: 3, MaxAuthors: 4, MaxChildren: 2, HistoryBytes: 4000})
	for range 10 {
		newStranger(n)
	}
	for i := range 12 {
		n.svc.FlowOpened(w.now, 8, group.RecvID(10000+i), metaControl)
	}
	n.svc.FlowOpened(w.now, 7, 20000, []byte{0, 'G', 'R', 0x18})
	for i := range 4 {
		(&stranger{n: n, link: group.LinkID(i + 1)}).say(1, appendAsk(nil, ask{parent: 1}))
	}
	for i := range 10 {
		s := &stranger{n: n, link: 2, keys: testKeys{group.PeerID{1, byte(i)}}}
		s.say(2, pushed(s.post(w.base+int64(i)*2000, 1, 0, make([]byte, 500))))
	}
	st := n.svc.Stats()
	if st.NeighborCount != 8 || st.Refused.Neighbors != 2 || st.Refused.Flows != 5 || st.Refused.Children != 2 {
		t.Errorf("neighbors %d, refused %+v", st.NeighborCount, st.Refused)
	}
	if st.Authors != 4 || st.KeptBytes > 4000 || st.Kept < 5 || st.Kept > 7 {
		t.Errorf("authors %d, kept %d posts of %d bytes", st.Authors, st.Kept, st.KeptBytes)
	}
}

// Own posts are held to the limits, too.
func TestOwnLimits(t *testing.T) {
	w := newNetwork(t, 1)
	n := w.add(Config{})
	for _, c := range []struct {
		data []byte
		want error
	}{{nil, ErrEmpty}, {make([]byte, MaxData+1), ErrTooLarge}, {make([]byte, MaxData), nil}} {
		if _, err := n.svc.Post(w.now, c.data); !errors.Is(err, c.want) {
			t.Errorf("%d bytes: got %v, want %v", len(c.data), err, c.want)
		}
	}
	err := error(nil)
	posts := 1
	for ; err == nil && posts < 1000; posts++ {
		_, err = n.svc.Post(w.now, []byte("again"))
	}
	if posts != PostBurst+1 || err != ErrRate {
		t.Errorf("after %d posts: %v", posts, err)
	}
	w.now = w.now.Add(time.Second)
	for range PostRate {
		if _, err := n.svc.Post(w.now, []byte("later")); err != nil {
			t.Errorf("a second later: %v", err)
		}
	}
	keyless := New(0, Config{Rand: w.rng, Keys: noKeys{}}, n)
	if _, err := keyless.Post(0, []byte("x")); err != ErrNoKey {
		t.Errorf("without a key: got %v", err)
	}
}

type noKeys struct{ testKeys }

func (noKeys) Certificate() []byte { return nil }

// Equal texts are different posts.
func TestEqualTexts(t *testing.T) {
	w := swarm(t, 1, 5)
	for range 3 {
		w.nodes[0].post([]byte("same"))
	}
	w.nodes[1].post([]byte("same"))
	w.run(time.Second)
	if o := w.outcome(0, w.now); o.want != 16 || o.got != o.want {
		t.Errorf("four equal posts: %v", o)
	}
}

// Nothing is to be done while nobody posts.
func TestIdle(t *testing.T) {
	w := swarm(t, 1, 20)
	w.nodes[0].post([]byte("one"))
	w.run(2 * time.Minute)
	before := w.totals()
	w.run(10 * time.Minute)
	after := w.totals()
	if n := after.MessagesIn - before.MessagesIn; n != 0 {
		t.Errorf("%d messages in ten quiet minutes", n)
	}
	if d := w.nodes[0].svc.Deadline(); d < w.now.Add(-time.Second) {
		t.Errorf("a deadline of %v at %v", d, w.now)
	}
	if s := w.nodes[3].svc.Stats(); s.Kept != 0 {
		t.Errorf("%d posts kept after the history's time", s.Kept)
	}
}

// Late posts of an author wait for the earlier ones, but not for ever.
func TestOrder(t *testing.T) {
	a := group.PeerID{1}
	post := func(series int64, number uint64) *Post { return &Post{Author: a, Series: series, Number: number} }
	for _, c := range []struct {
		name string
		add  []*Post
		want []uint64 // at once
		late []uint64 // after the wait
	}{
		{"in order", []*Post{post(1, 1), post(1, 2), post(1, 3)}, []uint64{1, 2, 3}, nil},
		{"swapped", []*Post{post(1, 1), post(1, 3), post(1, 2)}, []uint64{1, 2, 3}, nil},
		{"lost", []*Post{post(1, 1), post(1, 3), post(1, 4)}, []uint64{1}, []uint64{3, 4}},
		{"from the middle", []*Post{post(1, 7), post(1, 8)}, nil, []uint64{7, 8}},
		{"a new series", []*Post{post(1, 1), post(2, 1), post(2, 2)}, []uint64{1, 1, 2}, nil},
		{"a new series, swapped", []*Post{post(1, 1), post(2, 2), post(2, 1)}, []uint64{1, 1, 2}, nil},
		{"an old series", []*Post{post(2, 1), post(1, 5)}, []uint64{1, 5}, nil},
	} {
		var o Order
		for _, p := range c.add {
			o.Add(0, p)
		}
		drain := func(now clock.Time) (got []uint64) {
			for p, ok := o.Next(now); ok; p, ok = o.Next(now) {
				got = append(got, p.Number)
			}
			return got
		}
		if got := drain(0); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v at once, want %v", c.name, got, c.want)
		}
		if got := drain(o.Deadline()); !slices.Equal(got, c.late) {
			t.Errorf("%s: got %v later, want %v", c.name, got, c.late)
		}
		if o.Deadline() != clock.Never {
			t.Errorf("%s: still waiting", c.name)
		}
	}
}
