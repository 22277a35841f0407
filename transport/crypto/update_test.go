package crypto

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
)

// modernPair returns both ends of a session under a policy, without a handshake.
func modernPair(t testing.TB, p Policy) (a, b *SessionKeys) {
	t.Helper()
	if err := p.Validate(); err != nil {
		t.Fatal(err)
	}
	s := modernSchedule([]byte("secrets"), [32]byte{1})
	suite := p.choose(allSuites)
	return s.keys(true, suite, false, &p), s.keys(false, suite, false, &p)
}

// deliver seals one packet and opens it at the other end.
func deliver(t testing.TB, from, to *SessionKeys, text string) {
	t.Helper()
	got, err := to.Open(seal(from, []byte(text), 1))
	if err != nil || string(got) != text {
		t.Fatalf("packet %q: got %q, %v", text, got, err)
	}
}

func wantGenerations(t testing.TB, who string, k *SessionKeys, send, receive uint32) {
	t.Helper()
	if s, r := k.Generation(); s != send || r != receive {
		t.Fatalf("%s: got generation %d for sending and %d for receiving, want %d and %d", who, s, r, send, receive)
	}
}

// As long as packets go both ways, all the keys are replaced again and again,
// and nothing is lost by it.
func TestKeysAreUpdated(t *testing.T) {
	for _, s := range defaultSuites {
		a, b := modernPair(t, Policy{Suites: []Suite{s}, UpdateAfter: 10})
		seen := map[[32]byte]bool{}
		for i := range 1000 {
			deliver(t, a, b, fmt.Sprint("to b ", i))
			deliver(t, b, a, fmt.Sprint("to a ", i))
			seen[a.packets.(*aeadKeys).send.secret] = true
			seen[b.packets.(*aeadKeys).send.secret] = true
		}
		send, receive := a.Generation()
		if send < 90 || send > 100 {
			t.Errorf("%v: %d updates in 1000 packets each way, want one for 10", s, send)
		}
		wantGenerations(t, "the other end", b, receive, send)
		if len(seen) < 180 {
			t.Errorf("%v: %d different secrets, want one for each generation and direction", s, len(seen))
		}
	}
}

// One who hears nothing does not update, and one who has updated waits for the
// answer: there is never more than one update on its way.
func TestOneUpdateAtATime(t *testing.T) {
	a, b := modernPair(t, Policy{UpdateAfter: 5})
	for range 50 {
		deliver(t, a, b, "nothing comes back")
	}
	wantGenerations(t, "unheard", a, 0, 0)
	deliver(t, b, a, "at last")
	for range 50 {
		deliver(t, a, b, "and nothing again")
	}
	wantGenerations(t, "one update on its way", a, 1, 0)
	wantGenerations(t, "its receiver", b, 1, 1)
	deliver(t, b, a, "the answer")
	wantGenerations(t, "the answer", a, 1, 1)
	deliver(t, a, b, "the next")
	wantGenerations(t, "the next", a, 2, 1)
}

// Both ends update at once: they meet in the next generation.
func TestUpdateOfBothEnds(t *testing.T) {
	a, b := modernPair(t, Policy{UpdateAfter: 1})
	deliver(t, a, b, "first")
	deliver(t, b, a, "first")
	toB, toA := seal(a, []byte("new"), 1), seal(b, []byte("new"), 1)
	wantGenerations(t, "a", a, 1, 0)
	wantGenerations(t, "b", b, 1, 0)
	for _, d := range []struct {
		k *SessionKeys
		b []byte
	}{{b, toB}, {a, toA}} {
		if _, err := d.k.Open(d.b); err != nil {
			t.Fatal(err)
		}
		wantGenerations(t, "met", d.k, 1, 1)
	}
}

