package main

import (
	"encoding/json"
	"fmt"
	"math"
	"time"

	"rtmfp/node"
)

// streamReport is what "play --stats" writes and what "demo --json" lists for
// each viewer. Times are milliseconds.
type streamReport struct {
	Name          string      `json:"name,omitempty"` // the viewer's, in a demo
	Stream        string      `json:"stream"`
	StartupMS     *float64    `json:"startup_ms"` // from the start of the node to the first frame; null if none came
	Fragments     uint64      `json:"fragments"`
	Lost          uint64      `json:"lost"`
	Duplicates    uint64      `json:"duplicates"`
	Pushed        uint64      `json:"pushed"`
	Pulled        uint64      `json:"pulled"`
	DelayMS       delayReport `json:"delay_ms"`
	Neighbors     int         `json:"neighbors"`
	Signed        bool        `json:"signed"`
	Signatures    uint64      `json:"signature_bytes"`
	UploadBytes   uint64      `json:"upload_bytes"`
	UploadLimit   uint64      `json:"upload_limit"` // bytes per second that all streams may take: as told, or as the line was found to carry; 0: neither
	DownloadBytes uint64      `json:"download_bytes"`
	Messages      uint64      `json:"messages"` // messages played, in order
	Bytes         uint64      `json:"bytes"`    // media played
	CatchUp       uint64      `json:"catch_up"` // of the messages, those from before the node joined; delay_ms leaves them out
	Trees         treesReport `json:"trees"`
}

// treesReport says where a viewer is in the trees, and why it moved.
type treesReport struct {
	Parents  int         `json:"parents"`  // members that feed it
	Children int         `json:"children"` // members that it feeds
	Depth    float64     `json:"depth"`    // hops from the publisher, the mean of the slices that are fed
	Moves    movesReport `json:"moves"`
}

type movesReport struct {
	Sooner uint64 `json:"sooner"`
	Asked  uint64 `json:"asked"`
	Silent uint64 `json:"silent"`
	Gone   uint64 `json:"gone"`
}

func treesOf(s node.StreamStats) treesReport {
	parents, children := map[node.PeerID]bool{}, map[node.PeerID]bool{}
	depth, fed := 0, 0
	for _, t := range s.Slices {
		if t.Parent != (node.PeerID{}) {
			parents[t.Parent] = true
		}
		for _, c := range t.Children {
			children[c] = true
		}
		if t.Depth > 0 {
			depth += t.Depth
			fed++
		}
	}
	return treesReport{
		Parents: len(parents), Children: len(children), Depth: math.Round(100*float64(depth)/float64(max(fed, 1))) / 100,
		Moves: movesReport(s.Moves),
	}
}

// delayReport is the distribution of the time from the publisher's clock at
// the message's write to the receiver's clock at its delivery.
type delayReport struct {
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// reportOf turns a viewer's figures into its report. started is when the
// viewer's node began to start, which is what a user waits from.
func reportOf(name string, started time.Time, s node.StreamStats) streamReport {
	r := streamReport{
		Name:          name,
		Stream:        s.Name,
		Fragments:     s.Fragments,
		Lost:          s.Lost,
		Duplicates:    s.Duplicates,
		Pushed:        s.Pushed,
		Pulled:        s.Pulled,
		DelayMS:       delayReport{millis(s.Delay.P50), millis(s.Delay.P95), millis(s.Delay.P99), millis(s.Delay.Max)},
		Neighbors:     s.Neighbors,
		Signed:        s.Signed,
		Signatures:    s.SignatureBytes,
		UploadBytes:   s.UploadBytes,
		UploadLimit:   s.UploadLimit,
		DownloadBytes: s.DownloadBytes,
		Messages:      s.Messages,
		Bytes:         s.Bytes,
		CatchUp:       s.CatchUp,
		Trees:         treesOf(s),
	}
	if !s.FirstFrame.IsZero() {
		ms := millis(s.FirstFrame.Sub(started))
		r.StartupMS = &ms
	}
	return r
}

// publishReport is what "publish --stats" writes.
type publishReport struct {
	Stream        string  `json:"stream"`
	ElapsedMS     float64 `json:"elapsed_ms"`
	SourceBytes   uint64  `json:"source_bytes"` // media published
	Messages      uint64  `json:"messages"`
	First         uint64  `json:"messages_first"` // of them, tables, sound, and key frames
	Spare         uint64  `json:"messages_spare"` // of them, pictures that no other needs
	Fragments     uint64  `json:"fragments"`
	Neighbors     int     `json:"neighbors"`
	UploadBytes   uint64  `json:"upload_bytes"`   // payload and control sent to neighbors
	UploadPayload uint64  `json:"upload_payload"` // fragments alone
	UploadLimit   uint64  `json:"upload_limit"`   // bytes per second, see streamReport
	DownloadBytes uint64  `json:"download_bytes"`
	Copies        float64 `json:"copies"` // upload_payload by source_bytes
}

func publishReportOf(elapsed time.Duration, s node.StreamStats) publishReport {
	return publishReport{
		Stream:        s.Name,
		ElapsedMS:     millis(elapsed),
		SourceBytes:   s.Bytes,
		Messages:      s.Messages,
		First:         s.WrittenFirst,
		Spare:         s.WrittenSpare,
		Fragments:     s.Fragments,
		Neighbors:     s.Neighbors,
		UploadBytes:   s.UploadBytes,
		UploadPayload: s.UploadPayload,
		UploadLimit:   s.UploadLimit,
		DownloadBytes: s.DownloadBytes,
		Copies:        copies(s),
	}
}

// copies returns how many times over a publisher has sent its stream.
func copies(s node.StreamStats) float64 {
	if s.Bytes == 0 {
		return 0
	}
	return math.Round(100*float64(s.UploadPayload)/float64(s.Bytes)) / 100
}

// demoReport is what "demo --json" prints.
type demoReport struct {
	ElapsedMS float64        `json:"elapsed_ms"`
	Publisher publishReport  `json:"publisher"`
	Viewers   []streamReport `json:"viewers"`
}

// millis returns d in milliseconds, to the microsecond.
func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// encode writes a report as indented JSON with a newline at its end.
func encode(report any) []byte {
	b, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		panic("BUG: " + err.Error()) // plain structs of finite numbers
	}
	return append(b, '\n')
}

// bitsText writes a rate for people.
func bitsText(bytesPerSecond float64) string {
	switch b := bytesPerSecond * 8; {
	case b >= 1e6:
		return fmt.Sprintf("%.2f Mbit/s", b/1e6)
	case b >= 1e3:
		return fmt.Sprintf("%.0f kbit/s", b/1e3)
	default:
		return fmt.Sprintf("%.0f bit/s", b)
	}
}

// bytesText writes an amount for people.
func bytesText(n uint64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.2f GB", float64(n)/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	case n >= 1e3:
		return fmt.Sprintf("%.0f kB", float64(n)/1e3)
	default:
		return fmt.Sprintf("%d B", n)
	}
}

// delayText writes a short delay for people.
func delayText(d time.Duration) string {
	switch {
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", millis(d))
	case d < time.Second:
		return fmt.Sprintf("%.0f ms", millis(d))
	default:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
}

// meter turns a counter that is read now and then into a rate.
type meter struct {
	at    time.Time
	value uint64
}

// rate returns the counter's growth per second since the last call, 0 the
// first time.
func (m *meter) rate(now time.Time, value uint64) float64 {
	last := *m
	m.at, m.value = now, value
	if last.at.IsZero() || !now.After(last.at) || value < last.value {
		return 0
	}
	return float64(value-last.value) / now.Sub(last.at).Seconds()
}
