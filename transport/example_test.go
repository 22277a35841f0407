package transport_test

import (
	"fmt"
	"net/netip"

	"rtmfp/internal/clock"
	"rtmfp/transport"
	"rtmfp/transport/crypto"
)

// A redirector that gives one server twice the share of another, and tells each
// client a second one that it may use if the first does not answer. In a program
// the Pool is the Redirector of a Config, and the endpoint asks it.
func ExamplePool() {
	large, small := netip.MustParseAddrPort("192.0.2.1:1935"), netip.MustParseAddrPort("192.0.2.2:1935")
	pool := &transport.Pool{Several: 1}
	pool.Set(transport.Responder{Addr: large, Weight: 2})
	pool.Set(transport.Responder{Addr: small, Weight: 1})

	epd := crypto.EPDForURL("rtmfp://service.example/live")
	from := netip.MustParseAddrPort("198.51.100.7:40000")
	ask := func() {
		list, ok := pool.Redirect(clock.Time(0), epd, from, nil)
		fmt.Println(list, ok)
	}
	for range 3 {
		ask()
	}
	pool.Set(transport.Responder{Addr: large}) // out of service
	ask()
	pool.Several = 2
	pool.Set(transport.Responder{Addr: large, Weight: 2})
	ask()
	for _, st := range pool.Stats() {
		fmt.Println(st.Addr, st.Redirected, "redirected")
	}
	// Output:
	// [192.0.2.1:1935] true
	// [192.0.2.2:1935] true
	// [192.0.2.1:1935] true
	// [192.0.2.2:1935] true
	// [192.0.2.1:1935 192.0.2.2:1935] true
	// 192.0.2.1:1935 3 redirected
	// 192.0.2.2:1935 3 redirected
}
