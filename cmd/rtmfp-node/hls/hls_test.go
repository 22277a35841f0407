package hls

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"rtmfp/cmd/rtmfp-node/demo"
	"rtmfp/cmd/rtmfp-node/mpegts"
)

// clip returns the messages of the embedded clip.
func clip(t testing.TB) (all []Message) {
	t.Helper()
	s := mpegts.NewSplitter(mpegts.SplitterOptions{})
	err := s.Write(demo.Clip, func(m mpegts.Message) error {
		all = append(all, Message{Data: m.Data, PTS: m.PTS, Key: m.Key})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// get returns the answer to a request.
func get(s *Server, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w
}

// packets returns n packets of null content that begin with first.
func packets(n int, first byte) []byte {
	b := make([]byte, n*188)
	for i := 0; i < len(b); i += 188 {
		b[i], b[i+1], b[i+2], b[i+3], b[i+4] = 0x47, 0x1f, 0xff, 0x10, first
	}
	return b
}

func second(n int) time.Duration { return time.Duration(n) * time.Second }

// keyMessage is one that begins with the tables of the clip.
func keyMessage(at time.Duration) Message {
	return Message{Data: demo.Clip[188 : 4*188], PTS: at, Key: true}
}

func TestSegmentsOfTheClip(t *testing.T) {
	s := NewServer(Options{Segments: 4})
	all := clip(t)
	for _, m := range all {
		s.Push(m)
	}
	// 20 GOPs, of which the last is still open.
	want := "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:15\n" +
		"#EXT-X-INDEPENDENT-SEGMENTS\n" +
		"#EXTINF:1.000,\nseg15.ts\n#EXTINF:1.000,\nseg16.ts\n#EXTINF:1.000,\nseg17.ts\n#EXTINF:1.000,\nseg18.ts\n"
	w := get(s, "/index.m3u8")
	if w.Code != 200 || w.Body.String() != want {
		t.Errorf("got status %d and\n%s\nwant\n%s", w.Code, w.Body, want)
	}
	if got := w.Header().Get("Content-Type"); got != "application/vnd.apple.mpegurl" {
		t.Errorf("playlist: got content type %q", got)
	}

	var gops [][]byte
	for _, m := range all {
		if m.Key {
			gops = append(gops, nil)
		}
		if len(gops) > 0 {
			gops[len(gops)-1] = append(gops[len(gops)-1], m.Data...)
		}
	}
	for n := range 20 {
		w := get(s, fmt.Sprintf("/seg%d.ts", n))
		// A few segments are kept longer than the playlist names them.
		if n < 15-keptSegments || n == 19 {
			if w.Code != 404 {
				t.Errorf("segment %d: got status %d, want 404", n, w.Code)
			}
			continue
		}
		if w.Code != 200 || !bytes.Equal(w.Body.Bytes(), gops[n]) {
			t.Errorf("segment %d: got status %d and %d bytes, want its %d bytes", n, w.Code, w.Body.Len(), len(gops[n]))
		}
		if got := w.Header().Get("Content-Type"); got != "video/mp2t" {
			t.Errorf("segment %d: got content type %q", n, got)
		}
	}
	if got := s.Stats(); got.Segments != 19 || got.DroppedSegments != 0 {
		t.Errorf("got %+v, want 19 segments", got)
	}
}

func TestHeadersAndMethods(t *testing.T) {
	s := NewServer(Options{})
	for i := range 4 {
		s.Push(keyMessage(second(i)))
	}
	tests := []struct {
		method, path string
		status       int
	}{
		{"GET", "/index.m3u8", 200},
		{"HEAD", "/index.m3u8", 200},
		{"HEAD", "/stream.ts", 200},
		{"OPTIONS", "/index.m3u8", 204},
		{"POST", "/index.m3u8", 405},
		{"GET", "/", 404},
		{"GET", "/seg.ts", 404},
		{"GET", "/seg-1.ts", 404},
		{"GET", "/seg99999999999999999999999.ts", 404},
		{"GET", "/seg1.tsx", 404},
	}
	for _, tt := range tests {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest(tt.method, tt.path, nil))
		if w.Code != tt.status {
			t.Errorf("%s %s: got status %d, want %d", tt.method, tt.path, w.Code, tt.status)
		}
		if w.Header().Get("Access-Control-Allow-Origin") != "*" || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s %s: got headers %v", tt.method, tt.path, w.Header())
		}
	}
}

func TestLossDropsTheSegment(t *testing.T) {
	s := NewServer(Options{Segments: 3})
	push := func(at time.Duration, key bool, lost int) {
		m := Message{Data: packets(1, byte(at/time.Second)), PTS: at, Key: key, Lost: lost}
		if key {
			m.Data = append(bytes.Clone(demo.Clip[188:3*188]), m.Data...)
		}
		s.Push(m)
	}
	list := func(want string) {
		t.Helper()
		w := get(s, "/index.m3u8")
		_, got, _ := strings.Cut(w.Body.String(), "#EXT-X-TARGETDURATION:1\n")
		if got != want {
			t.Fatalf("got\n%s\nwant\n%s", got, want)
		}
	}
	for i := range 6 {
		lost := 0
		if i == 2 {
			lost = 4
		}
		push(second(i), true, 0)
		push(second(i)+second(1)/2, false, lost)
	}
	// GOPs 0, 1, 3, and 4 became segments 0 to 3.
	list("#EXT-X-MEDIA-SEQUENCE:1\n#EXT-X-INDEPENDENT-SEGMENTS\n#EXTINF:1.000,\nseg1.ts\n" +
		"#EXT-X-DISCONTINUITY\n#EXTINF:1.000,\nseg2.ts\n#EXTINF:1.000,\nseg3.ts\n")
	// What is missing before a key message belonged to the segment before it.
	push(second(6), true, 1)
	push(second(7), true, 0)
	push(second(8), true, 0)
	list("#EXT-X-MEDIA-SEQUENCE:3\n#EXT-X-DISCONTINUITY-SEQUENCE:1\n#EXT-X-INDEPENDENT-SEGMENTS\n" +
		"#EXTINF:1.000,\nseg3.ts\n#EXT-X-DISCONTINUITY\n#EXTINF:1.000,\nseg4.ts\n#EXTINF:1.000,\nseg5.ts\n")
	if got := s.Stats(); got.DroppedSegments != 2 {
		t.Errorf("got %d dropped segments, want 2", got.DroppedSegments)
	}
}

func TestSegmentDurations(t *testing.T) {
	s := NewServer(Options{})
	// Two key frames a second make segments of a second, rare ones long segments.
	for _, at := range []time.Duration{0, 500, 1000, 1480, 1960, 4360, 9360} {
		s.Push(keyMessage(at * time.Millisecond))
	}
	got := get(s, "/index.m3u8").Body.String()
	want := "#EXT-X-TARGETDURATION:5\n#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-INDEPENDENT-SEGMENTS\n" +
		"#EXTINF:1.000,\nseg0.ts\n#EXTINF:0.960,\nseg1.ts\n#EXTINF:2.400,\nseg2.ts\n#EXTINF:5.000,\nseg3.ts\n"
	if !strings.HasSuffix(got, want) {
		t.Errorf("got\n%s\nwant at the end\n%s", got, want)
	}
}

func TestClockSetBackIsABreak(t *testing.T) {
	s := NewServer(Options{})
	for _, at := range []int{10, 11, 12, 0, 1, 2} {
		s.Push(keyMessage(second(at)))
	}
	got := get(s, "/index.m3u8").Body.String()
	if want := "#EXTINF:1.000,\nseg1.ts\n#EXT-X-DISCONTINUITY\n#EXTINF:1.000,\nseg2.ts\n"; !strings.Contains(got, want) {
		t.Errorf("got\n%s\nwant in it\n%s", got, want)
	}
}

func TestSegmentIsBounded(t *testing.T) {
	s := NewServer(Options{MaxSegmentBytes: 10 * 188})
	s.Push(keyMessage(0))
	s.Push(keyMessage(second(1)))
	for range 20 { // no key frame in sight
		s.Push(Message{Data: packets(1, 0), PTS: second(1)})
	}
	for i := range 3 {
		s.Push(keyMessage(second(2 + i)))
	}
	got := get(s, "/index.m3u8").Body.String()
	if want := "seg0.ts\n#EXT-X-DISCONTINUITY\n#EXTINF:1.000,\nseg1.ts\n"; !strings.Contains(got, want) {
		t.Errorf("got\n%s\nwant in it\n%s", got, want)
	}
	if got := s.Stats(); got.DroppedSegments != 1 {
		t.Errorf("got %d dropped segments, want 1", got.DroppedSegments)
	}
}

func TestTablesAreAddedWhereMissing(t *testing.T) {
	s := NewServer(Options{})
	s.Push(keyMessage(0)) // has the tables
	key := Message{Data: demo.Clip[3*188 : 4*188], PTS: second(1), Key: true}
	s.Push(key)
	s.Push(keyMessage(second(2)))
	var tables mpegts.Tables
	tables.Observe(demo.Clip[:4*188])
	want := append(tables.Packets(), key.Data...)
	if got := get(s, "/seg1.ts").Body.Bytes(); !bytes.Equal(got, want) || len(want) != 3*188 {
		t.Errorf("got a segment of %d bytes, want the tables and the key frame, %d bytes", len(got), len(want))
	}
}

// live starts a real server, which alone shows how responses are written.
func live(t *testing.T, s *Server) string {
	h := httptest.NewServer(s)
	t.Cleanup(func() {
		s.Close()
		h.Close() // waits for all handlers: a leak would hang here
	})
	return h.URL
}

func open(t *testing.T, url string) io.ReadCloser {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	if res.StatusCode != 200 || res.Header.Get("Content-Type") != "video/mp2t" {
		t.Fatalf("%s: got status %s, %s", url, res.Status, res.Header.Get("Content-Type"))
	}
	return res.Body
}

func TestStreamBeginsAtNewestKeyFrame(t *testing.T) {
	s := NewServer(Options{})
	url := live(t, s)
	all := clip(t)
	half := len(all) / 2
	newest := 0
	for i, m := range all[:half] {
		s.Push(m)
		if m.Key {
			newest = i
		}
	}
	body := open(t, url+"/stream.ts")
	first := make([]byte, 188)
	if _, err := io.ReadFull(body, first); err != nil {
		t.Fatal(err)
	}
	for _, m := range all[half:] {
		s.Push(m)
	}
	s.Close()
	rest, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	var want []byte
	for _, m := range all[newest:] {
		want = append(want, m.Data...)
	}
	if got := append(first, rest...); !bytes.Equal(got, want) {
		t.Errorf("got %d bytes, want the %d from the newest key frame on", len(got), len(want))
	}
}

// serve answers a request in a goroutine of its own until cancel.
func serve(t *testing.T, s *Server, path string) (w *httptest.ResponseRecorder, cancel func()) {
	ctx, stop := context.WithCancel(t.Context())
	w = httptest.NewRecorder()
	done := make(chan struct{})
	go func() {
		s.ServeHTTP(w, httptest.NewRequest("GET", path, nil).WithContext(ctx))
		close(done)
	}()
	return w, func() { stop(); <-done }
}

func TestStreamWaitsForKeyFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(Options{})
		w, cancel := serve(t, s, "/stream.ts")
		synctest.Wait()
		s.Push(Message{Data: packets(2, 1)})
		synctest.Wait()
		s.Push(keyMessage(0))
		synctest.Wait()
		cancel()
		if got := w.Body.Bytes(); !bytes.Equal(got, demo.Clip[188:4*188]) {
			t.Errorf("got %d bytes, want those of the key message", len(got))
		}
	})
}

