package replication

import (
	"errors"
	"slices"
	"testing"
	"time"

	"rtmfp/group"
	"rtmfp/internal/clock"
)

func pair(t *testing.T, cfg Config) (w *network, a, b *testNode) {
	w = newNetwork(t, 1)
	a, b = w.add(cfg, 0), w.add(cfg, 0)
	return w, a, b
}

// What one has the other gets, whoever was there first, and it leaves the want
// set and enters the have set; what was denied is asked for again.
func TestExchange(t *testing.T) {
	w, a, b := pair(t, Config{})
	ca := a.open(CollectionID{}, RarestFirst)
	must(t, ca.AddHave(w.now, Range{0, 100}))
	must(t, ca.AddHave(w.now, Range{MaxIndex - 10, MaxIndex + 1}))
	w.link(a, b)
	denied := 0
	a.deny = func(i uint64) bool {
		if i == 7 && denied < 2 {
			denied++
			return true
		}
		return false
	}
	cb := b.open(CollectionID{}, RarestFirst)
	must(t, cb.AddWant(w.now, Range{50, 60}))
	must(t, cb.AddWant(w.now, Range{7, 8}))
	must(t, cb.AddWant(w.now, Range{MaxIndex, MaxIndex + 1}))
	must(t, cb.AddWant(w.now, Range{1000, 1001})) // nobody has it
	b.turn()
	w.run(time.Minute, func() bool { return cb.Want() == 1 })
	if cb.Have() != 12 || cb.Want() != 1 || !cb.Has(7) || !cb.Has(MaxIndex) || !cb.Wants(1000) || denied != 2 {
		t.Fatalf("have %d, want %d, denied %d times", cb.Have(), cb.Want(), denied)
	}
	if w.now < clock.Time(2*denyTime) || b.svc.Stats().Denied != 2 {
		t.Errorf("after %v and %d denials", w.now.Sub(0), b.svc.Stats().Denied)
	}
	// It is told of what comes later, and then gets it.
	must(t, ca.AddHave(w.now, Range{1000, 1001}))
	a.turn()
	w.run(time.Second, nil)
	if cb.Want() != 0 || b.svc.Stats().Duplicates != 0 {
		t.Errorf("want %d, duplicates %d", cb.Want(), b.svc.Stats().Duplicates)
	}
	// And a has nothing to do with what b wants in another collection.
	other, err := b.svc.Open(w.now, CollectionID{9}, RarestFirst)
	must(t, err)
	must(t, other.AddWant(w.now, Range{0, 5}))
	b.turn()
	w.run(time.Second, nil)
	if other.Want() != 5 {
		t.Errorf("it got %d of nothing", other.Have())
	}
	// What is withdrawn is had no more.
	must(t, ca.RemoveHave(w.now, Range{20, 40}))
	a.turn()
	must(t, cb.AddWant(w.now, Range{19, 41}))
	b.turn()
	w.run(time.Second, nil)
	if cb.Want() != 20 || !cb.Has(19) || !cb.Has(40) {
		t.Errorf("want %d, want 20", cb.Want())
	}
}

// The lowest index comes first, from where the reader is.
func TestLowestFirst(t *testing.T) {
	w, a, b := pair(t, Config{})
	must(t, a.open(CollectionID{1}, RarestFirst).AddHave(w.now, Range{0, 200}))
	a.uplink = 1 << 20
	w.link(a, b)
	c := b.open(CollectionID{1}, LowestFirst)
	c.SetReader(100)
	var order []uint64
	b.onGot = func(i uint64, _ []byte) {
		if order = append(order, i); len(order) == 20 {
			c.SetReader(180)
		}
	}
	must(t, c.AddWant(w.now, Range{0, 200}))
	b.turn()
	w.run(time.Minute, func() bool { return c.Want() == 0 })
	if len(order) != 200 || order[0] != 100 || !slices.IsSorted(order[:20]) || order[19] != 119 {
		t.Fatalf("order %v", order)
	}
	// What was asked for before the reader moved still comes before.
	at := slices.Index(order, 180)
	if at > 40 {
		t.Errorf("it came to 180 at %d: %v", at, order)
	}
	if !slices.IsSorted(order[at : at+20]) {
		t.Errorf("from there %v", order[at:at+20])
	}
}

