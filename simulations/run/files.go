package run

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"time"

	"rtmfp/internal/clock"
	"rtmfp/replication"
	"rtmfp/replication/content"
	"rtmfp/simulations/figure"
	"rtmfp/simulations/scenario"
)

// files is what members copy of each other. Blocks are as large as in
// production, and cut out of one pattern; nobody stores them.
type files struct {
	pattern pattern
	blocks  uint64 // of a file
	last    int    // bytes of the last one
	ids     []replication.CollectionID

	took figure.Histogram // ms, of those who have their file
	ends clock.Time       // when the last of them had it
}

// copying is a member's part in it.
type copying struct {
	file  int
	began clock.Time // 0: it holds the file from the beginning on
	done  clock.Time
	c     *replication.Collection
}

func (t *files) init(s *scenario.Scenario) {
	if s.Files == nil {
		return
	}
	t.pattern = newPattern(content.BlockSize)
	size := uint64(s.Files.Size)
	t.blocks = (size + content.BlockSize - 1) / content.BlockSize
	t.last = int(size - (t.blocks-1)*content.BlockSize)
	for i := range s.Files.Count {
		var id replication.CollectionID
		binary.BigEndian.PutUint64(id[:], uint64(i)+1)
		t.ids = append(t.ids, id)
	}
}

// block writes a block of a file to a buffer that has room for any.
func (t *files) block(buf []byte, file int, i uint64) []byte {
	size := content.BlockSize
	if i == t.blocks-1 {
		size = t.last
	}
	t.pattern.fill(buf, uint64(file)<<32|i)
	return buf[:size]
}

// hold gives a member all files.
func (r *run) hold(now clock.Time, m *member) {
	for i, id := range r.files.ids {
		c, err := m.group.OpenFile(now, id)
		if err == nil {
			err = c.AddHave(now, replication.Range{Start: 0, End: r.files.blocks})
		}
		if err != nil {
			r.net.Fail(m.node, "files", err.Error())
			return
		}
		m.copies = append(m.copies, &copying{file: i, c: c})
	}
}

// beginFiles has all who are there fetch a file each.
func (r *run) beginFiles() {
	if r.s.Files == nil {
		return
	}
	for i, m := range r.living {
		if m.role == bystander || m.role == viewer {
			after := time.Duration(r.s.Files.Over) / time.Duration(len(r.living)) * time.Duration(i)
			r.net.After(after, func() { r.fetch(m) })
		}
	}
}

// fetch has a member fetch a file that is drawn.
func (r *run) fetch(m *member) {
	if m.gone || m.evil || r.ended != 0 || !r.chance(r.s.Files.Share) {
		return
	}
	c := &copying{file: int(r.rng.Uint64() % uint64(len(r.files.ids))), began: r.net.Now()}
	m.copies = append(m.copies, c)
	r.net.Do(m.node, func(now clock.Time) {
		var err error
		if c.c, err = m.group.OpenFile(now, r.files.ids[c.file]); err == nil {
			err = c.c.AddWant(now, replication.Range{Start: 0, End: r.files.blocks})
		}
		if err != nil {
			r.net.Fail(m.node, "files", err.Error())
			return
		}
		m.group.FileChanged(now, c.c)
	})
}

// copy does what a node's own workers do: it answers its neighbors, and takes
// what has come.
func (r *run) copy(m *member) {
	if len(m.copies) == 0 {
		return
	}
	if m.block == nil {
		m.block = make([]byte, content.BlockSize)
	}
	now := m.node.Now()
	objects := m.group.Objects(now)
	for ev, ok := objects.NextEvent(); ok; ev, ok = objects.NextEvent() {
		switch ev.Kind {
		case replication.Requested:
			c := m.copyOf(ev.Collection)
			_ = objects.Answer(now, ev.Request, r.files.block(m.block, c.file, ev.Index)) // the neighbor may have gone
		case replication.Fetched:
			c := m.copyOf(ev.Collection)
			if !bytes.Equal(ev.Data, r.files.block(m.block, c.file, ev.Index)) {
				r.net.Fail(m.node, "bytes", fmt.Sprintf("block %d of file %d is not as it was sent", ev.Index, c.file))
				return
			}
			if c.c.Has(ev.Index) {
				r.net.Fail(m.node, "files", fmt.Sprintf("block %d of file %d was fetched twice", ev.Index, c.file))
				return
			}
			if err := c.c.AddHave(now, replication.Range{Start: ev.Index, End: ev.Index + 1}); err != nil {
				r.net.Fail(m.node, "files", err.Error())
				return
			}
			if c.c.Have() == r.files.blocks {
				m.group.FileChanged(now, c.c)
				r.copied(m, c)
			}
		}
	}
}

