package replication

import (
	"time"

	"rtmfp/internal/clock"
)

// Allowance is what a limit in bytes per second permits in one direction. It may
// be shared by the Services of several groups, and by others who send beside
// them: then the limit holds for all together. It may be overdrawn by one
// object, as the size of one is known when it is there.
//
// What a Service spends is reckoned before it goes by. Whoever sees everything
// that goes by, headers and repetitions and what others send, tells of it by
// Passed, so that the limit is kept by that in the long run.
type Allowance struct {
	rate    int64
	left    int64 // billionths of a byte
	pending int64 // bytes that were spent and have not passed
	at      clock.Time
}

const (
	// allowanceTime is how much may be saved up, as time at the limit, and
	// allowanceDebt how far others can overdraw it.
	allowanceTime = 50 * time.Millisecond
	allowanceDebt = time.Second
	// maxRate is more than any limit that is felt, and little enough for the sums.
	maxRate = 8e9
)

// NewAllowance returns an allowance of so many bytes per second; 0 is no limit.
func NewAllowance(rate int) *Allowance { return &Allowance{rate: min(int64(rate), maxRate)} }

// Limited reports whether there is a limit.
func (a *Allowance) Limited() bool { return a.rate != 0 }

// Ready reports whether something may be spent.
func (a *Allowance) Ready(now clock.Time) bool {
	if a.rate == 0 {
		return true
	}
	a.fill(now)
	return a.left >= 0
}

func (a *Allowance) fill(now clock.Time) {
	// What is saved and owed is bounded, and so is the product.
	elapsed := max(0, min(now.Sub(a.at), allowanceDebt+allowanceTime))
	a.left = min(a.left+a.rate*int64(elapsed), a.rate*int64(allowanceTime))
	a.at = max(a.at, now)
}

// When returns when something may be spent again.
func (a *Allowance) When(now clock.Time) clock.Time {
	if a.rate == 0 || a.left >= 0 {
		return now
	}
	return now.Add(time.Duration(-a.left/a.rate + 1))
}

// Spend takes bytes that are about to go by; less than none gives back what
// will not.
func (a *Allowance) Spend(n int) {
	if a.rate == 0 {
		return
	}
	m := max(int64(n), -a.pending)
	a.pending += m
	a.left -= m * 1e9
}

// Passed takes bytes that have gone by, whether they were spent before or not.
func (a *Allowance) Passed(now clock.Time, n int) {
	if a.rate == 0 {
		return
	}
	spent := min(a.pending, int64(n))
	a.pending -= spent
	if more := int64(n) - spent; more > 0 {
		a.fill(now)
		a.left = max(a.left-more*1e9, -a.rate*int64(allowanceDebt))
	}
}
