// Package multicast carries live streams through a group: eight trees that
// the receivers grow and mend, one for each slice of the fragments, and pull
// repair behind them.
//
// A Service holds the streams of one group on one node. It is a deterministic
// state machine: whoever calls it owns it until the call returns, time is an
// argument, and what it has to say goes out through the small Flows interface
// and NextEvent. Values that it hands out (Publication, Subscription) belong to
// the same owner.
//
// The messages that old RTMFP Groups peers know are spoken as they know them;
// docs/multicast.md specifies those that only modern neighbors get, and tells
// how a tree forms, moves, and heals.
package multicast
