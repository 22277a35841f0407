// Package sources finds members that have a file where no neighbor does, in
// groups that are too large for everybody to be everybody's neighbor.
//
// Who has some of a file says so in a record of the group, under a key that
// its hash gives: several members have their records there, side by side. Who
// wants a file that none or few of its neighbors have reads these records, and
// asks the group for links with some of their owners. From there on they are
// neighbors like others, and package replication does the rest.
//
// A Finder is one node's part in that. It is a deterministic state machine:
// whoever calls it owns it until the call returns, and time is an argument.
// docs/files.md specifies the records.
package sources
