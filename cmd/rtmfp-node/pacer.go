package main

import (
	"context"
	"time"
)

// pacer lets frames of the past go at the pace at which they were published. What comes as
// it is published does not wait.
type pacer struct {
	began time.Time // when the first went
	first time.Time // the publisher's clock then
}

// maxPace is the longest step of the publisher's clock that counts as time.
const maxPace = 10 * time.Second

// due returns how long a frame has to wait.
func (p *pacer) due(now, sentAt time.Time) time.Duration {
	if sentAt.IsZero() {
		return 0
	}
	d := p.began.Add(sentAt.Sub(p.first)).Sub(now)
	if p.began.IsZero() || d > maxPace || d < -maxPace {
		p.began, p.first = now, sentAt
		return 0
	}
	return max(d, 0)
}

// wait waits until a frame is due. It returns false if ctx ends before.
func (p *pacer) wait(ctx context.Context, sentAt time.Time) bool {
	d := p.due(time.Now(), sentAt)
	if d == 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
