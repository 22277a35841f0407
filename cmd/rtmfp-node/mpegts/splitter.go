package mpegts

import "time"

// SplitterOptions are options of a Splitter. The zero value is the default.
type SplitterOptions struct {
	// MaxPackets is how many packets a message holds at most; zero is
	// DefaultMessagePackets. More than three are needed to keep tables and key
	// frame together.
	MaxPackets int
}

// Splitter cuts a transport stream that arrives in pieces of any size into
// messages. The data of all messages together is the input, byte for byte,
// apart from garbage between packets, which is skipped and counted.
type Splitter struct {
	framer framer
	cutter cutter
}

// NewSplitter returns a Splitter at the start of a stream.
func NewSplitter(o SplitterOptions) *Splitter {
	return &Splitter{cutter: newCutter(o)}
}

// Write takes the next piece of the stream and hands complete messages to emit.
// It returns the first error of emit, or one that wraps ErrNotTS. After an
// error the Splitter is of no further use.
func (s *Splitter) Write(p []byte, emit func(Message) error) error {
	return s.framer.write(p, func(p packet) error { return s.cutter.add(p, emit) })
}

// Flush emits the whole packets that wait for their message to fill, unless
// they are tables whose key frame is about to follow. Call it when the input
// pauses, to keep a live stream's delay low.
func (s *Splitter) Flush(emit func(Message) error) error {
	if err := s.cutter.settle(emit); err != nil || s.cutter.awaitsKey() {
		return err
	}
	return s.cutter.emit(emit)
}

// Close emits everything that is left. Its error is a *TruncatedError if the
// stream ended within a packet, one that wraps ErrNotTS if it never had a
// packet, or emit's.
func (s *Splitter) Close(emit func(Message) error) error {
	err := s.framer.close(func(p packet) error { return s.cutter.add(p, emit) })
	if e := s.cutter.close(emit); e != nil {
		return e
	}
	return err
}

// Skipped returns how many bytes of garbage between packets were left out.
func (s *Splitter) Skipped() int64 { return s.framer.skipped }

// cutter groups packets into messages.
type cutter struct {
	max    int // packets in a message
	tables tables
	video  pictures // of the lead stream
	media  mediaClock

	clockPID int // carries the clock references; nullPID until known

	held   []unit // the beginning of a picture of which the class is not known yet, and what lies between
	credit int    // half packets by which messages may stay short for the sake of classes
	mixed  bool   // the picture that could be left out begins in a message that can't

	// The message in the making.
	data   []byte
	mark   clockMark
	key    bool
	tabled bool  // it begins with a PAT
	begun  bool  // a unit of the lead stream begins in it
	class  Class // of what matters most in it
	idle   bool  // there is nothing but stuffing in it
}

// unit is a packet and what is known of it.
type unit struct {
	p     packet
	start bool // a unit of the lead stream begins here
	key   bool // a viewer can start with it
	any   bool // or could if it is behind tables
	open  bool // it is of the picture of which the class is not known yet
	class Class
	idle  bool // stuffing

	at    uint64
	timed bool // at is the decoding time
}

func newCutter(o SplitterOptions) cutter {
	if o.MaxPackets <= 0 {
		o.MaxPackets = DefaultMessagePackets
	}
	return cutter{max: o.MaxPackets, clockPID: nullPID, credit: creditMax * o.MaxPackets}
}

// awaitsKey reports whether the message in the making may yet become one that a
// viewer can start with.
func (c *cutter) awaitsKey() bool { return c.tabled && !c.begun }

// add takes a packet and emits what that completes. Packets wait for the class of
// their picture as long as they would for a message to fill.
func (c *cutter) add(p packet, emit func(Message) error) error {
	if len(c.held) >= c.max {
		if err := c.settle(emit); err != nil {
			return err
		}
	}
	u := c.inspect(p)
	if len(c.held) > 0 && (u.start || !c.video.open) {
		if err := c.release(c.classBefore(&u), emit); err != nil {
			return err
		}
	}
	if u.open || len(c.held) > 0 {
		u.p = append(packet(nil), p...)
		c.held = append(c.held, u)
		return nil
	}
	return c.place(&u, emit)
}

// classBefore returns the class of the packets that are held, now that there is u.
func (c *cutter) classBefore(u *unit) Class {
	if u.start {
		return Plain // that picture had no slice at all
	}
	return c.video.class
}

// settle gives up the wait for the class of a picture.
func (c *cutter) settle(emit func(Message) error) error {
	c.video.settle()
	return c.release(Plain, emit)
}

// release places what was held: the packets of the picture are of a class.
func (c *cutter) release(class Class, emit func(Message) error) error {
	held := c.held
	c.held = nil
	for i := range held {
		u := &held[i]
		if u.open {
			u.class = class
		}
		if err := c.place(u, emit); err != nil {
			return err
		}
	}
	return nil
}

// close emits all that is left.
func (c *cutter) close(emit func(Message) error) error {
	if err := c.settle(emit); err != nil {
		return err
	}
	return c.emit(emit)
}

