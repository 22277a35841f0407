package group

import (
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"

	"rtmfp/internal/element"
)

// Types of the options in a groupspec, those of Flash's GroupSpecifier.
const (
	specRouting         = 0x00
	specMulticast       = 0x01
	specReplication     = 0x02
	specPosting         = 0x03
	specPublishPassword = 0x05
	specPostingPassword = 0x07
	specIPMulticast     = 0x0a
	specBootstrap       = 0x0b
	specServerChannel   = 0x0c
	specNoPeerToPeer    = 0x0d
	specName            = 0x0e // the second one is the unique tag
	specPublishAuth     = 0x15
	specPostingAuth     = 0x17
	specMemberUpdates   = 0x1b
	specVersion         = 0x7f

	// Ours, see docs/groups.md.
	specGroupKey   = 0x2a10
	specPublishKey = 0x2a11
	specPostingKey = 0x2a12
	specGrant      = 0x2a18 // among the authorizations
	specSeed       = 0x2a19
)

// MaxSpecVersion is the newest version of groupspecs that is understood.
const MaxSpecVersion = 2

// Limits of what ParseSpec takes and NewSpec makes.
const (
	MaxSpecText = 16 << 10 // characters of a groupspec
	maxSpecList = 64       // bootstrap peers, and IP multicast addresses
	uniqueSize  = 32       // bytes of the tag that makes a group unique
)

// PasswordHash is how a groupspec carries a password that members need in
// order to publish or post: SHA-256(Salt ‖ password).
type PasswordHash struct {
	Salt []byte
	Hash [sha256.Size]byte
}

// HashPassword returns the hash of a password with a salt, which should be
// random and differ from group to group.
func HashPassword(password string, salt []byte) *PasswordHash {
	h := sha256.New()
	h.Write(salt)
	io.WriteString(h, password)
	p := &PasswordHash{Salt: append([]byte(nil), salt...)}
	h.Sum(p.Hash[:0])
	return p
}

// Matches reports whether password is the one that was hashed.
func (p *PasswordHash) Matches(password string) bool {
	got := HashPassword(password, p.Salt)
	return subtle.ConstantTimeCompare(got.Hash[:], p.Hash[:]) == 1
}

// IPMulticast is a UDP socket address of native IP multicast.
type IPMulticast struct {
	Socket netip.AddrPort
	Source netip.Addr // of source-specific multicast; the zero Addr is any source
}

// SpecFields are the contents of a groupspec. The first part is the identity
// of the group: who has any of it otherwise is in another group.
type SpecFields struct {
	Version         int           // 1 or 2; 0 is MaxSpecVersion
	Routing         bool          // directed routing
	Multicast       bool          // streams
	Replication     bool          // object replication
	Posting         bool          // posts to everybody
	PublishPassword *PasswordHash // needed to publish a stream; nil: everybody may
	PostingPassword *PasswordHash // needed to post; nil: everybody may
	ServerChannel   bool          // members may ask an introducer for other members
	NoPeerToPeer    bool          // no links between members, native IP multicast only
	Name            string        // required
	Unique          []byte        // a random tag that nobody can guess; nil: none
	MemberUpdates   bool          // membership is also told on the IP multicast sockets

	// Ours: keys by whose grants a member may publish or post. With a group key
	// nobody may without a grant, and members can be evicted.
	GroupKey   ed25519.PublicKey // nil: none
	PublishKey ed25519.PublicKey // of the publish password, see PasswordKey
	PostingKey ed25519.PublicKey // of the posting password

	// What follows the identity: help to get in, and what the holder may do.
	IPMulticast []IPMulticast
	Bootstrap   []PeerID // members to link with first
	// Ours: where such members are.
	BootstrapAddrs []BootstrapAddr
	PublishAuth    string   // the publish password in clear, "" if not held
	PostingAuth    string   // the posting password in clear, "" if not held
	Grants         [][]byte // signed by one of the keys, each for one member
	UnknownKinds   []uint64 // types of options that are not understood (identity or not), as read
}

