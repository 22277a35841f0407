package multicast

import (
	"time"

	"rtmfp/group"
)

// StreamStats is a snapshot of one stream on this node. Counters run from when
// the node began to carry the stream. The words are those of Adobe's
// NetStreamMulticastInfo where it has them.
type StreamStats struct {
	Name   string
	Key    Key
	Signed bool

	StreamCounts

	Newest    uint64 // highest fragment id held
	Held      int    // fragments in the window
	HeldBytes int
	Past      int   // fragments on disk, that have left the window
	PastBytes int64 // in them
	Missing   int   // fragments known of and wanted, but not held
	Neighbors int   // neighbors that carry the stream
	Slices    [numSlices]SliceStats

	// UploadLimit is what this node sends at most of all streams, in bytes per second:
	// Config.UploadLimit, or what its line was found to carry. 0: neither.
	UploadLimit uint64
}

// StreamCounts counts what happened to a stream on this node.
type StreamCounts struct {
	Fragments  uint64 // unique fragments received (of a publisher: made)
	Lost       uint64 // fragments that could not be had inside the window
	Duplicates uint64 // copies received beyond the first

	FragmentsPushedFromPeers    uint64 // first copies that a neighbor pushed
	FragmentsRequestedFromPeers uint64 // first copies that were pulled
	FragmentsPushedToPeers      uint64
	FragmentsRequestedByPeers   uint64 // sent because they were pulled

	Digests       uint64        // unique digests received (of a publisher: made), which are no fragments to the counts above
	DigestBytes   uint64        // in them
	DigestsPulled uint64        // that had to be asked for
	DigestsTwice  uint64        // copies of digests beyond the first
	Waited        uint64        // fragments that came before their digest
	WaitTime      time.Duration // that those of them waited that were right, in sum

	BytesReceived        uint64 // fragments with their heads, duplicates included
	BytesSent            uint64
	ControlBytesReceived uint64 // descriptions, maps, requests
	ControlBytesSent     uint64

	PushesDropped   uint64 // not pushed because the neighbor's queue was full
	PullsUnserved   uint64 // asked for but not held, or over the rate
	PullsSent       uint64 // fragment requests, repeats included
	SlicesRefused   uint64 // requests for a slice that this node turned down
	Recalled        uint64 // fragments of the past that were asked for, to play it again
	RecalledByPeers uint64 // that were sent to neighbors for that
	PastFull        uint64 // times that the disk of the past had no room to grow, so that the oldest went
	PastDropped     uint64 // fragments that it had no room for at all
	PastFailed      uint64 // times that it could not be read or written, and was given up
	ParentsReplaced uint64 // parents given up because they went away
	ParentsSilent   uint64 // of these, those that owed fragments for too long
	ParentsMoved    uint64 // parents left for another from which it comes sooner
	ParentsAsked    uint64 // of these, those that asked to be left, as others have the place or a limit is reached
}

// add adds o to c, times times: 1, or minus one as the largest uint64.
func (c *StreamCounts) add(o *StreamCounts, times uint64) {
	c.Fragments += times * o.Fragments
	c.Lost += times * o.Lost
	c.Duplicates += times * o.Duplicates
	c.FragmentsPushedFromPeers += times * o.FragmentsPushedFromPeers
	c.FragmentsRequestedFromPeers += times * o.FragmentsRequestedFromPeers
	c.FragmentsPushedToPeers += times * o.FragmentsPushedToPeers
	c.FragmentsRequestedByPeers += times * o.FragmentsRequestedByPeers
	c.Digests += times * o.Digests
	c.DigestBytes += times * o.DigestBytes
	c.DigestsPulled += times * o.DigestsPulled
	c.DigestsTwice += times * o.DigestsTwice
	c.Waited += times * o.Waited
	c.WaitTime += time.Duration(times * uint64(o.WaitTime))
	c.BytesReceived += times * o.BytesReceived
	c.BytesSent += times * o.BytesSent
	c.ControlBytesReceived += times * o.ControlBytesReceived
	c.ControlBytesSent += times * o.ControlBytesSent
	c.PushesDropped += times * o.PushesDropped
	c.PullsUnserved += times * o.PullsUnserved
	c.PullsSent += times * o.PullsSent
	c.SlicesRefused += times * o.SlicesRefused
	c.Recalled += times * o.Recalled
	c.RecalledByPeers += times * o.RecalledByPeers
	c.PastFull += times * o.PastFull
	c.PastDropped += times * o.PastDropped
	c.PastFailed += times * o.PastFailed
	c.ParentsReplaced += times * o.ParentsReplaced
	c.ParentsSilent += times * o.ParentsSilent
	c.ParentsMoved += times * o.ParentsMoved
	c.ParentsAsked += times * o.ParentsAsked
}

