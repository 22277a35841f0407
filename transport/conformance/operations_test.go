package conformance

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"rtmfp/internal/clock"
	"rtmfp/internal/impair"
	"rtmfp/transport"
)

// FuzzOperations runs two peers through any order of operations on sessions and
// flows while the network turns bad and good and the client's address changes,
// then lets the network be perfect. Whatever happened: nothing is delivered
// twice, changed, or out of order, what was to be reliable arrives, every receipt
// comes once and is true, every byte is accounted for, and no flow is stuck.
func FuzzOperations(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(randomOperations(seed, 150))
	}
	f.Fuzz(func(t *testing.T, ops []byte) {
		if len(ops) > 600 {
			return
		}
		operate(t, ops)
	})
}

// TestOperations does the same with random operations.
func TestOperations(t *testing.T) {
	n := *seeds
	if testing.Short() {
		n = min(n, 10)
	}
	all := []uint64{808, 3612} // each found a flow that got stuck
	for seed := range uint64(n) {
		all = append(all, seed)
	}
	for _, seed := range all {
		operate(t, randomOperations(seed+1000, 1500))
		if t.Failed() {
			t.Fatalf("with seed %d", seed)
		}
	}
}

func randomOperations(seed uint64, n int) []byte {
	b := make([]byte, n)
	reader{rand.New(rand.NewPCG(seed, 0x6f7073))}.Read(b)
	return b
}

// player is a peer that is played with, and what is known of its flows.
type player struct {
	*peer
	t     *testing.T
	far   *player
	sends []*played // by label less 1
	recvs []*transport.RecvFlow
	count int // of receipts asked for
	asked map[uint64]*sentMessage
}

// played is one flow, known to both its ends.
type played struct {
	flow     *transport.SendFlow
	recv     *transport.RecvFlow
	label    uint32
	ordered  bool
	messages []*sentMessage
	next     int  // number of the next message, if it is ordered
	closed   bool // by Close
	aborted  bool // by Abort, Reject, or the end of the session
	ended    bool // SendFlowClosed
	done     bool // FlowDone
}

type sentMessage struct {
	body     []byte
	reliable bool
	receipt  uint64
	answered bool
	told     bool // delivered, as the receipt says
	got      bool
}

func operate(t *testing.T, ops []byte) {
	defer func() {
		if p, ok := recover().(failure); ok {
			t.Fatal(p.text)
		}
	}()
	v := newVirtual(both(simple), 1)
	small := func(c *transport.Config) { c.RecvBuffer, c.SessionBuffer, c.MaxFlowsPerSession = 16<<10, 48<<10, 24 }
	a := newPlayer(t, v.peer(client, small))
	b := newPlayer(t, v.peer(server, small))
	a.far, b.far = b, a
	dial := func() {
		if _, err := a.Dial(v.at, b.PeerID(), []netip.AddrPort{b.addr}); err != nil {
			t.Fatal(err)
		}
		a.sent()
	}
	dial()
	for len(ops) >= 3 {
		op, x, y := ops[0], int(ops[1]), int(ops[2])
		ops = ops[3:]
		p := a
		if op&1 != 0 {
			p = b
		}
		switch op >> 1 % 16 {
		case 0:
			p.open(x, y)
		case 1, 2, 3, 4, 5:
			for i := range 1 + x>>5 {
				p.message(x, y+i)
			}
		case 6:
			if f := p.pick(x); f != nil && y < 128 {
				f.closed = true
				f.flow.Close(v.at)
			}
		case 7:
			if f := p.pick(x); f != nil && y < 48 {
				f.aborted = true
				f.flow.Abort(v.at)
			}
		case 8:
			if len(p.recvs) > 0 {
				p.recvs[x%len(p.recvs)].Hold(v.at, y&1 == 1)
			}
		case 9:
			if len(p.recvs) > 0 && y < 32 {
				r := p.recvs[x%len(p.recvs)]
				r.User.(*played).aborted = true
				r.Reject(v.at, uint64(y))
			}
		case 10: // the network changes
			c := impair.Config{Delay: time.Duration(x%64) * time.Millisecond, Rate: (1 + y%16) * mbit, Queue: 5 + y}
			switch x >> 6 {
			case 1:
				c.Loss, c.Burst = float64(y)/400, 1+y%4
			case 2:
				c.Jitter, c.Duplicate = time.Duration(y)*time.Millisecond/4, 0.1
			case 3:
				c.Corrupt, c.MTU = float64(y)/800, 0
			}
			v.links[p.side] = impair.NewLink(c, uint64(x*256+y))
		case 11:
			v.rebind(a.peer, y&1 == 1)
		case 12:
			if s := p.session(); s != nil && y < 12 {
				if x&1 == 0 {
					s.Close(v.at)
				} else {
					s.Abort(v.at)
				}
				p.sessionOver()
			}
		case 13:
			dial()
		default:
			v.run(time.Duration(x*y) * 20 * time.Microsecond)
		}
		p.sent()
	}
	// The network is perfect from here on, and everybody reads and closes.
	for i := range v.links {
		v.links[i] = impair.NewLink(simple, 1)
	}
	v.run(5 * time.Second) // in which two sessions become one, or an address is found
	for _, p := range []*player{a, b} {
		for _, r := range p.recvs {
			r.Hold(v.at, false)
		}
		for _, f := range p.sends {
			f.closed = true
			f.flow.Close(v.at)
		}
		p.sent()
	}
	v.run(3 * time.Minute)
	a.settle()
	b.settle()
}

