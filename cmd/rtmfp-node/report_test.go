package main

import (
	"bytes"
	"flag"
	"os"
	"testing"
	"time"

	"rtmfp/node"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares got with a file of testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := "testdata/" + name
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s:\ngot\n%s\nwant\n%s", name, got, want)
	}
}

// TestReports pins the JSON that other programs read.
func TestReports(t *testing.T) {
	began := time.Unix(1_800_000_000, 0)
	played := node.StreamStats{
		Name: "cam1", Started: began.Add(40 * time.Millisecond), FirstFrame: began.Add(123456 * time.Microsecond),
		Messages: 900, Bytes: 846_000, Fragments: 901, Lost: 2, Duplicates: 3, Pushed: 890, Pulled: 11, CatchUp: 40,
		Delay:     node.Delay{Count: 860, P50: 1500 * time.Microsecond, P95: 9 * time.Millisecond, P99: 12 * time.Millisecond, Max: 31 * time.Millisecond},
		Neighbors: 5, UploadBytes: 1_000_000, DownloadBytes: 900_000, UploadPayload: 950_000,
		Moves: node.Moves{Sooner: 5, Asked: 2, Silent: 1},
	}
	for i := range played.Slices {
		played.Slices[i] = node.Slice{Parent: node.PeerID{byte(1 + i%3)}, Depth: 1 + i%2, Children: []node.PeerID{{9}, {byte(10 + i)}}}
	}
	played.Slices[7] = node.Slice{Depth: -1}
	published := node.StreamStats{
		Name: "cam1", Publishing: true, Messages: 1000, WrittenFirst: 210, WrittenSpare: 90, Bytes: 940_000, Fragments: 1000,
		Neighbors: 6, UploadBytes: 2_000_000, DownloadBytes: 10_000, UploadPayload: 1_910_000,
	}
	waiting := node.StreamStats{Name: "cam1", Started: began}

	golden(t, "play.json", encode(reportOf("", began, played)))
	golden(t, "play-nothing.json", encode(reportOf("", began, waiting)))
	golden(t, "publish.json", encode(publishReportOf(20*time.Second, published)))
	golden(t, "demo.json", encode(demoReport{
		ElapsedMS: 30_000,
		Publisher: publishReportOf(30*time.Second, published),
		Viewers:   []streamReport{reportOf("viewer 1", began, played)},
	}))
}

func TestTexts(t *testing.T) {
	for _, tt := range []struct{ got, want string }{
		{bitsText(250_000), "2.00 Mbit/s"},
		{bitsText(1_000), "8 kbit/s"},
		{bitsText(3), "24 bit/s"},
		{bytesText(1_250_000_000), "1.25 GB"},
		{bytesText(2_500_000), "2.5 MB"},
		{bytesText(2_500), "2 kB"},
		{bytesText(12), "12 B"},
		{delayText(1500 * time.Microsecond), "1.5 ms"},
		{delayText(150 * time.Millisecond), "150 ms"},
		{delayText(2500 * time.Millisecond), "2.5 s"},
	} {
		if tt.got != tt.want {
			t.Errorf("got %q, want %q", tt.got, tt.want)
		}
	}
}

func TestMeter(t *testing.T) {
	var m meter
	now := time.Unix(1000, 0)
	if got := m.rate(now, 500); got != 0 {
		t.Errorf("first reading: got %v, want 0", got)
	}
	if got := m.rate(now.Add(2*time.Second), 1500); got != 500 {
		t.Errorf("1000 in 2 s: got %v, want 500", got)
	}
	if got := m.rate(now.Add(3*time.Second), 10); got != 0 {
		t.Errorf("after the counter began anew: got %v, want 0", got)
	}
}

func TestBitRate(t *testing.T) {
	for text, want := range map[string]int{"800k": 100_000, "20M": 2_500_000, "1.5Mbit/s": 187_500, "2G": 250_000_000, "64": 8} {
		var r bitRate
		if err := r.UnmarshalText([]byte(text)); err != nil || r.bytes() != want {
			t.Errorf("%q: got %d bytes/s, %v; want %d", text, r.bytes(), err, want)
		}
	}
	for _, text := range []string{"", "k", "fast", "-1M", "0", "NaN", "Inf", "1e300", "5 apples"} {
		var r bitRate
		if err := r.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q: got %d bytes/s, want an error", text, r.bytes())
		}
	}
}
