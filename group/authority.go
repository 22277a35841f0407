package group

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"rtmfp/internal/element"
)

// Authority judges what members may do: by the groupspec, by their grants, and
// by the revocations that have come to this node. The services of a group share
// one. Like a core, it belongs to whoever calls it.
type Authority struct {
	spec    *Spec
	revoked map[PeerID]*Revocation
	order   []*Revocation // in the order in which they came
	known   map[[32]byte]bool
}

// Revocation evicts a member: grants that it was given before count no more,
// and other members do not link with it.
type Revocation struct {
	Subject PeerID
	At      int64 // milliseconds since 1970
	encoded []byte
}

// Bounds of an Authority.
const (
	maxRevocations = 256
	maxKnownGrants = 1024 // whose signatures need not be checked again
)

// Reasons for which a revocation is refused.
var (
	ErrRevocationSyntax = errors.New("not a valid revocation")
	ErrRevocationForged = errors.New("a revocation that the group's key did not sign")
	ErrRevocationsFull  = fmt.Errorf("more than %d revocations", maxRevocations)
)

// NewAuthority returns the authority of a group without revocations.
func NewAuthority(s *Spec) *Authority {
	return &Authority{spec: s} // most groups need no maps
}

// May reports why a member may not do something at a time, in milliseconds
// since 1970, with the grant that it showed; nil if it may.
func (a *Authority) May(r Right, subject PeerID, grant []byte, unixMilli int64) error {
	gone := a.revoked[subject]
	if !a.spec.Needs(r) {
		if gone != nil && unixMilli >= gone.At {
			return ErrEvicted
		}
		return nil
	}
	h := sha256.New()
	h.Write(subject[:])
	h.Write(grant)
	key := [32]byte(h.Sum(nil))
	if a.known[key] {
		// Its signature is right; its time may be over by now.
		g, _ := ParseGrant(grant)
		switch {
		case g.Rights&r == 0 || a.spec.keyOf(g.by, r) == nil:
			return ErrNoGrant
		case g.ExpiresAt != 0 && g.ExpiresAt < unixMilli, unixMilli < g.IssuedAt-grantSkew.Milliseconds():
			return ErrGrantExpired
		}
	} else if err := a.spec.checkGrant(r, subject, grant, unixMilli); err != nil {
		return err
	}
	if !a.known[key] {
		if len(a.known) >= maxKnownGrants {
			clear(a.known)
		}
		if a.known == nil {
			a.known = map[[32]byte]bool{}
		}
		a.known[key] = true
	}
	if gone != nil {
		// A grant of the group's key that is later than the eviction ends it; a
		// password that the evicted one knows does not.
		if g, err := ParseGrant(grant); err != nil || g.by != byGroupKey || g.IssuedAt <= gone.At {
			return ErrEvicted
		}
	}
	return nil
}

// Evicted reports whether a member has been evicted.
func (a *Authority) Evicted(peer PeerID) bool { return a != nil && a.revoked[peer] != nil }

// Revoke takes a revocation and reports whether it is new.
func (a *Authority) Revoke(encoded []byte) (*Revocation, bool, error) {
	r, err := a.spec.openRevocation(encoded)
	if err != nil {
		return nil, false, err
	}
	old := a.revoked[r.Subject]
	switch {
	case old != nil && old.At >= r.At:
		return old, false, nil
	case old != nil:
		*old = *r
		return old, true, nil
	case len(a.order) >= maxRevocations:
		return nil, false, ErrRevocationsFull
	}
	if a.revoked == nil {
		a.revoked = map[PeerID]*Revocation{}
	}
	a.revoked[r.Subject] = r
	a.order = append(a.order, r)
	return r, true, nil
}

// Revocations returns all that are known, encoded.
func (a *Authority) Revocations() [][]byte {
	out := make([][]byte, len(a.order))
	for i, r := range a.order {
		out[i] = r.encoded
	}
	return out
}

// NewRevocation signs a revocation with the group's private key.
func NewRevocation(s *Spec, key ed25519.PrivateKey, subject PeerID, now time.Duration) ([]byte, error) {
	if s.GroupKey == nil || !s.GroupKey.Equal(key.Public()) {
		return nil, errors.New("the key is not the one that the groupspec names")
	}
	b := append([]byte{grantVersion}, subject[:]...)
	b = element.AppendVLU(b, uint64(now.Milliseconds()))
	return append(b, ed25519.Sign(key, s.signed(revocationLabel, b))...), nil
}

func (s *Spec) openRevocation(b []byte) (*Revocation, error) {
	if len(b) < 1+32+1+ed25519.SignatureSize || b[0] != grantVersion {
		return nil, ErrRevocationSyntax
	}
	body, sig := b[:len(b)-ed25519.SignatureSize], b[len(b)-ed25519.SignatureSize:]
	at, n := element.ConsumeVLU(body[33:])
	if n == 0 || 33+n != len(body) || at >= maxMilli {
		return nil, ErrRevocationSyntax
	}
	if s.GroupKey == nil || !ed25519.Verify(s.GroupKey, s.signed(revocationLabel, body), sig) {
		return nil, ErrRevocationForged
	}
	return &Revocation{Subject: PeerID(body[1:33]), At: int64(at), encoded: bytes.Clone(b)}, nil
}

// revocationPrefix begins the text of a revocation.
const revocationPrefix = "R:"

// RevocationText returns a revocation as one line of text.
func RevocationText(encoded []byte) string { return revocationPrefix + hexOf(encoded) }

// ParseRevocation reads the text of a revocation. Whether it is right only the
// group's Authority can tell.
func ParseRevocation(text string) ([]byte, error) {
	digits, ok := strings.CutPrefix(strings.TrimSpace(text), revocationPrefix)
	b, err := hex.DecodeString(digits)
	if !ok || err != nil {
		return nil, ErrRevocationSyntax
	}
	return b, nil
}

func hexOf(b []byte) string { return hex.EncodeToString(b) }
