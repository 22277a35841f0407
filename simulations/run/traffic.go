package run

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"rtmfp/group"
	"rtmfp/internal/clock"
	"rtmfp/posting"
	"rtmfp/simulations/figure"
	"rtmfp/simulations/scenario"
)

// pattern is what messages of all kinds are cut out of. Where one is cut
// depends on its number, so that a piece of another one in its place shows.
type pattern []byte

const shifts = 251 // a prime, lest it goes with the number of fragments

func newPattern(size int) pattern {
	p := make(pattern, size+shifts)
	x := uint32(1)
	for i := range p {
		x = x*1664525 + 1013904223
		p[i] = byte(x >> 24)
	}
	return p
}

// fill writes a message with its number at the front.
func (p pattern) fill(b []byte, number uint64) {
	binary.BigEndian.PutUint64(b, number)
	copy(b[8:], p[number%shifts:])
}

// read returns the number of a message that should be as it was written.
func (p pattern) read(b []byte, size int) (number uint64, err error) {
	if len(b) != size {
		return 0, fmt.Errorf("a message has %d bytes, not %d as it was written", len(b), size)
	}
	number = binary.BigEndian.Uint64(b)
	at := number % shifts
	if !bytes.Equal(b[8:], p[at:int(at)+size-8]) {
		return 0, fmt.Errorf("message %d does not have the bytes that it was written with", number)
	}
	return number, nil
}

// traffic is what goes between members beside the stream.
type traffic struct {
	pattern pattern
	buf     []byte

	posts     []wrote
	postDelay figure.Histogram // µs
	postDups  uint64
	postFirst uint64
	attached  uint64 // trees that members are in, at all samples
	unfed     uint64 // and that they are not
}

// wrote is a post.
type wrote struct {
	by *member
	at clock.Time
}

func (t *traffic) init(s *scenario.Scenario) {
	if s.Posts != nil {
		size := int(s.Posts.Size)
		t.pattern, t.buf = newPattern(size), make([]byte, size)
	}
}

// beginTraffic begins it with what is measured.
func (r *run) beginTraffic() {
	if r.s.Posts != nil {
		r.again(float64(r.s.Posts.Rate), r.post)
	}
	if r.s.Routing != nil {
		r.again(float64(r.s.Routing.Rate), r.route)
	}
}

// again does something so many times a second until measuring ends.
func (r *run) again(rate float64, do func()) {
	pause := max(time.Duration(1e6/rate)*time.Microsecond, time.Microsecond)
	var step func()
	step = func() {
		if r.ended != 0 {
			return
		}
		do()
		r.net.After(pause, step)
	}
	step()
}

// draw returns a member that has been there for a while, nil if the one that
// was drawn has not.
func (r *run) draw() *member {
	m := r.living[r.rng.Uint64()%uint64(len(r.living))]
	if !m.joined || r.net.Now().Sub(m.born) < leastStay {
		return nil
	}
	return m
}

// post has a member write a post.
func (r *run) post() {
	m := r.draw()
	if m == nil {
		return
	}
	t := &r.traffic
	b := t.buf[:r.s.Posts.Size]
	t.pattern.fill(b, uint64(len(t.posts)))
	r.net.Do(m.node, func(now clock.Time) {
		if _, err := m.group.Posts().Post(now, b); err != nil {
			if !errors.Is(err, posting.ErrRate) {
				r.net.Fail(m.node, "post", err.Error())
			}
			return
		}
		t.posts = append(t.posts, wrote{m, r.net.Now()})
	})
}

// drain takes what has come to a member.
func (r *run) drain(m *member) {
	if r.s.Posts != nil {
		for p, ok := m.group.Posts().NextPost(); ok; p, ok = m.group.Posts().NextPost() {
			number, err := r.traffic.pattern.read(p.Data, int(r.s.Posts.Size))
			if err != nil {
				r.net.Fail(m.node, "bytes", "post: "+err.Error())
				return
			}
			r.posted(m, number, group.PeerID(p.Author))
		}
	}
}

// posted notes that a member has got a post.
func (r *run) posted(m *member, number uint64, author group.PeerID) {
	t := &r.traffic
	if number == uint64(len(t.posts)) {
		return // the author's own, from within the call
	}
	if number > uint64(len(t.posts)) || author != group.PeerID(t.posts[number].by.peer) {
		r.net.Fail(m.node, "post", "somebody else wrote it")
		return
	}
	if m.has(number) {
		r.net.Fail(m.node, "post", fmt.Sprintf("post %d came twice", number))
		return
	}
	m.posts[number/64] |= 1 << (number % 64)
	if at := t.posts[number].at; at >= m.born.Add(leastStay) && m != t.posts[number].by {
		r.one.Lock()
		t.postDelay.Add(uint64(m.node.Instant().Sub(at)/time.Microsecond), 1)
		r.one.Unlock()
	}
}

// has reports whether a member has got a post.
func (m *member) has(number uint64) bool {
	for uint64(len(m.posts)) <= number/64 {
		m.posts = append(m.posts, 0)
	}
	return m.posts[number/64]&(1<<(number%64)) != 0
}

// lookAtTrees counts the trees of posts that members are in and those that they
// are not.
func (r *run) lookAtTrees(now clock.Time) {
	if r.s.Posts == nil {
		return
	}
	t := &r.traffic
	for _, m := range r.living {
		if !m.joined || now.Sub(m.born) < leastStay {
			continue
		}
		st := m.group.Posts().Stats()
		for k := range st.Attached {
			if st.Attached[k] || st.Rooted[k] {
				t.attached++
			} else {
				t.unfed++
			}
		}
	}
}

// trafficFigures tells what came of it.
func (r *run) trafficFigures(res *Result) {
	t := &r.traffic
	if r.s.Posts != nil {
		due, lost := 0, 0
		fetched, payload, control := uint64(0), uint64(0), uint64(0)
		for _, m := range r.living {
			st := m.group.Posts().Stats()
			t.postDups += st.Duplicates
			t.postFirst += st.Received
			fetched += st.Fetched
			payload += st.PayloadOut
			control += st.ControlOut
			if r.ended.Sub(m.born) < leastStay {
				continue
			}
			for number, p := range t.posts {
				if p.by == m || p.by.gone {
					continue // with its author a post may be lost
				}
				due++
				if !m.has(uint64(number)) {
					lost++
				}
			}
		}
		res.set("post_lost_ratio", float64(lost)/float64(due))
		res.set("post_delay_mean_ms", t.postDelay.Mean()/1000)
		res.set("post_delay_p50_ms", t.postDelay.Quantile(0.5)/1000)
		res.set("post_delay_p99_ms", t.postDelay.Quantile(0.99)/1000)
		res.set("post_duplicates_ratio", float64(t.postDups)/float64(t.postFirst))
		res.set("post_fetched_ratio", float64(fetched)/float64(t.postFirst))
		res.set("post_control_ratio", float64(control)/float64(payload))
		res.set("post_unfed_ratio", float64(t.unfed)/float64(t.attached+t.unfed))
	}
}
