package gossip

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"rtmfp/group"
	"rtmfp/internal/clock"
	"rtmfp/multicast"
	"rtmfp/node"
	"rtmfp/simulations"
	"rtmfp/transport/crypto"
)

// runRTMFP runs a scenario on our nodes, with defaults and with the cryptography
// of production.
func runRTMFP(_ *testing.T, s *Scenario, report func(Result)) {
	m := newRun("rtmfp", s)
	p := &ours{run: m}
	err := p.join()
	if err == nil {
		err = p.publish()
	}
	if err == nil {
		err = errors.Join(p.problem, p.net.Err())
	}
	if err != nil {
		m.fail(err)
	}
	report(m.r)
}

// ours is the nodes of a run of our own.
type ours struct {
	*run
	net     *simulations.Network
	nodes   []ourNode
	source  *multicast.Publication // of a stream
	problem error
}

type ourNode struct {
	*simulations.Node
	group *node.GroupCore
	sub   *multicast.Subscription // nil at the source of a stream, and where there is none
}

// introducer is the node that all others know when they begin.
const introducer = 1

const streamName = "stream"

// access is what every node is attached by. Simnet's links have CoDel, too, and
// no limit but that, and are fair to every flow in addition.
func (p *ours) access() simulations.Access {
	return simulations.Access{Up: int(p.Access), Down: int(p.Access), CoDel: true, Queue: 1 << 30}
}

// identities is where the generators for identities begin, beyond those of the
// nodes themselves.
const identities = 1 << 20

// unixMilli is the wall-clock time at which runs begin.
const unixMilli = 1_800_000_000_000

// join makes the nodes, has them join the group, and play or listen.
func (p *ours) join() error {
	spec, err := group.NewSpec(group.SpecFields{
		Name: "comparison", Multicast: p.Live, Posting: !p.Live, ServerChannel: true, Version: 2,
	})
	if err != nil {
		return err
	}
	p.net = simulations.New(simulations.Config{Seed: p.Seed, Link: func(from, to int) simulations.Link {
		return simulations.Link{Latency: p.latency(from, to)}
	}})
	p.nodes = make([]ourNode, p.Nodes)
	for i := range p.nodes {
		cfg := simulations.NodeConfig{
			Core: node.CoreConfig{Introduce: i == introducer, UnixMilli: unixMilli}, Access: p.access(),
		}
		// An identity as package node makes it: it signs.
		cfg.Core.Identity, err = crypto.NewIdentity(p.net.Rand(identities+i), crypto.IdentityOptions{Sign: true})
		if err != nil {
			return err
		}
		p.nodes[i].Node, err = p.net.Add(cfg)
		if err != nil {
			return err
		}
	}
	for _, i := range p.order() {
		n := &p.nodes[i]
		p.net.Do(n.Node, func(now clock.Time) {
			if i != introducer {
				at := p.nodes[introducer].Addr
				n.Core.AddBootstrap(now, "rtmfp://"+at.String(), []netip.AddrPort{at})
			}
			n.group = n.Core.Join(now, spec)
			switch {
			case !p.Live:
				n.group.Posts().Listen(true)
			case i == 0:
				p.source, err = n.group.Streams().Publish(now, streamName, multicast.StreamConfig{})
			default:
				n.sub, err = n.group.Streams().Play(now, streamName, multicast.PlayConfig{})
			}
		})
		if err != nil {
			return err
		}
		n.OnTurn = func(now clock.Time) { p.drain(time.Duration(now), i) }
		p.net.Run(p.Joining)
	}
	p.net.Run(p.Warmup)
	return nil
}

// order returns the nodes in the order in which they join: whoever introduces
// the others is there before them.
func (p *ours) order() []int {
	order := []int{introducer}
	for i := range p.Nodes {
		if i != introducer {
			order = append(order, i)
		}
	}
	return order
}

// drain takes what a node has for its user.
func (p *ours) drain(now time.Duration, i int) {
	n := &p.nodes[i]
	for _, ok := n.Core.NextEvent(); ok; {
		_, ok = n.Core.NextEvent()
	}
	if n.sub != nil {
		for f, ok := n.sub.NextFrame(); ok; f, ok = n.sub.NextFrame() {
			p.take(now, i, f.Data)
		}
	}
	if posts := n.group.Posts(); posts != nil {
		for post, ok := posts.NextPost(); ok; post, ok = posts.NextPost() {
			if post.Author != group.PeerID(n.Core.ID()) {
				p.take(now, i, post.Data)
			}
		}
	}
}

func (p *ours) take(now time.Duration, i int, data []byte) {
	if err := p.deliver(now, i, data); err != nil && p.problem == nil {
		p.problem = err
	}
}

// publish carries out the schedule.
func (p *ours) publish() error {
	before := make([]uint64, p.Nodes)
	for i, n := range p.nodes {
		before[i] = n.Sent
	}
	earlier := p.net.Stats()
	first := p.net.Now()
	p.begin(time.Duration(first))
	for k := range p.published {
		at := time.Duration(k) * p.Every
		p.net.Run(first.Add(at).Sub(p.net.Now()))
		p.published[k] = time.Duration(p.net.Now())
		if err := p.send(k, at); err != nil {
			return err
		}
	}
	p.net.Run(p.Drain)
	p.net.Slim() // buffers for datagrams are not the nodes'
	var sent []int64
	for i, n := range p.nodes {
		sent = append(sent, int64(n.Sent-before[i]))
	}
	later := p.net.Stats()
	p.r.Received = int64(later.DeliveredBytes - earlier.DeliveredBytes)
	for _, why := range []simulations.Drop{simulations.DropUplink, simulations.DropDownlink} {
		p.r.Notes["datagrams dropped"] += int64(later.Dropped[why] - earlier.Dropped[why])
	}
	p.end(time.Duration(p.net.Now()), sent)
	p.copies()
	return nil
}

// send publishes the k-th message, which is due at an instant of the schedule.
func (p *ours) send(k int, at time.Duration) (err error) {
	data := make([]byte, p.Size)
	fill(data, k)
	n := &p.nodes[p.publisher(k)]
	p.net.Do(n.Node, func(now clock.Time) {
		if !p.Live {
			_, err = n.group.Posts().Post(now, data)
			return
		}
		key := k == 0 || at/time.Second > (at-p.Every)/time.Second // one each second, as encoders make them
		err = p.source.Write(now, multicast.Message{Data: data, Timestamp: uint32(at / time.Millisecond), Key: key})
	})
	return err
}

// copies counts how often the receivers have got everything.
func (p *ours) copies() {
	var unique, duplicates uint64
	for i := range p.nodes {
		n := &p.nodes[i]
		if n.sub != nil {
			st := n.sub.Stats()
			unique += st.Fragments
			duplicates += st.Duplicates
			p.r.Notes["fragments pulled"] += int64(st.FragmentsRequestedFromPeers)
			p.r.Notes["fragments lost"] += int64(st.Lost)
			p.r.Notes["parents moved"] += int64(st.ParentsMoved + st.ParentsReplaced)
		}
		if posts := n.group.Posts(); posts != nil {
			st := posts.Stats()
			unique += st.Received
			duplicates += st.Duplicates
			p.r.Notes["posts fetched"] += int64(st.Fetched)
		}
	}
	p.r.Copies = float64(unique+duplicates) / float64(unique)
}
