package node

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"rtmfp/group"
	"rtmfp/internal/clock"
	"rtmfp/posting"
)

// PostID names a post: the SHA-256 of what its author signed.
type PostID = posting.ID

// MaxPost is the largest post in bytes.
const MaxPost = posting.MaxData

// Post is a message to all members of a group, signed by its author.
type Post struct {
	ID     PostID
	Author PeerID
	Number uint64    // counts the posts of this membership of the author, from 1
	Time   time.Time // by the author's clock
	Data   []byte    // the reader may keep it, and must not change it
	Old    bool      // fetched from the history, not as it was posted
	Missed int       // posts lost before this one because the reader was too slow
}

// PostsOptions say which posts are read, and how. The zero options are for
// those from now on, as they come.
type PostsOptions struct {
	// Since asks for the posts of that long ago, too, as far as members still
	// keep them: ten minutes, and 4 MiB, at most.
	Since time.Duration

	// InOrder gives each author's posts in the order in which they were posted.
	// One that is late holds up the later ones of its author, for three
	// seconds at most.
	InOrder bool
}

// Errors of Post.
var (
	// ErrNoPosting says that the groupspec does not permit posts, or that the
	// posting password in it is missing or wrong.
	ErrNoPosting = errors.New("the groupspec does not permit it; it lacks posting, the posting password, or a grant")
	// ErrEvicted says that this node was evicted from the group.
	ErrEvicted = group.ErrEvicted
	// ErrPostTooLarge says that a post is larger than MaxPost.
	ErrPostTooLarge = posting.ErrTooLarge
	// ErrPostRate says that this node posts more than members pass on.
	ErrPostRate = posting.ErrRate
	// ErrNoSigningKey says that the node's identity is of an old kind that
	// can't sign.
	ErrNoSigningKey = posting.ErrNoKey
)

// Post sends a message of 1 to MaxPost bytes to all members. It returns when
// the message is on its way, and waits for a while if this node has posted
// more than its share: ten a second over time, sixty at once, 64 KiB a second.
func (g *Group) Post(ctx context.Context, data []byte) (PostID, error) {
	for {
		id, err := g.post(ctx, data)
		if !errors.Is(err, ErrPostRate) {
			return id, err
		}
		select {
		case <-ctx.Done():
			return id, err
		case <-time.After(postRetry):
		}
	}
}

// postRetry is the time after which a post is tried again that was too many.
const postRetry = 50 * time.Millisecond

func (g *Group) post(ctx context.Context, data []byte) (id PostID, err error) {
	if err := ctx.Err(); err != nil {
		return id, fmt.Errorf("post: %w", err)
	}
	if !g.spec.MayPost() {
		return id, fmt.Errorf("post: %w", ErrNoPosting)
	}
	if derr := g.node.do(func(now clock.Time) {
		if g.isDone() {
			err = ErrClosed
			return
		}
		if _, err = g.spec.OwnGrant(group.RightPost, group.PeerID(g.node.ID()), g.node.core.wall(now)); err != nil {
			err = fmt.Errorf("%w: %w", ErrNoPosting, err)
			return
		}
		var p *posting.Post
		if p, err = g.core.posts.Post(now, data); err == nil {
			id = p.ID
		}
	}); derr != nil {
		err = derr
	}
	if err != nil {
		return id, fmt.Errorf("post: %w", err)
	}
	return id, nil
}

// Posts returns the group's posts, this node's own included, from the call on
// until ctx ends or the group is left; either ends it with an error. A reader
// that is too slow loses posts, and the next one says how many.
func (g *Group) Posts(ctx context.Context, options ...PostsOptions) iter.Seq2[Post, error] {
	var o PostsOptions
	if len(options) > 0 {
		o = options[0]
	}
	r := &postReader{group: g, began: time.Now(), inOrder: o.InOrder, arrived: make(chan struct{}, 1)}
	r.from = r.began.Add(-o.Since).UnixMilli()
	if err := r.open(o.Since > 0); err != nil {
		return func(yield func(Post, error) bool) { yield(Post{}, fmt.Errorf("posts: %w", err)) }
	}
	stop := context.AfterFunc(ctx, r.close)
	return func(yield func(Post, error) bool) {
		defer r.close()
		defer stop()
		for {
			p, err := r.next(ctx)
			if err != nil {
				yield(Post{}, fmt.Errorf("posts: %w", err))
				return
			}
			if !yield(p, nil) {
				return
			}
		}
	}
}

// postReader is somebody who reads the posts of a group.
type postReader struct {
	group   *Group
	began   time.Time
	from    int64 // older ones from the history are left out
	inOrder bool
	order   posting.Order // the reader's own

	mu      sync.Mutex
	queue   []*posting.Post
	bytes   int
	missed  int
	err     error
	arrived chan struct{} // a token: look at the queue
}

// A reader's queue holds at most this much; what it can't take is lost to it.
const (
	postQueue      = 20000
	postQueueBytes = 16 << 20
)

