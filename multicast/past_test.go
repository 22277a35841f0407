package multicast

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"
	"unsafe"

	"rtmfp/internal/clock"
)

// fakeDisk is a Disk in memory.
type fakeDisk struct {
	t      *testing.T
	data   []byte
	room   int  // extents; less than 0: any number
	broken bool // fails whatever is asked of it
	closed bool
}

func (d *fakeDisk) Grow() bool {
	if d.broken || len(d.data)/ExtentSize == d.room {
		return false
	}
	d.data = append(d.data, make([]byte, ExtentSize)...)
	return true
}

func (d *fakeDisk) check(b []byte, off int64) bool {
	if len(b) == 0 || off < 0 || off+int64(len(b)) > int64(len(d.data)) || off/ExtentSize != (off+int64(len(b))-1)/ExtentSize {
		d.t.Errorf("%d bytes at %d, of %d", len(b), off, len(d.data))
		return false
	}
	return !d.broken && !d.closed
}

func (d *fakeDisk) ReadAt(b []byte, off int64) bool {
	ok := d.check(b, off)
	if ok {
		copy(b, d.data[off:])
	}
	return ok
}

func (d *fakeDisk) WriteAt(b []byte, off int64) bool {
	ok := d.check(b, off)
	if ok {
		copy(d.data[off:], b)
	}
	return ok
}

func (d *fakeDisk) Close() { d.closed = true }

// The past behaves as a plain map of which the oldest goes, whether by time, by the bound of bytes, or because
// the disk is full.
func TestPastAgainstModel(t *testing.T) {
	for seed := range uint64(9) {
		rng := rand.New(rand.NewPCG(seed, 5))
		disk := &fakeDisk{t: t, room: -1}
		limit := int64(64 * ExtentSize)
		switch seed % 3 {
		case 1:
			disk.room = 3
		case 2:
			limit = 4 * ExtentSize
		}
		p := newPast(&stream{}, disk, limit)
		keep := clock.Time(3000) // instants
		if seed%3 > 0 {
			keep = 9000
		}
		model := map[uint64][]byte{}
		at := map[uint64]clock.Time{}
		var added []uint64
		next := uint64(1 + rng.IntN(5000))
		for i := range 12000 {
			now := clock.Time(i)
			id := next
			switch r := rng.IntN(100); {
			case r < 90:
				next++
			case r < 98:
				id = next - min(next-1, uint64(rng.IntN(300))+1)
			default:
				next += uint64(rng.IntN(5000))
				id = next
				next++
			}
			size := rng.IntN(1000)
			if rng.IntN(50) == 0 {
				size = rng.IntN(maxFragment - 20)
			}
			msg := make([]byte, size)
			for i := range msg {
				msg[i] = byte(rng.Uint32())
			}
			msg = appendFragment(nil, fragment{id: max(id, 1), start: true, payload: msg})
			before := p.place(id)
			p.add(now, id, msg)
			if before == 0 {
				model[id], at[id] = msg, now
				added = append(added, id)
			}
			if i%10 == 9 {
				p.evict(now - keep)
				p.save()
				// What is gone is the oldest, and no more than has to go.
				for len(added) > 0 && !p.has(added[0]) {
					delete(model, added[0])
					added = added[1:]
				}
				for k := 0; k < 20 && len(added) > 0; k++ {
					id := added[rng.IntN(len(added))]
					if got := p.get(id); !bytes.Equal(got, model[id]) {
						t.Fatalf("seed %d, turn %d: %d is not as it was added: %d bytes, %d", seed, i, id, len(got), len(model[id]))
					}
				}
				size := int64(0)
				low, top := ^uint64(0), uint64(0)
				for id, msg := range model {
					size += int64(len(msg))
					low, top = min(low, id), max(top, id)
				}
				if p.count != len(model) || p.bytes != size || p.low != low || p.top != top {
					t.Fatalf("seed %d, turn %d: %d of %d bytes from %d to %d, model %d of %d from %d to %d",
						seed, i, p.count, p.bytes, p.low, p.top, len(model), size, low, top)
				}
				if oldest := at[added[0]]; seed%3 == 0 && now > 2*keep && (now-oldest < keep || now-oldest > 2*keep) {
					t.Fatalf("seed %d, turn %d: the oldest came %d ago", seed, i, now-oldest)
				}
			}
		}
		if p.broken || len(disk.data) > int(limit) {
			t.Errorf("seed %d: broken %v, %d bytes of %d", seed, p.broken, len(disk.data), limit)
		}
		if full := p.st.stats.PastFull > 0; full != (seed%3 == 1) || p.st.stats.PastDropped > 0 {
			t.Errorf("seed %d: full %d times, %d dropped", seed, p.st.stats.PastFull, p.st.stats.PastDropped)
		}
		if seed%3 != 0 && p.bytes < 2*ExtentSize*9/10 {
			t.Errorf("seed %d: %d bytes are held", seed, p.bytes)
		}
	}
}