// Packets that were overtaken by an update open as long as the replay window
// knows them, and the old keys are gone after that.
func TestLatePackets(t *testing.T) {
	a, b := modernPair(t, Policy{UpdateAfter: 100})
	deliver(t, b, a, "heard")
	old := make([][]byte, 0, 99)
	for i := range 99 {
		old = append(old, seal(a, fmt.Append(nil, i), 1))
	}
	deliver(t, a, b, "the last under the old keys")
	// The packet that comes first under the new keys is not the first of them.
	overtaken := seal(a, []byte("overtaken"), 1)
	deliver(t, a, b, "new")
	wantGenerations(t, "b", b, 1, 1)
	for i, d := range old[50:] {
		if got, err := b.Open(bytes.Clone(d)); err != nil || string(got) != fmt.Sprint(50+i) {
			t.Fatalf("late packet %d: %q, %v", 50+i, got, err)
		}
		if _, err := b.Open(d); !errors.Is(err, ErrReplay) {
			t.Fatalf("late packet %d again: got %v, want ErrReplay", 50+i, err)
		}
	}
	if _, err := b.Open(overtaken); err != nil {
		t.Fatalf("a new packet overtaken by another: %v", err)
	}
	wantGenerations(t, "b", b, 1, 1)
	// b is silent, so a stays where it is.
	for range ReplayWindow {
		deliver(t, a, b, "new")
	}
	if b.packets.(*aeadKeys).update.previous != nil {
		t.Error("the old keys are still there")
	}
	for i, d := range old[:50] {
		if _, err := b.Open(d); !errors.Is(err, ErrReplay) {
			t.Fatalf("packet %d, too late: got %v, want ErrReplay", i, err)
		}
	}
}

// A phase bit alone changes nothing: the packet must open.
func TestForgedPhase(t *testing.T) {
	a, b := modernPair(t, Policy{})
	deliver(t, a, b, "x")
	deliver(t, b, a, "x")
	for range 100 {
		d := seal(a, []byte("x"), 1)
		d[sessionIDSize] ^= 0x80
		if _, err := b.Open(d); !errors.Is(err, ErrVerify) {
			t.Fatalf("a changed phase bit: got %v, want ErrVerify", err)
		}
	}
	wantGenerations(t, "b", b, 0, 0)
	deliver(t, a, b, "still well")
	deliver(t, b, a, "still well")
	// Behind numbers of this generation it does not even cost the derivation.
	b.Rest()
	d := seal(a, []byte("late"), 1)
	deliver(t, a, b, "overtakes")
	d[sessionIDSize] ^= 0x80
	if _, err := b.Open(d); !errors.Is(err, ErrVerify) || b.packets.(*aeadKeys).update.following != nil {
		t.Errorf("the other phase amid this one: got %v", err)
	}
}

// A far end that updates without waiting is refused, so it can't make us derive
// keys for nothing.
func TestUpdateWithoutProof(t *testing.T) {
	a, b := modernPair(t, Policy{})
	deliver(t, a, b, "x")
	deliver(t, b, a, "x")
	rogue := a.packets.(*aeadKeys)
	rogue.updateSend()
	deliver(t, a, b, "one update is fine")
	rogue.updateSend()
	if _, err := b.Open(seal(a, []byte("another"), 1)); !errors.Is(err, ErrVerify) {
		t.Errorf("a second update without an answer: got %v, want ErrVerify", err)
	}
	wantGenerations(t, "b", b, 1, 1)
	deliver(t, b, a, "the answer")
	deliver(t, a, b, "now it has the proof")
	wantGenerations(t, "b", b, 2, 2)
}

// Rest forgets no generation.
func TestRestAmidUpdate(t *testing.T) {
	a, b := modernPair(t, Policy{UpdateAfter: 3})
	for i := range 200 {
		if i%3 == 0 {
			a.Rest()
		}
		deliver(t, a, b, "to b")
		if i%5 == 0 {
			b.Rest()
		}
		deliver(t, b, a, "to a")
	}
	if send, _ := a.Generation(); send < 50 {
		t.Errorf("%d updates in 200 packets, want one for 3", send)
	}
}

// Forgeries make an update due long before they have a chance.
func TestForgeriesMakeAnUpdateDue(t *testing.T) {
	a, b := modernPair(t, Policy{})
	deliver(t, a, b, "x")
	deliver(t, b, a, "x")
	for range 3 {
		if _, err := a.Open(make([]byte, 100)); err == nil {
			t.Fatal("100 zero bytes opened")
		}
	}
	k := a.packets.(*aeadKeys)
	// Zero bytes are number 0, which was seen: they cost nothing.
	if k.update.forged != 0 {
		t.Errorf("%d forgeries counted, want 0", k.update.forged)
	}
	bad := seal(b, []byte("y"), 1)
	bad[len(bad)-1] ^= 1
	_, _ = a.Open(bad)
	if k.update.forged != 1 {
		t.Errorf("%d forgeries counted, want 1", k.update.forged)
	}
	k.update.forged = maxForged
	deliver(t, a, b, "new keys")
	wantGenerations(t, "a", a, 1, 0)
	if k.update.forged != 0 {
		t.Errorf("%d forgeries counted under new keys", k.update.forged)
	}
}

