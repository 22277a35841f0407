package group

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"time"

	"golang.org/x/crypto/argon2"

	"rtmfp/internal/element"
)

// Right is something that a member may do only with a grant, where the
// groupspec says so. A set of them is their sum.
type Right byte

// Rights.
const (
	RightPublish Right = 1 << iota
	RightPost
)

// String returns what the right is to do.
func (r Right) String() string {
	switch r {
	case RightPublish:
		return "publish"
	case RightPost:
		return "post"
	case RightPublish | RightPost:
		return "publish and post"
	}
	return "do anything"
}

// issuer says whose key a grant is signed with.
type issuer byte

const (
	byGroupKey   issuer = iota // that of the group
	byPublishKey               // that which the publish password makes
	byPostingKey               // that which the posting password makes
)

// Grant permits one member, known by its peer id, to do something until a time.
type Grant struct {
	Rights    Right
	Subject   PeerID
	IssuedAt  int64 // milliseconds since 1970
	ExpiresAt int64 // likewise, 0: never

	by   issuer
	body []byte
	sig  []byte
}

// Encodings (docs/groups.md).
const (
	grantVersion    = 0x01
	grantLabel      = "rtmfp grant 1"
	revocationLabel = "rtmfp revocation 1"
	maxMilli        = 1 << 50
	grantSkew       = 2 * time.Minute
)

// Reasons for which a member may not do something. Authority.May wraps them.
var (
	ErrNoGrant      = errors.New("no grant for it")
	ErrGrantSyntax  = errors.New("not a valid grant")
	ErrGrantForged  = errors.New("a grant that the group's key did not sign")
	ErrGrantSubject = errors.New("a grant for another member")
	ErrGrantExpired = errors.New("a grant that is over")
	ErrEvicted      = errors.New("evicted from the group")
)

// NewGrant signs a grant with the group's private key and returns it encoded.
func NewGrant(s *Spec, key ed25519.PrivateKey, rights Right, subject PeerID, now time.Duration, life time.Duration) ([]byte, error) {
	if s.GroupKey == nil || !s.GroupKey.Equal(key.Public()) {
		return nil, errors.New("the key is not the one that the groupspec names")
	}
	return s.newGrant(key, byGroupKey, rights, subject, now, life), nil
}

func (s *Spec) newGrant(key ed25519.PrivateKey, by issuer, rights Right, subject PeerID, now, life time.Duration) []byte {
	b := []byte{grantVersion, byte(rights), byte(by)}
	b = append(b, subject[:]...)
	b = element.AppendVLU(b, uint64(now.Milliseconds()))
	expires := uint64(0)
	if life > 0 {
		expires = uint64((now + life).Milliseconds())
	}
	b = element.AppendVLU(b, expires)
	return append(b, ed25519.Sign(key, s.signed(grantLabel, b))...)
}

// signed returns what a signature in this group is over.
func (s *Spec) signed(label string, body []byte) []byte {
	b := make([]byte, 0, len(label)+len(s.id)+len(body))
	b = append(b, label...)
	b = append(b, s.id[:]...)
	return append(b, body...)
}

// ParseGrant reads a grant without checking its signature.
func ParseGrant(b []byte) (g Grant, err error) {
	if len(b) < 3+32+2+ed25519.SignatureSize || b[0] != grantVersion {
		return g, ErrGrantSyntax
	}
	g.body, g.sig = b[:len(b)-ed25519.SignatureSize], b[len(b)-ed25519.SignatureSize:]
	g.Rights, g.by, g.Subject = Right(b[1]), issuer(b[2]), PeerID(b[3:35])
	issued, n := element.ConsumeVLU(g.body[35:])
	expires, m := element.ConsumeVLU(g.body[35+n:])
	if n == 0 || m == 0 || 35+n+m != len(g.body) || issued >= maxMilli || expires >= maxMilli ||
		g.Rights == 0 || g.Rights > RightPublish|RightPost || g.by > byPostingKey {
		return g, ErrGrantSyntax
	}
	g.IssuedAt, g.ExpiresAt = int64(issued), int64(expires)
	return g, nil
}

// Needs reports whether a member needs a grant for something.
func (s *Spec) Needs(r Right) bool {
	return s.GroupKey != nil || r == RightPublish && s.PublishKey != nil || r == RightPost && s.PostingKey != nil
}

