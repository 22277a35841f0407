package gossip

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/marcopolo/simnet"
)

// dials is the number of random others that each node of GossipSub connects
// to, so that it has twice as many connections: more than its mesh needs, and
// what its own interoperability tests use.
const dials = 10

// topic is what all nodes subscribe to.
const topic = "stream"

// runGossipSub runs a scenario on go-libp2p-pubsub, with default parameters, on
// libp2p hosts (QUIC, TLS 1.3, signed messages) and simnet. Virtual time is
// that of testing/synctest: it advances when no goroutine can run. What a seed
// does not decide (keys, the mesh, the order of goroutines) differs from run to
// run.
//
// report does not return: hosts take long to close, and nothing is to be had
// of it.
func runGossipSub(t *testing.T, s *Scenario, report func(Result)) {
	slog.SetDefault(slog.New(slog.DiscardHandler))
	m := newRun("gossipsub", s)
	synctest.Test(t, func(t *testing.T) {
		p := &libp2p{run: m, began: time.Now(), nodes: make([]pubsubNode, s.Nodes)}
		err := p.join(t.Context())
		if err == nil {
			err = p.publish(t.Context())
		}
		if err != nil {
			m.fail(err)
		}
		report(m.r)
	})
}

// libp2p is the nodes of a GossipSub run.
type libp2p struct {
	*run
	began  time.Time
	nodes  []pubsubNode
	failed atomic.Pointer[error]
}

type pubsubNode struct {
	counts
	host  host.Host
	topic *pubsub.Topic
	conn  *simnet.SimConn
}

func (p *libp2p) now() time.Duration { return time.Since(p.began) }

// join makes the hosts, subscribes them, and connects them.
func (p *libp2p) join(ctx context.Context) error {
	s := p.Scenario
	access := simnet.LinkSettings{BitsPerSecond: int(s.Access)}
	network := &simnet.Simnet{LatencyFunc: func(k *simnet.Packet) time.Duration {
		return s.latency(number(k.From), number(k.To))
	}}
	network.Start()
	for i := range p.nodes {
		n := &p.nodes[i]
		e := endpoint{
			network: network, access: simnet.NodeBiDiLinkSettings{Uplink: access, Downlink: access},
			addr: &net.UDPAddr{IP: simnet.IntToPublicIPv4(i), Port: 8000},
		}
		h, err := newHost(&e)
		if err != nil {
			return err
		}
		n.host, n.conn = h, e.conn
		ps, err := pubsub.NewGossipSub(ctx, h, pubsub.WithRawTracer(&n.counts))
		if err != nil {
			return err
		}
		if n.topic, err = ps.Join(topic); err != nil {
			return err
		}
		sub, err := n.topic.Subscribe()
		if err != nil {
			return err
		}
		go p.receive(ctx, i, sub)
	}
	choice := rand.New(rand.NewPCG(s.Seed, 2))
	var connecting sync.WaitGroup
	for i := range p.nodes {
		others := choice.Perm(s.Nodes)
		others = slices.DeleteFunc(others, func(j int) bool { return j == i })
		for _, j := range others[:min(dials, len(others))] {
			to := p.nodes[j].host
			connecting.Go(func() {
				info := peer.AddrInfo{ID: to.ID(), Addrs: to.Addrs()}
				if err := p.nodes[i].host.Connect(ctx, info); err != nil {
					p.note(fmt.Errorf("node %d connects to %d: %w", i, j, err))
				}
			})
		}
		time.Sleep(s.Joining)
	}
	connecting.Wait()
	time.Sleep(s.Warmup)
	return nil
}

// number returns which node has an address that simnet.IntToPublicIPv4 made.
func number(a net.Addr) int {
	ip := a.(*net.UDPAddr).IP.To4()
	return int(ip[1])<<16 + int(ip[2])<<8 + int(ip[3]) - 1
}

