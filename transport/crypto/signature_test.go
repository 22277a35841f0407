package crypto

import (
	"bytes"
	"errors"
	"testing"

	"rtmfp/internal/element"
	"rtmfp/transport/wire"
)

// signedHandshake runs a handshake by way of the chunks, as the transport does;
// first and second, unless nil, do to them what somebody in between can.
func signedHandshake(initiator, responder *Identity, p Policy, first func(*wire.IIKeying), second func(*wire.RIKeying)) (ki, kr *SessionKeys, err error) {
	in, err := initiator.Initiate(seedOf(1), responder.Parsed(), p)
	if err != nil {
		return nil, nil, err
	}
	ii := wire.IIKeying{SessionID: 7, CookieEcho: []byte("cookie"), Certificate: initiator.Certificate(), SKIC: in.Component()}
	ii.Signature = in.Sign(ii.AppendSigned(nil))
	if first != nil {
		first(&ii)
	}
	_, payload, _ := wire.ConsumeChunk(ii.Append(nil))
	if ii, _ = wire.ParseIIKeying(payload); ii.SKIC == nil {
		return nil, nil, errors.New("the chunk does not parse")
	}
	skrc, kr, err := responder.RespondSigned(seedOf(2), initiator.Parsed(), ii.SKIC, ii.Signed, ii.Signature, p)
	if err != nil {
		return nil, nil, err
	}
	ri := wire.RIKeying{SessionID: 8, SKRC: skrc}
	ri.Signature = responder.SignRIKeying(initiator.Parsed(), ri.AppendSigned(nil, ii.SKIC))
	if second != nil {
		second(&ri)
	}
	_, payload, _ = wire.ConsumeChunk(ri.Append(nil))
	if ri, _ = wire.ParseRIKeying(payload); ri.SKRC == nil {
		return nil, nil, errors.New("the chunk does not parse")
	}
	ki, err = in.CompleteSigned(ri.SKRC, ri.Signed, ri.Signature)
	return ki, kr, err
}

// Who has a signing key signs, in both profiles, and who has none need not.
func TestSignedHandshake(t *testing.T) {
	allow := Policy{AllowLegacy: true}
	for _, c := range []struct {
		name string
		i, r IdentityOptions
		p    Policy
		want string
	}{
		{"both sign", IdentityOptions{Sign: true}, IdentityOptions{Sign: true}, Policy{}, "AES-128-GCM/X25519"},
		{"the initiator signs", IdentityOptions{Sign: true}, IdentityOptions{}, Policy{}, "AES-128-GCM/X25519"},
		{"the responder signs", IdentityOptions{}, IdentityOptions{Sign: true}, Policy{}, "AES-128-GCM/X25519"},
		{"nobody signs", IdentityOptions{}, IdentityOptions{}, Policy{}, "AES-128-GCM/X25519"},
		{"ephemeral ends that sign", IdentityOptions{Sign: true, Ephemeral: true}, IdentityOptions{Sign: true, Ephemeral: true}, Policy{}, "AES-128-GCM/X25519"},
		{"legacy", IdentityOptions{Sign: true, Groups: []DHGroup{Group2}}, IdentityOptions{Sign: true, Groups: []DHGroup{Group2}, Ephemeral: true}, allow,
			"AES-128-CBC/MODP-2/HMAC-SHA256+SSEQ"},
	} {
		i, r := newIdentity(t, 1, c.i), newIdentity(t, 2, c.r)
		if i.Signs() != c.i.Sign || r.Signs() != c.r.Sign {
			t.Errorf("%s: Signs: %v and %v", c.name, i.Signs(), r.Signs())
		}
		ki, kr, err := signedHandshake(i, r, c.p, nil, nil)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if ki.Suite() != c.want {
			t.Errorf("%s: suite %q, want %q", c.name, ki.Suite(), c.want)
		}
		exchange(t, ki, kr)
		exchange(t, kr, ki)
	}
}

