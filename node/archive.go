package node

import (
	"crypto/sha256"
	"errors"
	"slices"
	"time"

	"rtmfp/group"
	"rtmfp/group/records"
	"rtmfp/internal/clock"
	"rtmfp/internal/element"
	"rtmfp/multicast"
	"rtmfp/ring"
)

// archive has members found that keep more of a stream than it asks of all. Each of them says
// so in a record of the group, under a key that the stream's gives, so that a viewer that goes back farther than its
// neighbors keep finds it, and asks for a link with it. docs/multicast.md specifies the records.
type archive struct {
	g     *GroupCore
	told  []told // of streams that are kept here
	asked []asked
	at    clock.Time
}

// told is a stream of which a record says that it is kept here.
type told struct {
	key   multicast.Key
	put   records.RequestID // 0: none is under way
	again clock.Time
	kept  bool // it still is
}

// asked is a stream for which others are looked for.
type asked struct {
	key multicast.Key
	get records.RequestID // 0: it was not made yet
}

const (
	archiveLook   = 10 * time.Second // between looks at what is kept here
	archiveTell   = 5 * time.Minute  // between records of one stream
	archiveTTL    = 12 * time.Minute
	archiveLinks  = 3           // that are asked for at once
	archivePin    = time.Minute // for which; who is asked for the past is held
	maxArchived   = 64          // streams
	archivePrefix = "rtmfp past 1"
)

func archiveKey(key multicast.Key) ring.Addr {
	return sha256.Sum256(append([]byte(archivePrefix), key[:]...))
}

// Find has members looked for that keep the past of a stream.
func (a *archive) Find(now clock.Time, key multicast.Key) {
	if len(a.asked) < maxArchived && !slices.ContainsFunc(a.asked, func(q asked) bool { return q.key == key }) {
		a.asked = append(a.asked, asked{key: key})
		a.at = now // after the streams have had their turn
	}
}

func (a *archive) advance(now clock.Time) {
	if now < a.at {
		return
	}
	a.at = clock.Never
	for i := 0; i < len(a.asked); i++ {
		q := &a.asked[i]
		if q.get != 0 {
			continue
		}
		id, err := a.g.Records(now).Get(now, archiveKey(q.key), nil)
		if q.get = id; err != nil {
			a.found(now, i, nil)
			i--
		}
	}
	if a.g.core.cfg.KeepWindow == 0 {
		return
	}
	a.at = now.Add(archiveLook)
	for i := range a.told {
		a.told[i].kept = false
	}
	a.g.streams.Kept(now, func(key multicast.Key, back time.Duration) { a.tell(now, key, back) })
	a.told = slices.DeleteFunc(a.told, func(t told) bool { return !t.kept })
}

// tell puts a record of what is kept here of a stream.
func (a *archive) tell(now clock.Time, key multicast.Key, back time.Duration) {
	i := slices.IndexFunc(a.told, func(t told) bool { return t.key == key })
	if i < 0 {
		if len(a.told) >= maxArchived {
			return
		}
		i = len(a.told)
		a.told = append(a.told, told{key: key, again: now.Add(archiveLook)}) // it is not much yet
	}
	t := &a.told[i]
	if t.kept = true; now < t.again {
		return
	}
	t.again = now.Add(archiveTell)
	value := element.AppendVLU(nil, uint64(back/time.Second))
	if id, err := a.g.Records(now).Put(now, archiveKey(key), value, 0, archiveTTL); err == nil {
		t.put = id
	}
}

// result takes the end of a request. It reports whether it was one of the archive.
func (a *archive) result(now clock.Time, r records.Result) bool {
	for i := range a.told {
		if t := &a.told[i]; t.put == r.ID {
			if t.put = 0; r.Err != nil && !errors.Is(r.Err, records.ErrStale) {
				t.again = now.Add(archiveLook)
			}
			return true
		}
	}
	for i := range a.asked {
		if q := &a.asked[i]; q.get == r.ID {
			a.found(now, i, r.Records)
			return true
		}
	}
	return false
}

// found asks for links with those who keep most.
func (a *archive) found(now clock.Time, i int, list []*records.Record) {
	key := a.asked[i].key
	a.asked = slices.Delete(a.asked, i, i+1)
	seconds := func(r *records.Record) uint64 { n, _ := element.ConsumeVLU(r.Value); return n }
	slices.SortStableFunc(list, func(x, y *records.Record) int { return int(min(seconds(y), 1<<30)) - int(min(seconds(x), 1<<30)) })
	links := 0
	for _, r := range list {
		if peer := group.PeerID(r.Owner); links < archiveLinks && !a.g.group.Linked(peer) && a.g.group.Pin(now, peer, archivePin) {
			links++
		}
	}
	if links == 0 {
		a.g.streams.FoundNobody(now, key)
	}
}
