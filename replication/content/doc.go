// Package content names and verifies what members copy from each other: the
// tree of hashes over the blocks of a file, the manifests of files and
// directories, and the links by which people pass them on.
//
// A file is cut into blocks of 64 KiB. Its hash is its plain BLAKE3 hash, and
// the tree is that which BLAKE3 itself builds, cut off at the blocks, so that
// any block can be checked on its own against nothing but the hash and the size
// of the file. docs/files.md specifies all formats and says why it is BLAKE3.
//
// Nothing here touches files, sockets, or clocks. A value belongs to whoever
// calls it; no method keeps or changes the slices that it is given.
package content