// stuckWriter takes one write and then blocks until released.
type stuckWriter struct {
	*httptest.ResponseRecorder
	writes  chan int
	release chan struct{}
}

func (w *stuckWriter) Write(b []byte) (int, error) {
	w.writes <- len(b)
	<-w.release
	return w.ResponseRecorder.Write(b)
}

func TestSlowReaderIsDroppedAndStallsNobody(t *testing.T) {
	s := NewServer(Options{ClientBytes: 100 * 188})
	s.Push(keyMessage(0))
	w := &stuckWriter{httptest.NewRecorder(), make(chan int, 10), make(chan struct{})}
	done := make(chan struct{})
	go func() {
		s.ServeHTTP(w, httptest.NewRequest("GET", "/stream.ts", nil))
		close(done)
	}()
	<-w.writes
	for range 200 {
		s.Push(Message{Data: packets(1, 0), PTS: time.Second}) // returns though the reader hangs
	}
	close(w.release)
	<-done
	if got := s.Stats(); got.DroppedClients != 1 || got.Clients != 0 {
		t.Errorf("got %+v, want one dropped client and none left", got)
	}
	if got := len(w.writes); got != 0 {
		t.Errorf("the dropped reader got %d more writes", got)
	}
}

func TestTooManyReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(Options{MaxClients: 1})
		s.Push(keyMessage(0))
		_, cancel := serve(t, s, "/stream.ts")
		synctest.Wait()
		if w := get(s, "/stream.ts"); w.Code != 503 || s.Stats().RefusedClients != 1 {
			t.Errorf("got status %d and %+v, want 503 and one refused", w.Code, s.Stats())
		}
		cancel()
		if got := s.Stats(); got.Clients != 0 || got.DroppedClients != 0 {
			t.Errorf("got %+v, want no clients and none dropped", got)
		}
	})
}