// Who sends bad objects is left alone, and all of them come from others.
func TestBad(t *testing.T) {
	w := newNetwork(t, 1)
	for range 12 {
		w.add(Config{UploadLimit: 1 << 20 / weight * objectSize}, 1<<20)
	}
	all := Range{0, 64}
	must(t, w.nodes[0].open(CollectionID{1}, RarestFirst).AddHave(0, all))
	for _, n := range w.nodes[1:5] {
		n.bad = true // they say that they have everything
		must(t, n.open(CollectionID{1}, RarestFirst).AddHave(0, all))
	}
	w.mesh(11)
	for _, n := range w.nodes[5:] {
		must(t, n.open(CollectionID{1}, RarestFirst).AddWant(0, all))
		n.turn()
	}
	w.run(2*time.Minute, nil)
	for _, n := range w.nodes[5:] {
		if n.c.Have() != 64 || n.wrong == 0 || n.wrong > 12 {
			t.Errorf("node %d has %d, %d bad ones came", n.no, n.c.Have(), n.wrong)
		}
	}
}

// The swarm finishes although its seed leaves as soon as there is a copy.
func TestSeedLeaves(t *testing.T) {
	w := newNetwork(t, 5)
	for range 40 {
		w.add(Config{UploadLimit: 1 << 20 / weight * objectSize}, 1<<20)
	}
	all := Range{0, 100}
	seed := w.nodes[0]
	must(t, seed.open(CollectionID{1}, RarestFirst).AddHave(0, all))
	w.mesh(12)
	for _, n := range w.nodes[1:] {
		must(t, n.open(CollectionID{1}, RarestFirst).AddWant(0, all))
		n.turn()
	}
	w.run(time.Minute, func() bool { return seed.svc.Stats().Sent >= 105 })
	seed.die()
	w.run(time.Minute, nil)
	for _, n := range w.nodes[1:] {
		if n.c.Have() != 100 {
			t.Errorf("node %d has %d", n.no, n.c.Have())
		}
	}
}

// Limits hold in every second, also when many ask.
func TestUploadLimit(t *testing.T) {
	w := newNetwork(t, 2)
	const perSecond = 20
	a := w.add(Config{UploadLimit: perSecond * objectSize}, 0)
	must(t, a.open(CollectionID{1}, RarestFirst).AddHave(0, Range{0, 1000}))
	for range 10 {
		b := w.add(Config{}, 0)
		w.link(a, b)
		must(t, b.open(CollectionID{1}, RarestFirst).AddWant(0, Range{0, 1000}))
		b.turn()
	}
	last := a.svc.Stats().ObjectsOut
	for second := range 20 {
		w.run(time.Second, nil)
		sent := int(a.svc.Stats().ObjectsOut - last)
		last = a.svc.Stats().ObjectsOut
		if sent > (perSecond+2)*objectSize || second > 0 && sent < (perSecond-2)*objectSize {
			t.Errorf("sent %d bytes in second %d, the limit is %d", sent, second, perSecond*objectSize)
		}
	}
	if d := a.svc.Stats().Refused.Requests; d != 0 {
		t.Errorf("%d requests were refused", d)
	}
}

// The same of what is fetched, and nothing that was given up is delivered.
func TestDownloadLimitAndGivingUp(t *testing.T) {
	w, a, b := pair(t, Config{DownloadLimit: 10 * objectSize})
	must(t, a.open(CollectionID{1}, RarestFirst).AddHave(0, Range{0, 1000}))
	w.link(a, b)
	c := b.open(CollectionID{1}, LowestFirst)
	must(t, c.AddWant(0, Range{0, 1000}))
	b.turn()
	w.run(10*time.Second, nil)
	if n := c.Have(); n < 90 || n > 110 {
		t.Errorf("got %d in 10 s at 10 a second", n)
	}
	must(t, c.RemoveWant(w.now, Range{0, 1000}))
	have := c.Have()
	w.run(5*time.Second, nil)
	if c.Have() != have || c.Want() != 0 {
		t.Errorf("%d came that was not wanted", c.Have()-have)
	}
	c.Close(w.now)
	b.turn()
	w.run(time.Second, nil)
	if len(a.svc.neighbors[0].interests) != 0 {
		t.Error("the far end still knows of a collection that was closed")
	}
	if err := c.AddHave(w.now, Range{1, 2}); err != nil {
		t.Error(err)
	}
	b.open(CollectionID{1}, RarestFirst)
}

