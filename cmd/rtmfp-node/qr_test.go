package main

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/qrcode"

	"rtmfp/group"
)

// readQR reads what a QR picture says.
func readQR(t *testing.T, img image.Image) string {
	t.Helper()
	bmp, err := gozxing.NewBinaryBitmapFromImage(img)
	if err != nil {
		t.Fatal(err)
	}
	r, err := qrcode.NewQRCodeReader().Decode(bmp, map[gozxing.DecodeHintType]any{gozxing.DecodeHintType_PURE_BARCODE: true})
	if err != nil {
		t.Fatal(err)
	}
	return r.GetText()
}

// picture makes an image of what was drawn on a terminal.
func picture(t *testing.T, text string) image.Image {
	t.Helper()
	const scale = 4
	var rows [][2]string
	for line := range strings.Lines(text) {
		line, ok := strings.CutPrefix(strings.TrimSuffix(line, "\x1b[0m\n"), "\x1b[30;107m")
		if !ok {
			continue
		}
		var up, down strings.Builder
		for _, r := range line {
			up.WriteByte(map[rune]byte{'█': '#', '▀': '#', '▄': '.', ' ': '.'}[r])
			down.WriteByte(map[rune]byte{'█': '#', '▀': '.', '▄': '#', ' ': '.'}[r])
		}
		rows = append(rows, [2]string{up.String(), down.String()})
	}
	if len(rows) == 0 {
		t.Fatalf("no picture in %q", text)
	}
	img := image.NewGray(image.Rect(0, 0, len(rows[0][0])*scale, 2*len(rows)*scale))
	for y := range img.Rect.Max.Y {
		for x := range img.Rect.Max.X {
			row := rows[y/scale/2][y/scale%2]
			if row[x/scale] != '#' {
				img.SetGray(x, y, color.Gray{255})
			}
		}
	}
	return img
}

// A QR picture says the link, in a file and on the terminal.
func TestQR(t *testing.T) {
	spec := testSpec(t, group.SpecFields{Replication: true, ServerChannel: true})
	dir := t.TempDir()
	testFile(t, filepath.Join(dir, "talk.mp4"), 1000)
	file := filepath.Join(dir, "link.png")
	var link string
	t.Run("share", func(t *testing.T) { // it ends with this
		link = startShare(t, 1, "--group", spec, "--listen", "127.0.0.1:0", "--store", filepath.Join(dir, "s"), "--identity", "none",
			"--qr", file, filepath.Join(dir, "talk.mp4"))[0]
	})
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	img, err := png.Decode(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if got := readQR(t, img); got != link {
		t.Errorf("the file says %s, want %s", got, link)
	}
	var out bytes.Buffer
	e := &env{console: newConsole(&out, false)}
	if err := drawQR(e, link, qrTerminal); err != nil {
		t.Fatal(err)
	}
	if got := readQR(t, picture(t, out.String())); got != link {
		t.Errorf("the terminal says %s, want %s", got, link)
	}
	if err := drawQR(e, strings.Repeat("x", 3000), qrTerminal); err == nil || !strings.Contains(err.Error(), "too many") {
		t.Errorf("too much for a picture: %v", err)
	}
	if err := drawQR(e, link, filepath.Join(dir, "none", "x.png")); err == nil {
		t.Error("wrote into a folder that is not there")
	}
}
