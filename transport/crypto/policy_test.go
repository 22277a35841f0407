package crypto

import (
	"errors"
	"fmt"
	"testing"
)

// RFC 7425 §4.5.2.4, §4.5.2.5, §4.6.4, §4.6.6: every policy of one end against
// every policy of the other, for HMAC and sequence numbers at once.
func TestNegotiationInAllCombinations(t *testing.T) {
	all := []Protection{Require, Always, OnRequest, Never}
	o := IdentityOptions{Groups: []DHGroup{Group2}}
	i, r := newIdentity(t, 1, o), newIdentity(t, 2, o)
	dh := []byte("the same at both ends")
	// What a sender does for a receiver; fails if it does not what is required.
	outcome := func(sender, receiver Protection) (sends, fails bool) {
		wanted := receiver == Require || receiver == Always
		sends = sender == Always || wanted && sender != Never
		return sends, wanted && !sends
	}
	for n := range 4 * 4 * 4 * 4 {
		pi := Policy{AllowLegacy: true, HMAC: all[n&3], SSEQ: all[n>>2&3], HMACLength: 4}
		pr := Policy{AllowLegacy: true, HMAC: all[n>>4&3], SSEQ: all[n>>6], HMACLength: 32}
		name := fmt.Sprintf("initiator HMAC %d SSEQ %d, responder HMAC %d SSEQ %d", pi.HMAC, pi.SSEQ, pr.HMAC, pr.SSEQ)
		hmacI, fail1 := outcome(pi.HMAC, pr.HMAC)
		hmacR, fail2 := outcome(pr.HMAC, pi.HMAC)
		sseqI, fail3 := outcome(pi.SSEQ, pr.SSEQ)
		sseqR, fail4 := outcome(pr.SSEQ, pi.SSEQ)

		in, err := i.Initiate(seedOf(1), r.Parsed(), pi)
		if err != nil {
			t.Fatal(err)
		}
		c, err := parseComponent(in.Component())
		if err != nil {
			t.Fatal(err)
		}
		// The schedule without the slow exponentiation that respondLegacy does.
		skrc := appendHMACOption(nil, answer(pr.HMAC.flags(), c.hmac), pr)
		skrc = append(skrc, 2, keySSEQ, answer(pr.SSEQ.flags(), c.sseq))
		kr, errR := legacySchedule(Group2, dh, skrc, in.Component())
		ki, errI := legacySchedule(Group2, dh, in.Component(), skrc)
		if fail1 || fail3 {
			if !errors.Is(errR, ErrKeying) {
				t.Errorf("%s: responder: got %v, want ErrKeying", name, errR)
			}
		} else if errR != nil && !(fail2 || fail4) {
			t.Errorf("%s: responder: %v", name, errR)
		}
		if fail2 || fail4 {
			if !errors.Is(errI, ErrKeying) {
				t.Errorf("%s: initiator: got %v, want ErrKeying", name, errI)
			}
		}
		if fail1 || fail2 || fail3 || fail4 {
			continue
		}
		if errI != nil || errR != nil {
			t.Errorf("%s: %v, %v", name, errI, errR)
			continue
		}
		a, b := ki.packets.(*cbcKeys), kr.packets.(*cbcKeys)
		length := func(on bool, n int) int {
			if on {
				return n
			}
			return 0
		}
		for _, check := range []struct {
			what      string
			got, want int
		}{
			{"HMAC sent by the initiator", a.send.hmacLength, length(hmacI, 4)},
			{"HMAC expected by the responder", b.receive.hmacLength, length(hmacI, 4)},
			{"HMAC sent by the responder", b.send.hmacLength, length(hmacR, 32)},
			{"HMAC expected by the initiator", a.receive.hmacLength, length(hmacR, 32)},
		} {
			if check.got != check.want {
				t.Errorf("%s: %s: got %d bytes, want %d", name, check.what, check.got, check.want)
			}
		}
		if a.send.numbered != sseqI || b.receive.numbered != sseqI || b.send.numbered != sseqR || a.receive.numbered != sseqR {
			t.Errorf("%s: numbered %v %v and %v %v, want %v and %v", name,
				a.send.numbered, b.receive.numbered, b.send.numbered, a.receive.numbered, sseqI, sseqR)
		}
		exchange(t, ki, kr)
		exchange(t, kr, ki)
	}
}

// "This value MUST be between 4 and 32 inclusive, or 0 if and only if
// willSendAlways and willSendOnRequest are clear" (RFC 7425 §4.5.2.4).
func TestHMACLengthAnnounced(t *testing.T) {
	for _, c := range []struct {
		p    Policy
		want uint64
	}{{Policy{}, 16}, {Policy{HMACLength: 32}, 32}, {Policy{HMAC: OnRequest}, 16}, {Policy{HMAC: Never, HMACLength: 8}, 0}} {
		got, err := parseComponent(appendHMACOption(nil, c.p.HMAC.flags(), c.p))
		if err != nil || got.hmacLength != c.want {
			t.Errorf("%+v: announces %d bytes, %v; want %d", c.p, got.hmacLength, err, c.want)
		}
	}
}

