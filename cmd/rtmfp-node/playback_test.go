package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"rtmfp/group"
	"rtmfp/node"
)

// fillingWriter calls full when it has got so many bytes.
type fillingWriter struct {
	bytes.Buffer
	size int
	full func()
}

func (w *fillingWriter) Write(b []byte) (int, error) {
	n, err := w.Buffer.Write(b)
	if w.full != nil && w.Len() >= w.size {
		w.full()
		w.full = nil
	}
	return n, err
}

// Who asks for more than anybody holds gets all of it, from the publisher if there is nobody
// else, and is told.
func TestPlayBack(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	spec := testSpec(t, group.SpecFields{Multicast: true, ServerChannel: true})
	n, err := node.Start(ctx, node.Config{Listen: "127.0.0.1:0", Introduce: true, KeepWindow: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	g, err := n.Join(ctx, spec)
	if err != nil {
		t.Fatal(err)
	}
	pub, err := g.Publish(ctx, "cam", node.PublishOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var want bytes.Buffer
	for i := range 300 {
		msg := fmt.Appendf(nil, "%06d%s", i, strings.Repeat("x", 10*i))
		want.Write(msg)
		if err := pub.WriteMessage(msg, time.Duration(i)*time.Millisecond, i%50 == 0); err != nil {
			t.Fatal(err)
		}
	}
	var errs bytes.Buffer
	out := &fillingWriter{size: want.Len(), full: func() { pub.Close() }}
	e := &env{stdin: strings.NewReader(""), stdout: out, console: newConsole(&errs, false)}
	code := run(ctx, e, []string{"play", "--group", spec, "--stream=cam", "--bootstrap", fmt.Sprintf("rtmfp://%v", n.Addr()),
		"--listen=127.0.0.1:0", "--identity=none", "--back=1h", "-o-"})
	if code != exitOK || !bytes.Equal(out.Bytes(), want.Bytes()) {
		t.Errorf("code %d, %d bytes of %d: %s", code, out.Len(), want.Len(), errs.String())
	}
	if !strings.Contains(errs.String(), "no member holds what is 1h0m0s old; playing from") {
		t.Errorf("told %q", errs.String())
	}
}
