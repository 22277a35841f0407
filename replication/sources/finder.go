package sources

import (
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"rtmfp/group"
	"rtmfp/group/records"
	"rtmfp/internal/clock"
	"rtmfp/replication"
	"rtmfp/ring"
)

// Records is what is needed of the group's records; a *records.Service has it.
type Records interface {
	Put(now clock.Time, key ring.Addr, value []byte, sequence uint64, ttl time.Duration) (records.RequestID, error)
	Get(now clock.Time, key ring.Addr, owner *group.PeerID) (records.RequestID, error)
}

// Group is what is needed of the group; a *group.Group has it.
type Group interface {
	Pin(now clock.Time, peer group.PeerID, d time.Duration) bool
	Unpin(now clock.Time, peer group.PeerID)
	Linked(peer group.PeerID) bool
	NeighborCount() int
	Estimate() int
}

// Config is what a Finder is made of. Zero fields take the defaults that their
// comments give.
type Config struct {
	Rand *rand.Rand   // required
	Self group.PeerID // required

	// MaxAnnounced bounds the files that this node says it has, those that were
	// opened first. Default 256, of the 512 records that a member may have.
	MaxAnnounced int
}

// Limits and timing.
const (
	enough       = 3                // neighbors that have a file: no others are looked for
	perFile      = 4                // links that are asked for, for one file
	patience     = time.Second      // for neighbors to say that they have it
	lookPeriod   = time.Second      // at what came of it
	seekAgain    = 10 * time.Second // before the records are read again
	seekFirst    = 2 * time.Second  // where nothing was found: it doubles up to
	seekMost     = time.Minute
	pinTime      = time.Minute // for which a link is asked for
	linkTime     = 20 * time.Second
	announceTime = 12 * time.Minute // between two announcements
	ttl          = 30 * time.Minute // of an announcement
	announceFail = 10 * time.Second // before one that failed is made again; it doubles up to
	announceMost = 5 * time.Minute
	announceWait = 500 * time.Millisecond // for more of the file, or of the group, to be there
	maxRecent    = 16                     // members that were tried for a file lately
	maxRequests  = 16                     // of records, at once
)

// Stats counts what a Finder has done.
type Stats struct {
	Announced    uint64 // records that were put
	PutsFailed   uint64 // or could not be
	NotAnnounced uint64 // files beyond Config.MaxAnnounced
	Sought       uint64 // reads of records
	SeeksFailed  uint64
	Found        uint64 // members in what was read, that are no neighbors
	Pinned       uint64 // links that were asked for
}

// Finder finds sources of files, and makes this node one.
type Finder struct {
	cfg     Config
	group   Group
	records Records
	files   []*file // in the order in which they were opened
	byOwn   map[*replication.Collection]*file
	busy    map[records.RequestID]request
	next    clock.Time
	stats   Stats
}

// file is a collection whose name is a file's hash.
type file struct {
	c *replication.Collection

	putAt  clock.Time // when it is announced, or announced again
	puts   uint       // that failed in a row
	put    bool       // one is under way
	seekAt clock.Time // when others are looked for; 0: they are not
	seeks  uint       // without anything found
	seek   bool       // one is under way

	pins   []pinned
	recent []group.PeerID // tried lately, the latest last
}

// request is a read or a put of a file's records that is under way.
type request struct {
	file *file
	get  bool
}

type pinned struct {
	peer  group.PeerID
	since clock.Time
	again clock.Time // when the pin is prolonged
}

// New returns a Finder that has no files.
func New(cfg Config, g Group, r Records) *Finder {
	if cfg.Rand == nil {
		panic("BUG: sources.Config without Rand")
	}
	if cfg.MaxAnnounced <= 0 {
		cfg.MaxAnnounced = 256
	}
	return &Finder{cfg: cfg, group: g, records: r, next: clock.Never,
		byOwn: map[*replication.Collection]*file{}, busy: map[records.RequestID]request{}}
}

