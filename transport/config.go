package transport

import (
	"errors"
	"fmt"
	"io"
	"time"

	"rtmfp/internal/rare"
	"rtmfp/transport/crypto"
)

// Config configures an Endpoint. Identity and Rand are required; the zero value
// of every other field is its default.
type Config struct {
	// Identity is the endpoint's certificate with its private keys.
	Identity *crypto.Identity

	// Rand gives the bytes for tags, cookies' secrets, and keys. It must be
	// cryptographically strong in production and seeded in simulations.
	Rand io.Reader

	// Policy says which cryptography is acceptable. The zero Policy refuses
	// whatever is older than the modern suite.
	Policy crypto.Policy

	// BriefHello pads the first IHello to an address to 200 bytes, and only
	// those after it to a full packet. Modern ends have short answers; others
	// answer the second.
	BriefHello bool

	// Introduce makes the endpoint redirect and forward to the far ends of its
	// open sessions (RFC 7016 §3.5.1.4, §3.5.1.5).
	Introduce bool

	// Redirector, if it is not nil, is asked first for every IHello. Pool
	// spreads initiators over several responders.
	Redirector Redirector

	// Forwarded says what an initiator gets of whom a forwarder tells. The
	// default is an RHello.
	Forwarded ForwardedAnswer

	// Keepalive is the silence after which the far end is pinged. Default 5 s.
	Keepalive time.Duration

	// RetransmitLimit is how long a session may wait for any sign of life while
	// data or a ping is outstanding, before it is given up. Default 10 s.
	RetransmitLimit time.Duration

	// OpenTimeout is the ultimate open timeout (RFC 7016 §3.5.1.1.1): how long
	// an opening session is tried. Default 95 s, as the RFC recommends.
	OpenTimeout time.Duration

	// ParallelOffset is the time between the first IHellos to the addresses of
	// one Dial or one Redirect, the first of which gets its own at once; so that
	// the later ones are asked in earnest only if the earlier ones are slow.
	// Default 50 ms; negative for none.
	ParallelOffset time.Duration

	// MTU is the largest UDP payload that is sent, in bytes, 576 to 9000.
	// Default 1200: it passes every IPv6 path (1280 less 48 of headers) with
	// room for a tunnel, and is what QUIC takes to be safe without probing.
	MTU int

	// MaxMTU is the largest UDP payload over IPv4 that is tried on paths that
	// carry much data (path MTU discovery, RFC 8899), up to 9000; over IPv6 it
	// is 20 less, for its longer header. Default 1472, which is Ethernet; no
	// more than MTU turns discovery off.
	MaxMTU int

	// Buffer makes the buffers in which messages of a flow are put together that
	// RecvFlow.Gather was called for. It returns one of any length and capacity, of
	// which the contents do not matter; a longer one is made where it is too short.
	Buffer func(f *RecvFlow) []byte

	// LoopbackMTU is the same for paths to loopback addresses, which no network
	// bounds. Up to 32000, which is less than they carry; default: MaxMTU.
	LoopbackMTU int

	// MaxSessions bounds sessions in any state. Default 16384.
	MaxSessions int

	// MaxOpening bounds sessions that are being opened from either side, for
	// which nothing is proven yet. Default 1024.
	MaxOpening int

	// MaxOpeningPerPrefix bounds those of them that were begun from one network,
	// an IPv4 /24 or IPv6 /56. Default 512.
	MaxOpeningPerPrefix int

	// IntroductionRate bounds the introductions to one far end, and those that
	// are answered at the word of one, per second; IntroductionBurst is how many
	// may come at once. Default 20 and 64.
	IntroductionRate, IntroductionBurst int

	// UnpaddedBudget bounds the bytes per second by which answers to unknown
	// ends may exceed the questions, for each network as above: where
	// Policy.AllowLegacy admits ends that don't pad their IHellos, and for those
	// of whom a forwarder told. Default 65536.
	UnpaddedBudget int

	// FragmentBuffer bounds the bytes of packets of the handshake that come in
	// fragments from ends with a valid cookie or tag. A quarter of it is for
	// all others. Default 256 KiB.
	FragmentBuffer int

	// MaxFlowsPerSession bounds the flows of one direction in a session, those
	// that linger after their end included. Default 4096.
	MaxFlowsPerSession int

	// RecvBuffer is the receive window of a flow in bytes at first. It grows to
	// twice what the flow's owner is handed in a round trip, up to MaxRecvBuffer;
	// less than RecvBuffer there keeps it as it is. Defaults 1 MiB and 16 MiB.
	RecvBuffer, MaxRecvBuffer int

	// SessionBuffer bounds what all receiving flows of a session hold together
	// in bytes; beyond it only the very next fragment of a flow is taken, and
	// beyond twice of it the flow is rejected. Default 32 MiB.
	SessionBuffer int

	// EndpointBuffer bounds the same for all sessions together; beyond twice of
	// it nothing is taken that has to wait. Default 256 MiB.
	EndpointBuffer int

	// SendBuffer bounds what a sending flow queues in bytes, an overhead per
	// message included. It is twice the congestion window where that is more, up
	// to MaxSendBuffer; less than SendBuffer there keeps it as it is. Defaults
	// 4 MiB and 32 MiB.
	SendBuffer, MaxSendBuffer int

	// MaxMessage bounds a message in bytes. A message from the far end may be
	// longer as far as the flow's memory goes; at more than twice the sum of
	// MaxMessage and RecvBuffer its flow is rejected with code 0. Default 2 MiB.
	MaxMessage int

	// MaxOutbox bounds the datagrams of handshakes that wait for transmission.
	// Default 256.
	MaxOutbox int

	// PoolKeep bounds the bytes of free buffers that are kept for reuse.
	// Default 4 MiB.
	PoolKeep int

	// NoECN offers no congestion marks, sends none, and answers none.
	NoECN bool

	// Trace is told what happens, if it is not nil.
	Trace *Tracer

	// Rare makes rare things common, in simulations. nil: nothing of the kind.
	Rare *rare.Points
}

