package node

import "net"

// errClosed is the type of ErrClosed; it unwraps to net.ErrClosed.
type errClosed struct{}

func (errClosed) Error() string { return "closed" }
func (errClosed) Unwrap() error { return net.ErrClosed }
