package mpegts

import "time"

// pacer says when each message is due, by the clock references in the stream:
// those tell when the bytes that carry them are to arrive, and what lies
// between two of them arrives evenly (13818-1 §2.4.2.2). So messages wait here
// for the next reference.
type pacer struct {
	bitrate int // instead of a clock; zero if there must be one

	waiting []Message
	first   int // index in the stream of the first packet that waits
	end     int // and of the packet after all that were added
	bytes   int // that wait
	ready   int // how many of waiting have their time

	marked  bool
	mark    int    // the packet with the last reference
	markDue int64  // its time in ticks since the first packet
	ticks   uint64 // its value
	rate    rate
	lastDue int64
}

// rate is how much time some packets take. A quotient would lose precision.
type rate struct {
	ticks   int64
	packets int
}

func (r rate) of(packets int) int64 {
	if r.packets == 0 {
		return 0
	}
	return r.ticks * int64(packets) / int64(r.packets)
}

// add appends a message.
func (c *pacer) add(m Message) error {
	at := c.end
	c.waiting = append(c.waiting, m)
	c.end += len(m.Data) / PacketSize
	c.bytes += len(m.Data)
	switch {
	case m.clock.ok:
		c.reference(at+m.clock.packet, m.clock)
	case c.bytes > maxLookahead:
		return c.finish()
	}
	return nil
}

// reference takes the clock reference in packet at, and so settles the messages
// that begin before it.
func (c *pacer) reference(at int, m clockMark) {
	if !c.marked {
		// What precedes the first reference leaves at once.
		c.settle(at+1, 0, rate{})
		c.marked, c.mark, c.markDue, c.ticks = true, at, c.lastDue, m.ticks
		return
	}
	r := rate{int64((m.ticks + clockWrap - c.ticks) % clockWrap), at - c.mark}
	if m.jump || r.ticks > maxClockStep {
		// The clock was set: go on as before.
		r.ticks = c.rate.of(r.packets)
	} else {
		c.rate = r
	}
	c.settle(at+1, c.markDue, r)
	c.mark, c.markDue, c.ticks = at, c.markDue+r.ticks, m.ticks
}

// finish settles all that waits without another reference, at the rate so far.
func (c *pacer) finish() error {
	if !c.marked || c.rate.packets == 0 {
		switch {
		case c.bitrate > 0:
			c.rate = rate{PacketSize * 8 * clockHz, c.bitrate}
		case !c.marked:
			return ErrNoClock
		}
	}
	c.settle(c.end, c.markDue, c.rate)
	return nil
}

// settle gives the messages that begin before packet end their time: due is the
// time of the packet with the last reference.
func (c *pacer) settle(end int, due int64, r rate) {
	at := c.first
	for _, m := range c.waiting[:c.ready] {
		at += len(m.Data) / PacketSize
	}
	for c.ready < len(c.waiting) && at < end {
		m := &c.waiting[c.ready]
		// Never back: references may have come late.
		c.lastDue = max(c.lastDue, due+r.of(max(at-c.mark, 0)))
		m.Due = time.Duration(c.lastDue) * 1000 / (clockHz / 1_000_000)
		at += len(m.Data) / PacketSize
		c.ready++
	}
}

// next returns the next message whose time is known.
func (c *pacer) next() (Message, bool) {
	if c.ready == 0 {
		return Message{}, false
	}
	m := c.waiting[0]
	c.waiting[0] = Message{}
	c.waiting = c.waiting[1:]
	c.ready--
	c.first += len(m.Data) / PacketSize
	c.bytes -= len(m.Data)
	return m, true
}
