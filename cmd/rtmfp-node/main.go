// Command rtmfp-node is a node of RTMFP groups: it makes groupspecs, relays
// live streams and introduces newcomers, publishes MPEG-TS, plays it to a
// file, a pipe, or a browser, and shows all of that in one process as a demo.
//
// docs/cli.md describes the commands and exit codes. The work is done by
// package node; this program parses, paces, prints, and serves HTTP.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// sameSignal is how long signals count as one.
const sameSignal = 500 * time.Millisecond

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal asks for an orderly end; a second one then has its usual
	// effect and ends the process at once. Not right away, though: timeout(1)
	// and some shells send the same signal to the process and to its group.
	context.AfterFunc(ctx, func() { time.AfterFunc(sameSignal, stop) })
	// A reader of stdout that goes away is to end a command like any other
	// error would, in an orderly way.
	signal.Ignore(syscall.SIGPIPE)
	e := &env{
		stdin:    os.Stdin,
		stdout:   os.Stdout,
		console:  newConsole(os.Stderr, isTerminal(os.Stderr)),
		terminal: isTerminal(os.Stderr),
	}
	os.Exit(run(ctx, e, os.Args[1:]))
}

// env is the process around a command, as far as commands touch it.
type env struct {
	stdin    io.Reader
	stdout   io.Writer
	console  *console // stderr: log lines, the status line, the one line of an error
	terminal bool     // somebody watches stderr
}

// run parses args and carries out the command. It returns the exit code; the
// one line that says what went wrong has been printed by then.
func run(ctx context.Context, e *env, args []string) int {
	kctx, helped, err := parse(e, args)
	if helped {
		return exitOK
	}
	if err == nil {
		kctx.BindTo(ctx, (*context.Context)(nil))
		err = kctx.Run(e)
	}
	e.console.setStatus("")
	if err == nil {
		return exitOK
	}
	code, line := explain(err)
	e.console.printf("rtmfp-node: %s", line)
	return code
}

// isTerminal reports whether f is a character device, which is what decides
// whether a status line that overwrites itself is of use.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
