// Package replication exchanges numbered objects between the members of a
// group: the primitive that users of RTMFP Groups know as object replication,
// on which files stand.
//
// Objects have indexes from 0 to 2^53 and lie in collections, which are named
// by 32 bytes: the zero name is the application's own, as in Adobe's API, and
// the hash of a file names the collection of its blocks. In each collection a
// member has a set of objects that it has and one of those that it wants; both
// are told to neighbors as ranges. What a neighbor has and this node wants is
// asked for, rarest or lowest first; what is asked for here is handed to the
// application, which answers or denies, at once or later. Objects are opaque
// and checked by nobody here: who fetched one says whether it was good
// (Collection.AddHave) or not (Collection.Bad).
//
// A Service is a state machine and owned by whoever calls it; node's Core is.
// The messages are specified in docs/replication.md.
package replication
