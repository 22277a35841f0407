package multicast

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"rtmfp/group"
	"rtmfp/internal/clock"
)

func newRand(no byte) *rand.Rand { return rand.New(rand.NewPCG(uint64(no), 1)) }

// signedDescription is one of a publisher with a key.
func signedDescription(name string, no byte, grant []byte) (description, *Service) {
	s := New(Config{Rand: newRand(no), Keys: newTestKeys(no)}, &nowhere{})
	d := describe(name, Key{}, StreamConfig{}.withDefaults())
	s.sign(&d, grant, [nonceSize]byte{no})
	return d, s
}

// A description is taken only with the publisher's signature, a key that is made
// of the publisher's certificate, and what else the group wants.
func TestDescriptions(t *testing.T) {
	denied := errors.New("denied")
	for _, c := range []struct {
		name   string
		cfg    Config
		change func(d *description)
		want   Counters
	}{
		{"as it should be", Config{}, func(*description) {}, Counters{}},
		{"another name", Config{}, func(d *description) { d.name = "news" }, Counters{Forged: 1, Bans: 1}},
		{"another window", Config{}, func(d *description) { d.window /= 2 }, Counters{Forged: 1, Bans: 1}},
		{"another nonce", Config{}, func(d *description) { d.author.nonce[0]++ }, Counters{Forged: 1, Bans: 1}},
		{"another key", Config{}, func(d *description) { d.key[0]++ }, Counters{Forged: 1, Bans: 1}},
		{"the certificate of somebody else", Config{}, func(d *description) {
			d.author.certificate = newTestKeys(77).Certificate()
			d.key = streamKey(&d.author.nonce, d.author.certificate)
		}, Counters{Forged: 1, Bans: 1}},
		{"another grant", Config{}, func(d *description) { d.author.grant = []byte("mine") }, Counters{Forged: 1, Bans: 1}},
		{"no signature", Config{}, func(d *description) { d.author = nil }, Counters{Unsigned: 1}},
		{"no signature, which is allowed", Config{AllowUnsigned: true}, func(d *description) { d.author = nil }, Counters{}},
		{"a publisher who may not", Config{MayPublish: func(clock.Time, group.PeerID, []byte) error { return denied }}, func(*description) {}, Counters{Unpermitted: 1}},
		{"a publisher who may", Config{MayPublish: func(_ clock.Time, who group.PeerID, grant []byte) error {
			if peer, _ := newTestKeys(5).Author(newTestKeys(5).Certificate()); who != peer || string(grant) != "grant" {
				return denied
			}
			return nil
		}}, func(*description) {}, Counters{}},
		{"a certificate that was never seen", Config{Keys: testKeys{}}, func(*description) {}, Counters{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, _ := signedDescription("cam", 5, []byte("grant"))
			c.change(&d)
			cfg := c.cfg
			cfg.Rand = newRand(1)
			if cfg.Keys == nil {
				cfg.Keys = newTestKeys(1)
			}
			s := New(cfg, &nowhere{})
			s.NeighborUp(1, 1, Member{Peer: group.PeerID{1}, Session: 50, Modern: true})
			s.FlowOpened(1, 1, 100, metaControl, 0)
			s.Message(1, 100, appendDescription(nil, &d))
			got := s.Counters()
			got.SignaturesChecked = 0
			if got != c.want {
				t.Errorf("counters: got %+v, want %+v", got, c.want)
			}
			if known := len(s.streams) == 1; known != (c.want == Counters{}) {
				t.Errorf("the stream is known: %v", known)
			}
		})
	}
}

// Who was cut off stays so when it comes back, for a while.
func TestBansLast(t *testing.T) {
	d, _ := signedDescription("cam", 5, nil)
	d.name = "news"
	s := New(Config{Rand: newRand(1), Keys: newTestKeys(1)}, &nowhere{})
	now, link := clock.Time(time.Second), group.LinkID(0)
	come := func() group.Delivery {
		link++
		s.NeighborUp(now, link, Member{Peer: group.PeerID{1}, Session: 50, Modern: true})
		delivery := s.FlowOpened(now, link, group.RecvID(100+link), metaControl, 0)
		s.Message(now, group.RecvID(100+link), appendDescription(nil, &d))
		s.NeighborDown(now, link)
		return delivery
	}
	if got := come(); got != group.InOrder || s.Counters().Bans != 1 {
		t.Fatalf("at first: %v, %+v", got, s.Counters())
	}
	if now = now.Add(banTime - 1); come() != group.Reject {
		t.Error("a neighbor that was cut off was let in too soon")
	}
	if now = now.Add(2); come() != group.InOrder {
		t.Error("a neighbor that was cut off was not let in again")
	}
	for i := range 3 * maxExiles {
		n := &neighbor{Member: Member{Peer: group.PeerID{2, byte(i)}}}
		s.ban(now, n, nil)
	}
	if len(s.exiles) > maxExiles {
		t.Errorf("%d bans are remembered", len(s.exiles))
	}
}

