package run

import (
	"cmp"
	"slices"
	"time"

	"rtmfp/internal/clock"
	"rtmfp/node"
	"rtmfp/simulations"
	"rtmfp/simulations/scenario"
)

// shock is a shock of the scenario as it comes about.
type shock struct {
	name string
	spec *scenario.Shock
	at   time.Duration // from the end of warm-up
	over time.Duration // when the cause is gone: from there on recovery counts
	hit  int           // nodes
}

func (r *run) planShocks() {
	for i, name := range r.s.ShockNames() {
		sh := &shock{name: name, spec: &r.s.Shocks[i], at: time.Duration(r.s.Shocks[i].At)}
		sh.over = sh.at + time.Duration(sh.spec.For)
		r.shocks = append(r.shocks, sh)
		r.net.At(clock.Time(r.s.Warmup).Add(sh.at), func() {
			r.strike(sh)
			r.tell(nil, "shock", "%s: %d nodes", sh.name, sh.hit)
		})
	}
}

// strike makes a shock happen.
func (r *run) strike(sh *shock) {
	length := time.Duration(sh.spec.For)
	r.churn.changed = max(r.churn.changed, r.net.Now().Add(length))
	switch sh.spec.Kind {
	case "die", "die-region":
		for _, m := range r.victims(sh) {
			r.die(m, sh.name)
		}
	case "die-first-level":
		for _, m := range r.firstLevel() {
			sh.hit++
			r.die(m, sh.name)
		}
	case "die-introducers":
		for _, m := range slices.Clone(r.boots) {
			sh.hit++
			r.die(m, sh.name)
		}
	case "crowd":
		r.crowd(sh)
	case "partition":
		in := set(r.victims(sh))
		r.fault(length, r.net.Partition(func(n *simulations.Node) int { return in[n.Number()] }))
	case "one-way":
		in := set(r.victims(sh))
		r.fault(length, r.net.Break(func(from, _ *simulations.Node, _ *simulations.Link) bool { return in[from.Number()] == 0 }))
	case "loss":
		all := sh.spec.Share == 0 && sh.spec.Region == ""
		var in map[int]int
		if !all {
			in = set(r.victims(sh))
		}
		p := float64(sh.spec.Loss)
		r.fault(length, r.net.Break(func(from, to *simulations.Node, l *simulations.Link) bool {
			if all || in[from.Number()]+in[to.Number()] > 0 {
				l.Loss = 1 - (1-l.Loss)*(1-p)
			}
			return true
		}))
	case "cut":
		sh.hit = 1
		p := r.publisher().node
		r.fault(length, r.net.Break(func(from, to *simulations.Node, _ *simulations.Link) bool { return from != p && to != p }))
	case "stall":
		for _, m := range r.victims(sh) {
			r.net.Stall(m.node, length)
		}
	case "slow":
		for _, m := range r.victims(sh) {
			was := time.Duration(0)
			if m.class >= 0 {
				was = time.Duration(r.s.Classes[m.class].PacketCost)
			}
			r.net.Slow(m.node, time.Duration(sh.spec.PacketCost))
			r.net.After(length, func() { r.net.Slow(m.node, was) })
		}
	case "move":
		for _, m := range r.victims(sh) {
			r.net.Renew(m.node)
		}
	case "latencies":
		sh.hit = len(r.living)
		r.slice = (r.slice + 1) % r.m.Slices()
	case "pollute":
		for i, m := range r.victims(sh) {
			r.pollute(m, i%2 == 0)
		}
	}
}

// fault mends what is broken after a while.
func (r *run) fault(after time.Duration, f *simulations.Fault) {
	r.net.After(after, func() { r.net.Mend(f) })
}

func set(members []*member) map[int]int {
	in := map[int]int{}
	for _, m := range members {
		in[m.node.Number()] = 1
	}
	return in
}

// victims draws whom a shock meets.
func (r *run) victims(sh *shock) []*member {
	var all []*member
	for _, m := range r.living {
		if !m.anchor {
			all = append(all, m)
		}
	}
	switch sh.spec.Kind {
	case "partition", "one-way", "loss", "stall", "slow":
		all = append(all, r.talkers...)
	case "move": // two that move at once do not find each other again
		for i := 0; i < len(r.talkers); i += 2 {
			all = append(all, r.talkers[i])
		}
	}
	n := int(float64(sh.spec.Share)*float64(len(all)) + 0.5)
	switch {
	case sh.spec.Region != "":
		places := r.inRegion(sh.spec.Region)
		all = slices.DeleteFunc(all, func(m *member) bool { return !slices.Contains(places, m.place) })
		n = len(all)
	case sh.spec.Kind == "die-region" && len(all) > 0:
		center := all[r.rng.Uint64()%uint64(len(all))].place
		slices.SortStableFunc(all, func(a, b *member) int {
			return cmp.Compare(r.m.OneWay(center, a.place), r.m.OneWay(center, b.place))
		})
	default: // a shuffle as far as it is needed
		for i := range min(n, len(all)) {
			j := i + int(r.rng.Uint64()%uint64(len(all)-i))
			all[i], all[j] = all[j], all[i]
		}
	}
	sh.hit = min(n, len(all))
	return all[:sh.hit]
}

// firstLevel returns those to whom the publisher pushes a slice.
func (r *run) firstLevel() (all []*member) {
	p := r.publisher()
	if p.gone || r.pub == nil {
		return nil
	}
	for _, slice := range r.pub.Stats().Slices {
		for _, peer := range slice.Children {
			if m := r.byPeer[node.PeerID(peer)]; m != nil && !m.anchor && !slices.Contains(all, m) {
				all = append(all, m)
			}
		}
	}
	return all
}

// crowd lets newcomers come, evenly.
func (r *run) crowd(sh *shock) {
	sh.hit = int(float64(len(r.living)) * (float64(sh.spec.Factor) - 1))
	for i := range sh.hit {
		r.net.After(time.Duration(sh.spec.Over)/time.Duration(sh.hit)*time.Duration(i), func() { r.mustArrive(r.nextRole()) })
	}
}
