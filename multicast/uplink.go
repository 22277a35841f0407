package multicast

import (
	"math/bits"
	"time"

	"rtmfp/internal/clock"
)

// What a node may send at most is told by its user, or found out. Where nothing
// was told, a line that carries less than the places that were given away shows in
// what waits for several neighbors at once: one alone that takes little is its own
// affair, and finds another parent, and sessions that still find out what they carry
// are no sign of the line. What went out while that was so is what the line
// carries, and from then on the limit is a little less, as if it had been told.
// Whether the line carries more is tried from time to time, where more is wanted.

// uplink is what was found out.
type uplink struct {
	finding
	before   finding    // what had been found until the latest
	found    clock.Time // when that was
	at       clock.Time // of the next look
	sent     uint64     // bytes, up to the latest look
	waiting  int        // bytes, then
	fed      bool       // there have been children
	outage   clock.Time // nothing is concluded until then
	full     int        // looks in a row at which more and more waited
	since    clock.Time // of the first of them, or of the latest change of the limit
	sentThen uint64     // up to since
	waitThen int        // at since
	tried    bool       // the limit was raised to see whether it may be
}

// finding is what is known of the line.
type finding struct {
	limit    uint64     // bytes per second, 0: there was always enough
	tooMuch  uint64     // what was sent when the line was full: it does not carry that
	until    clock.Time // for so long that is believed
	patience time.Duration
}

const (
	uplinkPeriod   = 200 * time.Millisecond
	uplinkFull     = 2                      // looks until a line is taken to be full
	uplinkWait     = 100 * time.Millisecond // what may wait for a neighbor of what is pushed to it,
	uplinkBurst    = 4096                   // and bytes beside
	uplinkShare    = 16                     // part of what the line carries that is left free
	uplinkStep     = 8                      // part by which the limit is raised
	uplinkRest     = time.Second            // after the limit was set, for what waits to go out
	uplinkMute     = 250 * time.Millisecond // without a word from a child
	uplinkOutage   = 5 * time.Second        // after half of them were mute, or all gone
	uplinkRaise    = 30 * time.Second       // until it is raised to what is not known to be too much,
	uplinkPatience = 4 * time.Minute        // and beyond that; twice as long after each time that it was too much
	maxPatience    = time.Hour
)

// uploadLimit is the most that may be sent, in bytes per second: what was told, or what was
// found out. 0 is no limit.
func (s *Service) uploadLimit() uint64 {
	if s.cfg.UploadLimit > 0 {
		return uint64(s.cfg.UploadLimit)
	}
	return s.uplink.limit
}

// watchUplink finds out what the line carries.
func (s *Service) watchUplink(now clock.Time) {
	u := &s.uplink
	if s.cfg.UploadLimit > 0 || now < u.at {
		return
	}
	u.at = now.Add(uplinkPeriod)
	sent, rate, waiting, fed, slow, mute := uint64(0), uint64(0), 0, 0, 0, 0
	for _, st := range s.streams {
		sent += st.stats.BytesSent
		rate = max(rate, st.meter.rate)
		for _, p := range st.peers {
			if p.mediaOut == 0 || p.children == 0 {
				continue
			}
			b := s.flows.Backlog(p.mediaOut)
			waiting += b
			fed++
			if s.quiet(now, p.n) > uplinkMute {
				mute++
			}
			pushed := uint64(bits.OnesCount8(p.children)) * st.meter.rate / numSlices
			if uint64(b) > uplinkBurst+pushed*uint64(uplinkWait)/uint64(time.Second) && !s.flows.SlowStart(p.n.link) {
				slow++
			}
		}
	}
	switch {
	case mute > 0 && 2*mute >= fed: // nothing gets through, or the answers don't
		u.interrupted(now)
	case u.fed && fed == 0: // the same for long, maybe
		u.outage = now.Add(uplinkOutage)
	}
	u.fed = u.fed || fed > 0
	more := now >= u.outage && slow >= 2 && 2*slow >= fed && waiting >= u.waiting && sent >= u.sent
	u.sent, u.waiting = sent, waiting
	switch {
	case now < u.since: // what waited when the limit was set goes out
		u.full = 0
	case !more:
		if u.full > 0 {
			u.full, u.since = 0, now
		}
		s.tryMore(now)
	case u.full == 0:
		u.full, u.since, u.sentThen, u.waitThen = 1, now, sent, waiting
	default:
		if u.full++; u.full < uplinkFull {
			break
		}
		offered, over := sent-u.sentThen, uint64(now.Sub(u.since))
		out := int64(offered) - int64(waiting-u.waitThen)
		carried := uint64(max(out, 0)) * uint64(time.Second) / over
		if carried < rate/numSlices { // not even one slice
			u.interrupted(now)
			break
		}
		u.found, u.before = now, u.finding
		u.limit = max(carried-carried/uplinkShare, 1)
		if u.patience = max(u.patience, uplinkPatience); u.tried {
			u.patience = min(2*u.patience, maxPatience)
		}
		u.tooMuch, u.until = offered*uint64(time.Second)/over, now.Add(u.patience)
		u.tried, u.full, u.since = false, 0, now.Add(uplinkRest)
	}
}

// interrupted notes that little gets through, or nothing: what was found a moment ago
// was that, and when it is over all want what they missed, which says nothing either.
func (u *uplink) interrupted(now clock.Time) {
	u.outage, u.full = now.Add(uplinkOutage), 0
	if now.Sub(u.found) < uplinkOutage {
		u.finding = u.before
	}
}

// tryMore raises the limit after a while if more would be sent, and takes it away if
// it would not matter.
func (s *Service) tryMore(now clock.Time) {
	u := &s.uplink
	if u.limit == 0 || now.Sub(u.since) < uplinkRaise {
		return
	}
	rate, most := uint64(0), uint64(0)
	for _, st := range s.streams {
		rate = max(rate, st.meter.rate)
		most += st.meter.rate * uint64(max(st.pushLimit(), 0))
	}
	u.since, u.tried = now, false
	if s.UploadNeeded()+s.reserved+rate/numSlices < u.limit-u.limit/admitSpare {
		return
	}
	// To one slice at least: a limit that was found far too low would never come up again.
	next := max(u.limit+u.limit/uplinkStep, rate/numSlices)
	if now < u.until {
		if next = min(next, u.tooMuch-u.tooMuch/uplinkStep); next < u.limit+u.limit/uplinkShare {
			return
		}
	}
	if u.limit = next; u.limit > 2*most {
		u.limit = 0
		return
	}
	u.tried = true
}
