package run

import (
	"fmt"
	"net/netip"
	"time"

	"rtmfp/internal/clock"
	"rtmfp/node"
	"rtmfp/simulations"
	"rtmfp/simulations/talk"
)

// planTalkers arranges for the pairs of nodes that are no members of the group.
func (r *run) planTalkers() {
	if r.s.Talk == nil {
		return
	}
	r.net.At(clock.Time(r.s.Warmup), func() {
		for i := range r.s.Talk.Pairs {
			if err := r.addPair(i); err != nil {
				r.net.Fail(nil, "arrival", err.Error())
				return
			}
		}
	})
}

// addPair puts two nodes on the network that talk to each other.
func (r *run) addPair(i int) error {
	s := r.s.Talk
	var ends [2]*member
	cfg := talk.Config{
		Seed: r.rng.Uint64(), Broken: s.Broken,
		Rate: float64(s.Rate), Size: int(s.Size), Turns: r.s.Checks.Turns,
		Session: time.Duration(s.Session), Flow: time.Duration(s.Flow), Patience: time.Duration(s.Patience),
		Fail: func(end int, why string) { r.net.Fail(ends[end].node, "talk", why) },
	}
	cfg.Wake = func(end int) { r.net.After(0, func() { r.wake(ends[end].node) }) }
	var nodes [2]simulations.NodeConfig
	for k := range ends {
		nodes[k].Core.SimulatedCrypto = true // which idles
		if r.opts.Watch != nil {
			r.opts.Watch(len(r.members)+k, roleNames[talker], &nodes[k])
		}
		cfg.Trace[k] = nodes[k].Core.Trace
		cfg.Rand[k] = r.net.Rand(len(r.members) + k)
		cfg.Addr[k] = func() netip.AddrPort { return ends[k].node.Addr }
	}
	pair, err := talk.New(cfg, r.net.Now())
	if err != nil {
		return fmt.Errorf("pair %d: %w", i, err)
	}
	for k := range ends {
		nodes[k].Wrap = func(*simulations.Node, *node.Core) simulations.Driven { return pair.Ends[k] }
		m := &member{role: talker, class: -1, place: r.deal.Next(), born: r.net.Now(), lastMile: r.drawLastMile()}
		r.members = append(r.members, m)
		if m.node, err = r.net.Add(nodes[k]); err != nil {
			return fmt.Errorf("node %d: %w", len(r.members)-1, err)
		}
		ends[k] = m
		r.talkers = append(r.talkers, m)
	}
	r.pairs = append(r.pairs, pair)
	r.net.Check("talk", pair.Check)
	for k := range ends {
		cfg.Wake(k)
	}
	return nil
}

// wake gives a node a turn, as soon as it does something.
func (r *run) wake(n *simulations.Node) {
	if n.Stalled() {
		r.net.After(time.Millisecond, func() { r.wake(n) })
		return
	}
	r.net.Do(n, func(clock.Time) {})
}

func (r *run) talkFigures(res *Result) {
	if r.s.Talk == nil || len(r.pairs) == 0 {
		return
	}
	var sum talk.Result
	for _, p := range r.pairs {
		v := p.Result()
		sum.Add(&v)
	}
	sent := uint64(0)
	for _, m := range r.talkers {
		sent += m.node.Sent
	}
	seconds := r.ended.Sub(r.began).Seconds() * float64(len(r.pairs))
	res.set("talk_open_mean_ms", sum.Open.Mean()/1000)
	res.set("talk_delay_mean_ms", sum.Delay.Mean()/1000)
	res.set("talk_delay_p50_ms", sum.Delay.Quantile(0.5)/1000)
	res.set("talk_delay_p99_ms", sum.Delay.Quantile(0.99)/1000)
	res.set("talk_close_mean_ms", sum.Close.Mean()/1000)
	res.set("talk_close_p99_ms", sum.Close.Quantile(0.99)/1000)
	res.set("talk_given_up_ratio", float64(sum.GivenUp)/float64(sum.Perishable))
	res.set("talk_wire_ratio", float64(sent)/float64(sum.Payload))
	res.set("talk_payload_bytes_per_s", float64(sum.Payload)/seconds)
	res.set("talk_refused_ratio", float64(sum.Refused)/float64(sum.Messages))
	res.set("talk_stray_ratio", float64(sum.Stray)/float64(sum.Datagrams))
	res.set("talk_broken_ratio", float64(sum.Broken)/float64(sum.Sessions))
}
