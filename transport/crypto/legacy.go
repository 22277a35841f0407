package crypto

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"

	"rtmfp/internal/element"
)

func (in *Initiation) initiateLegacy(seed *Seed, p Policy) error {
	key, ok := in.identity.chooseGroup(in.far)
	if !ok {
		return ErrNoCommonGroup
	}
	var b []byte
	if key.x != nil {
		b = element.AppendOptionVLU(b, keyGroupSelect, uint64(key.group.id))
		b = element.AppendOption(b, keyRandomness, seed[:])
	} else {
		var err error
		if key, err = key.group.newKey(seed[:]); err != nil {
			return err
		}
		b = appendGroupKey(b, keyEphemeral, key.group.id, key.public)
	}
	b = appendHMACOption(b, p.HMAC.flags(), p)
	b = element.AppendOption(b, keySSEQ, []byte{p.SSEQ.flags()})
	in.legacy, in.component = key, b
	return nil
}

// chooseGroup returns the first of the identity's groups that the far end has.
func (id *Identity) chooseGroup(far *Certificate) (modpKey, bool) {
	for _, k := range id.legacy {
		if far.supports(k.group.id) {
			return k, true
		}
	}
	return modpKey{}, false
}

func (in *Initiation) completeLegacy(far component, skrc []byte) (*SessionKeys, error) {
	group := in.legacy.group.id
	public, static := in.far.staticKey(group)
	if !static {
		if !far.hasEphemeral || far.ephemeralGroup != group {
			return nil, fmt.Errorf("%w: no key of group %d", ErrKeying, group)
		}
		public = far.ephemeral
	}
	dh, err := in.legacy.secret(public)
	if err != nil {
		return nil, err
	}
	return legacySchedule(group, dh, in.component, skrc)
}

func (id *Identity) respondLegacy(seed *Seed, far *Certificate, c component, skic []byte, p Policy) (skrc []byte, k *SessionKeys, err error) {
	group, public, err := initiatorKey(far, c)
	if err != nil {
		return nil, nil, err
	}
	key, ok := id.legacyKey(group)
	if !ok {
		return nil, nil, fmt.Errorf("%w: the initiator selected group %d", ErrNoCommonGroup, group)
	}
	static := key.x != nil
	if !static {
		if key, err = key.group.newKey(seed[:]); err != nil {
			return nil, nil, err
		}
	}
	skrc = element.AppendOption(nil, keySSEQ, []byte{answer(p.SSEQ.flags(), c.sseq)})
	skrc = appendHMACOption(skrc, answer(p.HMAC.flags(), c.hmac), p)
	if static {
		skrc = element.AppendOption(skrc, keyRandomness, seed[:])
	} else {
		skrc = appendGroupKey(skrc, keyEphemeral, group, key.public)
	}
	dh, err := key.secret(public)
	if err != nil {
		return nil, nil, err
	}
	k, err = legacySchedule(group, dh, skrc, skic)
	return skrc, k, err
}

// initiatorKey returns the group that the initiator chose and its public key: a
// static one is in the certificate and selected by number, an ephemeral one is
// in the component (RFC 7425 §4.6.1).
func initiatorKey(far *Certificate, c component) (DHGroup, []byte, error) {
	if !far.static() {
		if !c.hasEphemeral || c.hasSelected {
			return 0, nil, fmt.Errorf("%w: no ephemeral key", ErrKeying)
		}
		return c.ephemeralGroup, c.ephemeral, nil
	}
	if !c.hasSelected || c.hasEphemeral {
		return 0, nil, fmt.Errorf("%w: no group selected", ErrKeying)
	}
	public, ok := far.staticKey(c.selected)
	if !ok {
		return 0, nil, fmt.Errorf("%w: no static key of the selected group %d", ErrKeying, c.selected)
	}
	return c.selected, public, nil
}

func appendHMACOption(b []byte, flags uint8, p Policy) []byte {
	length := p.HMACLength
	switch {
	case p.HMAC == Never: // "0 if and only if willSendAlways and willSendOnRequest are clear"
		length = 0
	case length == 0:
		length = defaultHMACLength
	}
	return element.AppendOption(b, keyHMAC, element.AppendVLU([]byte{flags}, uint64(length)))
}

// legacySchedule derives the keys from the shared secret and both components as
// they were on the wire (RFC 7425 §4.6.3 to §4.6.6).
func legacySchedule(group DHGroup, dh, near, far []byte) (*SessionKeys, error) {
	n, err := parseComponent(near)
	if err != nil {
		return nil, err
	}
	f, err := parseComponent(far)
	if err != nil {
		return nil, err
	}
	k := &cbcKeys{group: group}
	sendHMAC, receiveHMAC, err := negotiate(n.hmac, f.hmac, "HMAC")
	if err != nil {
		return nil, err
	}
	k.send.numbered, k.receive.numbered, err = negotiate(n.sseq, f.sseq, "sequence number")
	if err != nil {
		return nil, err
	}
	encrypt := sum(dh, sum(far, near))
	decrypt := sum(dh, sum(near, far))
	copy(k.send.key[:], encrypt)
	copy(k.receive.key[:], decrypt)
	if sendHMAC {
		k.send.hmacKey, k.send.hmacLength = [sha256.Size]byte(sum(dh, encrypt)), int(n.hmacLength)
	}
	if receiveHMAC {
		if !validHMACLength(f.hmacLength) {
			return nil, fmt.Errorf("%w: an HMAC of %d bytes", ErrKeying, f.hmacLength)
		}
		k.receive.hmacKey, k.receive.hmacLength = [sha256.Size]byte(sum(dh, decrypt)), int(f.hmacLength)
	}
	return &SessionKeys{
		NearNonce: [32]byte(sum(dh, near)),
		FarNonce:  [32]byte(sum(dh, far)),
		packets:   k,
	}, nil
}

// sum returns HMAC-SHA256(key, message).
func sum(key, message []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(message)
	return h.Sum(nil)
}
