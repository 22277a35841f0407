//go:build e2e && linux

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
	"unsafe"

	"rtmfp/group"
	rtmfp "rtmfp/node"
	"rtmfp/posting"
)

// guard is a process that watches a group, its introducer, and one that prints
// the posts that it takes.
type guard struct {
	t    *testing.T
	spec string
	url  string
	*observer
	reader *process
}

func newGuard(t *testing.T, spec string) *guard {
	t.Helper()
	g := &guard{t: t, spec: spec}
	g.observer = observe(t, "guard", "--group", spec, "--identity", "none", "--listen", "127.0.0.1:0")
	g.url = g.observer.url(t)
	g.reader = node(t, "reader", "posts", "--follow", "--json", "--group", spec, "--identity", "none", "--no-lan",
		"--listen", "127.0.0.1:0", "--bootstrap", g.url)
	g.until("the reader is a neighbor", func(s *sight) bool { return len(s.Neighbors) == 1 })
	return g
}

// until waits until the guard says that a condition holds.
func (g *guard) until(what string, cond func(s *sight) bool) {
	g.t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		g.look(g.t)
		if n := len(g.sights); n > 0 && cond(&g.sights[n-1]) {
			return
		}
		if time.Now().After(end) {
			last := "nothing"
			if n := len(g.sights); n > 0 {
				last = fmt.Sprintf("%+v", g.sights[n-1])
			}
			g.t.Fatalf("%s: not within 30 s; the guard says %s", what, last)
		}
	}
}

// unharmed checks that the group works: an honest member posts, and what the
// reader has taken is that and nothing else.
func (g *guard) unharmed(spec string, identity string) {
	g.t.Helper()
	const text = "all is well"
	_, stderr, err := command(g.t, 30*time.Second, nodeProgram, "post", "--group", spec, "--identity", identity, "--no-lan",
		"--listen", "127.0.0.1:0", "--bootstrap", g.url, text)
	if err != nil {
		g.t.Fatalf("post: %v\n%s", err, stderr)
	}
	g.reader.line(g.t, &g.reader.out, text, 20*time.Second)
	for line := range strings.Lines(g.reader.out.String()) {
		var p struct{ Text string }
		if err := json.Unmarshal([]byte(line), &p); err != nil || p.Text != text {
			g.t.Errorf("the reader took %q, %v", line, err)
		}
	}
}

// intruder is a node of this process that joins as no honest one does.
func (g *guard) intruder(cfg rtmfp.Config, spec *group.Spec, change func(*posting.Config)) *rtmfp.Group {
	g.t.Helper()
	cfg.Listen, cfg.Bootstrap = "127.0.0.1:0", []string{g.url}
	n, err := rtmfp.Start(g.t.Context(), cfg)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { n.Close() })
	x, err := n.JoinHostile(g.t.Context(), spec, change)
	if err != nil {
		g.t.Fatal(err)
	}
	return x
}

// forge returns a groupspec that names the same group as s, but proves another
// text: what somebody has who was told the group's id, but not its groupspec. No
// package makes such a thing.
func forge(s *group.Spec, canonical string) *group.Spec {
	forged := *s
	field := reflect.ValueOf(&forged).Elem().FieldByName("canonical")
	*(*string)(unsafe.Pointer(field.UnsafeAddr())) = canonical
	return &forged
}

