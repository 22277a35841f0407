package main

import (
	_ "embed"
	"fmt"
	"html"
	"net"
	"net/http"
	"strings"
	"time"

	"rtmfp/cmd/rtmfp-node/hls"
	"rtmfp/node"
)

// liveServer is an HTTP server that shows one stream.
type liveServer struct {
	addr   string // as bound, for the URL to print
	stream *hls.Server
	http   *http.Server
}

// serveLive binds addr, serves what page makes of the stream's server, and
// returns at once. Close ends it.
func serveLive(addr string, page func(stream *hls.Server) http.Handler) (*liveServer, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, httpError(err, addr)
	}
	stream := hls.NewServer(hls.Options{})
	s := &liveServer{
		addr:   reachable(l.Addr().String()),
		stream: stream,
		http:   &http.Server{Handler: page(stream), ReadHeaderTimeout: 10 * time.Second},
	}
	go s.http.Serve(l) // ends with Close; there is nobody to tell why
	return s, nil
}

// Close ends the server and what it still sends.
func (s *liveServer) Close() error {
	s.stream.Close()
	return s.http.Close()
}

// push hands a frame to everybody who watches.
func (s *liveServer) push(f node.Frame) {
	s.stream.Push(hls.Message{Data: f.Data, PTS: f.PTS, Key: f.Key, Lost: f.Lost})
}

// reachable turns the address that a server is bound to into one that a
// browser on this machine can use.
func reachable(bound string) string {
	host, port, err := net.SplitHostPort(bound)
	if err != nil {
		return bound
	}
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}

//go:embed player.html
var playerHTML string

// playerPage serves a small page with the stream at /, and the stream itself
// beside it.
func playerPage(name string, stream *hls.Server) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", stream)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, strings.ReplaceAll(playerHTML, "{{name}}", html.EscapeString(name)))
	})
	return mux
}
