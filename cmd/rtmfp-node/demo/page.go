package demo

import (
	_ "embed"
	"encoding/json"
	"net/http"
)

//go:embed page.html
var page []byte

// Handler serves the page at /, the newest snapshot as JSON at /api/tree, and
// live (an hls.Server) below /live/. It calls snapshot from many goroutines.
func Handler(snapshot func() Snapshot, live http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		setHeaders(w, "text/html; charset=utf-8")
		_, _ = w.Write(page) // who has gone needs no page
	})
	mux.HandleFunc("GET /api/tree", func(w http.ResponseWriter, _ *http.Request) {
		b, err := json.Marshal(snapshot())
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		setHeaders(w, "application/json")
		_, _ = w.Write(b)
	})
	mux.Handle("/live/", http.StripPrefix("/live", live))
	return mux
}

func setHeaders(w http.ResponseWriter, kind string) {
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
}
