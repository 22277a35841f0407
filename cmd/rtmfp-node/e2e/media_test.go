//go:build e2e && linux

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// freeHTTP returns a loopback address that no TCP server uses right now.
func freeHTTP(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// readable checks that ffprobe finds a picture and sound in input, and that
// ffmpeg decodes the first seconds of it, all without a word of complaint.
func readable(t *testing.T, what, input string, seconds int) {
	t.Helper()
	stdout, stderr, err := command(t, 30*time.Second, need(t, "ffprobe"),
		"-v", "error", "-show_entries", "stream=codec_name", "-of", "json", input)
	if err != nil || stderr != "" {
		t.Errorf("ffprobe of the %s: %v\n%s", what, err, tail(stderr, 2000))
		return
	}
	var probe struct {
		Streams []struct {
			Codec string `json:"codec_name"`
		}
	}
	if err := json.Unmarshal([]byte(stdout), &probe); err != nil {
		t.Errorf("ffprobe of the %s: %v\n%s", what, err, stdout)
		return
	}
	var codecs []string
	for _, s := range probe.Streams {
		codecs = append(codecs, s.Codec)
	}
	if got := strings.Join(codecs, " "); !strings.Contains(got, "h264") || !strings.Contains(got, "aac") {
		t.Errorf("ffprobe of the %s: got streams %q, want h264 and aac", what, got)
	}

	stdout, stderr, err = command(t, time.Duration(seconds+30)*time.Second, need(t, "ffmpeg"),
		"-nostdin", "-v", "error", "-xerror", "-i", input, "-t", fmt.Sprint(seconds),
		"-f", "null", "-progress", "-", "-")
	if err != nil || stderr != "" {
		t.Errorf("ffmpeg of the %s: %v\n%s", what, err, tail(stderr, 2000))
		return
	}
	frames := 0
	for line := range strings.Lines(stdout) {
		fmt.Sscanf(line, "frame=%d", &frames) // the last one stands
	}
	if want := seconds * 25 * 9 / 10; frames < want {
		t.Errorf("ffmpeg of the %s: decoded %d frames, want at least %d", what, frames, want)
	}
	show(t, "%-12s %v, %d frames decoded", what, codecs, frames)
}

// Whatever a viewer writes, others can read: the file, the stream over HTTP,
// and the HLS playlist.
func TestMedia(t *testing.T) {
	need(t, "ffprobe")
	name, _ := source(t)
	s := newSwarm(t)
	s.publish(t, "--loop", name)
	addr := freeHTTP(t)
	v := s.play(t, "--http", addr)
	awaitHTTP(t, "http://"+addr+"/index.m3u8", 15*time.Second)

	// What a plain client saves is readable too, cut off as it is anywhere.
	saved := s.path("saved.ts")
	save(t, "http://"+addr+"/stream.ts", saved, 8*time.Second)
	readable(t, "saved HTTP", saved, 5)
	readable(t, "HTTP stream", "http://"+addr+"/stream.ts", 5)
	readable(t, "HLS playlist", "http://"+addr+"/index.m3u8", 5)

	v.signal(t, syscall.SIGTERM)
	if code := v.wait(t, 10*time.Second); code != 0 {
		t.Errorf("viewer: exit code %d after SIGTERM", code)
	}
	readable(t, "output file", v.file, 5)
}

// awaitHTTP waits until a URL is served.
func awaitHTTP(t *testing.T, url string, limit time.Duration) {
	t.Helper()
	began := time.Now()
	for {
		r, err := http.Get(url)
		if err == nil {
			r.Body.Close()
			if r.StatusCode == http.StatusOK {
				return
			}
			err = fmt.Errorf("status %s", r.Status)
		}
		if time.Since(began) > limit {
			t.Fatalf("%s: not there after %v: %v", url, limit, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// save writes what a URL gives within a while to a file, down to whole packets.
func save(t *testing.T, url, name string, d time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	data, _ := io.ReadAll(r.Body) // ends with the time that was given
	const packet = 188
	if err := os.WriteFile(name, data[:len(data)/packet*packet], 0o644); err != nil {
		t.Fatal(err)
	}
}
