// Package demo holds what the demo command shows: a clip that is published in
// a loop, and a page that plays the stream beside a live picture of the group.
package demo

import _ "embed"

// Clip is an MPEG-TS file of 20 s: H.264 and AAC, a key frame each second.
// docs/clip.md tells how it was made.
//
//go:embed clip.ts
var Clip []byte

// Snapshot is the state of the group at one moment, as the page shows it.
type Snapshot struct {
	Stream    string     `json:"stream"`
	Group     string     `json:"group"`
	ElapsedMS int64      `json:"elapsed_ms"` // since the demo began
	Nodes     []NodeView `json:"nodes"`      // in the order of the page's table
}

// Roles of nodes.
const (
	RoleIntroducer = "introducer"
	RolePublisher  = "publisher"
	RoleViewer     = "viewer"
)

// NodeView is one node of the group.
type NodeView struct {
	Name       string     `json:"name"`       // unique in the snapshot
	Role       string     `json:"role"`       // RoleIntroducer, RolePublisher, or RoleViewer
	ID         string     `json:"id"`         // the first hex digits of the peer id
	DelayMS    float64    `json:"delay_ms"`   // median of the last seconds
	StartupMS  float64    `json:"startup_ms"` // from the start to the first picture
	UpBps      float64    `json:"up_bps"`     // bits per second of late
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