func newPlayer(t *testing.T, p *peer) *player {
	w := &player{peer: p, t: t, asked: make(map[uint64]*sentMessage)}
	p.on = w.event
	return w
}

// session returns the session with the other player, nil if there is none.
func (p *player) session() *transport.Session { return p.Session(p.far.PeerID()) }

func (p *player) open(x, y int) {
	s := p.session()
	if s == nil {
		return
	}
	f := &played{label: uint32(len(p.sends) + 1), ordered: x&1 == 0}
	o := transport.FlowOptions{Priority: uint8(y), TimeCritical: x&2 != 0,
		Metadata: binary.BigEndian.AppendUint32(nil, f.label)}
	if x&4 != 0 && len(p.recvs) > 0 {
		o.Reply = p.recvs[y%len(p.recvs)]
		if asking := p.far.find(o.Reply); asking != nil && (asking.closed || asking.aborted) {
			o.Reply = nil // would be rejected
		}
	}
	flow, err := s.OpenFlow(p.clock(), o)
	if err != nil {
		return
	}
	f.flow = flow
	flow.User = f
	p.sends = append(p.sends, f)
}

// find returns what is known of the sending flow that r receives.
func (p *player) find(r *transport.RecvFlow) *played {
	if f, ok := r.User.(*played); ok {
		return f
	}
	return nil
}

// pick returns one of the flows that may still be sent on.
func (p *player) pick(x int) *played {
	if len(p.sends) == 0 {
		return nil
	}
	return p.sends[x%len(p.sends)]
}

func (p *player) message(x, y int) {
	f := p.pick(x)
	if f == nil {
		return
	}
	m := &sentMessage{reliable: y&3 != 3}
	o := transport.SendOptions{}
	if !m.reliable {
		o.Deadline = p.clock().Add(time.Duration(y) * time.Millisecond)
	}
	if y&4 != 0 {
		p.count++
		m.receipt = uint64(p.count)
		o.Receipt = m.receipt
	}
	size := 8 + x*y%20000
	m.body = binary.BigEndian.AppendUint32(nil, f.label)
	m.body = binary.BigEndian.AppendUint32(m.body, uint32(len(f.messages)))
	m.body = append(m.body, filling(f.label, len(f.messages), size-8)...)
	if err := f.flow.Send(p.clock(), m.body, o); err != nil {
		return // closed, rejected, or full
	}
	f.messages = append(f.messages, m)
	if m.receipt != 0 {
		p.asked[m.receipt] = m
	}
}

// sessionOver notes that the flows have ended with the session.
func (p *player) sessionOver() {
	for _, w := range []*player{p, p.far} {
		for _, f := range w.sends {
			if s := f.flow.Session().State(); s > transport.StateOpen || f.flow.Session() == p.session() {
				f.aborted = true
			}
		}
	}
}