// A node without a key publishes only where streams need no signature.
func TestPublishNeedsKey(t *testing.T) {
	s := New(Config{Rand: newRand(1)}, &nowhere{})
	if _, err := s.Publish(1, "cam", StreamConfig{}); err != ErrNoKey {
		t.Errorf("Publish: got %v, want ErrNoKey", err)
	}
	s = New(Config{Rand: newRand(1), AllowUnsigned: true}, &nowhere{})
	if p, err := s.Publish(1, "cam", StreamConfig{}); err != nil || p.st.signed() {
		t.Errorf("Publish where unsigned streams are allowed: %v", err)
	}
}

// A signed stream that became known by a description without its signature, as old
// peers pass on, becomes signed when the whole one comes; what came before is not
// played on.
func TestBecomesSigned(t *testing.T) {
	w := newNetwork(t, 4)
	w.latency = func(a, b *testNode) time.Duration { return 5 * time.Millisecond }
	pub := w.addSigning(Config{})
	src := w.publish(pub, "cam", StreamConfig{}, 940, 5*time.Millisecond, 50)
	n := w.addSigning(Config{AllowUnsigned: true})
	n.play("cam")
	stripped := src.pub.st.desc
	stripped.author = nil
	_, media := stranger(n, &stripped)
	for id := uint64(1); id < 30; id++ {
		data := append([]byte{ownKey, 0, 0, 0, 0, 0, 0, 0, 0}, []byte("a lie")...)
		n.svc.Message(w.now, media, appendFragment(nil, fragment{id: id, start: true, typ: TypeOwn, payload: data}))
		n.turn()
	}
	if len(n.frames) == 0 {
		t.Fatal("nothing was played of a stream without signatures that is allowed")
	}
	n.frames = nil
	w.link(pub, n)
	w.run(3 * time.Second)
	if f := n.figures(w.now); f.frames < 500 || f.lost+f.outOfOrder > 0 {
		t.Errorf("once signed: %v", f)
	}
	genuine(t, n, 940)
}

// Old viewers watch a signed stream, and modern ones get it through them.
func TestOldViewersOfSigned(t *testing.T) {
	w := newNetwork(t, 4)
	w.latency = func(a, b *testNode) time.Duration { return 5 * time.Millisecond }
	pub := w.addSigning(Config{AllowUnsigned: true})
	w.publish(pub, "cam", StreamConfig{}, 900, 5*time.Millisecond, 200)
	old := w.add(Config{}, false)
	old.play("cam")
	w.link(pub, old)
	far := w.addSigning(Config{AllowUnsigned: true})
	far.play("cam")
	w.link(old, far) // its only neighbor, for a while
	w.run(4 * time.Second)
	near := w.addSigning(Config{AllowUnsigned: true})
	near.play("cam")
	w.link(pub, near)
	w.link(old, near)
	w.run(6 * time.Second)
	for _, c := range []struct {
		n    *testNode
		want int
	}{{old, 1750}, {far, 1500}, {near, 1100}} {
		media := 0
		for _, f := range c.n.frames {
			if f.Type == TypeOwn {
				media++
			}
		}
		if media < c.want {
			t.Errorf("node %d played %d frames", c.n.no, media)
		}
		if b := c.n.svc.Counters().Bans; b > 0 {
			t.Errorf("node %d cut off %d", c.n.no, b)
		}
	}
}

// A grant that runs out, or an eviction, ends a stream for those who watch.
func TestPermissionEnds(t *testing.T) {
	w := newNetwork(t, 4)
	pub := w.addSigning(Config{})
	w.publish(pub, "cam", StreamConfig{}, 900, 20*time.Millisecond, 50)
	until := clock.Time(3 * time.Second)
	n := w.addSigning(Config{MayPublish: func(now clock.Time, _ group.PeerID, _ []byte) error {
		if now > until {
			return errors.New("over")
		}
		return nil
	}})
	n.play("cam")
	w.link(pub, n)
	w.run(6 * time.Second)
	if last := n.frames[len(n.frames)-1].at; last < until || last > until.Add(1500*time.Millisecond) {
		t.Errorf("the last frame was played at %v, the permission ended at %v", last, until)
	}
}
