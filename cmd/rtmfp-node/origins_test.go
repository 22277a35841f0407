package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"rtmfp/group"
	"rtmfp/node"
)

// introducer runs a node of the group that others can come to, and returns its
// URL.
func introducer(t *testing.T, spec string) string {
	t.Helper()
	n, err := node.Start(t.Context(), node.Config{Listen: "127.0.0.1:0", Introduce: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	if _, err := n.Join(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	return "rtmfp://" + n.Addr().String()
}

// A link names the web server that has the same file or folder, which is asked
// when nobody shares it any more, but only if that is allowed.
func TestShareWithOrigin(t *testing.T) {
	spec := testSpec(t, group.SpecFields{Replication: true, ServerChannel: true})
	dir := t.TempDir()
	want := testFile(t, filepath.Join(dir, "www", "a talk.mp4"), 700_000)
	testFile(t, filepath.Join(dir, "www", "more", "b#.bin"), 70_000)
	var requests atomic.Int64
	files := http.FileServer(http.Dir(filepath.Join(dir, "www")))
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		files.ServeHTTP(w, r)
	}))
	t.Cleanup(web.Close)
	seed := introducer(t, spec)
	common := []string{"--listen", "127.0.0.1:0", "--identity", "none"}
	share := append([]string{"--group", spec, "--bootstrap", seed, "--store", filepath.Join(dir, "s1")}, common...)
	var file, folder string
	t.Run("share", func(t *testing.T) { // it ends with this
		file = startShare(t, 1, append(share, "--origin", web.URL+"/a%20talk.mp4", filepath.Join(dir, "www", "a talk.mp4"))...)[0]
	})
	t.Run("share", func(t *testing.T) {
		folder = startShare(t, 1, append(share, "--origin", web.URL+"/", filepath.Join(dir, "www"))...)[0]
		// The list itself is with its maker: a web server has only what is listed.
		code, _, stderr := command(t, "", append([]string{"get", "--store", filepath.Join(dir, "s2"), "-o", filepath.Join(dir, "with"), folder}, common...)...)
		if code != exitOK || requests.Load() != 0 {
			t.Errorf("get a folder: exit code %d, %q, %d requests", code, stderr, requests.Load())
		}
	})
	get := append([]string{"get", "--store", filepath.Join(dir, "s3"), "-o", filepath.Join(dir, "got"), file}, common...)
	if code, _, stderr := command(t, "", append(get, "--wait", "3s")...); code != exitNoStream || requests.Load() != 0 {
		t.Errorf("get from a private origin: exit code %d, %q, %d requests", code, stderr, requests.Load())
	}
	code, _, stderr := command(t, "", append(get, "--private-origins")...)
	if got, err := os.ReadFile(filepath.Join(dir, "got")); code != exitOK || err != nil || !bytes.Equal(got, want) {
		t.Errorf("get from the origin: exit code %d, %q, %d bytes, %v", code, stderr, len(got), err)
	}
	if requests.Load() == 0 || !strings.Contains(file, "&origin=http://") {
		t.Errorf("%d requests, %s", requests.Load(), file)
	}
}
