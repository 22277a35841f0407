package gateway

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"mime/multipart"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"rtmfp/replication/content"
)

// shelf is Files in memory.
type shelf struct {
	mu    sync.Mutex
	files map[content.Hash]*book
	names map[string]content.Hash // publisher/name
	err   error                   // of every call
	asked []Want
	moved *sync.Cond

	opened int // books that ever were
	open   int // books that are not closed
}

func (s *shelf) wait(until func() bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for !until() {
		s.moved.Wait()
	}
}

// waitOpen waits until so many books are open.
func (s *shelf) waitOpen(n int) { s.wait(func() bool { return s.open == n }) }

// book is a file of which some may not be there yet.
type book struct {
	manifest content.Manifest
	data     []byte
	there    chan struct{} // closed when all is there; nil: it is
	early    int64         // bytes that are there before
	fails    error         // instead of the second half
}

func newShelf() *shelf {
	s := &shelf{files: make(map[content.Hash]*book), names: make(map[string]content.Hash)}
	s.moved = sync.NewCond(&s.mu)
	return s
}

func (s *shelf) add(name, typ string, data []byte) *book {
	b := &book{manifest: content.Manifest{Name: name, Size: int64(len(data)), MediaType: typ, Hash: content.Sum(data)}, data: data}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files[b.manifest.Hash] = b
	return b
}

func (s *shelf) Open(ctx context.Context, want Want) (File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, want)
	if s.err != nil {
		return nil, s.err
	}
	b := s.files[want.Hash]
	if b == nil {
		return nil, fmt.Errorf("open: %w", fs.ErrNotExist)
	}
	s.open++
	s.opened++
	s.moved.Broadcast()
	return &reading{Reader: bytes.NewReader(b.data), b: b, ctx: ctx, shelf: s}, nil
}

func (s *shelf) Resolve(_ context.Context, publisher content.Hash, name string) (content.Manifest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.files[s.names[publisher.String()+"/"+name]]
	if b == nil {
		return content.Manifest{}, fs.ErrNotExist
	}
	return b.manifest, nil
}

func (s *shelf) List(context.Context) (all []Entry, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.files {
		all = append(all, Entry{Manifest: b.manifest, Complete: b.there == nil})
	}
	return all, s.err
}

func (s *shelf) Put(_ context.Context, o Upload) (content.Manifest, error) {
	data, err := io.ReadAll(o.Body)
	if err != nil {
		return content.Manifest{}, err
	}
	if s.err != nil {
		return content.Manifest{}, s.err
	}
	return s.add(o.Name, o.MediaType, data).manifest, nil
}

type reading struct {
	*bytes.Reader
	b     *book
	ctx   context.Context
	shelf *shelf
}

func (r *reading) Manifest() content.Manifest { return r.b.manifest }

func (r *reading) Read(p []byte) (int, error) {
	at, _ := r.Seek(0, io.SeekCurrent)
	if r.b.fails != nil && at >= int64(len(r.b.data)/2) {
		return 0, r.b.fails
	}
	if r.b.there != nil && at >= r.b.early {
		select {
		case <-r.b.there:
		case <-r.ctx.Done():
			return 0, context.Cause(r.ctx)
		}
	} else if r.b.there != nil {
		p = p[:min(int64(len(p)), r.b.early-at)]
	}
	return r.Reader.Read(p)
}

func (r *reading) Close() error {
	r.shelf.mu.Lock()
	defer r.shelf.mu.Unlock()
	r.shelf.open--
	r.shelf.moved.Broadcast()
	return nil
}

// served serves a shelf on loopback, and checks at the end that no file is open.
func served(t *testing.T, s *shelf, o Options) string {
	t.Helper()
	g := New(s, o)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := Server(g)
	done := make(chan struct{})
	go func() { server.Serve(g.Listener(l)); close(done) }()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		server.Shutdown(context.Background())
		<-done
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.open != 0 {
			t.Errorf("%d files are still open", s.open)
		}
	})
	return "http://" + l.Addr().String()
}

// ask sends a request; headers are pairs.
func ask(t *testing.T, method, url string, headers ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest(method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
		if headers[i] == "Host" {
			req.Host = headers[i+1]
		}
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	return resp, string(body)
}

func text(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = "0123456789abcdef"[i%16] + byte(i>>16&7)
	}
	return b
}

