package gateway

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"

	"rtmfp/replication/content"
)

// What a hash stands for never changes; what a name stands for may.
const (
	cacheForever = "public, max-age=31536000, immutable"
	cacheNot     = "no-cache"
)

// get serves a file, or the file of a directory, by hash.
func (g *Gateway) get(w http.ResponseWriter, r *http.Request) {
	h, err := content.ParseHash(r.PathValue("hash"))
	if err != nil {
		fail(w, http.StatusNotFound, err.Error())
		return
	}
	want := Want{Hash: h, Size: -1}
	if text := r.URL.Query().Get("size"); text != "" {
		if want.Size, err = strconv.ParseInt(text, 10, 64); err != nil || want.Size < 0 {
			fail(w, http.StatusBadRequest, "the size is not a number of bytes")
			return
		}
	}
	if name := r.PathValue("path"); content.CheckName(name) == nil {
		want.Name = name
	}
	g.serve(w, r, want, cacheForever)
}

// getName serves what a publisher's name stands for now.
func (g *Gateway) getName(w http.ResponseWriter, r *http.Request) {
	publisher, err := content.ParseHash(r.PathValue("publisher"))
	if err != nil {
		fail(w, http.StatusNotFound, "the publisher is "+err.Error())
		return
	}
	name := r.PathValue("name")
	if err := content.CheckName(name); err != nil {
		fail(w, http.StatusNotFound, err.Error())
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), g.opt.Wait)
	m, err := g.files.Resolve(ctx, publisher, name)
	cancel()
	if err != nil {
		g.refuse(w, r, err)
		return
	}
	g.serve(w, r, Want{Hash: m.Hash, Size: m.Size, Name: m.Name, Origins: m.Origins}, cacheNot)
}

// serve answers with a file. If it is a directory, the rest of the path is that
// of a file in it; else it is only for show.
func (g *Gateway) serve(w http.ResponseWriter, r *http.Request, want Want, cache string) {
	f, err := g.open(r, want)
	if err != nil {
		g.refuse(w, r, err)
		return
	}
	defer f.Close()
	m := f.Manifest()
	w.Header().Set("Cache-Control", cache)
	inside := r.PathValue("path")
	if !m.IsDirectory() {
		if inside != "" && cache == cacheForever {
			m.Name = path.Base(inside)
		}
		g.send(w, r, f, m)
		return
	}
	d, err := readDirectory(f, m)
	if err != nil {
		g.refuse(w, r, err)
		return
	}
	if inside == "" {
		if !strings.HasSuffix(r.URL.Path, "/") {
			// Links on the page are relative to it.
			to := url.URL{RawQuery: r.URL.RawQuery}
			http.Redirect(w, r, path.Base(r.URL.EscapedPath())+"/"+to.String(), http.StatusFound)
			return
		}
		g.sendDirectory(w, r, d, m)
		return
	}
	for i := range d.Entries {
		e := &d.Entries[i]
		if e.Path != inside {
			continue
		}
		m := d.Manifest(i)
		in, err := g.open(r, Want{Hash: m.Hash, Size: m.Size, Name: m.Name, Origins: m.Origins})
		if err != nil {
			g.refuse(w, r, err)
			return
		}
		defer in.Close()
		g.send(w, r, in, m)
		return
	}
	fail(w, http.StatusNotFound, "no such file in the directory")
}

// beginning returns where a request begins to read, 0 if it does not say.
func beginning(r *http.Request) int64 {
	text, ok := strings.CutPrefix(r.Header.Get("Range"), "bytes=")
	if !ok {
		return 0
	}
	text, _, _ = strings.Cut(text, "-")
	at, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if err != nil {
		return 0 // http.ServeContent answers
	}
	return max(at, 0)
}

// open opens a file. The time limit is for finding it, not for reading it.
func (g *Gateway) open(r *http.Request, want Want) (*openFile, error) {
	ctx, cancel := context.WithCancelCause(r.Context())
	timer := time.AfterFunc(g.opt.Wait, func() { cancel(context.DeadlineExceeded) })
	want.At = beginning(r)
	f, err := g.files.Open(ctx, want)
	if !timer.Stop() && err == nil {
		f.Close()
		err = context.DeadlineExceeded
	}
	if err != nil {
		if errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
			err = context.DeadlineExceeded
		}
		cancel(nil)
		return nil, err
	}
	return &openFile{file: f, cancel: cancel}, nil
}

