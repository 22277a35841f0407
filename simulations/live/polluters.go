package live

import (
	"bytes"
	"math/rand/v2"
	"time"

	"rtmfp/group"
	"rtmfp/internal/clock"
)

// lies is what came of members that pollute.
type lies struct {
	shown  int             // false bytes that a player was given
	cutOff []time.Duration // from the first false fragment that one sent to another until that one cut it off
	caught map[[2]group.PeerID]bool
	wrong  int // honest members that were cut off
}

// Pollute has a share of the viewers send on every fragment altered from now on;
// half of them pass digests on as they should be, so that their own are believed
// the longer. What they see of the stream themselves is not counted any more. It takes a
// world of messages.
func (a *Audience) Pollute(share float64) {
	rng := rand.New(rand.NewPCG(a.cfg.Seed, 0x706f6c6c))
	viewers := a.Viewers()
	a.lies.caught = map[[2]group.PeerID]bool{}
	for no, i := range rng.Perm(len(viewers))[:int(share*float64(len(viewers)))] {
		m := viewers[i]
		m.polluted = map[group.PeerID]clock.Time{}
		m.bare.Alter = func(to group.PeerID, metadata, msg []byte) []byte {
			digest := len(msg) < int(a.media)/2 // it is shorter than what is written
			if !bytes.Equal(metadata, []byte{0x00, 0x47, 0x52, 0x12}) || digest && no%2 == 0 {
				return msg
			}
			if _, before := m.polluted[to]; !before {
				m.polluted[to] = a.world.now()
			}
			msg = bytes.Clone(msg)
			msg[len(msg)-1] ^= 1
			return msg
		}
	}
}

// banned notes that a member cut another off.
func (a *Audience) banned(by *Member, peer group.PeerID) {
	for _, m := range a.members {
		if m.Peer != peer {
			continue
		}
		at, lied := m.polluted[by.Peer]
		if !lied {
			a.lies.wrong++
			return
		}
		a.lies.caught[[2]group.PeerID{m.Peer, by.Peer}] = true
		a.lies.cutOff = append(a.lies.cutOff, a.world.now().Sub(at))
	}
}

// trusted returns how many members were sent something false longer than a
// time ago by one that they have not cut off, and are still linked with: what is under way
// when a link ends does not arrive.
func (a *Audience) trusted(d time.Duration) int {
	n := 0
	linked := map[[2]group.PeerID]bool{}
	for _, m := range a.Viewers() {
		for nb := range m.group.Group().Neighbors() {
			linked[[2]group.PeerID{nb.Peer, m.Peer}] = true
		}
	}
	for _, m := range a.Viewers() {
		for to, at := range m.polluted { // order-free: a sum
			if pair := [2]group.PeerID{m.Peer, to}; a.world.now().Sub(at) > d && !a.lies.caught[pair] && linked[pair] {
				n++
			}
		}
	}
	return n
}
