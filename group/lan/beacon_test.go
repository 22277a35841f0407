package lan

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"rtmfp/internal/clock"
)

// wire is a local network in virtual time: what one sends, all others hear.
type wire struct {
	now     clock.Time
	beacons []*Beacon
	found   []map[[32]byte]netip.AddrPort // by beacon
	at      []clock.Time                  // when it first found somebody
	packets int
}

func (w *wire) add(i int) *Beacon {
	b := New(Config{Self: [32]byte{byte(i), byte(i >> 8), 1}, Port: uint16(2000 + i), Rand: rand.New(rand.NewPCG(uint64(i), 7))})
	w.beacons = append(w.beacons, b)
	w.found = append(w.found, map[[32]byte]netip.AddrPort{})
	w.at = append(w.at, 0)
	return b
}

func (w *wire) addr(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{192, 168, byte(i >> 8), byte(i)})
}

// run lets time pass from deadline to deadline.
func (w *wire) run(d time.Duration) {
	for end := w.now.Add(d); ; {
		next := clock.Never
		for _, b := range w.beacons {
			next = min(next, b.Deadline())
		}
		if next > end {
			w.now = end
			return
		}
		w.now = max(w.now, next)
		for i, b := range w.beacons {
			b.Advance(w.now)
			for p, ok := b.NextPacket(w.now, nil); ok; p, ok = b.NextPacket(w.now, nil) {
				w.packets++
				for j, c := range w.beacons {
					c.Handle(w.now, w.addr(i), bytes.Clone(p))
					for f, ok := c.NextFound(); ok; f, ok = c.NextFound() {
						if len(w.found[j]) == 0 {
							w.at[j] = w.now
						}
						w.found[j][f.Peer] = f.Addr
					}
				}
			}
		}
	}
}

func id(name string) (id [32]byte) { copy(id[:], name); return id }

// Members of a group find each other at once, whoever comes first; those of
// another group, or with another text, do not.
func TestFind(t *testing.T) {
	w := &wire{}
	for i := range 6 {
		b := w.add(i)
		name := fmt.Sprint("group ", i%2)
		b.Add(w.now, id(name), "text of "+name)
		w.run(time.Second)
	}
	liar := w.add(6)
	liar.Add(w.now, id("group 0"), "a guess")
	w.run(5 * time.Second)
	for i := range 6 {
		if len(w.found[i]) != 2 {
			t.Errorf("beacon %d has found %v, want the two others of its group", i, w.found[i])
		}
		for peer, addr := range w.found[i] {
			if j := int(peer[0]); j%2 != i%2 || addr != netip.AddrPortFrom(w.addr(j), uint16(2000+j)) {
				t.Errorf("beacon %d: found %x at %v", i, peer[:3], addr)
			}
		}
	}
	if len(w.found[6]) != 0 {
		t.Errorf("who does not know the groupspec has found %v", w.found[6])
	}
	if d := w.at[5].Sub(clock.Time(5 * time.Second)); d > answerDelay+answerEvery {
		t.Errorf("the last one was answered within %v", d)
	}
}

// Who stays alone asks less and less often; who has neighbors speaks once a
// minute; who lost them asks at once.
func TestPace(t *testing.T) {
	w := &wire{}
	b := w.add(0)
	b.Add(0, id("g"), "g")
	w.run(10 * time.Minute)
	if w.packets < 12 || w.packets > 25 {
		t.Errorf("alone: %d packets in ten minutes, want about 16", w.packets)
	}
	b.SetAlone(w.now, id("g"), false)
	w.run(2 * time.Minute)
	before := w.packets
	w.run(10 * time.Minute)
	if got := w.packets - before; got < 7 || got > 14 {
		t.Errorf("with neighbors: %d packets in ten minutes, want about 10", got)
	}
	before = w.packets
	b.SetAlone(w.now, id("g"), true)
	w.run(2 * time.Second)
	if got := w.packets - before; got < 2 {
		t.Errorf("alone again: %d packets in two seconds, want 2 or more", got)
	}
	b.Remove(id("g"))
	before = w.packets
	w.run(5 * time.Minute)
	if w.packets != before || b.Deadline() != clock.Never {
		t.Errorf("without groups: %d packets", w.packets-before)
	}
}

// In a crowded network a question is not answered by everybody, and a flood of
// questions costs one answer a second.
func TestCrowd(t *testing.T) {
	w := &wire{}
	for i := range 200 {
		b := w.add(i)
		b.Add(0, id("g"), "g")
		b.SetAlone(0, id("g"), false)
	}
	w.run(time.Minute)
	before := w.packets
	late := w.add(200)
	late.Add(w.now, id("g"), "g")
	w.run(200 * time.Millisecond)
	if got := w.packets - before; len(w.found[200]) < answersDo || got > 4*answersDo {
		t.Errorf("%d packets, by which %d members were found", got, len(w.found[200]))
	}
	asked := w.beacons[0].Stats().Sent
	for range 1000 {
		p := packet{ask: true, peer: [32]byte{9, 9, 9}, port: 1}
		tg := tag([]byte("g"), &p)
		p.tags = tg[:]
		w.beacons[0].Handle(w.now, w.addr(9), p.append(nil))
		for _, ok := w.beacons[0].NextFound(); ok; _, ok = w.beacons[0].NextFound() {
		}
		w.now = w.now.Add(10 * time.Millisecond)
		w.beacons[0].Advance(w.now)
		w.beacons[0].NextPacket(w.now, nil)
	}
	if got := w.beacons[0].Stats().Sent - asked; got > 12 {
		t.Errorf("%d answers in ten seconds, want at most 12", got)
	}
}

// A packet does not show the group: neither its id nor its text is in it, and
// two packets of one sender have nothing of it in common.
func TestSecrecy(t *testing.T) {
	b := New(Config{Self: [32]byte{1}, Port: 7, Rand: rand.New(rand.NewPCG(1, 2))})
	b.Add(0, id("the group's id"), "G:the text")
	b.Advance(0)
	first, _ := b.NextPacket(0, nil)
	b.Advance(clock.Time(time.Minute))
	second, ok := b.NextPacket(clock.Time(time.Minute), nil)
	if !ok || bytes.Equal(first[headSize:], second[headSize:]) {
		t.Error("two packets name the group alike")
	}
	if bytes.Contains(first, []byte("group")) || strings.Contains(string(first), "text") {
		t.Errorf("a packet shows the group: %q", first)
	}
	// Whoever repeats a tag under another name is not believed.
	p, _ := parse(second)
	p.peer[0]++
	b2 := New(Config{Self: [32]byte{9}, Port: 7, Rand: rand.New(rand.NewPCG(3, 4))})
	b2.Add(0, id("the group's id"), "G:the text")
	b2.Handle(0, netip.AddrFrom4([4]byte{1, 2, 3, 4}), p.append(nil))
	if _, ok := b2.NextFound(); ok || b2.Stats().Ignored != 1 {
		t.Error("a copied tag was believed")
	}
}

func FuzzPacket(f *testing.F) {
	p := packet{ask: true, peer: [32]byte{3}, port: 1935, salt: [8]byte{4}, tags: make([]byte, 2*tagSize)}
	f.Add(p.append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, ok := parse(b)
		if !ok {
			return
		}
		again, ok := parse(p.append(nil))
		if !ok || again.peer != p.peer || again.port != p.port || again.salt != p.salt || again.ask != p.ask || !bytes.Equal(again.tags, p.tags) {
			t.Errorf("%x: read as %+v, and that as %+v", b, p, again)
		}
	})
}
