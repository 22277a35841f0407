// Package demo holds what the demo command shows: a clip that is published in
// a loop, and a page that plays the stream beside a live picture of the group.
package demo

import (
	_ "embed" // for the clip and the page
	"net/http"
)

// Clip is an MPEG-TS file of 20 s: H.264 and AAC, a key frame each second.
// docs/clip.md tells how it was made.
//
//go:embed clip.ts
var Clip []byte

// Snapshot is the state of the group at one moment, as the page shows it.
type Snapshot struct {
	Stream    string     `json:"stream"`
	Group     string     `json:"group"`
	ElapsedMS int64      `json:"elapsed_ms"`
	Nodes     []NodeView `json:"nodes"`
}

// Roles of nodes.
const (
	RoleIntroducer = "introducer"
	RolePublisher  = "publisher"
	RoleViewer     = "viewer"
)

// NodeView is one node of the group.
type NodeView struct {
	Name       string     `json:"name"`
	Role       string     `json:"role"` // RoleIntroducer, RolePublisher, or RoleViewer
	ID         string     `json:"id"`   // the first hex digits of the peer id
	DelayMS    float64    `json:"delay_ms"`
	StartupMS  float64    `json:"startup_ms"`
	UpBps      float64    `json:"up_bps"`
	DownBps    float64    `json:"down_bps"`
	Neighbors  int        `json:"neighbors"`
	Fragments  uint64     `json:"fragments"`
	Lost       uint64     `json:"lost"`
	Duplicates uint64     `json:"duplicates"`
	Parents    []EdgeView `json:"parents"`
}

// EdgeView is a parent of a node and how many of the eight slices it brings.
type EdgeView struct {
	Name   string `json:"name"`
	Slices int    `json:"slices"`
}

// Handler serves the page at /, the newest snapshot as JSON at /api/tree, and
// live (an hls.Server) below /live/.
func Handler(snapshot func() Snapshot, live http.Handler) http.Handler { panic("BUG: not yet") }
