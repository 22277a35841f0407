package host

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"rtmfp/internal/clock"
	"rtmfp/transport"
)

// DefaultPort is RTMFP's registered UDP port.
const DefaultPort = 1935

// Dial opens a session to whoever answers at an address, "host", "host:port",
// or an rtmfp:// URL. The far end proves that it is who its certificate says;
// who that is, Session.Peer tells.
//
// Errors: a malformed address; those of name resolution; the context's;
// transport.ErrOpenTimeout, ErrCrypto, ErrTooManySessions.
func (h *Host) Dial(ctx context.Context, address string) (*Session, error) {
	u, host, port, err := parseAddress(address)
	if err != nil {
		return nil, err
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", address, err)
	}
	addrs := make([]netip.AddrPort, len(ips))
	for i, ip := range ips {
		addrs[i] = netip.AddrPortFrom(ip.Unmap(), port)
	}
	s, err := h.dial(ctx, func(now clock.Time) (*transport.Session, error) {
		return h.loop.DialURL(now, u, addrs)
	})
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", address, err)
	}
	return s, nil
}

// DialPeer opens a session to the host with a known name, wherever it is: each
// session in via asks its far end, which must have Config.Introduce set, to
// introduce the two. If there is a session with that peer already, it is
// returned. Errors are those of Dial, and transport.ErrSelf.
func (h *Host) DialPeer(ctx context.Context, peer PeerID, via ...*Session) (*Session, error) {
	return h.DialPeerAt(ctx, peer, nil, via...)
}

// DialPeerAt is DialPeer with addresses at which the peer itself, or somebody
// who knows it, may be found. All are tried side by side.
func (h *Host) DialPeerAt(ctx context.Context, peer PeerID, addrs []netip.AddrPort, via ...*Session) (*Session, error) {
	s, err := h.dial(ctx, func(now clock.Time) (*transport.Session, error) {
		all := slices.Clone(addrs)
		for _, v := range via {
			if !v.ended {
				all = append(all, v.core.FarAddr())
			}
		}
		return h.loop.Dial(now, peer, all)
	})
	if err != nil {
		return nil, fmt.Errorf("dial %v: %w", peer, err)
	}
	return s, nil
}

// dial begins a session on the loop and waits for it to be open.
func (h *Host) dial(ctx context.Context, begin func(now clock.Time) (*transport.Session, error)) (*Session, error) {
	var s *Session
	var err error
	if e := h.do(func(now clock.Time) {
		var core *transport.Session
		if core, err = begin(now); err == nil {
			s = h.loop.session(core)
			s.dialers++
		}
	}); e != nil {
		return nil, e
	}
	if err != nil {
		return nil, err
	}
	for {
		select {
		case <-s.open:
			return s, h.leave(s)
		case <-s.done:
		case <-ctx.Done():
			_ = h.leave(s)
			return nil, context.Cause(ctx)
		}
		err := s.Err()
		if !errors.Is(err, transport.ErrDuplicate) || s.other == nil {
			return nil, err
		}
		// There is a session with whoever it was already.
		s = s.other
		if e := h.do(func(clock.Time) { s.dialers++ }); e != nil {
			return nil, e
		}
	}
}

// leave notes that one who dialed s waits no more. A session that nobody waits
// for and is not open is given up.
func (h *Host) leave(s *Session) error {
	return h.do(func(now clock.Time) {
		if s.dialers--; s.dialers == 0 && !s.isOpen && !s.ended {
			s.close(now)
		}
	})
}

// parseAddress takes an address apart, and returns it as a URL.
func parseAddress(address string) (text, host string, port uint16, err error) {
	bad := func(why string) (string, string, uint16, error) {
		return "", "", 0, fmt.Errorf("dial %q: %s; write HOST, HOST:PORT, or rtmfp://HOST:PORT", address, why)
	}
	text = address
	if !strings.Contains(text, "://") {
		text = "rtmfp://" + text
	}
	u, err := url.Parse(text)
	if err != nil {
		return bad("malformed")
	}
	if u.Scheme != "rtmfp" {
		return bad("the scheme is not rtmfp")
	}
	if u.Hostname() == "" {
		return bad("no host")
	}
	n := uint64(DefaultPort)
	if p := u.Port(); p != "" {
		if n, err = strconv.ParseUint(p, 10, 16); err != nil || n == 0 {
			return bad("the port is not a number from 1 to 65535")
		}
	}
	return text, u.Hostname(), uint16(n), nil
}
