package transport

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"rtmfp/transport/crypto"
)

// RFC 7425 §4.2: sessions in each of the groups, with static and ephemeral keys,
// between all kinds of ends that have a group in common. Two modern ends use the
// modern suite even if they have old groups as well.
func TestRFC7425_4_2_Groups(t *testing.T) {
	identity := func(ephemeral bool, groups ...crypto.DHGroup) crypto.IdentityOptions {
		return crypto.IdentityOptions{Groups: groups, Ephemeral: ephemeral}
	}
	both := crypto.IdentityOptions{Modern: true, Groups: []crypto.DHGroup{crypto.Group14, crypto.Group2}}
	for _, c := range []struct {
		a, b crypto.IdentityOptions
		want string // in the name of the suite, "" if they have nothing in common
	}{
		{identity(false, crypto.Group2), identity(false, crypto.Group2), "AES-128-CBC"},
		{identity(true, crypto.Group2), identity(false, crypto.Group2), "AES-128-CBC"},
		{identity(false, crypto.Group5), identity(true, crypto.Group5), "AES-128-CBC"},
		{identity(true, crypto.Group14), identity(true, crypto.Group14), "AES-128-CBC"},
		{identity(false, crypto.Group16, crypto.Group2), identity(false, crypto.Group2, crypto.Group16), "AES-128-CBC"},
		{identity(false, crypto.Group16), identity(false, crypto.Group5), ""},
		{both, identity(false, crypto.Group2), "AES-128-CBC"},
		{identity(true, crypto.Group14), both, "AES-128-CBC"},
		{both, both, "AES-128-GCM"},
		{both, modern, "AES-128-GCM"},
	} {
		name := fmt.Sprintf("%+v with %+v", c.a, c.b)
		n := newNetwork(t, 1)
		n.loss = 0.05
		set := func(cfg *Config) { cfg.Policy = crypto.Policy{AllowLegacy: true} }
		a, b := n.add("a", c.a, set), n.add("b", c.b, set)
		s, err := a.Dial(n.now, b.PeerID(), []netip.AddrPort{b.addr})
		if err != nil {
			t.Fatal(err)
		}
		f := open(t, s, n.now, FlowOptions{Metadata: []byte("x")})
		send(t, f, n.now, numbered(1, 5000), SendOptions{Receipt: 1})
		n.run(20 * time.Second)
		if open := s.State() == StateOpen; open != (c.want != "") || a.receipts[1] != open {
			t.Errorf("%s: open %v, message delivered %v, want %v", name, open, a.receipts[1], c.want != "")
			continue
		}
		if c.want == "" {
			continue
		}
		if got := s.Suite(); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: got suite %q, want one with %s", name, got, c.want)
		}
	}
}
