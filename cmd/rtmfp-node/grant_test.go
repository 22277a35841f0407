package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"rtmfp/node"
)

// In a group with a key, only who has a grant posts, until it is evicted; all
// others read.
func TestGrantCommands(t *testing.T) {
	dir := t.TempDir()
	key, alice, bob := filepath.Join(dir, "news.key"), filepath.Join(dir, "alice"), filepath.Join(dir, "bob")
	do := func(want int, args ...string) (stdout, stderr string) {
		t.Helper()
		code, stdout, stderr := command(t, "", args...)
		if code != want {
			t.Fatalf("%v: exit code %d, want %d; %q", args, code, want, stderr)
		}
		return strings.TrimSpace(stdout), stderr
	}
	spec, _ := do(exitOK, "group", "new", "--name", "news", "--posting", "--key", key)
	again, _ := do(exitOK, "group", "new", "--name", "news", "--posting", "--key", key)
	if spec != again {
		t.Errorf("the same name and key make other groups:\n%s\n%s", spec, again)
	}
	n, err := node.Start(context.Background(), node.Config{Listen: "127.0.0.1:0", Introduce: true})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if _, err := n.Join(context.Background(), spec); err != nil {
		t.Fatal(err)
	}
	at := []string{"--bootstrap", fmt.Sprintf("rtmfp://%v", n.Addr()), "--listen", "127.0.0.1:0", "--join-timeout", "3s"}

	id, _ := do(exitOK, "identity", "--identity", alice)
	granted, _ := do(exitOK, "group", "grant", "--key", key, "--group", spec, "--peer", id, "--post")
	if show, _ := do(exitOK, "group", "show", granted); !strings.Contains(show, id+" may post") {
		t.Errorf("the grant is not shown: %s", show)
	}
	if _, stderr := do(exitUsage, append([]string{"post", "--group", spec, "--identity", alice, "x"}, at...)...); !strings.Contains(stderr, "grant") {
		t.Errorf("without the grant: %q", stderr)
	}
	do(exitOK, append([]string{"post", "--group", granted, "--identity", alice, "news!"}, at...)...)
	if _, stderr := do(exitFailure, append([]string{"post", "--group", granted, "--identity", bob, "lies!"}, at...)...); !strings.Contains(stderr, "grant for another member") {
		t.Errorf("with the grant of another: %q", stderr)
	}
	if out, _ := do(exitOK, append([]string{"posts", "--group", spec, "--identity", bob}, at...)...); !strings.HasSuffix(out, " news!") {
		t.Errorf("what is read: %q", out)
	}

	revocation, _ := do(exitOK, append([]string{"group", "revoke", "--key", key, "--group", spec, "--peer", id, "--identity", "none"}, at...)...)
	if !strings.HasPrefix(revocation, "R:") {
		t.Errorf("a revocation: %q", revocation)
	}
	if _, stderr := do(exitUnreachable, append([]string{"post", "--group", granted, "--identity", alice, "more!"}, at...)...); stderr == "" {
		t.Error("the evicted one posted")
	}
	if out, _ := do(exitOK, append([]string{"posts", "--group", spec, "--identity", bob}, at...)...); strings.Contains(out, "more!") {
		t.Errorf("what is read after the eviction: %q", out)
	}

	other := filepath.Join(dir, "other.key")
	do(exitOK, "group", "new", "--name", "x", "--key", other)
	for _, args := range [][]string{
		{"group", "grant", "--key", other, "--group", spec, "--peer", id, "--post"},
		{"group", "grant", "--key", dir + "/none", "--group", spec, "--peer", id, "--post"},
		{"group", "grant", "--key", alice, "--group", spec, "--peer", id, "--post"},
		{"group", "grant", "--key", key, "--group", spec, "--peer", id},
		{"group", "grant", "--key", key, "--group", spec, "--peer", "12", "--post"},
		{"group", "revoke", "--key", other, "--group", spec, "--peer", id},
		append([]string{"run", "--group", spec, "--revoke", "R:12"}, at[2:4]...),
	} {
		if _, stderr := do(exitUsage, args...); strings.Count(stderr, "\n") != 1 {
			t.Errorf("%v: %q", args, stderr)
		}
	}
}

// A password is checked by everybody, not only by who has none.
func TestPostingPassword(t *testing.T) {
	code, spec, stderr := command(t, "", "group", "new", "--name", "p", "--posting", "--posting-password", "secret")
	if code != exitOK {
		t.Fatal(stderr)
	}
	_, public, _ := command(t, "", "group", "show", "--public", strings.TrimSpace(spec))
	n, err := node.Start(context.Background(), node.Config{Listen: "127.0.0.1:0", Introduce: true})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	g, err := n.Join(context.Background(), public)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	posts := g.Posts(ctx)
	if _, err := g.Post(ctx, []byte("x")); err == nil {
		t.Error("a member without the password posts")
	}
	code, _, stderr = command(t, "", "post", "--group", strings.TrimSpace(spec), "--bootstrap", fmt.Sprintf("rtmfp://%v", n.Addr()),
		"--listen", "127.0.0.1:0", "--identity", "none", "--linger", "300ms", "with the password")
	if code != exitOK {
		t.Fatal(stderr)
	}
	for p, err := range posts {
		if err != nil || string(p.Data) != "with the password" {
			t.Errorf("got %q, %v", p.Data, err)
		}
		break
	}
}
