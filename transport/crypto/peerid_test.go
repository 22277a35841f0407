package crypto

import (
	"strings"
	"testing"
)

func TestPeerIDText(t *testing.T) {
	p := PeerID{0xab, 31: 0xcd}
	if got, err := ParsePeerID(strings.ToUpper(p.String())); err != nil || got != p {
		t.Errorf("got %v, %v, want %v", got, err, p)
	}
	for _, bad := range []string{"", "ab", p.String() + "00", "x" + p.String()[1:]} {
		if _, err := ParsePeerID(bad); err == nil {
			t.Errorf("ParsePeerID(%q) succeeded", bad)
		}
	}
}
