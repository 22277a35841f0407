package node_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rtmfp/node"
	"rtmfp/node/store"
	"rtmfp/replication/content"
)

// website serves one file and counts the bytes of it that it sends.
type website struct {
	*httptest.Server
	sent     atomic.Int64
	requests atomic.Int64
}

func serveFile(t *testing.T, data []byte, change func(w http.ResponseWriter, r *http.Request) bool) *website {
	s := &website{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests.Add(1)
		if change != nil && change(w, r) {
			return
		}
		http.ServeContent(&countingWriter{w, &s.sent}, r, "x", time.Time{}, bytes.NewReader(data))
	}))
	t.Cleanup(s.Close)
	return s
}

type countingWriter struct {
	http.ResponseWriter
	n *atomic.Int64
}

func (w *countingWriter) Write(p []byte) (int, error) {
	w.n.Add(int64(len(p)))
	return w.ResponseWriter.Write(p)
}

// withOrigins runs a node with an empty store, or the one given, that may ask
// servers on this machine.
func withOrigins(t *testing.T, spec string, s *store.Store, bootstrap ...string) (*node.Node, *node.Group) {
	t.Helper()
	if s == nil {
		var err error
		if s, err = store.Open(t.TempDir(), store.Options{}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
	}
	return joined(t, spec, node.Config{Store: s, PrivateOrigins: true}, bootstrap...)
}

// getAll has groups fetch a file at the same time.
func getAll(t *testing.T, want []byte, m node.Manifest, groups ...*node.Group) (fromOrigins uint64) {
	t.Helper()
	ctx := testContext(t)
	var wg sync.WaitGroup
	var sum atomic.Uint64
	for _, g := range groups {
		wg.Go(func() {
			f, err := g.Objects().OpenManifest(ctx, m)
			if err != nil {
				t.Error(err)
				return
			}
			defer f.Close()
			if err := f.Wait(ctx); err != nil {
				t.Error(err)
				return
			}
			if got, err := io.ReadAll(f); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
			sum.Add(f.Stats().FromOrigins)
		})
	}
	wg.Wait()
	return sum.Load()
}

// A swarm none of which has any of a file asks its origin for about one copy.
func TestSwarmBeforeOrigin(t *testing.T) {
	spec := filesSpec(t)
	dir := t.TempDir()
	data := randomFile(t, filepath.Join(dir, "x"), 4<<20+999)
	web := serveFile(t, data, nil)
	first, g0 := withOrigins(t, spec, nil)
	groups := []*node.Group{g0}
	for range 5 {
		_, g := withOrigins(t, spec, nil, urlOf(first))
		groups = append(groups, g)
	}
	m := node.Manifest{Name: "x", Size: int64(len(data)), Hash: content.Sum(data), Origins: []string{web.URL + "/x"}}
	from := getAll(t, data, m, groups...)
	// On a machine that is busy for seconds somebody's claim may be seen late; six
	// copies would be those of a swarm without claims.
	if sent := web.sent.Load(); sent > int64(len(data))*7/2 {
		t.Errorf("the origin sent %.2f copies to %d members", float64(sent)/float64(len(data)), len(groups))
	} else {
		t.Logf("the origin sent %.2f copies to %d members, in %d requests", float64(sent)/float64(len(data)), len(groups), web.requests.Load())
	}
	if from < uint64(len(data)) {
		t.Errorf("%d bytes came from origins", from)
	}
}

// What some members have comes from them, and only the rest of the origin, in
// the order in which it is read.
func TestOriginForTheRest(t *testing.T) {
	spec := filesSpec(t)
	dir := t.TempDir()
	const blocks = 64
	data := randomFile(t, filepath.Join(dir, "x"), blocks*content.BlockSize)
	web := serveFile(t, data, nil)
	m := node.Manifest{Name: "x", Size: int64(len(data)), Hash: content.Sum(data), Origins: []string{web.URL}}
	s, err := store.Open(t.TempDir(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	if _, err := s.Create(m); err != nil {
		t.Fatal(err)
	}
	tree, err := content.Build(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	const have = blocks / 2
	for i := range have { // with these come the hashes of all
		proof, _ := tree.AppendProof(nil, 2*i, 24)
		if err := s.WriteBlock(m.Hash, 2*i, data[2*i*content.BlockSize:][:content.BlockSize], proof); err != nil {
			t.Fatal(err)
		}
	}
	first, g0 := withOrigins(t, spec, s)
	_, g1 := withOrigins(t, spec, nil, urlOf(first))
	getAll(t, data, m, g0, g1)
	if sent := web.sent.Load(); sent > have*content.BlockSize*3/2 {
		t.Errorf("the origin sent %d bytes, of which %d were nowhere else", sent, have*content.BlockSize)
	}
}

// Origins that lie, or are gone, cost nothing but time, and what a member
// brings later is taken.
func TestBadOrigins(t *testing.T) {
	spec := filesSpec(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "x")
	data := randomFile(t, path, 1<<20+5)
	wrong := bytes.Clone(data)
	wrong[len(wrong)/2]++
	asked := make(chan struct{}, 100)
	liar := serveFile(t, wrong, func(http.ResponseWriter, *http.Request) bool {
		asked <- struct{}{}
		return false
	})
	gone := serveFile(t, data, nil)
	gone.Close()
	plain := serveFile(t, data, func(w http.ResponseWriter, r *http.Request) bool { // without ranges
		r.Header.Del("Range")
		return false
	})
	m := node.Manifest{Name: "x", Size: int64(len(data)), Hash: content.Sum(data), Origins: []string{liar.URL, gone.URL, plain.URL}}
	first, g0 := withOrigins(t, spec, nil)
	getAll(t, data, m, g0)

	m.Origins = m.Origins[:2]
	_, g1 := withOrigins(t, filesSpec(t), nil) // in a group of its own
	f, err := g1.Objects().OpenManifest(testContext(t), m)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for len(asked) > 0 {
		<-asked // of the other node
	}
	select {
	case <-asked:
	case <-testContext(t).Done():
		t.Fatal("the origin was not asked")
	}
	if st := f.Stats(); st.Have != 0 || st.DiskFailures != nil {
		t.Errorf("%+v", st)
	}
	first.Close()
}

// A node that is not to ask origins does not.
func TestNoOrigins(t *testing.T) {
	spec := filesSpec(t)
	path := filepath.Join(t.TempDir(), "x")
	data := randomFile(t, path, 200_000)
	web := serveFile(t, data, nil)
	first, g0 := withStore(t, spec, t.TempDir()) // which does not ask private ones
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	m := node.Manifest{Name: "x", Size: int64(len(data)), Hash: content.Sum(data), Origins: []string{web.URL}}
	f, err := g0.Objects().OpenManifest(ctx, m)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	_, g1 := withOrigins(t, spec, nil, urlOf(first))
	getAll(t, data, m, g1)
	if err := f.Wait(ctx); err != nil { // of the member that may ask
		t.Fatal(err)
	}
	if st := f.Stats(); st.FromOrigins != 0 {
		t.Errorf("%+v", st)
	}
}
