package group

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"rtmfp/internal/element"
)

// BootstrapAddr says where a bootstrap peer is, so that the groupspec alone is
// enough to find the group. Flash knows only the peer's id, and asks a server.
type BootstrapAddr struct {
	Peer  PeerID
	Addrs []netip.AddrPort // one to seven
}

// String returns the form that ParseBootstrapAddr reads.
func (b BootstrapAddr) String() string {
	addrs := make([]string, len(b.Addrs))
	for i, a := range b.Addrs {
		addrs[i] = a.String()
	}
	return hex.EncodeToString(b.Peer[:]) + "@" + strings.Join(addrs, ",")
}

// ParseBootstrapAddr reads ID, or ID@IP:PORT,IP:PORT….
func ParseBootstrapAddr(text string) (b BootstrapAddr, err error) {
	id, list, found := strings.Cut(text, "@")
	peer, err := hex.DecodeString(id)
	if err != nil || len(peer) != len(b.Peer) {
		return b, errors.New("a peer id has 64 hexadecimal digits; write ID or ID@IP:PORT")
	}
	b.Peer = PeerID(peer)
	if !found {
		return b, nil
	}
	for _, s := range strings.Split(list, ",") {
		a, err := netip.ParseAddrPort(s)
		if err != nil {
			return b, fmt.Errorf("%q is no address; write ID@IP:PORT", s)
		}
		b.Addrs = append(b.Addrs, a)
	}
	_, err = appendSeed(nil, b)
	return b, err
}

// elements returns the addresses as members tell them.
func (b *BootstrapAddr) elements() []element.Address {
	out := make([]element.Address, len(b.Addrs))
	for i, a := range b.Addrs {
		out[i] = element.Address{AddrPort: a, Origin: element.OriginObserved}
	}
	return out
}

// appendSeed appends the option's value: the peer's id, and its addresses as
// RFC 7016 §2.1.5 has them.
func appendSeed(b []byte, s BootstrapAddr) ([]byte, error) {
	if len(s.Addrs) == 0 || len(s.Addrs) > maxAddresses {
		return nil, fmt.Errorf("%w: a bootstrap peer needs one to %d addresses", ErrSpecSyntax, maxAddresses)
	}
	b = append(b, s.Peer[:]...)
	for _, a := range s.elements() {
		if !usable(a) {
			return nil, fmt.Errorf("%w: nobody can be reached at %v", ErrSpecSyntax, a.AddrPort)
		}
		b = element.AppendAddress(b, a)
	}
	return b, nil
}

func readSeed(v []byte) (s BootstrapAddr, ok bool) {
	if len(v) < len(s.Peer) {
		return s, false
	}
	s.Peer, v = PeerID(v[:len(s.Peer)]), v[len(s.Peer):]
	for len(v) > 0 && len(s.Addrs) < maxAddresses {
		a, n := element.ConsumeAddress(v)
		if n == 0 || !usable(a) {
			return s, false
		}
		s.Addrs = append(s.Addrs, a.AddrPort)
		v = v[n:]
	}
	return s, len(s.Addrs) > 0 && len(v) == 0
}
