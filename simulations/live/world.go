package live

import (
	"net/netip"
	"time"

	"rtmfp/group"
	"rtmfp/internal/clock"
	"rtmfp/node"
	"rtmfp/simulations"
)

// world is the network below the members: one that carries packets, or one that
// carries messages.
type world interface {
	now() clock.Time
	run(d time.Duration)
	at(when clock.Time, f func())
	add(m *Member, introducer bool, u Uplink) error
	do(m *Member, f func(now clock.Time))
	stop(m *Member)
	bytes() uint64
	events() uint64
	linksChanged()
}

// packets is a world with the whole transport.
type packets struct {
	a   *Audience
	net *simulations.Network
}

func newPackets(a *Audience) *packets {
	return &packets{a, simulations.New(simulations.Config{
		Seed: a.cfg.Seed, Link: a.link, Lookahead: a.cfg.Hop + 2*a.cfg.LastMile[0],
	})}
}

func (p *packets) now() clock.Time              { return p.net.Now() }
func (p *packets) run(d time.Duration)          { p.net.Run(d) }
func (p *packets) at(when clock.Time, f func()) { p.net.At(when, f) }
func (p *packets) bytes() uint64                { return p.net.Stats().Bytes }
func (p *packets) events() uint64               { return p.net.Stats().Events }
func (p *packets) stop(m *Member)               { p.net.Remove(m.node) }

func (p *packets) linksChanged() {}

func (p *packets) do(m *Member, f func(now clock.Time)) {
	p.net.Do(m.node, func(now clock.Time) { f(now) })
}

func (p *packets) add(m *Member, introducer bool, u Uplink) error {
	n, err := p.net.Add(simulations.NodeConfig{
		Core:   node.CoreConfig{Introduce: introducer, RelayAll: introducer, SimulatedCrypto: true, UploadLimit: u.Limit / 8},
		Access: simulations.Access{Up: u.Up, CoDel: true},
	})
	if err != nil {
		return err
	}
	m.node = n
	p.net.Do(n, func(now clock.Time) {
		for _, i := range p.a.introducers(m) {
			n.Core.AddBootstrap(now, "rtmfp://"+i.node.Addr.String(), []netip.AddrPort{i.node.Addr})
		}
		m.group = n.Core.Join(now, p.a.spec)
	})
	m.Peer = group.PeerID(n.Core.ID())
	n.OnTurn = func(now clock.Time) {
		for _, ok := n.Core.NextEvent(); ok; {
			_, ok = n.Core.NextEvent()
		}
		p.a.turn(m)
	}
	return nil
}

// messages is a world without transport, for sizes at which packets are too
// many.
type messages struct {
	a   *Audience
	net *simulations.Messages
}

func newMessages(a *Audience) *messages {
	return &messages{a, simulations.NewMessages(simulations.MessagesConfig{Seed: a.cfg.Seed, Spec: a.spec, Link: a.link})}
}

func (w *messages) now() clock.Time              { return w.net.Now() }
func (w *messages) run(d time.Duration)          { w.net.Run(d) }
func (w *messages) at(when clock.Time, f func()) { w.net.At(when, f) }
func (w *messages) bytes() uint64                { return w.net.Stats().Bytes }
func (w *messages) events() uint64               { return w.net.Stats().Events }
func (w *messages) stop(m *Member)               { w.net.Remove(m.bare) }

func (w *messages) linksChanged() { w.net.LinksChanged() }

func (w *messages) do(m *Member, f func(now clock.Time)) { w.net.Do(m.bare, f) }

func (w *messages) add(m *Member, introducer bool, u Uplink) error {
	n, err := w.net.Add(simulations.MemberConfig{
		Core: node.CoreConfig{Introduce: introducer, RelayAll: introducer, SimulatedCrypto: true, UploadLimit: u.Limit / 8,
			UnixMilli: 1_700_000_000_000},
		Access: simulations.Access{Up: u.Up},
	})
	if err != nil {
		return err
	}
	m.bare, m.group, m.Peer = n, n.Group.GroupCore, n.Peer()
	for _, i := range w.a.introducers(m) {
		w.net.Bootstrap(n, i.bare)
	}
	n.OnTurn = func(now clock.Time) {
		for ev, ok := n.Group.NextEvent(); ok; ev, ok = n.Group.NextEvent() {
			if ev.Kind == node.EventNeighborBanned {
				w.a.banned(m, group.PeerID(ev.Peer))
			}
		}
		w.a.turn(m)
	}
	return nil
}
