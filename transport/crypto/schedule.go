package crypto

import "crypto/sha256"

// Strings of the modern key schedule (docs/crypto.md).
const (
	labelTranscript      = "rtmfp modern 1 transcript"
	labelInitiatorSecret = "rtmfp modern 1 initiator secret"
	labelInitiatorNonce  = "rtmfp modern 1 initiator nonce"
	labelResponderSecret = "rtmfp modern 1 responder secret"
	labelResponderNonce  = "rtmfp modern 1 responder nonce"
	labelKey             = "rtmfp modern 1 key"
	labelUpdate          = "rtmfp modern 1 update"
)

// schedule is everything that both ends derive.
type schedule struct {
	initiatorSecret, responderSecret [sha256.Size]byte // of the packets of each, generation 0
	initiatorNonce, responderNonce   [sha256.Size]byte
}

// transcriptOf returns the digest of all that was said: both whole certificates
// and both components.
func transcriptOf(initiator, responder *Certificate, skic, skrc []byte) [sha256.Size]byte {
	b := make([]byte, 0, len(labelTranscript)+4*sha256.Size)
	b = append(b, labelTranscript...)
	for _, part := range [...][]byte{initiator.raw, responder.raw, skic, skrc} {
		digest := sha256.Sum256(part)
		b = append(b, digest[:]...)
	}
	return sha256.Sum256(b)
}

// modernSchedule derives the keys from the shared secrets and from the
// transcript, so that a change of anything that was said by anybody in between
// gives the two ends different keys.
func modernSchedule(secrets []byte, transcript [sha256.Size]byte) (s schedule) {
	master := hmacSum(transcript[:], secrets) // HKDF-Extract
	for _, out := range [...]struct {
		label string
		to    *[sha256.Size]byte
	}{
		{labelInitiatorSecret, &s.initiatorSecret},
		{labelInitiatorNonce, &s.initiatorNonce},
		{labelResponderSecret, &s.responderSecret},
		{labelResponderNonce, &s.responderNonce},
	} {
		expandSecret(out.to[:], master[:], out.label)
	}
	return s
}

// keys returns the keys of one end.
func (s *schedule) keys(initiator bool, cipher Suite, hybrid bool, p *Policy) *SessionKeys {
	a := &aeadKeys{cipher: cipher, hybrid: hybrid}
	a.update.after = p.updateAfter()
	k := &SessionKeys{packets: a}
	if initiator {
		k.NearNonce, k.FarNonce = s.initiatorNonce, s.responderNonce
		a.send.secret, a.receive.secret = s.initiatorSecret, s.responderSecret
	} else {
		k.NearNonce, k.FarNonce = s.responderNonce, s.initiatorNonce
		a.send.secret, a.receive.secret = s.responderSecret, s.initiatorSecret
	}
	return k
}