func TestPlaylistWaitsForSegments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(Options{})
		w, cancel := serve(t, s, "/index.m3u8")
		for i := range 3 {
			synctest.Wait()
			if w.Body.Len() > 0 {
				t.Fatalf("an answer after %d key messages: %s", i, w.Body)
			}
			s.Push(keyMessage(second(i)))
		}
		synctest.Wait()
		cancel()
		if w.Code != 200 || !strings.Contains(w.Body.String(), "seg0.ts") {
			t.Errorf("got status %d and\n%s", w.Code, w.Body)
		}
	})
}

func TestPlaylistRequestGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		w := get(NewServer(Options{}), "/index.m3u8")
		if w.Code != 503 || w.Header().Get("Retry-After") == "" || time.Since(start) != startWait {
			t.Errorf("got status %d after %v, want 503 after %v", w.Code, time.Since(start), startWait)
		}
	})
}

func TestClosedServer(t *testing.T) {
	s := NewServer(Options{})
	s.Push(keyMessage(0))
	s.Push(keyMessage(second(1)))
	s.Close()
	s.Push(keyMessage(second(2))) // ignored
	s.Close()
	if got := get(s, "/index.m3u8").Body.String(); !strings.HasSuffix(got, "seg0.ts\n#EXT-X-ENDLIST\n") {
		t.Errorf("got\n%s", got)
	}
	empty := NewServer(Options{})
	empty.Close()
	if got := get(empty, "/index.m3u8").Code; got != 404 {
		t.Errorf("without content: got status %d, want 404", got)
	}
}

