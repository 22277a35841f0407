package node

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"rtmfp/internal/clock"
)

// GroupEventKind says what a GroupEvent reports.
type GroupEventKind uint8

// Kinds of group events.
const (
	NeighborConnected GroupEventKind = iota + 1 // Peer
	NeighborLost                                // Peer, for Reason
	CoverageChanged                             // Coverage is what this node is nearest to now
	SizeChanged                                 // Members is what the group is estimated to have now
	StreamPublished                             // Stream can be played
	StreamUnpublished                           // Stream has ended
)

var groupEventNames = [...]string{
	"", "neighbor connected", "neighbor lost", "coverage changed", "size changed",
	"stream published", "stream unpublished",
}

// String returns the kind in words.
func (k GroupEventKind) String() string {
	if int(k) < len(groupEventNames) {
		return groupEventNames[k]
	}
	return "unknown"
}

// GroupEvent is something about a group that applications may want to know.
type GroupEvent struct {
	Kind     GroupEventKind
	Time     time.Time
	Peer     PeerID
	Reason   string // left, parted, lost, silent, refused, unproven, replaced, leaving, full, evicted
	Coverage Coverage
	Members  int // estimate, this node included; told when it changes by a tenth
	Stream   string
	Missed   int // events lost before this one because the reader was too slow
}

// watchInterval is the least time between two looks for changes that no event
// of the core tells: coverage and size.
const watchInterval = 100 * time.Millisecond

// maxWatched bounds the events that wait for a reader.
const maxWatched = 1024

// groupState is what watchers of a group know.
type groupState struct {
	coverage Coverage
	members  int
	at       clock.Time // of the last look
}

// Events yields what happens in the group, from the call on until ctx ends or
// the group is left; either ends it with an error. It begins with the neighbors,
// the coverage, the size, and the streams that there are.
func (g *Group) Events(ctx context.Context) iter.Seq2[GroupEvent, error] {
	box := newMailbox[GroupEvent](maxWatched, maxWatched)
	err := g.node.do(func(now clock.Time) {
		if g.isDone() {
			box.end(ErrClosed)
			return
		}
		begin := func(e GroupEvent) {
			e.Time = time.Now()
			box.add(e, 0)
		}
		for _, v := range g.core.group.ViewNeighbors() {
			begin(GroupEvent{Kind: NeighborConnected, Peer: PeerID(v.Peer)})
		}
		s := g.look(now)
		begin(GroupEvent{Kind: CoverageChanged, Coverage: s.coverage})
		begin(GroupEvent{Kind: SizeChanged, Members: s.members})
		for _, name := range g.streams {
			begin(GroupEvent{Kind: StreamPublished, Stream: name})
		}
		if len(g.watchers) == 0 {
			g.seen = s
		}
		g.watchers = append(g.watchers, box)
	})
	if err != nil {
		box.end(err)
	}
	unwatch := func(why error) {
		box.end(why)
		_ = g.node.do(func(clock.Time) {
			g.watchers = slices.DeleteFunc(g.watchers, func(w *mailbox[GroupEvent]) bool { return w == box })
		})
	}
	stop := context.AfterFunc(ctx, func() { unwatch(ctx.Err()) })
	return func(yield func(GroupEvent, error) bool) {
		defer unwatch(ErrClosed)
		defer stop()
		for {
			e, missed, err := box.next()
			if err != nil {
				yield(GroupEvent{}, fmt.Errorf("events: %w", err))
				return
			}
			e.Missed = missed
			if !yield(e, nil) {
				return
			}
		}
	}
}

// tell gives an event to everybody who watches. The loop calls it.
func (g *Group) tell(e GroupEvent) {
	if len(g.watchers) == 0 {
		return
	}
	e.Time = time.Now()
	g.seen.at = 0 // it may have changed more
	for _, w := range g.watchers {
		w.add(e, 0)
	}
}

func (g *Group) look(now clock.Time) groupState {
	s := groupState{members: g.core.group.Estimate(), at: max(now, 1)}
	s.coverage.From, s.coverage.To = g.core.group.Coverage()
	return s
}

// watch tells those who watch of changes. The loop calls it after each turn.
func (g *Group) watch(now clock.Time) {
	if len(g.watchers) == 0 || g.seen.at != 0 && now.Sub(g.seen.at) < watchInterval {
		return
	}
	s := g.look(now)
	old := g.seen
	if change := s.members - old.members; 10*max(change, -change) < old.members {
		s.members = old.members
	}
	g.seen = s
	if s.coverage != old.coverage {
		g.tell(GroupEvent{Kind: CoverageChanged, Coverage: s.coverage})
	}
	if s.members != old.members {
		g.tell(GroupEvent{Kind: SizeChanged, Members: s.members})
	}
	g.seen.at = s.at
}
