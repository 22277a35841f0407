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
	if s.cutter.awaitsKey() {
		return nil
	}
	return s.cutter.emit(emit)
}

// Close emits everything that is left. Its error is a *TruncatedError if the
// stream ended within a packet, one that wraps ErrNotTS if it never had a
// packet, or emit's.
func (s *Splitter) Close(emit func(Message) error) error {
	err := s.framer.close(func(p packet) error { return s.cutter.add(p, emit) })
	if e := s.cutter.emit(emit); e != nil {
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
	media  mediaClock

	clockPID int // carries the clock references; nullPID until known

	// The message in the making.
	data   []byte
	mark   clockMark
	key    bool
	tabled bool // it begins with a PAT
	begun  bool // a unit of the lead stream begins in it
}

func newCutter(o SplitterOptions) cutter {
	if o.MaxPackets <= 0 {
		o.MaxPackets = DefaultMessagePackets
	}
	return cutter{max: o.MaxPackets, clockPID: nullPID}
}

// awaitsKey reports whether the message in the making may yet become one that a
// viewer can start with.
func (c *cutter) awaitsKey() bool { return c.tabled && !c.begun }

// add appends a packet and emits what that completes.
func (c *cutter) add(p packet, emit func(Message) error) error {
	start, key, at, timed := c.inspect(p)
	tabled := p.pid() == patPID && p.unitStart()
	if tabled || key && !c.awaitsKey() {
		if err := c.emit(emit); err != nil {
			return err
		}
	}
	if len(c.data) == 0 {
		c.data = make([]byte, 0, c.max*PacketSize)
		c.tabled = tabled
	}
	c.noteClock(p)
	if timed {
		c.media.observe(at)
	}
	c.data = append(c.data, p...)
	c.key = c.key || key
	c.begun = c.begun || start
	if len(c.data) >= c.max*PacketSize {
		return c.emit(emit)
	}
	return nil
}

// inspect reports whether a unit of the lead stream starts in a packet, whether
// a viewer can begin with it, and its decoding time if it has one.
func (c *cutter) inspect(p packet) (start, key bool, at uint64, timed bool) {
	isTable := c.tables.add(p)
	lead := c.tables.prog
	if !c.tables.ok || isTable || p.pid() != lead.leadPID || p.damaged() {
		return false, false, 0, false
	}
	h, ok := p.pes()
	if !ok {
		return false, false, 0, false
	}
	// Where there is no video any frame would do; those behind tables are
	// enough to choose from.
	key = lead.video && keyFrame(p, h, lead.codec) || !lead.video && c.awaitsKey()
	at, timed = h.decodeTime()
	return true, key, at, timed
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
	m := Message{Data: c.data, PTS: c.media.now(), Key: c.key, clock: c.mark}
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
