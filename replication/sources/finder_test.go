package sources

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"rtmfp/group"
	"rtmfp/group/records"
	"rtmfp/internal/clock"
	"rtmfp/replication"
	"rtmfp/ring"
)

// world is a group of which only one member is real, on virtual time.
type world struct {
	t       *testing.T
	now     clock.Time
	f       *Finder
	objects *replication.Service
	linked  map[group.PeerID]bool
	pins    map[group.PeerID]bool
	room    int // pins that the group takes
	members int

	owners map[ring.Addr][]group.PeerID // of records
	last   records.RequestID
	open   []records.Result
	puts   []ring.Addr
	gets   int
	fail   error // of what is asked
}

func newWorld(t *testing.T, cfg Config) *world {
	w := &world{t: t, linked: map[group.PeerID]bool{{9}: true}, pins: map[group.PeerID]bool{}, room: 8,
		members: 100, owners: map[ring.Addr][]group.PeerID{}}
	cfg.Rand, cfg.Self = rand.New(rand.NewPCG(1, 2)), group.PeerID{1}
	w.f = New(cfg, w, w)
	w.objects = replication.New(replication.Config{Rand: cfg.Rand}, nil)
	return w
}

func (w *world) Pin(_ clock.Time, p group.PeerID, _ time.Duration) bool {
	if !w.pins[p] && len(w.pins) >= w.room {
		return false
	}
	w.pins[p] = true
	return true
}
func (w *world) Unpin(_ clock.Time, p group.PeerID) { delete(w.pins, p) }
func (w *world) Linked(p group.PeerID) bool         { return w.linked[p] }
func (w *world) NeighborCount() int                 { return len(w.linked) }
func (w *world) Estimate() int                      { return w.members }

func (w *world) Put(now clock.Time, key ring.Addr, value []byte, sequence uint64, d time.Duration) (records.RequestID, error) {
	if len(value) != 0 || sequence != 0 || d != ttl {
		w.t.Errorf("put %d bytes, sequence %d, for %v", len(value), sequence, d)
	}
	w.puts = append(w.puts, key)
	w.last++
	w.open = append(w.open, records.Result{ID: w.last, Err: w.fail})
	return w.last, nil
}

func (w *world) Get(now clock.Time, key ring.Addr, owner *group.PeerID) (records.RequestID, error) {
	w.gets++
	w.last++
	r := records.Result{ID: w.last, Err: w.fail}
	for _, p := range w.owners[key] {
		r.Records = append(r.Records, &records.Record{Key: key, Owner: p})
	}
	w.open = append(w.open, r)
	return w.last, nil
}

// run lets time go on; what was asked of the records is answered at once.
func (w *world) run(d time.Duration) {
	for end := w.now.Add(d); ; {
		w.f.Advance(w.now)
		for len(w.open) > 0 {
			r := w.open[0]
			w.open = w.open[1:]
			if !w.f.Result(w.now, r) {
				w.t.Errorf("result %d is nobody's", r.ID)
			}
		}
		next := w.f.Deadline()
		if next > end {
			w.now = end
			return
		}
		w.now = max(next, w.now)
	}
}

func (w *world) file(no byte, have, want uint64) *replication.Collection {
	w.t.Helper()
	c, err := w.objects.Open(w.now, replication.CollectionID{no}, replication.RarestFirst)
	if err != nil {
		w.t.Fatal(err)
	}
	if have > 0 {
		_ = c.AddHave(w.now, replication.Range{Start: 0, End: have})
	}
	w.f.Open(w.now, c)
	if want > 0 {
		_ = c.AddWant(w.now, replication.Range{Start: have, End: have + want})
		w.f.Changed(w.now, c)
	}
	return c
}

func peers(n int) (list []group.PeerID) {
	for i := range n {
		list = append(list, group.PeerID{100, byte(i)})
	}
	return list
}