// DepthUnknown is the depth of a slice whose way from the publisher is not known.
const DepthUnknown = depthUnfed

// SliceStats says where a slice comes from and where it goes.
type SliceStats struct {
	Parent   group.PeerID   // who pushes it to this node; zero: nobody
	Fed      bool           // there is a parent, or this node is the publisher
	Depth    int            // hops from the publisher, or DepthUnknown
	Delay    time.Duration  // estimated one-way delay of the path from the publisher
	Children []group.PeerID // to whom this node pushes it
}

// Counters are totals of the Service over all neighbors and streams.
type Counters struct {
	Malformed        uint64 // messages that could not be read, and were ignored
	Unexpected       uint64 // messages that make no sense on their flow
	OutOfWindow      uint64 // ids too far from the window to be tracked
	NeighborsRefused uint64 // past Config.MaxNeighbors
	StreamsRefused   uint64 // past Config.MaxStreams
	FlowsRefused     uint64

	Forged            uint64 // descriptions, digests, and ends whose signature is wrong
	Altered           uint64 // fragments that are not what the digest says
	Bans              uint64 // neighbors that were cut off for that
	Equivocated       uint64 // streams of which their publisher signed two versions
	Unsigned          uint64 // descriptions of streams without a signature, where those are not admitted
	Unpermitted       uint64 // descriptions of streams whose publisher may not publish
	WaitingDropped    uint64 // fragments whose digest did not come, or for which there was no room
	SignaturesChecked uint64

	EventsDropped uint64 // past Config.MaxEvents
}

// Counters returns the totals.
func (s *Service) Counters() Counters { return s.counters }

// Streams returns snapshots of all streams that are known, whether they are
// published, played, or relayed here, or none of it, in the order in which they
// became known.
func (s *Service) Streams() []StreamStats {
	all := make([]StreamStats, 0, len(s.streams))
	for _, st := range s.streams {
		all = append(all, st.snapshot())
	}
	return all
}

func (st *stream) snapshot() StreamStats {
	v := StreamStats{Name: st.desc.name, Key: st.desc.key, Signed: st.signed(), StreamCounts: st.stats, UploadLimit: st.s.uploadLimit()}
	v.Held, v.HeldBytes, v.Missing = st.win.count, st.win.bytes, len(st.missing)
	if st.past != nil {
		v.Past, v.PastBytes = st.past.count, st.past.bytes
	}
	if !st.win.empty() {
		v.Newest = st.win.top
	}
	for _, p := range st.peers {
		if p.ctrlIn != 0 {
			v.Neighbors++
		}
	}
	for s := range v.Slices {
		sl, out := &st.slices[s], &v.Slices[s]
		out.Depth, out.Delay = int(sl.route.depth), sl.route.delay.duration()
		out.Fed = st.pub != nil || sl.parent != nil
		if !st.active {
			out.Depth = depthUnfed
		}
		if sl.parent != nil {
			out.Parent = sl.parent.n.Peer
		}
		for _, p := range st.peers {
			if p.children&(1<<s) != 0 {
				out.Children = append(out.Children, p.n.Peer)
			}
		}
	}
	return v
}