// withDefaults returns c with its defaults filled in, or what is wrong with it.
func (c Config) withDefaults() (Config, error) {
	if c.Identity == nil {
		return c, errors.New("transport: Config.Identity is missing")
	}
	if n := len(c.Identity.Certificate()); n > maxCertificate {
		return c, fmt.Errorf("transport: the certificate of Config.Identity has %d bytes, over %d", n, maxCertificate)
	}
	if c.Rand == nil {
		return c, errors.New("transport: Config.Rand is missing")
	}
	if c.Forwarded > ForwardedNothing {
		return c, fmt.Errorf("transport: Config.Forwarded is %d, which is no answer", c.Forwarded)
	}
	for _, d := range []struct {
		v    *time.Duration
		def  time.Duration
		name string
	}{
		{&c.Keepalive, 5 * time.Second, "Keepalive"},
		{&c.RetransmitLimit, 10 * time.Second, "RetransmitLimit"},
		{&c.OpenTimeout, ultimateOpenTimeout, "OpenTimeout"},
	} {
		if *d.v == 0 {
			*d.v = d.def
		}
		if *d.v < time.Millisecond {
			return c, fmt.Errorf("transport: Config.%s is %v, below 1 ms", d.name, *d.v)
		}
	}
	if c.ParallelOffset == 0 {
		c.ParallelOffset = parallelOffset
	}
	for _, n := range c.limits() {
		if *n.v == 0 {
			*n.v = n.def
		}
		if *n.v < n.least || *n.v > n.largest {
			return c, fmt.Errorf("transport: Config.%s is %d, outside %d to %d", n.name, *n.v, n.least, n.largest)
		}
	}
	if !c.NoECN {
		c.Policy.Extensions |= crypto.ExtensionECN
	}
	c.MaxMTU = max(c.MaxMTU, c.MTU)
	c.LoopbackMTU = max(c.LoopbackMTU, c.MaxMTU)
	c.MaxRecvBuffer = max(c.MaxRecvBuffer, c.RecvBuffer)
	c.MaxSendBuffer = max(c.MaxSendBuffer, c.SendBuffer)
	return c, nil
}

// limit is a bound in a Config.
type limit struct {
	v                   *int
	def, least, largest int
	name                string
}

// limits returns the bounds of c, with their defaults. docs/limits.md lists them.
func (c *Config) limits() []limit {
	return []limit{
		{&c.MTU, defaultMTU, 576, 9000, "MTU"},
		{&c.MaxMTU, defaultMaxMTU, 0, 9000, "MaxMTU"},
		{&c.LoopbackMTU, 0, 0, jumboBlock, "LoopbackMTU"},
		{&c.MaxSessions, 16384, 1, maxSlots, "MaxSessions"},
		{&c.MaxOpening, 1024, 1, maxSlots, "MaxOpening"},
		{&c.MaxOpeningPerPrefix, 512, 1, maxSlots, "MaxOpeningPerPrefix"},
		{&c.IntroductionRate, 20, 1, 1e6, "IntroductionRate"},
		{&c.IntroductionBurst, 64, 1, 1e6, "IntroductionBurst"},
		{&c.UnpaddedBudget, 1 << 16, 1, 1 << 30, "UnpaddedBudget"},
		{&c.FragmentBuffer, 256 << 10, 64 << 10, 1 << 30, "FragmentBuffer"},
		{&c.MaxFlowsPerSession, 4096, 1, 1 << 20, "MaxFlowsPerSession"},
		{&c.RecvBuffer, 1 << 20, 4096, 1 << 29, "RecvBuffer"},
		{&c.MaxRecvBuffer, 16 << 20, 0, 1 << 29, "MaxRecvBuffer"},
		{&c.SessionBuffer, 32 << 20, 4096, 1 << 30, "SessionBuffer"},
		{&c.EndpointBuffer, 256 << 20, 4096, 1 << 30, "EndpointBuffer"},
		{&c.SendBuffer, 4 << 20, 4096, 64 << 20, "SendBuffer"},
		{&c.MaxSendBuffer, 32 << 20, 0, 64 << 20, "MaxSendBuffer"},
		{&c.MaxMessage, 2 << 20, 1024, 64 << 20, "MaxMessage"},
		{&c.MaxOutbox, 256, 1, 1 << 20, "MaxOutbox"},
		{&c.PoolKeep, 4 << 20, 1, 1 << 30, "PoolKeep"},
	}
}
