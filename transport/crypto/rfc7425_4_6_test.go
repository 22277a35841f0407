package crypto

// RFC 7425 §4.6, Session Key Computation.

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/big"
	"testing"
)

// Public key selection, in all four combinations of static and ephemeral ends
// (§4.6.1.1 to §4.6.1.4).
func TestPublicKeySelection(t *testing.T) {
	allow := Policy{AllowLegacy: true}
	kinds := [2]IdentityOptions{{Groups: []DHGroup{Group2}}, {Groups: []DHGroup{Group2}, Ephemeral: true}}
	for _, oi := range kinds {
		for _, or := range kinds {
			i, r := newIdentity(t, 1, oi), newIdentity(t, 2, or)
			in, err := i.Initiate(seedOf(1), r.Parsed(), allow)
			if err != nil {
				t.Fatal(err)
			}
			skic, err := parseComponent(in.Component())
			if err != nil || skic.hasEphemeral != oi.Ephemeral || skic.hasSelected == oi.Ephemeral {
				t.Errorf("initiator ephemeral %v: share %v, selection %v, %v", oi.Ephemeral, skic.hasEphemeral, skic.hasSelected, err)
			}
			b, kr, err := r.Respond(seedOf(2), i.Parsed(), in.Component(), allow)
			if err != nil {
				t.Fatal(err)
			}
			skrc, err := parseComponent(b)
			if err != nil || skrc.hasEphemeral != or.Ephemeral || skrc.hasSelected {
				t.Errorf("responder ephemeral %v: share %v, selection %v, %v", or.Ephemeral, skrc.hasEphemeral, skrc.hasSelected, err)
			}
			ki, err := in.Complete(b)
			if err != nil {
				t.Fatal(err)
			}
			exchange(t, ki, kr)
			exchange(t, kr, ki)
		}
	}
}

// "To be acceptable, a Diffie-Hellman public key MUST have all of the following
// properties: be at least 16777216 (2^24); be at most the group's prime modulus
// minus 16777216; have at least 16 "1" bits; have at least 16 "0" bits, not
// including leading zeros." (§4.6.2)
func TestPublicKeyCheck(t *testing.T) {
	g, _ := modpGroup(Group2)
	key, err := g.newKey(bytes.Repeat([]byte{0x5a}, g.exponentSize))
	if err != nil {
		t.Fatal(err)
	}
	minus := func(n int64) *big.Int { return new(big.Int).Sub(g.prime, big.NewInt(n)) }
	ones := func(n uint) *big.Int { return new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), n), big.NewInt(1)) }
	for name, c := range map[string]struct {
		y  *big.Int
		ok bool
	}{
		"a real one":                 {new(big.Int).SetBytes(key.public), true},
		"0":                          {big.NewInt(0), false},
		"1":                          {big.NewInt(1), false},
		"below 2^24":                 {big.NewInt(1<<24 - 1), false},
		"prime - 1":                  {minus(1), false},
		"the prime":                  {g.prime, false},
		"just above prime - 2^24":    {minus(1<<24 - 1), false},
		"twice the prime":            {new(big.Int).Lsh(g.prime, 1), false},
		"16 ones, no zeros":          {ones(40), false},
		"15 zeros below the top":     {new(big.Int).Lsh(ones(500), 15), false},
		"16 zeros below the top":     {new(big.Int).Lsh(ones(500), 16), true},
		"15 ones":                    {new(big.Int).Lsh(ones(15), 500), false},
		"16 ones and many low zeros": {new(big.Int).Lsh(ones(16), 500), true},
	} {
		err := g.check(c.y)
		if c.ok && err != nil || !c.ok && !errors.Is(err, ErrPublicKey) {
			t.Errorf("%s: got %v, want ok = %v", name, err, c.ok)
		}
	}
	// "Received keys with leading zeros are accepted", ours have none.
	a, err := key.secret(append(make([]byte, 5), key.public...))
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := key.secret(key.public); !bytes.Equal(a, b) || len(a) == 0 || a[0] == 0 {
		t.Errorf("secret of a padded key: got %x, want %x", a, b)
	}
}

// The secret is written "with no leading zero bytes": some exponent gives a
// short one, and it must still agree at both ends.
func TestShortSecret(t *testing.T) {
	g, _ := modpGroup(Group2)
	far, err := g.newKey(bytes.Repeat([]byte{0x77}, g.exponentSize))
	if err != nil {
		t.Fatal(err)
	}
	short := 0
	for i := range 2000 {
		key, err := g.newKey(append(bytes.Repeat([]byte{0}, g.exponentSize-8), 0x99, 0x88, 0x77, 0x66, 0x55, 0x44, byte(i>>8), byte(i)))
		if err != nil {
			t.Fatal(err)
		}
		a, err := key.secret(far.public)
		if err != nil {
			t.Fatal(err)
		}
		if len(a) == 128 {
			continue
		}
		short++
		b, err := far.secret(key.public)
		if err != nil || !bytes.Equal(a, b) {
			t.Errorf("a secret of %d bytes: the ends got %x and %x, %v", len(a), a, b, err)
		}
		if short == 2 {
			return
		}
	}
	t.Errorf("%d short secrets in 2000", short)
}