func parseSpec(t *testing.T, text string) *group.Spec {
	t.Helper()
	s, err := group.ParseSpec(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// awaitNeighbor waits until an intruder has been taken for a member.
func awaitNeighbor(t *testing.T, g *rtmfp.Group) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for ev, err := range g.Events(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		if ev.Kind == rtmfp.NeighborConnected {
			return
		}
	}
}

// Who knows the group's id but not its groupspec is told of nobody, and is let
// in by nobody.
func TestForgedProofRefused(t *testing.T) {
	g := newGuard(t, newSpec(t, "--name", "proof", "--posting", "--unique"))
	honest := parseSpec(t, g.spec)
	x := g.intruder(rtmfp.Config{}, forge(honest, "G:0000"), nil)
	g.until("the proof is refused", func(s *sight) bool { return s.Refused.Proofs > 0 || s.Refused.Joins > 0 })
	if s := g.sights[len(g.sights)-1]; s.linked(x.Self().String()) {
		t.Error("the guard is linked with the intruder")
	}
	if n, m := x.Neighbors(), x.Members(); len(n) != 0 || len(m) > 1 { // the introducer it knew
		t.Errorf("the intruder has %d neighbors and was told of %d members", len(n), len(m))
	}
	g.unharmed(g.spec, "none")
}

// Posts that nobody signed so, posts without a password or with a wrong one, and
// posts by a grant that is over, of another member, or forged, are refused by
// each process that they reach, for that reason, and read by nobody.
func TestBadPostsRefused(t *testing.T) {
	dir := t.TempDir()
	identity := filepath.Join(dir, "ann")
	id, _, err := command(t, 20*time.Second, nodeProgram, "identity", "--identity", identity)
	if err != nil {
		t.Fatal(err)
	}
	ann := strings.TrimSpace(id)
	eve, err := rtmfp.NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(dir, "key")
	keyed := newSpec(t, "--name", "keyed", "--posting", "--unique", "--key", key)
	grant := func(peer string, more ...string) string {
		t.Helper()
		out, stderr, err := command(t, 20*time.Second, nodeProgram, append([]string{"group", "grant", "--key", key, "--group", keyed, "--peer", peer, "--post"}, more...)...)
		if err != nil {
			t.Fatalf("group grant: %v\n%s", err, stderr)
		}
		return strings.TrimSpace(out)
	}
	annSpec := grant(ann)
	locked := newSpec(t, "--name", "locked", "--posting", "--unique", "--posting-password", "secret")
	bare := parseSpec(t, locked).WithoutAuthorizations()
	open := newSpec(t, "--name", "open", "--posting", "--unique")

	// With a wrong password appended to the text that everybody has.
	wrong := parseSpec(t, locked).SpecFields
	wrong.PostingAuth = "guess"
	wrongSpec, err := group.NewSpec(wrong)
	if err != nil {
		t.Fatal(err)
	}

	type refused = func(s *sight) uint64
	unauthorized := func(s *sight) uint64 { return s.Refused.Unauthorized }
	for _, c := range []struct {
		name   string
		spec   string // of the guard
		honest string // with which somebody may post
		author string // identity file of that one
		bad    *group.Spec
		change func(*posting.Config)
		reason refused
	}{
		{"forged signature", open, open, "none", parseSpec(t, open),
			func(c *posting.Config) { c.GroupID[0]++ }, func(s *sight) uint64 { return s.Refused.Forged }},
		{"from an hour ago", open, open, "none", parseSpec(t, open),
			func(c *posting.Config) { c.UnixMilli -= 3600_000 }, func(s *sight) uint64 { return s.Refused.Untimely }},
		{"without the password", bare, locked, "none", parseSpec(t, bare), nil, unauthorized},
		{"wrong password", bare, locked, "none", wrongSpec, nil, unauthorized},
		{"without a grant", keyed, annSpec, identity, parseSpec(t, keyed), nil, unauthorized},
		{"with another's grant", keyed, annSpec, identity, parseSpec(t, keyed),
			func(c *posting.Config) { c.Grant = parseSpec(t, annSpec).Grants[0] }, unauthorized},
		{"with a stale grant", keyed, annSpec, identity, parseSpec(t, keyed),
			func(c *posting.Config) { c.Grant = staleGrant(t, grant(eve.PeerID().String(), "--for", "1s")) }, unauthorized},
		{"with a forged grant", keyed, annSpec, identity, parseSpec(t, keyed),
			func(c *posting.Config) {
				g := []byte(string(parseSpec(t, grant(eve.PeerID().String())).Grants[0]))
				g[len(g)-1] ^= 1
				c.Grant = g
			}, unauthorized},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newGuard(t, c.spec)
			x := g.intruder(rtmfp.Config{Identity: eve}, c.bad, func(cfg *posting.Config) {
				cfg.MayPost = nil // it does not mind
				if c.change != nil {
					c.change(cfg)
				}
			})
			awaitNeighbor(t, x)
			if err := x.PostHostile([]byte("believe me")); err != nil {
				t.Fatal(err)
			}
			// A word from an honest member, so that the guard has news to tell.
			g.unharmed(c.honest, c.author)
			g.until("the post is refused", func(s *sight) bool { return c.reason(s) > 0 })
		})
	}
}

// staleGrant returns the grant of a groupspec once its time is over.
func staleGrant(t *testing.T, spec string) []byte {
	t.Helper()
	encoded := parseSpec(t, spec).Grants[0]
	g, err := group.ParseGrant(encoded)
	if err != nil || g.ExpiresAt == 0 {
		t.Fatalf("grant %+v, %v: want one that ends", g, err)
	}
	time.Sleep(time.Until(time.UnixMilli(int64(g.ExpiresAt)).Add(100 * time.Millisecond)))
	return encoded
}

