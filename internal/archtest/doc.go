// Package archtest checks that the tree keeps to its design: which room may
// import which, and that everything below node is a deterministic state machine
// without goroutines, locks, channels, sockets, files, clocks, global
// randomness, or dependence on the order of maps.
//
// It works on what the go command lists and compiles, with the type checker of
// the standard library. Only its own test runs it. A finding names the file and
// line and says what to do instead.
package archtest
