package run

import (
	"context"
	"runtime"
	"sync"
	"time"

	"rtmfp/simulations/scenario"
)

// Progress is how far all runs of a scenario are, together.
type Progress struct {
	Runs, Done int           // runs that there are, and that have ended
	Simulated  time.Duration // of all of them
	Total      time.Duration
	Events     uint64
	Elapsed    time.Duration
}

// Left returns an estimate of the time until all have ended, 0 if there is
// none yet.
func (p Progress) Left() time.Duration {
	if p.Simulated <= 0 {
		return 0
	}
	return time.Duration(float64(p.Elapsed) * float64(p.Total-p.Simulated) / float64(p.Simulated))
}

// Seeds runs a scenario once for each seed, up to `parallel` at a time, 0 for
// as many as the machine has cores, among which cores that are left over are
// dealt. progress, if it is not nil, is called now
// and then, never by two at once. Results are in the order of the seeds.
func Seeds(ctx context.Context, s *scenario.Scenario, seeds []uint64, parallel int, progress func(Progress)) ([]*Result, error) {
	m, err := s.Map()
	if err != nil {
		return nil, err
	}
	if parallel <= 0 {
		parallel = runtime.GOMAXPROCS(0)
	}
	parallel = min(parallel, len(seeds))
	lanes := runtime.GOMAXPROCS(0) / max(parallel, 1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var (
		mu      sync.Mutex
		began   = time.Now()
		at      = make([]time.Duration, len(seeds))
		events  = make([]uint64, len(seeds))
		done    int
		failure error
		results = make([]*Result, len(seeds))
		queue   = make(chan int)
		workers sync.WaitGroup
	)
	report := func() {
		if progress == nil {
			return
		}
		p := Progress{Runs: len(seeds), Done: done, Total: s.Total() * time.Duration(len(seeds)), Elapsed: time.Since(began)}
		for i := range seeds {
			p.Simulated += at[i]
			p.Events += events[i]
		}
		progress(p)
	}
	for range parallel {
		workers.Go(func() {
			for i := range queue {
				res, err := Run(ctx, s, m, seeds[i], Options{Lanes: lanes, Progress: func(now time.Duration, n uint64) {
					mu.Lock()
					defer mu.Unlock()
					at[i], events[i] = now, n
					report()
				}})
				mu.Lock()
				if err != nil && failure == nil {
					failure = err
					cancel()
				}
				results[i] = res
				at[i] = s.Total()
				done++
				report()
				mu.Unlock()
			}
		})
	}
	for i := range seeds {
		queue <- i
	}
	close(queue)
	workers.Wait()
	return results, failure
}
