package transport

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"rtmfp/internal/clock"
	"rtmfp/internal/element"
	"rtmfp/transport/wire"
)

// "The two chunks are semantically equivalent" (RFC 7016 §3.6.3.4.3): a sender
// takes the same from either.
func TestBothFormsOfAcknowledgement(t *testing.T) {
	// Numbers 1 to 20 are in flight; 1 to 4, 6, 7 and 10 to 12 have arrived.
	ranges := wire.AppendRangeAck(nil, 100, firstFlow, 64, 4, []wire.Range{{First: 6, Last: 7}, {First: 10, Last: 12}})[wire.ChunkHeaderSize:]
	var bitmap []byte
	for _, v := range []uint64{firstFlow, 64, 4} {
		bitmap = element.AppendVLU(bitmap, v)
	}
	bitmap = append(bitmap, 0b01110011) // least significant bit is 6
	for name, parse := range map[string]func() (wire.Ack, bool){
		"ranges": func() (wire.Ack, bool) { return wire.ParseRangeAck(ranges) },
		"bitmap": func() (wire.Ack, bool) { return wire.ParseBitmapAck(bitmap) },
	} {
		n, a, b := pair(t, 1)
		sa, _ := n.connect(a, b)
		n.run(time.Second)
		a.mute = true
		f := open(t, sa, n.now, FlowOptions{Metadata: []byte("x")})
		for i := range 20 {
			send(t, f, n.now, numbered(i, 100), SendOptions{})
		}
		n.run(time.Millisecond)
		ack, ok := parse()
		if !ok {
			t.Fatalf("%s: malformed", name)
		}
		tally := ackTally{before: sa.congestion.outstanding}
		sa.handleAck(n.now, b.addr, ack, &tally)
		for seq := uint64(1); seq <= 20; seq++ {
			arrived := seq <= 4 || seq == 6 || seq == 7 || seq >= 10 && seq <= 12
			if got := f.queue.at(seq) == nil; got != arrived {
				t.Errorf("%s: %d: acknowledged %v, want %v", name, seq, got, arrived)
			}
		}
		if tally.acked == 0 || tally.before-tally.acked != sa.congestion.outstanding {
			t.Errorf("%s: %d bytes of %d acknowledged, %d outstanding", name, tally.acked, tally.before, sa.congestion.outstanding)
		}
	}
}

// RFC 7016 §3.6.3.4.1: "for every second packet containing user data", and "no
// longer than 200 milliseconds after receipt", sooner for time-critical data.
func TestDelayedAcknowledgement(t *testing.T) {
	for _, critical := range []bool{false, true} {
		n, a, b := pair(t, 1)
		sa, _ := n.connect(a, b)
		f := open(t, sa, n.now, FlowOptions{Metadata: []byte("x"), TimeCritical: critical})
		send(t, f, n.now, numbered(1, 100), SendOptions{})
		n.run(time.Second) // the first packet of a flow is acknowledged at once
		var acks []time.Duration
		start := n.now
		b.on = nil
		n.drop = func(from, _ netip.AddrPort, _ []byte) bool {
			if from == b.addr {
				acks = append(acks, n.now.Sub(start)-n.latency)
			}
			return false
		}
		send(t, f, n.now, numbered(1, 100), SendOptions{})
		n.run(time.Second)
		want := delayedAck
		if critical {
			want = criticalAck
		}
		if len(acks) != 1 || acks[0] != want {
			t.Errorf("critical %v: one packet is acknowledged after %v, want %v", critical, acks, want)
		}
		acks, start = nil, n.now
		send(t, f, n.now, numbered(1, 1000), SendOptions{})
		send(t, f, n.now, numbered(1, 1000), SendOptions{})
		n.run(time.Second)
		if len(acks) != 1 || acks[0] != 0 {
			t.Errorf("critical %v: two packets are acknowledged after %v, want at once", critical, acks)
		}
	}
}