// Spec is a groupspec: the text that names a group and lets its holder join.
// It does not change once made.
type Spec struct {
	SpecFields
	canonical string // "G:" and the hex of the identity, without the byte that ends it
	extras    []byte // options after the identity, without the authorizations
	auths     []byte
	id        [sha256.Size]byte

	publishKey, postingKey ed25519.PrivateKey // of the passwords, once they were needed
}

// Reasons for which a text is not a groupspec that can be used. ParseSpec and
// NewSpec wrap them.
var (
	ErrSpecSyntax  = errors.New("not a valid groupspec")
	ErrSpecVersion = errors.New("groupspec of a newer version")
	ErrSpecName    = errors.New("groupspec without a name")
)

// NewSpec makes a groupspec, writing its options in the order in which Flash
// does, so that both make the same text, and the same group, of the same fields.
func NewSpec(f SpecFields) (*Spec, error) {
	if f.Version == 0 {
		f.Version = MaxSpecVersion
	}
	if f.Version < 1 || f.Version > MaxSpecVersion {
		return nil, fmt.Errorf("%w: version %d, but 1 to %d are known", ErrSpecVersion, f.Version, MaxSpecVersion)
	}
	if f.Name == "" {
		return nil, fmt.Errorf("%w: every group needs one", ErrSpecName)
	}
	if len(f.UnknownKinds) > 0 {
		return nil, fmt.Errorf("%w: options that are not understood can't be written", ErrSpecSyntax)
	}
	if max(len(f.IPMulticast), len(f.Bootstrap), len(f.BootstrapAddrs)) > maxSpecList {
		return nil, fmt.Errorf("%w: more than %d addresses or bootstrap peers", ErrSpecSyntax, maxSpecList)
	}
	if f.NoPeerToPeer && len(f.IPMulticast) == 0 {
		return nil, fmt.Errorf("%w: without links between members it needs an IP multicast address", ErrSpecSyntax)
	}
	b, err := appendSpec(nil, &f)
	if err != nil {
		return nil, err
	}
	return ParseSpec("G:" + hex.EncodeToString(b))
}

func appendSpec(b []byte, f *SpecFields) ([]byte, error) {
	flag := func(set bool, typ uint64) {
		if set {
			b = element.AppendOption(b, typ, nil)
		}
	}
	password := func(p *PasswordHash, typ uint64) {
		if p != nil {
			b = element.AppendOption(b, typ, append(append([]byte(nil), p.Salt...), p.Hash[:]...))
		}
	}
	if f.Version > 1 {
		b = element.AppendOptionVLU(b, specVersion, uint64(f.Version))
	}
	flag(f.Routing, specRouting)
	flag(f.Multicast, specMulticast)
	flag(f.Replication, specReplication)
	flag(f.Posting, specPosting)
	password(f.PublishPassword, specPublishPassword)
	password(f.PostingPassword, specPostingPassword)
	flag(f.ServerChannel, specServerChannel)
	flag(f.NoPeerToPeer, specNoPeerToPeer)
	b = element.AppendOption(b, specName, []byte(f.Name))
	if len(f.Unique) > 0 {
		b = element.AppendOption(b, specName, f.Unique)
	}
	flag(f.MemberUpdates, specMemberUpdates)
	for _, k := range [...]struct {
		key ed25519.PublicKey
		typ uint64
	}{{f.GroupKey, specGroupKey}, {f.PublishKey, specPublishKey}, {f.PostingKey, specPostingKey}} {
		if k.key != nil {
			b = element.AppendOption(b, k.typ, k.key)
		}
	}
	b = element.AppendMarker(b)

	for _, m := range f.IPMulticast {
		v, err := appendIPMulticast(nil, m)
		if err != nil {
			return nil, err
		}
		b = element.AppendOption(b, specIPMulticast, v)
	}
	for _, p := range f.Bootstrap {
		b = element.AppendOption(b, specBootstrap, p[:])
	}
	for _, s := range f.BootstrapAddrs {
		v, err := appendSeed(nil, s)
		if err != nil {
			return nil, err
		}
		b = element.AppendOption(b, specSeed, v)
	}
	return appendAuths(b, f), nil
}

