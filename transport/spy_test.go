package transport

import (
	"bytes"
	"testing"

	"rtmfp/internal/clock"
	"rtmfp/transport/wire"
)

// sighting is a packet that an endpoint sent, in clear.
type sighting struct {
	at     clock.Time
	header wire.Header
	size   int // of header and chunks
	data   []wire.UserData
	next   int // how many of data were Next User Data chunks
	acks   []wire.Ack
	refuse []wire.FlowException
	probes []wire.BufferProbe
	order  []wire.ChunkType
}

// spy makes a node keep what it sends.
func spy(log *[]sighting) func(*Config) {
	return func(c *Config) {
		c.Trace = &Tracer{PacketSent: func(now clock.Time, p TracedPacket) {
			if p.Session == nil {
				return
			}
			h, n := wire.ConsumeHeader(p.Packet)
			s := sighting{at: now, header: h, size: len(p.Packet)}
			for rest := bytes.Clone(p.Packet[n:]); ; {
				typ, b, n := wire.ConsumeChunk(rest)
				if n == 0 {
					break
				}
				rest = rest[n:]
				s.order = append(s.order, typ)
				switch typ {
				case wire.ChunkUserData:
					c, _ := wire.ParseUserData(b)
					s.data = append(s.data, c)
				case wire.ChunkNextUserData:
					c, _ := wire.ParseNextUserData(b)
					u, _ := c.After(s.data[len(s.data)-1])
					s.data = append(s.data, u)
					s.next++
				case wire.ChunkRangeAck:
					c, _ := wire.ParseRangeAck(b)
					s.acks = append(s.acks, c)
				case wire.ChunkBitmapAck:
					c, _ := wire.ParseBitmapAck(b)
					s.acks = append(s.acks, c)
				case wire.ChunkException:
					c, _ := wire.ParseFlowException(b)
					s.refuse = append(s.refuse, c)
				case wire.ChunkBufferProbe:
					c, _ := wire.ParseBufferProbe(b)
					s.probes = append(s.probes, c)
				}
			}
			*log = append(*log, s)
		}}
	}
}

// watched is a session of which everything that either end sends is kept.
type watched struct {
	*network
	a, b   *testNode
	sa, sb *Session
	fromA  []sighting
	fromB  []sighting
}

// watch opens a session; change may alter both Configs.
func watch(t *testing.T, change func(*Config)) *watched {
	t.Helper()
	w := &watched{network: newNetwork(t, 1)}
	both := func(log *[]sighting) func(*Config) {
		return func(c *Config) {
			spy(log)(c)
			if change != nil {
				change(c)
			}
		}
	}
	w.a, w.b = w.add("a", modern, both(&w.fromA)), w.add("b", modern, both(&w.fromB))
	w.sa, w.sb = w.connect(w.a, w.b)
	w.forget()
	return w
}

// forget drops what was seen so far.
func (w *watched) forget() { w.fromA, w.fromB = nil, nil }

// data returns all fragments that were sent.
func data(log []sighting) (all []wire.UserData) {
	for _, s := range log {
		all = append(all, s.data...)
	}
	return all
}

// acks returns all acknowledgements that were sent.
func acks(log []sighting) (all []wire.Ack) {
	for _, s := range log {
		all = append(all, s.acks...)
	}
	return all
}

// ranges returns what an acknowledgement holds above its cumulative number.
func ranges(a wire.Ack) (r []wire.Range) {
	for c := a.Ranges(); ; {
		x, ok := c.Next()
		if !ok {
			return r
		}
		r = append(r, x)
	}
}

// arrive hands a fragment of flow 5 to the receiver as though a had sent it, in
// a packet of its own.
func (w *watched) arrive(u wire.UserData) {
	if u.FlowID == 0 {
		u.FlowID = 5
	}
	buf := make([]byte, 4+w.sa.keys.Headroom(), 1500)
	p := u.Append(wire.AppendHeader(buf, wire.Header{Mode: wire.ModeInitiator}))
	w.b.HandleDatagram(w.now, w.a.addr, w.sa.keys.Seal(p, w.sa.far))
	w.b.turn()
}

// first is the options of a flow's first fragment: empty metadata.
var first = []byte{1, 0}
