// Package host gives RTMFP (RFC 7016) to any Go program, over a UDP socket of
// its own: sessions with other hosts, and flows of messages on them.
//
//	h, err := host.Listen(":1935", host.Config{})
//	s, err := h.Dial(ctx, "rtmfp://seed.example.org")  // or s, err := h.Accept(ctx)
//	f, err := s.OpenFlow(host.FlowOptions{Metadata: []byte("chat")})
//	err = f.Send(ctx, []byte("hello"), host.SendOptions{})
//
//	in, err := s.AcceptFlow(ctx)                       // at the other end
//	msg, err := in.Receive(ctx)
//
// Everything may be called from any goroutine. What waits takes a context; it
// returns the context's error, or one that unwraps to net.ErrClosed or
// os.ErrDeadlineExceeded when a session or the host has ended.
//
// Send takes a copy and returns at once while there is room; a full queue makes
// it wait, and so the network, or a far end that does not read, slows a sender
// down. A receiver that does not call Receive closes the flow's window.
//
// The protocol itself is package transport, which package driver runs on one
// goroutine; handles pass their messages to it in batches and never touch it.
package host