// What is here is announced, and again before that has run out; what is not
// here, or too much, is not.
func TestAnnounce(t *testing.T) {
	w := newWorld(t, Config{MaxAnnounced: 3})
	w.file(1, 5, 0)
	w.file(2, 0, 0)
	c := w.file(3, 5, 0)
	w.file(4, 5, 0)
	w.run(5 * time.Second)
	if want := []ring.Addr{KeyOf(replication.CollectionID{1}), KeyOf(replication.CollectionID{3})}; len(w.puts) != 2 ||
		!slices.Contains(w.puts, want[0]) || !slices.Contains(w.puts, want[1]) {
		t.Errorf("announced %v", w.puts)
	}
	w.run(ttl - 10*time.Second)
	if n := len(w.puts); n != 4 && n != 6 {
		t.Errorf("%d announcements in half an hour, want two or three of each", n)
	}
	w.f.Close(w.now, c)
	before := len(w.puts)
	w.run(ttl)
	if n := len(w.puts) - before; n < 4 || n > 6 || w.f.Stats().NotAnnounced == 0 {
		t.Errorf("%d more, of the one and of the fourth, which has room now; %+v", n, w.f.Stats())
	}
}

// An announcement that fails is made again, less and less often.
func TestAnnounceFails(t *testing.T) {
	w := newWorld(t, Config{})
	w.fail = records.ErrRefused
	w.file(1, 5, 0)
	w.run(10 * time.Minute)
	if n := len(w.puts); n < 5 || n > 9 {
		t.Errorf("%d tries in ten minutes", n)
	}
	w.fail = records.ErrStale // it is there already
	w.run(announceMost * 5 / 4)
	before := len(w.puts)
	w.run(5 * time.Minute)
	if len(w.puts) != before || w.f.Stats().Announced != 1 {
		t.Errorf("%d more, %+v", len(w.puts)-before, w.f.Stats())
	}
}

// Where nobody has a file, others are asked for, a few at a time; those that
// can't be reached give way to the next.
func TestSeek(t *testing.T) {
	w := newWorld(t, Config{})
	list := peers(10)
	w.owners[KeyOf(replication.CollectionID{1})] = append(slices.Clone(list), group.PeerID{1}, group.PeerID{9})
	c := w.file(1, 0, 50)
	w.run(500 * time.Millisecond)
	if w.gets != 0 {
		t.Error("sought before neighbors could have answered")
	}
	w.run(3 * time.Second)
	if len(w.pins) != perFile || w.pins[group.PeerID{1}] || w.pins[group.PeerID{9}] {
		t.Fatalf("pinned %v", w.pins)
	}
	first := fmt.Sprint(w.pins)
	var good group.PeerID
	for p := range w.pins {
		good = p
	}
	w.linked[good] = true
	w.run(linkTime + seekAgain)
	if fmt.Sprint(w.pins) == first || !w.pins[good] || len(w.pins) != perFile {
		t.Errorf("pinned %v, then %v; want %v kept", first, w.pins, good)
	}
	w.run(5 * time.Minute) // only one is linked: all others are tried, over and over
	if w.gets > 40 {
		t.Errorf("the records were read %d times", w.gets)
	}
	w.f.Close(w.now, c)
	if len(w.pins) != 0 {
		t.Errorf("pins %v of a file that is closed", w.pins)
	}
}

// Nobody is sought where everybody is a neighbor, and seldom if nothing is
// found; a file that is complete is not sought at all.
func TestSeekLittle(t *testing.T) {
	w := newWorld(t, Config{})
	w.members = 2
	c := w.file(1, 5, 50)
	w.run(time.Minute)
	if w.gets+len(w.puts) != 0 {
		t.Errorf("%d reads and %d announcements among neighbors only", w.gets, len(w.puts))
	}
	w.members = 100
	w.fail = errors.New("nobody answers")
	w.run(10 * time.Minute)
	if w.gets < 8 || w.gets > 20 {
		t.Errorf("%d reads in ten minutes", w.gets)
	}
	before := w.gets
	_ = c.AddHave(w.now, replication.Range{Start: 5, End: 55})
	w.f.Changed(w.now, c)
	w.run(10 * time.Minute)
	if w.gets != before {
		t.Errorf("%d reads for a file that is complete", w.gets-before)
	}
	if w.f.Result(w.now, records.Result{ID: 1000}) {
		t.Error("took the result of somebody else")
	}
}

// Two files of one member share its link.
func TestSharedPin(t *testing.T) {
	w := newWorld(t, Config{})
	p := peers(1)
	a, b := w.file(1, 0, 5), w.file(2, 0, 5)
	w.owners[KeyOf(a.ID())], w.owners[KeyOf(b.ID())] = p, p
	w.run(3 * time.Second)
	w.linked[p[0]] = true
	w.f.Close(w.now, a)
	if !w.pins[p[0]] {
		t.Error("the link was given up with the first file")
	}
	w.f.Close(w.now, b)
	if w.pins[p[0]] {
		t.Error("the link was kept")
	}
}