// keyOf returns the key that an issuer signs with, nil if it can't give the rights.
func (s *Spec) keyOf(by issuer, r Right) ed25519.PublicKey {
	switch {
	case by == byGroupKey:
		return s.GroupKey
	case by == byPublishKey && r == RightPublish:
		return s.PublishKey
	case by == byPostingKey && r == RightPost:
		return s.PostingKey
	}
	return nil
}

// passwordKey makes the key pair of a password. It takes a while, on purpose: a
// member who has the groupspec can try passwords.
func passwordKey(password string, salt []byte, r Right) ed25519.PrivateKey {
	const passes, memory, threads = 2, 19 << 10, 1 // as OWASP has it for Argon2id, in KiB
	salted := append([]byte("rtmfp "+r.String()+" key"), salt...)
	return ed25519.NewKeyFromSeed(argon2.IDKey([]byte(password), salted, passes, memory, threads, ed25519.SeedSize))
}

// PasswordKey returns the public key of a password, for SpecFields.PublishKey or
// PostingKey, with the salt of its hash. It takes some 50 ms.
func PasswordKey(p *PasswordHash, password string, r Right) ed25519.PublicKey {
	return passwordKey(password, p.Salt, r).Public().(ed25519.PublicKey)
}

// Unlock makes the keys of the passwords that the groupspec carries. It takes
// some 50 ms for each, once, and may be left to OwnGrant.
func (s *Spec) Unlock() {
	for _, p := range [...]struct {
		hash *PasswordHash
		auth string
		r    Right
		want ed25519.PublicKey
		key  *ed25519.PrivateKey
	}{
		{s.PublishPassword, s.PublishAuth, RightPublish, s.PublishKey, &s.publishKey},
		{s.PostingPassword, s.PostingAuth, RightPost, s.PostingKey, &s.postingKey},
	} {
		if p.hash == nil || p.want == nil || *p.key != nil || !p.hash.Matches(p.auth) {
			continue
		}
		if key := passwordKey(p.auth, p.hash.Salt, p.r); p.want.Equal(key.Public()) {
			*p.key = key
		}
	}
}

// OwnGrant returns the grant by which a member may do something: one for it that
// the groupspec carries, or one that the password makes. It is nil, with no error,
// where none is needed.
func (s *Spec) OwnGrant(r Right, self PeerID, now time.Duration) ([]byte, error) {
	if !s.Needs(r) {
		return nil, nil
	}
	s.Unlock()
	if r == RightPost && s.postingKey != nil {
		return s.newGrant(s.postingKey, byPostingKey, r, self, now, 0), nil
	}
	if r == RightPublish && s.publishKey != nil {
		return s.newGrant(s.publishKey, byPublishKey, r, self, now, 0), nil
	}
	err := ErrNoGrant
	for _, encoded := range s.Grants {
		why := s.checkGrant(r, self, encoded, now.Milliseconds())
		if why == nil {
			return encoded, nil
		}
		if err == ErrNoGrant {
			err = why
		}
	}
	return nil, fmt.Errorf("%v may not %v: %w", self, r, err)
}

// checkGrant reports why a grant does not let a member do something.
func (s *Spec) checkGrant(r Right, subject PeerID, encoded []byte, unixMilli int64) error {
	if len(encoded) == 0 {
		return ErrNoGrant
	}
	g, err := ParseGrant(encoded)
	if err != nil {
		return err
	}
	key := s.keyOf(g.by, r)
	switch {
	case g.Rights&r == 0 || key == nil:
		return ErrNoGrant
	case g.Subject != subject:
		return ErrGrantSubject
	case !ed25519.Verify(key, s.signed(grantLabel, g.body), g.sig):
		return ErrGrantForged
	case g.ExpiresAt != 0 && g.ExpiresAt < unixMilli, unixMilli < g.IssuedAt-grantSkew.Milliseconds():
		return ErrGrantExpired
	}
	return nil
}

// AddGrant returns the groupspec with a grant among its authorizations.
func (s *Spec) AddGrant(encoded []byte) (*Spec, error) {
	if _, err := ParseGrant(encoded); err != nil {
		return nil, err
	}
	for _, have := range s.Grants {
		if bytes.Equal(have, encoded) {
			return s, nil
		}
	}
	return ParseSpec(s.String() + hexOf(element.AppendOption(nil, specGrant, encoded)))
}
