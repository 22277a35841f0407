package gossip

import (
	"crypto/rand"
	"fmt"
	"net"

	"github.com/libp2p/go-libp2p/config"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	basichost "github.com/libp2p/go-libp2p/p2p/host/basic"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	"github.com/libp2p/go-libp2p/p2p/host/peerstore/pstoremem"
	"github.com/libp2p/go-libp2p/p2p/net/connmgr"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	libp2pquic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/quicreuse"
	"github.com/marcopolo/simnet"
	"github.com/multiformats/go-multiaddr"
)

// endpoint makes the socket on the simulated network and gives out its one
// address as the source.
type endpoint struct {
	network *simnet.Simnet
	access  simnet.NodeBiDiLinkSettings
	addr    *net.UDPAddr
	conn    *simnet.SimConn
}

func (e *endpoint) PreferredSourceIPForDestination(*net.UDPAddr) (net.IP, error) {
	return e.addr.IP, nil
}

func (e *endpoint) listen(string, *net.UDPAddr) (net.PacketConn, error) {
	e.conn = e.network.NewEndpoint(e.addr, e.access)
	return e.conn, nil
}

// newHost puts a libp2p host together as libp2p.New does by default, but with
// QUIC as its only transport, and without what looks at the machine's own
// network: that would be outside of the simulation. (libp2p.New itself links
// WebTransport, which does not go with the QUIC that the other comparison of
// this module is with.)
func newHost(e *endpoint) (host.Host, error) {
	private, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		return nil, err
	}
	id, err := peer.IDFromPrivateKey(private)
	if err != nil {
		return nil, err
	}
	store, err := pstoremem.NewPeerstore()
	if err != nil {
		return nil, err
	}
	if err := store.AddPrivKey(id, private); err != nil {
		return nil, err
	}
	events := eventbus.NewBus()
	s, err := swarm.NewSwarm(id, store, events)
	if err != nil {
		return nil, err
	}
	reset, err := config.PrivKeyToStatelessResetKey(private)
	if err != nil {
		return nil, err
	}
	tokens, err := config.PrivKeyToTokenGeneratorKey(private)
	if err != nil {
		return nil, err
	}
	sockets, err := quicreuse.NewConnManager(reset, tokens,
		quicreuse.OverrideSourceIPSelector(func() (quicreuse.SourceIPSelector, error) { return e, nil }),
		quicreuse.OverrideListenUDP(e.listen))
	if err != nil {
		return nil, err
	}
	transport, err := libp2pquic.NewTransport(private, sockets, nil, nil, &network.NullResourceManager{})
	if err != nil {
		return nil, err
	}
	if err := s.AddTransport(transport); err != nil {
		return nil, err
	}
	addr, err := multiaddr.NewMultiaddr(fmt.Sprintf("/ip4/%s/udp/%d/quic-v1", e.addr.IP, e.addr.Port))
	if err != nil {
		return nil, err
	}
	if err := s.Listen(addr); err != nil {
		return nil, err
	}
	connections, err := connmgr.NewConnManager(160, 192) // as config's default
	if err != nil {
		return nil, err
	}
	h, err := basichost.NewHost(s, &basichost.HostOpts{
		EventBus: events, ConnManager: connections, EnablePing: true, EnableRelayService: true,
	})
	if err != nil {
		return nil, err
	}
	h.Start()
	return h, nil
}
