package group

import (
	"bytes"
	"testing"
	"time"

	"rtmfp/internal/clock"
)

func TestPackedRTT(t *testing.T) {
	for _, d := range []time.Duration{0, 160 * time.Microsecond, time.Millisecond, 33 * time.Millisecond, 400 * time.Millisecond, 9 * time.Second, time.Hour} {
		got := unpackRTT(packRTT(d))
		want := min(max(d, 160*time.Microsecond), 10158080*time.Microsecond)
		if got > want || got < want*15/16 {
			t.Errorf("%v comes back as %v", d, got)
		}
	}
}

func TestPackedSpan(t *testing.T) {
	for _, v := range []uint64{1 << 10, 12345, 1 << 40, 1<<64 - 1} {
		if got := unpackSpan(packSpan(v)); got > v || got < v-v>>10 {
			t.Errorf("%d comes back as %d", v, got)
		}
	}
	if packSpan(5) != 0 {
		t.Error("a span of nothing is told")
	}
}

// What a member knows of a neighbor's table is what the neighbor is linked
// with, also after changes, and when more changed than is remembered.
func TestTablesAgree(t *testing.T) {
	net := routingNet(t, 11, 50)
	for i := range 12 {
		net.nodes[4*i+1].kill()
	}
	net.run(3 * time.Minute)
	for _, x := range net.members() { // the latest changes may not be due yet
		x.input(func(g *Group, now clock.Time) { g.tellTables(now) })
	}
	net.run(rtt)
	for _, x := range net.members() {
		for _, l := range x.g.neighbors {
			y := net.byPeer[l.peer]
			have := len(l.table) / entrySize
			if want := y.g.NeighborCount() - 1; have != want {
				t.Errorf("node %d has %d lines of the table of node %d, want %d", x.index, have, y.index, want)
			}
			for _, m := range y.g.neighbors {
				if m.peer != x.peer && !l.lists(topOf(m.addr)) {
					t.Errorf("node %d does not see in the table of node %d one of its neighbors", x.index, y.index)
				}
			}
		}
	}
}

func FuzzTable(f *testing.F) {
	m := tableMessage{all: true, settled: true, full: true, span: 0x4321, gone: []byte{1, 2, 3, 4}, lines: []byte{5, 6, 7, 8, 9}}
	f.Add(m.append(nil))
	f.Add([]byte{msgTable, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, ok := parseTable(b)
		if !ok {
			return
		}
		n, ok := parseTable(m.append(nil))
		if !ok || n.all != m.all || n.settled != m.settled || n.full != m.full || n.span != m.span || !bytes.Equal(n.gone, m.gone) || !bytes.Equal(n.lines, m.lines) {
			t.Errorf("%x: read as %+v, and that as %+v", b, m, n)
		}
	})
}
