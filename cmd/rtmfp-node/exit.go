package main

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"

	"rtmfp/node"
)

// Exit codes, documented in docs/cli.md and in the program's help.
const (
	exitOK          = 0 // done, or ended by SIGINT or SIGTERM in an orderly way
	exitFailure     = 1 // something failed while running
	exitUsage       = 2 // the command line is wrong: flag, groupspec, URL, address
	exitUnreachable = 3 // no introducer answered, or it did not admit us
	exitInput       = 4 // the input can't be read, is not MPEG-TS, ends within a packet, or is too large
	exitBusy        = 5 // an address to listen on is taken
	exitNoStream    = 6 // the stream or the file did not appear within --wait
	exitNoRoute     = 7 // no member is at the address, or too many hops
	exitRefused     = 8 // nobody there listens
	exitTimeout     = 9 // no answer came in time
)

// exitError is an error that decides the exit code.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// failf makes an error that ends the program with a code.
func failf(code int, format string, args ...any) error {
	return &exitError{code, fmt.Errorf(format, args...)}
}

// explain turns an error into the exit code and the one line to print.
func explain(err error) (code int, line string) {
	code = exitFailure
	var own *exitError
	if errors.As(err, &own) {
		code = own.code
	}
	return code, strings.Join(strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
}

// startError explains why a node did not start on the UDP address listen.
func startError(err error, listen string) error {
	var dns *net.DNSError
	switch {
	case isWrongAddress(err):
		return failf(exitUsage, "--listen: %q is no address of this machine (%w); write HOST:PORT or :PORT", listen, reason(err))
	case errors.Is(err, syscall.EADDRINUSE):
		return failf(exitBusy, "UDP address %s is in use by another process; choose another with --listen", listen)
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EADDRNOTAVAIL):
		return failf(exitBusy, "can't listen on UDP address %s (%w); choose another with --listen", listen, errors.Unwrap(err))
	case errors.As(err, &dns):
		return failf(exitUnreachable, "%w; check the host's name in --bootstrap", err)
	}
	return err
}

// joinError explains why a node did not get into a group.
func joinError(err error, f *nodeFlags) error {
	urls := f.bootstrapList()
	switch {
	case errors.Is(err, node.ErrNoIntroducer):
		return failf(exitUnreachable, "no introducer answered at %s within %v; check the address, that a node runs there, and that UDP gets through",
			strings.Join(urls, ", "), f.JoinTimeout)
	case errors.Is(err, node.ErrRefused):
		return failf(exitUnreachable, "the introducer at %s does not serve this group; start it with the same --group", strings.Join(urls, ", "))
	}
	return err
}

// httpError explains why the HTTP server did not start.
func httpError(err error, addr string) error {
	switch {
	case isWrongAddress(err):
		return failf(exitUsage, "--http: %q is no address of this machine (%w); write HOST:PORT or :PORT", addr, reason(err))
	case errors.Is(err, syscall.EADDRINUSE):
		return failf(exitBusy, "HTTP address %s is in use by another process; choose another with --http", addr)
	}
	return failf(exitBusy, "can't serve HTTP on %s (%w); choose another address with --http", addr, reason(err))
}

// isWrongAddress reports whether an address to listen on is malformed or names
// a host or port that does not exist, so that no other process is to blame.
func isWrongAddress(err error) bool {
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "listen" {
		return false
	}
	var malformed *net.AddrError
	var unknown *net.DNSError
	return errors.As(op, &malformed) || errors.As(op, &unknown)
}

// reason returns what a failed network operation met, without the words about
// which operation it was.
func reason(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}
