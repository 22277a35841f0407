package mpegts

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"rtmfp/cmd/rtmfp-node/demo"
)

// readAll returns up to limit messages of a source.
func readAll(t testing.TB, data []byte, o SourceOptions, limit int) ([]Message, error) {
	t.Helper()
	s, err := NewSource(bytes.NewReader(data), o)
	if err != nil {
		t.Fatal(err)
	}
	var all []Message
	for len(all) < limit {
		m, err := s.Next()
		if err != nil {
			return all, err
		}
		all = append(all, m)
	}
	return all, nil
}

// checkDue checks that messages are due in order, and the key ones at whole
// seconds.
func checkDue(t *testing.T, all []Message, tolerance time.Duration) {
	t.Helper()
	key := 0
	last := time.Duration(0)
	for i, m := range all {
		if m.Due < last {
			t.Fatalf("message %d is due at %v, after one that is due at %v", i, m.Due, last)
		}
		last = m.Due
		if m.Key {
			if want := time.Duration(key) * time.Second; (m.Due - want).Abs() > tolerance {
				t.Errorf("key message %d is due at %v, want %v within %v", key, m.Due, want, tolerance)
			}
			key++
		}
	}
}

func TestSourceFollowsTheClock(t *testing.T) {
	all, err := readAll(t, demo.Clip, SourceOptions{}, 1e6)
	if err != io.EOF {
		t.Fatalf("got error %v, want the end", err)
	}
	if !bytes.Equal(join(all), demo.Clip) {
		t.Error("the messages are not the input")
	}
	checkDue(t, all, 20*time.Millisecond)
	// The last frame ends with the clip.
	if got := all[len(all)-1].Due; got < 19900*time.Millisecond || got > 20050*time.Millisecond {
		t.Errorf("the last message is due at %v, want 20s or just under", got)
	}
}

func TestSourceBridgesClockJumps(t *testing.T) {
	for _, shift := range []uint64{clockHz * 3600, clockWrap - clockHz*3600, clockWrap - clockHz} {
		n := 0
		data := edit(demo.Clip, func(p packet) {
			n++
			if f := p.pcrField(); f != nil && n > len(demo.Clip)/PacketSize/2 {
				putClock(f, clock(f)+shift)
			}
		})
		all, err := readAll(t, data, SourceOptions{}, 1e6)
		if err != io.EOF {
			t.Fatalf("got error %v, want the end", err)
		}
		checkDue(t, all, 200*time.Millisecond)
	}
}

func TestSourceCrossesTheClocksWrap(t *testing.T) {
	// Five seconds after the start both clocks begin again.
	shift := uint64(stampWrap - 5*stampHz - 36000)
	r := restamper{pass: 1, shift: shift}
	data := edit(demo.Clip, func(p packet) { r.apply(p) })
	all, err := readAll(t, data, SourceOptions{}, 1e6)
	if err != io.EOF {
		t.Fatalf("got error %v, want the end", err)
	}
	checkDue(t, all, 20*time.Millisecond)
	for i, m := range keys(all) {
		if want := time.Duration(i) * time.Second; m.PTS != want {
			t.Errorf("key message %d is at %v, want %v", i, m.PTS, want)
		}
	}
}

func withoutClock(data []byte) []byte {
	return edit(data, func(p packet) {
		if p.pcrField() != nil {
			p.adaptation()[0] &^= flagPCR
		}
	})
}

func TestSourceWithoutClock(t *testing.T) {
	data := withoutClock(demo.Clip)
	if all, err := readAll(t, data, SourceOptions{}, 1e6); !errors.Is(err, ErrNoClock) || len(all) != 0 {
		t.Errorf("got %d messages and error %v, want ErrNoClock", len(all), err)
	}
	// 1 Mbit/s: 125 000 bytes a second.
	all, err := readAll(t, data, SourceOptions{Bitrate: 1_000_000}, 1e6)
	if err != io.EOF || !bytes.Equal(join(all), data) {
		t.Fatalf("got error %v and %d messages", err, len(all))
	}
	sent := 0
	for i, m := range all {
		if want := time.Duration(sent) * 8 * time.Microsecond; (m.Due - want).Abs() > time.Microsecond {
			t.Fatalf("message %d is due at %v, want %v", i, m.Due, want)
		}
		sent += len(m.Data)
	}
}

func TestSourceTruncated(t *testing.T) {
	for _, loop := range []bool{false, true} {
		data := demo.Clip[:1000*PacketSize+5]
		all, err := readAll(t, data, SourceOptions{Loop: loop}, 1e6)
		var e *TruncatedError
		if !errors.As(err, &e) || e.Offset != 1000*PacketSize || e.Have != 5 {
			t.Errorf("loop %v: got error %v", loop, err)
		}
		if !bytes.Equal(join(all), data[:1000*PacketSize]) {
			t.Errorf("loop %v: not all packets came before the error", loop)
		}
	}
}

