package transport

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"rtmfp/internal/element"
	"rtmfp/transport/crypto"
	"rtmfp/transport/wire"
)

// RFC 7016 §3.3, packet multiplex.

// hub is an endpoint with sessions to several others, and a flow on each.
type hub struct {
	*network
	node     *testNode
	far      []*testNode
	sessions []*Session // the node's ends
	flows    []*SendFlow
}

func newHub(t *testing.T, n int) *hub {
	h := &hub{network: newNetwork(t, 1)}
	h.node = h.add("hub", modern, func(c *Config) { c.Introduce = true })
	for i := range n {
		x := h.add(fmt.Sprint("far ", i), modern, nil)
		s, far := h.connect(x, h.node)
		h.far, h.sessions = append(h.far, x), append(h.sessions, far)
		h.flows = append(h.flows, open(t, s, h.now, FlowOptions{Metadata: []byte(x.name)}))
	}
	return h
}

// say has each far end send a message that names it, and checks that each came
// on the session that it belongs to, and all of them.
func (h *hub) say(t *testing.T, what string) {
	t.Helper()
	for i, f := range h.flows {
		send(t, f, h.now, []byte(h.far[i].name), SendOptions{Receipt: 1})
		delete(h.far[i].receipts, 1)
	}
	h.run(3 * time.Second)
	for i, x := range h.far {
		if !x.receipts[1] {
			t.Errorf("%s: what %s sent has not arrived", what, x.name)
		}
		if s := h.node.Session(x.PeerID()); s != h.sessions[i] || s.State() != StateOpen {
			t.Errorf("%s: %s has another session", what, x.name)
		}
	}
	for f, list := range h.node.messages {
		for _, m := range list {
			if i := slices.Index(h.sessions, f.Session()); i < 0 || string(m) != h.far[i].name {
				t.Errorf("%s: %q came on the session of another", what, m)
			}
		}
	}
}

// "RTMFP can communicate with multiple distinct other RTMFP endpoints through each
// local interface."
func TestRFC7016_3_3_OneInterface(t *testing.T) {
	h := newHub(t, 20)
	h.say(t, "twenty sessions")
	seen := map[uint32]bool{}
	for _, s := range h.sessions {
		// "Session ID 0 is reserved for session startup and MUST NOT be used for an
		// active session."
		if s.ID() == 0 || seen[s.ID()] {
			t.Errorf("session id %x is used twice, or reserved", s.ID())
		}
		seen[s.ID()] = true
	}
}

// "addressed by IPv4 or IPv6 socket addresses": by both at once. An IPv4 address
// in IPv6 clothes, as a socket for both gives it, is the IPv4 address.
func TestRFC7016_3_3_Families(t *testing.T) {
	h := newHub(t, 2)
	h.far[0].addr = addr("[2001:db8::1]:1935")
	h.say(t, "another family")
	if got := h.sessions[0].FarAddr(); got != h.far[0].addr {
		t.Errorf("far address: got %v, want %v", got, h.far[0].addr)
	}
	before := h.sessions[1].Stats().PacketsReceived
	x := h.far[1]
	keys := x.Session(h.node.PeerID()).keys
	b := wire.AppendHeader(make([]byte, 4+keys.Headroom(), 1500), wire.Header{Mode: wire.ModeInitiator})
	mapped := netip.AddrPortFrom(netip.AddrFrom16(x.addr.Addr().As16()), x.addr.Port())
	h.node.HandleDatagram(h.now, mapped, keys.Seal(wire.Ping{}.Append(b), h.sessions[1].ID()))
	if got := h.sessions[1].Stats().PacketsReceived - before; got != 1 || h.sessions[1].seldom != nil && h.sessions[1].seldom.mobSent != 0 {
		t.Errorf("a mapped address: %d packets taken, want 1 and no check of a new address", got)
	}
}

// "RTMFP uses a session ID to multiplex and demultiplex communications with
// distinct endpoints (Section 2.2.2), in addition to the endpoint socket address.
// This allows an RTMFP to detect a far-end address change … and allows
// communication sessions to survive address changes." Even if two far ends
// exchange their addresses.
func TestRFC7016_3_3_AddressChange(t *testing.T) {
	h := newHub(t, 3)
	a, b := h.far[0], h.far[1]
	a.addr, b.addr = b.addr, a.addr
	h.say(t, "exchanged")
	for i, x := range h.far {
		if got := h.sessions[i].FarAddr(); got != x.addr {
			t.Errorf("exchanged: the address of %s is %v, want %v", x.name, got, x.addr)
		}
	}
}