func appendAuths(b []byte, f *SpecFields) []byte {
	if f.PublishAuth != "" {
		b = element.AppendOption(b, specPublishAuth, []byte(f.PublishAuth))
	}
	if f.PostingAuth != "" {
		b = element.AppendOption(b, specPostingAuth, []byte(f.PostingAuth))
	}
	for _, g := range f.Grants {
		b = element.AppendOption(b, specGrant, g)
	}
	return b
}

func appendIPMulticast(b []byte, m IPMulticast) ([]byte, error) {
	ip := m.Socket.Addr().Unmap().WithZone("")
	if !ip.IsMulticast() || m.Socket.Port() == 0 {
		return nil, fmt.Errorf("%w: %v is not a multicast address with a port", ErrSpecSyntax, m.Socket)
	}
	b = append(b, ip.AsSlice()...)
	b = append(b, byte(m.Socket.Port()>>8), byte(m.Socket.Port()))
	if m.Source.IsValid() {
		source := m.Source.Unmap().WithZone("")
		if source.BitLen() != ip.BitLen() {
			return nil, fmt.Errorf("%w: source %v and multicast address %v are of different families", ErrSpecSyntax, source, ip)
		}
		b = append(b, source.AsSlice()...)
	}
	return b, nil
}

// RandomUnique returns a tag for SpecFields.Unique from a source of random
// bytes, and the error of that source.
func RandomUnique(random io.Reader) ([]byte, error) {
	b := make([]byte, uniqueSize)
	_, err := io.ReadFull(random, b)
	return b, err
}

// String returns the groupspec with everything in it, authorizations included.
func (s *Spec) String() string {
	return s.WithoutAuthorizations() + hex.EncodeToString(s.auths)
}

// WithoutAuthorizations returns the groupspec for people who may join, but who
// shall not publish or post where that needs a password.
func (s *Spec) WithoutAuthorizations() string {
	return s.canonical + "00" + hex.EncodeToString(s.extras)
}

// Authorizations returns the part that String adds to WithoutAuthorizations.
// It can be appended to the text of a groupspec.
func (s *Spec) Authorizations() string { return hex.EncodeToString(s.auths) }

// Canonical returns the text that is the identity of the group: the groupspec
// up to the byte that ends the first part. Members prove that they know it.
func (s *Spec) Canonical() string { return s.canonical }

// ID returns the id by which a group is known to those who need not know the
// groupspec: SHA-256 of the canonical text, from version 2 on hashed twice, so
// that an introducer that is told the id can't tell what members prove.
func (s *Spec) ID() [32]byte { return s.id }

// MayPublish reports whether the holder of this text may publish streams: the
// group carries streams, and the password or a grant is held where one is
// needed. For whom a grant is, OwnGrant tells.
func (s *Spec) MayPublish() bool {
	return s.Multicast && s.allowed(RightPublish, s.PublishPassword, s.PublishAuth)
}

// MayPost reports whether the holder of this text may post, likewise.
func (s *Spec) MayPost() bool {
	return s.Posting && s.allowed(RightPost, s.PostingPassword, s.PostingAuth)
}

func (s *Spec) allowed(r Right, p *PasswordHash, auth string) bool {
	if p != nil && p.Matches(auth) {
		return true
	}
	for _, encoded := range s.Grants {
		if g, err := ParseGrant(encoded); err == nil && g.Rights&r != 0 {
			return true
		}
	}
	return p == nil && !s.Needs(r)
}
