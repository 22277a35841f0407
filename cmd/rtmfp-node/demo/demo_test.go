package demo_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"rtmfp/cmd/rtmfp-node/demo"
	"rtmfp/cmd/rtmfp-node/mpegts"
)

func TestClip(t *testing.T) {
	if len(demo.Clip) > 3_000_000 {
		t.Errorf("the clip has %d bytes, want at most 3 MB", len(demo.Clip))
	}
	s, err := mpegts.NewSource(bytes.NewReader(demo.Clip), mpegts.SourceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var last mpegts.Message
	keys, n := 0, 0
	for {
		m, err := s.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if m.Key {
			if want := time.Duration(keys) * time.Second; m.PTS != want || !mpegts.StartsWithTables(m.Data) {
				t.Errorf("key message %d is at %v, with tables %v", keys, m.PTS, mpegts.StartsWithTables(m.Data))
			}
			keys++
		}
		n += len(m.Data)
		last = m
	}
	if keys != 20 || last.PTS != 19960*time.Millisecond || n != len(demo.Clip) {
		t.Errorf("got %d key frames, the last frame at %v, %d bytes", keys, last.PTS, n)
	}
}

func TestHandler(t *testing.T) {
	want := demo.Snapshot{
		Stream: "cam1", Group: "g", ElapsedMS: 1500,
		Nodes: []demo.NodeView{
			{Name: "publisher", Role: demo.RolePublisher, ID: "01", UpBps: 2e6},
			{Name: "viewer 1", Role: demo.RoleViewer, ID: "02", DelayMS: 12.5, Parents: []demo.EdgeView{{Name: "publisher", Slices: 8}}},
		},
	}
	live := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "live "+r.URL.Path) })
	h := demo.Handler(func() demo.Snapshot { return want }, live)
	get := func(path string, status int, kind string) string {
		t.Helper()
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if got := w.Header().Get("Content-Type"); w.Code != status || kind != "" && got != kind {
			t.Errorf("%s: got status %d and type %q, want %d and %q", path, w.Code, got, status, kind)
		}
		return w.Body.String()
	}

	page := get("/", 200, "text/html; charset=utf-8")
	for _, part := range []string{`<video id="player" muted autoplay playsinline controls>`, "live/index.m3u8", "live/stream.ts", "api/tree", "dataset.node"} {
		if !strings.Contains(page, part) {
			t.Errorf("the page lacks %q", part)
		}
	}
	for _, foreign := range []string{`src="http`, `href="http`, "import(", "<link rel=\"stylesheet\""} {
		if strings.Contains(page, foreign) {
			t.Errorf("the page loads something from elsewhere: %q", foreign)
		}
	}

	var got demo.Snapshot
	text := get("/api/tree", 200, "application/json")
	if err := json.Unmarshal([]byte(text), &got); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got snapshot %+v (%v), want %+v", got, err, want)
	}
	// What the page's script reads.
	for _, name := range []string{"stream", "group", "elapsed_ms", "nodes", "name", "role", "id", "delay_ms", "startup_ms", "up_bps", "down_bps",
		"neighbors", "fragments", "lost", "duplicates", "parents", "slices"} {
		if !strings.Contains(text, `"`+name+`":`) {
			t.Errorf("the snapshot lacks %q", name)
		}
	}

	if got := get("/live/seg7.ts", 200, ""); got != "live /seg7.ts" {
		t.Errorf("got %q, want it from the live handler", got)
	}
	get("/nothing", 404, "")
}
