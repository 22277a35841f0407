package node

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"rtmfp/group"
	"rtmfp/internal/clock"
	"rtmfp/node/origin"
	"rtmfp/node/store"
	"rtmfp/replication/content"
)

// What no member has is fetched from the web servers that a file names. So that
// a swarm asks a server for one copy and not for as many as it has members, who
// is about to ask says so in a record, and the others leave it to him who said
// it first. docs/files.md, Origins, specifies the records.

const (
	originTick  = 250 * time.Millisecond
	originNear  = time.Second     // that a block must be nowhere, where all members are neighbors
	originFar   = 4 * time.Second // and where others have to be found first
	originRun   = 16              // blocks that are asked for at once
	originSlots = 4               // files that a node fetches from origins at a time in a group
	originRetry = 10 * time.Second
	originMost  = 5 * time.Minute

	claimTTL    = 90 * time.Second
	claimAgain  = 30 * time.Second
	claimSettle = 400 * time.Millisecond // for claims that were made at the same time
	claimLook   = 3 * time.Second        // how often one waits for another
	claimTrust  = time.Minute            // without a block, and a second more for each MiB of the file
	claimRecord = "origin/"
)

// claim is who fetches a file from its origins, and since when.
type claim struct {
	owner PeerID
	since uint64 // milliseconds since 1970, by the owner's clock
}

// useOrigins begins to look after a file that names origins, if nobody does.
func (s *fileSwarm) useOrigins(m Manifest) {
	client := s.f.g.node.origins
	if client == nil || len(m.Origins) == 0 {
		return
	}
	s.mu.Lock()
	for _, url := range m.Origins {
		if !slices.Contains(s.origins, url) && len(s.origins) < maxSwarmOrigins {
			s.origins = append(s.origins, url)
		}
	}
	begin := !s.fromOrigin && s.missing() > 0
	s.fromOrigin = s.fromOrigin || begin
	s.mu.Unlock()
	if begin {
		x := &originFetch{s: s, client: client, m: m}
		go x.run(s.f.ctx)
	}
}

// maxSwarmOrigins bounds the origins of one file that are remembered.
const maxSwarmOrigins = 8

// originFetch sees to it that one file becomes complete.
type originFetch struct {
	s      *fileSwarm
	client *origin.Client
	m      Manifest

	lonely  time.Time // since when a block is lacking that nobody has; zero: none is
	notNow  time.Time // until then no origin is asked
	fails   uint
	claimed bool
	since   uint64    // of the claim
	trusted time.Time // since when another's claim is relied on; zero: none is
	have    uint64    // blocks then
}

