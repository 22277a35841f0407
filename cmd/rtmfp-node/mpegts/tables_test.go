package mpegts

import (
	"bytes"
	"context"
	"testing"

	"github.com/asticode/go-astits"

	"rtmfp/cmd/rtmfp-node/demo"
)

// stream multiplexes two seconds of access units of a stream type.
func stream(t testing.TB, kind astits.StreamType, unit func(n int) []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	m := astits.NewMuxer(context.Background(), &b, astits.MuxerOptTablesRetransmitPeriod(40))
	if err := m.AddElementaryStream(astits.PMTElementaryStream{ElementaryPID: 0x100, StreamType: kind}); err != nil {
		t.Fatal(err)
	}
	m.SetPCRPID(0x100)
	id := uint8(0xe0)
	if kind.IsAudio() {
		id = 0xc0
	}
	for n := range 50 {
		ticks := int64(n * 3600)
		_, err := m.WriteData(&astits.MuxerData{
			PID: 0x100,
			AdaptationField: &astits.PacketAdaptationField{
				HasPCR: true, PCR: &astits.ClockReference{Base: ticks},
			},
			PES: &astits.PESData{
				Header: &astits.PESHeader{
					StreamID: id,
					OptionalHeader: &astits.PESOptionalHeader{
						MarkerBits: 2, PTSDTSIndicator: astits.PTSDTSIndicatorOnlyPTS,
						PTS: &astits.ClockReference{Base: ticks + 9000},
					},
				},
				Data: unit(n),
			},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

func audioStream(t testing.TB) []byte {
	return stream(t, astits.StreamTypeAACAudio, func(int) []byte { return make([]byte, 400) })
}

func TestKeyFramesByCodec(t *testing.T) {
	nal := func(head ...byte) []byte { return append(append([]byte{0, 0, 0, 1}, head...), make([]byte, 500)...) }
	each := func(key, other []byte) func(int) []byte {
		return func(n int) []byte {
			if n%10 == 0 {
				return key
			}
			return other
		}
	}
	aud := []byte{0, 0, 0, 1, 9, 0xf0}
	tests := []struct {
		name string
		kind astits.StreamType
		unit func(int) []byte
	}{
		{"H.264 IDR", astits.StreamTypeH264Video, each(append(aud, nal(0x65)...), append(aud, nal(0x41)...))},
		{"H.264 parameter sets", astits.StreamTypeH264Video, each(append(aud, nal(0x67)...), append(aud, nal(0x41)...))},
		{"H.265 IDR", astits.StreamTypeH265Video, each(nal(19<<1, 1), nal(1<<1, 1))},
		{"H.265 parameter sets", astits.StreamTypeH265Video, each(nal(32<<1, 1), nal(1<<1, 1))},
		{"MPEG-2 sequence", astits.StreamTypeMPEG2Video, each([]byte{0, 0, 1, 0xb3, 1, 2, 3}, []byte{0, 0, 1, 0, 1, 0xb3, 0, 0, 1, 0xb3})},
	}
	for _, tt := range tests {
		all, _, err := split(t, stream(t, tt.kind, tt.unit), 1000)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(keys(all)); got != 5 {
			t.Errorf("%s: got %d key messages, want 5", tt.name, got)
		}
	}
}

func TestAudioStreamStartsAtTables(t *testing.T) {
	data := audioStream(t)
	all, _, err := split(t, data, 1000)
	if err != nil {
		t.Fatal(err)
	}
	found := keys(all)
	if len(found) < 2 {
		t.Fatalf("got %d key messages, want some", len(found))
	}
	for i, m := range found {
		if !StartsWithTables(m.Data) {
			t.Errorf("key message %d does not begin with the PAT", i)
		}
	}
}

func TestTablesPackets(t *testing.T) {
	var v Tables
	v.Observe(demo.Clip[:2*PacketSize])
	if v.Packets() != nil {
		t.Error("got tables before there was a PMT")
	}
	v.Observe(demo.Clip[2*PacketSize : 100*PacketSize])
	var again Tables
	again.Observe(v.Packets())
	if !again.t.ok || again.t.prog != v.t.prog {
		t.Errorf("the tables say %+v, those of the stream %+v", again.t.prog, v.t.prog)
	}
	if want := (program{clockPID: 0x100, leadPID: 0x100, video: true, codec: codecH264}); v.t.prog != want {
		t.Errorf("got %+v, want %+v", v.t.prog, want)
	}
}

func TestDamagedTablesLeaveTheOldOnes(t *testing.T) {
	var v tables
	damaged := edit(demo.Clip[:4*PacketSize], func(p packet) { p[20] ^= 0xff })
	for _, data := range [][]byte{demo.Clip[:4*PacketSize], damaged} {
		for ; len(data) > 0; data = data[PacketSize:] {
			v.add(packet(data[:PacketSize]))
		}
		if !v.ok || v.prog.leadPID != 0x100 {
			t.Fatalf("got program %+v (%v)", v.prog, v.ok)
		}
	}
}