func (p *libp2p) receive(ctx context.Context, i int, sub *pubsub.Subscription) {
	for {
		msg, err := sub.Next(ctx)
		if err != nil {
			return
		}
		if msg.ReceivedFrom == p.nodes[i].host.ID() {
			continue
		}
		if err := p.deliver(p.now(), i, msg.Data); err != nil {
			p.note(err)
		}
	}
}

// note keeps the first thing that went wrong in some goroutine.
func (p *libp2p) note(err error) { p.failed.CompareAndSwap(nil, &err) }

// publish carries out the schedule.
func (p *libp2p) publish(ctx context.Context) error {
	before := make([]simnet.ConnStats, p.Nodes)
	for i := range p.nodes {
		p.nodes[i].reset()
		before[i] = p.nodes[i].conn.Stats()
	}
	first := time.Now()
	p.begin(p.now())
	for k := range p.published {
		time.Sleep(time.Until(first.Add(time.Duration(k) * p.Every)))
		data := make([]byte, p.Size)
		fill(data, k)
		p.published[k] = p.now()
		if err := p.nodes[p.publisher(k)].topic.Publish(ctx, data); err != nil {
			return err
		}
	}
	time.Sleep(p.Drain)
	synctest.Wait()
	var sent []int64
	var payload int64
	for i := range p.nodes {
		n, stats := &p.nodes[i], p.nodes[i].conn.Stats()
		sent = append(sent, int64(stats.BytesSent-before[i].BytesSent))
		p.r.Received += int64(stats.BytesRcvd - before[i].BytesRcvd)
		payload += n.payload.Load()
		p.r.Notes["rpcs dropped"] += n.dropped.Load()
		p.r.Notes["messages wanted"] += n.wanted.Load()
		p.r.Notes["undeliverable"] += n.undeliverable.Load()
	}
	p.end(p.now(), sent)
	p.r.Copies = float64(payload) / float64(p.r.Delivered*p.Size)
	if err := p.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// counts takes what a node of GossipSub tells about itself.
type counts struct {
	payload       atomic.Int64 // bytes of messages received, every copy
	dropped       atomic.Int64 // RPCs, for want of room in a queue
	wanted        atomic.Int64 // messages asked for after others told of them
	undeliverable atomic.Int64 // messages that the subscriber was too slow for
}

func (c *counts) reset() {
	c.payload.Store(0)
	c.dropped.Store(0)
	c.wanted.Store(0)
	c.undeliverable.Store(0)
}

func (c *counts) RecvRPC(rpc *pubsub.RPC) {
	for _, m := range rpc.GetPublish() {
		c.payload.Add(int64(len(m.GetData())))
	}
}

func (c *counts) SendRPC(rpc *pubsub.RPC, _ peer.ID) {
	for _, w := range rpc.GetControl().GetIwant() {
		c.wanted.Add(int64(len(w.GetMessageIDs())))
	}
}

func (c *counts) DropRPC(*pubsub.RPC, peer.ID)             { c.dropped.Add(1) }
func (c *counts) UndeliverableMessage(*pubsub.Message)     { c.undeliverable.Add(1) }
func (c *counts) OnNewOutboundStream(peer.ID, protocol.ID) {}
func (c *counts) OnClosedOutboundStream(peer.ID)           {}
func (c *counts) Join(string)                              {}
func (c *counts) Leave(string)                             {}
func (c *counts) Graft(peer.ID, string)                    {}
func (c *counts) Prune(peer.ID, string)                    {}
func (c *counts) ValidateMessage(*pubsub.Message)          {}
func (c *counts) DeliverMessage(*pubsub.Message)           {}
func (c *counts) RejectMessage(*pubsub.Message, string)    {}
func (c *counts) DuplicateMessage(*pubsub.Message)         {}
func (c *counts) ThrottlePeer(peer.ID)                     {}

var _ pubsub.RawTracer = (*counts)(nil)
