package mpegts

import (
	"bytes"
	"errors"
	"os"
	"testing"
	"time"

	"rtmfp/cmd/rtmfp-node/demo"
)

// The clip: 20 s, a key frame each second with tables before it.
const clipKeys = 20

// split returns the messages of data, written in pieces of size bytes.
func split(t testing.TB, data []byte, size int) ([]Message, *Splitter, error) {
	t.Helper()
	var all []Message
	s := NewSplitter(SplitterOptions{})
	keep := func(m Message) error { all = append(all, m); return nil }
	for rest := data; len(rest) > 0; {
		n := min(size, len(rest))
		if err := s.Write(bytes.Clone(rest[:n]), keep); err != nil {
			return all, s, err
		}
		rest = rest[n:]
	}
	return all, s, s.Close(keep)
}

func join(all []Message) []byte {
	var b []byte
	for _, m := range all {
		b = append(b, m.Data...)
	}
	return b
}

func keys(all []Message) (k []Message) {
	for _, m := range all {
		if m.Key {
			k = append(k, m)
		}
	}
	return k
}

// edit returns a copy of a stream in which f has had each packet.
func edit(data []byte, f func(p packet)) []byte {
	data = bytes.Clone(data)
	for i := 0; i+PacketSize <= len(data); i += PacketSize {
		f(packet(data[i : i+PacketSize]))
	}
	return data
}

// filter returns the packets of a stream that f wants.
func filter(data []byte, f func(n int, p packet) bool) (b []byte) {
	for i := 0; i+PacketSize <= len(data); i += PacketSize {
		if p := packet(data[i : i+PacketSize]); f(i/PacketSize, p) {
			b = append(b, p...)
		}
	}
	return b
}

func TestSplitterKeepsEveryByte(t *testing.T) {
	for _, size := range []int{1, 187, 188, 189, 1316, 64 << 10, len(demo.Clip)} {
		data := demo.Clip
		if size == 1 {
			data = data[:200*PacketSize]
		}
		all, s, err := split(t, data, size)
		if err != nil {
			t.Fatalf("pieces of %d: %v", size, err)
		}
		if !bytes.Equal(join(all), data) {
			t.Errorf("pieces of %d: the messages are not the input", size)
		}
		if s.Skipped() != 0 {
			t.Errorf("pieces of %d: skipped %d bytes, want 0", size, s.Skipped())
		}
		for i, m := range all {
			most := DefaultMessagePackets
			if m.Class == Spare {
				most = maxSparePackets
			}
			if len(m.Data) == 0 || len(m.Data) > most*PacketSize || len(m.Data)%PacketSize != 0 {
				t.Fatalf("pieces of %d: message %d has %d bytes", size, i, len(m.Data))
			}
		}
	}
}

func TestKeyMessagesBeginWithTables(t *testing.T) {
	all, _, err := split(t, demo.Clip, 4096)
	if err != nil {
		t.Fatal(err)
	}
	found := keys(all)
	if len(found) != clipKeys {
		t.Fatalf("got %d key messages, want %d", len(found), clipKeys)
	}
	for i, m := range found {
		if got, want := m.PTS, time.Duration(i)*time.Second; got != want {
			t.Errorf("key message %d is at %v, want %v", i, got, want)
		}
		if !StartsWithTables(m.Data) {
			t.Errorf("key message %d does not begin with the PAT", i)
		}
		if pmt := packet(m.Data[PacketSize:]); pmt.pid() != 0x1000 {
			t.Errorf("key message %d: the second packet has pid %#x, want the PMT's", i, pmt.pid())
		}
		if video := packet(m.Data[2*PacketSize:]); video.pid() != 0x100 || !video.randomAccess() {
			t.Errorf("key message %d: the third packet does not start a key frame", i)
		}
	}
	last := time.Duration(0)
	for i, m := range all {
		if m.PTS < last {
			t.Fatalf("message %d is at %v, after %v", i, m.PTS, last)
		}
		last = m.PTS
	}
	if want := 19960 * time.Millisecond; last != want {
		t.Errorf("the last message is at %v, want %v", last, want)
	}
}

func TestKeyFramesWithoutIndicator(t *testing.T) {
	data := edit(demo.Clip, func(p packet) {
		if a := p.adaptation(); a != nil {
			a[0] &^= flagRandomAccess
		}
	})
	all, _, err := split(t, data, 4096)
	if err != nil {
		t.Fatal(err)
	}
	if got := len(keys(all)); got != clipKeys {
		t.Errorf("got %d key messages, want %d", got, clipKeys)
	}
}

func TestKeyFramesWithoutTables(t *testing.T) {
	// Tables only at the very beginning.
	data := filter(demo.Clip, func(n int, p packet) bool {
		return n < 10 || p.pid() != patPID && p.pid() != 0x1000
	})
	all, _, err := split(t, data, 4096)
	if err != nil {
		t.Fatal(err)
	}
	found := keys(all)
	if len(found) != clipKeys {
		t.Fatalf("got %d key messages, want %d", len(found), clipKeys)
	}
	for i, m := range found {
		if p := packet(m.Data); i > 0 && (p.pid() != 0x100 || !p.randomAccess()) {
			t.Errorf("key message %d does not begin with the key frame", i)
		}
	}
	if !bytes.Equal(join(all), data) {
		t.Error("the messages are not the input")
	}
}

