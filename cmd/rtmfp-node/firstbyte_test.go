package main

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"rtmfp/group"
	"rtmfp/node"
	"rtmfp/node/store"
)

// BenchmarkFirstByte asks a gateway for files of 8 MiB that only its neighbor
// has, none of which it has heard of, and tells how long the first byte takes,
// from the request on: the median, and what one in twenty and the slowest take.
func BenchmarkFirstByte(b *testing.B) {
	s, err := group.NewSpec(group.SpecFields{Name: "first", Version: 2, Replication: true, ServerChannel: true})
	if err != nil {
		b.Fatal(err)
	}
	open := func(bootstrap ...string) (*node.Node, *node.Group, *store.Store) {
		kept, err := store.Open(b.TempDir(), store.Options{})
		if err != nil {
			b.Fatal(err)
		}
		n, err := node.Start(b.Context(), node.Config{Listen: "127.0.0.1:0", Introduce: len(bootstrap) == 0, Bootstrap: bootstrap, Store: kept})
		if err != nil {
			b.Fatal(err)
		}
		g, err := n.Join(b.Context(), s.String())
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() {
			n.Close()
			kept.Close()
		})
		return n, g, kept
	}
	first, holder, _ := open()
	_, g, kept := open("rtmfp://" + first.Addr().String())
	web := webFlags{HTTP: "127.0.0.1:0"}
	l, err := web.serveFiles(kept, []*node.Group{g}, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	const size = 8 << 20
	dir := b.TempDir()
	var took []time.Duration
	for i := 0; b.Loop(); i++ {
		data := make([]byte, size)
		copy(data, fmt.Sprint("file ", i))
		path := filepath.Join(dir, fmt.Sprint(i))
		if err := os.WriteFile(path, data, 0o644); err != nil {
			b.Fatal(err)
		}
		link, err := holder.Objects().Share(b.Context(), path, node.ShareOptions{})
		if err != nil {
			b.Fatal(err)
		}
		began := time.Now()
		resp, err := http.Get(fmt.Sprintf("http://%s/files/%s?size=%d", l.Addr(), link.Hash, size))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(resp.Body, data[:1]); err != nil || resp.StatusCode != http.StatusOK {
			b.Fatalf("%s, %v", resp.Status, err)
		}
		took = append(took, time.Since(began))
		if n, err := io.Copy(io.Discard, resp.Body); n != size-1 || err != nil {
			b.Fatalf("%d bytes more, %v", n, err)
		}
		resp.Body.Close()
	}
	slices.Sort(took)
	for name, at := range map[string]int{"ms-p50": 50, "ms-p95": 95, "ms-max": 100} {
		b.ReportMetric(took[min(len(took)*at/100, len(took)-1)].Seconds()*1000, name)
	}
	b.ReportMetric(0, "ns/op")
}
