// Package group is membership of RTMFP Groups: groupspecs, joining through an
// introducer, the proof of membership, reports of who else is a member, and
// the choice of the few members to keep links to, so that all together form
// one connected, short-pathed mesh whatever comes and goes.
//
// A Group is a deterministic state machine: it takes the time and what happened
// on links, talks through the Links interface, and gives out events. It opens
// no socket, starts no goroutine and reads no clock. Whoever calls it owns it
// until the call returns.
//
// What is spoken is the protocol of Adobe's Flash as open implementations show
// it, which was never specified in public; docs/group-wire.md describes what we
// add to it and how an older member never gets to see that.
package group