// KeyOf returns the key of the records of those who have a file.
func KeyOf(id replication.CollectionID) ring.Addr {
	return records.KeyOf("source/" + hex.EncodeToString(id[:]))
}

// Stats returns the counters.
func (f *Finder) Stats() Stats { return f.stats }

// Open takes a collection that has been opened. It is announced once there is
// something in it.
func (f *Finder) Open(now clock.Time, c *replication.Collection) {
	if f.byOwn[c] != nil {
		return
	}
	x := &file{c: c, putAt: now.Add(announceWait + f.jitter(announceWait))}
	f.files = append(f.files, x)
	f.byOwn[c] = x
	f.next = min(f.next, x.putAt)
}

// Close takes that a collection has been closed. What was announced of it runs
// out.
func (f *Finder) Close(now clock.Time, c *replication.Collection) {
	x := f.byOwn[c]
	if x == nil {
		return
	}
	delete(f.byOwn, c)
	f.files = slices.DeleteFunc(f.files, func(y *file) bool { return x == y })
	pins := x.pins
	x.pins, x.c = nil, nil
	for _, p := range pins {
		f.unpin(now, p.peer)
	}
}

// Changed tells that more of a collection is wanted than before, or nothing any
// more.
func (f *Finder) Changed(now clock.Time, c *replication.Collection) {
	x := f.byOwn[c]
	switch {
	case x == nil:
	case c.Want() > 0:
		if x.seekAt == 0 {
			x.seekAt, x.seeks = now.Add(patience), 0
		}
		f.next = min(f.next, x.seekAt)
	default:
		f.next = now
	}
}

func (f *Finder) jitter(d time.Duration) time.Duration {
	return time.Duration(f.cfg.Rand.Int64N(int64(d)))
}

// Deadline returns when Advance has to be called next.
func (f *Finder) Deadline() clock.Time { return f.next }

// Advance does what is due at now.
func (f *Finder) Advance(now clock.Time) {
	if now < f.next {
		return
	}
	f.next = clock.Never
	for i, x := range f.files {
		f.announce(now, x, i)
		f.look(now, x)
	}
}

func (f *Finder) at(when clock.Time) { f.next = min(f.next, when) }

// announce says that this node has some of a file, if it is time.
func (f *Finder) announce(now clock.Time, x *file, place int) {
	switch {
	case x.put:
		return // the result brings us back
	case x.putAt > now:
		f.at(x.putAt)
		return
	case x.c.Have() == 0 && x.c.Want() == 0:
		x.putAt = now.Add(announceTime) // it is empty
	case x.c.Have() == 0 || len(f.busy) >= maxRequests:
		x.putAt = now.Add(lookPeriod)
	case f.alone():
		x.putAt = now.Add(seekAgain)
	case place >= f.cfg.MaxAnnounced:
		f.stats.NotAnnounced++
		x.putAt = now.Add(announceTime)
	default:
		if id, err := f.records.Put(now, KeyOf(x.c.ID()), nil, 0, ttl); err != nil {
			f.putDone(now, x, err)
		} else {
			x.put = true
			f.busy[id] = request{file: x}
			return
		}
	}
	f.at(x.putAt)
}

// alone reports whether there is nobody who is no neighbor: neighbors ask each
// other.
func (f *Finder) alone() bool { return f.group.Estimate() <= f.group.NeighborCount()+1 }

func (f *Finder) putDone(now clock.Time, x *file, err error) {
	x.put = false
	if err == nil || errors.Is(err, records.ErrStale) {
		f.stats.Announced++
		x.puts = 0
		x.putAt = now.Add(announceTime*3/4 + f.jitter(announceTime/2))
	} else {
		f.stats.PutsFailed++
		d := min(announceFail<<min(x.puts, 10), announceMost)
		x.puts++
		x.putAt = now.Add(d*3/4 + f.jitter(d/2))
	}
	f.at(x.putAt)
}

