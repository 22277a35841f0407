package posting

import (
	"bytes"
	"reflect"
	"testing"

	"rtmfp/group"
)

// Messages read back as they were written.
func TestWire(t *testing.T) {
	routes := [numTrees]route{{1, 2, 3}, {}, {1 << 40, 1<<64 - 1, maxDelay}, {7, 0, 0}}
	var read [numTrees]route
	if mask, ok := parseRoutes(appendRoutes(nil, 0b1101, &routes), &read); !ok || mask != 0b1101 || read != routes {
		t.Errorf("routes: got %v %v %v", mask, read, ok)
	}
	if a, ok := parseAsk(appendAsk(nil, ask{5, askRoutes})); !ok || a != (ask{5, askRoutes}) {
		t.Errorf("ask: got %v %v", a, ok)
	}
	if m, ok := parseRefuse(appendRefuse(nil, 9)); !ok || m != 9 {
		t.Errorf("refuse: got %v %v", m, ok)
	}
	keys := []key{{1}, {2}, {3}}
	msg := appendKeys(nil, msgHave, keys)
	if n, ok := parseKeys(msg); !ok || n != 3 || keyAt(msg, 2) != keys[2] {
		t.Errorf("keys: got %v %v", n, ok)
	}
	c := compare{span: 16, first: 1 << 33, sums: []byte{1, 2, 3, 4}}
	if got, ok := parseCompare(appendCompare(nil, c)); !ok || !reflect.DeepEqual(got, c) {
		t.Errorf("compare: got %v %v", got, ok)
	}
	b := appendBucket(appendBucket(appendContents(nil, true), 5, 1, keys), 6, 16, nil)
	if got, ok := parseContents(b); !ok || !got.last || len(got.list) != 2 || got.list[0].n != 3 || got.list[1].span != 16 {
		t.Errorf("contents: got %+v %v", got, ok)
	}
	body := appendBody(nil, []byte("cert"), 1<<40, 3, 99, []byte("grant"), []byte("data"))
	d, ok := parsePost(append(body, make([]byte, SignatureSize)...))
	if !ok || string(d.certificate) != "cert" || d.series != 1<<40 || d.number != 3 || d.delta != 99 ||
		string(d.grant) != "grant" || string(d.data) != "data" || !bytes.Equal(d.body, body) {
		t.Errorf("post: got %+v %v", d, ok)
	}
}

// What is cut off is not read as if it were whole.
func TestCut(t *testing.T) {
	routes := [numTrees]route{{1, 2, 3}, {4, 5, 6}}
	whole := map[string]struct {
		msg   []byte
		parse func(b []byte) bool
	}{
		"routes":   {appendRoutes(nil, 3, &routes), func(b []byte) bool { _, ok := parseRoutes(b, new([numTrees]route)); return ok }},
		"ask":      {appendAsk(nil, ask{1, 1}), func(b []byte) bool { _, ok := parseAsk(b); return ok }},
		"refuse":   {appendRefuse(nil, 1), func(b []byte) bool { _, ok := parseRefuse(b); return ok }},
		"keys":     {appendKeys(nil, msgHave, []key{{1}}), func(b []byte) bool { _, ok := parseKeys(b); return ok }},
		"compare":  {appendCompare(nil, compare{1, 1, make([]byte, 4)}), func(b []byte) bool { c, ok := parseCompare(b); return ok && len(c.sums) > 0 }},
		"contents": {appendBucket(appendContents(nil, true), 5, 1, []key{{1}}), func(b []byte) bool { c, ok := parseContents(b); return ok && len(c.list) > 0 }},
	}
	for name, w := range whole {
		for n := 1; n < len(w.msg); n++ {
			if w.parse(w.msg[:n:n]) {
				t.Errorf("%s: %d of %d bytes were read", name, n, len(w.msg))
			}
		}
		if !w.parse(w.msg) {
			t.Errorf("%s: the whole was not read", name)
		}
	}
}

// FuzzMessage hands any message, on any flow, to a Service with a history.
func FuzzMessage(f *testing.F) {
	routes := [numTrees]route{{1, 2, 3}, {4, 5, 6}}
	for _, m := range [][]byte{
		appendRoutes(nil, 3, &routes), appendAsk(nil, ask{1, 3}), appendRefuse(nil, 1),
		appendKeys(nil, msgHave, []key{{1}}), appendKeys(nil, msgWant, []key{{1}}), appendKeys(nil, msgLack, []key{{1}}),
		appendCompare(nil, compare{1, 1_700_000_000, make([]byte, 40)}), appendCompare(nil, compare{16, 0, nil}),
		appendBucket(appendContents(nil, true), 1_700_000_000, 1, []key{{1}}),
		pushed((&stranger{keys: testKeys{group.PeerID{1}}}).post(1_700_000_000_000, 1, 0, []byte("hi"))),
	} {
		f.Add(byte(1), m)
		f.Add(byte(2), m)
	}
	f.Fuzz(func(t *testing.T, kind byte, msg []byte) {
		w := newNetwork(t, 1)
		n := w.add(Config{})
		n.post([]byte("one"))
		s := newStranger(n)
		for range 2 {
			s.say(int(kind%3)+1, bytes.Clone(msg))
		}
		w.run(10e9)
	})
}

// FuzzPost reads any post, and writes what it read.
func FuzzPost(f *testing.F) {
	f.Add((&stranger{keys: testKeys{group.PeerID{1}}}).post(1_700_000_000_000, 1, 0, []byte("hi")))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, ok := parsePost(b)
		if !ok {
			return
		}
		again := appendBody(nil, d.certificate, d.series, d.number, d.delta, d.grant, d.data)
		e, ok := parsePost(append(again, d.signature[:]...))
		if !ok || e.unixMilli() != d.unixMilli() || !bytes.Equal(e.data, d.data) {
			t.Errorf("%x reads as %+v, and that written as %+v", b, d, e)
		}
	})
}
