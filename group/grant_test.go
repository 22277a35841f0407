package group

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"testing"
	"time"

	"rtmfp/internal/clock"
)

func testKey(seed byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
}

func publicOf(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }

// A grant lets its subject do what it says, in its time, in its group, and
// nobody anything else.
func TestGrants(t *testing.T) {
	key, other := testKey(1), testKey(2)
	const now = 1_700_000_000 * time.Second
	spec := mustSpec(SpecFields{Name: "g", Posting: true, Multicast: true, GroupKey: publicOf(key)})
	elsewhere := mustSpec(SpecFields{Name: "h", Posting: true, GroupKey: publicOf(key)})
	theirs := mustSpec(SpecFields{Name: "g", Posting: true, GroupKey: publicOf(other)})
	alice, bob := PeerID{1}, PeerID{2}
	grant := func(s *Spec, k ed25519.PrivateKey, r Right, p PeerID, at, life time.Duration) []byte {
		b, err := NewGrant(s, k, r, p, at, life)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	good := grant(spec, key, RightPost, alice, now, time.Hour)
	changed := bytes.Clone(good)
	changed[1] |= byte(RightPublish)
	forged := spec.newGrant(other, byGroupKey, RightPost, alice, now, time.Hour)
	for _, c := range []struct {
		name  string
		grant []byte
		right Right
		who   PeerID
		at    time.Duration
		want  error
	}{
		{"in time", good, RightPost, alice, now + time.Minute, nil},
		{"by a clock that is a little behind", good, RightPost, alice, now - time.Minute, nil},
		{"for ever", grant(spec, key, RightPost, alice, now, 0), RightPost, alice, now + 1e6*time.Hour, nil},
		{"for both", grant(spec, key, RightPost|RightPublish, alice, now, time.Hour), RightPublish, alice, now, nil},
		{"none", nil, RightPost, alice, now, ErrNoGrant},
		{"for something else", good, RightPublish, alice, now, ErrNoGrant},
		{"for somebody else", good, RightPost, bob, now, ErrGrantSubject},
		{"too late", good, RightPost, alice, now + 2*time.Hour, ErrGrantExpired},
		{"too early", good, RightPost, alice, now - time.Hour, ErrGrantExpired},
		{"changed", changed, RightPublish, alice, now, ErrGrantForged},
		{"by another key", forged, RightPost, alice, now, ErrGrantForged},
		{"of another group", grant(elsewhere, key, RightPost, alice, now, time.Hour), RightPost, alice, now, ErrGrantForged},
		{"of a group with another key", grant(theirs, other, RightPost, alice, now, time.Hour), RightPost, alice, now, ErrGrantForged},
		{"cut short", good[:len(good)-1], RightPost, alice, now, ErrGrantSyntax},
		{"by a password that the group has not", spec.newGrant(other, byPostingKey, RightPost, alice, now, 0), RightPost, alice, now, ErrNoGrant},
	} {
		a := NewAuthority(spec)
		for range 2 { // the second time from memory
			if err := a.May(c.right, c.who, c.grant, c.at.Milliseconds()); !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
				t.Errorf("a grant %s: got %v, want %v", c.name, err, c.want)
			}
		}
	}
	if _, err := NewGrant(spec, other, RightPost, alice, now, 0); err == nil {
		t.Error("a grant was signed with a key that is not the group's")
	}
	if err := NewAuthority(mustSpec(SpecFields{Name: "open", Posting: true})).May(RightPost, bob, nil, 0); err != nil {
		t.Errorf("in an open group: got %v", err)
	}
}