func TestPolicyValidate(t *testing.T) {
	for _, c := range []struct {
		p  Policy
		ok bool
	}{
		{Policy{}, true},
		{Policy{HMACLength: 3}, false},
		{Policy{HMACLength: 33}, false},
		{Policy{HMAC: Never + 1}, false},
		{Policy{SSEQ: Never + 1}, false},
		{Policy{Suites: []Suite{ChaCha20Poly1305, AES128GCM}}, true},
		{Policy{Suites: []Suite{AES128GCM, AES128GCM}}, false},
		{Policy{Suites: []Suite{AES128GCM | AES256GCM}}, false},
		{Policy{Suites: []Suite{1 << 20}}, false},
		{Policy{UpdateAfter: 1}, true},
	} {
		if err := c.p.Validate(); (err == nil) != c.ok {
			t.Errorf("%+v: got %v, want ok = %v", c.p, err, c.ok)
		}
	}
}

// The responder's preference decides among what the initiator offers.
func TestSuiteChoice(t *testing.T) {
	i, r := newIdentity(t, 1, IdentityOptions{}), newIdentity(t, 2, IdentityOptions{})
	for _, c := range []struct {
		initiator, responder []Suite
		want                 Suite
	}{
		{nil, nil, AES128GCM},
		{nil, []Suite{ChaCha20Poly1305, AES128GCM}, ChaCha20Poly1305},
		{[]Suite{ChaCha20Poly1305, AES256GCM}, nil, AES256GCM},
		{[]Suite{AES256GCM}, []Suite{AES256GCM}, AES256GCM},
		{[]Suite{AES256GCM}, []Suite{AES128GCM, ChaCha20Poly1305}, 0},
	} {
		in, err := i.Initiate(seedOf(1), r.Parsed(), Policy{Suites: c.initiator})
		if err != nil {
			t.Fatal(err)
		}
		_, k, err := r.Respond(seedOf(2), i.Parsed(), in.Component(), Policy{Suites: c.responder})
		if c.want == 0 {
			if !errors.Is(err, ErrKeying) {
				t.Errorf("%v and %v: got %v, want ErrKeying", c.initiator, c.responder, err)
			}
			continue
		}
		if err != nil || k.packets.(*aeadKeys).cipher != c.want {
			t.Errorf("%v and %v: got %v, want %v", c.initiator, c.responder, err, c.want)
		}
	}
}

// One without a static key is refused by those who want to know with whom they
// talk, unless it signs or is one of many that can't be known.
func TestEphemeralIdentities(t *testing.T) {
	static := newIdentity(t, 1, IdentityOptions{})
	anonymous := newIdentity(t, 2, IdentityOptions{Ephemeral: true})
	both := newIdentity(t, 3, IdentityOptions{Ephemeral: true, Modern: true, Groups: []DHGroup{Group2}})
	signer := newIdentity(t, 4, IdentityOptions{Ephemeral: true, Sign: true})
	for _, c := range []struct {
		name string
		far  *Identity
		p    Policy
		want error
	}{
		{"anonymous", anonymous, Policy{}, ErrEphemeralRefused},
		{"anonymous with groups", both, Policy{}, ErrEphemeralRefused},
		{"anonymous, admitted", anonymous, Policy{AllowEphemeral: true}, nil},
		{"anonymous, legacy admitted", both, Policy{AllowLegacy: true}, nil},
		{"signer", signer, Policy{}, nil},
	} {
		if !c.far.Parsed().Modern() {
			t.Errorf("%s: not modern", c.name)
		}
		if _, err := static.Initiate(seedOf(1), c.far.Parsed(), c.p); !errors.Is(err, c.want) {
			t.Errorf("to %s: got %v, want %v", c.name, err, c.want)
		}
		in, err := c.far.Initiate(seedOf(1), static.Parsed(), c.p)
		if err != nil {
			t.Fatal(err)
		}
		signed := append([]byte("parameters"), in.Component()...)
		_, k, err := static.RespondSigned(seedOf(2), c.far.Parsed(), in.Component(), signed, in.Sign(signed), c.p)
		if !errors.Is(err, c.want) {
			t.Errorf("from %s: got %v, want %v", c.name, err, c.want)
		}
		if err == nil && k.Suite() != "AES-128-GCM/X25519" {
			t.Errorf("from %s: suite %q", c.name, k.Suite())
		}
	}
	// Two of one seed still have their own fingerprints by their salt.
	if a, b := newIdentity(t, 8, IdentityOptions{Ephemeral: true}), newIdentity(t, 9, IdentityOptions{Ephemeral: true}); a.PeerID() == b.PeerID() {
		t.Error("two ephemeral identities have one fingerprint")
	}
}