// A collection that is paused asks for nothing and hands nothing over, and goes
// on when it is paused no more; others go on meanwhile.
func TestPause(t *testing.T) {
	w, a, b := pair(t, Config{})
	ca := a.open(CollectionID{1}, RarestFirst)
	must(t, ca.AddHave(0, Range{0, 1000}))
	other, err := a.svc.Open(0, CollectionID{2}, RarestFirst)
	must(t, err)
	must(t, other.AddHave(0, Range{0, 100}))
	w.link(a, b)
	c := b.open(CollectionID{1}, RarestFirst)
	c.Pause(0, true)
	must(t, c.AddWant(0, Range{0, 1000}))
	b.turn()
	w.run(time.Second, nil)
	if c.Have() != 0 || b.svc.Stats().Asked != 0 {
		t.Errorf("a paused collection got %d", c.Have())
	}
	ca.Pause(w.now, true)
	c.Pause(w.now, false)
	b.turn()
	w.run(time.Second, nil)
	if c.Have() != 0 {
		t.Errorf("got %d of a collection that is paused there", c.Have())
	}
	d, err := b.svc.Open(w.now, CollectionID{2}, RarestFirst)
	must(t, err)
	must(t, d.AddWant(w.now, Range{0, 100}))
	b.turn()
	w.run(time.Second, nil)
	if d.Want() != 0 {
		t.Errorf("the other collection wants %d", d.Want())
	}
	ca.Pause(w.now, false)
	a.turn()
	w.run(10*time.Second, nil)
	if c.Want() != 0 {
		t.Errorf("want %d", c.Want())
	}
}

// A neighbor that stops answering holds nothing up for long.
func TestStalled(t *testing.T) {
	w := newNetwork(t, 3)
	for range 3 {
		w.add(Config{}, 0)
	}
	all := Range{0, 50}
	for _, n := range w.nodes[:2] {
		must(t, n.open(CollectionID{1}, RarestFirst).AddHave(0, all))
	}
	w.mesh(2)
	mute := w.nodes[0]
	c := w.nodes[2].open(CollectionID{1}, RarestFirst)
	must(t, c.AddWant(0, all))
	w.nodes[2].turn()
	mute.svc.cfg.UploadSlots = 1 // it gives credit as it did, but
	mute.dead = true
	w.run(10*time.Second, nil)
	if c.Want() != 0 {
		t.Errorf("%d are missing", c.Want())
	}
}

// Wrong arguments are refused and change nothing.
func TestArguments(t *testing.T) {
	w, a, _ := pair(t, Config{MaxCollections: 1})
	c := a.open(CollectionID{1}, RarestFirst)
	for _, r := range []Range{{1, 1}, {2, 1}, {0, MaxIndex + 2}, {MaxIndex + 5, MaxIndex + 9}} {
		for _, err := range []error{
			c.AddHave(w.now, r), c.AddWant(w.now, r), c.RemoveHave(w.now, r), c.RemoveWant(w.now, r),
		} {
			if !errors.Is(err, ErrRange) {
				t.Errorf("%v: %v", r, err)
			}
		}
	}
	if c.Have() != 0 || c.Want() != 0 {
		t.Errorf("have %d, want %d", c.Have(), c.Want())
	}
	if _, err := a.svc.Open(w.now, CollectionID{1}, RarestFirst); !errors.Is(err, ErrOpen) {
		t.Error(err)
	}
	if _, err := a.svc.Open(w.now, CollectionID{2}, RarestFirst); !errors.Is(err, ErrTooMany) {
		t.Error(err)
	}
	if err := a.svc.Answer(w.now, 77, nil); !errors.Is(err, ErrNoRequest) {
		t.Error(err)
	}
	if err := a.svc.Answer(w.now, 77, make([]byte, 2<<20)); !errors.Is(err, ErrTooLarge) {
		t.Error(err)
	}
}

// Who got the only copy of something is given less, as long as both ends have to
// do with it.
func TestOnlyCopies(t *testing.T) {
	for _, far := range []bool{true, false} {
		w, a, b := pair(t, Config{})
		ca := a.open(CollectionID{1}, RarestFirst)
		must(t, ca.AddHave(0, Range{0, 10}))
		w.link(a, b)
		cb := b.open(CollectionID{1}, RarestFirst)
		must(t, cb.AddWant(0, Range{0, 10}))
		b.turn()
		w.run(time.Second, nil)
		n := a.svc.neighbors[0]
		if n.sole != 10 || n.turnLength() <= turnUsual {
			t.Fatalf("%d only copies, turns of %d", n.sole, n.turnLength())
		}
		if far {
			cb.Close(w.now)
			b.turn()
		} else {
			ca.Close(w.now)
			a.turn()
		}
		w.run(time.Second, nil)
		if n.sole != 0 || n.turnLength() != turnUsual {
			t.Errorf("closed by the far end: %v: %d only copies, turns of %d", far, n.sole, n.turnLength())
		}
	}
}

