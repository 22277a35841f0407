package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rtmfp/group"
)

// command runs a command line as main would, with these bytes on stdin.
func command(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	t.Setenv("HOME", t.TempDir())
	var out, errs bytes.Buffer
	e := &env{stdin: strings.NewReader(stdin), stdout: &out, console: newConsole(&errs, false)}
	code = run(context.Background(), e, args)
	return code, out.String(), errs.String()
}

// testSpec makes a groupspec that carries streams.
func testSpec(t *testing.T, f group.SpecFields) string {
	t.Helper()
	if f.Name == "" {
		f.Name = "party"
	}
	s, err := group.NewSpec(f)
	if err != nil {
		t.Fatal(err)
	}
	return s.String()
}

// TestWrongCommandLines checks that everything that can be known to be wrong
// before a node starts is one line on stderr that says what to do, with the
// exit code that belongs to it.
func TestWrongCommandLines(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	streams := testSpec(t, group.SpecFields{Multicast: true, ServerChannel: true})
	posts := testSpec(t, group.SpecFields{Posting: true})
	locked := testSpec(t, group.SpecFields{Multicast: true, PublishPassword: group.HashPassword("x", []byte("salt"))})
	text := file("text.ts", strings.Repeat("this is no video ", 200_000))
	taken := file("identity", "no identity at all")
	boot := "--bootstrap=rtmfp://127.0.0.1:9"

	for _, tt := range []struct {
		name string
		args []string
		code int
		want []string // parts of the line
	}{
		{"no such command", []string{"fly"}, exitUsage, []string{"fly", "rtmfp-node --help"}},
		{"no such flag", []string{"play", "--fast"}, exitUsage, []string{"--fast", "rtmfp-node play --help"}},
		{"group without a name", []string{"group", "new"}, exitUsage, []string{"--name"}},
		{"groupspec version", []string{"group", "new", "--name=x", "--spec-version=3"}, exitUsage, []string{"--spec-version"}},
		{"empty name", []string{"group", "new", "--name="}, exitUsage, []string{"name"}},
		{"bad groupspec", []string{"group", "show", "G:zz"}, exitUsage, []string{"groupspec"}},
		{"bad groupspec to play", []string{"play", "--group=hello", "--stream=s", boot, "-o-"}, exitUsage, []string{"--group", "groupspec"}},
		{"groupspec file is missing", []string{"group", "show", "@" + dir + "/none"}, exitUsage, []string{"none", "no such file"}},
		{"bad URL", []string{"play", "--group", streams, "--stream=s", "--bootstrap=http://x", "-o-"}, exitUsage, []string{"http://x", "rtmfp://HOST"}},
		{"bad port", []string{"run", "--group", streams, "--bootstrap=rtmfp://x:99999"}, exitUsage, []string{"rtmfp://x:99999", "port"}},
		{"play without an introducer", []string{"play", "--group", streams, "--stream=s", "-o-"}, exitUsage, []string{"--bootstrap"}},
		{"play to nowhere", []string{"play", "--group", streams, "--stream=s", boot}, exitUsage, []string{"-o FILE", "--http"}},
		{"play two things to stdout", []string{"play", "--group", streams, "--stream=s", boot, "-o-", "--stats=-"}, exitUsage, []string{"stdout"}},
		{"play for less than no time", []string{"play", "--group", streams, "--stream=s", boot, "-o-", "--duration=-1s"}, exitUsage, []string{"--duration"}},
		{"play what is to come", []string{"play", "--group", streams, "--stream=s", boot, "-o-", "--back=-1s"}, exitUsage, []string{"--back"}},
		{"keep so much without a time", []string{"run", "--group", streams, "--keep-bytes=1G"}, exitUsage, []string{"--keep-bytes", "--keep-window"}},
		{"keep too much", []string{"run", "--group", streams, "--keep-window=1h", "--keep-bytes=3G"}, exitUsage, []string{"--keep-bytes", "2G"}},
		{"keep too much on disk", []string{"run", "--group", streams, "--keep-window=1h", "--keep-bytes=60G", "--keep-dir", dir}, exitUsage, []string{"--keep-bytes", "48G"}},
		{"keep for too long", []string{"run", "--group", streams, "--keep-window=169h"}, exitUsage, []string{"--keep-window", "168h"}},
		{"keep on disk without a time", []string{"run", "--group", streams, "--keep-dir", dir}, exitUsage, []string{"--keep-dir", "--keep-window"}},
		{"keep so many streams without a folder", []string{"run", "--group", streams, "--keep-window=1h", "--keep-streams=2"}, exitUsage, []string{"--keep-streams", "--keep-dir"}},
		{"keep in a file", []string{"run", "--group", streams, "--keep-window=1h", "--keep-dir", text}, exitFailure, []string{"--keep-dir", text, "folder that can be written to"}},
		{"play in a group without streams", []string{"play", "--group", posts, "--stream=s", boot, "-o-"}, exitUsage, []string{"no streams", "--multicast"}},
		{"play to a folder", []string{"play", "--group", streams, "--stream=s", boot, "-o", dir}, exitFailure, []string{dir, "can't write"}},
		{"play figures to a folder that is missing", []string{"play", "--group", streams, "--stream=s", boot, "--stats", dir + "/none/f.json"}, exitFailure, []string{"figures", "none/f.json"}},
		{"play figures to a folder", []string{"play", "--group", streams, "--stream=s", boot, "--stats", dir}, exitFailure, []string{"figures", dir}},
		{"publish figures to a folder that is missing", []string{"publish", "--group", streams, "--stream=s", boot, "--stats", dir + "/none/f.json", text}, exitFailure, []string{"figures", "none/f.json"}},
		{"listen nowhere", []string{"run", "--group", streams, "--identity=none", "--listen=here"}, exitUsage, []string{"--listen", "here", "HOST:PORT"}},
		{"listen on no port", []string{"run", "--group", streams, "--identity=none", "--listen=127.0.0.1:99999"}, exitUsage, []string{"--listen", "99999"}},
		{"HTTP nowhere", []string{"play", "--group", streams, "--stream=s", boot, "--http=here"}, exitUsage, []string{"--http", "here", "HOST:PORT"}},
		{"stream without a name", []string{"play", "--group", streams, "--stream=", boot, "-o-"}, exitUsage, []string{"--stream"}},
		{"join timeout", []string{"play", "--group", streams, "--stream=s", boot, "-o-", "--join-timeout=0s"}, exitUsage, []string{"--join-timeout"}},
		{"upload limit", []string{"play", "--group", streams, "--stream=s", boot, "-o-", "--upload-limit=fast"}, exitUsage, []string{"fast", "20M"}},
		{"identity that is none", []string{"run", "--group", streams, "--identity", taken}, exitFailure, []string{taken, "identity"}},
		{"publish without the password", []string{"publish", "--group", locked, "--stream=s", boot, text}, exitUsage, []string{"password"}},
		{"input is missing", []string{"publish", "--group", streams, "--stream=s", boot, dir + "/none.ts"}, exitInput, []string{"none.ts", "no such file"}},
		{"input is a folder", []string{"publish", "--group", streams, "--stream=s", boot, dir}, exitInput, []string{dir, "folder"}},
		{"input is no MPEG-TS", []string{"publish", "--group", streams, "--stream=s", boot, text}, exitInput, []string{text, "ffmpeg"}},
		{"loop over stdin", []string{"publish", "--group", streams, "--stream=s", boot, "--loop", "-"}, exitUsage, []string{"--loop", "stdin"}},
		{"demo without viewers", []string{"demo", "--viewers=0"}, exitUsage, []string{"--viewers"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, stdout, stderr := command(t, "", tt.args...)
			if code != tt.code {
				t.Errorf("exit code: got %d, want %d", code, tt.code)
			}
			if stdout != "" {
				t.Errorf("stdout: got %q, want nothing", stdout)
			}
			if n := strings.Count(stderr, "\n"); n != 1 || !strings.HasPrefix(stderr, "rtmfp-node: ") {
				t.Errorf("stderr: got %d lines, want one that begins with the program's name:\n%s", n, stderr)
			}
			for _, w := range tt.want {
				if !strings.Contains(stderr, w) {
					t.Errorf("stderr: got %q, want it to mention %q", stderr, w)
				}
			}
		})
	}
}

