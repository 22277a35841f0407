package simulations

import (
	"net/netip"
	"testing"
	"time"
)

// A host behind a NAT writes to one of two hosts outside. Who may answer, and
// under which source it is seen by the second, is what RFC 4787 §4.1 and §5
// classify.
func TestNATBehaviors(t *testing.T) {
	for _, mapping := range []Behavior{EndpointIndependent, AddressDependent, AddressAndPortDependent} {
		for _, filtering := range []Behavior{EndpointIndependent, AddressDependent, AddressAndPortDependent} {
			w := New(Config{})
			nat := w.AddNAT(NATConfig{Mapping: mapping, Filtering: filtering, Ports: SequentialPorts})
			inside := addScript(t, w, NodeConfig{NAT: nat})
			a, b := addScript(t, w, NodeConfig{}), addScript(t, w, NodeConfig{})
			// a2 is at a's address, but another port.
			a2 := addScript(t, w, NodeConfig{})
			w.Move(a2.node, netip.AddrPortFrom(a.node.Addr.Addr(), 99))

			inside.send(a.node.Addr, 10)
			w.Run(time.Second)
			seen := a.got[0].from
			if seen.Addr() != nat.Outer() {
				t.Fatalf("seen from %v, want the NAT's address %v", seen, nat.Outer())
			}
			a.send(seen, 20)
			a2.send(seen, 21)
			b.send(seen, 22)
			w.Run(time.Second)
			want := []int{20}
			if filtering != AddressAndPortDependent {
				want = append(want, 21)
			}
			if filtering == EndpointIndependent {
				want = append(want, 22)
			}
			if got := sizes(inside.got); !equal(got, want) {
				t.Errorf("filtering %d: got datagrams %v, want %v", filtering, got, want)
			}
			inside.send(a2.node.Addr, 10)
			inside.send(b.node.Addr, 10)
			w.Run(time.Second)
			if got, want := a2.got[0].from == seen, mapping != AddressAndPortDependent; got != want {
				t.Errorf("mapping %d: seen alike by another port: %v, want %v", mapping, got, want)
			}
			if got, want := b.got[0].from == seen, mapping == EndpointIndependent; got != want {
				t.Errorf("mapping %d: seen alike by another host: %v, want %v", mapping, got, want)
			}
		}
	}
}

func TestNATLifetime(t *testing.T) {
	for _, refresh := range []bool{false, true} {
		w := New(Config{})
		nat := w.AddNAT(NATConfig{Lifetime: 30 * time.Second, RefreshInbound: refresh})
		inside, out := addScript(t, w, NodeConfig{NAT: nat}), addScript(t, w, NodeConfig{})
		inside.send(out.node.Addr, 10)
		w.Run(20 * time.Second)
		out.send(out.got[0].from, 20) // within the lifetime
		w.Run(15 * time.Second)
		out.send(out.got[0].from, 21) // only if the one before has kept it
		w.Run(31 * time.Second)
		out.send(out.got[0].from, 22)
		w.Run(time.Second)
		want := []int{20}
		if refresh {
			want = append(want, 21)
		}
		if got := sizes(inside.got); !equal(got, want) {
			t.Errorf("refresh %v: got %v, want %v", refresh, got, want)
		}
	}
}

// Two NATs in a row translate twice, both ways; those behind one NAT meet
// directly, and by its outer address only if it hairpins.
func TestDoubleNATAndHairpin(t *testing.T) {
	for _, hairpin := range []bool{false, true} {
		w := New(Config{})
		carrier := w.AddNAT(NATConfig{Hairpin: hairpin, Filtering: AddressAndPortDependent})
		home, other := w.AddNAT(NATConfig{Behind: carrier}), w.AddNAT(NATConfig{Behind: carrier})
		a, a2 := addScript(t, w, NodeConfig{NAT: home}), addScript(t, w, NodeConfig{NAT: home})
		b, out := addScript(t, w, NodeConfig{NAT: other}), addScript(t, w, NodeConfig{})
		a.send(out.node.Addr, 10)
		b.send(out.node.Addr, 11)
		w.Run(time.Second)
		if len(out.got) != 2 || out.got[0].from.Addr() != carrier.Outer() || out.got[0].from == out.got[1].from {
			t.Fatalf("outside: got %v, want two sources at %v", out.got, carrier.Outer())
		}
		out.send(out.got[0].from, 20)
		w.Run(time.Second)
		if got := sizes(a.got); !equal(got, []int{20}) {
			t.Errorf("behind two NATs: got %v, want the answer", got)
		}
		a.send(a2.node.Addr, 30)
		w.Run(time.Second)
		if len(a2.got) != 1 || a2.got[0].from != a.node.Addr || a2.got[0].at != at(2*time.Second+500*time.Microsecond) {
			t.Errorf("within one network: got %v, want one from %v after half a millisecond", a2.got, a.node.Addr)
		}
		// To each other by outer addresses: b opens its filter for a, then a writes.
		b.send(out.got[0].from, 40)
		a.send(out.got[1].from, 41)
		w.Run(time.Second)
		var want []int
		if hairpin {
			want = []int{41}
		}
		if got := sizes(b.got); !equal(got, want) {
			t.Errorf("hairpin %v: got %v, want %v", hairpin, got, want)
		}
	}
}

// A NAT gives each mapping a port of its own, also when they collide or run
// out; and it forgets.
func TestNATPorts(t *testing.T) {
	for _, ports := range []Ports{PreservePorts, SequentialPorts, RandomPorts} {
		w := New(Config{})
		nat := w.AddNAT(NATConfig{Ports: ports, MaxMappings: 50, Lifetime: 10 * time.Second})
		out := addScript(t, w, NodeConfig{})
		for range 60 {
			addScript(t, w, NodeConfig{NAT: nat}).send(out.node.Addr, 10)
		}
		w.Run(time.Second)
		seen := map[netip.AddrPort]bool{}
		for _, g := range out.got {
			seen[g.from] = true
		}
		if len(seen) != 50 || w.Stats().Dropped[DropPorts] != 10 {
			t.Errorf("ports %d: %d sources and %d refused, want 50 and 10", ports, len(seen), w.Stats().Dropped[DropPorts])
		}
		w.Run(10 * time.Second)
		late := addScript(t, w, NodeConfig{NAT: nat})
		late.send(out.node.Addr, 10)
		w.Run(time.Second)
		if len(out.got) != 51 {
			t.Errorf("ports %d: no room when all mappings are over", ports)
		}
		w.Renew(late.node)
		out.send(out.got[50].from, 20)
		w.Run(time.Second)
		if len(late.got) != 0 {
			t.Errorf("ports %d: a mapping outlived the restart of its router", ports)
		}
	}
}

func sizes(list []arrival) (out []int) {
	for _, a := range list {
		out = append(out, a.size)
	}
	return out
}

func equal(a, b []int) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}
