package conformance

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"rtmfp/internal/clock"
	"rtmfp/transport"
	"rtmfp/transport/crypto"
)

// A side is where a peer is: clients talk to servers through the network.
type side int

const (
	client side = iota
	server
)

// peer is an endpoint and a small application on it, which sends files, checks
// what it receives, and keeps books.
type peer struct {
	*transport.Endpoint
	name  string
	side  side
	addr  netip.AddrPort   // where the other side finds it
	more  []netip.AddrPort // where else it could
	clock func() clock.Time
	sent  func() // tells the world that there may be something to transmit

	sessions []*transport.Session // those that opened
	openedAt clock.Time
	ended    []error
	refused  []error
	moved    int
	asks     bool // as the files that are sent

	sends    []*file // in the order of opening
	receives []*file
	reply    bool                                     // answer each file, once it is here, with one of its size
	on       func(now clock.Time, ev transport.Event) // takes the place of the application
	faults   []string
}

// file is one flow's worth of messages: a number of bytes, cut into messages.
type file struct {
	flow    *transport.SendFlow
	recv    *transport.RecvFlow
	label   uint32
	size    int
	message int  // bytes of a message
	offset  int  // bytes queued, or received
	asks    bool // the flow stays open until the answer comes
	ended   bool
	began   clock.Time
	took    time.Duration // until it was received whole
}

// newPeer makes the parts of a peer that do not depend on the world.
func newPeer(name string, s side, seed uint64, change func(*transport.Config)) (*peer, error) {
	source := reader{rand.New(rand.NewPCG(seed, 0x70656572))}
	cfg := transport.Config{Rand: source}
	if change != nil {
		change(&cfg)
	}
	if cfg.Identity == nil {
		id, err := crypto.NewIdentity(source, crypto.IdentityOptions{})
		if err != nil {
			return nil, err
		}
		cfg.Identity = id
	}
	e, err := transport.New(cfg)
	return &peer{Endpoint: e, name: name, side: s}, err
}

// reader makes an io.Reader of a generator.
type reader struct{ rng *rand.Rand }

func (r reader) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(r.rng.Uint32())
	}
	return len(b), nil
}

// noise is what files are filled with, from an offset that their label and the
// message's position decide.
var noise = func() []byte {
	b := make([]byte, 128<<10)
	reader{rand.New(rand.NewPCG(1, 2))}.Read(b)
	return b
}()

// Layout of a message: label of the file, its size, offset of the message.
const messageHead = 12

func appendMessage(b []byte, label uint32, size, offset, n int) []byte {
	b = binary.BigEndian.AppendUint32(b, label)
	b = binary.BigEndian.AppendUint32(b, uint32(size))
	b = binary.BigEndian.AppendUint32(b, uint32(offset))
	return append(b, filling(label, offset, n-messageHead)...)
}

func filling(label uint32, offset, n int) []byte {
	at := (uint64(label)*7919 + uint64(offset)) % uint64(len(noise)/2)
	return noise[at : at+uint64(n)]
}

// send opens a flow and sends size bytes on it, in messages of the given size,
// then closes it.
func (p *peer) send(s *transport.Session, label uint32, size, message int, o transport.FlowOptions) *file {
	now := p.clock()
	o.Metadata = binary.BigEndian.AppendUint32(nil, label)
	flow, err := s.OpenFlow(now, o)
	f := &file{flow: flow, label: label, size: size, message: message, asks: p.asks, began: now}
	p.sends = append(p.sends, f)
	if err != nil {
		p.fault("OpenFlow: %v", err)
		f.ended = true
		return f
	}
	flow.User = f
	p.fill(now)
	p.sent()
	return f
}

// ask is send for a file of one message to a peer that replies. The flow is
// closed when the answer begins: a return flow needs one that is open.
func (p *peer) ask(s *transport.Session, label uint32, size int, o transport.FlowOptions) *file {
	p.asks = true
	defer func() { p.asks = false }()
	return p.send(s, label, size, size, o)
}

// answer marks the label of a file that answers another.
const answer = 1 << 31

