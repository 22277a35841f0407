package crypto

// Key update (docs/crypto.md). The keys of both directions change together from
// one generation to the next, with no message of their own: the lowest bit of
// the generation stands before the packet number. Whoever first sees a packet
// of the next generation open follows with what it sends.

// DefaultUpdateAfter is the number of packets that each end seals under one key
// before it updates: 5 GB of full packets, a sixty-fourth of what AES-GCM is
// good for.
const DefaultUpdateAfter = 1 << 22

// maxUpdateAfter leaves room for what is sent until the update is possible.
const maxUpdateAfter = maxAEADPackets / 4

// updateState is what an end knows of the generations of its keys.
type updateState struct {
	// previous opens packets of the generation before that arrive late, and
	// goes when the replay window no longer reaches back to them. following is
	// made for the first packet that claims to be of the next generation.
	previous  *aeadCipher
	following *aeadDirection

	first uint64 // the lowest number opened under the key for receiving

	sent   uint32 // packets sealed under the key for sending; maxAEADPackets bounds it
	forged uint32 // packets that did not open since the last update
	after  uint32 // packets until an update is due

	// sendGeneration is receiveGeneration, or one more while our update has
	// not been seen to be followed.
	sendGeneration, receiveGeneration uint32
}

// generation tells under whose keys a packet is, seen from those for receiving.
type generation int8

const (
	previousGeneration  generation = -1
	currentGeneration   generation = 0
	followingGeneration generation = 1
)

// due reports whether the next packet shall be the first under new keys. It
// waits for a packet of the current generation, the proof that the far end has
// these keys; so no more than one update is ever on its way.
func (u *updateState) due(k *aeadKeys) bool {
	return (u.sent >= u.after || u.forged >= maxForged) &&
		u.sendGeneration == u.receiveGeneration &&
		k.replay.next > u.first
}

// updateSend begins to seal under the keys of the next generation.
func (k *aeadKeys) updateSend() {
	k.send = k.send.successor()
	k.update.sendGeneration++
	k.update.sent, k.update.forged = 0, 0
}

// cipherFor returns what opens a packet with the given phase bit and number;
// nil if there is nothing.
func (k *aeadKeys) cipherFor(phase uint32, number uint64) (*aeadCipher, generation) {
	u := &k.update
	switch {
	case phase == u.receiveGeneration&1:
		return k.receive.wake(k.cipher), currentGeneration
	case number < u.first:
		return u.previous, previousGeneration
	case number < k.replay.next:
		return nil, 0 // amid those of this generation: a sender never goes back
	case u.sendGeneration == u.receiveGeneration && u.sent == 0:
		// It could not have the proof that it needs to update again. This
		// bounds what a far end can make us derive by what we send.
		return nil, 0
	case u.following == nil:
		next := k.receive.successor()
		u.following = &next
	}
	return u.following.wake(k.cipher), followingGeneration
}

// received takes note of a packet that was opened.
func (k *aeadKeys) received(by generation, number uint64) {
	u := &k.update
	switch by {
	case followingGeneration:
		u.previous, k.receive, u.following = k.receive.cipher, *u.following, nil
		u.receiveGeneration++
		u.first = number
		if u.sendGeneration < u.receiveGeneration {
			k.updateSend()
		}
	case currentGeneration:
		u.first = min(u.first, number)
	}
	if u.previous != nil && k.replay.next-u.first >= ReplayWindow {
		u.previous = nil
	}
}
