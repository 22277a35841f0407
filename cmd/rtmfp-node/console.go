package main

import (
	"fmt"
	"io"
	"sync"
)

// console is stderr with an optional status line at its end that overwrites
// itself. Whole lines are written through it, by any goroutine, and appear
// above the status.
type console struct {
	mu     sync.Mutex
	w      io.Writer
	live   bool // a terminal: the status line is shown
	status string
}

func newConsole(w io.Writer, live bool) *console { return &console{w: w, live: live} }

// clearLine goes to the start of the line and erases it.
const clearLine = "\r\x1b[K"

// Write prints lines above the status. It makes a console an io.Writer for slog.
func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.status == "" {
		return c.w.Write(p)
	}
	io.WriteString(c.w, clearLine)
	n, err := c.w.Write(p)
	io.WriteString(c.w, c.status)
	return n, err
}

// printf prints one line.
func (c *console) printf(format string, args ...any) {
	fmt.Fprintf(c, format+"\n", args...)
}

// setStatus shows a status line in place of the one before; "" removes it.
func (c *console) setStatus(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.live || text == c.status {
		return
	}
	c.status = text
	io.WriteString(c.w, clearLine+text)
}