func TestGet(t *testing.T) {
	s := newShelf()
	data := text(300000)
	b := s.add("talk – 1.mp4", "", data)
	base := served(t, s, Options{})
	h := b.manifest.Hash.String()
	etag := `"` + h + `"`
	for _, c := range []struct {
		path    string
		headers []string
		code    int
		body    string
		want    map[string]string
	}{
		{"/files/" + h, nil, 200, string(data), map[string]string{"ETag": etag, "Content-Type": "video/mp4", "Accept-Ranges": "bytes",
			"X-Content-Type-Options": "nosniff", "Cache-Control": cacheForever, "Content-Disposition": "inline; filename*=utf-8''talk%20%E2%80%93%201.mp4",
			"Access-Control-Allow-Origin": ""}},
		{"/files/" + strings.ToUpper(h) + "/other.txt?download", nil, 200, string(data), map[string]string{"Content-Type": "text/plain; charset=utf-8",
			"Content-Disposition": `attachment; filename=other.txt`}},
		{"/files/" + h, []string{"Range", "bytes=10-19"}, 206, string(data[10:20]), map[string]string{"Content-Range": "bytes 10-19/300000"}},
		{"/files/" + h, []string{"Range", "bytes=-5"}, 206, string(data[299995:]), nil},
		{"/files/" + h, []string{"Range", "bytes=299990-"}, 206, string(data[299990:]), nil},
		{"/files/" + h, []string{"Range", "bytes=300000-"}, 416, "", map[string]string{"Content-Range": "bytes */300000"}},
		{"/files/" + h, []string{"Range", "bytes=0-1", "If-Range", etag}, 206, string(data[:2]), nil},
		{"/files/" + h, []string{"Range", "bytes=0-1", "If-Range", `"x"`}, 200, string(data), nil},
		{"/files/" + h, []string{"If-None-Match", `"x", ` + etag}, 304, "", map[string]string{"ETag": etag}},
		{"/files/" + h, []string{"If-Match", `"x"`}, 412, "", nil},
		{"/files/" + h, []string{"Range", "bytes=0-0" + strings.Repeat(",9-9", 20)}, 200, string(data), nil},
		{"/files/" + content.Sum(nil).String(), nil, 404, "no such file here, or none that anybody has\n", map[string]string{"Cache-Control": "no-store", "ETag": ""}},
		{"/files/xyz", nil, 404, "not a hash: 3 characters, want 64 hexadecimal digits\n", nil},
		{"/files/" + h + "?size=x", nil, 400, "the size is not a number of bytes\n", nil},
		{"/files/../../../../etc/passwd", nil, 307, "", nil},
		{"/files/%2e%2e%2f%2e%2e%2fetc%2fpasswd", nil, 404, "not a hash: 16 characters, want 64 hexadecimal digits\n", nil},
		{"/etc/passwd", nil, 404, "404 page not found\n", nil},
		{"/", nil, 404, "404 page not found\n", nil},
	} {
		for _, method := range []string{"GET", "HEAD"} {
			resp, body := ask(t, method, base+c.path, c.headers...)
			if resp.StatusCode != c.code {
				t.Errorf("%s %s %q: %s, want %d", method, c.path, c.headers, resp.Status, c.code)
				continue
			}
			if want := c.body; want != "" && method == "GET" && body != want || method == "HEAD" && body != "" {
				t.Errorf("%s %s %q: body of %d bytes %.60q, want %d", method, c.path, c.headers, len(body), body, len(want))
			}
			if c.body != "" && resp.ContentLength != int64(len(c.body)) && c.code < 300 {
				t.Errorf("%s %s %q: length %d, want %d", method, c.path, c.headers, resp.ContentLength, len(c.body))
			}
			for k, v := range c.want {
				if got := resp.Header.Get(k); got != v {
					t.Errorf("%s %s %q: %s: %q, want %q", method, c.path, c.headers, k, got, v)
				}
			}
		}
	}
	if resp, _ := ask(t, "DELETE", base+"/files/"+h); resp.StatusCode != 405 {
		t.Errorf("DELETE: %s", resp.Status)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if w := s.asked[len(s.asked)-1]; w.Size != -1 {
		t.Errorf("asked for %+v", w)
	}
}

func TestMultiRange(t *testing.T) {
	s := newShelf()
	data := text(200000)
	h := s.add("x.bin", "", data).manifest.Hash.String()
	base := served(t, s, Options{})
	resp, body := ask(t, "GET", base+"/files/"+h, "Range", "bytes=0-9,100000-100049,-3")
	typ, params, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if resp.StatusCode != 206 || typ != "multipart/byteranges" || err != nil {
		t.Fatalf("%s, %s, %v", resp.Status, typ, err)
	}
	parts := multipart.NewReader(strings.NewReader(body), params["boundary"])
	for _, want := range []string{string(data[:10]), string(data[100000:100050]), string(data[199997:])} {
		p, err := parts.NextPart()
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := io.ReadAll(p); string(got) != want {
			t.Errorf("part %s: %q, want %q", p.Header.Get("Content-Range"), got, want)
		}
	}
	if _, err := parts.NextPart(); err != io.EOF {
		t.Error(err)
	}
}

// What is there is sent at once; what follows, when it comes. Clients that leave
// end the waiting, also in the middle of several ranges.
func TestWhileItComes(t *testing.T) {
	s := newShelf()
	data := text(400000)
	b := s.add("x.mp4", "video/mp4", data)
	b.there, b.early = make(chan struct{}), 100000
	base := served(t, s, Options{})
	url := base + "/files/" + b.manifest.Hash.String()
	for _, ranges := range []string{"bytes=200000-200009", "bytes=0-9,200000-200009,5-7"} {
		ctx, cancel := context.WithCancel(context.Background())
		req, _ := http.NewRequestWithContext(ctx, "GET", url, nil)
		req.Header.Set("Range", ranges)
		go func() {
			s.waitOpen(1) // and is read
			cancel()
		}()
		if resp, err := http.DefaultClient.Do(req); err == nil {
			if _, err := io.ReadAll(resp.Body); err == nil {
				t.Errorf("%s: something came that is not there", ranges)
			}
			resp.Body.Close()
		}
		cancel()
		s.waitOpen(0)
	}
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	first := make([]byte, 100000)
	if _, err := io.ReadFull(resp.Body, first); err != nil || !bytes.Equal(first, data[:100000]) {
		t.Fatalf("what is there: %v", err)
	}
	close(b.there)
	rest, err := io.ReadAll(resp.Body)
	if err != nil || !bytes.Equal(rest, data[100000:]) {
		t.Errorf("the rest: %d bytes, %v", len(rest), err)
	}
}

// A file that cannot be read to its end is no whole file for the client.
func TestBrokenOff(t *testing.T) {
	s := newShelf()
	b := s.add("x", "", text(400000))
	b.fails = io.ErrUnexpectedEOF
	base := served(t, s, Options{})
	resp, err := http.Get(base + "/files/" + b.manifest.Hash.String())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got, err := io.ReadAll(resp.Body); err == nil || len(got) == 400000 {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func TestNames(t *testing.T) {
	s := newShelf()
	old, fresh := s.add("talk.txt", "", []byte("old")), s.add("talk.txt", "text/plain", []byte("new"))
	publisher := strings.Repeat("ab", 32)
	s.names[publisher+"/my talk"] = old.manifest.Hash
	base := served(t, s, Options{})
	url := base + "/names/" + publisher + "/my%20talk"
	resp, body := ask(t, "GET", url)
	if body != "old" || resp.Header.Get("Cache-Control") != cacheNot {
		t.Errorf("%q, %v", body, resp.Header)
	}
	etag := resp.Header.Get("ETag")
	if resp, _ := ask(t, "GET", url, "If-None-Match", etag); resp.StatusCode != 304 {
		t.Errorf("unchanged: %s", resp.Status)
	}
	s.mu.Lock()
	s.names[publisher+"/my talk"] = fresh.manifest.Hash
	s.mu.Unlock()
	if resp, body := ask(t, "GET", url, "If-None-Match", etag); resp.StatusCode != 200 || body != "new" {
		t.Errorf("changed: %s, %q", resp.Status, body)
	}
	for _, path := range []string{"/names/" + publisher + "/other", "/names/xyz/my%20talk", "/names/" + publisher + "/a%2Fb"} {
		if resp, _ := ask(t, "GET", base+path); resp.StatusCode != 404 {
			t.Errorf("%s: %s", path, resp.Status)
		}
	}
}

func TestDirectory(t *testing.T) {
	s := newShelf()
	page := s.add("index.html", "text/html", []byte("<script>alert(1)</script>"))
	deep := s.add("x", "", []byte("deep"))
	d := content.Directory{Entries: []content.Entry{
		{Path: "a & b/<c>.txt", Size: 4, Hash: deep.manifest.Hash},
		{Path: "index.html", Size: page.manifest.Size, MediaType: "text/html", Hash: page.manifest.Hash},
		{Path: "missing", Size: 7, Hash: content.Hash{1}},
	}}
	if _, err := d.Append(nil); err == nil {
		t.Fatal("a name with < was taken")
	}
	d.Entries[0].Path = "a & b/c#1.txt"
	encoded, err := d.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	b := s.add("folder & more", content.DirectoryType, encoded)
	base := served(t, s, Options{})
	url := base + "/files/" + b.manifest.Hash.String()
	resp, _ := ask(t, "GET", url+"?size=5")
	if resp.StatusCode != 302 || resp.Header.Get("Location") != "/files/"+b.manifest.Hash.String()+"/?size=5" {
		t.Errorf("%s to %s", resp.Status, resp.Header.Get("Location"))
	}
	resp, body := ask(t, "GET", url+"/")
	if resp.StatusCode != 200 || !strings.Contains(body, `href="./a%20&amp;%20b/c%231.txt"`) || !strings.Contains(body, "folder &amp; more") {
		t.Errorf("%s: %s", resp.Status, body)
	}
	if resp, _ := ask(t, "GET", url+"/", "If-None-Match", resp.Header.Get("ETag")); resp.StatusCode != 304 {
		t.Errorf("unchanged: %s", resp.Status)
	}
	if resp, body := ask(t, "GET", url+"/a%20&%20b/c%231.txt"); resp.StatusCode != 200 || body != "deep" ||
		!strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain") || resp.Header.Get("ETag") != `"`+deep.manifest.Hash.String()+`"` {
		t.Errorf("%s %q, %v", resp.Status, body, resp.Header)
	}
	if resp, _ := ask(t, "GET", url+"/index.html"); !strings.HasPrefix(resp.Header.Get("Content-Security-Policy"), "sandbox;") {
		t.Errorf("a stranger's page may do what it likes: %v", resp.Header)
	}
	for _, path := range []string{"/missing", "/none", "/a%20&%20b", "/%2e%2e/x"} {
		if resp, _ := ask(t, "GET", url+path); resp.StatusCode != 404 {
			t.Errorf("%s: %s", path, resp.Status)
		}
	}
	bad := s.add("x", content.DirectoryType, []byte("{}"))
	if resp, _ := ask(t, "GET", base+"/files/"+bad.manifest.Hash.String()+"/x"); resp.StatusCode != 500 {
		t.Errorf("a directory that is none: %s", resp.Status)
	}
}

func TestList(t *testing.T) {
	s := newShelf()
	s.add("b's <file>", "", text(1234567))
	s.add("a.mp4", "", text(5)).there = make(chan struct{})
	base := served(t, s, Options{})
	resp, body := ask(t, "GET", base+"/files/")
	first, second := strings.Index(body, "a.mp4"), strings.Index(body, "b&#39;s &lt;file&gt;")
	if resp.StatusCode != 200 || first < 0 || second < first || !strings.Contains(body, "1.23 MB") || !strings.Contains(body, "(not complete)") {
		t.Errorf("%s: %s", resp.Status, body)
	}
	if csp := resp.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") {
		t.Errorf("policy %q", csp)
	}
	base = served(t, s, Options{NoList: true})
	if resp, body := ask(t, "GET", base+"/files/"); resp.StatusCode != 404 || strings.Contains(body, "mp4") {
		t.Errorf("%s: %s", resp.Status, body)
	}
}

func TestPut(t *testing.T) {
	s := newShelf()
	base := served(t, s, Options{Token: "secret", MaxUpload: 1 << 20})
	send := func(method, path, token string, body io.Reader, headers ...string) (*http.Response, string) {
		t.Helper()
		req, err := http.NewRequest(method, base+path, body)
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			req.Header.Set("Authorization", token)
		}
		for i := 0; i < len(headers); i += 2 {
			req.Header.Set(headers[i], headers[i+1])
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return resp, string(b)
	}
	data := text(500000)
	for _, method := range []string{"PUT", "POST"} {
		resp, body := send(method, "/files/my%20talk.mp4", "bearer secret", bytes.NewReader(data), "Content-Type", "video/mp4")
		h := content.Sum(data).String()
		want := `{"hash":"` + h + `","size":500000,"name":"my talk.mp4","path":"/files/` + h + `/my%20talk.mp4"}` + "\n"
		if resp.StatusCode != 201 || body != want || resp.Header.Get("Location") != "/files/"+h+"/my%20talk.mp4" {
			t.Errorf("%s: %s, %s", method, resp.Status, body)
		}
		if resp, got := ask(t, "GET", base+resp.Header.Get("Location")); got != string(data) || resp.Header.Get("Content-Type") != "video/mp4" {
			t.Errorf("back: %s, %d bytes, %v", resp.Status, len(got), resp.Header)
		}
	}
	for _, c := range []struct {
		path, token string
		body        io.Reader
		typ         string
		code        int
	}{
		{"/files/x", "", bytes.NewReader(data), "", 401},
		{"/files/x", "Bearer wrong", bytes.NewReader(data), "", 401},
		{"/files/x", "Bearer ", bytes.NewReader(data), "", 401},
		{"/files/x", "Basic secret", bytes.NewReader(data), "", 401},
		{"/files/a%2Fb", "Bearer secret", bytes.NewReader(data), "", 400},
		{"/files/con", "Bearer secret", bytes.NewReader(data), "", 400},
		{"/files/x", "Bearer secret", bytes.NewReader(text(1<<20 + 1)), "", 413},
		{"/files/x", "Bearer secret", io.MultiReader(bytes.NewReader(text(1<<20 + 1))), "", 413}, // of unknown length
		{"/files/x", "Bearer secret", bytes.NewReader(data), "multipart/form-data; boundary=x", 415},
	} {
		if resp, body := send("PUT", c.path, c.token, c.body, "Content-Type", c.typ); resp.StatusCode != c.code {
			t.Errorf("%s with %q: %s %s, want %d", c.path, c.token, resp.Status, body, c.code)
		}
	}
	s.err = fmt.Errorf("%w: 5 bytes are left", ErrNoRoom)
	if resp, body := send("PUT", "/files/x", "Bearer secret", strings.NewReader("x")); resp.StatusCode != 507 || !strings.Contains(body, "5 bytes are left") {
		t.Errorf("%s %s", resp.Status, body)
	}
	s.err = fmt.Errorf("open /home/me/secret: no such device")
	if resp, body := send("PUT", "/files/x", "Bearer secret", strings.NewReader("x")); resp.StatusCode != 500 || strings.Contains(body, "/home") {
		t.Errorf("%s %s", resp.Status, body)
	}
	s.err = nil
	base = served(t, s, Options{})
	if resp, _ := send("PUT", "/files/x", "Bearer ", strings.NewReader("x")); resp.StatusCode != 403 {
		t.Errorf("without a token of the gateway: %s", resp.Status)
	}
}

// The real program: a whole file, a resumed one, ranges, and an upload.
func TestCurl(t *testing.T) {
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Skip("curl is not installed")
	}
	s := newShelf()
	data := text(1 << 20)
	h := s.add("x.bin", "", data).manifest.Hash.String()
	base := served(t, s, Options{Token: "secret"})
	dir := t.TempDir()
	run := func(args ...string) string {
		t.Helper()
		cmd := exec.Command(curl, append([]string{"-sS", "--fail", "--max-time", "60"}, args...)...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "no_proxy=*")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("curl %q: %v\n%s", args, err, out)
		}
		return string(out)
	}
	run("-OJ", base+"/files/"+h)
	if got, err := os.ReadFile(filepath.Join(dir, "x.bin")); err != nil || !bytes.Equal(got, data) {
		t.Errorf("under the name of the header: %d bytes, %v", len(got), err)
	}
	os.WriteFile(filepath.Join(dir, "part"), data[:123456], 0o644)
	run("-C", "-", "-o", "part", base+"/files/"+h)
	if got, _ := os.ReadFile(filepath.Join(dir, "part")); !bytes.Equal(got, data) {
		t.Errorf("resumed: %d bytes", len(got))
	}
	if got := run("-r", "5-9", base+"/files/"+h); got != string(data[5:10]) {
		t.Errorf("range: %q", got)
	}
	if got := run("-r", "0-0,999-999", base+"/files/"+h); !strings.Contains(got, "multipart") && strings.Count(got, "Content-Range:") != 2 {
		t.Errorf("ranges: %q", got)
	}
	put := run("-T", "x.bin", "-H", "Authorization: Bearer secret", base+"/files/copy.bin")
	if !strings.Contains(put, h) {
		t.Errorf("upload: %s", put)
	}
	if got := run("--etag-compare", "x.etag", "--etag-save", "x.etag", "-o", "again", "-w", "%{http_code}", base+"/files/"+h); got != "200" {
		t.Errorf("first with an etag: %s", got)
	}
	if got := run("--etag-compare", "x.etag", "--etag-save", "x.etag", "-o", "again", "-w", "%{http_code}", base+"/files/"+h); got != "304" {
		t.Errorf("second with an etag: %s", got)
	}
}
