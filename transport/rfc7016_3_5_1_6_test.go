package transport

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"rtmfp/internal/element"
	"rtmfp/transport/crypto"
	"rtmfp/transport/wire"
)

// RFC 7016 §3.5.1.6, redirector and forwarder with NAT.

// "The service MAY record other addresses for the responder, for example
// addresses that the responder self-reports as being directly attached."
func TestRFC7016_3_5_1_6_ReportedAddresses(t *testing.T) {
	v := newVictim(t)
	v.a.cfg.IntroductionBurst = 9
	reported := []netip.AddrPort{addr("192.168.1.5:1935"), addr("[fe80::5]:1935"), {}, addr("192.168.1.5:1935"), addr("0.0.0.0:5"), addr("[::ffff:10.1.1.1]:7")}
	want := []element.Address{
		{AddrPort: v.b.addr, Origin: element.OriginObserved},
		{AddrPort: addr("192.168.1.5:1935"), Origin: element.OriginLocal},
		{AddrPort: addr("[fe80::5]:1935"), Origin: element.OriginLocal},
		{AddrPort: addr("10.1.1.1:7"), Origin: element.OriginLocal},
	}
	log := v.n.spy(nil)
	v.sa.SetReported(reported)
	v.startup(v.x, v.ihello(crypto.EPDForPeer(v.b.PeerID())))
	v.sa.SetReported(nil)
	v.startup(v.x, v.ihello(crypto.EPDForPeer(v.b.PeerID())))
	v.n.run(time.Millisecond)
	redirects := chunksOf(*log, wire.ChunkRedirect)
	if len(redirects) != 2 {
		t.Fatalf("got %d Redirects, want 2", len(redirects))
	}
	if got := redirectedTo(t, redirects[0].payload); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := redirectedTo(t, redirects[1].payload); !slices.Equal(got, want[:1]) {
		t.Errorf("after none were reported: got %v, want %v", got, want[:1])
	}
}