// The command refuses by itself what the groupspec does not permit, in one line
// that says what is missing.
func TestUnpermittedRefusedByCommands(t *testing.T) {
	dir := t.TempDir()
	key := filepath.Join(dir, "key")
	keyed := newSpec(t, "--name", "keyed", "--posting", "--key", key)
	locked := newSpec(t, "--name", "locked", "--posting", "--multicast", "--posting-password", "secret", "--publish-password", "other")
	bare := parseSpec(t, locked).WithoutAuthorizations()
	guess := parseSpec(t, locked).SpecFields
	guess.PostingAuth, guess.PublishAuth = "guess", "guess"
	guessed, err := group.NewSpec(guess)
	if err != nil {
		t.Fatal(err)
	}
	url := fmt.Sprintf("rtmfp://127.0.0.1:%d", freePort(t))
	for _, c := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"post without a grant", []string{"post", "--group", keyed, "x"}, 2, "grant"},
		{"post without the password", []string{"post", "--group", bare, "x"}, 2, "password"},
		{"publish without the password", []string{"publish", "--stream", "x", "--group", bare, "/dev/null"}, 2, "password"},
		{"post with a wrong password", []string{"post", "--group", guessed.String(), "x"}, 2, "password"},
		{"publish with a wrong password", []string{"publish", "--stream", "x", "--group", guessed.String(), "/dev/null"}, 2, "password"},
		{"cut groupspec", []string{"group", "members", "--group", keyed[:len(keyed)-10]}, 2, "groupspec"},
		{"no groupspec", []string{"group", "neighbors", "--group", "G:zz"}, 2, "groupspec"},
		{"groupspec of a newer version", []string{"route", "listen", "--group", "G:027f63010c020e7800"}, 2, "newer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := node(t, c.name, append(c.args, "--identity", "none", "--bootstrap", url, "--join-timeout", "1s")...)
			if code := p.wait(t, 20*time.Second); code != c.code {
				t.Errorf("exit code: got %d, want %d", code, c.code)
			}
			if stderr := p.err.String(); strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, c.says) {
				t.Errorf("stderr: got %q, want one line about %q", stderr, c.says)
			}
		})
	}
}

// Who is evicted loses all links, is not let in again, and can't post; the
// revocation spreads from one process to all.
func TestEviction(t *testing.T) {
	dir := t.TempDir()
	key := filepath.Join(dir, "key")
	spec := newSpec(t, "--name", "evict", "--posting", "--unique", "--key", key)
	identity := filepath.Join(dir, "bob")
	id, _, err := command(t, 20*time.Second, nodeProgram, "identity", "--identity", identity)
	if err != nil {
		t.Fatal(err)
	}
	bob := strings.TrimSpace(id)
	common := []string{"--group", spec, "--listen", "127.0.0.1:0"}
	first := observe(t, "introducer", append(common, "--identity", "none")...)
	url := first.url(t)
	members := []*observer{first}
	for i := range 6 {
		members = append(members, observe(t, fmt.Sprint("member ", i), append(common, "--identity", "none", "--bootstrap", url)...))
	}
	evil := observe(t, "bob", append(common, "--identity", identity, "--addresses", "none", "--bootstrap", url)...)
	ringTime(t, append([]*observer{evil}, members...), time.Minute)

	began := time.Now()
	if _, stderr, err := command(t, 30*time.Second, nodeProgram, "group", "revoke", "--key", key, "--group", spec, "--peer", bob,
		"--bootstrap", url, "--listen", "127.0.0.1:0"); err != nil {
		t.Fatalf("group revoke: %v\n%s", err, stderr)
	}
	alone := func(o *observer) bool {
		o.look(t)
		return len(o.sights) > 0 && len(o.sights[len(o.sights)-1].Neighbors) == 0
	}
	for end := began.Add(30 * time.Second); !alone(evil); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("bob still has neighbors: %+v", evil.sights[len(evil.sights)-1])
		}
	}
	since := ringTime(t, members, time.Minute)
	for _, o := range members {
		if o.at(time.Now()).linked(bob) {
			t.Errorf("%s is still linked with bob", o.name)
		}
	}
	show(t, "eviction: bob has lost all links %.2f s after the revocation was begun, the ring was right then or %.2f s after", time.Since(began).Seconds(), max(0, since.Sub(began).Seconds()))
	evil.signal(t, 9)
	evil.wait(t, 10*time.Second)

	// With the same identity it is not let in again, through whomever.
	p := node(t, "bob again", "group", "members", "--group", spec, "--identity", identity, "--addresses", "none", "--listen", "127.0.0.1:0",
		"--bootstrap", url, "--join-timeout", "3s")
	if code := p.wait(t, 30*time.Second); code != 3 {
		t.Errorf("bob again: exit code %d, want 3: %s", code, p.err.String())
	}
	for _, o := range members {
		o.look(t)
		if o.at(time.Now()).linked(bob) {
			t.Errorf("%s has let bob in again", o.name)
		}
	}
}
