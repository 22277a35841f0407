package multicast

import (
	"testing"
	"time"

	"rtmfp/group"
	"rtmfp/internal/clock"
)

// testCompany links nodes of a network that ask for it.
type testCompany struct {
	n          *testNode
	met, holds int
}

func (c *testCompany) Meet(now clock.Time, peer group.PeerID, via group.LinkID, d time.Duration) bool {
	if via == 0 {
		return true // to be kept
	}
	c.met++
	w := c.n.net
	for _, far := range w.nodes {
		if far.peer == peer {
			w.after(20*time.Millisecond, func() { w.link(c.n, far) })
		}
	}
	return true
}

func (c *testCompany) Hold(now clock.Time, link group.LinkID) { c.holds++ }

// line makes a publisher and viewers that are all as far from each other, of which
// each is linked with the next alone.
func line(t *testing.T, company bool) (*network, []*testCompany) {
	w := newNetwork(t, 4)
	w.latency = func(a, b *testNode) time.Duration { return 20 * time.Millisecond }
	pub := w.add(Config{}, true)
	w.publish(pub, "cam", StreamConfig{}, 930, 10*time.Millisecond, 100)
	all := make([]*testCompany, 6)
	for i := range all {
		all[i] = &testCompany{}
		var cfg Config
		if company {
			cfg.Company = all[i]
		}
		n := w.add(cfg, true)
		all[i].n = n
		n.play("cam")
		w.link(w.nodes[i], n)
		w.run(100 * time.Millisecond)
	}
	return w, all
}

// Members whose links are few meet those who feed their parents, until nobody is far
// from the publisher.
func TestMembersMeet(t *testing.T) {
	w, all := line(t, false)
	w.run(20 * time.Second)
	deep := all[5].n.sub.Stats().Slices[0].Depth
	if deep != 6 {
		t.Fatalf("the last in line is at depth %d", deep)
	}
	w, all = line(t, true)
	w.run(60 * time.Second)
	since := w.now
	w.run(5 * time.Second)
	for i, c := range all {
		for s, sl := range c.n.sub.Stats().Slices {
			if sl.Depth > 3 {
				t.Errorf("member %d, slice %d: depth %d", i, s, sl.Depth)
			}
		}
		if f := c.n.figures(since); f.p99 > 90*time.Millisecond || f.lost+f.outOfOrder > 0 {
			t.Errorf("member %d: %v", i, f)
		}
		if st := c.n.svc; len(st.company.met) > maxMet || len(st.company.tried) > maxTried {
			t.Errorf("member %d remembers %d and %d", i, len(st.company.met), len(st.company.tried))
		}
		if i > 0 && c.met > 4 {
			t.Errorf("member %d met %d", i, c.met)
		}
		if len(c.n.sub.Stats().Slices[0].Children) > 0 && c.holds == 0 {
			t.Errorf("member %d holds no link to a child", i)
		}
	}
}

// Nobody makes a member meet others that it has not asked for.
func TestNobodyIsSentAround(t *testing.T) {
	w, all := line(t, true)
	w.run(10 * time.Second)
	c := all[5]
	st := c.n.svc.streams[0]
	before := c.met
	for _, p := range st.peers {
		for s := range numSlices {
			c.n.svc.company.asked = nil
			st.onWay(w.now, p, &way{slice: byte(s), peer: group.PeerID{99, byte(s)}})
		}
	}
	if c.met != before {
		t.Errorf("met %d of whom nobody was asked for", c.met-before)
	}
}
