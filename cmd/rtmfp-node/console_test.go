package main

import (
	"bytes"
	"testing"
)

// TestConsole checks that lines appear above the status line, and that there
// is none where nobody watches.
func TestConsole(t *testing.T) {
	var b bytes.Buffer
	c := newConsole(&b, true)
	c.printf("one")
	c.setStatus("busy")
	c.setStatus("busy") // no change, no output
	c.printf("two")
	c.setStatus("")
	if got, want := b.String(), "one\n"+clearLine+"busy"+clearLine+"two\nbusy"+clearLine; got != want {
		t.Errorf("terminal: got %q, want %q", got, want)
	}

	b.Reset()
	c = newConsole(&b, false)
	c.setStatus("busy")
	c.printf("one")
	c.setStatus("")
	if got, want := b.String(), "one\n"; got != want {
		t.Errorf("file: got %q, want %q", got, want)
	}
}
