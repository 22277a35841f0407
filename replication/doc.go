// Package replication will exchange numbered objects between the members of a
// group, and on top of that files by name and hash, verified block by block.
//
// It holds no code yet. Like multicast and posting it will be a pure core
// above group, owned by whoever calls it, and never import its siblings.
package replication