// run lasts as long as somebody here wants the file and it is not complete.
func (x *originFetch) run(ctx context.Context) {
	defer x.release()
	for more := false; more || linger(ctx, originTick); {
		s := x.s
		s.mu.Lock()
		if s.users == 0 || s.missing() == 0 || s.err != nil {
			s.fromOrigin = false
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		blocks, wait, err := x.lacking()
		if err != nil {
			return // the group was left
		}
		more = false
		now := time.Now()
		switch {
		case blocks.From == blocks.To:
			x.lonely, x.trusted = time.Time{}, time.Time{}
		case x.lonely.IsZero():
			x.lonely = now.Add(wait + time.Duration(rand.Int64N(int64(wait/4))))
		case now.Before(x.lonely), now.Before(x.notNow):
		case !x.mine(ctx):
			x.notNow = now.Add(claimLook)
		default:
			more = x.fetch(ctx, blocks)
		}
	}
}

// lacking returns blocks that no neighbor has, the first ones from where the
// reader is, and how long they must be lacking.
func (x *originFetch) lacking() (r store.Range, wait time.Duration, err error) {
	s := x.s
	err = s.f.do(func(clock.Time) error {
		wait = originFar
		if g := s.f.g.core.group; g.Estimate() <= g.NeighborCount()+1 {
			wait = originNear
		}
		from := int(s.core.Reader())
		for k := range s.blocks {
			i := (from + k) % s.blocks
			if !s.core.Wants(uint64(i)) || s.core.Copies(uint64(i)) > 0 {
				continue
			}
			r = store.Range{From: i, To: i + 1}
			for r.To < s.blocks && r.To-r.From < originRun && s.core.Wants(uint64(r.To)) && s.core.Copies(uint64(r.To)) == 0 {
				r.To++
			}
			break
		}
		return nil
	})
	return r, wait, err
}

// mine reports whether this node is the one to ask the origins, after saying
// that it wants to.
func (x *originFetch) mine(ctx context.Context) bool {
	if x.claimed {
		return true
	}
	if len(x.s.f.slots) == cap(x.s.f.slots) {
		return false // others are being fetched
	}
	first, err := x.first(ctx)
	if err == nil && first == nil {
		if err = x.put(ctx, claimTTL); err == nil {
			linger(ctx, claimSettle)
			first, err = x.first(ctx)
		}
	}
	if err != nil || first == nil || first.owner == x.s.f.g.Self() {
		// Without records everybody helps himself.
		x.claimed = true
		return true
	}
	return x.distrusts(first)
}

// distrusts reports whether somebody who said that he fetches the file has had
// his time.
func (x *originFetch) distrusts(first *claim) bool {
	s := x.s
	s.mu.Lock()
	have := s.here.Count()
	s.mu.Unlock()
	now := time.Now()
	if x.trusted.IsZero() || have != x.have {
		x.trusted, x.have = now, have
	}
	_ = s.f.do(func(now clock.Time) error {
		s.f.g.core.group.Pin(now, group.PeerID(first.owner), time.Minute)
		return nil
	})
	return now.Sub(x.trusted) > claimTrust+time.Duration(x.m.Size>>20)*time.Second
}

// first returns the claim that counts, nil if there is none.
func (x *originFetch) first(ctx context.Context) (*claim, error) {
	list, err := x.s.f.g.GetRecords(ctx, claimRecord+x.m.Hash.String())
	if err != nil {
		return nil, err
	}
	var claims []claim
	for _, r := range list {
		if len(r.Value) == 8 {
			claims = append(claims, claim{r.Owner, binary.BigEndian.Uint64(r.Value)})
		}
	}
	if len(claims) == 0 {
		return nil, nil
	}
	first := slices.MinFunc(claims, func(a, b claim) int {
		return cmp.Or(cmp.Compare(a.since, b.since), bytes.Compare(a.owner[:], b.owner[:]))
	})
	return &first, nil
}

// put says that this node fetches the file, for a time.
func (x *originFetch) put(ctx context.Context, ttl time.Duration) error {
	if x.since == 0 {
		x.since = uint64(time.Now().UnixMilli())
	}
	value := binary.BigEndian.AppendUint64(nil, x.since)
	return x.s.f.g.PutRecord(ctx, claimRecord+x.m.Hash.String(), value, PutOptions{TTL: ttl})
}

// release lets others fetch what is missing still.
func (x *originFetch) release() {
	if x.since == 0 {
		return
	}
	x.claimed = false
	ctx, cancel := context.WithTimeout(context.Background(), claimSettle)
	defer cancel()
	_ = x.put(ctx, time.Second) // else it runs out
	x.since = 0
}

// fetch gets blocks from the origins, and perhaps all others with them, and
// offers them to the members. It reports whether it did.
func (x *originFetch) fetch(ctx context.Context, blocks store.Range) bool {
	s := x.s
	select {
	case s.f.slots <- struct{}{}:
		defer func() { <-s.f.slots }()
	default:
		return false
	}
	s.mu.Lock()
	m := x.m
	m.Origins = slices.Clone(s.origins)
	s.mu.Unlock()
	s.asking.Store(true)
	defer s.asking.Store(false)
	fetching, cancel := context.WithCancel(ctx)
	var beside sync.WaitGroup
	beside.Go(func() { x.keepClaim(fetching) })
	beside.Go(func() { x.watch(fetching, cancel) })
	err := x.client.Fetch(fetching, s.f.store, m, blocks, func(i int) { s.add(i, i+1) })
	ended := fetching.Err() != nil // nobody waits any more
	cancel()
	beside.Wait()
	if err == nil {
		if have, err := s.f.store.Have(s.hash); err == nil {
			for _, r := range have { // more may have come than was asked for
				s.add(r.From, r.To)
			}
		}
		x.fails = 0
		return true
	}
	var ours *origin.StoreError
	switch {
	case ended:
	case errors.As(err, &ours):
		s.fail(ours)
	default:
		s.f.g.node.log.Warn("no origin has the file as it should be", "name", m.Name, "hash", m.Hash, "err", err)
		x.notNow = time.Now().Add(min(originRetry<<min(x.fails, 10), originMost))
		x.fails++
		x.release()
	}
	return false
}

// keepClaim puts the claim again before it runs out.
func (x *originFetch) keepClaim(ctx context.Context) {
	for x.since != 0 && linger(ctx, claimAgain) {
		_ = x.put(ctx, claimTTL)
	}
}

// watch ends a fetch that nobody waits for any more: all of it has come from
// members, or all who wanted it have gone.
func (x *originFetch) watch(ctx context.Context, cancel context.CancelFunc) {
	for linger(ctx, originTick) {
		x.s.mu.Lock()
		done := x.s.users == 0 || x.s.missing() == 0
		x.s.mu.Unlock()
		if done {
			cancel()
			return
		}
	}
}

// linger waits, and returns false if ctx ended before.
func linger(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// add tells members of blocks that have got into the store by another way than
// from them.
func (s *fileSwarm) add(from, to int) {
	_ = s.f.do(func(now clock.Time) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		for i := uint64(from); i < uint64(to); i++ {
			if s.here.Has(i) {
				continue
			}
			one := Range{Start: i, End: i + 1}
			s.here.Add(one)
			s.fetched += uint64(s.blockLen(i))
			if err := s.core.AddHave(now, one); err != nil {
				return err
			}
		}
		s.wake()
		return nil
	})
}

// blockLen returns how many bytes a block has.
func (s *fileSwarm) blockLen(i uint64) int64 {
	return min(content.BlockSize, s.size-int64(i)*content.BlockSize)
}
