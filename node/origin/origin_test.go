package origin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"rtmfp/node/store"
	"rtmfp/replication/content"
)

var ctx = context.Background()

// site serves data, and counts requests by their Range.
type site struct {
	data []byte

	mu     sync.Mutex
	ranges []string
	server *httptest.Server
}

func newSite(t *testing.T, data []byte, answer http.HandlerFunc) *site {
	s := &site{data: data}
	s.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.ranges = append(s.ranges, r.Header.Get("Range"))
		s.mu.Unlock()
		if answer != nil {
			answer(w, r)
			return
		}
		http.ServeContent(w, r, "x", time.Time{}, bytes.NewReader(s.data))
	}))
	t.Cleanup(s.server.Close)
	return s
}

func (s *site) asked() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := strings.Join(s.ranges, " ")
	s.ranges = nil
	return all
}

func randomData(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(n)}).Read(b)
	return b
}

// fetching returns a store with room for a file, of which it has one block and
// so some hashes.
func fetching(t *testing.T, data []byte, known int, origins ...string) (*store.Store, content.Manifest) {
	t.Helper()
	s, err := store.Open(t.TempDir(), store.Options{SyncInterval: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	m := content.Manifest{Name: "x", Size: int64(len(data)), Hash: content.Sum(data), Origins: origins}
	if _, err := s.Create(m); err != nil {
		t.Fatal(err)
	}
	tree, err := content.Build(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	for i := range known {
		proof, _ := tree.AppendProof(nil, 2*i, 24)
		if err := s.WriteBlock(m.Hash, 2*i, data[2*i*content.BlockSize:][:content.BlockSize], proof); err != nil {
			t.Fatal(err)
		}
	}
	return s, m
}

func have(t *testing.T, s *store.Store, h content.Hash) string {
	t.Helper()
	r, err := s.Have(h)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(r)
}

// Blocks whose hashes are known come by range.
func TestRanges(t *testing.T) {
	data := randomData(200*content.BlockSize - 100)
	web := newSite(t, data, nil)
	s, m := fetching(t, data, 100, web.server.URL+"/x") // all hashes, every other block
	c := New(Options{Private: true})
	defer c.Close()
	if err := c.Fetch(ctx, s, m, store.Range{From: 3, To: 6}, nil); err != nil {
		t.Fatal(err)
	}
	if got := web.asked(); got != "bytes=196608-393215" {
		t.Errorf("asked for %s", got)
	}
	if got := have(t, s, m.Hash); !strings.HasPrefix(got, "[{0 1} {2 7} {8 9}") {
		t.Errorf("have %s", got)
	}
	if err := c.Fetch(ctx, s, m, store.Range{From: 0, To: 1 << 30}, nil); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(web.asked(), "bytes="); got != 4 { // 64 blocks at once
		t.Errorf("asked for %d ranges, want 4", got)
	}
	if _, damaged, err := s.Verify(ctx, m.Hash, nil); damaged != 0 || err != nil || have(t, s, m.Hash) != "[{0 200}]" {
		t.Errorf("%d damaged, %v, have %s", damaged, err, have(t, s, m.Hash))
	}
}

// Without hashes the whole file comes, if it is the right one.
func TestWhole(t *testing.T) {
	data := randomData(5*content.BlockSize + 9)
	web := newSite(t, data, nil)
	wrong := newSite(t, append(bytes.Clone(data[:len(data)-1]), 'x'), nil)
	s, m := fetching(t, data, 1, wrong.server.URL, web.server.URL)
	c := New(Options{Private: true})
	if err := c.Fetch(ctx, s, m, store.Range{From: 4, To: 5}, nil); err != nil {
		t.Fatal(err)
	}
	if got, want := wrong.asked()+web.asked(), ""; got != want {
		t.Errorf("asked for %q, want all of it", got)
	}
	if in, err := s.Info(m.Hash); err != nil || !in.Complete || len(s.List()) != 1 {
		t.Errorf("%+v, %v, %d files", in, err, len(s.List()))
	}
	if _, damaged, err := s.Verify(ctx, m.Hash, nil); damaged != 0 || err != nil {
		t.Errorf("%d damaged, %v", damaged, err)
	}
}

// What servers do wrong is their error, and nothing wrong is kept.
func TestBadServers(t *testing.T) {
	data := randomData(5*content.BlockSize + 9)
	bad := bytes.Clone(data)
	bad[3*content.BlockSize] ^= 1
	serve := func(data []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			http.ServeContent(w, r, "x", time.Time{}, bytes.NewReader(data))
		}
	}
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   error
	}{
		"wrong byte": {serve(bad), ErrBad},
		"longer":     {serve(append(bytes.Clone(data), 1)), ErrBad},
		"shorter":    {serve(data[:len(data)-1]), ErrBad},
		"404":        {http.NotFound, ErrBad},
		"broken off": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(data)))
			w.Write(data[:len(data)/2])
			panic(http.ErrAbortHandler)
		}, ErrBad},
		"other range": {func(w http.ResponseWriter, r *http.Request) {
			r.Header.Set("Range", "bytes=0-99")
			serve(data)(w, r)
		}, ErrBad},
		"compressed": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			w.Write(data)
		}, ErrBad},
		"no ranges, right": {func(w http.ResponseWriter, r *http.Request) { w.Write(data) }, nil},
		"silent": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(data)))
			w.WriteHeader(200)
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}, context.Canceled},
		"around in circles": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/x", http.StatusFound) }, errAny},
		"to a file": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "file:///etc/passwd", http.StatusFound)
		}, errAny},
	} {
		for _, known := range []int{0, 3} {
			t.Run(fmt.Sprintf("%s with %d blocks", name, known), func(t *testing.T) {
				web := newSite(t, data, c.answer)
				s, m := fetching(t, data, known, web.server.URL+"/x")
				timeout := time.Minute
				if name == "silent" {
					timeout = 20 * time.Millisecond
				}
				client := New(Options{Private: true, Timeout: timeout})
				defer client.Close()
				err := client.Fetch(ctx, s, m, store.Range{From: 1, To: 4}, nil)
				if c.want == errAny && err == nil || c.want != errAny && !errors.Is(err, c.want) {
					if name != "silent" || err == nil { // whose time may be over before it answers
						t.Errorf("got %v, want %v", err, c.want)
					}
				}
				if _, damaged, err := s.Verify(ctx, m.Hash, nil); damaged != 0 || err != nil || len(s.List()) != 1 {
					t.Errorf("%d damaged, %v, %d files", damaged, err, len(s.List()))
				}
			})
		}
	}
}

