package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"rtmfp/group"
	"rtmfp/node"
)

// startSeed runs an introducer of a group that carries posts.
func startSeed(t *testing.T, f group.SpecFields) (spec, url string) {
	t.Helper()
	f.Posting, f.ServerChannel = true, true
	spec = testSpec(t, f)
	n, err := node.Start(t.Context(), node.Config{Listen: "127.0.0.1:0", Introduce: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	if _, err := n.Join(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	return spec, fmt.Sprintf("rtmfp://%v", n.Addr())
}

// What one process posts, another one reads later, in order and whole.
func TestPostThenPosts(t *testing.T) {
	spec, url := startSeed(t, group.SpecFields{})
	common := []string{"--group", spec, "--bootstrap", url, "--identity", "none", "--listen", "127.0.0.1:0"}
	args := func(cmd string, more ...string) []string { return append(append([]string{cmd}, common...), more...) }

	var ids []string
	for _, c := range []struct {
		stdin string
		args  []string
	}{
		{"", args("post", "--linger", "300ms", "hello,", "all\x1b[2J")},
		{"one\ntwo\n\nthree\n", args("post", "--linger", "300ms", "--lines")},
		{"\xff\xfe", args("post", "--linger", "300ms")},
	} {
		code, stdout, stderr := command(t, c.stdin, c.args...)
		if code != exitOK || stderr != "" {
			t.Fatalf("%v: exit code %d, %q", c.args[0], code, stderr)
		}
		ids = append(ids, strings.Fields(stdout)...)
	}
	code, stdout, stderr := command(t, "", args("posts", "--json", "--ordered")...)
	if code != exitOK || stderr != "" {
		t.Fatalf("posts: exit code %d, %q", code, stderr)
	}
	want := []postReport{{Text: "hello, all\x1b[2J"}, {Text: "one"}, {Text: "two"}, {Text: "three"}, {Base64: "//4="}}
	d := json.NewDecoder(strings.NewReader(stdout))
	for i, w := range want {
		var r postReport
		if err := d.Decode(&r); err != nil {
			t.Fatalf("post %d of %d: %v in %q", i, len(want), err, stdout)
		}
		if r.Text != w.Text || r.Base64 != w.Base64 || r.ID != ids[i] || time.Since(r.Time) > time.Minute {
			t.Errorf("post %d: got %+v, want %+v with id %s", i, r, w, ids[i])
		}
	}
	code, stdout, stderr = command(t, "", args("posts", "--count", "1")...)
	if code != exitOK || !strings.HasSuffix(stdout, " hello, all\uFFFD[2J\n") || stderr != "" {
		t.Errorf("posts as text: exit code %d, got %q, %q", code, stdout, stderr)
	}
}

// Who follows sees the posts of as long ago as it asks for, and then those that come.
func TestPostsFollow(t *testing.T) {
	spec, url := startSeed(t, group.SpecFields{})
	common := []string{"--group", spec, "--bootstrap", url, "--identity", "none", "--listen", "127.0.0.1:0"}
	post := func(text string) {
		t.Helper()
		if code, _, stderr := command(t, "", append(append([]string{"post", "--linger", "300ms"}, common...), text)...); code != exitOK {
			t.Fatalf("post: exit code %d, %q", code, stderr)
		}
	}
	post("of the past")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out := &watched{news: make(chan struct{}, 1)}
	ended := make(chan int, 1)
	go func() {
		e := &env{stdin: strings.NewReader(""), stdout: out, console: newConsole(io.Discard, false)}
		ended <- run(ctx, e, append([]string{"posts", "--follow", "--since", "5m", "--count=2"}, common...))
	}()
	out.wait(ctx, t, " of the past\n")
	post("of now")
	out.wait(ctx, t, " of now\n")
	if code := <-ended; code != exitOK {
		t.Errorf("exit code %d", code)
	}
}

// A group without a posting password that fits, without posts, or without
// anybody else in it, says so.
func TestPostErrors(t *testing.T) {
	boot := []string{"--bootstrap", "rtmfp://127.0.0.1:9", "--identity", "none"}
	locked := testSpec(t, group.SpecFields{Posting: true, PostingPassword: group.HashPassword("secret", []byte("salt"))})
	wrong := testSpec(t, group.SpecFields{Posting: true, PostingPassword: group.HashPassword("secret", []byte("salt")), PostingAuth: "guess"})
	streams := testSpec(t, group.SpecFields{Multicast: true})
	open := testSpec(t, group.SpecFields{Posting: true})
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"post", "--group", locked, "x"}, exitUsage, "needs a password to post"},
		{[]string{"post", "--group", wrong, "x"}, exitUsage, "needs a password to post"},
		{[]string{"chat", "--group", locked}, exitUsage, "needs a password to post"},
		{[]string{"posts", "--group", streams}, exitUsage, "carries no posts"},
		{[]string{"post", "--group", open, "--lines", "x"}, exitUsage, "--lines reads stdin"},
		{[]string{"post", "--group", open}, exitInput, "nothing to post"},
		{[]string{"post", "--group", open, strings.Repeat("x", node.MaxPost+1)}, exitInput, "at most 65536 bytes"},
		{[]string{"post", "--group", open, "--join-timeout", "50ms", "x"}, exitUnreachable, "no introducer answered"},
	} {
		code, _, stderr := command(t, "", append(c.args, boot...)...)
		if code != c.code || !strings.Contains(stderr, c.want) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%v: got exit code %d, %q; want %d and %q", c.args[:1], code, stderr, c.code, c.want)
		}
	}
	code, _, stderr := command(t, "", "post", "--group", open, "--listen", "127.0.0.1:0", "--identity", "none", "--join-timeout", "50ms", "x")
	if code != exitUnreachable || !strings.Contains(stderr, "no other member") {
		t.Errorf("alone: got exit code %d, %q", code, stderr)
	}
}

