//go:build e2e && linux

package e2e

import (
	"bytes"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// shared is a file that one process shares, and a gateway to it that another
// serves.
type shared struct {
	share, run *process
	link, hash string
	size       int
	url        string // of the file at the gateway
	list       string // of the files at the gateway
}

// shareFile shares a file at a rate and runs a gateway beside it.
func shareFile(t *testing.T, path, rate string, args ...string) *shared {
	t.Helper()
	dir := t.TempDir()
	spec := newSpec(t, "--name", "files", "--replication")
	args = append([]string{"share", "--group", spec, "--listen", "127.0.0.1:0", "--identity", "none", "--store", filepath.Join(dir, "s1")}, args...)
	if rate != "" {
		args = append(args, "--upload-limit", rate)
	}
	s := &shared{share: node(t, "share", append(args, path)...)}
	s.link = s.share.line(t, &s.share.out, "rtmfp-file:", 30*time.Second)
	u, err := url.Parse(s.link)
	if err != nil {
		t.Fatal(err)
	}
	q, _ := url.ParseQuery(u.RawQuery)
	s.hash = u.Opaque
	if s.size, err = strconv.Atoi(q.Get("size")); err != nil {
		t.Fatal(err)
	}
	s.run = node(t, "run", "run", "--group", spec, "--listen", "127.0.0.1:0", "--identity", "none", "--store", filepath.Join(dir, "s2"),
		"--bootstrap", q.Get("via"), "--http", "127.0.0.1:0")
	line := s.run.line(t, &s.run.err, "files at ", 20*time.Second)
	s.list = line[strings.Index(line, "http://"):]
	s.url = fmt.Sprintf("%s%s/%s?size=%d", s.list, s.hash, url.PathEscape(filepath.Base(path)), s.size)
	return s
}

// complete reports whether the gateway has all of the file.
func (s *shared) complete(t *testing.T) bool {
	t.Helper()
	page, stderr, err := command(t, 10*time.Second, "curl", "-sS", s.list)
	if err != nil || !strings.Contains(page, s.hash) {
		t.Fatalf("the list: %v, %s, %s", err, stderr, page)
	}
	return !strings.Contains(page, "not complete")
}

// film returns an MP4 of 35 s, with the index at its beginning.
func film(t *testing.T) (path string, data []byte) {
	t.Helper()
	from, _ := source(t)
	path = filepath.Join(t.TempDir(), "a film.mp4")
	if out, err := exec.Command("ffmpeg", "-v", "error", "-i", from, "-c", "copy", "-movflags", "+faststart", path).CombinedOutput(); err != nil {
		t.Fatalf("ffmpeg: %v\n%s", err, out)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return path, data
}

// curl, wget, and ffprobe get what they ask for from a gateway, of a file that
// comes while they read.
func TestGatewayPrograms(t *testing.T) {
	need(t, "curl")
	path, data := film(t)
	s := shareFile(t, path, "")
	curl := func(args ...string) []byte {
		t.Helper()
		out, stderr, err := command(t, 60*time.Second, "curl", append([]string{"-sS", "--fail"}, args...)...)
		if err != nil {
			t.Fatalf("curl %v: %v, %s", args, err, stderr)
		}
		return []byte(out)
	}
	if got := curl("-r", "1000000-1000099", s.url); !bytes.Equal(got, data[1000000:1000100]) {
		t.Errorf("a range: %d bytes", len(got))
	}
	if got := string(curl("-I", s.url)); !strings.Contains(got, "200 OK") || !regexp.MustCompile(`(?im)^etag: "`+s.hash+`"`).MatchString(got) ||
		!regexp.MustCompile(fmt.Sprintf(`(?im)^content-length: %d\r`, len(data))).MatchString(got) || !regexp.MustCompile(`(?im)^content-type: video/mp4`).MatchString(got) {
		t.Errorf("HEAD: %s", got)
	}
	part := filepath.Join(t.TempDir(), "part")
	if err := os.WriteFile(part, data[:len(data)/3], 0o644); err != nil {
		t.Fatal(err)
	}
	curl("-C", "-", "-o", part, s.url) // goes on
	if got, err := os.ReadFile(part); err != nil || !bytes.Equal(got, data) {
		t.Errorf("resumed: %d bytes, %v", len(got), err)
	}
	if got := string(curl("-o", "/dev/null", "-w", "%{http_code}", "-H", `If-None-Match: "`+s.hash+`"`, s.url)); got != "304" {
		t.Errorf("a conditional request: %s", got)
	}
	whole := filepath.Join(t.TempDir(), "whole")
	if _, stderr, err := command(t, 60*time.Second, need(t, "wget"), "-q", "-O", whole, s.url); err != nil {
		t.Errorf("wget: %v, %s", err, stderr)
	} else if got, err := os.ReadFile(whole); err != nil || !bytes.Equal(got, data) {
		t.Errorf("wget: %d bytes, %v", len(got), err)
	}
	out, stderr, err := command(t, 60*time.Second, need(t, "ffprobe"), "-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", s.url)
	if seconds, perr := strconv.ParseFloat(strings.TrimSpace(out), 64); err != nil || perr != nil || seconds < 34 || seconds > 36 {
		t.Errorf("ffprobe: %q, %v, %s", out, err, stderr)
	}
}

// A browser plays a film from a gateway that is still getting it, slower than
// it could, and seeks to its end before that is there.
func TestFilmWhileItComes(t *testing.T) {
	need(t, "curl")
	b := newBrowser(t)
	path, data := film(t)
	s := shareFile(t, path, "3M") // 23 s for all of it
	began := time.Now()
	b.open(t, s.url)
	type state struct {
		At, Ready, Frames, Width float64
		Seeking                  bool
		Error                    string
	}
	video := func() (v state) {
		b.eval(t, `const v = document.querySelector("video"); if (!v) return {error: "no video on the page: " + document.body.innerText};
			return {at: v.currentTime, ready: v.readyState, seeking: v.seeking, width: v.videoWidth,
				frames: v.getVideoPlaybackQuality().totalVideoFrames, error: v.error ? v.error.message : ""}`, &v)
		if v.Error != "" {
			b.screenshot(t, "film-failed.png")
			t.Fatalf("the video: %s", v.Error)
		}
		return v
	}
	until := func(what string, limit time.Duration, done func(v state) bool) {
		t.Helper()
		for since := time.Now(); ; time.Sleep(50 * time.Millisecond) {
			v := video()
			if done(v) {
				return
			}
			if time.Since(since) > limit {
				b.screenshot(t, "film-failed.png")
				t.Fatalf("%s: not after %v, %+v", what, limit, v)
			}
		}
	}
	b.eval(t, `const v = document.querySelector("video"); v.muted = true; v.play()`, nil)
	until("it plays", 15*time.Second, func(v state) bool { return v.At > 1 && v.Frames > 20 && v.Width == 640 })
	if s.complete(t) {
		t.Fatalf("all of it was there after %v: nothing is shown by that", time.Since(began))
	}
	show(t, "film: plays %.1f s after it was asked for", time.Since(began).Seconds())
	seek := time.Now()
	b.eval(t, `document.querySelector("video").currentTime = 30`, nil)
	until("it plays from 30 s on", 15*time.Second, func(v state) bool { return !v.Seeking && v.At > 30.5 && v.Ready >= 2 })
	if s.complete(t) {
		t.Fatalf("all of it was there after %v: nothing is shown by that", time.Since(began))
	}
	show(t, "film: plays from 30 s on, which had not come, %.1f s after the seek", time.Since(seek).Seconds())
	until("it ends", 30*time.Second, func(v state) bool { return v.At > 34 })
	// What nobody reads is not fetched: the rest comes with the next request.
	if got, stderr, err := command(t, 60*time.Second, "curl", "-sS", "--fail", s.url); err != nil || got != string(data) {
		t.Errorf("all of it at last: %d bytes, %v, %s", len(got), err, stderr)
	}
}

// A process that copies a file needs little memory, however large the file is.
// RTMFP_COPY_SIZE is its size in bytes.
func TestCopyMemory(t *testing.T) {
	size := 64 << 20
	if text := os.Getenv("RTMFP_COPY_SIZE"); text != "" {
		var err error
		if size, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "large")
	if out, err := exec.Command("sh", "-c", fmt.Sprintf("head -c %d /dev/urandom > %s", size, path)).CombinedOutput(); err != nil {
		t.Fatalf("%v, %s", err, out)
	}
	s := shareFile(t, path, "")
	get := node(t, "get", "get", "--listen", "127.0.0.1:0", "--identity", "none", "--store", filepath.Join(dir, "s3"), "-o", filepath.Join(dir, "got"), s.link)
	began := time.Now()
	var most int
	for {
		select {
		case <-get.done:
		case <-time.After(20 * time.Millisecond):
			most = max(most, peakMemory(get.cmd.Process.Pid))
			continue
		}
		break
	}
	if code := get.wait(t, time.Second); code != 0 {
		t.Fatalf("get: exit code %d", code)
	}
	sender := peakMemory(s.share.cmd.Process.Pid)
	show(t, "copy of %d MiB in %.1f s: at most %.1f MiB of memory for who gets it, %.1f MiB for who gives it",
		size>>20, time.Since(began).Seconds(), float64(most)/1024, float64(sender)/1024)
	if most > 64<<10 || sender > 64<<10 || most == 0 || sender == 0 {
		t.Errorf("%d and %d KiB of memory, want at most 64 MiB each", most, sender)
	}
	if out, err := exec.Command("cmp", path, filepath.Join(dir, "got")).CombinedOutput(); err != nil {
		t.Errorf("%s", out)
	}
	s.run.signal(t, syscall.SIGTERM)
	if code := s.run.wait(t, 10*time.Second); code != 0 {
		t.Errorf("run: exit code %d", code)
	}
}

// peakMemory returns the most memory that a process has had, in KiB.
func peakMemory(pid int) int {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	m := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(status)
	if m == nil {
		return 0
	}
	n, _ := strconv.Atoi(string(m[1]))
	return n
}
