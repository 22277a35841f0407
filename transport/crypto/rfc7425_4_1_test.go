package crypto

// RFC 7425 §4.1, Default Session Key.

import (
	"bytes"
	"testing"
)

// "The Default Session Key uses checksum mode for packet verification and does
// not use session sequence numbers" (§4.1).
func TestDefaultKeyVector(t *testing.T) {
	v := readVectors(t)[0]
	plain, want := v.bytes(t, "PLAIN"), v.bytes(t, "DATAGRAM")
	k := DefaultKeys()
	if got := seal(k, plain, 0); !bytes.Equal(got, want) {
		t.Errorf("sealed %x, want %x", got, want)
	}
	if got := SessionID(want); got != 0 {
		t.Errorf("session id: got %#x, want 0", got)
	}
	got, err := k.Open(bytes.Clone(want))
	if err != nil || !bytes.Equal(unpad(got, plain), plain) {
		t.Errorf("opened %x, %v, want %x", got, err, plain)
	}
	if !bytes.Contains(plain, EPDForURL("rtmfp://a/b")) {
		t.Errorf("the EPD of the URL is %x, not that in %x", EPDForURL("rtmfp://a/b"), plain)
	}
	epd := v.fields["EPD"]
	fingerprint := unhex(t, epd[len(epd)-1])
	if got := EPDForPeer(PeerID(fingerprint[2:])); !bytes.Equal(got, fingerprint) {
		t.Errorf("EPD of a peer: got %x, want %x", got, fingerprint)
	}
}
