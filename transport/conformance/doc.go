// Package conformance holds package transport to the list of the QUIC interop
// runner, read for RTMFP. It has nothing but tests, which use the exported API
// alone.
//
// Each row of the list is one function. It runs on virtual time, many times with
// different random numbers, and, with the build tag e2e, once on real UDP sockets
// through the proxy in this folder:
//
//	go test ./transport/conformance [-seeds 1000] [-run TestList/black_hole]
//	go test -tags e2e ./transport/conformance
//
// The results are in docs/conformance.md.
package conformance
