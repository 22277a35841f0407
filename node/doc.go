// Package node puts the cores together into a running RTMFP node, and is the
// library's public face: start a node, join groups, publish and play streams.
//
// Core is the pure composition of transport, group, and multicast: a
// deterministic state machine that the simulator drives on virtual time. Node
// drives a Core on real UDP sockets with one loop goroutine that owns it, one
// reader per socket, and a few workers for public-key work. Handles (Group,
// Publication, Playback) may be used from any goroutine; they talk to the loop
// and never touch the Core themselves.
//
// The protocols are RFC 7016 with the RFC 7425 profile, docs/crypto.md for the
// modern crypto suite, and docs/group-wire.md and docs/multicast.md for groups.
package node
