package transport

import (
	"net"
	"os"
)

// Errors of calls and reasons in events. Those that mean an end unwrap to
// net.ErrClosed, those that mean a wait in vain to os.ErrDeadlineExceeded.
var (
	// ErrClosed: the session or flow is closed on this side.
	ErrClosed error = &reason{"transport: closed", net.ErrClosed}
	// ErrFarClosed: the far end closed the session.
	ErrFarClosed error = &reason{"transport: closed by the far end", net.ErrClosed}
	// ErrReplaced: the far end opened another session in place of this one.
	ErrReplaced error = &reason{"transport: replaced by a newer session of the far end", net.ErrClosed}
	// ErrRejected: the far end refuses the flow.
	ErrRejected error = &reason{"transport: flow rejected by the far end", net.ErrClosed}
	// ErrOpenTimeout: nobody who is who was asked for answered in time.
	ErrOpenTimeout error = &reason{"transport: no answer within the open timeout", os.ErrDeadlineExceeded}
	// ErrTimeout: the far end gave no sign of life for Config.RetransmitLimit.
	ErrTimeout error = &reason{"transport: the far end is silent", os.ErrDeadlineExceeded}
	// ErrDuplicate: another session with the same far end exists already.
	ErrDuplicate error = &reason{"transport: a session with the same far end exists", nil}
	// ErrCrypto: the two ends have no acceptable cryptography in common.
	ErrCrypto error = &reason{"transport: no acceptable cryptography in common", nil}
	// ErrSelf: the peer that was dialed is this endpoint.
	ErrSelf error = &reason{"transport: that is this endpoint itself", nil}
	// ErrDiscriminator: an endpoint discriminator is empty or over 1000 bytes.
	ErrDiscriminator error = &reason{"transport: impossible endpoint discriminator", nil}
	// ErrTooManySessions: Config.MaxSessions or MaxOpening is reached.
	ErrTooManySessions error = &reason{"transport: too many sessions", nil}
	// ErrTooManyFlows: Config.MaxFlowsPerSession is reached.
	ErrTooManyFlows error = &reason{"transport: too many flows", nil}
	// ErrFull: Config.SendBuffer does not hold the message; it was not queued.
	ErrFull error = &reason{"transport: send buffer is full", nil}
	// ErrTooLong: the message is over Config.MaxMessage, or metadata over 512 bytes.
	ErrTooLong error = &reason{"transport: message or metadata is too long", nil}
)

type reason struct {
	text  string
	cause error
}

func (r *reason) Error() string { return r.text }
func (r *reason) Unwrap() error { return r.cause }
