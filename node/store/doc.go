// Package store keeps files by their hashes on disk: those that a user shares,
// copied or where they lie, those that were downloaded, and those of which only
// some blocks are there. docs/files.md says what lies where and what survives
// what.
//
// No block leaves a Store unless it was checked, in the very bytes that are
// returned, against the hash of its file. What is on the disk is therefore
// never trusted, and a crash, a full disk, or a file that somebody changes can
// cost blocks, but never make wrong ones.
//
// A Store may be used by several goroutines at once. It has one goroutine of
// its own, which makes durable what was written. A second process that opens
// the same store is refused.
package store
