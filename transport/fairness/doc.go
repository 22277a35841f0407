// Package fairness holds tests of how flows share a bottleneck: with each other,
// with TCP, with time-critical traffic. They run the transport on virtual time
// through one impair.Link and need no network. The commands and figures are in
// docs/congestion.md.
package fairness
