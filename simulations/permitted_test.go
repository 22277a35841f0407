package simulations

import (
	"crypto/ed25519"
	"testing"
	"time"

	"rtmfp/group"
	"rtmfp/internal/clock"
	"rtmfp/multicast"
	"rtmfp/node"
)

// In a group with a key, members carry the streams of those who have a grant to
// publish, and no others, whoever passes them on.
func TestStreamsNeedGrants(t *testing.T) {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	spec, err := group.NewSpec(group.SpecFields{Name: "press", Multicast: true, ServerChannel: true, Version: 2, GroupKey: key.Public().(ed25519.PublicKey)})
	if err != nil {
		t.Fatal(err)
	}
	const began = 1_700_000_000_000
	w := NewMessages(MessagesConfig{Seed: 3, Spec: spec})
	var members []*Member
	for i := range 8 {
		m, err := w.Add(MemberConfig{Core: node.CoreConfig{Introduce: i == 0, RelayAll: i == 0, UnixMilli: began}})
		if err != nil {
			t.Fatal(err)
		}
		if i > 0 {
			w.Bootstrap(m, members[0])
		}
		members = append(members, m)
	}
	w.Run(3 * time.Second)
	grant := func(to *Member, rights group.Right, life time.Duration) []byte {
		b, err := group.NewGrant(spec, key, rights, to.Peer(), began*time.Millisecond, life)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	publishers := map[string]struct {
		m     *Member
		grant []byte
	}{
		"with a grant":         {members[1], grant(members[1], group.RightPublish, 0)},
		"for a while":          {members[1], grant(members[1], group.RightPublish, 8*time.Second)},
		"without one":          {members[2], nil},
		"with that of another": {members[2], grant(members[1], group.RightPublish, 0)},
		"with one to post":     {members[3], grant(members[3], group.RightPost, 0)},
	}
	names := []string{"with a grant", "for a while", "without one", "with that of another", "with one to post"}
	pubs := map[string]*multicast.Publication{}
	subs := map[string]*multicast.Subscription{}
	frames, late := map[string]int{}, map[string]int{}
	viewer := members[6]
	for _, name := range names {
		p := publishers[name]
		w.Do(p.m, func(now clock.Time) {
			pub, err := p.m.Group.Streams().Publish(now, name, multicast.StreamConfig{Grant: p.grant})
			if err != nil {
				t.Fatal(err)
			}
			pubs[name] = pub
		})
		w.Do(viewer, func(now clock.Time) { subs[name], _ = viewer.Group.Streams().Play(now, name, multicast.PlayConfig{}) })
	}
	for range 200 {
		for _, name := range names {
			w.Do(publishers[name].m, func(now clock.Time) {
				_ = pubs[name].Write(now, multicast.Message{Data: make([]byte, 500), Key: true})
			})
		}
		w.Run(50 * time.Millisecond)
		for _, name := range names {
			for _, ok := subs[name].NextFrame(); ok; _, ok = subs[name].NextFrame() {
				frames[name]++
				if w.Now() > clock.Time(10*time.Second) {
					late[name]++
				}
			}
		}
	}
	for _, name := range names {
		switch n := frames[name]; name {
		case "with a grant":
			if n < 180 {
				t.Errorf("%s: %d messages were played", name, n)
			}
		case "for a while":
			if n < 60 || late[name] > 0 {
				t.Errorf("%s: %d messages were played, %d of them long after the grant was over", name, n, late[name])
			}
		default:
			if n > 0 {
				t.Errorf("%s: %d messages were played", name, n)
			}
		}
	}
	if c := viewer.Group.Streams().Counters(); c.Unpermitted < 3 {
		t.Errorf("the viewer's counters: %+v", c)
	}
}
