package node

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
)

// DefaultPort is RTMFP's registered UDP port.
const DefaultPort = 1935

// bootstrapURL is an introducer's address before its name is resolved.
type bootstrapURL struct {
	text string // as the user gave it
	host string
	port uint16
}

// ParseBootstrap checks an introducer's URL, rtmfp://host[:port], without
// resolving its name.
func ParseBootstrap(text string) error {
	_, err := parseBootstrap(text)
	return err
}

func parseBootstrap(text string) (bootstrapURL, error) {
	bad := func(why string) (bootstrapURL, error) {
		return bootstrapURL{}, fmt.Errorf("bootstrap %q: %s; write rtmfp://HOST or rtmfp://HOST:PORT", text, why)
	}
	u, err := url.Parse(text)
	if err != nil {
		return bad("not a URL")
	}
	if u.Scheme != "rtmfp" {
		return bad("the scheme is not rtmfp")
	}
	if u.Hostname() == "" {
		return bad("no host")
	}
	if u.User != nil {
		return bad("a user name has no meaning here")
	}
	port := uint64(DefaultPort)
	if p := u.Port(); p != "" {
		if port, err = strconv.ParseUint(p, 10, 16); err != nil || port == 0 {
			return bad("the port is not a number from 1 to 65535")
		}
	}
	return bootstrapURL{text: text, host: u.Hostname(), port: uint16(port)}, nil
}

// resolve looks up all addresses of the URL's host.
func (u bootstrapURL) resolve(ctx context.Context) ([]netip.AddrPort, error) {
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", u.host)
	if err != nil {
		return nil, fmt.Errorf("bootstrap %s: %w", u.text, err)
	}
	addrs := make([]netip.AddrPort, len(ips))
	for i, ip := range ips {
		addrs[i] = netip.AddrPortFrom(ip.Unmap(), u.port)
	}
	return addrs, nil
}
