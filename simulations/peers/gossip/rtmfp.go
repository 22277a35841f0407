package gossip

import (
	"net/netip"
	"testing"
	"time"

	"rtmfp/group"
	"rtmfp/internal/clock"
	"rtmfp/multicast"
	"rtmfp/node"
	"rtmfp/simulations"
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
	if err != nil {
		m.fail(err)
	}
	report(m.r)
}

// ours is the nodes of a run of our own.
type ours struct {
	*run
	net     *simulations.Network
	groups  []*node.GroupCore
	subs    []*multicast.Subscription
	source  *multicast.Publication
	problem error
}

// introducer is the node that all others know when they begin.
const introducer = 1

const streamName = "stream"

// join makes the nodes, has them join the group, and play the stream.
func (p *ours) join() error {
	spec, err := group.NewSpec(group.SpecFields{
		Name: "comparison", Multicast: true, ServerChannel: true, Version: 2,
	})
	if err != nil {
		return err
	}
	access := newAccessLinks(p.Nodes, p.Access)
	p.net = simulations.New(simulations.Config{Seed: p.Seed, Link: func(from, to int) simulations.Link {
		return simulations.Link{Latency: access.pass(p.net, from, to, p.latency(from, to))}
	}})
	p.groups = make([]*node.GroupCore, p.Nodes)
	p.subs = make([]*multicast.Subscription, p.Nodes)
	for i := range p.Nodes {
		if _, err := p.net.AddNode(node.CoreConfig{Introduce: i == introducer}); err != nil {
			return err
		}
	}
	nodes := p.net.Nodes()
	for _, i := range p.order() {
		n := nodes[i]
		p.net.Do(n, func(now clock.Time) {
			if i != introducer {
				at := nodes[introducer].Addr
				n.Core.AddBootstrap(now, "rtmfp://"+at.String(), []netip.AddrPort{at})
			}
			p.groups[i] = n.Core.Join(now, spec)
			if i == 0 {
				p.source, err = p.groups[i].Streams().Publish(now, streamName, multicast.StreamConfig{})
			} else {
				p.subs[i], err = p.groups[i].Streams().Play(now, streamName, multicast.PlayConfig{})
			}
		})
		if err != nil {
			return err
		}
		n.OnTurn = func(now clock.Time) { p.drain(time.Duration(now), i, n) }
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

func (p *ours) drain(now time.Duration, i int, n *simulations.Node) {
	for _, ok := n.Core.NextEvent(); ok; {
		_, ok = n.Core.NextEvent()
	}
	if p.subs[i] == nil {
		return
	}
	for f, ok := p.subs[i].NextFrame(); ok; f, ok = p.subs[i].NextFrame() {
		if err := p.deliver(now, i, f.Data); err != nil && p.problem == nil {
			p.problem = err
		}
	}
}

// publish carries out the schedule.
func (p *ours) publish() error {
	nodes := p.net.Nodes()
	before := make([]uint64, p.Nodes)
	for i, n := range nodes {
		before[i] = n.Sent
	}
	received := p.net.Stats().Bytes
	data := make([]byte, p.Size)
	first := p.net.Now()
	p.begin(time.Duration(first))
	for k := range p.published {
		at := time.Duration(k) * p.Every
		key := k == 0 || at/time.Second > (at-p.Every)/time.Second // one each second, as encoders make them
		p.net.Run(first.Add(at).Sub(p.net.Now()))
		fill(data, k)
		p.published[k] = time.Duration(p.net.Now())
		var err error
		p.net.Do(nodes[0], func(now clock.Time) {
			err = p.source.Write(now, multicast.Message{
				Data: data, Timestamp: uint32(at / time.Millisecond), Key: key,
			})
		})
		if err != nil {
			return err
		}
	}
	p.full()
	p.net.Run(p.Drain)
	var sent []int64
	var unique, duplicates uint64
	for i, n := range nodes {
		sent = append(sent, int64(n.Sent-before[i]))
		if p.subs[i] == nil {
			continue
		}
		st := p.subs[i].Stats()
		unique += st.Fragments
		duplicates += st.Duplicates
		p.r.Notes["fragments pulled"] += int64(st.FragmentsRequestedFromPeers)
		p.r.Notes["fragments lost"] += int64(st.Lost)
		p.r.Notes["parents moved"] += int64(st.ParentsMoved + st.ParentsReplaced)
	}
	p.r.Received = int64(p.net.Stats().Bytes - received)
	p.end(time.Duration(p.net.Now()), sent)
	p.r.Copies = float64(unique+duplicates) / float64(unique)
	return p.problem
}
