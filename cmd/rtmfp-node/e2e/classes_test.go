//go:build e2e && linux

package e2e

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A publisher that may send no more than 0.9 of its stream leaves out pictures that no other
// needs: its viewer has all the sound, all key frames, and hardly anything that can't be decoded,
// and does not wait longer for what is lacking than that is worth anything.
func TestClasses(t *testing.T) {
	need(t, "ffmpeg")
	need(t, "ffprobe")
	info, err := os.Stat(demoClip)
	if err != nil {
		t.Fatal(err)
	}
	const part, seconds = 0.9, 14
	rate := float64(info.Size()) * 8 / 20 // 20 s

	s := &swarm{dir: t.TempDir()}
	out, stderr, err := command(t, 10*time.Second, nodeProgram, "group", "new", "--name", "e2e", "--multicast")
	if err != nil {
		t.Fatalf("group new: %v\n%s", err, stderr)
	}
	s.spec = strings.TrimSpace(out)
	s.publisher = node(t, "publisher", "publish", "--group", s.spec, "--stream", "cam", "--identity", "none", "--addresses", "none",
		"--listen", fmt.Sprintf("127.0.0.1:%d", freePort(t)), "--upload-limit", fmt.Sprint(int(part*rate)),
		"--stats", s.path("publisher.json"), "--lifetime", "2s", "--loop", demoClip)
	s.url = s.publisher.line(t, &s.publisher.out, "rtmfp://", 10*time.Second)
	v := s.play(t, "--duration", fmt.Sprintf("%ds", seconds))
	if code := v.wait(t, time.Minute); code != 0 {
		t.Fatalf("viewer: exit code %d", code)
	}
	s.publisher.signal(t, syscall.SIGTERM)
	if code := s.publisher.wait(t, 10*time.Second); code != 0 {
		t.Errorf("publisher: exit code %d after SIGTERM", code)
	}

	sound := packetsOf(t, v.file, "a:0")
	pictures := packetsOf(t, v.file, "v:0")
	if len(sound) == 0 || len(pictures) == 0 {
		t.Fatalf("got %d packets of sound, %d of pictures", len(sound), len(pictures))
	}
	const frame = 1024.0 / 32000
	holes, keys := 0, 0
	for i := range sound[1:] {
		if sound[i+1].at-sound[i].at > 1.5*frame {
			holes++
		}
	}
	last := 0.0
	for _, p := range pictures {
		last = max(last, p.at)
		if p.key {
			keys++
		}
	}
	length := last - pictures[0].at
	_, stderr, err = command(t, time.Minute, need(t, "ffmpeg"), "-nostdin", "-v", "error", "-i", v.file,
		"-t", fmt.Sprint(length-1), "-f", "null", "-")
	if err != nil {
		t.Errorf("ffmpeg: %v", err)
	}
	damaged := strings.Count(stderr, "\n")
	var stats struct {
		Messages uint64 `json:"messages"`
		First    uint64 `json:"messages_first"`
		Spare    uint64 `json:"messages_spare"`
	}
	readJSON(t, s.path("publisher.json"), &stats)
	var n figures
	readJSON(t, v.json, &n)
	lacking := 1 - float64(len(pictures))/(25*length+1)
	show(t, "room for %.1f of %.0f kbit/s: %.1f s of pictures, of which %.0f %% are lacking, %d key frames, %d holes in the sound, %d lines of errors, delay p99 %.0f ms; %d messages published, %d first, %d spare",
		part, rate/1000, length, 100*lacking, keys, holes, damaged, n.DelayMS.P99, stats.Messages, stats.First, stats.Spare)
	if holes != 0 || length < seconds-5 || sound[len(sound)-1].at-sound[0].at < length-1 {
		t.Errorf("%d holes in %.1f s of sound, with %.1f s of pictures", holes, sound[len(sound)-1].at-sound[0].at, length)
	}
	if n.DelayMS.P99 > 3000 {
		t.Errorf("1 %% of the messages came more than %.0f ms late", n.DelayMS.P99)
	}
	if keys < int(length) || keys > int(length)+2 {
		t.Errorf("%d key frames in %.1f s, want one in each", keys, length)
	}
	if lacking < 0.02 || lacking > 0.5 {
		t.Errorf("%.0f %% of the pictures are lacking, want some, and not the most", 100*lacking)
	}
	if damaged > len(pictures)/5 {
		t.Errorf("ffmpeg complains in %d lines about %d pictures\n%s", damaged, len(pictures), tail(stderr, 2000))
	}
}

// mediaPacket is a picture or a piece of sound, as ffprobe finds them.
type mediaPacket struct {
	at  float64 // s
	key bool
}

func packetsOf(t *testing.T, file, stream string) (all []mediaPacket) {
	t.Helper()
	stdout, stderr, err := command(t, time.Minute, need(t, "ffprobe"),
		"-v", "error", "-select_streams", stream, "-show_entries", "packet=pts_time,flags", "-of", "csv=p=0", file)
	if err != nil {
		t.Fatalf("ffprobe: %v\n%s", err, tail(stderr, 2000))
	}
	for line := range strings.Lines(stdout) {
		at, flags, _ := strings.Cut(strings.TrimSpace(line), ",")
		if s, err := strconv.ParseFloat(at, 64); err == nil {
			all = append(all, mediaPacket{s, strings.HasPrefix(flags, "K")})
		}
	}
	return all
}