// A grant travels in the groupspec, and does not make it another group.
func TestGrantInSpec(t *testing.T) {
	key := testKey(1)
	spec := mustSpec(SpecFields{Name: "g", Posting: true, GroupKey: publicOf(key)})
	const now = 1_700_000_000 * time.Second
	alice, bob := PeerID{1}, PeerID{2}
	grant, err := NewGrant(spec, key, RightPost, alice, now, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	with, err := spec.AddGrant(grant)
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseSpec(with.String())
	if err != nil || again.ID() != spec.ID() || again.WithoutAuthorizations() != spec.String() || len(again.UnknownKinds) != 0 {
		t.Fatalf("read again: %v, %+v", err, again)
	}
	if !again.MayPost() || spec.MayPost() || again.MayPublish() {
		t.Error("what the texts permit is wrong")
	}
	if got, err := again.OwnGrant(RightPost, alice, now); err != nil || !bytes.Equal(got, grant) {
		t.Errorf("the own grant: got %x, %v", got, err)
	}
	for _, c := range []struct {
		who  PeerID
		at   time.Duration
		want error
	}{{bob, now, ErrGrantSubject}, {alice, now + 2*time.Hour, ErrGrantExpired}} {
		if _, err := again.OwnGrant(RightPost, c.who, c.at); !errors.Is(err, c.want) {
			t.Errorf("got %v, want %v", err, c.want)
		}
	}
	if _, err := spec.AddGrant([]byte("nonsense")); !errors.Is(err, ErrGrantSyntax) {
		t.Errorf("nonsense as a grant: got %v", err)
	}
}

// Who knows the password can grant itself what it is for; who only has the
// groupspec can't.
func TestPasswordKey(t *testing.T) {
	hash := HashPassword("open sesame", []byte("salt"))
	f := SpecFields{Name: "g", Posting: true, Multicast: true, PostingPassword: hash, PostingKey: PasswordKey(hash, "open sesame", RightPost)}
	public := mustSpec(f)
	f.PostingAuth = "open sesame"
	private := mustSpec(f)
	f.PostingAuth = "guess"
	wrong := mustSpec(f)
	if public.ID() != private.ID() {
		t.Fatal("the password makes another group")
	}
	self := PeerID{1}
	const now = 1_700_000_000 * time.Second
	grant, err := private.OwnGrant(RightPost, self, now)
	if err != nil {
		t.Fatal(err)
	}
	a := NewAuthority(public)
	if err := a.May(RightPost, self, grant, now.Milliseconds()); err != nil {
		t.Errorf("with the password: got %v", err)
	}
	if err := a.May(RightPost, PeerID{2}, grant, now.Milliseconds()); !errors.Is(err, ErrGrantSubject) {
		t.Errorf("with another's grant: got %v", err)
	}
	if err := a.May(RightPublish, self, nil, now.Milliseconds()); err != nil {
		t.Errorf("what needs no password: got %v", err)
	}
	for _, s := range []*Spec{public, wrong} {
		if _, err := s.OwnGrant(RightPost, self, now); !errors.Is(err, ErrNoGrant) || s.MayPost() {
			t.Errorf("without the password: got %v, may post: %v", err, s.MayPost())
		}
	}
}

// Revocations end grants until there is a later one, and are refused if the
// group's key did not sign them, or if there are too many.
func TestRevocations(t *testing.T) {
	key := testKey(1)
	spec := mustSpec(SpecFields{Name: "g", Posting: true, GroupKey: publicOf(key)})
	const now = 1_700_000_000 * time.Second
	alice := PeerID{1}
	grant := func(at time.Duration) []byte {
		b, _ := NewGrant(spec, key, RightPost, alice, at, time.Hour)
		return b
	}
	revoke := func(p PeerID, at time.Duration) []byte {
		b, err := NewRevocation(spec, key, p, at)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	a := NewAuthority(spec)
	may := func(g []byte) error { return a.May(RightPost, alice, g, (now + time.Minute).Milliseconds()) }
	if err := may(grant(now)); err != nil {
		t.Fatal(err)
	}
	r := revoke(alice, now+time.Second)
	forged := bytes.Clone(r)
	forged[40] ^= 1
	for _, c := range []struct {
		b     []byte
		fresh bool
		want  error
	}{
		{forged, false, ErrRevocationForged}, {r[:50], false, ErrRevocationSyntax},
		{r, true, nil}, {r, false, nil}, {revoke(alice, now), false, nil},
	} {
		if _, fresh, err := a.Revoke(c.b); fresh != c.fresh || !errors.Is(err, c.want) {
			t.Errorf("got %v, %v, want %v, %v", fresh, err, c.fresh, c.want)
		}
	}
	if err := may(grant(now)); !errors.Is(err, ErrEvicted) {
		t.Errorf("with the old grant: got %v", err)
	}
	if err := may(grant(now + 2*time.Second)); err != nil {
		t.Errorf("with a new grant: got %v", err)
	}
	if b, err := ParseRevocation(RevocationText(r) + "\n"); err != nil || !bytes.Equal(b, r) {
		t.Errorf("as text: got %x, %v", b, err)
	}
	for i := range maxRevocations + 3 {
		_, _, err := a.Revoke(revoke(PeerID{9, byte(i), byte(i >> 8)}, now))
		if full := i >= maxRevocations-1; errors.Is(err, ErrRevocationsFull) != full {
			t.Fatalf("revocation %d: got %v", i, err)
		}
	}
}

// A revocation reaches everybody, also who comes later, and the evicted member
// loses its neighbors and gets no new ones.
func TestEvict(t *testing.T) {
	key := testKey(1)
	f := SpecFields{Name: "g", Multicast: true, ServerChannel: true, GroupKey: publicOf(key)}
	spec := mustSpec(f)
	net := newTestNet(t, 1, rtt)
	add := func() *testNode { return net.add(func(c *Config) { c.Spec, c.Introduce = spec, len(net.nodes) == 0 }) }
	first := add()
	for range 9 {
		add().bootstrap(first)
	}
	net.until(10*time.Second, "a full mesh", net.fullMesh)
	evil := net.nodes[4]
	r, err := NewRevocation(spec, key, evil.peer, 1_700_000_000*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	bad := bytes.Clone(r)
	bad[40] ^= 1
	net.nodes[7].input(func(g *Group, now clock.Time) {
		if err := g.Revoke(now, bad); !errors.Is(err, ErrRevocationForged) {
			t.Errorf("a forged one: got %v", err)
		}
		if err := g.Revoke(now, r); err != nil {
			t.Error(err)
		}
	})
	net.run(time.Second)
	late := add()
	late.bootstrap(first)
	net.run(10 * time.Second)
	if n := len(evil.neighbors()); n != 0 {
		t.Errorf("the evicted one has %d neighbors", n)
	}
	for _, x := range net.nodes {
		if x != evil && (!x.g.cfg.Authority.Evicted(evil.peer) || len(x.neighbors()) != 9) {
			t.Errorf("node %d: knows %v, has %d neighbors", x.index, x.g.cfg.Authority.Evicted(evil.peer), len(x.neighbors()))
		}
	}
}

// FuzzGrant hands any bytes to all that reads grants and revocations.
func FuzzGrant(f *testing.F) {
	key := testKey(1)
	spec := mustSpec(SpecFields{Name: "g", Posting: true, GroupKey: publicOf(key)})
	grant, _ := NewGrant(spec, key, RightPost, PeerID{1}, time.Hour, time.Hour)
	revocation, _ := NewRevocation(spec, key, PeerID{1}, time.Hour)
	f.Add(grant)
	f.Add(revocation)
	f.Fuzz(func(t *testing.T, b []byte) {
		a := NewAuthority(spec)
		if a.May(RightPost, PeerID{1}, b, time.Hour.Milliseconds()) == nil && !bytes.Equal(b, grant) {
			t.Errorf("%x was taken for a grant", b)
		}
		if _, fresh, err := a.Revoke(b); fresh && err == nil && !bytes.Equal(b, revocation) {
			t.Errorf("%x was taken for a revocation", b)
		}
		if s, err := spec.AddGrant(b); err == nil && fmt.Sprint(s.Explain()) == "" {
			t.Error("not explained")
		}
	})
}
