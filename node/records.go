package node

import (
	"context"
	"fmt"
	"time"

	"rtmfp/group"
	"rtmfp/group/records"
	"rtmfp/internal/clock"
	"rtmfp/ring"
)

// MaxRecord is the largest value of a record in bytes.
const MaxRecord = records.MaxValue

// Record is a small value under a name, signed by its owner and kept by the
// members of the group that are nearest to the name on the ring.
type Record struct {
	Owner    PeerID
	Sequence uint64    // a higher one replaces a lower one of the same owner
	Ends     time.Time // by the owner's clock
	Value    []byte    // the caller may keep it, and must not change it
}

// PutOptions say how a record is put. The zero options are the defaults.
type PutOptions struct {
	// Sequence is the record's number. Default 0: the time in milliseconds since
	// 1970, so that what is put later replaces what was put before.
	Sequence uint64

	// TTL is how long the record is kept. Default an hour, at most a day.
	TTL time.Duration
}

// Errors of PutRecord and GetRecords.
var (
	// ErrRecordStale says that a newer version of the record is there.
	ErrRecordStale = records.ErrStale
	// ErrRecordRefused says that the members at the record's place don't take it.
	ErrRecordRefused = records.ErrRefused
	// ErrRecordTooLarge says that a value is larger than MaxRecord.
	ErrRecordTooLarge = records.ErrTooLarge
	// ErrUnreachable says that the member nearest to the name did not answer.
	ErrUnreachable = records.ErrUnreachable
)

const defaultTTL = time.Hour

// PutRecord signs a value of at most MaxRecord bytes and gives it to the eight
// members that are nearest to the name. It replaces this node's own record of
// that name; those of others stay beside it.
func (g *Group) PutRecord(ctx context.Context, name string, value []byte, o PutOptions) error {
	if o.TTL == 0 {
		o.TTL = defaultTTL
	}
	_, err := g.request(ctx, func(now clock.Time) (records.RequestID, error) {
		return g.core.Records(now).Put(now, records.KeyOf(name), value, o.Sequence, o.TTL)
	})
	if err != nil {
		return fmt.Errorf("put record %q: %w", name, err)
	}
	return nil
}

// GetRecords returns the records of a name, the one with the highest sequence
// first, and none if there are none. With owners, it returns only theirs: with
// one owner that owner's, else those of all that are among them.
func (g *Group) GetRecords(ctx context.Context, name string, owners ...PeerID) ([]Record, error) {
	list, err := g.request(ctx, func(now clock.Time) (records.RequestID, error) {
		var owner *group.PeerID
		if len(owners) == 1 {
			owner = (*group.PeerID)(&owners[0])
		}
		return g.core.Records(now).Get(now, records.KeyOf(name), owner)
	})
	if err != nil {
		return nil, fmt.Errorf("get record %q: %w", name, err)
	}
	var out []Record
	for _, r := range list {
		if len(owners) > 0 && !among(owners, PeerID(r.Owner)) {
			continue
		}
		out = append(out, Record{PeerID(r.Owner), r.Sequence, time.UnixMilli(r.UnixMilli), r.Value})
	}
	return out, nil
}

func among(list []PeerID, id PeerID) bool {
	for _, p := range list {
		if p == id {
			return true
		}
	}
	return false
}

// RecordAddress returns the place of a name's records on the ring.
func RecordAddress(name string) ring.Addr { return records.KeyOf(name) }

// recordWait is somebody who waits for the end of a put or get.
type recordWait struct {
	done   chan struct{}
	result records.Result
}

// request starts a put or get and waits for its end.
func (g *Group) request(ctx context.Context, start func(now clock.Time) (records.RequestID, error)) ([]*records.Record, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	w := &recordWait{done: make(chan struct{})}
	var id records.RequestID
	var err error
	if derr := g.node.do(func(now clock.Time) {
		if g.isDone() {
			err = ErrClosed
			return
		}
		if id, err = start(now); err == nil {
			g.recordWaits[id] = w
		}
	}); derr != nil {
		err = derr
	}
	if err != nil {
		return nil, err
	}
	select {
	case <-w.done:
		return w.result.Records, w.result.Err
	case <-ctx.Done():
		err = ctx.Err()
	case <-g.done:
		err = ErrClosed
	}
	_ = g.node.do(func(clock.Time) { delete(g.recordWaits, id) })
	return nil, err
}

// deliverRecords tells those who wait what came of their puts and gets.
func (g *Group) deliverRecords() {
	for r, ok := g.core.NextRecordResult(); ok; r, ok = g.core.NextRecordResult() {
		if w := g.recordWaits[r.ID]; w != nil {
			delete(g.recordWaits, r.ID)
			w.result = r
			close(w.done)
		}
	}
}
