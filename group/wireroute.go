package group

import (
	"encoding/binary"

	"rtmfp/internal/element"
	"rtmfp/ring"
)

// Directed routing has a flow of its own between two members, which either end
// opens when it has something to say there, associated with the far end's
// session flow. All of it is ours: only members that offer FeatureRouting get
// to see it. docs/group-wire.md specifies it.

// MetadataRoute is that of the flow of routed messages.
var MetadataRoute = []byte{0, 'G', 'R', 0x1d}

// First bytes of messages on it.
const (
	msgRoute  = 0x20
	msgAnswer = 0x21
)

// Flags of a routed message.
const (
	routeExact   = 1 << iota // only for the member that has the very address
	routeOneHop              // for whoever gets it, it is not passed on
	routeRequest             // an answer with a payload will follow
)

// Codes of answers.
const (
	answerDelivered = 0 // the responder has it
	answerReply     = 1 // and this is its reply
	answerNoRoute   = 2 // nobody to pass it on to, or the hop limit was reached
	answerRefused   = 3 // the responder does not take it
)

// routeMessage is a message on its way to the member nearest to an address:
//
//	20 | id (8) | flags | hops made | hops left | VLU service | target (32) | origin (32) | payload
type routeMessage struct {
	id      RouteID
	flags   byte
	hops    uint8
	left    uint8
	service Service
	target  ring.Addr
	origin  PeerID
	payload []byte
}

// offsetHops is where the two bytes are that change from hop to hop.
const offsetHops = 1 + 8 + 1

func (m *routeMessage) append(b []byte) []byte {
	b = append(b, msgRoute)
	b = binary.BigEndian.AppendUint64(b, uint64(m.id))
	b = append(b, m.flags, m.hops, m.left)
	b = element.AppendVLU(b, uint64(m.service))
	b = append(b, m.target[:]...)
	b = append(b, m.origin[:]...)
	return append(b, m.payload...)
}

func parseRoute(msg []byte) (m routeMessage, ok bool) {
	if len(msg) < offsetHops+2 || msg[0] != msgRoute {
		return m, false
	}
	m.id = RouteID(binary.BigEndian.Uint64(msg[1:]))
	m.flags, m.hops, m.left = msg[9], msg[offsetHops], msg[offsetHops+1]
	b := msg[offsetHops+2:]
	service, n := element.ConsumeVLU(b)
	if n == 0 || len(b) < n+64 || len(b)-n-64 > MaxRouted {
		return m, false
	}
	m.service = Service(service)
	b = b[n:]
	copy(m.target[:], b)
	copy(m.origin[:], b[32:])
	m.payload = b[64:]
	return m, true
}

// answer travels back on the way that a routed message came:
//
//	21 | id (8) | code | hops that the message made | responder (32) | payload
type answer struct {
	id        RouteID
	code      byte
	hops      uint8
	responder PeerID
	payload   []byte
}

func (a *answer) append(b []byte) []byte {
	b = append(b, msgAnswer)
	b = binary.BigEndian.AppendUint64(b, uint64(a.id))
	b = append(b, a.code, a.hops)
	b = append(b, a.responder[:]...)
	return append(b, a.payload...)
}

func parseAnswer(msg []byte) (a answer, ok bool) {
	const fixed = 1 + 8 + 2 + 32
	if len(msg) < fixed || len(msg) > fixed+MaxRouted || msg[0] != msgAnswer {
		return a, false
	}
	a.id = RouteID(binary.BigEndian.Uint64(msg[1:]))
	a.code, a.hops = msg[9], msg[10]
	copy(a.responder[:], msg[11:])
	a.payload = msg[fixed:]
	return a, true
}
