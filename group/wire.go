package group

import (
	"encoding/hex"

	"rtmfp/internal/element"
)

// Metadata of the flows of this package: 00, two letters, and what it is for.
var (
	MetadataSession = []byte{0, 'G', 'R', 0x1c} // between members
	MetadataChannel = []byte{0, 'G', 'C'}       // to and from an introducer
)

// First bytes of messages on a session flow. Those marked ours are sent only
// to members that offer FeatureBase; see docs/group-wire.md.
const (
	msgInit         = 0x01
	msgAccepted     = 0x02
	msgReport       = 0x0a
	msgCloseRequest = 0x0c
	msgBegin        = 0x0e
	msgBeginNearest = 0x0f // a member that receives for the nearest address
	msgBye          = 0x1e // ours
	msgRevocations  = 0x1d // ours, to members that offer FeatureRevoke

	// To members that offer FeatureRouting.
	msgTable = 0x1a // whom the sender is linked with
	msgWant  = 0x1b // tell me of these in your table
	msgGone  = 0x1c // a neighbor of the sender is dead, it thinks
	msgHeal  = 0x16 // members are back that were thought to be dead
)

// First bytes of messages on a channel flow.
const (
	msgJoin   = 0x01
	msgMember = 0x0b
	msgServed = 0x1f // ours
)

// Options in these messages.
const (
	optGroupID   = 0x00 // lower-case hex, in init
	optProof     = 0x01 // in init; in join it is ours
	optReceiver  = 0x03 // in init
	optFeatures  = 0x10 // in init, ours
	optNumber    = 0x11 // in init, ours: which flow belongs to which
	optWish      = 0x12 // in init, ours: see Config.Wish
	optAddresses = 0x0a // in reports
	optReflexive = 0x0d // in reports
	optNotice    = 0x10 // in reports, ours: news only, no answer is wanted
	optPeerID    = 0x0f // in reports, and inside optReceiver
	optJoinSpec  = 0x10 // in join: the raw groupspec instead of the id
	optJoinID    = 0x15 // in join
)

// maxWish is how long a wish may be.
const maxWish = 64

// initMessage is the first message on a session flow: it proves membership.
type initMessage struct {
	group    [32]byte
	proof    [32]byte
	receiver PeerID
	features Features // 0 from members that know of none
	number   uint16   // of this session flow, 0 from members that count none
	seen     uint16   // of the last one of the receiver that the sender took, 0: none
	answers  bool     // to it; otherwise that has ended
	wish     []byte   // of the sender's services; empty: none
}

func (m *initMessage) append(b []byte) []byte {
	var text [64]byte
	hex.Encode(text[:], m.group[:])
	b = append(b, msgInit)
	b = element.AppendOption(b, optGroupID, text[:])
	b = element.AppendOption(b, optProof, m.proof[:])
	b = appendPeerOption(b, optReceiver, m.receiver)
	if m.features != 0 {
		b = element.AppendOptionVLU(b, optFeatures, uint64(m.features))
	}
	if m.number != 0 {
		seen := uint64(m.seen) << 1
		if m.answers {
			seen |= 1
		}
		b = element.AppendVLU(b, uint64(1+element.SizeVLU(uint64(m.number))+element.SizeVLU(seen)))
		b = append(b, optNumber)
		b = element.AppendVLU(b, uint64(m.number))
		b = element.AppendVLU(b, seen)
	}
	if len(m.wish) > 0 {
		b = element.AppendOption(b, optWish, m.wish)
	}
	return b
}

// appendPeerOption appends an option whose value is the peer id as the option
// of a discriminator: 21 0f and the id.
func appendPeerOption(b []byte, typ uint64, p PeerID) []byte {
	b = element.AppendVLU(b, uint64(element.SizeVLU(typ)+2+len(p)))
	b = element.AppendVLU(b, typ)
	return element.AppendOption(b, optPeerID, p[:])
}

// consumePeer reads a peer id as the option of a discriminator.
func consumePeer(b []byte) (p PeerID, n int) {
	o, n := element.ConsumeOption(b)
	if n == 0 || o.Marker || o.Type != optPeerID || len(o.Value) != len(p) {
		return p, 0
	}
	return PeerID(o.Value), n
}

// beginMessage is what tells a neighbor that all is said, and how this member
// receives routed messages.
func (g *Group) beginMessage() byte {
	if g.receive == ReceiveNearest {
		return msgBeginNearest
	}
	return msgBegin
}