// openFile is a file that is being served. http.ServeContent may still read it
// in a goroutine of its own when the client is gone.
type openFile struct {
	cancel context.CancelCauseFunc

	mu   sync.Mutex
	file File
	err  error // why reading failed
}

func (f *openFile) Manifest() content.Manifest { return f.file.Manifest() }

func (f *openFile) Read(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return 0, f.err
	}
	n, err := f.file.Read(p)
	if err != nil && err != io.EOF {
		f.err = err
	}
	return n, err
}

func (f *openFile) Seek(offset int64, whence int) (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.file.Seek(offset, whence)
}

// failure returns why reading failed, if it did.
func (f *openFile) failure() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// Close ends a read that waits, and the file.
func (f *openFile) Close() error {
	f.cancel(nil)
	f.mu.Lock()
	defer f.mu.Unlock()
	if errors.Is(f.err, fs.ErrClosed) {
		return nil
	}
	f.err = fs.ErrClosed
	return f.file.Close()
}

// readDirectory reads a whole directory.
func readDirectory(f File, m content.Manifest) (*content.Directory, error) {
	if m.Size > content.MaxDirectory {
		return nil, content.ErrDirectory
	}
	b := make([]byte, m.Size)
	if _, err := io.ReadFull(f, b); err != nil {
		return nil, err
	}
	return content.ParseDirectory(b)
}

// send answers with a file, or with what of it was asked for.
func (g *Gateway) send(w http.ResponseWriter, r *http.Request, f *openFile, m content.Manifest) {
	h := w.Header()
	h.Set("ETag", `"`+m.Hash.String()+`"`)
	typ := m.MediaType
	if typ == "" {
		typ = mime.TypeByExtension(path.Ext(m.Name))
	}
	if typ == "" {
		typ = "application/octet-stream"
	}
	h.Set("Content-Type", typ)
	if isActive(typ) {
		// Anybody can have made it: it is not to act as a page of this gateway.
		h.Set("Content-Security-Policy", "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'")
	}
	how := "inline"
	if r.URL.Query().Has("download") {
		how = "attachment"
	}
	if content.CheckName(m.Name) == nil {
		h.Set("Content-Disposition", mime.FormatMediaType(how, map[string]string{"filename": m.Name}))
	}
	if strings.Count(r.Header.Get("Range"), ",") >= maxRanges {
		r.Header.Del("Range") // RFC 9110 §14.2 allows it
	}
	http.ServeContent(w, r, "", time.Time{}, f)
	if err := f.failure(); err != nil {
		if r.Context().Err() == nil {
			g.opt.Log.Warn("file could not be read to its end", "hash", m.Hash, "err", err)
		}
		// The client must not take a part for the whole.
		panic(http.ErrAbortHandler)
	}
}

// isActive reports whether a browser may run what a file of this type says.
func isActive(typ string) bool {
	base, _, err := mime.ParseMediaType(typ)
	if err != nil {
		return true
	}
	kind, sub, _ := strings.Cut(base, "/")
	switch kind {
	case "image", "video", "audio", "font":
		return strings.Contains(sub, "xml")
	}
	return base != "text/plain" && base != "application/octet-stream"
}

// refuse answers with what went wrong.
func (g *Gateway) refuse(w http.ResponseWriter, r *http.Request, err error) {
	var tooLarge *http.MaxBytesError
	switch {
	case r.Context().Err() != nil:
		panic(http.ErrAbortHandler) // nobody is there to be told
	case errors.Is(err, fs.ErrNotExist):
		fail(w, http.StatusNotFound, "no such file here, or none that anybody has")
	case errors.Is(err, context.DeadlineExceeded):
		fail(w, http.StatusGatewayTimeout, "it was not found in time")
	case errors.As(err, &tooLarge):
		fail(w, http.StatusRequestEntityTooLarge, "the file is too large")
	case errors.Is(err, ErrNoRoom):
		fail(w, http.StatusInsufficientStorage, err.Error())
	case errors.Is(err, ErrRefused):
		fail(w, http.StatusBadRequest, err.Error())
	default:
		g.opt.Log.Error("request failed", "path", r.URL.Path, "err", err)
		fail(w, http.StatusInternalServerError, "it did not work; the gateway's log says why")
	}
}