func TestVersion(t *testing.T) {
	code, stdout, _ := command(t, "", "version")
	if code != exitOK || !strings.HasPrefix(stdout, "rtmfp-node ") || strings.Count(stdout, "\n") != 1 {
		t.Errorf("got exit code %d and %q, want 0 and one line", code, stdout)
	}
}

// TestGroup makes groupspecs and has them explained.
func TestGroup(t *testing.T) {
	code, made, stderr := command(t, "", "group", "new", "--name", "tv", "--publish-password", "secret")
	if code != exitOK {
		t.Fatalf("group new: exit code %d: %s", code, stderr)
	}
	s, err := group.ParseSpec(made)
	if err != nil {
		t.Fatal(err)
	}
	if !s.Multicast || !s.ServerChannel || s.Posting || s.Name != "tv" || !s.MayPublish() {
		t.Errorf("got %+v, want streams, the server channel, and leave to publish", s.SpecFields)
	}

	code, shown, _ := command(t, "", "group", "show", strings.TrimSpace(made))
	if code != exitOK || !strings.Contains(shown, "tv") || strings.Contains(shown, "secret") {
		t.Errorf("group show: got exit code %d and\n%s\nwant the name and no password", code, shown)
	}

	file := filepath.Join(t.TempDir(), "group")
	if err := os.WriteFile(file, []byte(made), 0o600); err != nil {
		t.Fatal(err)
	}
	code, public, _ := command(t, "", "group", "show", "--public", "@"+file)
	p, err := group.ParseSpec(public)
	if code != exitOK || err != nil {
		t.Fatalf("group show --public: exit code %d, %v", code, err)
	}
	if p.ID() != s.ID() || p.MayPublish() {
		t.Errorf("group show --public: got leave to publish %v, same group %v; want false, true", p.MayPublish(), p.ID() == s.ID())
	}

	_, first, _ := command(t, "", "group", "new", "--name", "tv", "--posting")
	_, second, _ := command(t, "", "group", "new", "--name", "tv", "--posting")
	if s, err := group.ParseSpec(first); err != nil || s.Multicast || !s.Posting || first != second {
		t.Errorf("group new --posting: got %q then %q (%v), want the same group twice, for posts alone", first, second, err)
	}
	_, third, _ := command(t, "", "group", "new", "--name", "tv", "--posting", "--unique")
	if third == first {
		t.Error("group new --unique: got the same group as without")
	}
}
