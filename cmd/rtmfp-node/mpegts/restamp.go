package mpegts

// restamper makes one stream of the passes of a loop. The first pass is left as
// it is. In later passes clock references and time stamps are moved on, so that
// the first picture follows the last one of the pass before at the distance of
// a frame, and continuity counters count on.
type restamper struct {
	pass   int
	shift  uint64 // added to the stamps of this pass, in ticks of 90 kHz
	length uint64 // of a pass, once the first is over
	clock  span   // of the clock references, in ticks of 90 kHz
	pids   map[int]*pidState
	tables tables // of the first pass, for the lead
}

// pidState is what the restamper knows of one stream.
type pidState struct {
	span  span
	seen  bool // there was a packet in this pass
	out   byte // the last continuity counter that left
	shift byte // added to the counters of this pass
}

// span is the first and the last stamp of a stream in a pass.
type span struct {
	ok          bool
	first, last uint64
	step        int64 // between the last two
}

func (s *span) observe(v uint64) {
	if !s.ok {
		*s = span{ok: true, first: v, last: v}
		return
	}
	if d := stampDiff(v, s.last); d > 0 {
		s.step = d
	}
	s.last = v
}

// length is how long the span is with its last frame, across any jumps within:
// what is to be added to the first stamp for it to follow the last.
func (s *span) length() uint64 { return (s.last + uint64(s.step) - s.first) % stampWrap }

// nextPass ends a pass.
func (r *restamper) nextPass() {
	if r.pass == 0 {
		r.length = r.passLength()
	}
	r.pass++
	r.shift = (r.shift + r.length) % stampWrap
	for _, s := range r.pids {
		s.seen = false
	}
}

// passLength is the time that the lead stream takes, or a little more where
// another stream or the clock would step back otherwise.
func (r *restamper) passLength() uint64 {
	length := r.clock.length()
	if lead := r.pids[r.tables.prog.leadPID]; r.tables.ok && lead != nil && lead.span.ok {
		length = lead.span.length()
	}
	raise := func(s *span) {
		if s.ok {
			if back := stampDiff(s.last, s.first+length); back >= 0 {
				length += uint64(back) + 1
			}
		}
	}
	raise(&r.clock)
	for _, s := range r.pids { // in any order: the greatest wins
		raise(&s.span)
	}
	return length
}

// apply changes a packet in place.
func (r *restamper) apply(p packet) {
	pid := p.pid()
	if pid == nullPID {
		return
	}
	s := r.pids[pid]
	if s == nil {
		if r.pids == nil {
			r.pids = make(map[int]*pidState)
		}
		s = new(pidState)
		r.pids[pid] = s
	}
	if r.pass == 0 {
		r.observe(p, s)
		return
	}
	r.count(p, s)
	if f := p.pcrField(); f != nil {
		putClock(f, clock(f)+r.shift*tickRatio)
	}
	if f := p.opcrField(); f != nil {
		putClock(f, clock(f)+r.shift*tickRatio)
	}
	if h, ok := p.pes(); ok {
		if h.pts != nil {
			putStamp(h.pts, stamp(h.pts)+r.shift)
		}
		if h.dts != nil {
			putStamp(h.dts, stamp(h.dts)+r.shift)
		}
	}
}

func (r *restamper) observe(p packet, s *pidState) {
	s.out = p.counter()
	r.tables.add(p)
	if f := p.pcrField(); f != nil && (!r.tables.ok || p.pid() == r.tables.prog.clockPID) {
		r.clock.observe(clock(f) / tickRatio)
	}
	if h, ok := p.pes(); ok {
		if v, ok := h.decodeTime(); ok {
			s.span.observe(v)
		}
	}
}

// count makes the continuity counter go on from the pass before. It counts
// packets with payload (13818-1 §2.4.3.3); within a pass all are moved alike,
// so that what was a repetition or a loss stays one.
func (r *restamper) count(p packet, s *pidState) {
	if !s.seen {
		s.seen = true
		next := s.out
		if p.hasPayload() {
			next++
		}
		s.shift = next - p.counter()
		if a := p.adaptation(); a != nil {
			// Where a file's first packet announces a break, there is none now.
			a[0] &^= flagDiscontinuity
		}
	}
	p.setCounter(p.counter() + s.shift)
	s.out = p.counter()
}
