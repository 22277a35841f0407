package crypto

import (
	"bytes"
	"crypto/ecdh"
	"encoding/hex"
	"errors"
	"testing"
)

// FuzzX25519 holds the X25519 in use against the standard library's: the same
// public key, the same secret, and the same public keys refused.
func FuzzX25519(f *testing.F) {
	for _, far := range lowOrder(f) {
		f.Add(bytes.Repeat([]byte{7}, x25519Size), far)
	}
	f.Add(bytes.Repeat([]byte{0xff}, x25519Size), bytes.Repeat([]byte{9}, x25519Size))
	f.Add(make([]byte, x25519Size), bytes.Repeat([]byte{0xff}, x25519Size))
	f.Fuzz(func(t *testing.T, secret, far []byte) {
		if len(secret) != x25519Size {
			return
		}
		k := newX25519(secret)
		standard, err := ecdh.X25519().NewPrivateKey(secret)
		if err != nil {
			t.Fatal(err)
		}
		if want := standard.PublicKey().Bytes(); !bytes.Equal(k.public[:], want) {
			t.Errorf("public key: got %x, want %x", k.public, want)
		}
		var want []byte
		if public, err := ecdh.X25519().NewPublicKey(far); err == nil {
			want, _ = standard.ECDH(public)
		}
		got, err := k.agree([]byte("before"), far)
		if want == nil {
			if !errors.Is(err, ErrPublicKey) {
				t.Errorf("agree: got %x, %v, want %v", got, err, ErrPublicKey)
			}
			return
		}
		if want = append([]byte("before"), want...); err != nil || !bytes.Equal(got, want) {
			t.Errorf("agree: got %x, %v, want %x", got, err, want)
		}
	})
}

// lowOrder returns public keys with which all secrets agree on zero, in their
// shortest form and in others (RFC 7748 §6.1, and the multiples of the prime
// above it).
func lowOrder(tb testing.TB) (keys [][]byte) {
	for _, text := range []string{
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000000",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
		"5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
		"0000000000000000000000000000000000000000000000000000000000000080",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	} {
		b, err := hex.DecodeString(text)
		if err != nil {
			tb.Fatal(err)
		}
		keys = append(keys, b)
	}
	return keys
}

// A public key of low order is refused, however it is written.
func TestX25519LowOrder(t *testing.T) {
	k := newX25519(bytes.Repeat([]byte{7}, x25519Size))
	for _, far := range lowOrder(t) {
		if got, err := k.agree(nil, far); !errors.Is(err, ErrPublicKey) {
			t.Errorf("%x: got %x, %v, want %v", far, got, err, ErrPublicKey)
		}
	}
}