func parseInit(msg []byte) (m initMessage, ok bool) {
	if len(msg) == 0 || msg[0] != msgInit {
		return m, false
	}
	var group, proof, receiver bool
	for b := msg[1:]; len(b) > 0; {
		o, n := element.ConsumeOption(b)
		if n == 0 {
			return m, false
		}
		b = b[n:]
		if o.Marker {
			break
		}
		switch o.Type {
		case optGroupID:
			m.group, group = parseHexID(o.Value)
		case optProof:
			if proof = len(o.Value) == len(m.proof); proof {
				m.proof = [32]byte(o.Value)
			}
		case optReceiver:
			var n int
			m.receiver, n = consumePeer(o.Value)
			receiver = n != 0
		case optFeatures:
			v, n := element.ConsumeVLU(o.Value)
			if n == 0 {
				return m, false
			}
			m.features = Features(v)
		case optNumber:
			v, n := element.ConsumeVLU(o.Value)
			seen, k := element.ConsumeVLU(o.Value[n:])
			if n == 0 || k == 0 || v == 0 || v > maxNumber || seen>>1 > maxNumber || seen == 1 {
				return m, false
			}
			m.number, m.seen, m.answers = uint16(v), uint16(seen>>1), seen&1 != 0
		case optWish:
			if n := len(o.Value); n > 0 && n <= maxWish {
				m.wish = o.Value
			}
		}
	}
	return m, group && proof && receiver
}

// parseHexID reads an id in hex, of either case.
func parseHexID(text []byte) (id [32]byte, ok bool) {
	if len(text) != 2*len(id) {
		return id, false
	}
	_, err := hex.Decode(id[:], text)
	return id, err == nil
}

// ParseInitGroupID returns the group id in a session-init message, which is
// the first one on a flow with MetadataSession, so that a driver finds the
// group that a new flow belongs to. It may then call that group's FlowOpened,
// and after it Message with this message.
func ParseInitGroupID(msg []byte) (id [32]byte, ok bool) {
	m, ok := parseInit(msg)
	return m.group, ok
}

// joinMessage is the first message on a flow with MetadataChannel: a question
// for members. proven tells whether it came with a proof, as ours do.
type joinMessage struct {
	group  [32]byte
	proof  [32]byte
	proven bool
}

func (m *joinMessage) append(b []byte) []byte {
	b = append(b, msgJoin)
	b = element.AppendOption(b, optJoinID, m.group[:])
	if m.proven {
		b = element.AppendOption(b, optProof, m.proof[:])
	}
	return b
}

func parseJoin(msg []byte) (m joinMessage, ok bool) {
	if len(msg) == 0 || msg[0] != msgJoin {
		return m, false
	}
	for b := msg[1:]; len(b) > 0; {
		o, n := element.ConsumeOption(b)
		if n == 0 {
			return m, false
		}
		b = b[n:]
		if o.Marker {
			break
		}
		switch o.Type {
		case optJoinID:
			if ok = len(o.Value) == len(m.group); ok {
				m.group = [32]byte(o.Value)
			}
		case optJoinSpec:
			// Old players tell the groupspec itself.
			if s, err := ParseSpec(string(o.Value)); err == nil {
				m.group, ok = s.ID(), true
			}
		case optProof:
			if m.proven = len(o.Value) == len(m.proof); m.proven {
				m.proof = [32]byte(o.Value)
			}
		}
	}
	return m, ok
}

// ParseJoinGroupID returns the group id in the first message of a flow with
// MetadataChannel; see ParseInitGroupID.
func ParseJoinGroupID(msg []byte) (id [32]byte, ok bool) {
	m, ok := parseJoin(msg)
	return m.group, ok
}

// appendMember appends an introducer's word that p is a member.
func appendMember(b []byte, p PeerID) []byte {
	return append(append(b, msgMember), p[:]...)
}

func parseMember(msg []byte) (p PeerID, ok bool) {
	if len(msg) < 1+len(p) || msg[0] != msgMember {
		return p, false
	}
	return PeerID(msg[1 : 1+len(p)]), true
}

// appendBye appends the reason for which the sender closes the session flow.
func appendBye(b []byte, r Reason) []byte {
	return element.AppendVLU(append(b, msgBye), uint64(byeCode(r)))
}

// Reasons on the wire, which may grow apart from those in events.
const (
	byeLeaving = 0 // leaves the group
	byeParting = 1 // the link is not needed
	byeFull    = 2 // no room for more links
)

func byeCode(r Reason) int {
	switch r {
	case ReasonLeaving:
		return byeLeaving
	case ReasonFull:
		return byeFull
	default:
		return byeParting
	}
}

func parseBye(msg []byte) (r Reason, ok bool) {
	if len(msg) < 2 || msg[0] != msgBye {
		return ReasonNone, false
	}
	code, n := element.ConsumeVLU(msg[1:])
	switch {
	case n == 0:
		return ReasonNone, false
	case code == byeLeaving:
		return ReasonLeft, true
	case code == byeFull:
		return ReasonRefused, true
	default:
		return ReasonParted, true
	}
}
