package group

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"rtmfp/internal/clock"
)

// What everything would cost on the wire, in bytes of UDP payload. The sizes and
// the rules are those of package transport, read off two of its endpoints whose
// identities can sign, on a network of 100 ms each way: acknowledgements are
// delayed by 200 ms unless two packets wait for one, ride on data that goes the
// same way meanwhile, and are a sign of life when they come; a far end is pinged
// after a silence; a sparing dial tries addresses 200 ms apart, and each of them
// again after 750 ms and 3 s.
const (
	costPacket    = 36  // of a packet with a message, beside its bytes: header, cipher, chunk
	costChunk     = 7   // of another message in the same packet
	costMetadata  = 8   // of the first message of a flow
	costAck       = 36  // of a packet that only acknowledges
	costPing      = 32  // of a keepalive, each way
	costIHello    = 212 // of the first attempts
	costForward   = 110 // of what an introducer makes of one
	costRHello    = 136
	costIIKeying  = 184
	costRIKeying  = 68
	costOpened    = costIIKeying + costRIKeying + 2*costPing // and RHello
	costClose     = 32                                       // each way
	dialOffset    = 200 * time.Millisecond
	ihelloAgain   = 750 * time.Millisecond
	ihelloAgain2  = 3 * time.Second
	delayedAck    = 200 * time.Millisecond
	dialNeverOpen = 95 * time.Second
)

// What bytes were spent for: messages by their first byte, and
const (
	spentOpening = iota + 0x80
	spentMore    // further addresses, and repetitions, of dials that succeeded
	spentFailed  // dials that did not
	spentAck
	spentPing
	spentClose
)

var costNames = map[int]string{
	spentOpening: "opening", spentMore: "further IHellos", spentFailed: "dials in vain", spentAck: "acks",
	spentPing: "keepalives", spentClose: "closing", msgInit: "init, join", msgAccepted: "accepted", msgBegin: "begin",
	msgBeginNearest: "begin", msgReport: "reports, notices", msgCloseRequest: "close requests", msgBye: "bye", msgTable: "tables",
	msgWant: "want", msgGone: "gone", msgHeal: "heal", msgMember: "introductions", msgServed: "served",
	msgRoute: "routed", msgAnswer: "answers",
}

func (n *simNet) spend(kind int, bytes int) {
	n.spent[kind] += uint64(bytes)
	n.times[kind]++
}

// traffic tells what was sent until now, and what of it for opening sessions.
func (n *simNet) traffic() (bytes, dialing uint64) {
	for _, e := range n.ends {
		if e != nil && e.open {
			e.settle()
		}
	}
	for _, b := range n.spent {
		bytes += b
	}
	return bytes, n.spent[spentOpening] + n.spent[spentMore] + n.spent[spentFailed]
}

// bill tells what bytes were spent for since the last call, in bytes and in
// times a second for each member.
func (n *simNet) bill(d time.Duration) string {
	n.traffic()
	var kinds []int
	for k, b := range n.spent {
		if b > n.billed[k] {
			kinds = append(kinds, k)
		}
	}
	slices.SortFunc(kinds, func(a, b int) int {
		return cmp.Compare(n.spent[b]-n.billed[b], n.spent[a]-n.billed[a])
	})
	per := func(x uint64) float64 { return float64(x) / d.Seconds() / float64(len(n.live)) }
	var s strings.Builder
	for _, k := range kinds {
		fmt.Fprintf(&s, "  %-18s %7.1f B/s %7.3f /s\n", cmp.Or(costNames[k], fmt.Sprintf("%02x", k)), per(n.spent[k]-n.billed[k]), per(n.times[k]-n.timed[k]))
	}
	n.billed, n.timed = n.spent, n.times
	return s.String()
}

// ihellos tells how many were sent to so many addresses in a time.
func ihellos(addresses int, d time.Duration) (count int) {
	for i := range addresses {
		for _, at := range [...]time.Duration{0, ihelloAgain, ihelloAgain2} {
			if at+time.Duration(i)*dialOffset <= d {
				count++
			}
		}
	}
	return count
}

