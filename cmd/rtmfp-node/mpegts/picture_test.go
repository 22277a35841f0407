package mpegts

import (
	"bytes"
	"os"
	"testing"

	"github.com/asticode/go-astits"

	"rtmfp/cmd/rtmfp-node/demo"
)

// The clips in testdata have 24 pictures of 96x64 and 27 packets of sound:
//
//	ffmpeg -f lavfi -i testsrc2=size=96x64:rate=25 -f lavfi -i sine=frequency=440:sample_rate=32000 -t 0.96 \
//	  -c:v mpeg2video -b:v 60k -g 12 -bf 2 \
//	  -pix_fmt yuv420p -fflags +bitexact -flags:v +bitexact -flags:a +bitexact -c:a mp2 -b:a 32k -ac 1 \
//	  -pes_payload_size 300 -muxdelay 0.2 -muxpreload 0 mpeg2.ts
//
// and h265.ts with -c:v libx265 -b:v 200k
// -x265-params keyint=12:min-keyint=12:bframes=3:b-pyramid=1:info=0:pools=1:frame-threads=1.

// clipOf returns a clip.
func clipOf(t *testing.T, name string) []byte {
	t.Helper()
	if name == "" {
		return demo.Clip
	}
	data, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// picturesOf returns how many pictures there are of each class, and fails if one is of
// two, or if not all packets of a message that can be left out are of pictures that are whole in it.
func picturesOf(t *testing.T, all []Message, pid int) (n [3]int) {
	t.Helper()
	now := Class(255)
	for i, m := range all {
		for at := 0; at < len(m.Data); at += PacketSize {
			p := packet(m.Data[at:])[:PacketSize]
			if p.pid() != pid {
				if m.Class == Spare && p.pid() != nullPID {
					t.Fatalf("message %d can be left out, with a packet of pid %#x", i, p.pid())
				}
				continue
			}
			if p.unitStart() {
				now = m.Class
				n[now]++
			} else if (m.Class == Spare) != (now == Spare) {
				t.Fatalf("message %d is of class %d in a picture of class %d", i, m.Class, now)
			}
		}
	}
	return n
}

// The figures of pictures are those that ffprobe and ffmpeg's trace_headers tell: key
// frames, others that are referred to, and nal_ref_idc 0, TRAIL_N and RASL_N, or B.
func TestClassesOfClips(t *testing.T) {
	for _, tt := range []struct {
		name string
		want [3]int // pictures
	}{
		{"", [3]int{First: 20, Plain: 283, Spare: 197}},
		{"h265.ts", [3]int{First: 2, Plain: 12, Spare: 10}},
		{"mpeg2.ts", [3]int{First: 3, Plain: 6, Spare: 15}},
	} {
		data := clipOf(t, tt.name)
		for _, size := range []int{188, 64 << 10} {
			all, _, err := split(t, data, size)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(join(all), data) {
				t.Errorf("%q: the messages are not the input", tt.name)
			}
			if got := picturesOf(t, all, 0x100); got != tt.want {
				t.Errorf("%q: got pictures %v, want %v", tt.name, got, tt.want)
			}
			least := len(data) / PacketSize / DefaultMessagePackets
			if len(all) > least*3/2+tt.want[First]+creditMax/2 {
				t.Errorf("%q: got %d messages of %d packets", tt.name, len(all), len(data)/PacketSize)
			}
			var first []byte
			for _, m := range all {
				if m.Class == First {
					first = append(first, m.Data...)
				}
			}
			isFirst := func(_ int, p packet) bool { return p.pid() != 0x100 && p.pid() != 0x11 && p.pid() != nullPID }
			if !bytes.Equal(filter(first, isFirst), filter(data, isFirst)) {
				t.Errorf("%q: there is sound or a table that is not of the first class", tt.name)
			}
		}
	}
}

// Whatever of the spare messages is left out, there is no jump in the continuity counter
// of another stream, and none within a picture.
func TestWithoutSpare(t *testing.T) {
	all, _, err := split(t, demo.Clip, 4096)
	if err != nil {
		t.Fatal(err)
	}
	var left []byte
	n := 0
	for _, m := range all {
		if m.Class == Spare {
			if n++; n%3 != 0 {
				continue
			}
		}
		left = append(left, m.Data...)
	}
	counters := map[int]byte{}
	jumps := 0
	filter(left, func(n int, p packet) bool {
		pid := p.pid()
		last, ok := counters[pid]
		if p.hasPayload() {
			counters[pid] = p.counter()
		}
		if !ok || !p.hasPayload() || p.counter() == (last+1)&15 {
			return false
		}
		if jumps++; pid != 0x100 || !p.unitStart() {
			t.Errorf("packet %d of pid %#x comes after a jump", n, pid)
		}
		return false
	})
	if jumps == 0 {
		t.Error("nothing was left out")
	}
}

// nalStream is a stream of one picture after another, the first of ten with the last of units.
func nalStream(t *testing.T, kind astits.StreamType, units ...[]byte) []byte {
	return stream(t, kind, func(n int) []byte {
		var b []byte
		if u := units[n%len(units)]; u != nil {
			b = append(append([]byte{0, 0, 0, 1}, u...), bytes.Repeat([]byte{0x55}, 2000)...)
		}
		return b
	})
}

// Pictures of higher layers refer to those of lower ones that their own layer does not need.
func TestTemporalLayers(t *testing.T) {
	for layers := range byte(3) {
		parameters := []byte{33 << 1, 1, layers << 1, 0, 0, 0, 1, 19 << 1, 1}
		data := nalStream(t, astits.StreamTypeH265Video, parameters, []byte{1 << 1, 1}, []byte{0, 1}, []byte{0, 2}, []byte{0, 3})
		all, _, err := split(t, data, 1000)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := picturesOf(t, all, 0x100), [3]int{First: 10, Plain: 30, Spare: 10}; got != want {
			t.Errorf("%d layers: got pictures %v, want %v", layers+1, got, want)
		}
		for _, m := range all {
			if i := bytes.Index(m.Data, []byte{0, 0, 0, 1, 0}); m.Class == Spare && m.Data[i+5] != layers+1 {
				t.Errorf("%d layers: a picture of layer %d can be left out", layers+1, m.Data[i+5])
			}
		}
	}
}

// The first slice may come packets after the beginning of the picture, and start codes
// lie across packets.
func TestLateSlice(t *testing.T) {
	for before := range 700 {
		sei := append([]byte{6}, bytes.Repeat([]byte{0x80}, before)...)
		unit := func(nal byte) []byte { return append(append(bytes.Clone(sei), 0, 0, 1), nal) }
		data := nalStream(t, astits.StreamTypeH264Video, unit(0x65), unit(0x41), unit(0x01), unit(0x01))
		all, _, err := split(t, data, 1000)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(join(all), data) {
			t.Fatalf("%d bytes before the slice: the messages are not the input", before)
		}
		if got, want := picturesOf(t, all, 0x100), [3]int{First: 13, Plain: 13, Spare: 24}; got != want {
			t.Fatalf("%d bytes before the slice: got pictures %v, want %v", before, got, want)
		}
	}
	// If it comes later still, or never, the picture is plain.
	for _, late := range [][]byte{bytes.Repeat([]byte{0x80}, 3000), nil} {
		unit := append(late, 0, 0, 1, 1)
		if late == nil {
			unit = []byte{6, 0x80}
		}
		data := nalStream(t, astits.StreamTypeH264Video, unit)
		all, _, err := split(t, data, 1000)
		if err != nil || !bytes.Equal(join(all), data) {
			t.Fatalf("got error %v, or not the input", err)
		}
		if got, want := picturesOf(t, all, 0x100), [3]int{Plain: 50}; got != want {
			t.Errorf("without a slice near the beginning: got pictures %v, want %v", got, want)
		}
	}
}

// What can't be looked into, or is damaged, is not left out rather than other things.
func TestPlainWhenInDoubt(t *testing.T) {
	data := nalStream(t, astits.StreamTypeH264Video, []byte{0x65}, []byte{0x01}, []byte{0x41})
	video := 0
	for _, tt := range []struct {
		name string
		data []byte
		want [3]int
	}{
		{"as it is", data, [3]int{First: 17, Plain: 16, Spare: 17}},
		{"scrambled", edit(data, func(p packet) {
			if p.pid() == 0x100 {
				p[3] |= 0x80
			}
		}), [3]int{First: 2, Plain: 48}}, // two of them right behind tables
		{"another codec", nalStream(t, astits.StreamTypeVC1Video, []byte{0x65}, []byte{0x01}), [3]int{Plain: 50}},
		{"a reference in the same picture", nalStream(t, astits.StreamTypeH264Video, []byte{0x01, 0, 0, 1, 0x41}), [3]int{Plain: 50}},
		{"the beginnings of plain pictures are lost", filter(data, func(_ int, p packet) bool {
			if p.pid() == 0x100 && p.unitStart() {
				video++
				return video%3 != 0
			}
			return true
		}), [3]int{}},
	} {
		all, _, err := split(t, tt.data, 1000)
		if err != nil || !bytes.Equal(join(all), tt.data) {
			t.Fatalf("%s: got error %v, or not the input", tt.name, err)
		}
		if tt.name == "the beginnings of plain pictures are lost" {
			for i, m := range all {
				if n := len(m.Data) / PacketSize; m.Class == Spare && n > 12 {
					t.Errorf("%s: message %d has %d packets", tt.name, i, n)
				}
			}
			continue
		}
		if got := picturesOf(t, all, 0x100); got != tt.want {
			t.Errorf("%s: got pictures %v, want %v", tt.name, got, tt.want)
		}
	}
}

// Where streams change from packet to packet, messages are not cut for each.
func TestCutsAreFew(t *testing.T) {
	sound := filter(audioStream(t), func(_ int, p packet) bool { return p.pid() == 0x100 })
	var data []byte
	filter(demo.Clip, func(n int, p packet) bool {
		data = append(data, p...)
		if p.pid() == 0x100 { // a packet of sound after each
			at := n * PacketSize % len(sound)
			s := packet(bytes.Clone(sound[at : at+PacketSize]))
			s[1], s[2] = s[1]&^0x1f|0x01, 0x01
			data = append(data, s...)
		}
		return false
	})
	all, _, err := split(t, data, 4096)
	if err != nil || !bytes.Equal(join(all), data) {
		t.Fatalf("got error %v, or not the input", err)
	}
	n := len(data) / PacketSize / DefaultMessagePackets
	if len(all) > n*3/2+clipKeys+creditMax {
		t.Errorf("got %d messages, want half as many again as %d at most", len(all), n)
	}
	for _, m := range all {
		if m.Class == First {
			continue
		}
		filter(m.Data, func(_ int, p packet) bool {
			if p.pid() == 0x101 {
				t.Error("there is sound in a message of another class")
			}
			return false
		})
	}
}
