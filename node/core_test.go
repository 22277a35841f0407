package node

import "testing"

// An owner who never drains events makes the core lose and count them, and
// costs no more memory than the bound.
func TestEventsAreBounded(t *testing.T) {
	var c Core
	for range maxEvents + 3 {
		c.report(CoreEvent{Kind: EventStream})
	}
	if len(c.events) != maxEvents || c.Counters().EventsDropped != 3 {
		t.Errorf("got %d events kept and %d dropped, want %d and 3", len(c.events), c.Counters().EventsDropped, maxEvents)
	}
	if ev, ok := c.NextEvent(); !ok || ev.Kind != EventStream {
		t.Errorf("NextEvent: got %+v, %v, want the oldest event", ev, ok)
	}
}