// A signature that is missing, of somebody else, of another role, of another
// session, or over anything else is refused, and without one the holder of a
// signing key is not believed.
func TestBadSignatures(t *testing.T) {
	i, r := newIdentity(t, 1, IdentityOptions{Sign: true}), newIdentity(t, 2, IdentityOptions{Sign: true})
	other := newIdentity(t, 3, IdentityOptions{Sign: true})
	in, err := i.Initiate(seedOf(9), other.Parsed(), Policy{})
	if err != nil {
		t.Fatal(err)
	}
	resign := func(by *Identity, label string) func(ii *wire.IIKeying) {
		return func(ii *wire.IIKeying) {
			ii.Signature = by.sign(label, i.certificate, r.certificate, ii.AppendSigned(nil))
		}
	}
	for name, change := range map[string]func(ii *wire.IIKeying){
		"no signature":             func(ii *wire.IIKeying) { ii.Signature = nil },
		"an empty field":           func(ii *wire.IIKeying) { ii.Signature = []byte{0} },
		"another cookie":           func(ii *wire.IIKeying) { ii.CookieEcho = []byte("cookje") },
		"another session id":       func(ii *wire.IIKeying) { ii.SessionID++ },
		"another SKIC":             func(ii *wire.IIKeying) { ii.SKIC = in.Component() },
		"a bit of the signature":   func(ii *wire.IIKeying) { ii.Signature[20] ^= 1 },
		"a cut signature":          func(ii *wire.IIKeying) { ii.Signature = ii.Signature[:40] },
		"garbage behind":           func(ii *wire.IIKeying) { ii.Signature = append(ii.Signature, 9) },
		"signed for another":       func(ii *wire.IIKeying) { ii.Signature = in.Sign(ii.AppendSigned(nil)) },
		"signed by another":        resign(other, labelSignInitiator),
		"signed in the other role": resign(i, labelSignResponder),
	} {
		if _, _, err := signedHandshake(i, r, Policy{}, change, nil); !errors.Is(err, ErrSignature) {
			t.Errorf("IIKeying, %s: got %v, want ErrSignature", name, err)
		}
	}
	genuine, err := i.Initiate(seedOf(1), r.Parsed(), Policy{}) // as signedHandshake does
	if err != nil {
		t.Fatal(err)
	}
	skic := genuine.Component()
	for name, change := range map[string]func(ri *wire.RIKeying){
		"as it is":               func(*wire.RIKeying) {},
		"no signature":           func(ri *wire.RIKeying) { ri.Signature = nil },
		"another session id":     func(ri *wire.RIKeying) { ri.SessionID++ },
		"a bit of the signature": func(ri *wire.RIKeying) { ri.Signature[20] ^= 1 },
		"signed without SKIC":    func(ri *wire.RIKeying) { ri.Signature = r.SignRIKeying(i.Parsed(), ri.AppendSigned(nil, nil)) },
		"signed for another":     func(ri *wire.RIKeying) { ri.Signature = r.SignRIKeying(other.Parsed(), ri.AppendSigned(nil, skic)) },
		"signed by another":      func(ri *wire.RIKeying) { ri.Signature = other.SignRIKeying(i.Parsed(), ri.AppendSigned(nil, skic)) },
		"signed again":           func(ri *wire.RIKeying) { ri.Signature = r.SignRIKeying(i.Parsed(), ri.AppendSigned(nil, skic)) },
	} {
		var want error = ErrSignature
		if name == "as it is" || name == "signed again" {
			want = nil
		}
		if _, _, err := signedHandshake(i, r, Policy{}, nil, change); !errors.Is(err, want) {
			t.Errorf("RIKeying, %s: got %v, want %v", name, err, want)
		}
	}
	if _, _, err := r.Respond(seedOf(1), i.Parsed(), in.Component(), Policy{}); !errors.Is(err, ErrSignature) {
		t.Errorf("Respond to one who signs: got %v, want ErrSignature", err)
	}
	in, err = newIdentity(t, 4, IdentityOptions{}).Initiate(seedOf(1), r.Parsed(), Policy{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := in.Complete([]byte{}); !errors.Is(err, ErrSignature) {
		t.Errorf("Complete with one who signs: got %v, want ErrSignature", err)
	}
}

// The parameters that were signed must be those that are used.
func TestSignedParametersAreTheComponent(t *testing.T) {
	i, r := newIdentity(t, 1, IdentityOptions{Sign: true}), newIdentity(t, 2, IdentityOptions{})
	genuine, err := i.Initiate(seedOf(1), r.Parsed(), Policy{})
	if err != nil {
		t.Fatal(err)
	}
	thief, err := newIdentity(t, 3, IdentityOptions{}).Initiate(seedOf(2), r.Parsed(), Policy{})
	if err != nil {
		t.Fatal(err)
	}
	ii := wire.IIKeying{SessionID: 7, Certificate: i.Certificate(), SKIC: genuine.Component()}
	signed := ii.AppendSigned(nil)
	if _, _, err := r.RespondSigned(seedOf(3), i.Parsed(), thief.Component(), signed, genuine.Sign(signed), Policy{}); !errors.Is(err, ErrSignature) {
		t.Errorf("another component under a genuine signature: got %v, want ErrSignature", err)
	}
}

func TestSigningKeyInCertificate(t *testing.T) {
	id := newIdentity(t, 1, IdentityOptions{Sign: true})
	key, ok := id.Parsed().SigningKey()
	if !ok || !key.Equal(id.signing.Public()) {
		t.Errorf("signing key: got %x, %v", key, ok)
	}
	static := appendGroupKey(nil, certStaticKey, GroupX25519, make([]byte, 32))
	for name, c := range map[string]struct {
		cert []byte
		ok   bool
	}{
		"short":            {element.AppendOption(bytes.Clone(static), certSigningKey, make([]byte, 31)), false},
		"twice":            {element.AppendOption(element.AppendOption(bytes.Clone(static), certSigningKey, make([]byte, 32)), certSigningKey, make([]byte, 32)), false},
		"behind a marker":  {element.AppendOption(append(bytes.Clone(static), 0), certSigningKey, make([]byte, 31)), true},
		"of a legacy cert": {element.AppendOption([]byte{2, certEphemeralGroup, 2}, certSigningKey, make([]byte, 32)), true},
	} {
		if _, err := ParseCertificate(c.cert); (err == nil) != c.ok {
			t.Errorf("%s: got %v, want ok = %v", name, err, c.ok)
		}
	}
}

// A signature field may hold anything, and only what the key has signed is valid.
func FuzzSignature(f *testing.F) {
	i, r := newIdentity(f, 1, IdentityOptions{Sign: true}), newIdentity(f, 2, IdentityOptions{})
	in, err := i.Initiate(seedOf(1), r.Parsed(), Policy{})
	if err != nil {
		f.Fatal(err)
	}
	signed := wire.IIKeying{SessionID: 7, Certificate: i.Certificate(), SKIC: in.Component()}.AppendSigned(nil)
	genuine := in.Sign(signed)
	f.Add(signed, genuine)
	f.Add(signed, []byte("X"))
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, parameters, field []byte) {
		err := i.certificate.verify(labelSignInitiator, i.certificate, r.certificate, in.Component(), parameters, field)
		if err == nil && !(bytes.Equal(parameters, signed) && bytes.Contains(field, genuine[4:])) {
			t.Errorf("%x under %x is valid", parameters, field)
		}
	})
}
