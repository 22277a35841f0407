// Package lan lets the members of a group find each other on a local network,
// without any server: they announce themselves to a multicast address, and ask
// there who else is in the group.
//
// A Beacon is a state machine like the rest of what is below package node: its
// owner hands in packets and time, and drains packets to send and members that
// were found. docs/joining.md specifies the packets. They say nothing about a
// group to those who do not know its groupspec.
package lan