// buffered bounds what a file keeps in a flow's send buffer, in bytes.
const buffered = 1 << 20

// fill queues what the flows have room for.
func (p *peer) fill(now clock.Time) {
	for _, f := range p.sends {
		if f.ended || f.offset == f.size {
			continue
		}
		var buf [64 << 10]byte
		for f.offset < f.size && f.flow.Buffered() < buffered {
			n := min(f.message, f.size-f.offset)
			if f.size-f.offset-n < messageHead {
				n = f.size - f.offset // no rest without a head
			}
			if err := f.flow.Send(now, appendMessage(buf[:0], f.label, f.size, f.offset, n), transport.SendOptions{}); err != nil {
				p.fault("Send: %v", err)
				f.ended = true
				return
			}
			f.offset += n
		}
		if f.offset == f.size && !f.asks {
			f.flow.Close(now)
		}
	}
}

// drain takes what the endpoint has to tell.
func (p *peer) drain(now clock.Time) {
	for {
		ev, ok := p.NextEvent()
		if !ok {
			p.fill(now)
			return
		}
		if p.on != nil {
			p.on(now, ev)
		} else {
			p.handle(now, ev)
		}
	}
}

func (p *peer) handle(now clock.Time, ev transport.Event) {
	switch ev.Kind {
	case transport.SessionOpen:
		p.sessions = append(p.sessions, ev.Session)
		p.openedAt = now
	case transport.SessionFailed:
		p.refused = append(p.refused, ev.Err)
	case transport.SessionClosed:
		p.ended = append(p.ended, ev.Err)
	case transport.AddressChanged:
		p.moved++
	case transport.FlowOpen:
		f := &file{recv: ev.Recv, began: now}
		if m := ev.Recv.Metadata(); len(m) == 4 {
			f.label = binary.BigEndian.Uint32(m)
		} else {
			p.fault("metadata %x", m)
		}
		ev.Recv.User = f
		p.receives = append(p.receives, f)
		ev.Recv.Accept(now, true)
		if asking := ev.Recv.Reply(); asking != nil {
			asking.Close(now)
		}
	case transport.Message:
		f := ev.Recv.User.(*file)
		p.receive(f, ev)
		if p.reply && f.offset == f.size {
			p.send(ev.Session, f.label|answer, f.size, f.size, transport.FlowOptions{Reply: ev.Recv})
		}
	case transport.FlowDone:
		f := ev.Recv.User.(*file)
		f.ended, f.took = true, now.Sub(f.began)
		if f.offset != f.size {
			p.fault("file %d ended at %d of %d bytes", f.label, f.offset, f.size)
		}
	case transport.SendFlowClosed:
		ev.Send.User.(*file).ended = true
	case transport.SendFlowRejected:
		p.fault("a flow was rejected with code %d", ev.Code)
	}
}

// receive checks a message: everything comes once, in order, unchanged.
func (p *peer) receive(f *file, ev transport.Event) {
	b := ev.Data
	if ev.Skipped || len(b) < messageHead {
		p.fault("file %d: a message of %d bytes, after a gap: %v", f.label, len(b), ev.Skipped)
		return
	}
	label, size, offset := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:])
	f.size = int(size)
	if label != f.label || int(offset) != f.offset || !bytes.Equal(b[messageHead:], filling(label, f.offset, len(b)-messageHead)) {
		p.fault("file %d at %d: got the message of file %d at %d, or a damaged one", f.label, f.offset, label, offset)
	}
	f.offset += len(b)
}

func (p *peer) fault(format string, args ...any) {
	if len(p.faults) < 5 {
		p.faults = append(p.faults, p.name+": "+fmt.Sprintf(format, args...))
	}
}

// received reports whether n files came, whole.
func (p *peer) received(n int) bool {
	if len(p.receives) < n {
		return false
	}
	for _, f := range p.receives {
		if !f.ended {
			return false
		}
	}
	return true
}

// closed reports whether every file that was sent is acknowledged to the end.
func (p *peer) closed() bool {
	for _, f := range p.sends {
		if !f.ended {
			return false
		}
	}
	return true
}
