package records

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"rtmfp/group"
	"rtmfp/ring"
)

func values(r Result) string {
	var b bytes.Buffer
	for _, rec := range r.Records {
		fmt.Fprintf(&b, "%s ", rec.Value)
	}
	return b.String()
}

// What one puts, all get; newer versions replace older ones, of their owner alone.
func TestPutGet(t *testing.T) {
	w := newNetwork(t, 1, 40)
	a, b, c := w.nodes[0], w.nodes[1], w.nodes[2]
	key := KeyOf("talk.mp4")
	for _, step := range []struct {
		name string
		put  func() Result
		err  error
		want string // what everybody gets afterwards
	}{
		{"first", func() Result { return a.put(key, "v1", 1, time.Hour) }, nil, "v1 "},
		{"newer", func() Result { return a.put(key, "v3", 3, time.Hour) }, nil, "v3 "},
		{"older", func() Result { return a.put(key, "v2", 2, time.Hour) }, ErrStale, "v3 "},
		{"another owner's", func() Result { return b.put(key, "mine", 9, time.Hour) }, nil, "mine v3 "},
		{"by the clock", func() Result { return b.put(key, "latest", 0, time.Hour) }, nil, "latest v3 "},
	} {
		r := step.put()
		if !errors.Is(r.Err, step.err) || step.err == ErrStale && values(r) != "v3 " {
			t.Errorf("%s: got %v and %q, want %v", step.name, r.Err, values(r), step.err)
		}
		if got := values(c.get(key, nil)); got != step.want {
			t.Errorf("after %s: got %q, want %q", step.name, got, step.want)
		}
		if n := w.holders(key); n != Replicas {
			t.Errorf("after %s: %d members hold the key, want %d", step.name, n, Replicas)
		}
	}
	if got := values(c.get(key, &a.peer)); got != "v3 " {
		t.Errorf("of one owner: got %q", got)
	}
	if r := c.get(KeyOf("nothing"), nil); r.Err != nil || len(r.Records) != 0 {
		t.Errorf("of what is not there: got %v, %q", r.Err, values(r))
	}
}

