//go:build !linux

package simulations

// hugePages does nothing: it is for Linux.
func hugePages() {}
