// Package simulations runs many nodes in one process on virtual time: the very
// node.Core that runs in production, on a network that is made of numbers.
//
// A Network is owned by one goroutine; several may run side by side. Everything
// in it follows from its seed: two runs of one seed do the same at the same
// virtual nanosecond, which Trace shows. docs/simulations.md describes the model.
package simulations