var errAny = errors.New("any error")

func TestNoOrigin(t *testing.T) {
	data := randomData(100)
	s, m := fetching(t, data, 0)
	if err := New(Options{}).Fetch(ctx, s, m, store.Range{From: 0, To: 1}, nil); !errors.Is(err, ErrNone) {
		t.Error(err)
	}
	web := newSite(t, data, nil)
	m.Origins = []string{web.server.URL}
	if err := New(Options{}).Fetch(ctx, s, m, store.Range{From: 0, To: 1}, nil); !errors.Is(err, ErrPrivate) || web.asked() != "" {
		t.Errorf("loopback: %v", err)
	}
	s.Close()
	if err := New(Options{Private: true}).Fetch(ctx, s, m, store.Range{From: 0, To: 1}, nil); !errors.Is(err, store.ErrClosed) {
		t.Errorf("the store's own error: %v", err)
	}
	over, cancel := context.WithCancel(ctx)
	cancel()
	s, m = fetching(t, data, 0, web.server.URL)
	if err := New(Options{Private: true}).Fetch(over, s, m, store.Range{From: 0, To: 1}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

func TestPublic(t *testing.T) {
	for text, want := range map[string]bool{
		"8.8.8.8": true, "2600::1": true, "127.0.0.1": false, "10.1.2.3": false, "172.16.0.1": false, "192.168.1.1": false, "169.254.169.254": false,
		"100.64.1.1": false, "0.0.0.0": false, "0.1.2.3": false, "224.0.0.1": false, "255.255.255.255": false, "::1": false, "fe80::1": false, "fd00::1": false,
		"64:ff9b::7f00:1": false, "2002:7f00:1::": false, "::": false,
	} {
		if got := isPublic(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: got %v, want %v", text, got, want)
		}
	}
}

// All bytes that come are told to the pace, which can end the fetch.
func TestPace(t *testing.T) {
	data := randomData(20*content.BlockSize + 7)
	web := newSite(t, data, nil)
	sum := 0
	c := New(Options{Private: true, Pace: func(_ context.Context, n int) error { sum += n; return nil }})
	defer c.Close()
	s, m := fetching(t, data, 0, web.server.URL)
	if err := c.Fetch(ctx, s, m, store.Range{From: 0, To: 21}, nil); err != nil || sum != len(data) {
		t.Errorf("%d bytes of %d, %v", sum, len(data), err)
	}
	over := errors.New("over")
	c.opt.Pace = func(context.Context, int) error { return over }
	s, m = fetching(t, data, 10, web.server.URL)
	if err := c.Fetch(ctx, s, m, store.Range{From: 1, To: 2}, nil); !errors.Is(err, over) {
		t.Errorf("the pace's error: %v", err)
	}
}
