package posting

import (
	"bytes"
	"crypto/ed25519"
	"testing"
	"time"

	"rtmfp/group"
)

// In a group with a key, posts without a grant that is right, for their author,
// and in its time are neither kept nor passed on; an eviction ends a grant.
func TestGrants(t *testing.T) {
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize))
	spec, err := group.NewSpec(group.SpecFields{Name: "g", Posting: true, GroupKey: key.Public().(ed25519.PublicKey)})
	if err != nil {
		t.Fatal(err)
	}
	authority := group.NewAuthority(spec)
	w := newNetwork(t, 1)
	cfg := Config{MayPost: func(author group.PeerID, grant []byte, at int64) error {
		return authority.May(group.RightPost, author, grant, at)
	}}
	n, next := w.add(cfg), w.add(cfg)
	w.link(n, next)
	w.run(time.Second)
	s := newStranger(n)
	wall := time.Duration(w.base) * time.Millisecond
	grant := func(rights group.Right, who group.PeerID, at, life time.Duration) []byte {
		b, err := group.NewGrant(spec, key, rights, who, at, life)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	me := s.keys.peer
	good := grant(group.RightPost, me, wall, time.Hour)
	forged := bytes.Clone(good)
	forged[len(forged)-1] ^= 1
	post := func(number uint64, grant []byte) {
		body := appendBody(nil, s.keys.Certificate(), w.base, number, 0, grant, []byte("hi"))
		sig := s.keys.Sign(signedMessage(nil, [32]byte{1}, body))
		s.say(2, pushed(append(body, sig[:]...)))
		w.run(time.Second)
	}
	for i, g := range [][]byte{
		nil, forged, good[:50],
		grant(group.RightPublish, me, wall, time.Hour),
		grant(group.RightPost, group.PeerID{7}, wall, time.Hour),
		grant(group.RightPost, me, wall-2*time.Hour, time.Hour), // stale
		grant(group.RightPost, me, wall+2*time.Hour, time.Hour),
	} {
		post(1, g)
		if st := n.svc.Stats(); st.Refused.Unauthorized != uint64(i+1) || st.Kept != 0 || next.svc.Stats().Kept != 0 {
			t.Errorf("grant %d: kept %d, refused %+v", i, st.Kept, st.Refused)
		}
	}
	post(1, good)
	if a, b := n.svc.Stats(), next.svc.Stats(); a.Kept != 1 || b.Kept != 1 {
		t.Errorf("with a grant: kept %d and %d", a.Kept, b.Kept)
	}
	revocation, err := group.NewRevocation(spec, key, me, wall)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := authority.Revoke(revocation); err != nil {
		t.Fatal(err)
	}
	post(2, good)
	if st := n.svc.Stats(); st.Kept != 1 {
		t.Errorf("after the eviction: kept %d", st.Kept)
	}
	if _, err := n.svc.Post(w.now, []byte("no grant")); err == nil {
		t.Error("a node without a grant posted")
	}
}