func (p *player) event(now clock.Time, ev transport.Event) {
	switch ev.Kind {
	case transport.SessionClosed, transport.SessionFailed:
		for _, w := range []*player{p, p.far} {
			for _, f := range w.sends {
				f.aborted = true
			}
		}
	case transport.FlowOpen:
		label := binary.BigEndian.Uint32(ev.Recv.Metadata())
		if label == 0 || int(label) > len(p.far.sends) {
			p.t.Errorf("%s: a flow with label %d", p.name, label)
			return
		}
		f := p.far.sends[label-1]
		if f.recv != nil && f.recv != ev.Recv {
			p.t.Errorf("%s: flow %d opened twice", p.name, label)
		}
		f.recv = ev.Recv
		ev.Recv.User = f
		p.recvs = append(p.recvs, ev.Recv)
		ev.Recv.Accept(now, f.ordered)
	case transport.Message:
		p.got(ev)
	case transport.FlowDone:
		f := ev.Recv.User.(*played)
		if f.done || !f.closed && !f.aborted {
			p.t.Errorf("%s: flow %d is done, again: %v, closed: %v", p.name, f.label, f.done, f.closed)
		}
		f.done = true
	case transport.SendFlowClosed:
		f := ev.Send.User.(*played)
		if f.ended {
			p.t.Errorf("%s: flow %d ended twice", p.name, f.label)
		}
		f.ended = true
	case transport.SendFlowRejected:
		f := ev.Send.User.(*played)
		if !f.aborted && ev.Code == 0 {
			// A return flow is refused when the flow that it answers was closed
			// before it arrived.
			f.aborted = true
		} else if !f.aborted {
			p.t.Errorf("%s: flow %d was rejected by nobody", p.name, f.label)
		}
	case transport.Receipt:
		m := p.asked[ev.Receipt]
		if m == nil || m.answered {
			p.t.Errorf("%s: receipt %d came twice or for nothing", p.name, ev.Receipt)
			return
		}
		m.answered, m.told = true, ev.Delivered
	}
}

// got checks a message that was delivered.
func (p *player) got(ev transport.Event) {
	f := ev.Recv.User.(*played)
	if len(ev.Data) < 8 || binary.BigEndian.Uint32(ev.Data) != f.label {
		p.t.Errorf("%s: flow %d: a message of %d bytes of another flow", p.name, f.label, len(ev.Data))
		return
	}
	i := int(binary.BigEndian.Uint32(ev.Data[4:]))
	if i >= len(f.messages) || !bytes.Equal(ev.Data, f.messages[i].body) {
		p.t.Errorf("%s: flow %d: message %d of %d is damaged", p.name, f.label, i, len(f.messages))
		return
	}
	m := f.messages[i]
	if m.got {
		p.t.Errorf("%s: flow %d: message %d came twice", p.name, f.label, i)
	}
	m.got = true
	if f.ordered {
		if i < f.next {
			p.t.Errorf("%s: flow %d: message %d after %d", p.name, f.label, i, f.next-1)
		}
		if i > f.next && !ev.Skipped {
			p.t.Errorf("%s: flow %d: messages %d to %d were skipped without a word", p.name, f.label, f.next, i-1)
		}
		f.next = i + 1
	}
}

// settle checks what must hold once the network has been perfect for long.
func (p *player) settle() {
	complain := func(f *played, format string, args ...any) {
		p.t.Errorf("%s: flow %d: %s (session %v)", p.name, f.label, fmt.Sprintf(format, args...), f.flow.Session().State())
	}
	for _, f := range p.sends {
		if f.flow.Buffered() != 0 || f.flow.Queued() != 0 {
			complain(f, "%d bytes buffered, %d queued at the end", f.flow.Buffered(), f.flow.Queued())
		}
		for i, m := range f.messages {
			if m.told && !m.got && !f.aborted {
				complain(f, "message %d was not delivered, though its receipt says so", i)
			}
			if f.aborted {
				continue
			}
			if m.reliable && !m.got {
				complain(f, "message %d of %d was not delivered", i, len(f.messages))
			}
			if m.receipt != 0 && !m.answered {
				complain(f, "message %d has no receipt", i)
			}
		}
		if !f.aborted && !f.ended {
			complain(f, "was closed and did not end")
		}
		if !f.aborted && len(f.messages) > 0 && !f.done {
			complain(f, "the receiver does not know that it ended")
		}
	}
	if s := p.session(); s != nil && s.Stats().Outstanding != 0 {
		p.t.Errorf("%s: %d bytes outstanding at rest", p.name, s.Stats().Outstanding)
	}
}
