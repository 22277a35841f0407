package main

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime/pprof"
	"time"

	"rtmfp/transport/crypto"
	"rtmfp/transport/host"
)

// benchCmd measures the transport alone, between two processes.
type benchCmd struct {
	Sink benchSinkCmd `cmd:"" help:"Receive whatever comes, and tell what it cost."`
	Send benchSendCmd `cmd:"" help:"Send as fast as the far end takes it, and tell what it cost."`
}

// benchFlags are the flags of both ends.
type benchFlags struct {
	Crypto  string `default:"modern" enum:"modern,legacy,plain" help:"Cryptography: modern, legacy (RFC 7425 with HMAC and sequence numbers; such a sink takes modern senders too), or plain (none at all, to see what it costs; both ends need it). Default: modern." placeholder:"SUITE"`
	MTU     int    `name:"mtu" default:"1200" help:"UDP payload to begin with, in bytes. Default: 1200." placeholder:"BYTES"`
	MaxMTU  int    `name:"max-mtu" default:"1472" help:"Largest UDP payload to find out about while sending; no more than --mtu tries nothing. Default: 1472." placeholder:"BYTES"`
	JSON    bool   `name:"json" help:"Print JSON objects, one per line."`
	Profile string `help:"Write a CPU profile to a file." placeholder:"FILE"`
}

// Validate is called by the parser once all flags are set.
func (f *benchFlags) Validate() error {
	if f.MTU < 576 || f.MTU > 9000 {
		return errors.New("--mtu is from 576 to 9000")
	}
	if f.MaxMTU < 0 || f.MaxMTU > 9000 {
		return errors.New("--max-mtu is up to 9000")
	}
	return nil
}

// config returns how to run a host with these flags, under a fresh identity.
func (f *benchFlags) config(sink bool) (host.Config, error) {
	cfg := host.Config{MTU: f.MTU, MaxMTU: max(f.MaxMTU, f.MTU)}
	var o crypto.IdentityOptions
	switch f.Crypto {
	case "legacy":
		cfg.Policy.AllowLegacy = true
		o.Groups = []crypto.DHGroup{crypto.Group14, crypto.Group2}
		o.Modern = sink
	case "plain":
		cfg.Policy.Simulation = true
	}
	var err error
	cfg.Identity, err = crypto.NewIdentity(rand.Reader, o)
	return cfg, err
}

// profile starts a CPU profile, if one is asked for, and returns what ends it.
func (f *benchFlags) profile() (stop func(), err error) {
	if f.Profile == "" {
		return func() {}, nil
	}
	file, err := os.Create(f.Profile)
	if err != nil {
		return nil, fmt.Errorf("can't write the profile: %w", err)
	}
	if err := pprof.StartCPUProfile(file); err != nil {
		file.Close()
		return nil, err
	}
	return func() {
		pprof.StopCPUProfile()
		file.Close()
	}, nil
}

// report prints figures on stdout, as an object or as a line for people.
func (f *benchFlags) report(e *env, figures fmt.Stringer) error {
	if !f.JSON {
		_, err := fmt.Fprintln(e.stdout, figures)
		return err
	}
	text, err := json.Marshal(figures)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(e.stdout, "%s\n", text)
	return err
}

// rates are what people want to know of a transfer.
func rates(bytes uint64, seconds, cpu float64) string {
	if bytes == 0 || seconds <= 0 {
		return "nothing"
	}
	return fmt.Sprintf("%d bytes in %.3f s (%.3f Gbit/s), %.3f CPU-s (%.3f per GB)",
		bytes, seconds, 8e-9*float64(bytes)/seconds, cpu, 1e9*cpu/float64(bytes))
}

// stopwatch measures wall time and the process's CPU time.
type stopwatch struct {
	began time.Time
	cpu   time.Duration
}

func startWatch() stopwatch { return stopwatch{time.Now(), cpuTime()} }

// read returns the seconds since the start, and the CPU seconds.
func (w stopwatch) read() (seconds, cpu float64) {
	return time.Since(w.began).Seconds(), (cpuTime() - w.cpu).Seconds()
}