// A neighbor that floods is held to the bounds, and one that sends nonsense is
// left alone.
func TestHostile(t *testing.T) {
	w, a, b := pair(t, Config{MaxWaiting: 8, MaxInterests: 3, MaxPages: 4})
	must(t, a.open(CollectionID{1}, RarestFirst).AddHave(0, Range{0, 100000}))
	a.uplink = 1
	w.link(a, b)
	link := group.LinkID(1)
	send := func(msg []byte) {
		b.svc.sendControl(w.now, b.svc.byLink[link], msg)
		w.run(50*time.Millisecond, nil)
	}
	for i := range byte(10) {
		send(appendOpen(nil, uint64(i), CollectionID{i}, flagWants))
	}
	n := a.svc.byLink[link]
	if len(n.interests) != 3 || a.svc.Stats().Refused.Interests != 7 {
		t.Errorf("%d interests, %d refused", len(n.interests), a.svc.Stats().Refused.Interests)
	}
	var sparse Set
	for i := range uint64(100) {
		sparse.Add(Range{i * pageSize, i*pageSize + 1})
	}
	runs, _, _ := appendRuns([]byte{msgHave, 1}, &sparse, 0)
	send(runs)
	if p := n.byNumber[1].has.Pages(); p > 5 {
		t.Errorf("%d pages are kept", p)
	}
	request := []byte{msgRequest, byte(a.c.number)}
	for i := range byte(100) {
		request = append(request, i+1, i)
	}
	send(request)
	if len(n.waiting)+len(n.open) > 8 || a.svc.Stats().Refused.Requests < 80 {
		t.Errorf("%d wait, %d were refused", len(n.waiting), a.svc.Stats().Refused.Requests)
	}
	for range maxBad {
		send([]byte{msgHave, 1, 0xff})
	}
	if n.banned <= w.now || a.svc.Stats().Bans != 1 || len(n.interests)+len(n.waiting) != 0 {
		t.Errorf("banned until %d, %d interests", n.banned, len(n.interests))
	}
}

// Whatever a neighbor sends, nothing panics and no bound is exceeded.
func FuzzMessages(f *testing.F) {
	f.Add([]byte{0, msgOpen, 1, 1}, []byte{msgHave, 1, 0, 5})
	f.Add(appendOpen(nil, 1, CollectionID{1}, 1), []byte{msgRequest, 1, 1, 0, 2, 1})
	f.Add([]byte{msgCredit, 9, 1, 3}, []byte{msgObject, 1, 1})
	f.Add([]byte{msgPass, 200}, []byte{msgDeny, 0, 1})
	f.Fuzz(func(t *testing.T, one, two []byte) {
		w, a, b := pair(t, Config{MaxPages: 4})
		a.open(CollectionID{1}, RarestFirst)
		must(t, a.c.AddHave(0, Range{0, 10}))
		must(t, a.c.AddWant(0, Range{10, 20}))
		w.link(a, b)
		n := a.svc.neighbors[0]
		control := a.svc.FlowOpened(0, n.link, 1, metaControl)
		objects := a.svc.FlowOpened(0, n.link, 2, metaObjects)
		if control == group.Reject || objects == group.Reject {
			t.Fatal("flows were refused")
		}
		a.svc.Message(0, 1, appendOpen(nil, 1, CollectionID{1}, 1))
		a.svc.Message(0, 1, []byte{msgHave, 1, 10, 10})
		a.svc.Message(0, 1, []byte{msgCredit, 3})
		a.svc.Advance(0)
		for _, m := range [][]byte{one, two, one} {
			a.svc.Message(0, 1, m)
			a.svc.Message(0, 2, m)
			a.svc.Advance(0)
			for ev, ok := a.svc.NextEvent(); ok; ev, ok = a.svc.NextEvent() {
				if ev.Kind == Requested {
					_ = a.svc.Answer(0, ev.Request, []byte{1})
				}
			}
		}
		if len(n.waiting)+len(n.open) > a.svc.cfg.MaxWaiting || len(n.interests) > a.svc.cfg.MaxInterests || len(n.hints) > maxCredit {
			t.Errorf("%d wait, %d interests, %d hints", len(n.waiting), len(n.interests), len(n.hints))
		}
		for _, it := range n.interests {
			if it.has.Pages() > 5 {
				t.Errorf("%d pages", it.has.Pages())
			}
		}
	})
}