// look looks for members that have a file, if few neighbors do.
func (f *Finder) look(now clock.Time, x *file) {
	if x.seekAt == 0 {
		return
	}
	if x.c.Want() == 0 {
		// Other files may be with the same members, so links end by themselves.
		x.seekAt, x.pins, x.recent = 0, nil, nil
		return
	}
	for i := 0; i < len(x.pins); {
		if p := x.pins[i]; !f.group.Linked(p.peer) && now.Sub(p.since) >= linkTime {
			x.pins = slices.Delete(x.pins, i, i+1)
			f.unpin(now, p.peer) // it can't be reached, or has no room
			continue
		}
		i++
	}
	for i := range x.pins {
		if p := &x.pins[i]; p.again <= now {
			f.group.Pin(now, p.peer, pinTime)
			p.again = now.Add(pinTime / 3)
		}
	}
	holders, _ := x.c.Sources()
	switch {
	case x.seek:
	case holders >= enough || len(x.pins) >= perFile:
		x.seekAt, x.seeks = max(x.seekAt, now.Add(lookPeriod)), 0
	case x.seekAt > now:
	case f.alone() || len(f.busy) >= maxRequests:
		x.seekAt = now.Add(lookPeriod)
	default:
		f.stats.Sought++
		if id, err := f.records.Get(now, KeyOf(x.c.ID()), nil); err != nil {
			f.sought(now, x, nil, err)
		} else {
			x.seek = true
			f.busy[id] = request{x, true}
		}
	}
	f.at(now.Add(lookPeriod))
}

// Result takes what came of a request for records, and returns false if it was
// not this Finder's.
func (f *Finder) Result(now clock.Time, r records.Result) bool {
	q, ok := f.busy[r.ID]
	if !ok {
		return false
	}
	delete(f.busy, r.ID)
	switch {
	case q.file.c == nil: // closed meanwhile
	case q.get:
		f.sought(now, q.file, r.Records, r.Err)
	default:
		f.putDone(now, q.file, r.Err)
	}
	return true
}

// sought takes who says that it has a file, and asks for links with some.
func (f *Finder) sought(now clock.Time, x *file, list []*records.Record, err error) {
	x.seek = false
	if err != nil {
		f.stats.SeeksFailed++
	}
	var fresh []group.PeerID
	for _, r := range list {
		if r.Owner != f.cfg.Self && !f.group.Linked(r.Owner) && !slices.Contains(x.recent, r.Owner) {
			fresh = append(fresh, r.Owner)
		}
	}
	f.stats.Found += uint64(len(fresh))
	asked := 0
	for _, i := range f.cfg.Rand.Perm(len(fresh)) {
		if len(x.pins) == perFile || !f.group.Pin(now, fresh[i], pinTime) {
			break
		}
		x.pins = append(x.pins, pinned{fresh[i], now, now.Add(pinTime / 3)})
		if len(x.recent) == maxRecent {
			x.recent = slices.Delete(x.recent, 0, 1)
		}
		x.recent = append(x.recent, fresh[i])
		asked++
	}
	f.stats.Pinned += uint64(asked)
	if asked > 0 {
		x.seeks, x.seekAt = 0, now.Add(seekAgain)
		return
	}
	if len(x.pins) == 0 {
		x.recent = nil // whom we tried may be there again
	}
	d := min(seekFirst<<min(x.seeks, 10), seekMost)
	x.seeks++
	x.seekAt = now.Add(d*3/4 + f.jitter(d/2))
	f.at(x.seekAt)
}

// unpin ends the pin of a member unless another file needs it.
func (f *Finder) unpin(now clock.Time, peer group.PeerID) {
	users := 0
	for _, x := range f.files {
		for _, p := range x.pins {
			if p.peer == peer {
				users++
			}
		}
	}
	if users == 0 {
		f.group.Unpin(now, peer)
	}
}
