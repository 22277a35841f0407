package node

import (
	"net/netip"
	"testing"
)

func TestLocalAddresses(t *testing.T) {
	bound := netip.MustParseAddrPort("127.0.0.1:1935")
	if got := localAddresses(bound); len(got) != 1 || got[0] != bound {
		t.Errorf("bound to one address: got %v, want %v alone", got, bound)
	}
	for _, wildcard := range []string{"0.0.0.0:77", "[::]:77"} {
		got := localAddresses(netip.MustParseAddrPort(wildcard))
		if len(got) > maxLocalAddresses {
			t.Errorf("%s: got %d addresses, want at most %d", wildcard, len(got), maxLocalAddresses)
		}
		for _, a := range got {
			if a.Port() != 77 || a.Addr().IsLoopback() || a.Addr().IsUnspecified() || a.Addr().IsLinkLocalUnicast() {
				t.Errorf("%s: got %v, of no use to another machine", wildcard, a)
			}
		}
	}
}
