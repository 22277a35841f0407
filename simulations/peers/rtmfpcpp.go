package main

import (
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// The library of the protocol's author is no Go module, and nothing of it is
// here but a program of our own that runs on it. Who has built the library
// names its directory.

const rtmfpCPP = "rtmfp-cpp"

//go:embed rtmfpcpp/worker.cpp
var rtmfpCPPWorker []byte

// buildRTMFPCPP compiles the worker against a checkout of rtmfp-cpp in which
// librtmfp.a was built, and adds the peer. remove takes the program away.
func buildRTMFPCPP(checkout string) (remove func(), err error) {
	dir, err := os.MkdirTemp("", "peers")
	if err != nil {
		return nil, err
	}
	remove = func() { os.RemoveAll(dir) }
	source, program := filepath.Join(dir, "worker.cpp"), filepath.Join(dir, "worker")
	if err := os.WriteFile(source, rtmfpCPPWorker, 0o600); err != nil {
		remove()
		return nil, err
	}
	compiler := os.Getenv("CXX")
	if compiler == "" {
		compiler = "c++"
	}
	build := exec.Command(compiler, "-O2", "-std=c++11", "-I", filepath.Join(checkout, "include"), "-o", program,
		source, filepath.Join(checkout, "librtmfp.a"), "-lcrypto", "-pthread")
	if out, err := build.CombinedOutput(); err != nil {
		remove()
		return nil, fmt.Errorf("%v: %w\n%s", build, err, out)
	}
	protocols = append(protocols, protocol{name: rtmfpCPP, program: program})
	return remove, nil
}
