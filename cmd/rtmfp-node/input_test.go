package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"rtmfp/cmd/rtmfp-node/demo"
	"rtmfp/cmd/rtmfp-node/mpegts"
)

// clipFile writes the embedded clip, without its last cut bytes, to a file.
func clipFile(t *testing.T, cut int) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "clip.ts")
	if err := os.WriteFile(name, demo.Clip[:len(demo.Clip)-cut], 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestInputFile publishes a file at the pace of its clock, byte for byte.
func TestInputFile(t *testing.T) {
	in, err := openInput(nil, clipFile(t, 0), mpegts.SourceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer in.close()
	synctest.Test(t, func(t *testing.T) {
		var got bytes.Buffer
		began := time.Now()
		err := in.run(t.Context(), func(m mpegts.Message) error {
			got.Write(m.Data)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Bytes(), demo.Clip) {
			t.Errorf("got %d bytes that differ from the %d of the file", got.Len(), len(demo.Clip))
		}
		if took := time.Since(began); took < 19*time.Second || took > 21*time.Second {
			t.Errorf("20 s of video: took %v", took)
		}
	})
}

// TestInputTruncated publishes all whole packets of a file that ends within one.
func TestInputTruncated(t *testing.T) {
	in, err := openInput(nil, clipFile(t, 100), mpegts.SourceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer in.close()
	synctest.Test(t, func(t *testing.T) {
		got := 0
		err := in.run(t.Context(), func(m mpegts.Message) error {
			got += len(m.Data)
			return nil
		})
		if code, line := explain(in.explain(err)); code != exitInput {
			t.Errorf("exit code: got %d (%s), want %d", code, line, exitInput)
		}
		if want := len(demo.Clip) - mpegts.PacketSize; got != want {
			t.Errorf("published %d bytes, want %d", got, want)
		}
	})
}

// TestInputLoop goes on after the end of the file until it is told to end.
func TestInputLoop(t *testing.T) {
	in, err := openInput(nil, clipFile(t, 0), mpegts.SourceOptions{Loop: true})
	if err != nil {
		t.Fatal(err)
	}
	defer in.close()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Second)
		defer cancel()
		got := 0
		err := in.run(ctx, func(m mpegts.Message) error {
			got += len(m.Data)
			return nil
		})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the end of the context", err)
		}
		if passes := float64(got) / float64(len(demo.Clip)); passes < 2.3 || passes > 2.7 {
			t.Errorf("after 50 s of a 20 s clip: got %.2f passes, want about 2.5", passes)
		}
	})
}

// TestInputLive publishes what comes as it comes, and does not sit on what has
// come when the input pauses.
func TestInputLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		in, err := openInput(&env{stdin: r}, stdinName, mpegts.SourceOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		ended := make(chan error)
		go func() {
			ended <- in.run(t.Context(), func(m mpegts.Message) error {
				got.Write(m.Data)
				return nil
			})
		}()
		// Three packets and a half: less than a message.
		half := 3*mpegts.PacketSize + mpegts.PacketSize/2
		w.Write(demo.Clip[:half])
		time.Sleep(10 * livePause) // virtual time
		synctest.Wait()
		if got.Len() == 0 || got.Len() > half {
			t.Errorf("after a pause: got %d bytes, want what came in whole packets", got.Len())
		}
		for rest := demo.Clip[half:]; len(rest) > 0; {
			n := min(len(rest), 1001)
			w.Write(rest[:n])
			rest = rest[n:]
		}
		w.Close()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Bytes(), demo.Clip) {
			t.Errorf("got %d bytes that differ from the %d that were written", got.Len(), len(demo.Clip))
		}
	})
}

// TestInputLiveEnds checks the two other ends of a live input: the reader's
// error and the context's.
func TestInputLiveEnds(t *testing.T) {
	none := func(mpegts.Message) error { return nil }
	broken := errors.New("cable was pulled")
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		w.CloseWithError(broken)
		err := feedLive(t.Context(), r, mpegts.SplitterOptions{}, none)
		if code, line := explain(err); code != exitInput || !errors.Is(err, broken) {
			t.Errorf("broken input: got exit code %d, %s", code, line)
		}

		r, w = io.Pipe()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := feedLive(ctx, r, mpegts.SplitterOptions{}, none); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("silent input: got %v, want the end of the context", err)
		}
		w.Close() // lets the reading goroutine go
	})
}