func (m *member) copyOf(c *replication.Collection) *copying {
	for _, have := range m.copies {
		if have.c == c {
			return have
		}
	}
	panic("BUG: run: an event of a file that is not open")
}

// copied notes that a member has its file.
func (r *run) copied(m *member, c *copying) {
	c.done = m.node.Instant()
	r.tell(m, "file_done", "file %d after %v", c.file, c.done.Sub(c.began))
	r.one.Lock()
	defer r.one.Unlock()
	r.files.took.Add(uint64(c.done.Sub(c.began)/time.Millisecond), 1)
	r.files.ends = max(r.files.ends, c.done)
}

// fileFigures tells what came of it.
func (r *run) fileFigures(res *Result) {
	if r.s.Files == nil {
		return
	}
	t := &r.files
	var began, done int
	var sum replication.Stats
	var held uint64
	for _, m := range r.living {
		for _, c := range m.copies {
			if c.began == 0 {
				continue
			}
			began++
			if c.done != 0 {
				done++
			}
		}
		objects := m.group.Objects(m.node.Now())
		if objects == nil {
			continue
		}
		st := objects.Stats()
		if m.role == holder {
			held += st.ObjectsOut
		}
		sum.Fetched += st.Fetched
		sum.Duplicates += st.Duplicates
		sum.ObjectsOut += st.ObjectsOut
		sum.ControlOut += st.ControlOut
	}
	size := float64(r.s.Files.Size)
	res.set("file_done_ratio", float64(done)/float64(began))
	res.set("file_time_p50_s", t.took.Quantile(0.5)/1000)
	res.set("file_time_p95_s", t.took.Quantile(0.95)/1000)
	if t.took.Count() > 0 {
		res.set("file_time_max_s", t.took.Max()/1000)
		res.set("file_rate_bit_per_s", size*8/(t.took.Mean()/1000))
	}
	res.set("file_holder_copies_ratio", float64(held)/(size*float64(len(t.ids))))
	res.set("file_duplicates_ratio", float64(sum.Duplicates)/float64(sum.Fetched))
	res.set("file_control_ratio", float64(sum.ControlOut)/float64(sum.ObjectsOut))
	if bound := r.fluidBound(); bound > 0 && done > 0 {
		res.set("file_bound_ratio", t.ends.Sub(r.began).Seconds()/bound)
	}
}

// fluidBound returns the time in which all members could have one file at the
// soonest, in seconds, if they are all there when it begins and nobody's speed
// is unlimited; 0 otherwise. (Kumar and Ross, 2006: the file has to leave its
// holders, come in at the slowest member, and go out as often as there are
// members with all uploads together.)
func (r *run) fluidBound() float64 {
	if len(r.files.ids) > 1 || r.s.Files.Over > 0 || r.s.Sessions.Distribution != "forever" || r.s.Files.Share < 1 {
		return 0
	}
	bits := float64(r.s.Files.Size) * 8
	var held, up, least float64
	n := 0
	for _, m := range r.living {
		if m.role == introducer || m.role == publisher {
			continue
		}
		if m.class < 0 || m.evil {
			return 0
		}
		c := &r.s.Classes[m.class]
		limit := float64(c.UploadLimit)
		if limit == 0 || c.Up > 0 && float64(c.Up) < limit {
			limit = float64(c.Up)
		}
		if limit == 0 {
			return 0
		}
		up += limit
		if m.role == holder {
			held += limit
			continue
		}
		n++
		if d := float64(c.Down); d > 0 && (least == 0 || d < least) {
			least = d
		}
	}
	if held == 0 {
		return 0
	}
	bound := max(bits/held, float64(n)*bits/up)
	if least > 0 {
		bound = max(bound, bits/least)
	}
	return bound
}
