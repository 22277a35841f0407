// Package talk is a workload at the level of sessions: two endpoints of package
// transport that open sessions to each other, send messages on flows of all
// kinds, and close flows and sessions from either side, and a book of what they
// said, which knows what must come of it.
//
// A Pair belongs to the owner of the network on which its two Ends are driven,
// and is used by one goroutine. What they do follows from the seed alone. The
// rules that the book holds them to are those of RFC 7016: see Pair.Check and
// the comments at each complaint.
package talk