func TestResync(t *testing.T) {
	garbage := bytes.Repeat([]byte{0x47, 1, 2, 3, 0x47}, 50)
	clip := demo.Clip[:100*PacketSize]
	cut := 41 * PacketSize
	var data []byte
	data = append(data, garbage...)
	data = append(data, clip[:cut]...)
	data = append(data, garbage[1:]...) // where a sync byte is expected there is none
	data = append(data, clip[cut:]...)
	for _, size := range []int{1, 188, 1000, len(data)} {
		all, s, err := split(t, data, size)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(join(all), clip) {
			t.Errorf("pieces of %d: the messages are not the packets", size)
		}
		if got, want := s.Skipped(), int64(2*len(garbage)-1); got != want {
			t.Errorf("pieces of %d: skipped %d, want %d", size, got, want)
		}
	}
}

func TestBadInput(t *testing.T) {
	text := bytes.Repeat([]byte("This is not a video. "), 100)
	tests := []struct {
		name string
		data []byte
		want string
	}{
		{"empty", nil, "the input is empty: not an MPEG transport stream"},
		{"text", text, "no packet in 2100 bytes of input: not an MPEG transport stream"},
		{"much text", bytes.Repeat(text, 600), "no packet in the first 1048593 bytes: not an MPEG transport stream"},
		{"less than a packet", demo.Clip[:100], "no packet in 100 bytes of input: not an MPEG transport stream"},
	}
	for _, tt := range tests {
		all, _, err := split(t, tt.data, 1000)
		if !errors.Is(err, ErrNotTS) {
			t.Errorf("%s: got error %v, want ErrNotTS", tt.name, err)
		} else if tt.name != "much text" && err.Error() != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, err, tt.want)
		}
		if len(all) != 0 {
			t.Errorf("%s: got %d messages, want none", tt.name, len(all))
		}
	}
}

func TestTruncatedInput(t *testing.T) {
	for _, have := range []int{1, 100, PacketSize - 1} {
		whole := 50 * PacketSize
		all, _, err := split(t, demo.Clip[:whole+have], 1000)
		var e *TruncatedError
		if !errors.As(err, &e) || e.Offset != int64(whole) || e.Have != have {
			t.Errorf("%d bytes too many: got error %v", have, err)
		}
		if !bytes.Equal(join(all), demo.Clip[:whole]) {
			t.Errorf("%d bytes too many: the packets before were not all emitted", have)
		}
	}
}

func TestShortInput(t *testing.T) {
	for n := 1; n <= 3; n++ { // fewer packets than it takes to be sure
		all, _, err := split(t, demo.Clip[:n*PacketSize], 100)
		if err != nil || !bytes.Equal(join(all), demo.Clip[:n*PacketSize]) {
			t.Errorf("%d packets: got %d messages and error %v", n, len(all), err)
		}
	}
}

func TestFlush(t *testing.T) {
	// The clip begins with a description of the service, the PAT, the PMT, and
	// a key frame of many packets.
	var got []Message
	keep := func(m Message) error { got = append(got, m); return nil }
	s := NewSplitter(SplitterOptions{})
	step := func(from, to, want int) {
		t.Helper()
		if err := s.Write(demo.Clip[from*PacketSize:to*PacketSize], keep); err != nil {
			t.Fatal(err)
		}
		if err := s.Flush(keep); err != nil {
			t.Fatal(err)
		}
		if len(got) != want {
			t.Fatalf("after packet %d: got %d messages, want %d", to, len(got), want)
		}
	}
	step(0, 1, 0) // a packet alone may be garbage
	step(1, 3, 1) // the tables wait for what follows
	step(3, 4, 2)
	if m := got[1]; !m.Key || len(m.Data) != 3*PacketSize {
		t.Errorf("got key %v and %d bytes, want a key message of three packets", m.Key, len(m.Data))
	}
	step(4, 4, 2)
	step(4, 5, 3)
}

func TestEmitErrorEndsWrite(t *testing.T) {
	stop := errors.New("stop")
	calls := 0
	err := NewSplitter(SplitterOptions{}).Write(demo.Clip, func(Message) error { calls++; return stop })
	if err != stop || calls != 1 {
		t.Errorf("got error %v after %d calls, want %v after one", err, calls, stop)
	}
}

func FuzzSplitter(f *testing.F) {
	f.Add(demo.Clip[:40*PacketSize], uint16(1000))
	f.Add(append(bytes.Repeat([]byte{0x47}, 400), demo.Clip[:20*PacketSize+7]...), uint16(1))
	f.Add(audioStream(f)[:40*PacketSize], uint16(188))
	f.Add(demo.Clip[400*PacketSize:480*PacketSize], uint16(500))
	for _, name := range []string{"h265.ts", "mpeg2.ts"} {
		data, err := os.ReadFile("testdata/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data[:80*PacketSize], uint16(940))
	}
	f.Fuzz(func(t *testing.T, data []byte, size uint16) {
		all, s, err := split(t, data, int(size)+1)
		n := int64(s.Skipped())
		for _, m := range all {
			if len(m.Data) == 0 || len(m.Data)%PacketSize != 0 || len(m.Data) > maxSparePackets*PacketSize || m.Class > Spare {
				t.Fatalf("a message of %d bytes, class %d", len(m.Data), m.Class)
			}
			n += int64(len(m.Data))
		}
		var e *TruncatedError
		if errors.As(err, &e) {
			n += int64(e.Have)
		}
		if !errors.Is(err, ErrNotTS) && n != int64(len(data)) {
			t.Fatalf("%d bytes came out of %d", n, len(data))
		}
		if s.Skipped() == 0 && !bytes.HasPrefix(data, join(all)) {
			t.Fatal("the messages are not the input")
		}
	})
}