// A set built in any order equals what was put into it.
func TestSequenceSet(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 300 {
		var q sequenceSet
		want := map[uint64]bool{0: true}
		for range 200 {
			seq := uint64(1 + rng.IntN(120))
			if rng.IntN(30) == 0 {
				q.addUpTo(seq)
				for i := range seq + 1 {
					want[i] = true
				}
				continue
			}
			if got := q.contains(seq); got != want[seq] {
				t.Fatalf("contains(%d): got %v, want %v", seq, got, want[seq])
			}
			if !want[seq] {
				q.add(seq)
				want[seq] = true
			}
		}
		last := q.upTo
		for _, r := range q.ranges {
			if r.First < last+2 || r.Last < r.First {
				t.Fatalf("ranges touch or overlap: %d, %+v", q.upTo, q.ranges)
			}
			last = r.Last
		}
		for i := range uint64(130) {
			if q.contains(i) != want[i] {
				t.Fatalf("contains(%d): got %v, want %v", i, q.contains(i), want[i])
			}
		}
	}
}

// Where time-critical packets come one at a time, nothing is gained by waiting
// for a second one: after two of them they are acknowledged at once, but for a
// trial now and then, and until two come close together again.
func TestLoneCriticalPackets(t *testing.T) {
	n, a, b := pair(t, 1)
	sa, _ := n.connect(a, b)
	f := open(t, sa, n.now, FlowOptions{Metadata: []byte("x"), TimeCritical: true})
	send(t, f, n.now, numbered(1, 100), SendOptions{})
	n.run(time.Second)
	var acks []time.Duration
	var start clock.Time
	n.drop = func(from, _ netip.AddrPort, _ []byte) bool {
		if from == b.addr {
			acks = append(acks, n.now.Sub(start)-n.latency)
		}
		return false
	}
	late := 0
	for i := range 70 {
		acks, start = nil, n.now
		send(t, f, n.now, numbered(i, 900), SendOptions{})
		n.run(200 * time.Millisecond)
		switch {
		case len(acks) != 1 || acks[0] != 0 && acks[0] != criticalAck:
			t.Fatalf("packet %d is acknowledged after %v, want once, at once or after %v", i, acks, criticalAck)
		case acks[0] != 0:
			late++
		case i < loneAcks:
			t.Errorf("packet %d is acknowledged at once, want after %v", i, criticalAck)
		}
	}
	if late < loneAcks+1 || late > loneAcks+3 {
		t.Errorf("%d of 70 lone packets were acknowledged late, want the first %d and two trials", late, loneAcks)
	}
	n.drop = nil
	for range 2 {
		send(t, f, n.now, numbered(1, 900), SendOptions{})
	}
	n.run(time.Second)
	if s := b.Session(a.PeerID()); s.lone >= loneAcks {
		t.Error("two packets came together, but single ones are still acknowledged at once")
	}
}

// An alarm that was taken back does not wake the owner of the endpoint.
func TestNoIdleAlarms(t *testing.T) {
	n, a, b := pair(t, 1)
	sa, _ := n.connect(a, b)
	f := open(t, sa, n.now, FlowOptions{Metadata: []byte("x"), TimeCritical: true})
	for i := range 20 {
		send(t, f, n.now, numbered(i, 100), SendOptions{})
		n.run(100 * time.Millisecond)
	}
	if sa.timer.When() == clock.Never || sa.aliveAt == clock.Never {
		t.Fatal("the session watches nothing")
	}
	sent := n.now
	send(t, f, n.now, numbered(20, 100), SendOptions{})
	n.until(time.Second, func() bool { return f.Buffered() == 0 })
	if sa.timer.When() >= sa.nextAlarm() {
		t.Fatal("no alarm was taken back")
	}
	if at := a.Deadline(); at != sa.nextAlarm() {
		t.Errorf("everything is acknowledged after %v, and the endpoint wants to be woken %v after the last packet, want %v", n.now.Sub(sent), at.Sub(sent), sa.nextAlarm().Sub(sent))
	}
}