// charge charges for the IHellos of a dial that took so long.
func (d *simDial) charge(n *simNet, kind int, took time.Duration) {
	count := ihellos(d.direct+d.via, took)
	bytes := count * costIHello
	if d.via > 0 {
		bytes += max(0, count-ihellos(d.direct, took)) * costForward
	}
	if kind == spentMore {
		bytes += count*costRHello - costIHello - costRHello // the first is part of the opening
	}
	if bytes > 0 {
		n.spend(kind, bytes)
	}
}

// A simPair is what both ends of a link have in common: since when nothing but
// keepalives went over it.
type simPair struct {
	quiet clock.Time
	rtt   time.Duration
}

func (e *simEnd) keeping() time.Duration {
	k := e.keep
	if e.far != nil && e.far.keep > 0 && (k == 0 || e.far.keep < k) {
		k = e.far.keep
	}
	if k == 0 {
		k = keepalive
	}
	return k
}

// settle charges for what has happened by itself on a link: keepalives, and an
// acknowledgement that was delayed.
func (e *simEnd) settle() {
	n := e.node.net
	e.ackLate()
	p := e.pair
	cycle := e.keeping() + p.rtt
	if d := n.now.Sub(p.quiet); d >= cycle && e.node.alive && e.far.node.alive && e.far.open && !n.cut(e.node, e.far.node) {
		k := d / cycle
		p.quiet = p.quiet.Add(k * cycle)
		n.spent[spentPing] += uint64(k) * 2 * costPing
		n.times[spentPing] += uint64(k)
	}
}

// settleLast does so when the link ends here. Pings to a far end that died were
// sent until now.
func (e *simEnd) settleLast() {
	n := e.node.net
	e.settle()
	if e.node.alive && !e.far.node.alive {
		if k := n.now.Sub(max(e.pair.quiet, e.far.node.died)) / max(e.keeping(), probeInterval); k > 0 {
			n.spent[spentPing] += uint64(k) * costPing
			n.times[spentPing] += uint64(k)
		}
	}
}

// ackLate charges for a delayed acknowledgement that has gone alone.
func (e *simEnd) ackLate() {
	if e.ackDue != 0 && e.node.net.now >= e.ackDue {
		e.node.net.spend(spentAck, costAck)
		e.ackDue = 0
	}
}

// packed charges for a message, alone in its packet or not.
func (e *simEnd) packed(f *simFlow, msg []byte) {
	n := e.node.net
	cost := len(msg)
	if !f.told {
		f.told = true
		cost += costMetadata
	}
	switch e.ackLate(); {
	case e.lastSent == n.now:
		cost += costChunk
	case e.ackDue != 0: // rides along
		e.ackDue = 0
		cost += costPacket + costChunk
	default:
		cost += costPacket
	}
	e.lastSent = n.now
	n.spend(int(msg[0]), cost)
}

// acknowledge notes that a packet has come to e.
func (e *simEnd) acknowledge() {
	n := e.node.net
	e.settle()
	e.lastHeard, e.pair.quiet = n.now, n.now
	back := n.now.Add(e.pair.rtt / 2)
	if e.lastAck == n.now {
		return // of one packet
	}
	e.lastAck = n.now
	if e.ackDue != 0 { // the second
		n.spend(spentAck, costAck)
		e.ackDue = 0
	} else {
		e.ackDue = n.now.Add(delayedAck)
		back = back.Add(delayedAck)
	}
	e.far.willHear(back)
}

// willHear notes that a sign of life comes to e then.
func (e *simEnd) willHear(at clock.Time) {
	if e.coming[0] == 0 {
		e.coming[0] = at
	} else {
		e.coming[1] = max(at, e.coming[0])
	}
}

// heard returns when the last sign of life came to e.
func (e *simEnd) heard() clock.Time {
	n := e.node.net
	for e.coming[0] != 0 && e.coming[0] <= n.now {
		e.lastHeard = max(e.lastHeard, e.coming[0])
		e.coming[0], e.coming[1] = e.coming[1], 0
	}
	e.settle()
	if e.far.node.alive && e.far.open && !n.cut(e.node, e.far.node) {
		e.lastHeard = max(e.lastHeard, e.pair.quiet)
	}
	return e.lastHeard
}
