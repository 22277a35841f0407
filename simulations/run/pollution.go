package run

import (
	"bytes"

	"rtmfp/node"
)

// pollution is what a member does to what it passes on of the stream.
type pollution struct {
	begun   bool
	digests bool // to signatures as well; otherwise its own fragments are believed the longer
	piece   int  // bytes of media in a fragment
}

// alter returns what is sent in place of a message.
func (p *pollution) alter(msg []byte) []byte {
	const marks, start = 0x30, 0x65 // docs/multicast.md: the first byte of a fragment, and of one that answers a wish
	isFragment := len(msg) > 0 && (msg[0]&^marks == 0 || msg[0] == start)
	digest := len(msg) < p.piece/2 // it is shorter than what is written
	if !p.begun || !isFragment || digest && !p.digests {
		return msg
	}
	msg = bytes.Clone(msg)
	msg[len(msg)-1] ^= 1
	return msg
}

// pollute has a member send on everything altered from now on. What it sees
// itself does not count any more, as others cut it off.
func (r *run) pollute(m *member, digests bool) {
	m.evil = true
	m.pollution.begun, m.pollution.digests = true, digests
	r.closeViewer(m, false)
	if m.watch != nil {
		m.watch.apart = true
	}
}

// cutOff notes that a member takes nothing of the stream from another any more,
// which must not befall an honest one.
func (r *run) cutOff(m *member, peer node.PeerID) {
	o := r.byPeer[peer]
	if o == nil {
		return
	}
	if !o.evil {
		r.net.Fail(m.node, "ban", "an honest member was cut off")
		return
	}
	r.tell(m, "cut_off", "%d", o.node.Number())
}