// An id far ahead has the past begin anew rather than take memory for all between.
func TestPastFarAhead(t *testing.T) {
	p := newPast(&stream{}, &fakeDisk{t: t, room: -1}, 8*ExtentSize)
	for _, id := range []uint64{5, 6, 7, 1 << 40, 1<<40 + pastIDs*maxChunks/2, 1 << 61, 9} {
		p.add(1, id, appendFragment(nil, fragment{id: id}))
		p.save()
		if len(p.chunks) > maxChunks {
			t.Fatalf("after %d: %d chunks", id, len(p.chunks))
		}
		if id == 9 {
			break
		}
		if f, ok := consumeFragment(p.get(id)); !ok || f.id != id || p.top != id {
			t.Fatalf("%d is not there: %v", id, f)
		}
	}
	if p.count != 1 || p.has(9) || p.has(1<<40) {
		t.Errorf("%d are held from %d to %d", p.count, p.low, p.top)
	}
}

// sinkDisk takes everything, and gives nothing back.
type sinkDisk struct{}

func (sinkDisk) Grow() bool                 { return true }
func (sinkDisk) ReadAt([]byte, int64) bool  { return false }
func (sinkDisk) WriteAt([]byte, int64) bool { return true }
func (sinkDisk) Close()                     {}

// In memory the past takes little more than four bytes for each fragment.
func TestPastOverhead(t *testing.T) {
	st := &stream{}
	st.keyed = true
	p := newPast(st, sinkDisk{}, maxPastBytes)
	const fragments = 100_000
	msg := make([]byte, 0, 1000)
	for id := uint64(1); id <= fragments; id++ {
		payload := make([]byte, ownHeadSize+940)
		if id%500 == 0 {
			payload[0] = ownKey
		}
		binary.BigEndian.PutUint64(payload[1:], id*4000)
		msg = appendFragment(msg[:0], fragment{id: id, start: true, typ: TypeOwn, payload: payload})
		p.add(clock.Time(id), id, msg)
		if id%26 == 0 {
			p.save()
		}
	}
	size := 8*cap(p.chunks) + cap(p.unsaved) + 16*cap(p.starts) + int(unsafe.Sizeof(extent{}))*cap(p.extents)
	for _, c := range p.chunks {
		if c != nil {
			size += 4 * pastIDs
		}
	}
	disk := int64(p.grown) * ExtentSize
	if p.count != fragments || len(p.starts) != fragments/500 || size > fragments*9/2 || disk-p.bytes > disk/30 {
		t.Errorf("%d fragments of %d bytes take %d bytes of memory and %d of the disk, %d starts", p.count, p.bytes, size, disk, len(p.starts))
	}
	t.Logf("%d fragments of %d bytes take %d bytes of memory and %d of the disk", p.count, p.bytes, size, disk)
}

// diskWorld is pastWorld with a keeper that has a disk, of which all but it know the last seconds only.
func diskWorld(t *testing.T, seed uint64, signed bool) (w *network, src *source, keeper *testNode, disk *fakeDisk) {
	w, src = pastWorld(t, seed, signed, 3)
	disk = &fakeDisk{t: t, room: -1}
	cfg := Config{RelayAll: true, KeepWindow: 40 * time.Second, OpenPast: func(string) Disk { return disk }}
	if signed {
		keeper = w.addSigning(cfg)
	} else {
		keeper = w.add(cfg, true)
	}
	w.mesh(keeper)
	w.run(45 * time.Second)
	return w, src, keeper, disk
}

func (w *network) viewer(t *testing.T, signed bool, back time.Duration) *testNode {
	n := w.add(Config{}, true)
	if signed {
		n = w.addSigning(Config{})
	}
	sub, err := n.svc.Play(w.now, "cam", PlayConfig{Back: back})
	if err != nil {
		t.Fatal(err)
	}
	n.sub = sub
	w.mesh(n)
	return n
}