// watched is what a command prints, to be waited for.
type watched struct {
	mu   sync.Mutex
	buf  bytes.Buffer
	news chan struct{}
}

func (w *watched) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.buf.Write(b)
	select {
	case w.news <- struct{}{}:
	default:
	}
	return len(b), nil
}

// wait returns when the text has been printed.
func (w *watched) wait(ctx context.Context, t *testing.T, text string) {
	t.Helper()
	for {
		w.mu.Lock()
		all := w.buf.String()
		w.mu.Unlock()
		if strings.Contains(all, text) {
			return
		}
		select {
		case <-w.news:
		case <-ctx.Done():
			t.Fatalf("%q was not printed, but:\n%s", text, all)
		}
	}
}

// Two people talk; one with the same name as another is told apart.
func TestChat(t *testing.T) {
	spec, url := startSeed(t, group.SpecFields{})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	type person struct {
		in   *io.PipeWriter
		out  *watched
		code chan int
	}
	join := func(name string) person {
		r, w := io.Pipe()
		p := person{w, &watched{news: make(chan struct{}, 1)}, make(chan int, 1)}
		e := &env{stdin: r, stdout: p.out, console: newConsole(io.Discard, false)}
		go func() {
			p.code <- run(ctx, e, []string{"chat", "--group", spec, "--bootstrap", url, "--identity", "none",
				"--listen", "127.0.0.1:0", "--name", name})
		}()
		return p
	}
	ann := join("Ann")
	bob := join("Bob")
	ann.out.wait(ctx, t, "* Bob is here")
	io.WriteString(bob.in, "hello \x1b[31mAnn\n")
	ann.out.wait(ctx, t, " Bob: hello \uFFFD[31mAnn\n")
	io.WriteString(ann.in, "hello Bob\n/me waves\n/names\n/what\n")
	ann.out.wait(ctx, t, "There are /names")
	bob.out.wait(ctx, t, " Ann: hello Bob\n")
	bob.out.wait(ctx, t, " * Ann waves\n")
	ann.out.wait(ctx, t, "here: Ann, Bob\n")

	impostor := join("bob")
	impostor.out.wait(ctx, t, ": hello \uFFFD[31mAnn\n") // the history
	io.WriteString(impostor.in, "pay me\n")
	ann.out.wait(ctx, t, " bob#")
	for _, p := range []person{impostor, bob, ann} {
		io.WriteString(p.in, "/quit\n")
		if code := <-p.code; code != exitOK {
			t.Errorf("exit code %d", code)
		}
	}
	ann.out.wait(ctx, t, "has gone")
}
