package node

import (
	"context"
	"fmt"
	"io"
	"iter"
	"slices"
	"sync"
	"time"

	"rtmfp/internal/clock"
	"rtmfp/multicast"
)

// Playback is a stream that this node plays. One goroutine at a time may read
// from it, with Frames or with Read.
//
// A reader that is too slow never holds up the node: up to a second or so of
// frames wait here, up to the window in the core, and after that frames are
// lost and the next one says how many.
type Playback struct {
	group *Group
	name  string
	done  chan struct{}
	once  sync.Once

	mu      sync.Mutex
	queue   []Frame
	bytes   int
	full    bool // the core may hold more
	err     error
	paused  bool
	sought  chan struct{} // closed when the latest Seek has found its place; nil: nobody waits
	arrived chan struct{} // a token: look at the queue

	rest []byte // of the frame that Read is in; the reader's own

	// The loop's own.
	core     *multicast.Subscription
	started  time.Time
	first    time.Time
	messages uint64
	payload  uint64
	catchUp  uint64
	delay    histogram
}

// A playback's own queue holds at most this much; the rest waits in the core.
const (
	queueFrames = 512
	queueBytes  = 1 << 20
)

func newPlayback(g *Group, name string) *Playback {
	return &Playback{
		group: g, name: name, started: time.Now(),
		done: make(chan struct{}), arrived: make(chan struct{}, 1),
	}
}

// fill moves frames from the core to the queue while it has room. The loop
// calls it after each turn.
func (p *Playback) fill() {
	if p.core == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sought != nil {
		if _, ok := p.core.Sought(); ok {
			close(p.sought)
			p.sought = nil
		}
	}
	before := len(p.queue)
	var now time.Time
	for p.err == nil {
		if p.full = len(p.queue) >= queueFrames || p.bytes >= queueBytes; p.full {
			break
		}
		f, ok := p.core.NextFrame()
		if !ok {
			if p.core.Ended() {
				p.err = io.EOF
				p.once.Do(func() { close(p.done) })
				p.notify()
			}
			break
		}
		if now.IsZero() {
			now = time.Now()
		}
		p.account(now, f)
		p.queue = append(p.queue, frameOf(f))
		p.bytes += len(f.Data)
	}
	if len(p.queue) > before {
		p.notify()
	}
}

func frameOf(f multicast.Frame) Frame {
	out := Frame{Data: f.Data, PTS: time.Duration(f.Timestamp) * time.Millisecond, Key: f.Key, Lost: f.Lost, Seek: f.Seek}
	if f.SentAt != 0 {
		out.SentAt = time.UnixMicro(f.SentAt)
	}
	return out
}

// account counts a frame that can be delivered now.
func (p *Playback) account(now time.Time, f multicast.Frame) {
	if p.first.IsZero() {
		p.first = now
	}
	p.messages++
	p.payload += uint64(len(f.Data))
	switch {
	case f.SentAt == 0:
	case f.SentAt < p.started.UnixMicro() || p.core.Behind():
		p.catchUp++
	default:
		p.delay.add(time.Duration(now.UnixMicro()-f.SentAt) * time.Microsecond)
	}
}

func (p *Playback) notify() {
	select {
	case p.arrived <- struct{}{}:
	default:
	}
}

// next waits for a frame. The error is io.EOF when the stream has ended.
func (p *Playback) next(ctx context.Context) (Frame, error) {
	for {
		p.mu.Lock()
		if len(p.queue) > 0 && !p.paused {
			f := p.queue[0]
			p.queue[0] = Frame{}
			p.queue = p.queue[1:]
			p.bytes -= len(f.Data)
			wake := p.full && len(p.queue) <= queueFrames/2
			p.mu.Unlock()
			if wake {
				p.group.node.driver.Wake()
			}
			return f, nil
		}
		err, paused := p.err, p.paused && len(p.queue) > 0
		p.mu.Unlock()
		if err != nil && !paused {
			return Frame{}, err
		}
		select {
		case <-p.arrived:
		case <-ctx.Done():
			return Frame{}, ctx.Err()
		}
	}
}

