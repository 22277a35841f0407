// Package gateway serves files by hash and by published name over HTTP, to
// browsers, players, and any other program: whole, in ranges, and while they
// are still coming. docs/files.md lists the requests.
//
// A Gateway knows nothing of disks and groups: all that it serves comes from
// its Files, so that nothing else can be reached through it. Its methods may be
// called by several goroutines at once.
package gateway

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"rtmfp/replication/content"
)

// Files is where files come from. Errors that wrap fs.ErrNotExist, ErrNoRoom,
// ErrRefused, or context.DeadlineExceeded are told to the client as what they
// are.
type Files interface {
	// Open returns a file, of which parts may still have to come: reading waits
	// for them until ctx is done.
	Open(ctx context.Context, want Want) (File, error)

	// Resolve returns what a publisher's name stands for now.
	Resolve(ctx context.Context, publisher content.Hash, name string) (content.Manifest, error)

	// List returns the files that are here.
	List(ctx context.Context) ([]Entry, error)

	// Put takes a file from its owner.
	Put(ctx context.Context, o Upload) (content.Manifest, error)
}

// Want says which file is asked for.
type Want struct {
	Hash content.Hash
	Size int64  // -1 if it is not known
	Name string // "" if it is not known

	Origins []string // web servers that are known to have it
	At      int64    // where the client begins to read
}

// File is a file that is open.
type File interface {
	io.ReadSeekCloser
	Manifest() content.Manifest
}

// Entry is a file of the list.
type Entry struct {
	Manifest content.Manifest
	Complete bool
}

// Upload is a file that is being sent here.
type Upload struct {
	Name      string
	MediaType string // "" if it is not known
	Size      int64  // -1 if it is not known
	Body      io.Reader
}

// Errors of Files.
var (
	ErrNoRoom  = errors.New("gateway: no room for the file")
	ErrRefused = errors.New("gateway: file is not taken")
)

// Options are how a gateway serves. Zero fields take the defaults that their
// comments give.
type Options struct {
	// Token is what an owner must send to put files here. Default: nobody can.
	Token string

	// Hosts are the names by which clients may call the gateway beside IP
	// addresses and localhost. It does not answer to others, so that no web page
	// can reach it by giving its own name the gateway's address.
	Hosts []string

	// Origins are the web pages that may read what is served, such as
	// https://player.example.org; "*" is all of them. Default: none.
	Origins []string

	// NoList keeps the list of files from being shown.
	NoList bool

	// MaxRequests bounds the requests that are being answered, MaxConnections
	// the connections that a Listener takes. Default 256 and 512.
	MaxRequests    int
	MaxConnections int

	// MaxUpload bounds the size of a file that is put here. Default content.MaxSize.
	MaxUpload int64

	// Timeout is how long a client may take to take or send the next piece of a
	// file, of up to 32 KiB. Default 30 s.
	Timeout time.Duration

	// Wait is how long a request waits for a file or name to be found. Default 30 s.
	Wait time.Duration

	// Log is told of what went wrong here. Default: nobody is.
	Log *slog.Logger
}

// Limits of requests.
const (
	headerTimeout = 10 * time.Second
	idleTimeout   = time.Minute
	maxHeader     = 16 << 10 // bytes
	maxRanges     = 16       // of one request; with more it gets the whole file
	maxListed     = 10000    // files on a page
)

// Gateway is an http.Handler.
type Gateway struct {
	files Files
	opt   Options
	mux   http.ServeMux
	slots chan struct{}
}

// New returns a gateway to files.
func New(files Files, o Options) *Gateway {
	if o.MaxRequests <= 0 {
		o.MaxRequests = 256
	}
	if o.MaxConnections <= 0 {
		o.MaxConnections = 512
	}
	if o.MaxUpload <= 0 || o.MaxUpload > content.MaxSize {
		o.MaxUpload = content.MaxSize
	}
	if o.Timeout <= 0 {
		o.Timeout = 30 * time.Second
	}
	if o.Wait <= 0 {
		o.Wait = 30 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	g := &Gateway{files: files, opt: o, slots: make(chan struct{}, o.MaxRequests)}
	g.mux.HandleFunc("GET /files/{$}", g.list)
	g.mux.HandleFunc("GET /files/{hash}", g.get)
	g.mux.HandleFunc("GET /files/{hash}/{path...}", g.get)
	g.mux.HandleFunc("GET /names/{publisher}/{name}", g.getName)
	g.mux.HandleFunc("GET /names/{publisher}/{name}/{path...}", g.getName)
	g.mux.HandleFunc("PUT /files/{name}", g.put)
	g.mux.HandleFunc("POST /files/{name}", g.put)
	g.mux.HandleFunc("OPTIONS /files/", g.preflight)
	g.mux.HandleFunc("OPTIONS /names/", g.preflight)
	return g
}

// ServeHTTP answers a request for a path under /files/ or /names/.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	lw := &limitedWriter{ResponseWriter: w, control: http.NewResponseController(w), timeout: g.opt.Timeout}
	lw.extend()
	select {
	case g.slots <- struct{}{}:
		defer func() { <-g.slots }()
	default:
		lw.Header().Set("Retry-After", "1")
		fail(lw, http.StatusServiceUnavailable, "too many requests at once")
		return
	}
	if !g.answersTo(r.Host) {
		fail(lw, http.StatusMisdirectedRequest, "this gateway does not answer to that name")
		return
	}
	h := lw.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	if len(g.opt.Origins) > 0 {
		h.Add("Vary", "Origin")
		h.Set("Cross-Origin-Resource-Policy", "cross-origin")
		if origin := r.Header.Get("Origin"); origin != "" && g.allows(origin) {
			h.Set("Access-Control-Allow-Origin", origin)
			h.Set("Access-Control-Expose-Headers", "Accept-Ranges, Content-Length, Content-Range, ETag")
		}
	}
	g.mux.ServeHTTP(lw, r)
}

// answersTo reports whether a client may call the gateway by this name.
func (g *Gateway) answersTo(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if _, err := netip.ParseAddr(host); err == nil || host == "localhost" {
		return true
	}
	return slices.ContainsFunc(g.opt.Hosts, func(h string) bool { return strings.EqualFold(h, host) })
}

func (g *Gateway) allows(origin string) bool {
	return slices.Contains(g.opt.Origins, "*") || slices.Contains(g.opt.Origins, origin)
}

// preflight answers a browser that asks whether a page may do something.
func (g *Gateway) preflight(w http.ResponseWriter, r *http.Request) {
	if w.Header().Get("Access-Control-Allow-Origin") != "" {
		w.Header().Set("Access-Control-Allow-Methods", "GET, HEAD")
		w.Header().Set("Access-Control-Allow-Headers", "Range, If-Range, If-None-Match")
		w.Header().Set("Access-Control-Max-Age", "600")
	}
	w.WriteHeader(http.StatusNoContent)
}

// fail answers with an error, in a line of text.
func fail(w http.ResponseWriter, code int, text string) {
	h := w.Header()
	h.Del("Etag")
	h.Set("Cache-Control", "no-store")
	http.Error(w, text, code)
}