// Only a session in which nothing ever comes back wears its keys out.
func TestWorn(t *testing.T) {
	a, b := modernPair(t, Policy{})
	k := a.packets.(*aeadKeys)
	k.update.sent = maxAEADPackets - 1
	if a.Worn() {
		t.Error("worn before its time")
	}
	deliver(t, a, b, "the last")
	if !a.Worn() {
		t.Error("not worn after as many packets as a key is good for")
	}
	deliver(t, b, a, "an answer")
	deliver(t, a, b, "updates")
	if a.Worn() {
		t.Error("worn after an update")
	}
}

func TestUpdateLimits(t *testing.T) {
	for _, n := range []int{-1, maxUpdateAfter + 1} {
		if err := (Policy{UpdateAfter: n}).Validate(); err == nil {
			t.Errorf("an update after %d packets is accepted", n)
		}
	}
	a, _ := modernPair(t, Policy{})
	if got := a.packets.(*aeadKeys).update.after; got != DefaultUpdateAfter || got > maxUpdateAfter {
		t.Errorf("by default keys are updated after %d packets", got)
	}
}

// Any order of sending, losing, delaying, repeating and damaging packets keeps
// the two ends together: what arrives within the window opens once, as it was
// sent, and what was damaged never. Each byte of the script is an operation.
func FuzzUpdate(f *testing.F) {
	f.Add([]byte{0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1}, uint8(1))
	f.Add(bytes.Repeat([]byte{0x02, 0x03, 0x02, 0x03, 0x04, 0x0d, 0x14, 0x06, 0x0f}, 40), uint8(3))
	f.Add(bytes.Repeat([]byte{0, 0, 2, 1, 3, 12, 20, 5, 13, 6, 7}, 60), uint8(2))
	f.Fuzz(func(t *testing.T, script []byte, after uint8) {
		var ends [2]*SessionKeys
		ends[0], ends[1] = modernPair(t, Policy{UpdateAfter: 1 + int(after)})
		type flight struct {
			datagram []byte
			number   int
			opened   bool
		}
		var sent [2][]*flight // by sender
		for i, op := range script {
			who := int(op & 1)
			from, to := ends[who], ends[1-who]
			if len(sent[who]) == 0 && op>>1&3 != 0 {
				continue
			}
			back := 0
			if n := len(sent[who]); n > 0 {
				back = n - 1 - int(op>>3)%min(n, 32)
			}
			switch op >> 1 & 3 {
			case 0: // send, and deliver at once
				text := fmt.Sprint(who, i)
				deliver(t, from, to, text)
			case 1: // send, for later or never
				sent[who] = append(sent[who], &flight{datagram: seal(from, fmt.Append(nil, who, i), 1), number: i})
			case 2: // deliver an earlier one, perhaps again
				fl := sent[who][back]
				got, err := to.Open(bytes.Clone(fl.datagram))
				if err == nil && (fl.opened || string(got) != fmt.Sprint(who, fl.number)) {
					t.Fatalf("packet %d opened as %q, before: %v", fl.number, got, fl.opened)
				}
				fl.opened = fl.opened || err == nil
			case 3: // deliver a damaged one, or go to rest
				if op>>3 == 31 {
					to.Rest()
					continue
				}
				d := bytes.Clone(sent[who][back].datagram)
				d[sessionIDSize+int(op>>3)%(len(d)-sessionIDSize)] ^= 0x80
				if got, err := to.Open(d); err == nil {
					t.Fatalf("a damaged packet opened as %q", got)
				}
			}
			s0, r0 := ends[0].Generation()
			s1, r1 := ends[1].Generation()
			if s0 < r0 || s0 > r0+1 || s1 < r1 || s1 > r1+1 || r0 > s1 || r1 > s0 {
				t.Fatalf("generations %d and %d, %d and %d", s0, r0, s1, r1)
			}
		}
		for range 3 {
			deliver(t, ends[0], ends[1], "still together")
			deliver(t, ends[1], ends[0], "still together")
		}
	})
}
