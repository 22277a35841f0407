package host

import (
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"rtmfp/transport"
	"rtmfp/transport/crypto"
)

// PeerID names a host: the fingerprint of its certificate.
type PeerID = transport.PeerID

// Config configures a Host. The zero Config is the default.
type Config struct {
	// Identity is who the host is. By default a fresh one is made.
	Identity *crypto.Identity

	// Policy says which cryptography is acceptable. The zero Policy refuses
	// whatever is older than the modern suite.
	Policy crypto.Policy

	// Introduce makes the host help others to find those that it has sessions
	// with (see Host.DialPeer).
	Introduce bool

	// Keepalive, RetransmitLimit, OpenTimeout, MTU, MaxMTU, MaxSessions,
	// MaxOpening, MaxFlowsPerSession, RecvBuffer, MaxRecvBuffer, SessionBuffer,
	// EndpointBuffer, SendBuffer, MaxSendBuffer and MaxMessage are those of
	// transport.Config, with its defaults.
	Keepalive, RetransmitLimit, OpenTimeout time.Duration
	MTU, MaxMTU, MaxSessions, MaxOpening    int
	MaxFlowsPerSession                      int
	RecvBuffer, MaxRecvBuffer               int
	SessionBuffer, EndpointBuffer           int
	SendBuffer, MaxSendBuffer, MaxMessage   int

	// Backlog bounds the sessions that wait for Accept, and in each session
	// the flows that wait for AcceptFlow; more are refused. Default 128.
	Backlog int

	// RecvQueue bounds the bytes of messages of one flow that wait for
	// Receive, an overhead for each included; SessionBuffer bounds those of
	// all flows of a session likewise. Beyond either the flow is suspended,
	// after what its window allowed. Default 1 MiB.
	RecvQueue int

	// NoECN neither sends nor answers congestion marks.
	NoECN bool

	// NoOffload keeps the kernel from cutting and gluing datagrams.
	NoOffload bool

	// Trace is told what happens, on the host's own goroutine, if it is not nil.
	Trace *transport.Tracer
}

// overhead is what a queued message costs beside its bytes.
const overhead = 64

// withDefaults returns c with its own defaults filled in and an identity.
func (c Config) withDefaults() (Config, error) {
	for _, n := range []struct {
		v    *int
		def  int
		name string
	}{
		{&c.Backlog, 128, "Backlog"},
		{&c.RecvQueue, 1 << 20, "RecvQueue"},
		{&c.SessionBuffer, 32 << 20, "SessionBuffer"},
		{&c.SendBuffer, 4 << 20, "SendBuffer"},
		{&c.MaxMessage, 2 << 20, "MaxMessage"},
	} {
		if *n.v == 0 {
			*n.v = n.def
		}
		if *n.v < 1 {
			return c, fmt.Errorf("host: Config.%s is %d, below 1", n.name, *n.v)
		}
	}
	if c.MaxMessage+overhead > c.SendBuffer {
		return c, errors.New("host: Config.SendBuffer does not hold a message of Config.MaxMessage")
	}
	if c.Identity == nil {
		id, err := crypto.NewIdentity(rand.Reader, crypto.IdentityOptions{})
		if err != nil {
			return c, err
		}
		c.Identity = id
	}
	return c, nil
}

// endpoint makes the core.
func (c *Config) endpoint() (*transport.Endpoint, error) {
	return transport.New(transport.Config{
		Identity: c.Identity, Rand: rand.Reader, Policy: c.Policy, Introduce: c.Introduce,
		Keepalive: c.Keepalive, RetransmitLimit: c.RetransmitLimit, OpenTimeout: c.OpenTimeout,
		MTU: c.MTU, MaxMTU: c.MaxMTU, MaxSessions: c.MaxSessions, MaxOpening: c.MaxOpening, MaxFlowsPerSession: c.MaxFlowsPerSession,
		RecvBuffer: c.RecvBuffer, MaxRecvBuffer: c.MaxRecvBuffer,
		SessionBuffer: c.SessionBuffer, EndpointBuffer: c.EndpointBuffer,
		SendBuffer: c.SendBuffer, MaxSendBuffer: c.MaxSendBuffer, MaxMessage: c.MaxMessage,
		NoECN: c.NoECN, Trace: c.Trace,
	})
}
