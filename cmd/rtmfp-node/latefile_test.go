package main

import (
	"io"
	"os"
	"path/filepath"
	"testing"
)

// An earlier recording stays until the first bytes of the next one are there.
func TestOutputKeepsEarlierRecording(t *testing.T) {
	name := filepath.Join(t.TempDir(), "cam1.ts")
	if err := os.WriteFile(name, []byte("yesterday"), 0o644); err != nil {
		t.Fatal(err)
	}
	content := func() string {
		t.Helper()
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	open := func() io.WriteCloser {
		t.Helper()
		w, err := (&playCmd{Output: name}).openOutput(nil)
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	w := open()
	if err := w.Close(); err != nil {
		t.Errorf("Close before any write: %v", err)
	}
	if got := content(); got != "yesterday" {
		t.Errorf("without a stream: got %q, want what was there", got)
	}
	w = open()
	for _, part := range []string{"to", "day"} {
		if _, err := w.Write([]byte(part)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if got := content(); got != "today" {
		t.Errorf("with a stream: got %q, want %q", got, "today")
	}
}
