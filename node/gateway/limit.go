package gateway

import (
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// Server returns a server for h with the limits on the time and size of headers
// that a gateway wants. h is the gateway, or a handler that it is part of.
func Server(h http.Handler) *http.Server {
	return &http.Server{Handler: h, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader}
}

// Listener returns l with a bound on the connections that are open at a time:
// others wait until one is closed.
func (g *Gateway) Listener(l net.Listener) net.Listener {
	return &limitedListener{Listener: l, slots: make(chan struct{}, g.opt.MaxConnections), done: make(chan struct{})}
}

type limitedListener struct {
	net.Listener
	slots chan struct{}
	done  chan struct{}
	once  sync.Once
}

func (l *limitedListener) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.done:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &limitedConn{Conn: c, leave: sync.OnceFunc(func() { <-l.slots })}, nil
}

func (l *limitedListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return l.Listener.Close()
}

type limitedConn struct {
	net.Conn
	leave func()
}

func (c *limitedConn) Close() error {
	defer c.leave()
	return c.Conn.Close()
}

// limitedWriter gives the client some time for each piece. Waiting for the
// pieces themselves takes as long as it takes.
type limitedWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration
}

// extend begins the time anew. A ResponseWriter that cannot, such as a test's,
// has no slow clients.
func (w *limitedWriter) extend() { w.control.SetWriteDeadline(time.Now().Add(w.timeout)) }

func (w *limitedWriter) Write(p []byte) (int, error) {
	w.extend()
	n, err := w.ResponseWriter.Write(p)
	if err == nil && w.Header().Get("Content-Length") != "" {
		// What is there goes out before anybody waits for the next piece.
		err = w.control.Flush()
		if errors.Is(err, http.ErrNotSupported) {
			err = nil
		}
	}
	return n, err
}

// Unwrap lets an http.ResponseController find what is below.
func (w *limitedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// limitedReader does the same for what a client sends.
type limitedReader struct {
	io.Reader
	control *http.ResponseController
	timeout time.Duration
}

func (r *limitedReader) Read(p []byte) (int, error) {
	r.control.SetReadDeadline(time.Now().Add(r.timeout))
	n, err := r.Reader.Read(p)
	if err != nil {
		r.control.SetReadDeadline(time.Time{})
	}
	return n, err
}
