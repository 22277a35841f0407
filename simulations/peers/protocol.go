package main

import (
	"context"
	"slices"
)

// messageSize is how much is handed to a protocol with one call, in bytes.
const messageSize = 64 << 10

// protocol is a way to carry one ordered, reliable stream between two processes.
type protocol struct {
	name   string
	listen func() (listener, error)
	dial   func(ctx context.Context, address string) (sender, error) // from a new socket, until it is open
	// message is how much is handed over with one call, if it is not messageSize.
	message int
	// program is what runs as worker, if it is not this program:
	//	program receive
	//	program send ADDR BYTES SECONDS
	// It opens no sessions for their own sake.
	program string
}

type listener interface {
	Addr() string
	Accept(ctx context.Context) (receiver, error)
	Close()
}

// receiver is the far end of what dial opened.
type receiver interface {
	// Receive reports the sizes of what comes until the sender finishes, and
	// tells it that everything has come. It returns at once, or at the latest
	// with the process, if the session ends without anything sent.
	Receive(ctx context.Context, count func(n int)) error
}

type sender interface {
	Send(ctx context.Context, b []byte) error
	Finish(ctx context.Context) error // returns when the far end has everything
	Close()                           // in an orderly way
}

var protocols = []protocol{
	{name: "rtmfp", listen: listenRTMFP(modern), dial: dialRTMFP(modern)},
	{name: "rtmfp-1200", listen: listenRTMFP(modern1200), dial: dialRTMFP(modern1200)},
	{name: "rtmfp-legacy", listen: listenRTMFP(legacy), dial: dialRTMFP(legacy)},
	{name: "quic", listen: listenQUIC, dial: dialQUIC},
	{name: "sctp", listen: listenSCTP(false), dial: dialSCTP(false), message: 32 << 10},
	{name: "sctp-dtls", listen: listenSCTP(true), dial: dialSCTP(true), message: 32 << 10},
}

func protocolNamed(name string) *protocol {
	i := slices.IndexFunc(protocols, func(p protocol) bool { return p.name == name })
	if i < 0 {
		return nil
	}
	return &protocols[i]
}

func allPeers() (names []string) {
	for _, p := range protocols {
		names = append(names, p.name)
	}
	return names
}
