package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"rtmfp/node"
)

// nodeFlags are the flags of every command that runs a node.
type nodeFlags struct {
	Identity    string        `help:"File that keeps the node's identity key, made on first use; \"none\" takes a fresh one for this run. Default: rtmfp-node/identity in the user's configuration folder." placeholder:"FILE"`
	UploadLimit bitRate       `help:"Most that the node sends in all, such as 20M for 20 Mbit/s: no more streams than fit, and of files what these leave. Default: for streams what the line is found to carry, for all else no limit." placeholder:"RATE"`
	AllowLegacy bool          `help:"Also talk to old peers that know only the crypto of RFC 7425 (DH of 1024 or 2048 bits, AES-CBC)."`
	Addresses   string        `help:"File that remembers where members of groups were, to find them again when no introducer answers; \"none\" keeps none. Default: the file addresses beside the identity." placeholder:"FILE"`
	LAN         bool          `name:"lan" negatable:"" default:"true" help:"Find members on the local network, in groups made for it (\"group new --lan\"). On by default."`
	JoinTimeout time.Duration `help:"How long to wait for an introducer. Default: 10s." default:"10s" placeholder:"D"`
	Verbose     bool          `short:"v" help:"Log in detail."`
	Quiet       bool          `short:"q" help:"Print nothing but errors."`

	bootstrap []bootURL // set from the command's own --bootstrap
	hold      io.Closer // the identity, while the node runs
}

func (f *nodeFlags) bootstrapList() []string {
	urls := make([]string, len(f.bootstrap))
	for i, u := range f.bootstrap {
		urls[i] = string(u)
	}
	return urls
}

// check reports flags whose values can't be meant.
func (f *nodeFlags) check() error {
	if f.JoinTimeout <= 0 {
		return failf(exitUsage, "--join-timeout must be more than 0")
	}
	return nil
}

// notice tells the user something that is no error, unless told to be quiet.
func (f *nodeFlags) notice(e *env) func(format string, args ...any) {
	return func(format string, args ...any) {
		if !f.Quiet {
			e.console.printf(format, args...)
		}
	}
}

// start runs a node with these flags on top of cfg, which logs from level on.
// stop ends it.
func (f *nodeFlags) start(ctx context.Context, e *env, cfg node.Config, level slog.Leveler) (*node.Node, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	hold, err := useIdentity(&cfg, f.Identity, f.notice(e))
	if err != nil {
		return nil, err
	}
	cfg.Bootstrap = f.bootstrapList()
	cfg.UploadLimit = f.UploadLimit.bytes()
	cfg.AllowLegacy = f.AllowLegacy
	cfg.JoinTimeout = f.JoinTimeout
	cfg.AddressCache = f.addressCache()
	cfg.LAN = f.LAN
	cfg.Logger = f.logger(e, level)
	n, err := node.Start(ctx, cfg)
	if err != nil {
		hold.Close()
		return nil, startError(err, cfg.Listen)
	}
	f.hold = hold
	return n, nil
}

// addressCache returns the file that keeps addresses, "" for none.
func (f *nodeFlags) addressCache() string {
	beside := f.Identity
	switch {
	case f.Addresses == identityNone, f.Addresses == "" && beside == identityNone:
		return ""
	case f.Addresses != "":
		return f.Addresses
	case beside == "":
		var err error
		if beside, err = defaultIdentity(); err != nil {
			return "" // there was no identity either
		}
	}
	return filepath.Join(filepath.Dir(beside), "addresses")
}

// stop leaves the groups of a node, ends it, and gives its identity back.
func (f *nodeFlags) stop(n *node.Node) {
	n.Close()
	f.hold.Close()
}

// logger returns where the node logs: stderr, from level on, or all of it with
// --verbose, or only errors with --quiet.
func (f *nodeFlags) logger(e *env, level slog.Leveler) *slog.Logger {
	switch {
	case f.Verbose:
		level = slog.LevelDebug
	case f.Quiet:
		level = slog.LevelError
	}
	return slog.New(slog.NewTextHandler(e.console, &slog.HandlerOptions{Level: level}))
}

// bitRate is a rate in bits per second, written as 800k, 20M, or 1.5G.
type bitRate int64

// UnmarshalText reads a number with an optional unit.
func (r *bitRate) UnmarshalText(text []byte) error {
	s := strings.TrimSuffix(string(text), "bit/s")
	unit := 1.0
	if s != "" {
		switch s[len(s)-1] {
		case 'k', 'K':
			unit = 1e3
		case 'M':
			unit = 1e6
		case 'G':
			unit = 1e9
		}
		if unit > 1 {
			s = s[:len(s)-1]
		}
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || !(v*unit >= 8) || v*unit > 1e15 {
		return fmt.Errorf("%q is not a rate; write bits per second, such as 800k or 20M", text)
	}
	*r = bitRate(v * unit)
	return nil
}

func (r bitRate) bytes() int { return int(r / 8) }

// printURLs prints how others reach a node, on stdout.
func (e *env) printURLs(addr netip.AddrPort) error {
	for _, u := range urlsOf(addr) {
		if _, err := fmt.Fprintln(e.stdout, u); err != nil {
			return err
		}
	}
	return nil
}

// urlsOf returns the rtmfp:// URLs under which a node that listens on addr can
// be reached, by what the machine's interfaces say.
func urlsOf(addr netip.AddrPort) []string {
	hosts := []netip.Addr{addr.Addr()}
	if addr.Addr().IsUnspecified() {
		hosts = interfaceAddrs(addr.Addr().Is4())
	}
	var urls []string
	for _, h := range hosts {
		urls = append(urls, "rtmfp://"+netip.AddrPortFrom(h.WithZone(""), addr.Port()).String())
	}
	return urls
}

// interfaceAddrs lists the machine's own addresses that others may use, those
// of IPv4 first, and the loopback if there is no other.
func interfaceAddrs(only4 bool) []netip.Addr {
	var v4, v6 []netip.Addr
	nets, err := net.InterfaceAddrs()
	if err == nil {
		for _, n := range nets {
			p, err := netip.ParsePrefix(n.String())
			if err != nil || !p.Addr().IsGlobalUnicast() {
				continue
			}
			if p.Addr().Is4() {
				v4 = append(v4, p.Addr())
			} else if !only4 {
				v6 = append(v6, p.Addr())
			}
		}
	}
	if all := append(v4, v6...); len(all) > 0 {
		return all
	}
	return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})}
}

// checkWritable reports early what would keep writeFile from writing to a file
// at the end, when hours may have passed. It leaves the file system as it was.
func checkWritable(name string) error {
	if name == "" || name == "-" {
		return nil
	}
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() && !info.IsDir() {
		return nil // opening a pipe would wait for its reader
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	switch {
	case err == nil:
		f.Close()
		return os.Remove(name)
	case !errors.Is(err, os.ErrExist):
		return err
	}
	if f, err = os.OpenFile(name, os.O_WRONLY, 0); err != nil {
		return err
	}
	return f.Close()
}

// writeFile replaces a file with data, or writes to stdout for "-".
func (e *env) writeFile(name string, data []byte) error {
	if name == "-" {
		_, err := e.stdout.Write(data)
		return err
	}
	return os.WriteFile(name, data, 0o644)
}
