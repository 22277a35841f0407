package group

import (
	"slices"
	"testing"

	"rtmfp/ring"
)

// What a member shows of itself agrees with how it is linked: the next on the
// ring come first and last, everybody has a role, and in a small group
// everybody is known.
func TestView(t *testing.T) {
	for _, members := range []int{8, 60} {
		net := routingNet(t, 9, members)
		var set ring.Set[*testNode]
		for _, x := range net.nodes {
			set.Add(x.g.self, x)
		}
		roles := map[Role]int{}
		for i := range set.Len() {
			x := set.At(i).Value
			views := x.g.ViewNeighbors()
			if len(views) != x.g.NeighborCount() {
				t.Fatalf("node %d: %d views of %d neighbors", x.index, len(views), x.g.NeighborCount())
			}
			near := 0
			for k, v := range views {
				if v.Up != k+1 || v.Down != len(views)-k || v.Roles == 0 || v.Since > net.now {
					t.Errorf("node %d: neighbor %d is %+v", x.index, k, v)
				}
				for r := RoleRing; r <= RoleGuest; r <<= 1 {
					if v.Roles&r != 0 {
						roles[r]++
					}
				}
				if v.Roles&RoleNear != 0 {
					near++
				}
			}
			if first, last := views[0], views[len(views)-1]; first.Address != set.At(i+1).Addr || last.Address != set.At(i-1).Addr ||
				first.Roles&RoleRing == 0 || last.Roles&RoleRing == 0 {
				t.Errorf("node %d: its next neighbors are %+v and %+v", x.index, first, last)
			}
			if want := min(nearestByRTT, len(views)); near != want {
				t.Errorf("node %d: %d near neighbors, want %d", x.index, near, want)
			}
			known := x.g.ViewMembers(net.now)
			neighbors := 0
			for k, m := range known {
				if m.Neighbor {
					neighbors++
				}
				if k > 0 && x.g.self.Up(known[k-1].Address).Compare(x.g.self.Up(m.Address)) >= 0 {
					t.Errorf("node %d: members are not in the order of the ring", x.index)
				}
			}
			if neighbors != len(views) || members == 8 && len(known) != 7 {
				t.Errorf("node %d: knows %d members, of which %d are neighbors; want %d", x.index, len(known), neighbors, len(views))
			}
		}
		switch {
		case members == 8 && (roles[RoleMesh] == 0 || roles[RoleFinger] != 0):
			t.Errorf("a full mesh: got roles %v", roles)
		case members == 60 && (roles[RoleFinger] == 0 || roles[RoleRandom] == 0 || roles[RoleMesh] != 0):
			t.Errorf("a large group: got roles %v", roles)
		}
	}
	if got := (RoleRing | RoleNear).String(); got != "ring+near" || !slices.Equal(RoleGuest.Names(), []string{"guest"}) {
		t.Errorf("names: %q, %q", got, RoleGuest.Names())
	}
}
