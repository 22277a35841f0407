package host

import (
	"errors"
	"fmt"
	"net"
)

// ErrAbandoned says that a message was given up before it was acknowledged:
// its deadline passed, its flow was aborted, or the far end refused the flow.
var ErrAbandoned = errors.New("host: message given up")

// errClosed is for handles of a host that was closed.
var errClosed = fmt.Errorf("host: closed: %w", net.ErrClosed)

// RejectedError says that the far end refuses a flow. It unwraps to
// net.ErrClosed.
type RejectedError struct {
	Code uint64 // the far end's reason, 0 if it gave none
}

func (e *RejectedError) Error() string {
	return fmt.Sprintf("host: flow rejected by the far end with code %d", e.Code)
}

func (e *RejectedError) Unwrap() error { return net.ErrClosed }