// place appends a packet to the message in the making, or begins another.
func (c *cutter) place(u *unit, emit func(Message) error) error {
	if c.mixed = c.mixed && !u.start; c.mixed && u.class == Spare && !u.idle {
		u.class = Plain // it is of no use without its beginning, nor that without it
	}
	tabled := u.p.pid() == patPID && u.p.unitStart()
	key := u.key || u.any && c.awaitsKey()
	if tabled || key && !c.awaitsKey() || c.parts(u) {
		if err := c.emit(emit); err != nil {
			return err
		}
	}
	if len(c.data) == 0 {
		c.data = make([]byte, 0, c.max*PacketSize)
		c.tabled, c.class, c.idle = tabled, u.class, u.idle
	}
	c.noteClock(u.p)
	if u.timed {
		c.media.observe(u.at)
	}
	switch {
	case u.idle:
	case c.idle:
		c.class, c.idle = u.class, false
	default:
		c.class = c.class.over(u.class)
	}
	if u.start && u.class == Spare && c.class != Spare {
		c.mixed = true
	}
	c.data = append(c.data, u.p...)
	c.credit = min(c.credit+1, creditMax*c.max)
	c.key = c.key || key
	c.begun = c.begun || u.start
	most := c.max
	if c.class == Spare && !c.idle {
		most = max(most, maxSparePackets)
	}
	if len(c.data) >= most*PacketSize {
		return c.emit(emit)
	}
	return nil
}

// parts reports whether a packet is better not put into the message in the making:
// it is of another class, or begins another picture that can be left out. What
// messages are shorter for that is limited, as each costs the room of a datagram's
// head: there are at most half as many again.
func (c *cutter) parts(u *unit) bool {
	if len(c.data) == 0 || c.idle || u.idle || c.awaitsKey() && !u.start {
		return false
	}
	if u.class == c.class && !(u.start && u.class == Spare) {
		return false
	}
	short := c.max - 1 - (len(c.data)/PacketSize-1)%c.max
	if c.credit < 2*short && len(c.data) < c.max*PacketSize {
		return false
	}
	c.credit -= 2 * short
	return true
}

// inspect finds out what there is to know of a packet.
func (c *cutter) inspect(p packet) unit {
	u := unit{p: p}
	pid := p.pid()
	if c.tables.add(p) {
		u.class = First
		return u
	}
	lead := c.tables.prog
	switch {
	case pid == nullPID:
		u.class, u.idle = Spare, true
		return u
	case !c.tables.ok:
		return u
	case c.tables.carriesSound(pid), pid == lead.clockPID && pid != lead.leadPID:
		u.class = First
	}
	if pid != lead.leadPID {
		return u
	}
	if h, ok := p.pes(); ok && !p.damaged() {
		// Where there is no video any frame would do; those behind tables are
		// enough to choose from.
		u.start, u.any = true, !lead.video
		u.key = lead.video && keyFrame(p, h, lead.codec)
		u.at, u.timed = h.decodeTime()
	}
	if lead.video {
		before := c.video.class
		c.video.add(p, lead.codec, u.key)
		u.class, u.open = c.video.class, c.video.open
		if before == Spare && !u.start && u.class != Spare {
			c.class = c.class.over(u.class) // it was not spare after all
		}
	}
	return u
}

// noteClock marks the first clock reference of the message.
func (c *cutter) noteClock(p packet) {
	f := p.pcrField()
	if f == nil || c.mark.ok || p.damaged() {
		return
	}
	if c.tables.ok && c.tables.prog.clockPID != nullPID {
		c.clockPID = c.tables.prog.clockPID
	} else if c.clockPID == nullPID {
		c.clockPID = p.pid()
	}
	if p.pid() == c.clockPID {
		c.mark = clockMark{ok: true, jump: p.discontinuity(), packet: len(c.data) / PacketSize, ticks: clock(f)}
	}
}

// emit ends the message in the making.
func (c *cutter) emit(emit func(Message) error) error {
	if len(c.data) == 0 {
		return nil
	}
	m := Message{Data: c.data, PTS: c.media.now(), Key: c.key, Class: c.class, clock: c.mark}
	c.data, c.mark, c.key, c.tabled, c.begun = nil, clockMark{}, false, false, false
	return emit(m)
}

// mediaClock turns the 33-bit stamps of a stream into time since the first.
type mediaClock struct {
	started bool
	last    uint64
	step    int64 // the last step that was believed
	elapsed int64 // in ticks of 90 kHz
}

func (c *mediaClock) observe(v uint64) {
	if !c.started {
		c.started, c.last = true, v
		return
	}
	d := stampDiff(v, c.last)
	if d < 0 || d > maxClockStep/tickRatio {
		d = c.step // the source began a new time line
	}
	c.last, c.step = v, d
	c.elapsed += d
}

func (c *mediaClock) now() time.Duration {
	return time.Duration(c.elapsed) * (time.Second / 10_000) / (stampHz / 10_000)
}
