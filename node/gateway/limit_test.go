package gateway

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"rtmfp/replication/content"
)

func TestWhoMayAsk(t *testing.T) {
	s := newShelf()
	url := "/files/" + s.add("x", "", []byte("x")).manifest.Hash.String()
	base := served(t, s, Options{Hosts: []string{"Files.example.org"}, Origins: []string{"https://player.example.org"}})
	for host, code := range map[string]int{"": 200, "localhost": 200, "localhost:80": 200, "[::1]:8080": 200, "192.0.2.1": 200, "files.example.org:8080": 200,
		"evil.example.org": 421, "localhost.evil.example.org": 421} {
		if resp, _ := ask(t, "GET", base+url, "Host", host); resp.StatusCode != code {
			t.Errorf("host %q: %s, want %d", host, resp.Status, code)
		}
	}
	for origin, want := range map[string]string{"https://player.example.org": "https://player.example.org", "https://evil.example.org": "", "null": ""} {
		if resp, _ := ask(t, "GET", base+url, "Origin", origin); resp.Header.Get("Access-Control-Allow-Origin") != want {
			t.Errorf("origin %s: %v", origin, resp.Header)
		}
	}
	resp, _ := ask(t, "OPTIONS", base+url, "Origin", "https://player.example.org", "Access-Control-Request-Method", "PUT")
	if got := resp.Header.Get("Access-Control-Allow-Methods"); resp.StatusCode != 204 || got != "GET, HEAD" {
		t.Errorf("preflight: %s, %q", resp.Status, got)
	}
}

// Requests, connections, headers, and slow clients are bounded.
func TestLimits(t *testing.T) {
	s := newShelf()
	b := s.add("x", "", text(64<<20))
	waiting := s.add("y", "", text(1000))
	waiting.there = make(chan struct{})
	path := "/files/" + b.manifest.Hash.String()

	// A client that takes nothing is cut off: the file is closed again.
	base := served(t, s, Options{Timeout: 50 * time.Millisecond})
	slow, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	fmt.Fprintf(slow, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path)
	s.wait(func() bool { return s.opened > 0 && s.open == 0 })

	base = served(t, s, Options{MaxRequests: 2})
	addr := strings.TrimPrefix(base, "http://")

	// Two that wait are all that there is room for.
	for range 2 {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprintf(c, "GET /files/%s HTTP/1.1\r\nHost: localhost\r\n\r\n", waiting.manifest.Hash)
	}
	s.waitOpen(2)
	if resp, _ := ask(t, "GET", base+path); resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
		t.Errorf("a third request: %s", resp.Status)
	}
	close(waiting.there)

	// The server may hang up before it has read it all, and so before the client
	// has read the answer.
	req, _ := http.NewRequest("GET", base+path, nil)
	req.Header.Set("X-Long", strings.Repeat("x", 64<<10))
	if resp, err := http.DefaultClient.Do(req); err == nil {
		resp.Body.Close()
		if resp.StatusCode != 431 {
			t.Errorf("long headers: %s", resp.Status)
		}
	}
	s.waitOpen(0)
}

// A file or name that is not found in time is a timeout of the gateway.
func TestNotInTime(t *testing.T) {
	s := &never{newShelf()}
	w := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "/files/"+content.Sum(nil).String(), nil)
	r.Host = "localhost"
	New(s, Options{Wait: time.Millisecond}).ServeHTTP(w, r)
	if w.Code != http.StatusGatewayTimeout {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

type never struct{ *shelf }

func (n *never) Open(ctx context.Context, _ Want) (File, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestConnections(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := New(newShelf(), Options{MaxConnections: 1}).Listener(inner)
	for range 2 {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	first, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	second := make(chan net.Conn)
	go func() {
		c, _ := l.Accept()
		second <- c
	}()
	select {
	case <-second:
		t.Error("a second connection beside the first")
	default:
	}
	first.Close()
	first.Close() // gives one slot back, not two
	c := <-second
	l.Close()
	if c2, err := l.Accept(); err == nil {
		t.Errorf("a connection of a closed listener: %v", c2.RemoteAddr())
	}
	c.Close()
}
