package crypto

import (
	"errors"
	"testing"
)

// Simulated and real cryptography refuse each other, from either side.
func TestSimulationKeepsToItself(t *testing.T) {
	i, r := newIdentity(t, 1, IdentityOptions{}), newIdentity(t, 2, IdentityOptions{})
	simulated, serious := Policy{Simulation: true}, Policy{AllowLegacy: true, AllowEphemeral: true}
	for _, c := range []struct{ pi, pr Policy }{{simulated, serious}, {serious, simulated}} {
		in, err := i.Initiate(seedOf(1), r.Parsed(), c.pi)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := r.Respond(seedOf(2), i.Parsed(), in.Component(), c.pr); !errors.Is(err, ErrSimulation) {
			t.Errorf("responder: got %v, want ErrSimulation", err)
		}
		// An answer of the other kind, as somebody in between may make it.
		other, err := i.Initiate(seedOf(1), r.Parsed(), c.pr)
		if err != nil {
			t.Fatal(err)
		}
		skrc, _, err := r.Respond(seedOf(2), i.Parsed(), other.Component(), c.pr)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := in.Complete(skrc); !errors.Is(err, ErrSimulation) && !errors.Is(err, ErrKeying) {
			t.Errorf("initiator: got %v, want ErrSimulation or ErrKeying", err)
		}
	}
}

// Simulated sessions are told apart, as real ones are.
func TestSimulatedSessionsAreIndependent(t *testing.T) {
	i, r := newIdentity(t, 1, IdentityOptions{}), newIdentity(t, 2, IdentityOptions{})
	p := Policy{Simulation: true}
	in, err := i.Initiate(seedOf(1), r.Parsed(), p)
	if err != nil {
		t.Fatal(err)
	}
	_, stranger, err := r.Respond(seedOf(3), i.Parsed(), in.Component(), p)
	if err != nil {
		t.Fatal(err)
	}
	skrc, kr, err := r.Respond(seedOf(2), i.Parsed(), in.Component(), p)
	if err != nil {
		t.Fatal(err)
	}
	ki, err := in.Complete(skrc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stranger.Open(seal(ki, []byte("hello"), 1)); !errors.Is(err, ErrVerify) {
		t.Errorf("another session: got %v, want ErrVerify", err)
	}
	if ki.NearNonce != kr.FarNonce || ki.FarNonce != kr.NearNonce || ki.NearNonce == stranger.FarNonce {
		t.Errorf("nonces: %x %x, %x %x", ki.NearNonce, ki.FarNonce, kr.NearNonce, kr.FarNonce)
	}
}

// Its packets are as long as real ones, so that what is measured holds.
func TestSimulatedPacketsHaveRealSize(t *testing.T) {
	k := pairs(t)
	for n := 1; n < 1300; n += 37 {
		simulated, real := seal(k["simulation"][0], make([]byte, n), 1), seal(k["AES-128-GCM"][0], make([]byte, n), 1)
		if len(simulated) != len(real) {
			t.Errorf("a packet of %d bytes: %d and %d bytes", n, len(simulated), len(real))
		}
	}
}