func TestSourceReadError(t *testing.T) {
	broken := errors.New("broken")
	r := io.MultiReader(bytes.NewReader(demo.Clip[:100*PacketSize]), errReader{broken})
	s, err := NewSource(r, SourceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for {
		m, err := s.Next()
		n += len(m.Data)
		if err != nil {
			if !errors.Is(err, broken) || n != 100*PacketSize {
				t.Errorf("got error %v after %d bytes", err, n)
			}
			return
		}
	}
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

func TestLoopNeedsSeeker(t *testing.T) {
	if _, err := NewSource(io.MultiReader(), SourceOptions{Loop: true}); err == nil || !strings.Contains(err.Error(), "seek") {
		t.Errorf("got error %v, want one about seeking", err)
	}
}

func TestLoopStartsWhereTheReaderStood(t *testing.T) {
	r := bytes.NewReader(demo.Clip)
	if _, err := r.Seek(500*PacketSize, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	s, err := NewSource(r, SourceOptions{Loop: true})
	if err != nil {
		t.Fatal(err)
	}
	var got []byte
	for want := len(demo.Clip) - 500*PacketSize; len(got) < 2*want; {
		m, err := s.Next()
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, m.Data...)
		if len(got) >= want && !bytes.Equal(got[:want], demo.Clip[500*PacketSize:]) {
			t.Fatal("the first pass is not the rest of the input")
		}
	}
}

// TestLoop checks three passes as a receiver would: every continuity counter
// counts on, every time stamp and the clock rise by what they rise within a
// pass.
func TestLoop(t *testing.T) {
	const passes = 3
	var all []Message
	bytesWanted := passes * len(demo.Clip)
	s, err := NewSource(bytes.NewReader(demo.Clip), SourceOptions{Loop: true})
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; n < bytesWanted; {
		m, err := s.Next()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, m)
		n += len(m.Data)
	}
	data := join(all)
	if !bytes.Equal(data[:len(demo.Clip)], demo.Clip) {
		t.Error("the first pass is not the input")
	}
	if bytes.Equal(data[len(demo.Clip):2*len(demo.Clip)], demo.Clip) {
		t.Error("the second pass is the input again")
	}
	checkDue(t, all, 40*time.Millisecond)
	for i, m := range keys(all) {
		if want := time.Duration(i) * time.Second; m.PTS != want {
			t.Errorf("key message %d is at %v, want %v", i, m.PTS, want)
		}
	}

	counters := map[int]byte{}
	stamps := map[int]uint64{}
	var lastClock uint64
	for i := 0; i < len(data); i += PacketSize {
		p := packet(data[i : i+PacketSize])
		pid := p.pid()
		if last, ok := counters[pid]; ok {
			want := last
			if p.hasPayload() {
				want = (last + 1) & 0xf
			}
			if p.counter() != want {
				t.Fatalf("packet %d, pid %#x: counter %d, want %d", i/PacketSize, pid, p.counter(), want)
			}
		}
		counters[pid] = p.counter()
		if f := p.pcrField(); f != nil {
			if d := int64(clock(f)) - int64(lastClock); lastClock != 0 && (d <= 0 || d > clockHz/10) {
				t.Fatalf("packet %d: the clock moves by %d ticks", i/PacketSize, d)
			}
			lastClock = clock(f)
		}
		if h, ok := p.pes(); ok {
			v, _ := h.decodeTime()
			if last, ok := stamps[pid]; ok {
				d := stampDiff(v, last)
				if pid == 0x100 && d != stampHz/25 || d <= 0 {
					t.Fatalf("packet %d, pid %#x: the stamp moves by %d", i/PacketSize, pid, d)
				}
			}
			stamps[pid] = v
		}
	}
}

func TestRunIsOnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := NewSource(bytes.NewReader(demo.Clip), SourceOptions{})
		if err != nil {
			t.Fatal(err)
		}
		start, n := time.Now(), 0
		err = s.Run(t.Context(), func(m Message) error {
			if got := time.Since(start); got != m.Due {
				t.Fatalf("message %d came at %v, was due at %v", n, got, m.Due)
			}
			n++
			return nil
		})
		if err != nil || n == 0 {
			t.Errorf("got error %v after %d messages", err, n)
		}
	})
}

func TestRunDoesNotCatchUpForever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := NewSource(bytes.NewReader(demo.Clip), SourceOptions{})
		if err != nil {
			t.Fatal(err)
		}
		start, slept := time.Now(), false
		err = s.Run(t.Context(), func(m Message) error {
			if !slept && m.Due > time.Second {
				time.Sleep(time.Minute) // as a suspended machine does
				slept = true
			}
			return nil
		})
		if got := time.Since(start); err != nil || got < 79*time.Second || got > 81*time.Second {
			t.Errorf("got error %v after %v, want 20s and a minute", err, got)
		}
	})
}

func TestRunEndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second+time.Millisecond)
		defer cancel()
		s, err := NewSource(bytes.NewReader(demo.Clip), SourceOptions{Loop: true})
		if err != nil {
			t.Fatal(err)
		}
		var last Message
		err = s.Run(ctx, func(m Message) error { last = m; return nil })
		if !errors.Is(err, context.DeadlineExceeded) || last.Due < 2900*time.Millisecond {
			t.Errorf("got error %v after the message at %v", err, last.Due)
		}
	})
}

func FuzzSource(f *testing.F) {
	f.Add(demo.Clip[:60*PacketSize], true, 0)
	f.Add(withoutClock(demo.Clip[:60*PacketSize]), false, 1_000_000)
	f.Add(audioStream(f)[:60*PacketSize], true, 0)
	f.Fuzz(func(t *testing.T, data []byte, loop bool, bitrate int) {
		all, err := readAll(t, data, SourceOptions{Loop: loop, Bitrate: bitrate}, 2000)
		last := time.Duration(0)
		for i, m := range all {
			if m.Due < last {
				t.Fatalf("message %d is due at %v, after one that is due at %v", i, m.Due, last)
			}
			last = m.Due
		}
		if err == nil && !loop && len(all) < 2000 {
			t.Fatal("no error at the end")
		}
	})
}
