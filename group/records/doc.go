// Package records keeps small signed values at the members of a group that are
// nearest to their keys: the place for names of files and streams. A record is
// a key, an address on the ring; its owner, who signs it; a sequence number, by
// which a newer version replaces an older one; a time at which it ends; and up
// to 1024 bytes. Only the owner can change or end its record; several owners may
// have one under the same key.
//
// Put and get are routed to the member nearest to the key, which gives copies
// to the next ones. Each member sees to it, whenever neighbors come and go,
// that the records nearest to itself are at those that would follow it.
//
// A Service is one node's part in that. It is a deterministic state machine:
// whoever calls it owns it until the call returns, time is an argument, and what
// it has to say goes out through Flows, Router, and NextResult. docs/records.md
// specifies what goes over the wire; all of it is ours.
package records
