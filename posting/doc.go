// Package posting will carry small messages from any member of a group to all
// of them: pushed along a tree of the mesh, announced to the other neighbors,
// fetched where missing.
//
// It holds no code yet. Like multicast and replication it will be a pure core
// above group, owned by whoever calls it, and never import its siblings.
package posting
