// Package origin fetches files, or parts of them, from the web servers that
// their manifests name, into a store: what no member of a group has, or all of a
// file that none has any of.
//
// A web server is trusted no more than a member. Blocks whose hashes are known
// are asked for by range and checked one by one; without their hashes the whole
// file is fetched, and kept only if it is the right one. docs/files.md says more.
//
// A Client may be used by several goroutines at once.
package origin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
	"time"

	"rtmfp/node/store"
	"rtmfp/replication/content"
)

// Options are how origins are asked. Zero fields take the defaults that their
// comments give.
type Options struct {
	// Private allows origins at loopback, private, and link-local addresses.
	// Manifests come from anybody: without it, nobody can have the node look into
	// its own network.
	Private bool

	// Timeout bounds the wait for the beginning of an answer, and for each next
	// piece of it. Default 20 s.
	Timeout time.Duration

	// S3 are object stores of which this node has keys.
	S3 []S3

	// Pace, if it is not nil, is told of bytes that have come, and returns when
	// the next ones may.
	Pace func(ctx context.Context, n int) error

	// Agent is the User-Agent. Default rtmfp-node.
	Agent string
}

// maxRun is how many blocks are asked for at once: what is wasted at most when
// one of them is wrong.
const maxRun = 64

const maxRedirects = 5

// Errors of Fetch.
var (
	ErrNone    = errors.New("origin: the file names no origin")
	ErrBad     = errors.New("origin: server does not have the file as it should be")
	ErrPrivate = errors.New("origin: server is in a private network")
)

// Client asks origins.
type Client struct {
	opt  Options
	http *http.Client
}

// New returns a client.
func New(o Options) *Client {
	if o.Timeout <= 0 {
		o.Timeout = 20 * time.Second
	}
	if o.Agent == "" {
		o.Agent = "rtmfp-node"
	}
	dialer := &net.Dialer{Timeout: o.Timeout}
	if !o.Private {
		// After names are resolved, so that no name can stand for a private address.
		dialer.ControlContext = func(_ context.Context, _, address string, _ syscall.RawConn) error {
			if ap, err := netip.ParseAddrPort(address); err != nil || !isPublic(ap.Addr().Unmap()) {
				return fmt.Errorf("%w: %s", ErrPrivate, address)
			}
			return nil
		}
	}
	transport := &http.Transport{DialContext: dialer.DialContext, TLSHandshakeTimeout: o.Timeout, ResponseHeaderTimeout: o.Timeout,
		IdleConnTimeout: time.Minute, MaxIdleConnsPerHost: 4, MaxConnsPerHost: 4, MaxResponseHeaderBytes: 64 << 10,
		DisableCompression: true, ForceAttemptHTTP2: true}
	if o.Private {
		transport.Proxy = http.ProxyFromEnvironment
	}
	return &Client{opt: o, http: &http.Client{Transport: transport, CheckRedirect: func(r *http.Request, via []*http.Request) error {
		if len(via) > maxRedirects {
			return errors.New("too many redirects")
		}
		return content.CheckOrigin(r.URL.String())
	}}}
}

// isPublic reports whether an address is one of the Internet.
func isPublic(a netip.Addr) bool {
	if !a.IsGlobalUnicast() || a.IsPrivate() {
		return false
	}
	for _, p := range notPublic {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

// notPublic are ranges for special purposes that netip does not tell (RFC 6890,
// RFC 6598, RFC 6052: the last leads into IPv4 again).
var notPublic = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("2001::/23"),
}

// Close ends the connections that nobody uses.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Fetch gets blocks of a file, which the store has or for which it has made room
// (store.Create), from the first of its origins that can give them, trying one
// after the other. When it returns nil the blocks are there, and perhaps others.
// The error is ErrNone, or wraps those of the origins; one of the store, a
// StoreError, ends the call at once. got, if it is not nil, is told of blocks
// that have been written while others are still to come.
func (c *Client) Fetch(ctx context.Context, s *store.Store, m content.Manifest, blocks store.Range, got func(i int)) error {
	if len(m.Origins) == 0 {
		return ErrNone
	}
	var errs []error
	for _, url := range m.Origins {
		err := c.fetch(ctx, s, m, url, blocks, got)
		var ours *StoreError
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &ours):
			return ours
		}
		errs = append(errs, fmt.Errorf("%s: %w", url, err))
	}
	return errors.Join(errs...)
}

// StoreError is an error of the store, and not the origin's.
type StoreError struct{ Err error }

func (e *StoreError) Error() string { return e.Err.Error() }

// Unwrap returns the store's error.
func (e *StoreError) Unwrap() error { return e.Err }

func (c *Client) fetch(ctx context.Context, s *store.Store, m content.Manifest, url string, blocks store.Range, got func(i int)) error {
	blocks.To = min(blocks.To, content.BlocksOf(m.Size))
	for from := max(blocks.From, 0); from < blocks.To; {
		// A run of blocks whose hashes are known.
		to := from
		for to < min(blocks.To, from+maxRun) {
			need, err := s.Need(m.Hash, to)
			if err != nil {
				return &StoreError{err}
			}
			if need > 0 {
				break
			}
			to++
		}
		if to == from {
			return c.whole(ctx, s, m, url)
		}
		if err := c.run(ctx, s, m, url, from, to, got); err != nil {
			return err
		}
		from = to
	}
	return nil
}