// open has the reader given posts, those that are here already first.
func (r *postReader) open(history bool) error {
	g := r.group
	if !g.spec.Posting {
		return errors.New("the groupspec does not permit posting")
	}
	err := g.node.do(func(clock.Time) {
		if g.isDone() {
			r.err = ErrClosed
			return
		}
		if history {
			for _, p := range g.core.posts.History(r.from) {
				r.add(p)
			}
		}
		g.core.posts.Listen(true)
		g.readers = append(g.readers, r)
	})
	return err
}

// add gives the reader a post. The loop calls it.
func (r *postReader) add(p *posting.Post) {
	if p.Old && p.UnixMilli < r.from {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return
	}
	if len(r.queue) >= postQueue || r.bytes+len(p.Data) > postQueueBytes {
		r.missed++
		return
	}
	r.queue = append(r.queue, p)
	r.bytes += len(p.Data)
	r.notify()
}

func (r *postReader) notify() {
	select {
	case r.arrived <- struct{}{}:
	default:
	}
}

// take returns what has come since the last call.
func (r *postReader) take() (list []*posting.Post, missed int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.queue) == 0 {
		return nil, 0, r.err
	}
	if r.inOrder {
		list, r.queue, r.bytes = r.queue, nil, 0
	} else {
		list = []*posting.Post{r.queue[0]}
		r.queue[0] = nil
		r.queue = r.queue[1:]
		r.bytes -= len(list[0].Data)
	}
	missed, r.missed = r.missed, 0
	return list, missed, nil
}

// next waits for a post.
func (r *postReader) next(ctx context.Context) (Post, error) {
	missed := 0
	for {
		now := clock.Time(time.Since(r.began))
		if p, ok := r.order.Next(now); ok {
			return postOf(p, missed), nil
		}
		list, lost, err := r.take()
		missed += lost
		switch {
		case err != nil:
			return Post{}, err
		case len(list) > 0 && !r.inOrder:
			return postOf(list[0], missed), nil
		case len(list) > 0:
			for _, p := range list {
				r.order.Add(now, p)
			}
			continue
		}
		if err := r.wait(ctx, r.order.Deadline().Sub(now)); err != nil {
			return Post{}, err
		}
	}
}

func (r *postReader) wait(ctx context.Context, most time.Duration) error {
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-r.arrived:
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// close ends the reader's interest.
func (r *postReader) close() {
	_ = r.group.node.do(func(clock.Time) {
		g := r.group
		if i := slices.Index(g.readers, r); i >= 0 {
			g.readers = slices.Delete(g.readers, i, i+1)
			if len(g.readers) == 0 {
				g.core.posts.Listen(false)
			}
		}
	})
}

// finish ends the reader with an error.
func (r *postReader) finish(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		r.err = err
	}
	r.notify()
}

// deliverPosts moves posts from the core to those who read them.
func (g *Group) deliverPosts() {
	if g.core.posts == nil {
		return
	}
	for p, ok := g.core.posts.NextPost(); ok; p, ok = g.core.posts.NextPost() {
		for _, r := range g.readers {
			r.add(p)
		}
	}
}

func postOf(p *posting.Post, missed int) Post {
	return Post{
		ID: p.ID, Author: PeerID(p.Author), Number: p.Number, Time: time.UnixMilli(p.UnixMilli),
		Data: p.Data, Old: p.Old, Missed: missed,
	}
}

// PostStats is a snapshot of a group's figures about posts at this node.
type PostStats struct {
	Neighbors  int    // members that this node exchanges posts with
	Posted     uint64 // by this node
	Received   uint64 // first copies of the posts of others
	Fetched    uint64 // of these: asked for, because the push missed them
	Duplicates uint64 // further copies
	Refused    uint64 // posts that were forged, stale, not permitted, or too many
	Kept       int    // posts in the history
	KeptBytes  int
	Missing    int // posts known of that are being fetched
	Synced     int // neighbors whose history has been compared with ours

	BytesIn, BytesOut               uint64 // posts
	ControlBytesIn, ControlBytesOut uint64 // all that is said about them
}

// PostStats returns the group's figures about posts, zero if it carries none.
func (g *Group) PostStats() PostStats {
	var p PostStats
	_ = g.node.do(func(clock.Time) {
		if g.core.posts == nil {
			return
		}
		s := g.core.posts.Stats()
		r := s.Refused
		p = PostStats{
			Neighbors: s.NeighborCount, Posted: s.Posted, Received: s.Received, Fetched: s.Fetched, Duplicates: s.Duplicates,
			Refused: r.BadSignature + r.Malformed + r.Unauthorized + r.Rate + r.Old + r.Future + r.Conflict + r.Full,
			Kept:    s.Kept, KeptBytes: s.KeptBytes, Missing: s.Missing, Synced: s.Synced,
			BytesIn: s.PayloadIn, BytesOut: s.PayloadOut, ControlBytesIn: s.ControlIn, ControlBytesOut: s.ControlOut,
		}
	})
	return p
}
