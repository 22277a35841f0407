package multicast

import (
	"bytes"
	"encoding/hex"
	"reflect"
	"testing"
	"time"

	"rtmfp/group"
)

func unhex(t testing.TB, s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The description of a captured stream reads, and writes, as it was.
func TestDescriptionVector(t *testing.T) {
	msg := unhex(t, "2105007465737421012444af5381cbcc0327a99b29ce447ffd90dbdf48682293321d3b5ae94cb17ea801020303be40040492a76002056403079344")
	d, ok := consumeDescription(msg)
	if !ok {
		t.Fatal("not read")
	}
	want := description{name: "test", window: 8 * time.Second, availability: 100 * time.Millisecond, fetch: 2500 * time.Millisecond}
	copy(want.key[:], msg[9:])
	if d != want {
		t.Errorf("got %+v, want %+v", d, want)
	}
	if b := appendDescription(nil, &d); !bytes.Equal(b, msg) {
		t.Errorf("written again:\ngot  %x\nwant %x", b, msg)
	}
	d.sendToAll = true
	if e, ok := consumeDescription(appendDescription(nil, &d)); !ok || e != d {
		t.Errorf("with the flag: got %+v, %v, want %+v", e, ok, d)
	}
}

// Fragments as they were captured, with the beginning of their payload.
func TestFragmentVectors(t *testing.T) {
	for _, c := range []struct {
		hex  string
		want fragment
		key  bool
	}{
		{"2013080000008baf01", fragment{id: 0x13, start: true, typ: 8, timestamp: 0x8b, payload: []byte{0xaf, 1}}, false},
		{"30050609000000171701", fragment{id: 5, start: true, pieces: 6, typ: 9, timestamp: 0x17, payload: []byte{0x17, 1}}, true},
		{"10530401412f", fragment{id: 0x53, pieces: 4, payload: []byte{1, 0x41, 0x2f}}, false},
		{"000b9770", fragment{id: 0xb, payload: []byte{0x97, 0x70}}, false},
		{"00812299", fragment{id: 0xa2, payload: []byte{0x99}}, false},
	} {
		msg := unhex(t, c.hex)
		f, ok := consumeFragment(msg)
		if !ok || !reflect.DeepEqual(f, c.want) || f.isKey() != c.key {
			t.Errorf("%s: got %+v, %v, key %v, want %+v, key %v", c.hex, f, ok, f.isKey(), c.want, c.key)
		}
		if b := appendFragment(nil, f); !bytes.Equal(b, msg) {
			t.Errorf("%s: written as %x", c.hex, b)
		}
	}
	for _, bad := range []string{"", "20", "2001", "200108000000", "30", "3001", "300102", "1005", "0000", "4001aa", "0180", "00ffffffffffffffffffff7f"} {
		if f, ok := consumeFragment(unhex(t, bad)); ok {
			t.Errorf("%q was read as %+v", bad, f)
		}
	}
}

// Maps and requests as they were captured.
func TestControlVectors(t *testing.T) {
	newest, bitmap, ok := consumeAvailability(unhex(t, "2219ffffff"))
	if !ok || newest != 0x19 || len(bitmap) != 3 {
		t.Errorf("availability: got %d, %x, %v", newest, bitmap, ok)
	}
	if mask, ok := consumePush(unhex(t, "2308")); !ok || mask != 8 {
		t.Errorf("push: got %x, %v", mask, ok)
	}
	if id, ok := consumePull(unhex(t, "2b5b")); !ok || id != 0x5b {
		t.Errorf("pull: got %d, %v", id, ok)
	}
	if b := appendPull(nil, 0x5b); !bytes.Equal(b, []byte{0x2b, 0x5b}) {
		t.Errorf("pull written as %x", b)
	}
	w := newWindow(minSpan)
	for id := range uint64(4) {
		w.put(0, id+1, []byte{0, byte(id + 1), 1})
	}
	if b := appendBitmap(appendAvailability(nil, 4), &w, 4, 0); !bytes.Equal(b, []byte{0x22, 4, 7}) {
		t.Errorf("availability written as %x, want 220407", b)
	}
}

// Our own messages, byte for byte: docs/multicast.md gives the same examples.
func TestOwnMessages(t *testing.T) {
	st := state{
		flags: stateTree | stateFull | stateKeyed, newest: 300, oldest: 44, key: 267, room: 0xf0, load: 9,
		routes: [numSlices]route{{epoch: 20, depth: 1, delay: 5000}, {epoch: 18, depth: 2, delay: 13000}},
	}
	for i := 2; i < numSlices; i++ {
		st.routes[i].depth = depthUnfed
	}
	st.bitmap = []byte{0xff, 0x01}
	msg := append(appendState(nil, &st), st.bitmap...)
	if want := unhex(t, "60822c07820022f0091401003202028102ffffffffffffff01"); !bytes.Equal(msg, want) {
		t.Errorf("state:\ngot  %x\nwant %x", msg, want)
	}
	if got, ok := consumeState(msg); !ok || !reflect.DeepEqual(got, st) {
		t.Errorf("state: got %+v, %v, want %+v", got, ok, st)
	}
	st.prices, st.least = [numSlices]byte{0, 0x1c, noPlace}, [numSlices]byte{0, 5, noPlace}
	st.flags |= statePrices
	msg = append(appendState(nil, &st), st.bitmap...)
	if want := unhex(t, "60822c27820022f0091401003202028102ffffffffffff001c05ffff0000000000ff01"); !bytes.Equal(msg, want) {
		t.Errorf("state with prices:\ngot  %x\nwant %x", msg, want)
	}
	if got, ok := consumeState(msg); !ok || !reflect.DeepEqual(got, st) {
		t.Errorf("state with prices: got %+v, %v, want %+v", got, ok, st)
	}
	st.flags, st.last = st.flags|stateStart, 270
	msg = append(appendState(nil, &st), st.bitmap...)
	if want := unhex(t, "60822c67820022f0091401003202028102ffffffffffff001c05ffff000000000003ff01"); !bytes.Equal(msg, want) {
		t.Errorf("state before a start:\ngot  %x\nwant %x", msg, want)
	}
	if got, ok := consumeState(msg); !ok || !reflect.DeepEqual(got, st) {
		t.Errorf("state before a start: got %+v, %v, want %+v", got, ok, st)
	}
	a := ask{mask: 0x03, flags: askUrgent, fresh: 0x01, from: 301, ending: 0x40, until: 310}
	a.below, a.worth = [numSlices]byte{1, 12}, [numSlices]byte{0x1c, 0x40}
	if msg = appendAsk(nil, a); !bytes.Equal(msg, unhex(t, "61030301822d011c0c40408236")) {
		t.Errorf("ask: got %x", msg)
	}
	if got, ok := consumeAsk(msg); !ok || got != a {
		t.Errorf("ask: got %+v, %v", got, ok)
	}
	if got, ok := consumeAsk(unhex(t, "610f0101822d")); !ok || got != (ask{mask: 0x0f, flags: askUrgent, fresh: 0x01, from: 301}) {
		t.Errorf("ask that tells no worth: got %+v, %v", got, ok)
	}
	hints := []group.PeerID{{1}, {2}}
	mask, raw, ok := consumeRefuse(appendRefuse(nil, 0x81, hints))
	if !ok || mask != 0x81 || len(raw) != 64 || raw[0] != 1 || raw[32] != 2 {
		t.Errorf("refuse: got %x, %x, %v", mask, raw, ok)
	}
	to := way{slice: 3, price: 0x1c, delay: 13000, peer: group.PeerID{1, 2}}
	if got, ok := consumeWay(appendWay(nil, &to)); !ok || got != to {
		t.Errorf("way: got %+v, %v", got, ok)
	}
	first, bitmap, ok := consumeFetch(unhex(t, "63822d8003"))
	if !ok || first != 301 || !bytes.Equal(bitmap, []byte{0x80, 3}) {
		t.Errorf("fetch: got %d, %x, %v", first, bitmap, ok)
	}
	if last, _, ok := consumeEnd(appendEnd(nil, msgEnd, 300, nil)); !ok || last != 300 {
		t.Errorf("end: got %d, %v", last, ok)
	}
}

// The parsers take anything, and what they take they write as they read it.
func FuzzMessages(f *testing.F) {
	for _, s := range []string{
		"2105007465737421012444af5381cbcc0327a99b29ce447ffd90dbdf48682293321d3b5ae94cb17ea801020303be40040492a76002056403079344",
		"2219ffffff", "2308", "2b5b", "2182", "60822c07820022f0091401003202028102ffffffffffffff01", "610f0101822d", "6281", "63822d8003", "64822c",
		"2013080000008baf01", "30050609000000171701", "60822c67820022f0091401003202028102ffffffffffff001c05ffff000000000003ff01", "6603", "68ee60", "69ee6015ce102acd38", "6a2a05", "6b0a2a05",
		"30050252000000179500064b1f2a3c4d5e6162", "2006520000001828000000000000000063",
	} {
		f.Add(unhex(f, s))
	}
	d, _ := signedDescription("cam", 3, []byte("grant"))
	f.Add(appendDescription(nil, &d))
	f.Add(append(appendDigest(nil, 300, digestKey, 7, make([]fragmentHash, 2)), make([]byte, SignatureSize)...))
	f.Add(appendEnd(nil, msgEnd, 300, make([]byte, SignatureSize)))
	f.Fuzz(func(t *testing.T, b []byte) {
		if d, ok := consumeDescription(b); ok {
			again := appendDescription(nil, &d)
			if e, ok := consumeDescription(again); !ok || !bytes.Equal(appendDescription(nil, &e), again) {
				// Names at the limit grow past it with the options that are always there.
				if len(d.name) < maxName {
					t.Errorf("description %+v became %+v, %v", d, e, ok)
				}
			}
		}
		if fr, ok := consumeFragment(b); ok {
			if d, ok := consumeDigest(&fr, b); ok {
				var hashes []fragmentHash
				for h := d.hashes; len(h) > 0; h = h[hashSize:] {
					hashes = append(hashes, fragmentHash(h))
				}
				if again := append(appendDigest(nil, d.id, fr.typ&3, d.epoch, hashes), d.sig...); d.count() > maxRun || len(again) > len(b) {
					t.Errorf("digest %x became %x", b, again)
				}
			}
			if g, ok := consumeFragment(appendFragment(nil, fr)); !ok && len(b) < maxFragment-8 || ok && fr.pieces > 0 && !reflect.DeepEqual(g, fr) {
				t.Errorf("fragment %+v became %+v", fr, g)
			}
		}
		if st, ok := consumeState(b); ok {
			if st.newest < st.oldest || st.key > st.newest {
				t.Errorf("state %+v", st)
			}
			if _, ok := consumeState(append(appendState(nil, &st), st.bitmap...)); !ok {
				t.Errorf("state %+v does not read again", st)
			}
		}
		consumeAvailability(b)
		if a, ok := consumeAsk(b); ok {
			if got, ok := consumeAsk(appendAsk(nil, a)); !ok || got != a {
				t.Errorf("ask %+v became %+v", a, got)
			}
		}
		consumeRefuse(b)
		consumeFetch(b)
		if len(b) > 0 {
			if w, ok := consumeWay(b); ok {
				if again, ok := consumeWay(appendWay(nil, &w)); !ok || again != w {
					t.Errorf("way %+v became %+v", w, again)
				}
			}
		}
		if fd, ok := consumeFound(b); ok {
			if again, ok := consumeFound(appendFound(nil, &fd)); !ok || again != fd {
				t.Errorf("found %+v became %+v", fd, again)
			}
		}
		if first, bitmap, ok := consumeRecall(b); ok {
			var ids, again []uint64
			eachID(first, bitmap, func(id uint64) { ids = append(ids, id) })
			inBitmaps(ids, func(first uint64, bitmap []byte) {
				first, bitmap, _ = consumeRecall(appendRecall(nil, first, bitmap))
				eachID(first, bitmap, func(id uint64) { again = append(again, id) })
			})
			if !reflect.DeepEqual(ids, again) {
				t.Errorf("recall of %v became one of %v", ids, again)
			}
		}
		if oldest, first, bitmap, ok := consumeGone(b); ok {
			if o, f, m, ok := consumeGone(appendGone(nil, oldest, first, bitmap)); !ok || o != oldest || f != first || !bytes.Equal(m, bitmap) {
				t.Errorf("gone %d %d %x became %d %d %x", oldest, first, bitmap, o, f, m)
			}
		}
		if back, ok := consumeSeek(b); ok {
			if again, ok := consumeSeek(appendSeek(nil, back)); !ok || again != back {
				t.Errorf("seek %d became %d", back, again)
			}
		}
		consumePush(b)
		consumePull(b)
		consumeEnd(b)
	})
}

// A neighbor may say anything on its flows, in any order: nothing breaks, and
// what is held stays bounded. A run is short, so that the fuzzer gets somewhere.
func FuzzNeighbor(f *testing.F) {
	f.Add([]byte{0, 4, 0x23, 0xff, 1, 3, 0x2b, 5}, true)
	f.Add(unhex(f, "001960822c07820022f0091401003202028102ffffffffffffff010106610f0101822d0204820a2308"), true)
	f.Add(unhex(f, "00052219ffffff0109300506090000001717"), false)
	f.Add(unhex(f, "031330050252000000171500064b1f2a3c4d5e6162030d200752000000180900064b1f2a3c4d5f010a2a"), true)
	f.Fuzz(func(t *testing.T, b []byte, modern bool) {
		if len(b) > 256 {
			t.Skip("long enough")
		}
		w := newNetwork(t, 1)
		var keys, other Keys
		if len(b) > 0 && b[0]&8 != 0 {
			keys, other = newTestKeys(1), newTestKeys(2)
		}
		pub := w.add(Config{Keys: keys}, true)
		src := w.publish(pub, "cam", StreamConfig{}, 1500, 20*time.Millisecond, 20)
		n := w.add(Config{Keys: other, MaxWindowFragments: 2048}, true)
		n.play("cam")
		w.mesh(n)
		if len(b) > 0 && b[0]&16 != 0 {
			n.sub.Seek(w.now, time.Minute)
		}
		// The hostile one has a link with both, and answers nothing.
		for _, victim := range []*testNode{pub, n} {
			victim.links[999] = &testLink{id: 999, from: victim, to: &testNode{net: w, dead: true}, up: true}
			victim.svc.NeighborUp(w.now, 999, Member{Peer: group.PeerID{9}, Session: 500, Modern: modern})
			victim.svc.FlowOpened(w.now, 999, 1000, metaControl, 500)
			victim.svc.Message(w.now, 1000, appendDescription(nil, &src.pub.st.desc))
			victim.turn()
			ctrl := group.FlowID(0)
			if len(victim.svc.streams) == 0 {
				continue
			}
			for _, p := range victim.svc.streams[0].peers {
				if p.n.link == 999 {
					ctrl = p.ctrlOut
				}
			}
			victim.svc.FlowOpened(w.now, 999, 1001, metaMedia, ctrl)
		}
		for ops := 0; ops < 12 && len(b) >= 2; ops++ {
			victim := pub
			if b[0]&1 != 0 {
				victim = n
			}
			size := min(int(b[1]), len(b)-2)
			recv := group.RecvID(1000)
			if b[0]&2 != 0 {
				recv = 1001
			}
			victim.svc.Message(w.now, recv, b[2:2+size])
			victim.turn()
			if b[0]&4 != 0 {
				w.run(time.Duration(b[0]/4) * time.Millisecond)
			}
			b = b[2+size:]
		}
		w.run(50 * time.Millisecond)
		for _, victim := range []*testNode{pub, n} {
			for _, st := range victim.svc.streams {
				if len(st.waiting) > maxWaiting || st.waitBytes > maxWaitBytes {
					t.Errorf("%d fragments of %d bytes wait", len(st.waiting), st.waitBytes)
				}
				for i := range st.missing {
					if d := st.patience(&st.missing[i]); d < leastLeft || d > max(st.desc.window, leastLeft) {
						t.Errorf("a fragment is waited for for %v", d)
					}
				}
				if len(st.missing) > maxGaps || len(st.win.index) > 1<<16 {
					t.Errorf("%d gaps, an index of %d", len(st.missing), len(st.win.index))
				}
			}
		}
	})
}