func TestPlaylistRequestEndsWithItsContext(t *testing.T) {
	s := NewServer(Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest("GET", "/index.m3u8", nil).WithContext(ctx))
	if w.Body.Len() != 0 {
		t.Errorf("got %q, want nothing", w.Body)
	}
}

// TestConcurrentReaders is for the race detector: readers of every kind while
// the stream goes on.
func TestConcurrentReaders(t *testing.T) {
	s := NewServer(Options{})
	url := live(t, s)
	all := clip(t)
	for _, m := range all[:len(all)/4] {
		s.Push(m)
	}
	var readers sync.WaitGroup
	for range 4 {
		body := open(t, url+"/stream.ts")
		readers.Go(func() {
			b, err := io.ReadAll(body)
			if err != nil || len(b) == 0 || len(b)%188 != 0 || !mpegts.StartsWithTables(b) {
				t.Errorf("stream: got error %v after %d bytes", err, len(b))
			}
		})
		readers.Go(func() {
			for range 20 {
				w := get(s, "/index.m3u8")
				lines := bufio.NewScanner(w.Body)
				for lines.Scan() {
					if name := lines.Text(); strings.HasPrefix(name, "seg") {
						// It may have gone meanwhile, but not turned into another.
						if w := get(s, "/"+name); w.Code == 200 && !mpegts.StartsWithTables(w.Body.Bytes()) {
							t.Errorf("%s does not begin with tables", name)
						}
					}
				}
			}
		})
	}
	for _, m := range all[len(all)/4:] {
		s.Push(m)
	}
	s.Close()
	readers.Wait()
	if got := s.Stats(); got.Clients != 0 || got.DroppedClients != 0 {
		t.Errorf("got %+v, want no clients left and none dropped", got)
	}
}
