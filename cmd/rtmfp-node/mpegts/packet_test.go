package mpegts

import "testing"

func TestClockAndStampRoundTrip(t *testing.T) {
	for _, v := range []uint64{0, 1, 299, 300, clockHz, 1<<32*300 + 7, clockWrap - 1} {
		var b [6]byte
		putClock(b[:], v)
		if got := clock(b[:]); got != v {
			t.Errorf("clock: got %d, want %d", got, v)
		}
	}
	for _, v := range []uint64{0, 1, 1 << 15, 1<<30 + 5, stampWrap - 1} {
		b := [5]byte{0x31, 0, 1, 0, 1}
		putStamp(b[:], v)
		if got := stamp(b[:]); got != v {
			t.Errorf("stamp: got %d, want %d", got, v)
		}
		if b[0]&0xf1 != 0x31 || b[2]&1 != 1 || b[4]&1 != 1 {
			t.Errorf("stamp %d: the marker bits changed: %x", v, b)
		}
	}
}

func TestStampDiff(t *testing.T) {
	tests := []struct {
		a, b uint64
		want int64
	}{
		{5, 3, 2}, {3, 5, -2}, {1, stampWrap - 1, 2}, {stampWrap - 1, 1, -2}, {7, 7, 0},
	}
	for _, tt := range tests {
		if got := stampDiff(tt.a, tt.b); got != tt.want {
			t.Errorf("stampDiff(%d, %d) = %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}

// Any bytes may follow the sync byte.
func FuzzPacket(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		p := make(packet, PacketSize)
		copy(p[1:], b)
		p[0] = syncByte
		if f := p.pcrField(); f != nil {
			clock(f)
		}
		if f := p.opcrField(); f != nil {
			clock(f)
		}
		if h, ok := p.pes(); ok {
			h.decodeTime()
			for _, c := range []codec{codecOther, codecMPEG2, codecH264, codecH265} {
				keyFrame(p, h, c)
			}
		}
	})
}
