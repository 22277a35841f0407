package transport

import (
	"testing"
	"time"

	"rtmfp/internal/clock"
)

// sharing is a session's congestion control while time-critical and background
// data are sent, on a path whose empty round trip is 40 ms.
type sharing struct {
	c    congestion
	now  clock.Time
	next uint64
}

func newSharing(outstanding int32) *sharing {
	s := &sharing{now: 1, next: 1}
	s.c.init(1000)
	s.c.window, s.c.outstanding = 100_000, outstanding
	s.c.sending(s.now, true)
	s.c.bulk.sample(s.now, 40*time.Millisecond)
	return s
}

// ack lets a round trip pass in which the room was full and packets waited for
// queue.
func (s *sharing) ack(queue time.Duration, change func(r *report)) {
	s.now = s.now.Add(40 * time.Millisecond)
	s.c.criticalUntil = s.now.Add(time.Millisecond)
	s.c.bulk.delays.base = [2]time.Duration{40 * time.Millisecond}
	s.c.bulk.delays.recent = [2]time.Duration{40*time.Millisecond + queue}
	r := report{now: s.now, before: s.c.bulk.beside.room, acked: s.c.bulk.beside.room, srtt: 40 * time.Millisecond,
		highest: s.next, next: s.next + 1}
	s.next++
	if change != nil {
		change(&r)
	}
	s.c.spare(r)
}

// The room doubles until packets begin to wait, gives way by as much as they
// do, and then grows slowly.
func TestBesideRoom(t *testing.T) {
	s := newSharing(5000)
	s.ack(0, nil)
	if got := s.c.bulk.beside.room; got != 2500 || s.c.bulk.pause != 0 {
		t.Fatalf("began with %d and a pause until %v, want half of what is out and none", got, s.c.bulk.pause)
	}
	s.ack(0, nil)
	s.ack(time.Millisecond, nil)
	if got := s.c.bulk.beside.room; got != 10_000 {
		t.Errorf("%d after two round trips without a queue, want four times as much", got)
	}
	s.ack(10*time.Millisecond, nil)
	if got := s.c.bulk.beside.room; got < 7_900 || got > 8_100 {
		t.Errorf("%d with a queue of a fifth, want a fifth less", got)
	}
	s.ack(10*time.Millisecond, func(r *report) { r.highest = 0 })
	if got := s.c.bulk.beside.room; got < 7_900 {
		t.Errorf("%d after a second report of the same round trip", got)
	}
	before := s.c.bulk.beside.room
	s.ack(0, nil)
	if got := s.c.bulk.beside.room - before; got < 300 || got > 600 {
		t.Errorf("grew by %d in a round trip, want half a packet", got)
	}
	before = s.c.bulk.beside.room
	s.ack(0, func(r *report) { r.before = 1000 })
	if s.c.bulk.beside.room != before {
		t.Error("grew though it was not used")
	}
	for range 20 {
		s.ack(0, func(r *report) { r.lost = true })
	}
	if got := s.c.bulk.beside.room; got != besideLeast*1000 {
		t.Errorf("%d after many losses, want %d", got, besideLeast*1000)
	}
}

// A copy that was there before the stream pauses, so that the queue that it
// made becomes empty.
func TestBesideBegins(t *testing.T) {
	s := newSharing(90_000)
	s.ack(0, nil)
	if b := s.c.bulk; b.beside.room != 45_000 || b.pause != s.now.Add(80*time.Millisecond) || !b.beside.ended {
		t.Errorf("%+v, pause until %v", b.beside, b.pause)
	}
	s.c.acknowledged(report{now: s.now.Add(time.Hour), acked: 1000, before: 1000, next: 9, highest: 8})
	if b := s.c.bulk; b.beside.room != 0 {
		t.Errorf("%+v when nothing is to be spared", b.beside)
	}
}