// "Set ENCRYPT_KEY = HMAC-SHA256(DH_SECRET, HMAC-SHA256(SKFC, SKNC))" (§4.6.3),
// "Set HMAC_SEND_KEY = HMAC_SHA256(DH_SECRET, ENCRYPT_KEY)" (§4.6.4), "Set
// NEAR_NONCE = HMAC_SHA256(DH_SECRET, SKNC)" (§4.6.5), and the mirror of each.
func TestKeysFollowTheFormulas(t *testing.T) {
	mac := func(key, message string) string {
		h := hmac.New(sha256.New, []byte(key))
		h.Write([]byte(message))
		return string(h.Sum(nil))
	}
	const dh = "\x01\x23\x45\x67\x89"
	near, far := string(component31()), string(append(component31(), 2, 0x7f, 1))
	s, err := legacySchedule(Group2, []byte(dh), []byte(near), []byte(far))
	if err != nil {
		t.Fatal(err)
	}
	k := s.packets.(*cbcKeys)
	encrypt, decrypt := mac(dh, mac(far, near)), mac(dh, mac(near, far))
	for _, c := range []struct{ what, got, want string }{
		{"ENCRYPT_KEY", string(k.send.key[:]), encrypt[:16]},
		{"DECRYPT_KEY", string(k.receive.key[:]), decrypt[:16]},
		{"HMAC_SEND_KEY", string(k.send.hmacKey[:]), mac(dh, encrypt)},
		{"HMAC_RECV_KEY", string(k.receive.hmacKey[:]), mac(dh, decrypt)},
		{"NEAR_NONCE", string(s.NearNonce[:]), mac(dh, near)},
		{"FAR_NONCE", string(s.FarNonce[:]), mac(dh, far)},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %x, want %x", c.what, c.got, c.want)
		}
	}
}

// "If an endpoint's willSendAlways flag is clear but its willSendOnRequest flag is
// set, then it MUST send an HMAC on packets it sends with this session key if and
// only if the other endpoint's request flag is set." (§4.6.4, and §4.6.6 of
// sequence numbers) "Request" means require here.
func TestNegotiation(t *testing.T) {
	for _, c := range []struct {
		near, far     uint8
		send, receive bool
		fails         bool
	}{
		{2, 2, false, false, false},
		{2, 3, true, false, false},
		{3, 2, false, true, false},
		{3, 3, true, true, false},
		{7, 2, true, true, false},
		{2, 7, true, true, false},
		{2, 4, false, true, false},
		{2, 0, false, false, false},
		{3, 0, false, false, true},
		{3, 1, false, false, true},
		{3, 4, false, true, false},
		{0, 1, false, false, false},
	} {
		send, receive, err := negotiate(c.near, c.far, "thing")
		if c.fails {
			if !errors.Is(err, ErrKeying) {
				t.Errorf("near %d, far %d: got %v, want ErrKeying", c.near, c.far, err)
			}
			continue
		}
		if err != nil || send != c.send || receive != c.receive {
			t.Errorf("near %d, far %d: got send %v, receive %v, %v", c.near, c.far, send, receive, err)
		}
	}
	if got := answer(2, 3); got != 6 {
		t.Errorf("a responder that was asked announces %d, want 6", got)
	}
	if got := answer(2, 2); got != 2 {
		t.Errorf("a responder that was not asked announces %d, want 2", got)
	}
}

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

// "If HMAC is negotiated to be used, the corresponding hmacLength MUST be between 4
// and 32 inclusive." (§4.6.4)
// A far end may announce any HMAC length from 4 to 32, each direction its own;
// Flash announces 0 where it sends none.
func TestHMACLengths(t *testing.T) {
	component := func(flags, length byte) []byte {
		return []byte{3, keyHMAC, flags, length, 2, keySSEQ, 2}
	}
	for length := range byte(64) {
		_, err := legacySchedule(Group2, []byte("dh"), component(3, 16), component(2, length))
		if ok := length >= 4 && length <= 32; ok != (err == nil) {
			t.Errorf("far HMAC of %d bytes: got %v", length, err)
		}
	}
	if _, err := legacySchedule(Group2, []byte("dh"), component(2, 16), component(0, 0)); err != nil {
		t.Errorf("no HMAC, length 0: %v", err)
	}
	near, err := legacySchedule(Group2, []byte("dh"), component(7, 4), component(7, 32))
	if err != nil {
		t.Fatal(err)
	}
	far, err := legacySchedule(Group2, []byte("dh"), component(7, 32), component(7, 4))
	if err != nil {
		t.Fatal(err)
	}
	if a, b := len(seal(near, []byte{1}, 0)), len(seal(far, []byte{1}, 0)); a != 4+16+4 || b != 4+16+32 {
		t.Errorf("datagrams of %d and %d bytes, want 24 and 52", a, b)
	}
	exchange(t, near, far)
	exchange(t, far, near)
}
