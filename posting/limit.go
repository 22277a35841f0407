package posting

import (
	"bytes"

	"rtmfp/group"
)

// author is what is remembered of who posts. Its allowances are counted on the
// author's own clock, which its posts sign, so that neither jitter on the way
// nor fetching many minutes at once makes them late or early; how far that
// clock may be off bounds what a lie can gain.
type author struct {
	posts, bytes allowance
	at           int64 // the latest of its posts, in milliseconds since 1970
	held         int   // posts in the history
}

// allowance is a token bucket in thousandths.
type allowance struct{ left int64 }

func (a *allowance) fill(elapsed, rate, burst int64) {
	a.left = min(a.left+elapsed*rate, burst*1000)
}

func (a *allowance) take(n int64) bool {
	if a.left < n*1000 {
		return false
	}
	a.left -= n * 1000
	return true
}

// admits reports whether the author may have posted so many bytes at a time,
// and takes them off.
func (a *author) admits(unixMilli int64, size int, factor int64) bool {
	if unixMilli > a.at {
		elapsed := min(unixMilli-a.at, maxMilli/maxData)
		a.posts.fill(elapsed, factor*PostRate, factor*PostBurst)
		a.bytes.fill(elapsed, factor*ByteRate, factor*ByteBurst)
		a.at = unixMilli
	}
	if a.posts.left < 1000 || a.bytes.left < int64(size)*1000 {
		return false
	}
	return a.posts.take(1) && a.bytes.take(int64(size))
}

const maxData = 1 << 20 // so that rates times elapsed milliseconds don't overflow

// authors is the table of them, by peer id.
type authors struct {
	table map[group.PeerID]*author
	most  int
}

// get returns an author, made if it is not known.
func (t *authors) get(id group.PeerID) *author {
	a := t.table[id]
	if a == nil {
		if len(t.table) >= t.most {
			t.forget()
		}
		a = &author{}
		t.table[id] = a
	}
	return a
}

// forget drops the author who posted last the longest ago, of those without
// posts in the history if there are any.
func (t *authors) forget() {
	var worst group.PeerID
	var found *author
	for id, a := range t.table { // order-free: ties are broken by the id
		if found != nil {
			if held, least := a.held > 0, found.held > 0; held != least {
				if held {
					continue
				}
			} else if a.at > found.at || a.at == found.at && bytes.Compare(id[:], worst[:]) > 0 {
				continue
			}
		}
		worst, found = id, a
	}
	delete(t.table, worst)
}