// run fetches blocks whose hashes are known.
func (c *Client) run(ctx context.Context, s *store.Store, m content.Manifest, url string, from, to int, got func(i int)) error {
	first, end := int64(from)*content.BlockSize, min(int64(to)*content.BlockSize, m.Size)
	body, err := c.get(ctx, url, first, end, m.Size)
	if err != nil {
		return err
	}
	defer body.Close()
	buf := make([]byte, content.BlockSize)
	for i := from; i < to; i++ {
		block := buf[:min(content.BlockSize, m.Size-int64(i)*content.BlockSize)]
		if _, err := io.ReadFull(body, block); err != nil {
			return fmt.Errorf("%w: block %d: %w", ErrBad, i, err)
		}
		if err := s.WriteBlock(m.Hash, i, block, nil); errors.Is(err, store.ErrInvalid) {
			return fmt.Errorf("%w: %w", ErrBad, err)
		} else if err != nil {
			return &StoreError{err}
		}
		if got != nil {
			got(i)
		}
	}
	return nil
}

// whole fetches all of a file.
func (c *Client) whole(ctx context.Context, s *store.Store, m content.Manifest, url string) error {
	body, err := c.get(ctx, url, 0, m.Size, m.Size)
	if err != nil {
		return err
	}
	defer body.Close()
	source := &source{Reader: body}
	_, err = s.AddReader(ctx, source, m.Size, store.AddOptions{Name: m.Name, MediaType: m.MediaType, Origins: m.Origins, Hash: m.Hash})
	switch {
	case err == nil:
		return nil
	case source.err != nil || errors.Is(err, store.ErrInvalid) || errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: %w", ErrBad, err)
	}
	return &StoreError{err}
}

// source remembers that reading failed.
type source struct {
	io.Reader
	err error
}

func (r *source) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err != nil && err != io.EOF {
		r.err = err
	}
	return n, err
}

// get asks for the bytes of a file from first up to end.
func (c *Client) get(ctx context.Context, url string, first, end, size int64) (io.ReadCloser, error) {
	if err := content.CheckOrigin(url); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		cancel()
		return nil, err
	}
	req.Header.Set("User-Agent", c.opt.Agent)
	req.Header.Set("Accept-Encoding", "identity")
	part := first > 0 || end < size
	if part {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", first, end-1))
	}
	resp, err := c.http.Do(sign(req, c.opt.S3))
	if err != nil {
		cancel()
		return nil, err
	}
	if err := checkAnswer(resp, first, end, size, part); err != nil {
		cancel()
		resp.Body.Close()
		return nil, err
	}
	body := &patientBody{ctx: ctx, pace: c.opt.Pace, body: resp.Body, cancel: cancel, timeout: c.opt.Timeout, left: end - first}
	body.timer = time.AfterFunc(body.timeout, cancel)
	body.timer.Stop() // it runs while something is read
	if part && resp.StatusCode == http.StatusOK && first > 0 {
		// A server without ranges: what comes before is the price.
		if first > maxSkip {
			body.Close()
			return nil, fmt.Errorf("%w: it knows no ranges", ErrBad)
		}
		body.left += first
		if _, err := io.CopyN(io.Discard, body, first); err != nil {
			body.Close()
			return nil, err
		}
	}
	return body, nil
}

// maxSkip is how much of an answer is thrown away for what comes after it.
const maxSkip = 4 << 20

// checkAnswer checks that an answer is about the right bytes of a file of the
// right size.
func checkAnswer(resp *http.Response, first, end, size int64, part bool) error {
	switch {
	case resp.Header.Get("Content-Encoding") != "" && resp.Header.Get("Content-Encoding") != "identity":
		return fmt.Errorf("%w: it sends something encoded", ErrBad)
	case resp.StatusCode == http.StatusOK:
		if resp.ContentLength >= 0 && resp.ContentLength != size {
			return fmt.Errorf("%w: it has %d bytes, not %d", ErrBad, resp.ContentLength, size)
		}
		return nil
	case part && resp.StatusCode == http.StatusPartialContent:
		rest, ok := strings.CutPrefix(resp.Header.Get("Content-Range"), "bytes ")
		span, whole, _ := strings.Cut(rest, "/")
		if !ok || span != fmt.Sprintf("%d-%d", first, end-1) || whole != "*" && whole != strconv.FormatInt(size, 10) {
			return fmt.Errorf("%w: asked for bytes %d to %d of %d, it sends %.60q", ErrBad, first, end-1, size, resp.Header.Get("Content-Range"))
		}
		return nil
	}
	return fmt.Errorf("%w: it says %s", ErrBad, resp.Status)
}

// patientBody is what of an answer's body was asked for. It ends the answer when
// the server is silent for too long.
type patientBody struct {
	ctx     context.Context
	pace    func(ctx context.Context, n int) error // nil: none
	body    io.ReadCloser
	cancel  context.CancelFunc
	timer   *time.Timer
	timeout time.Duration
	left    int64
}

func (b *patientBody) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	b.timer.Reset(b.timeout)
	n, err := b.body.Read(p[:min(int64(len(p)), b.left)])
	b.timer.Stop()
	b.left -= int64(n)
	if b.pace != nil && n > 0 {
		if late := b.pace(b.ctx, n); late != nil {
			return n, late
		}
	}
	if err == io.EOF && b.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (b *patientBody) Close() error {
	b.timer.Stop()
	b.cancel()
	return b.body.Close()
}
