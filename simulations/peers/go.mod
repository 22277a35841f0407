module rtmfp/simulations/peers

go 1.26.0

replace rtmfp => ../..

require (
	github.com/pion/dtls/v3 v3.1.15
	github.com/pion/logging v0.2.4
	github.com/pion/sctp v1.11.3
	github.com/pion/transport/v5 v5.0.1
	github.com/quic-go/quic-go v0.65.0
	golang.org/x/sys v0.49.0
	rtmfp v0.0.0
)

require (
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/cloudflare/circl v1.6.5 // indirect
	github.com/pion/randutil v0.1.0 // indirect
	golang.org/x/crypto v0.58.0 // indirect
	golang.org/x/net v0.60.0 // indirect
)
