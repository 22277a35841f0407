package node

import (
	"encoding/binary"

	"rtmfp/transport"
)

// MessageWatch is told of the messages of groups and their services as they are
// queued and delivered, so that a simulation can compare the two. A flow is
// named by both ends alike: by a number of its session's direction and its own.
type MessageWatch struct {
	Sent      func(f FlowName, msg []byte)
	Delivered func(f FlowName, ordered bool, msg []byte)
}

// FlowName names a flow in one direction of a session.
type FlowName struct{ Session, Flow uint64 }

func (w *MessageWatch) sent(f *transport.SendFlow, msg []byte) {
	near, _ := f.Session().Nonces()
	w.Sent(FlowName{binary.BigEndian.Uint64(near[:]), f.ID()}, msg)
}

func (w *MessageWatch) delivered(f *transport.RecvFlow, ordered bool, msg []byte) {
	_, far := f.Session().Nonces()
	w.Delivered(FlowName{binary.BigEndian.Uint64(far[:]), f.ID()}, ordered, msg)
}