// A reply that is lost on its way back costs some seconds, and of a put not the
// mistake that a newer version is there.
func TestReplyLost(t *testing.T) {
	w := newNetwork(t, 1, 40)
	a, b := w.nodes[0], w.nodes[1]
	for lost, want := range []error{nil, nil, nil, ErrUnreachable} {
		key := KeyOf(fmt.Sprint("talk ", lost))
		w.loseReplies = lost
		if r := a.put(key, "v1", 1, time.Hour); !errors.Is(r.Err, want) {
			t.Errorf("put, %d replies lost: got %v, want %v", lost, r.Err, want)
		}
		w.loseReplies = lost
		if r := b.get(key, nil); !errors.Is(r.Err, want) || want == nil && values(r) != "v1 " {
			t.Errorf("get, %d replies lost: got %v and %q, want %v", lost, r.Err, values(r), want)
		}
	}
	w.loseReplies = 1
	id, err := a.svc.Put(w.now, KeyOf("another"), []byte("v1"), 1, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	a.turn()
	w.run(5 * time.Second)
	if r, ended := a.results[id]; !ended || r.Err != nil {
		t.Errorf("a put whose reply was lost: ended %v, %v after 5 s", ended, r.Err)
	}
}

// Whatever order versions come in, and of two with one number, the same stays.
func TestConflict(t *testing.T) {
	w := newNetwork(t, 1, 3)
	a := w.nodes[0]
	key := KeyOf("x")
	make := func(seq uint64, value string) []byte {
		body := appendBody(nil, key, a.peer[:], seq, 1_700_000_100_000, []byte(value))
		sig := testKeys{a.peer}.Sign(signedMessage([32]byte{1}, body))
		return append(body, sig[:]...)
	}
	versions := [][]byte{make(1, "a"), make(2, "b"), make(2, "c"), make(2, "d")}
	var want string
	for i, order := range [][]int{{0, 1, 2, 3}, {3, 2, 1, 0}, {2, 0, 3, 1}} {
		s := New(Config{Rand: w.rng, Keys: testKeys{}, Self: w.nodes[1].peer, GroupID: [32]byte{1}, UnixMilli: 1_700_000_000_000}, w.nodes[1], w.nodes[1])
		for _, v := range order {
			s.take(0, versions[v])
		}
		got := string(s.store.list[0].Value)
		if i == 0 {
			want = got
		}
		if got != want || len(s.store.list) != 1 {
			t.Errorf("in order %v: %q stays, want %q", order, got, want)
		}
	}
}

// Records end, and can't be put for ever.
func TestExpiry(t *testing.T) {
	w := newNetwork(t, 2, 20)
	key := KeyOf("short")
	if _, err := w.nodes[0].svc.Put(w.now, key, nil, 0, MaxTTL+1); !errors.Is(err, ErrTTL) {
		t.Errorf("for more than a day: got %v", err)
	}
	if _, err := w.nodes[0].svc.Put(w.now, key, make([]byte, MaxValue+1), 0, time.Hour); !errors.Is(err, ErrTooLarge) {
		t.Errorf("of more than %d bytes: got %v", MaxValue, err)
	}
	w.nodes[0].put(key, "x", 1, time.Minute)
	if got := values(w.nodes[5].get(key, nil)); got != "x " {
		t.Errorf("in time: got %q", got)
	}
	w.run(time.Minute)
	if got := values(w.nodes[5].get(key, nil)); got != "" {
		t.Errorf("afterwards: got %q", got)
	}
	w.run(time.Minute)
	if n := w.holders(key); n != 0 {
		t.Errorf("%d members still hold it", n)
	}
	if d := w.nodes[3].svc.Deadline(); d < w.now {
		t.Errorf("a deadline in the past")
	}
}

// Forgeries, records of other groups or keys, and floods change nothing.
func TestRefusals(t *testing.T) {
	w := newNetwork(t, 3, 10)
	a, evil := w.nodes[0], w.nodes[1]
	key := KeyOf("name")
	a.put(key, "good", 5, time.Hour)
	sign := func(group byte, by *testNode, key ring.Addr, owner *testNode, until int64) []byte {
		body := appendBody(nil, key, owner.peer[:], 99, until, []byte("bad"))
		sig := testKeys{by.peer}.Sign(signedMessage([32]byte{group}, body))
		return append(append([]byte{reqPut}, body...), sig[:]...)
	}
	hour := w.nodes[0].svc.unixMilli(w.now) + 3600_000
	for _, c := range []struct {
		name string
		msg  []byte
		of   func(s Stats) uint64
	}{
		{"in another's name", sign(1, evil, key, a, hour), func(s Stats) uint64 { return s.BadSignature }},
		{"of another group", sign(2, a, key, a, hour), func(s Stats) uint64 { return s.BadSignature }},
		{"under another key", sign(1, a, KeyOf("other"), a, hour), nil},
		{"that has ended", sign(1, a, key, a, 1_600_000_000_000), func(s Stats) uint64 { return s.Expired }},
		{"for years", sign(1, a, key, a, hour*2), func(s Stats) uint64 { return s.Expired }},
		{"cut short", sign(1, a, key, a, hour)[:80], func(s Stats) uint64 { return s.Malformed }},
	} {
		total := func() (n uint64) {
			for _, m := range w.nodes {
				if c.of != nil {
					n += c.of(m.svc.Stats())
				}
			}
			return n
		}
		before := total()
		id, err := evil.svc.request(w.now, key, c.msg, false)
		if r := evil.wait(id, err); r.Err != ErrRefused {
			t.Errorf("a record %s: got %v, want %v", c.name, r.Err, ErrRefused)
		}
		if c.of != nil && total() == before {
			t.Errorf("a record %s: not counted by its reason", c.name)
		}
		if got := values(w.nodes[4].get(key, nil)); got != "good " {
			t.Errorf("after one %s: got %q", c.name, got)
		}
	}
}

// What one member holds is bounded: in all, of one owner, under one key.
func TestBounds(t *testing.T) {
	w := newNetwork(t, 4, 1)
	s := New(Config{
		Rand: w.rng, Keys: testKeys{}, Self: w.nodes[0].peer, GroupID: [32]byte{1}, UnixMilli: 1_700_000_000_000,
		MaxRecords: 40, MaxPerOwner: 10,
	}, w.nodes[0], w.nodes[0])
	record := func(owner byte, key ring.Addr) []byte {
		p := group.PeerID{owner}
		body := appendBody(nil, key, p[:], 1, 1_700_000_100_000, []byte("x"))
		sig := testKeys{p}.Sign(signedMessage([32]byte{1}, body))
		return append(body, sig[:]...)
	}
	for i := range 20 {
		s.take(0, record(1, KeyOf(fmt.Sprint(i))))
		s.take(0, record(byte(10+i), KeyOf("one")))
	}
	if len(s.store.list) != 10+maxPerKey || s.stats.Full != 10+20-maxPerKey {
		t.Errorf("%d records, %d refused", len(s.store.list), s.stats.Full)
	}
	for i := range 100 {
		s.take(0, record(byte(100+i), KeyOf(fmt.Sprint("more", i))))
	}
	if len(s.store.list) != 40 {
		t.Errorf("%d records, want 40", len(s.store.list))
	}
	worst := s.store.list[s.store.farthest()].Key
	kept := 0
	for i := range 100 {
		if key := KeyOf(fmt.Sprint("more", i)); s.store.self.Nearer(key, worst) {
			kept += len(s.store.under(key))
			if len(s.store.under(key)) == 0 {
				t.Errorf("a nearer record than the farthest was dropped")
			}
		}
	}
	if kept == 0 {
		t.Error("nothing near was kept")
	}
	for range putBurst + 5 {
		s.Routed(0, group.Routed{Request: true, Data: []byte{reqPut}})
	}
	if s.stats.Rate != 5 {
		t.Errorf("%d puts were too many, want 5", s.stats.Rate)
	}
}

// Records follow the members as they come and go.
func TestRehoming(t *testing.T) {
	w := newNetwork(t, 5, 60)
	for i := range 30 {
		if r := w.nodes[i].put(KeyOf(fmt.Sprint(i)), fmt.Sprint(i), 1, time.Hour); r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	for round := range 40 {
		for range 4 {
			w.add(Config{})
			for {
				if n := w.nodes[w.rng.IntN(len(w.nodes))]; !n.dead {
					w.kill(n)
					break
				}
			}
		}
		w.run(time.Second)
		w.settle()
		w.run(2 * time.Second)
		it := w.alive.At(w.rng.IntN(w.alive.Len()))
		i := w.rng.IntN(30)
		if got, want := values(it.Value.get(KeyOf(fmt.Sprint(i)), nil)), fmt.Sprint(i, " "); got != want {
			t.Fatalf("round %d: got %q, want %q", round, got, want)
		}
	}
	w.run(time.Minute)
	for i := range 30 {
		if n := w.holders(KeyOf(fmt.Sprint(i))); n < Replicas {
			t.Errorf("record %d is at %d members", i, n)
		}
	}
}

// FuzzMessage hands any message to a Service with records.
func FuzzMessage(f *testing.F) {
	seed := newNetwork(f, 1, 3)
	seed.nodes[0].put(KeyOf("a"), "x", 1, time.Hour)
	rec := seed.nodes[1].svc.store.list[0].encoded
	p := appendSpan(nil, msgSummary, span{})
	f.Add(append([]byte{msgStore, 0x81, 0x1d}, rec...))
	f.Add(append(p, 1, 1, 2, 3, 4, 5, 6, 7, 8))
	f.Add(appendListed(appendSpan(nil, msgList, span{}), listed{sequence: 5}))
	f.Add([]byte{msgWant, 1, 2, 3, 4, 5, 6, 7, 8})
	f.Add(appendQuery([]byte{msgLookup, 7}, query{key: KeyOf("a")}))
	f.Add(append([]byte{msgFound, 7}, 1, 1))
	f.Fuzz(func(t *testing.T, msg []byte) {
		w := newNetwork(t, 1, 3)
		w.nodes[0].put(KeyOf("a"), "x", 1, time.Hour)
		n := w.nodes[1]
		for recv := range n.svc.byRecv {
			n.svc.Message(w.now, recv, msg)
			n.svc.Routed(w.now, group.Routed{Request: true, Data: msg})
			break
		}
		n.turn()
		w.run(time.Minute)
		if got := values(w.nodes[2].get(KeyOf("a"), &w.nodes[0].peer)); got != "x " {
			t.Errorf("after %x: got %q", msg, got)
		}
	})
}

// FuzzRecord reads any record, and writes what it read.
func FuzzRecord(f *testing.F) {
	f.Add(append(appendBody(nil, ring.Addr{1}, []byte("c"), 1, 2, []byte("v")), make([]byte, SignatureSize)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, ok := parseRecord(b)
		if !ok {
			return
		}
		again := append(appendBody(nil, d.key, d.certificate, d.sequence, d.unixMilli, d.value), d.signature[:]...)
		if e, ok := parseRecord(again); !ok || e.sequence != d.sequence || !bytes.Equal(e.value, d.value) || len(again) > maxRecord {
			t.Errorf("%x reads as %+v", b, d)
		}
	})
}