// A viewer that goes back farther than any other member keeps has it from the disk of one, up to the live
// stream, and the keeper reads it from there itself. What is live stays in memory, and short.
func TestPastFromDisk(t *testing.T) {
	for _, signed := range []bool{false, true} {
		w, src, keeper, disk := diskWorld(t, 21, signed)
		st := keeper.svc.streams[0]
		if held := w.now.Sub(0) - 34*time.Second; st.win.bytes > 13*100*1000 || st.past.bytes < int64(held/time.Second)*93_000/2 {
			t.Errorf("%d bytes in memory, %d on disk", st.win.bytes, st.past.bytes)
		}
		if n := len(disk.data); n > 6*ExtentSize {
			t.Errorf("the disk has %d bytes", n)
		}
		asked := w.now
		n := w.viewer(t, signed, 30*time.Second)
		w.run(15 * time.Second)
		if len(n.frames) < 4000 {
			t.Fatalf("signed %v: %d frames", signed, len(n.frames))
		}
		unbroken(t, n, n.frames)
		if old := asked.Sub(0) - time.Duration(n.frames[0].SentAt)*1000; old < 29900*time.Millisecond || old > 31500*time.Millisecond {
			t.Errorf("it begins %v back", old)
		}
		if n.sub.Behind() {
			t.Error("it has not caught up")
		}
		if got := st.snapshot(); got.RecalledByPeers < 1000 || got.Past == 0 || got.PastFailed+got.PastFull+got.PastDropped > 0 {
			t.Errorf("the keeper: %+v", got.StreamCounts)
		}
		if got := src.node.svc.Streams()[0].RecalledByPeers; got != 0 {
			t.Errorf("the publisher was asked for %d fragments of the past", got)
		}

		keeper.play("cam")
		w.run(time.Second)
		keeper.frames = nil
		keeper.sub.Seek(w.now, 30*time.Second)
		keeper.turn()
		w.run(time.Second)
		if len(keeper.frames) < 3000 {
			t.Fatalf("signed %v: the keeper has %d frames", signed, len(keeper.frames))
		}
		unbroken(t, keeper, keeper.frames)
		if st.stats.Recalled > 0 {
			t.Errorf("the keeper asked others for %d fragments", st.stats.Recalled)
		}
		keeper.sub.Close(w.now)
		src.stopped = true
		src.pub.Close(w.now)
		src.node.turn()
		w.run(20 * time.Second)
		if !disk.closed || st.past != nil {
			t.Error("the disk is not given back when the stream has gone")
		}
	}
}

// Farther back than anybody keeps playing begins with the oldest on the disk, and who is given it can go on.
func TestSeekBeyondTheDisk(t *testing.T) {
	w, _, _, _ := diskWorld(t, 22, true)
	n := w.viewer(t, true, time.Hour)
	w.run(15 * time.Second)
	if back, ok := n.sub.Sought(); !ok || back < 37*time.Second || back > 52*time.Second || len(n.frames) < 4000 {
		t.Fatalf("went back %v (%v), %d frames", back, ok, len(n.frames))
	}
	unbroken(t, n, n.frames)
}

// What a disk gives back is not passed on if it is not what was written there: the keeper gives the disk up,
// nobody cuts it off, and the stream goes on.
func TestPastDamaged(t *testing.T) {
	for _, unreadable := range []bool{false, true} {
		w, _, keeper, disk := diskWorld(t, 23, true)
		if unreadable {
			disk.broken = true
		} else {
			for i := 500; i < len(disk.data); i += 5000 {
				disk.data[i] ^= 4
			}
		}
		n := w.viewer(t, true, 30*time.Second)
		w.run(10 * time.Second)
		st := keeper.svc.streams[0]
		if !disk.closed || st.past != nil || st.stats.PastFailed != 1 {
			t.Errorf("unreadable %v: the disk is not given up, %d failures", unreadable, st.stats.PastFailed)
		}
		for _, m := range w.nodes {
			if c := m.svc.Counters(); c.Altered+c.Forged+c.Bans > 0 {
				t.Errorf("unreadable %v: node %d cut somebody off", unreadable, m.no)
			}
		}
		if len(n.frames) < 1000 {
			t.Fatalf("unreadable %v: %d frames", unreadable, len(n.frames))
		}
		w.run(10 * time.Second)
		if last := n.frames[len(n.frames)-1]; w.now.Sub(last.at) > time.Second {
			t.Errorf("unreadable %v: the stream has stopped", unreadable)
		}
		if st.win.bytes < 18*93_000 {
			t.Errorf("unreadable %v: %d bytes are kept in memory", unreadable, st.win.bytes)
		}
	}
}

// Without a disk for it a stream is kept in memory.
func TestNoDiskForStream(t *testing.T) {
	w := newNetwork(t, 24)
	pub := w.add(Config{KeepWindow: time.Minute, OpenPast: func(string) Disk { return nil }}, true)
	w.publish(pub, "cam", StreamConfig{}, 500, 10*time.Millisecond, 100)
	w.run(25 * time.Second)
	if st := pub.svc.streams[0]; st.past != nil || st.win.count < 2400 {
		t.Errorf("%d fragments are held", st.win.count)
	}
}
