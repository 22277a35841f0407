package crypto

import "testing"

// What a handshake costs each end in public-key work.
func BenchmarkHandshake(b *testing.B) {
	for name, o := range map[string]IdentityOptions{
		"modern":              {},
		"MODP-14 (static)":    {Groups: []DHGroup{Group14}},
		"MODP-14 (ephemeral)": {Groups: []DHGroup{Group14}, Ephemeral: true},
	} {
		i, r := newIdentity(b, 1, o), newIdentity(b, 2, o)
		p := Policy{AllowLegacy: true}
		in, err := i.Initiate(seedOf(1), r.Parsed(), p)
		if err != nil {
			b.Fatal(err)
		}
		skrc, _, err := r.Respond(seedOf(2), i.Parsed(), in.Component(), p)
		if err != nil {
			b.Fatal(err)
		}
		b.Run("initiate, "+name, func(b *testing.B) {
			for b.Loop() {
				in, err := i.Initiate(seedOf(1), r.Parsed(), p)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := in.Complete(skrc); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("respond, "+name, func(b *testing.B) {
			for b.Loop() {
				if _, _, err := r.Respond(seedOf(2), i.Parsed(), in.Component(), p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
