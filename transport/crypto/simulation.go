package crypto

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/cespare/xxhash/v2"

	"rtmfp/internal/element"
)

// What Policy.Simulation does instead of cryptography. Everybody who sees the
// handshake can compute the keys, and nothing is encrypted; but a simulation of
// many nodes sees the behavior of the real thing: nobody opens what was meant
// for another session, is older than the replay window, or was damaged on the
// way, and packets have the size that they have under an AEAD.

const (
	simulationRandomSize = 32
	labelSimulation      = "rtmfp simulation"
)

func (in *Initiation) initiateSimulated(seed *Seed, p Policy) {
	in.simulated = true
	in.component = element.AppendOption(nil, keySimulation, seed[:simulationRandomSize])
	in.component = appendExtensions(in.component, p.Extensions)
}

func (in *Initiation) completeSimulated(far component, skrc []byte) (*SessionKeys, error) {
	if !far.simulation {
		return nil, fmt.Errorf("%w: the far end does not take part", ErrSimulation)
	}
	return simulatedSchedule(transcriptOf(in.identity.certificate, in.far, in.component, skrc), true), nil
}

func (id *Identity) respondSimulated(seed *Seed, far *Certificate, c component, skic []byte, p Policy) (skrc []byte, k *SessionKeys, err error) {
	skrc = element.AppendOption(nil, keySimulation, seed[:simulationRandomSize])
	skrc = appendExtensions(skrc, c.extensions&p.Extensions)
	return skrc, simulatedSchedule(transcriptOf(far, id.certificate, skic, skrc), false), nil
}

func simulatedSchedule(transcript [sha256.Size]byte, initiator bool) *SessionKeys {
	secret := func(role byte) [sha256.Size]byte {
		b := make([]byte, 0, len(labelSimulation)+1+len(transcript))
		b = append(append(b, labelSimulation...), role)
		return sha256.Sum256(append(b, transcript[:]...))
	}
	i, r := secret('i'), secret('r')
	if !initiator {
		i, r = r, i
	}
	return &SessionKeys{NearNonce: i, FarNonce: r, packets: &simulatedKeys{
		send:    binary.BigEndian.Uint64(i[:]),
		receive: binary.BigEndian.Uint64(r[:]),
	}}
}

// simulatedKeys are packetKeys without confidentiality:
//
//	[session id, scrambled: 4][packet number: 4][packet][hash: 8, twice]
type simulatedKeys struct {
	send, receive uint64 // seeds
	next          uint64 // number of the next packet sent
	replay        replay
}

func (k *simulatedKeys) suite() string              { return "none (simulation)" }
func (k *simulatedKeys) headroom() int              { return aeadNumberSize }
func (k *simulatedKeys) maxPacket(datagram int) int { return datagram - aeadOverhead }
func (k *simulatedKeys) worn() bool                 { return false }
func (k *simulatedKeys) rest()                      { k.replay.rest() }

func (k *simulatedKeys) seal(d []byte) []byte {
	number := k.next
	k.next++
	binary.BigEndian.PutUint32(d[sessionIDSize:], uint32(number)&^phaseBit)
	sum := simulatedHash(k.send, number, d[sessionIDSize:])
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(d, sum), sum)
}

func (k *simulatedKeys) open(d []byte) (packet []byte, err error) {
	if len(d) < aeadOverhead {
		return nil, ErrPacket
	}
	number := expand(binary.BigEndian.Uint32(d[sessionIDSize:])&^phaseBit, k.replay.next)
	if !k.replay.fresh(number) {
		return nil, ErrReplay
	}
	end := len(d) - aeadTagSize
	sum := simulatedHash(k.receive, number, d[sessionIDSize:end])
	if binary.BigEndian.Uint64(d[end:]) != sum || binary.BigEndian.Uint64(d[end+8:]) != sum {
		return nil, ErrVerify
	}
	k.replay.accept(number)
	return d[aeadHead:end], nil
}

func simulatedHash(seed, number uint64, b []byte) uint64 {
	var h xxhash.Digest
	h.ResetWithSeed(seed ^ number)
	_, _ = h.Write(b) // never fails
	return h.Sum64()
}
