package node

import (
	"fmt"
	"slices"
	"time"

	"rtmfp/internal/clock"
	"rtmfp/multicast"
)

// Publication is a stream that this node publishes.
type Publication struct {
	group   *Group
	name    string
	started time.Time
	core    *multicast.Publication // the loop's own

	messages, bytes uint64 // the loop's own
	first, spare    uint64 // of messages, likewise
}

// MaxMessage is the largest message in bytes; Write splits what is larger.
const MaxMessage = multicast.MaxMessage

// Write publishes b as one message, several if it is over MaxMessage, with the
// time since Publish as media time. Viewers can start at any of them. The
// bytes are not kept.
func (p *Publication) Write(b []byte) (int, error) {
	written := 0
	for len(b) > 0 {
		part := b[:min(len(b), MaxMessage)]
		if err := p.WriteMessage(part, time.Since(p.started), true); err != nil {
			return written, err
		}
		written += len(part)
		b = b[len(part):]
	}
	return written, nil
}

// WriteMessage publishes one message of at most MaxMessage bytes with its
// media time, kept to the millisecond, and says whether a player can start
// with it. It returns as soon as the node has taken the message.
func (p *Publication) WriteMessage(data []byte, pts time.Duration, key bool) error {
	return p.Send(Message{Data: data, PTS: pts, Key: key})
}

// Class is what becomes of a message where there is no room for all of a stream: those of
// ClassSpare are left out first, those of ClassFirst, and messages with which a player can
// start, last.
type Class = multicast.Class

// Classes of messages.
const (
	ClassPlain = multicast.Plain
	ClassFirst = multicast.First // sound, and whatever others need
	ClassSpare = multicast.Spare // what can be done without
)

// Message is a message to publish, with all that can be said of it.
type Message struct {
	Data  []byte        // at most MaxMessage bytes; not kept
	PTS   time.Duration // media time, kept to the millisecond
	Key   bool          // a player can start with it
	Class Class

	// Lifetime is how long it is worth anything, on the way and to a player who waits for it:
	// what is stale then gives way to what is fresh, and counts as lost. It is rounded up by half
	// an octave at most, 125 ms is the least, and 0 and what is over 16 s mean as long as the stream's window.
	Lifetime time.Duration
}

// Send publishes a message. It returns as soon as the node has taken it.
func (p *Publication) Send(msg Message) error {
	data, key, class := msg.Data, msg.Key, msg.Class
	m := multicast.Message{
		Data: data, Timestamp: uint32(msg.PTS / time.Millisecond), Key: key, Class: class,
		Lifetime: msg.Lifetime, SentAt: time.Now().UnixMicro(),
	}
	var err error
	if derr := p.group.node.do(func(now clock.Time) {
		if err = p.core.Write(now, m); err == nil {
			p.messages++
			p.bytes += uint64(len(data))
			switch {
			case key || class == ClassFirst:
				p.first++
			case class == ClassSpare:
				p.spare++
			}
		}
	}); derr != nil {
		err = derr
	}
	if err != nil {
		return fmt.Errorf("write to stream %q: %w", p.name, err)
	}
	return nil
}

// Close ends the stream; viewers are told.
func (p *Publication) Close() error {
	_ = p.group.node.do(func(now clock.Time) {
		g := p.group
		if i := slices.Index(g.published, p); i >= 0 {
			g.published = slices.Delete(g.published, i, i+1)
			p.core.Close(now)
		}
	})
	return nil
}

// Stats returns the stream's figures at this node.
func (p *Publication) Stats() StreamStats {
	var s StreamStats
	_ = p.group.node.do(func(clock.Time) {
		s = streamStats(p.core.Stats())
		s.Name, s.Publishing, s.Started = p.name, true, p.started
		s.Messages, s.Bytes = p.messages, p.bytes
		s.WrittenFirst, s.WrittenSpare = p.first, p.spare
	})
	return s
}

// streamStats translates what the core counts.
func streamStats(m multicast.StreamStats) StreamStats {
	s := StreamStats{
		Name:          m.Name,
		Fragments:     m.Fragments,
		Lost:          m.Lost,
		Duplicates:    m.Duplicates,
		Pushed:        m.FragmentsPushedFromPeers,
		Pulled:        m.FragmentsRequestedFromPeers,
		Neighbors:     m.Neighbors,
		UploadBytes:   m.BytesSent + m.ControlBytesSent,
		DownloadBytes: m.BytesReceived + m.ControlBytesReceived,
		UploadPayload: m.BytesSent,
		UploadLimit:   m.UploadLimit,

		Signed:         m.Signed,
		SignatureBytes: m.DigestBytes,

		Moves: Moves{
			Sooner: m.ParentsMoved - m.ParentsAsked, Asked: m.ParentsAsked,
			Silent: m.ParentsSilent, Gone: m.ParentsReplaced - m.ParentsSilent,
		},
	}
	for i, from := range m.Slices {
		to := &s.Slices[i]
		to.Parent, to.Depth = PeerID(from.Parent), from.Depth
		if from.Depth == multicast.DepthUnknown {
			to.Depth = -1
		}
		for _, c := range from.Children {
			to.Children = append(to.Children, PeerID(c))
		}
	}
	return s
}
