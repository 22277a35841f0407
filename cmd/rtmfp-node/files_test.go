package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rtmfp/group"
	"rtmfp/node"
	"rtmfp/replication/content"
)

// testFile makes a file of random bytes.
func testFile(t *testing.T, path string, size int) []byte {
	t.Helper()
	b := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{byte(size), byte(size >> 8)}).Read(b)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return b
}

// startShare runs share until the test ends, and returns the lines that it
// prints, one for each path.
func startShare(t *testing.T, paths int, args ...string) []string {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	out, in := io.Pipe()
	var stderr bytes.Buffer
	done := make(chan int, 1)
	go func() {
		defer in.Close()
		done <- run(ctx, &env{stdin: strings.NewReader(""), stdout: in, console: newConsole(&stderr, false)}, append([]string{"share"}, args...))
	}()
	t.Cleanup(func() {
		cancel()
		if code := <-done; code != exitOK {
			t.Errorf("share: exit code %d, %q", code, stderr.String())
		}
	})
	lines := bufio.NewScanner(out)
	var links []string
	for len(links) < paths && lines.Scan() {
		links = append(links, lines.Text())
	}
	if len(links) < paths {
		t.Fatalf("%d links", len(links))
	}
	return links
}

// What one process shares, another gets by the link alone: to a file, into a
// folder, to stdout, and by the name under which it was published.
func TestShareAndGet(t *testing.T) {
	spec := testSpec(t, group.SpecFields{Replication: true, ServerChannel: true})
	dir := t.TempDir()
	want := testFile(t, filepath.Join(dir, "my talk.mp4"), 700_000)
	a := testFile(t, filepath.Join(dir, "album", "a.jpg"), 5000)
	b := testFile(t, filepath.Join(dir, "album", "more", "b.jpg"), 70_000)
	id := filepath.Join(dir, "id")
	identity, err := node.LoadIdentity(id)
	if err != nil {
		t.Fatal(err)
	}
	common := []string{"--group", spec, "--listen", "127.0.0.1:0", "--store", filepath.Join(dir, "s1")}
	links := startShare(t, 2, append(common, "--identity", "none", filepath.Join(dir, "my talk.mp4"), filepath.Join(dir, "album"))...)
	link, err := content.ParseLink(links[0])
	if err != nil || link.Name != "my talk.mp4" || len(link.Introducers) != 1 {
		t.Fatalf("%+v, %v", link, err)
	}
	get := func(args ...string) (int, string, string) {
		return command(t, "", append([]string{"get", "--identity", "none", "--listen", "127.0.0.1:0", "--store", filepath.Join(dir, "s2")}, args...)...)
	}
	path := filepath.Join(dir, "got.mp4")
	code, stdout, stderr := get("--json", links[0], "-o", path)
	var r getReport
	if err := json.Unmarshal([]byte(stdout), &r); code != exitOK || err != nil || r.Path != path || r.Size != int64(len(want)) || r.Members != 1 {
		t.Fatalf("get: exit code %d, %q, %+v, %v", code, stderr, r, err)
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	if code, _, stderr := get(links[0], "-o", path); code != exitFailure || !strings.Contains(stderr, "is there already") {
		t.Errorf("get over a file: exit code %d, %q", code, stderr)
	}
	// It lies at the path and in no copy, so that nothing has to come again.
	if code, stdout, stderr := get(links[0], "--verify", "-o", "-"); code != exitOK || stdout != string(want) {
		t.Errorf("get to stdout: exit code %d, %d bytes, %q", code, len(stdout), stderr)
	}
	code, _, stderr = get(links[1], "-o", dir+"/copy")
	if code != exitOK || !strings.Contains(stderr, "got album") {
		t.Fatalf("get a folder: exit code %d, %q", code, stderr)
	}
	for name, w := range map[string][]byte{"a.jpg": a, "more/b.jpg": b} {
		if got, err := os.ReadFile(filepath.Join(dir, "copy", name)); err != nil || !bytes.Equal(got, w) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
	url := link.Introducers[0]
	published := startShare(t, 1, "--group", spec, "--listen", "127.0.0.1:0", "--store", filepath.Join(dir, "s3"), "--identity", id,
		"--bootstrap", url, "--publish", "album", filepath.Join(dir, "album", "a.jpg"))
	name := fmt.Sprintf("album@%s", identity.PeerID())
	code, stdout, stderr = get("--group", spec, "--bootstrap", url, name, "-o", "-")
	if code != exitOK || stdout != string(a) || published[0] == "" {
		t.Errorf("get by name: exit code %d, %d bytes, %q", code, len(stdout), stderr)
	}
}

// The store is listed, pinned, checked, and emptied.
func TestStoreCommands(t *testing.T) {
	spec := testSpec(t, group.SpecFields{Replication: true, ServerChannel: true})
	dir := t.TempDir()
	testFile(t, filepath.Join(dir, "x.bin"), 200_000)
	kept := filepath.Join(dir, "store")
	links := func() (links []string) {
		t.Run("share", func(t *testing.T) { // it ends with this
			links = startShare(t, 1, "--group", spec, "--listen", "127.0.0.1:0", "--store", kept, "--identity", "none", "--copy", filepath.Join(dir, "x.bin"))
			if code, _, stderr := command(t, "", "store", "ls", "--store", kept); code != exitBusy || !strings.Contains(stderr, "another process") {
				t.Errorf("a store in use: exit code %d, %q", code, stderr)
			}
		})
		return links
	}()
	storeCmd := func(args ...string) (int, string, string) {
		return command(t, "", append([]string{"store"}, append(args, "--store", kept)...)...)
	}
	list := func() (r fileReport) {
		t.Helper()
		code, stdout, stderr := storeCmd("ls", "--json")
		if code != exitOK || stdout != "" && json.Unmarshal([]byte(stdout), &r) != nil {
			t.Fatalf("ls: exit code %d, %q, %q", code, stdout, stderr)
		}
		return r
	}
	r := list()
	if r.Name != "x.bin" || r.Size != 200_000 || r.Have != r.Size || !r.Pinned || r.Path != "" {
		t.Fatalf("%+v", r)
	}
	if code, _, stderr := storeCmd("unpin", links[0]); code != exitOK || list().Pinned {
		t.Errorf("unpin: exit code %d, %q", code, stderr)
	}
	if code, _, stderr := storeCmd("verify", r.Hash); code != exitOK || !strings.Contains(stderr, "4 blocks of 1 files are good") {
		t.Errorf("verify: exit code %d, %q", code, stderr)
	}
	data := filepath.Join(kept, "data", r.Hash[:2], r.Hash)
	if err := os.Chmod(data, 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(data, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte{1, 2, 3}, 70_000); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if code, _, stderr := storeCmd("verify"); code != exitFailure || !strings.Contains(stderr, "1 of 4 blocks were damaged") {
		t.Errorf("verify of a damaged file: exit code %d, %q", code, stderr)
	}
	if code, stdout, _ := storeCmd("ls"); code != exitOK || !strings.Contains(stdout, "98 %") {
		t.Errorf("ls: exit code %d, %q", code, stdout)
	}
	if code, _, stderr := storeCmd("rm", r.Hash); code != exitOK || list().Hash != "" {
		t.Errorf("rm: exit code %d, %q", code, stderr)
	}
	if code, _, stderr := storeCmd("rm", r.Hash); code != exitFailure || !strings.Contains(stderr, "store ls") {
		t.Errorf("rm of nothing: exit code %d, %q", code, stderr)
	}
	if code, _, stderr := storeCmd("gc"); code != exitOK || !strings.Contains(stderr, "became free") {
		t.Errorf("gc: exit code %d, %q", code, stderr)
	}
}

// Mistakes are answered by one line that says what to do.
func TestFileCommandErrors(t *testing.T) {
	dir := t.TempDir()
	spec := testSpec(t, group.SpecFields{Replication: true, ServerChannel: true})
	none := testSpec(t, group.SpecFields{Multicast: true})
	kept := []string{"--identity", "none", "--store", filepath.Join(dir, "s")}
	link := func(l content.Link) string {
		text, err := l.Text()
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{append(kept, "share", "--group", none, dir), exitUsage, "--replication"},
		{append(kept, "share", "--group", spec, "--listen", "127.0.0.1:0", filepath.Join(dir, "missing")), exitInput, "no such file"},
		{append(kept, "share", "--group", spec, "--name", "x", dir, dir), exitUsage, "one file or folder"},
		{append(kept, "get", "--s3", "http://example.org/x", "x"), exitUsage, "https://ENDPOINT/BUCKET/"},
		{append(kept, "share", "--group", spec, "--s3", "http://example.org/x/", dir), exitUsage, "AWS_ACCESS_KEY_ID"},
		{append(kept, "share", "--group", spec, "--qr", "x.png", dir, dir), exitUsage, "--qr"},
		{append(kept, "get", "http://example.org/x"), exitUsage, "link"},
		{append(kept, "get", "x@12"), exitUsage, "64 hexadecimal digits"},
		{append(kept, "get", link(content.Link{Name: "x", Size: 5})), exitUsage, "--group"},
		{append(kept, "get", link(content.Link{Name: "x", Size: 5, Group: spec})), exitUsage, "--bootstrap"},
		{append(kept, "get", link(content.Link{Name: "x", Size: 5, Group: none, Introducers: []string{"rtmfp://127.0.0.1:9"}})), exitUsage, "--replication"},
		{append(kept, "store", "verify", strings.Repeat("0", 64)), exitFailure, "store ls"},
		{append(kept, "store", "ls", "--quota", "many"), exitUsage, "not a size"},
	} {
		args := c.args[4:] // flags go behind the command
		if args[0] == "store" {
			args = append(args, c.args[2:4]...)
		} else {
			args = append(args, c.args[:4]...)
		}
		code, stdout, stderr := command(t, "", args...)
		if code != c.code || stdout != "" || !strings.Contains(stderr, c.want) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%v: exit code %d, %q, want %d and %q", args, code, stderr, c.code, c.want)
		}
	}
	// Nobody has it.
	code, _, stderr := command(t, "", "share", "--help")
	if code != exitOK || stderr != "" {
		t.Errorf("help: %d, %q", code, stderr)
	}
	holder := startShare(t, 1, append([]string{"--group", spec, "--listen", "127.0.0.1:0"}, append(kept, smallFile(t, dir))...)...)
	l, err := content.ParseLink(holder[0])
	if err != nil {
		t.Fatal(err)
	}
	l.Hash[0]++
	code, _, stderr = command(t, "", "get", "--identity", "none", "--listen", "127.0.0.1:0", "--store", filepath.Join(dir, "other"), "--wait", "300ms", "-o", dir+"/y", link(*l))
	if code != exitNoStream || !strings.Contains(stderr, "is somebody sharing it") {
		t.Errorf("a file that nobody has: exit code %d, %q", code, stderr)
	}
}

func smallFile(t *testing.T, dir string) string {
	t.Helper()
	testFile(t, filepath.Join(dir, "small"), 100)
	return filepath.Join(dir, "small")
}

// A node with a store gives files over HTTP: what it has, what members have, by
// hash and by name, and takes them from whoever has the token.
func TestRunServesFiles(t *testing.T) {
	spec := testSpec(t, group.SpecFields{Replication: true, ServerChannel: true})
	dir := t.TempDir()
	want := testFile(t, filepath.Join(dir, "talk.mp4"), 300_000)
	link, err := content.ParseLink(startShare(t, 1, "--group", spec, "--listen", "127.0.0.1:0", "--store", filepath.Join(dir, "s1"), "--identity", "none", filepath.Join(dir, "talk.mp4"))[0])
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	out, in := io.Pipe()
	notices, errs := io.Pipe()
	done := make(chan int, 1)
	go func() {
		defer in.Close()
		defer errs.Close()
		done <- run(ctx, &env{stdin: strings.NewReader(""), stdout: in, console: newConsole(errs, false)}, []string{
			"run", "--group", spec, "--listen", "127.0.0.1:0", "--store", filepath.Join(dir, "s2"), "--identity", "none",
			"--bootstrap", link.Introducers[0], "--http", "127.0.0.1:0", "--http-token", "secret",
		})
	}()
	defer func() {
		cancel()
		go io.Copy(io.Discard, notices)
		if code := <-done; code != exitOK {
			t.Errorf("run: exit code %d", code)
		}
	}()
	go io.Copy(io.Discard, out)
	var base string
	lines := bufio.NewScanner(notices)
	for lines.Scan() {
		if _, url, ok := strings.Cut(lines.Text(), "files at "); ok {
			base = strings.TrimSuffix(url, "/files/")
			break
		}
	}
	go io.Copy(io.Discard, notices)
	request := func(method, path, token string, body io.Reader, header ...string) (int, string) {
		t.Helper()
		r, err := http.NewRequest(method, base+path, body)
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		for i := 0; i+1 < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(b)
	}
	path := fmt.Sprintf("/files/%s/talk.mp4?size=%d", link.Hash, link.Size)
	if code, got := request("GET", path, "", nil, "Range", "bytes=200000-200099"); code != http.StatusPartialContent || got != string(want[200000:200100]) {
		t.Errorf("a range of what a member has: %d, %d bytes", code, len(got))
	}
	if code, got := request("GET", path, "", nil); code != http.StatusOK || got != string(want) {
		t.Errorf("all of it: %d, %d bytes", code, len(got))
	}
	if code, _ := request("PUT", "/files/note.txt", "wrong", strings.NewReader("hello")); code != http.StatusUnauthorized {
		t.Errorf("a wrong token: %d", code)
	}
	code, answer := request("PUT", "/files/note.txt", "secret", strings.NewReader("hello"))
	var put struct{ Hash, Path string }
	if err := json.Unmarshal([]byte(answer), &put); err != nil || code != http.StatusCreated {
		t.Fatalf("put: %d, %q", code, answer)
	}
	if code, got := request("GET", put.Path, "", nil); code != http.StatusOK || got != "hello" {
		t.Errorf("what was put: %d, %q", code, got)
	}
	if code, got := request("GET", "/files/", "", nil); code != http.StatusOK || !strings.Contains(got, "note.txt") || !strings.Contains(got, "talk.mp4") {
		t.Errorf("the list: %d, %q", code, got)
	}
	if code, _ := request("GET", "/files/"+strings.Repeat("0", 64), "", nil); code != http.StatusNotFound {
		t.Errorf("an unknown hash: %d", code)
	}
}