// Frames returns the stream's messages as they can be delivered, in order. It
// ends without an error when the publisher ends the stream, and with one when
// ctx or the playback ends.
func (p *Playback) Frames(ctx context.Context) iter.Seq2[Frame, error] {
	return func(yield func(Frame, error) bool) {
		for {
			f, err := p.next(ctx)
			if err == io.EOF {
				return
			}
			if err != nil {
				yield(Frame{}, fmt.Errorf("play %q: %w", p.name, err))
				return
			}
			if !yield(f, nil) {
				return
			}
		}
	}
}

// Read reads the messages' bytes, one after the other. It returns io.EOF when
// the publisher ends the stream. What was lost is left out silently; Frames
// tells.
func (p *Playback) Read(b []byte) (int, error) {
	for len(p.rest) == 0 {
		f, err := p.next(context.Background())
		if err != nil {
			return 0, err
		}
		p.rest = f.Data
	}
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

// Pause stops the frames until Resume. What the node can't keep for so long is had of members
// that hold it when playing goes on; what nobody does is lost, and the next frame tells of it. To
// read nothing for a while does without that: then frames are lost once they have left
// the window of the node.
func (p *Playback) Pause() { p.setPaused(true) }

// Resume ends a pause.
func (p *Playback) Resume() { p.setPaused(false) }

func (p *Playback) setPaused(paused bool) {
	_ = p.group.node.do(func(now clock.Time) {
		p.mu.Lock()
		p.paused = paused
		p.mu.Unlock()
		if paused {
			p.core.Pause(now)
		} else {
			p.core.Resume(now)
		}
		p.notify()
	})
}

// Seek goes on with what was published so long ago by the publisher's clock, from the key
// frame at that moment or before it; 0 is the live stream. It returns how far back that
// is in fact, once members have told what they hold: less than back if none holds what is so
// old. Frames that were not read yet are dropped, and the next one has Seek set. The error is
// that of ctx, with which only the waiting ends, or of a playback that has ended.
func (p *Playback) Seek(ctx context.Context, back time.Duration) (time.Duration, error) {
	found := make(chan struct{})
	var ended error
	err := p.group.node.do(func(now clock.Time) {
		p.mu.Lock()
		if ended = p.err; ended == nil {
			p.queue, p.bytes, p.full = nil, 0, false
			p.sought = found
		}
		p.mu.Unlock()
		if ended == nil {
			p.core.Seek(now, back)
		}
	})
	if err == nil {
		err = ended
	}
	if err == nil {
		select {
		case <-found:
		case <-p.done:
			err = ErrClosed
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	if err != nil {
		return 0, fmt.Errorf("seek in %q: %w", p.name, err)
	}
	back, _ = p.Sought()
	return back, nil
}

// Sought tells how far back playing began, by PlayOptions.Back or the latest Seek. ok is false while
// that is not known.
func (p *Playback) Sought() (back time.Duration, ok bool) {
	_ = p.group.node.do(func(clock.Time) { back, ok = p.core.Sought() })
	return back, ok
}

// finish ends the playback with err, unless it has ended already.
func (p *Playback) finish(err error) {
	p.mu.Lock()
	if p.err == nil {
		p.err = err
	}
	p.mu.Unlock()
	p.once.Do(func() { close(p.done) })
	p.notify()
}

// Done is closed when the stream has ended or the playback was closed. Frames
// that came before may still be read.
func (p *Playback) Done() <-chan struct{} { return p.done }

// Close stops playing.
func (p *Playback) Close() error {
	_ = p.group.node.do(func(now clock.Time) {
		g := p.group
		if i := slices.Index(g.playbacks, p); i >= 0 {
			g.playbacks = slices.Delete(g.playbacks, i, i+1)
			p.core.Close(now)
		}
	})
	p.finish(ErrClosed)
	return nil
}

// Stats returns the stream's figures at this node.
func (p *Playback) Stats() StreamStats {
	var s StreamStats
	_ = p.group.node.do(func(clock.Time) {
		s = streamStats(p.core.Stats())
		s.Name, s.Started, s.FirstFrame = p.name, p.started, p.first
		s.Messages, s.Bytes, s.CatchUp = p.messages, p.payload, p.catchUp
		s.Delay = p.delay.delay()
	})
	return s
}
