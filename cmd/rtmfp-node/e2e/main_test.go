//go:build e2e && linux

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

var (
	nodeProgram string // the program, built for this run
	scratch     string // folder of this run
	outDir      string // folder that is kept
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	var err error
	if scratch, err = os.MkdirTemp("", "rtmfp-e2e-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(scratch)
	if outDir = os.Getenv("RTMFP_E2E_OUT"); outDir == "" {
		outDir = scratch
	}
	nodeProgram = filepath.Join(scratch, "rtmfp-node")
	if out, err := exec.Command("go", "build", "-o", nodeProgram, "rtmfp/cmd/rtmfp-node").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// need finds a program. Without it the test can't be run: that is a failure
// where everything is expected to be there, as in CI.
func need(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		missing(t, "%v", err)
	}
	return path
}

// missing ends a test for want of something that it needs.
func missing(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("RTMFP_E2E") != "" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// show logs lines of a table of figures. CI prints the lines with the bar.
func show(t *testing.T, format string, args ...any) {
	t.Helper()
	for line := range strings.Lines(fmt.Sprintf(format, args...)) {
		t.Log("| " + strings.TrimRight(line, "\n"))
	}
}

// clipLength is how long the clip plays.
const clipLength = 35 * time.Second

// clip returns a video of 35 s at 2 Mbit/s with a key frame every second, made
// once for all tests.
var clip = sync.OnceValues(func() (string, error) {
	name := filepath.Join(scratch, "source.ts")
	out, err := exec.Command("ffmpeg", "-v", "error", "-y",
		"-f", "lavfi", "-i", "testsrc2=size=640x360:rate=25",
		"-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000",
		"-t", fmt.Sprint(clipLength.Seconds()), "-c:v", "libx264", "-preset", "veryfast", "-tune", "zerolatency", "-pix_fmt", "yuv420p",
		"-g", "25", "-keyint_min", "25", "-sc_threshold", "0",
		"-b:v", "1750k", "-minrate", "1750k", "-maxrate", "1750k", "-bufsize", "875k", "-x264-params", "nal-hrd=cbr",
		"-c:a", "aac", "-b:a", "96k",
		"-muxrate", "2000k", "-f", "mpegts", name).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("ffmpeg: %w\n%s", err, out)
	}
	return name, nil
})

// source returns the name and the bytes of the clip.
func source(t *testing.T) (name string, data []byte) {
	t.Helper()
	need(t, "ffmpeg")
	name, err := clip()
	if err != nil {
		t.Fatal(err)
	}
	if data, err = os.ReadFile(name); err != nil {
		t.Fatal(err)
	}
	return name, data
}
