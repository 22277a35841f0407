package store

import (
	"path/filepath"
	"testing"

	"rtmfp/replication/content"
)

const benchSize = 64 << 20

// A whole download, to the disk and synced: WriteBlock of every block.
func BenchmarkDownload(b *testing.B) {
	src := newSource(randomData(1, benchSize))
	b.SetBytes(benchSize)
	b.ReportAllocs()
	for b.Loop() {
		s, err := Open(filepath.Join(b.TempDir(), "s"), Options{})
		if err != nil {
			b.Fatal(err)
		}
		created(b, s, "x", src.data)
		for i := range src.tree.Blocks() {
			sent(b, s, src, i)
		}
		if err := s.Sync(src.tree.Root()); err != nil {
			b.Fatal(err)
		}
		closed(b, s)
	}
}

// Every block with its proof, checked.
func BenchmarkReadBlock(b *testing.B) {
	s := opened(b, b.TempDir(), Options{})
	h := added(b, s, "x", randomData(1, benchSize)).Manifest.Hash
	buf := make([]byte, 0, content.BlockSize+content.MaxProof)
	b.SetBytes(benchSize)
	b.ReportAllocs()
	for b.Loop() {
		for i := range benchSize / content.BlockSize {
			if _, _, err := s.ReadBlock(h, i, 24, buf); err != nil {
				b.Fatal(err)
			}
		}
	}
}
