package impair

import (
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"rtmfp/transport/udp"
)

// pipe is one direction of one client.
type pipe struct {
	path  Path
	stats *counters
	rng   *rand.Rand

	mu    sync.Mutex
	queue []parcel // by rising time of arrival
	free  [][]byte
	idle  time.Time // when the bottleneck has sent all that is queued
	wake  chan struct{}
	end   chan struct{}
}

// parcel is a datagram under way.
type parcel struct {
	at   time.Time
	data []byte
}

// batchSize is how many datagrams are written with one call.
const batchSize = 64

func newPipe(path Path, stats *counters, src rand.Source) *pipe {
	return &pipe{path: path, stats: stats, rng: rand.New(src), wake: make(chan struct{}, 1), end: make(chan struct{})}
}

func (p *pipe) close() { close(p.end) }

// put sends a copy of a datagram on its way, or loses it.
func (p *pipe) put(b []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.path.Loss > 0 && p.rng.Float64() < p.path.Loss {
		p.stats.lost.Add(1)
		return
	}
	now := time.Now()
	at := now
	if p.path.Rate > 0 {
		at = later(now, p.idle)
		if waiting := at.Sub(now).Seconds() * p.path.Rate / 8; waiting+float64(len(b)) > float64(p.path.Queue) {
			p.stats.overflow.Add(1)
			return
		}
		at = at.Add(time.Duration(float64(len(b)) * 8 / p.path.Rate * float64(time.Second)))
		p.idle = at
	}
	var data []byte
	if n := len(p.free); n > 0 {
		data, p.free = p.free[n-1], p.free[:n-1]
	}
	p.queue = append(p.queue, parcel{at.Add(p.path.Delay), append(data[:0], b...)})
	if len(p.queue) == 1 {
		select {
		case p.wake <- struct{}{}:
		default:
		}
	}
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// run delivers datagrams in time until the pipe is closed. The mutex, if there
// is one, guards the socket's writing.
func (p *pipe) run(conn *udp.Conn, to netip.AddrPort, writing *sync.Mutex) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var due []parcel
	var batches []udp.Batch
	for {
		var wait time.Duration
		due, wait = p.due(due[:0])
		if len(due) > 0 {
			batches = batches[:0]
			for _, d := range due {
				batches = append(batches, udp.Batch{To: to, Data: d.data})
			}
			if writing != nil {
				writing.Lock()
			}
			err := conn.Write(batches)
			if writing != nil {
				writing.Unlock()
			}
			if err != nil {
				return
			}
			p.recycle(due)
			continue
		}
		timer.Reset(wait)
		select {
		case <-p.wake:
		case <-timer.C:
		case <-p.end:
			return
		}
	}
}

// due moves what is due to into, and returns how long the next one takes.
func (p *pipe) due(into []parcel) ([]parcel, time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	n := 0
	for n < min(len(p.queue), batchSize) && !p.queue[n].at.After(now) {
		n++
	}
	into = append(into, p.queue[:n]...)
	p.queue = p.queue[:copy(p.queue, p.queue[n:])]
	if len(p.queue) == 0 {
		return into, time.Hour
	}
	return into, p.queue[0].at.Sub(now)
}

// recycle keeps the memory of what was delivered.
func (p *pipe) recycle(sent []parcel) {
	p.stats.forwarded.Add(uint64(len(sent)))
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, d := range sent {
		if len(p.free) < 4*batchSize {
			p.free = append(p.free, d.data)
		}
	}
}
