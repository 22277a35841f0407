package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"rtmfp/node"
	"rtmfp/ring"
)

// groupMembersCmd shows what this node knows of the members.
type groupMembersCmd struct {
	memberFlags
	Settle time.Duration `default:"2s" help:"Wait this long for the group to tell of its members. Default: 2s." placeholder:"D"`
	JSON   bool          `name:"json" help:"Print one JSON object: peer, address, coverage, estimate, and the list of members."`
}

// Help describes the command with examples.
func (*groupMembersCmd) Help() string {
	return `
Joins the group and prints the members that it is told of, up the ring from this node: address on the ring, peer id, how long ago somebody last heard of it, whether it is a neighbor. In a small group these are all; in a large one only those that a member needs to know, and the last line estimates how many there are.

Examples:

    rtmfp-node group members --group "$SPEC" --bootstrap rtmfp://seed.example.org
    rtmfp-node group members --group "$SPEC" --bootstrap rtmfp://seed.example.org --settle 10s --json
`
}

// Validate is called by the parser once all flags are set.
func (c *groupMembersCmd) Validate() error { return checkSettle(c.Settle) }

func checkSettle(d time.Duration) error {
	if d < 0 {
		return errors.New("--settle can't be negative")
	}
	return nil
}

// selfReport is what a node says of itself, as JSON.
type selfReport struct {
	Time     time.Time      `json:"time"`
	Peer     string         `json:"peer"`
	Address  string         `json:"address"`
	Coverage coverageReport `json:"coverage"`
	Estimate int            `json:"estimate"` // of members, this node included
}

type coverageReport struct {
	From string `json:"from"` // after this address,
	To   string `json:"to"`   // up to this one, up the ring
}

func reportSelf(g *node.Group) selfReport {
	cover := g.Coverage()
	return selfReport{
		Time: time.Now().UTC(), Peer: g.Self().String(), Address: g.Address().String(),
		Coverage: coverageReport{cover.From.String(), cover.To.String()}, Estimate: g.Stats().Members,
	}
}

// membersReport is what group members prints as JSON.
type membersReport struct {
	selfReport
	Members []memberReport `json:"members"`
}

type memberReport struct {
	Peer     string   `json:"peer"`
	Address  string   `json:"address"`
	HeardMS  int64    `json:"heard_ms"` // ago
	Neighbor bool     `json:"neighbor"`
	Lost     bool     `json:"lost"`
	Sockets  []string `json:"sockets"` // where it may be reached
}

