// Package transport is the Secure Real-Time Media Flow Protocol (RFC 7016) as a
// pure state machine: sessions between pairs of endpoints, opened by a
// four-way handshake with stateless cookies, and flows of messages on them,
// with full or partial reliability, flow control, and congestion control.
// Cryptography is package transport/crypto, the bytes of chunks are package
// transport/wire, and sockets are package transport/udp.
//
// An [Endpoint] does no I/O and reads no clock. Its driver turns like this:
//
//	e.HandleDatagram(now, from, b)         // any number of inputs:
//	e.FinishWork(now, w)                   // datagrams, finished work,
//	flow.Send(now, msg, opts)              // calls of handles
//	e.Advance(now)                         // timers that are due
//	for { ev, ok := e.NextEvent(); … }     // what happened
//	for { w, ok := e.NextWork(); … }       // public-key work for any goroutine
//	for { b, ok := e.Transmit(now, buf); … } // what goes out
//	sleep until e.Deadline() or the next input
//
// Whoever calls into an endpoint owns it, and every Session, SendFlow, and
// RecvFlow of it, until the call returns: nothing here is safe for concurrent
// use, except Work.Run. The same inputs at the same instants, with the same
// bytes from Config.Rand, give the same outputs.
//
// Every endpoint can help others to find each other. With Config.Introduce it is
// redirector and forwarder for the far ends of its sessions: dial a peer at the
// address of one who has a session with it. With Config.Redirector it sends those
// who look for a service to the endpoints that serve it, by a [Pool] in shares
// and several at once, so that one that is slow gets less and one that is dead
// does no harm.
//
// What unknown ends can make an endpoint hold, compute, or send is bounded and
// counted (docs/limits.md).
//
// Words are those of RFC 7016: near is this end, far the other one.
package transport