// "This also allows an RTMFP to act as a Forwarder or Redirector for an endpoint
// with which it has an active session, by distinguishing startup packets from
// those of the active session." The initiator has a session with the forwarder at
// the same address, too.
func TestRFC7016_3_3_StartupBesideSession(t *testing.T) {
	h := newHub(t, 2)
	asks, target := h.far[0], h.far[1]
	before := [2]uint64{h.sessions[0].Stats().PacketsReceived, h.sessions[1].Stats().PacketsReceived}
	d := startupDatagram(func(b []byte) []byte {
		b = wire.IHello{EPD: crypto.EPDForPeer(target.PeerID()), Tag: make([]byte, 16)}.Append(b)
		return append(b, slices.Repeat([]byte{0xff}, 600)...)
	})
	log := h.spy(nil)
	h.node.HandleDatagram(h.now, asks.addr, d)
	h.node.turn()
	for i, s := range h.sessions {
		if got := s.Stats().PacketsReceived; got != before[i] {
			t.Errorf("a startup packet counts for session %d", i)
		}
	}
	r := chunksOf(*log, wire.ChunkRedirect)
	if len(r) != 1 || r[0].to != asks.addr || !slices.Contains(redirectedTo(t, r[0].payload), element.Address{AddrPort: target.addr, Origin: element.OriginObserved}) {
		t.Errorf("got %+v, want a Redirect to %v", r, target.addr)
	}
	if got := h.node.Stats(); got.Forwards != 1 {
		t.Errorf("%d forwards, want 1", got.Forwards)
	}
	s, err := asks.Dial(h.now, target.PeerID(), []netip.AddrPort{h.node.addr})
	if err != nil {
		t.Fatal(err)
	}
	h.until(2*time.Second, func() bool { return s.State() == StateOpen })
	h.say(t, "introduced")
}

// "On receiving a packet, an RTMFP decodes the session ID to look up the
// corresponding session information context and decryption key."
func TestRFC7016_3_3_Lookup(t *testing.T) {
	h := newHub(t, 2)
	keys := h.far[0].Session(h.node.PeerID()).keys
	packet := func(id uint32) []byte {
		b := wire.AppendHeader(make([]byte, 4+keys.Headroom(), 1500), wire.Header{Mode: wire.ModeInitiator})
		return keys.Seal(wire.Ping{}.Append(b), id)
	}
	for _, c := range []struct {
		name  string
		id    uint32
		why   Drop
		taken bool
	}{
		{"its own session", h.sessions[0].ID(), 0, true},
		{"the session of another", h.sessions[1].ID(), DropCrypto, false},
		{"no session", 0xdeadbeef, DropSession, false},
		// "A packet for Session ID 0 uses the Default Session Key as defined by the
		// Cryptography Profile": under another key it is none.
		{"session 0", 0, DropCrypto, false},
	} {
		before, dropped := h.sessions[0].Stats().PacketsReceived, h.node.Stats().Dropped
		other := h.sessions[1].Stats().PacketsReceived
		h.node.HandleDatagram(h.now, h.far[0].addr, packet(c.id))
		if got := h.sessions[0].Stats().PacketsReceived - before; (got == 1) != c.taken {
			t.Errorf("%s: %d packets taken, want one %v", c.name, got, c.taken)
		}
		if got := h.node.Stats().Dropped; !c.taken && got[c.why] != dropped[c.why]+1 {
			t.Errorf("%s: not dropped for %q", c.name, c.why)
		}
		if got := h.sessions[1].Stats().PacketsReceived; got != other {
			t.Errorf("%s: counts for the session of another", c.name)
		}
	}
	h.say(t, "afterwards")
}

// "MUST NOT be used for an active session": a far end that announces session 0 as
// its own gets no session, in either role.
func TestRFC7016_3_3_SessionZero(t *testing.T) {
	v := newVictim(t)
	before := v.a.Stats().Sessions
	v.startup(v.x, v.keying(t, v.x, func(c *wire.IIKeying) { c.SessionID = 0 }))
	if got := v.a.Stats().Sessions; got != before {
		t.Error("an IIKeying with session id 0 makes a session")
	}
	n, a, b := pair(t, 1)
	zero := 0
	n.spy(func(c spied) bool {
		if c.typ != wire.ChunkRIKeying || zero > 0 {
			return false
		}
		zero++
		k, _ := wire.ParseRIKeying(c.payload)
		k.SessionID = 0
		a.answer(c.from, c.session, k)
		return true
	})
	s, err := a.Dial(n.now, b.PeerID(), []netip.AddrPort{b.addr})
	if err != nil {
		t.Fatal(err)
	}
	n.until(10*time.Second, func() bool { return s.State() == StateOpen })
	if got := a.Stats().Dropped[DropState]; zero != 1 || got != 1 {
		t.Errorf("%d RIKeyings with session id 0, %d refused, want 1 and 1", zero, got)
	}
	if s.far == 0 {
		t.Error("the far end's session is 0")
	}
}