// Run prints the members.
func (c *groupMembersCmd) Run(ctx context.Context, e *env) error {
	g, leave, err := c.join(ctx, e)
	if err != nil {
		return ended(ctx, err)
	}
	defer leave()
	if err := c.company(ctx, g); err != nil {
		return ended(ctx, err)
	}
	linger(ctx, c.Settle)
	r := membersReport{selfReport: reportSelf(g), Members: []memberReport{}}
	for _, m := range g.Members() {
		sockets := make([]string, len(m.Addrs))
		for i, a := range m.Addrs {
			sockets[i] = a.String()
		}
		r.Members = append(r.Members, memberReport{
			Peer: m.Peer.String(), Address: m.Address.String(), HeardMS: m.Heard.Milliseconds(),
			Neighbor: m.Neighbor, Lost: m.Lost, Sockets: sockets,
		})
	}
	if c.JSON {
		return ended(ctx, json.NewEncoder(e.stdout).Encode(r))
	}
	w := tabwriter.NewWriter(e.stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintf(w, "ADDRESS\tPEER\tHEARD\tWHAT\n")
	fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", r.Address, r.Peer, "now", "this node")
	for _, m := range g.Members() {
		what := "known"
		switch {
		case m.Neighbor:
			what = "neighbor"
		case m.Lost:
			what = "lost"
		}
		fmt.Fprintf(w, "%s\t%v\t%s ago\t%s\n", m.Address, m.Peer, briefly(m.Heard), what)
	}
	if err := w.Flush(); err != nil {
		return ended(ctx, err)
	}
	_, err = fmt.Fprintf(e.stdout, "about %d members; this node is nearest to what lies from %.8s to %.8s\n", r.Estimate, r.Coverage.From, r.Coverage.To)
	return ended(ctx, err)
}

// groupNeighborsCmd shows the links of this node.
type groupNeighborsCmd struct {
	memberFlags
	Settle time.Duration `default:"2s" help:"Wait this long for the links to be made. Default: 2s; none with --follow." placeholder:"D"`
	Follow bool          `short:"f" help:"Go on with what changes: with --json the whole object again, otherwise a line for each event."`
	JSON   bool          `name:"json" help:"Print a JSON object: time, peer, address, coverage, estimate, bytes per second by service, and the list of neighbors."`
}

// Help describes the command with examples.
func (*groupNeighborsCmd) Help() string {
	return `
Joins the group and prints the links that this node makes, up the ring: what each neighbor is good for, its round-trip time, for how long it has been one, bytes sent and received, and where it is. Roles are ring (next to this node), near (low latency, for trees), finger (far away on the ring, for short routes), random, mesh (everybody is linked with everybody), and guest (only the neighbor wants the link).

Examples:

    rtmfp-node group neighbors --group "$SPEC" --bootstrap rtmfp://seed.example.org
    rtmfp-node group neighbors --group "$SPEC" --bootstrap rtmfp://seed.example.org --follow
    rtmfp-node group neighbors --group "$SPEC" --bootstrap rtmfp://seed.example.org --follow --json
`
}

// Validate is called by the parser once all flags are set.
func (c *groupNeighborsCmd) Validate() error { return checkSettle(c.Settle) }

// neighborsReport is what group neighbors prints as JSON.
type neighborsReport struct {
	selfReport
	PerSecond node.ServiceBytes `json:"bytes_per_second"`
	Refused   node.Refusals     `json:"refused"`
	Neighbors []neighborReport  `json:"neighbors"`
}

type neighborReport struct {
	Peer     string   `json:"peer"`
	Address  string   `json:"address"`
	Socket   string   `json:"socket"`
	Roles    []string `json:"roles"`
	Up       int      `json:"up"`   // place among the neighbors, up the ring: 1 is the next
	Down     int      `json:"down"` // and down the ring
	RTTMS    float64  `json:"rtt_ms"`
	AgeMS    int64    `json:"age_ms"`
	Sent     uint64   `json:"sent"` // bytes of the session, in UDP payload
	Received uint64   `json:"received"`
}

func reportNeighbors(g *node.Group) neighborsReport {
	s := g.Stats()
	r := neighborsReport{selfReport: reportSelf(g), PerSecond: s.PerSecond, Refused: s.Refused, Neighbors: []neighborReport{}}
	for _, n := range g.Neighbors() {
		r.Neighbors = append(r.Neighbors, neighborReport{
			Peer: n.Peer.String(), Address: n.Address.String(), Socket: n.Addr.String(), Roles: n.Roles.Names(),
			Up: n.Up, Down: n.Down, RTTMS: float64(n.RTT.Microseconds()) / 1000, AgeMS: n.Age.Milliseconds(),
			Sent: n.Bytes.Sent, Received: n.Bytes.Received,
		})
	}
	return r
}

// Run prints the neighbors, and with --follow what changes until ctx ends.
func (c *groupNeighborsCmd) Run(ctx context.Context, e *env) error {
	g, leave, err := c.join(ctx, e)
	if err != nil {
		return ended(ctx, err)
	}
	defer leave()
	switch {
	case c.Follow && c.JSON:
		return ended(ctx, c.followJSON(ctx, e, g))
	case c.Follow:
		return ended(ctx, c.followText(ctx, e, g))
	}
	if err := c.company(ctx, g); err != nil {
		return ended(ctx, err)
	}
	linger(ctx, c.Settle)
	if c.JSON {
		return ended(ctx, json.NewEncoder(e.stdout).Encode(reportNeighbors(g)))
	}
	w := tabwriter.NewWriter(e.stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintf(w, "ADDRESS\tPEER\tROLE\tRTT\tAGE\tSENT\tRECEIVED\tSOCKET\n")
	for _, n := range g.Neighbors() {
		fmt.Fprintf(w, "%.16v\t%.16v\t%v\t%s\t%s\t%s\t%s\t%v\n", n.Address, n.Peer, n.Roles, briefly(n.RTT), briefly(n.Age),
			bytesText(n.Bytes.Sent), bytesText(n.Bytes.Received), n.Addr)
	}
	return ended(ctx, w.Flush())
}

// followPause is how long changes are collected for the next object.
const followPause = 50 * time.Millisecond

// followJSON prints the whole state whenever it has changed.
func (c *groupNeighborsCmd) followJSON(ctx context.Context, e *env, g *node.Group) error {
	changed, failed := make(chan struct{}, 1), make(chan error, 1)
	go func() {
		for _, err := range g.Events(ctx) {
			if err != nil {
				failed <- err
				return
			}
			select {
			case changed <- struct{}{}:
			default:
			}
		}
	}()
	out := json.NewEncoder(e.stdout)
	refusals := time.NewTicker(time.Second) // of which no event tells
	defer refusals.Stop()
	var last node.Refusals
	for {
		select {
		case err := <-failed:
			return err
		case <-refusals.C:
			if g.Stats().Refused == last {
				continue
			}
		case <-changed:
			linger(ctx, followPause)
		}
		r := reportNeighbors(g)
		last = r.Refused
		if err := out.Encode(r); err != nil {
			return err
		}
	}
}

// followText prints each event as a line.
func (c *groupNeighborsCmd) followText(ctx context.Context, e *env, g *node.Group) error {
	for ev, err := range g.Events(ctx) {
		if err != nil {
			return err
		}
		line := ev.Kind.String()
		switch ev.Kind {
		case node.NeighborConnected:
			line += fmt.Sprintf(" %v at %v", ev.Peer, ring.OfPeer(ev.Peer))
		case node.NeighborLost:
			line += fmt.Sprintf(" %v: %s", ev.Peer, ev.Reason)
		case node.CoverageChanged:
			line += fmt.Sprintf(" from %v to %v", ev.Coverage.From, ev.Coverage.To)
		case node.SizeChanged:
			line += fmt.Sprintf(" to about %d members", ev.Members)
		default:
			line += fmt.Sprintf(" %q", ev.Stream)
		}
		if _, err := fmt.Fprintf(e.stdout, "%s %s\n", ev.Time.Format("15:04:05.000"), line); err != nil {
			return err
		}
	}
	return nil
}

// briefly writes a duration with three digits or so.
func briefly(d time.Duration) string {
	switch {
	case d < 10*time.Millisecond:
		d = d.Round(10 * time.Microsecond)
	case d < time.Second:
		d = d.Round(time.Millisecond)
	default:
		d = d.Round(100 * time.Millisecond)
	}
	return d.String()
}
