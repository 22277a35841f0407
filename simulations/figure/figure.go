// Package figure is the list of what simulations measure: the names under
// which figures stand in results, their units, whether more of them is better,
// and how to read them; and the statistics of one figure over several seeds.
package figure

import (
	"slices"
	"strings"
)

// Better says in which direction a figure is better.
type Better int8

// Directions.
const (
	Neither Better = iota // it describes the run
	Less
	More
)

// Figure describes one figure. Its name ends with its unit.
type Figure struct {
	Name   string
	Better Better
	Group  string // under which reports list it
	Text   string // what it is, in a sentence

	// PerName says that there is one of it for each class of nodes or each
	// shock, "name.class".
	PerName bool

	// Never says that it is -1 where something did not come about.
	Never bool

	// Machine says that it depends on the machine and its load, not on the
	// scenario and seed alone.
	Machine bool
}

// All lists the figures in the order of reports.
var All = []Figure{
	{Name: "startup_p50_ms", Better: Less, Group: "Startup", Text: "Time from a viewer's start, with no connection yet, to its first message, for viewers that come while the stream runs: half of them waited for less."},
	{Name: "startup_p95_ms", Better: Less, Group: "Startup", Text: "The same, 95 of 100 viewers."},
	{Name: "startup_p99_ms", Better: Less, Group: "Startup", Text: "The same, 99 of 100 viewers."},
	{Name: "startup_max_ms", Better: Less, Group: "Startup", Text: "The longest of all."},
	{Name: "startup_less_join_p95_ms", Better: Less, Group: "Startup", Text: "The same without a round trip to the nearest introducer, which is what joining takes wherever the viewer is, 95 of 100 viewers."},
	{Name: "not_started_ratio", Better: Less, Group: "Startup", Text: "Share of viewers that stayed for 5 s or more and got nothing at all."},

	{Name: "delay_mean_ms", Better: Less, Group: "Delay", Text: "Time from the publisher's write to the moment a viewer can play a message, in order; mean over all messages and viewers."},
	{Name: "delay_p50_ms", Better: Less, Group: "Delay", Text: "The same, half of all deliveries."},
	{Name: "delay_p95_ms", Better: Less, Group: "Delay", Text: "The same, 95 of 100 deliveries."},
	{Name: "delay_p99_ms", Better: Less, Group: "Delay", Text: "The same, 99 of 100 deliveries."},
	{Name: "delay_max_ms", Better: Less, Group: "Delay", Text: "The slowest delivery of all."},
	{Name: "direct_mean_ms", Group: "Delay", Text: "What the network alone would take straight from the publisher, mean over the same deliveries."},
	{Name: "direct_p99_ms", Group: "Delay", Text: "The same, 99 of 100 deliveries."},
	{Name: "stretch_mean_ratio", Better: Less, Group: "Delay", Text: "Mean delay by mean direct latency: what relaying costs. Below 1, detours are faster than the straight way."},
	{Name: "stretch_p99_ratio", Better: Less, Group: "Delay", Text: "The same of the 99th percentiles."},
	{Name: "fragment_delay_mean_ms", Better: Less, Group: "Delay", Text: "Time from the publisher's write to the arrival of a fragment at a viewer, whatever is missing before it; mean over all fragments and viewers."},
	{Name: "fragment_delay_p99_ms", Better: Less, Group: "Delay", Text: "The same, 99 of 100 arrivals."},
	{Name: "fragment_stretch_mean_ratio", Better: Less, Group: "Delay", Text: "Mean delay of fragments by the mean direct latency of the same fragments."},
	{Name: "fragment_stretch_p99_ratio", Better: Less, Group: "Delay", Text: "The same of the 99th percentiles."},

	{Name: "ontime_200ms_ratio", Better: More, Group: "Continuity", Text: "Share of the messages that were due at a viewer and could be played within 200 ms."},
	{Name: "ontime_500ms_ratio", Better: More, Group: "Continuity", Text: "The same within 500 ms."},
	{Name: "ontime_1000ms_ratio", Better: More, Group: "Continuity", Text: "The same within 1 s."},
	{Name: "fragment_ontime_ratio", Better: More, Group: "Continuity", Text: "Share of the fragments that were due at a viewer and came within measure.deadline, whatever was missing before them."},
	{Name: "lost_ratio", Better: Less, Group: "Continuity", Text: "Share of messages that a viewer skipped because they did not come inside the stream's window, or never got although it stayed to the end."},
	{Name: "short_ratio", Better: Less, Group: "Continuity", Text: "By how much fewer fragments viewers receive than are published, of viewers that watch all along a stream that began before."},
	{Name: "recovery_s", Better: Less, Group: "Continuity", PerName: true, Never: true, Text: "Time after a shock from which on 99.9 % of messages are on time again, in every window of 1 s for a second; -1 if that did not come about before the next shock or the end."},
	{Name: "fragment_recovery_s", Better: Less, Group: "Continuity", PerName: true, Never: true, Text: "The same of fragments, each for itself."},
	{Name: "stretch_recovery_s", Better: Less, Group: "Continuity", PerName: true, Never: true, Text: "Time after a shock of kind latencies from which on the mean delay of fragments is below measure.stretch times the direct latency, in every window of 1 s until the next shock or the end; -1 if it is not at last."},
	{Name: "worst_ontime_ratio", Better: More, Group: "Continuity", PerName: true, Text: "The worst second after a shock: share of messages on time."},

	{Name: "duplicates_ratio", Better: Less, Group: "Cost", Text: "Fragments that viewers received again, by fragments received first."},
	{Name: "stream_control_ratio", Better: Less, Group: "Cost", Text: "Bytes of descriptions, maps, and requests by bytes of fragments that were sent."},
	{Name: "wire_overhead_ratio", Better: Less, Group: "Cost", Text: "All UDP payload that nodes sent beyond the media that viewers played, by that media: headers, sealing, acknowledgements, control, membership, duplicates."},
	{Name: "publisher_copies_ratio", Better: Less, Group: "Cost", Text: "How often the publisher sent its stream, in fragments."},
	{Name: "publisher_wire_copies_ratio", Better: Less, Group: "Cost", Text: "The same in UDP payload, with everything else that it sends."},
	{Name: "upload_mean_bit_per_s", Group: "Cost", PerName: true, Text: "UDP payload that a node of the class sends, mean."},
	{Name: "upload_p99_bit_per_s", Better: Less, Group: "Cost", PerName: true, Text: "The same, of the node at the 99th percentile."},
	{Name: "limit_use_ratio", Group: "Cost", PerName: true, Text: "Upload by what the class may send, its upload_limit or else its access link, mean."},
	{Name: "membership_bytes_per_s", Better: Less, Group: "Cost", Text: "Bytes of group messages that a node sends in a second."},
	{Name: "maintenance_bytes_per_s", Better: Less, Group: "Cost", Text: "All UDP payload that a node sends in a second, of groups without traffic."},

	{Name: "depth_mean_hops", Better: Less, Group: "Structure", Text: "Hops from the publisher, mean over viewers and slices."},
	{Name: "depth_p95_hops", Better: Less, Group: "Structure", Text: "The same, 95 of 100."},
	{Name: "depth_max_hops", Better: Less, Group: "Structure", Text: "The deepest of all."},
	{Name: "pulled_ratio", Better: Less, Group: "Structure", Text: "Share of the fragments that viewers asked for, of those that they received first; the others were pushed."},
	{Name: "unfed_ratio", Better: Less, Group: "Structure", Text: "Share of a viewer's slices that nobody pushes to it, and that it pulls."},
	{Name: "neighbors_mean_count", Group: "Structure", Text: "Neighbors of a node, mean."},
	{Name: "neighbors_p95_count", Better: Less, Group: "Structure", Text: "The same, 95 of 100 nodes."},
	{Name: "neighbors_max_count", Better: Less, Group: "Structure", Text: "The most of all."},
	{Name: "ring_ratio", Better: More, Group: "Structure", Text: "Share of ring neighbors, one on either side of each node, that are its neighbors, mean over the run."},
	{Name: "ring_worst_ratio", Better: More, Group: "Structure", Text: "The same at the worst moment."},
	{Name: "joined_ratio", Better: More, Group: "Structure", Text: "Share of nodes, of those who stayed for 5 s or more, that were let into the group."},

	{Name: "settled_p50_s", Better: Less, Group: "Structure", Text: "Time from a node's arrival until it is linked with the members next to it on either side, for nodes that come after the warm-up: half of them took less. It is looked at with each sample."},
	{Name: "settled_p95_s", Better: Less, Group: "Structure", Text: "The same, 95 of 100."},
	{Name: "gone_known_mean_count", Better: Less, Group: "Structure", Text: "Members that a node takes to be there although they have been gone for 10 s to 5 min, mean."},
	{Name: "dials_per_s", Group: "Structure", Text: "Members that a node tries to link with in a second."},
	{Name: "dials_failed_ratio", Better: Less, Group: "Structure", Text: "Share of these that nobody answered."},

	{Name: "post_lost_ratio", Better: Less, Group: "Posts", Text: "Share of posts that a member never got although it was there for 5 s before and is to the end."},
	{Name: "post_delay_mean_ms", Better: Less, Group: "Posts", Text: "Time from writing a post to its arrival at a member, mean."},
	{Name: "post_delay_p50_ms", Better: Less, Group: "Posts", Text: "The same, half of all arrivals."},
	{Name: "post_delay_p99_ms", Better: Less, Group: "Posts", Text: "The same, 99 of 100 arrivals."},
	{Name: "post_duplicates_ratio", Better: Less, Group: "Posts", Text: "Copies of posts that came to members that had them, by first copies."},

	{Name: "post_fetched_ratio", Better: Less, Group: "Posts", Text: "Share of first copies that members asked for; the others were pushed."},
	{Name: "post_control_ratio", Better: Less, Group: "Posts", Text: "Bytes of all other messages of posting by bytes of posts that were sent, of members that are there at the end."},
	{Name: "post_unfed_ratio", Better: Less, Group: "Posts", Text: "Share of the trees of posts that a member is not in, of members of 5 s or more."},

	{Name: "route_lost_ratio", Better: Less, Group: "Routing", Text: "Share of routed messages that got to nobody, of those whose sender stayed."},
	{Name: "route_failed_ratio", Better: Less, Group: "Routing", Text: "Share of them of which the sender was told that they did not arrive, or that no reply came."},
	{Name: "route_wrong_ratio", Better: Less, Group: "Routing", Text: "Share of arrivals at a member to whose target another was nearer, of members of 5 s or more."},
	{Name: "route_twice_ratio", Better: Less, Group: "Routing", Text: "Arrivals at a second member by all arrivals: the first one's answer was lost on its way."},
	{Name: "route_delay_p50_ms", Better: Less, Group: "Routing", Text: "Time from sending a message to its first arrival, half of all."},
	{Name: "route_delay_p99_ms", Better: Less, Group: "Routing", Text: "The same, 99 of 100."},
	{Name: "route_answer_p50_ms", Better: Less, Group: "Routing", Text: "Time until the sender is told of the arrival, or has the reply, half of all."},
	{Name: "route_answer_p99_ms", Better: Less, Group: "Routing", Text: "The same, 99 of 100."},
	{Name: "route_mean_hops", Better: Less, Group: "Routing", Text: "Links that a message went over, mean over first arrivals."},

	{Name: "file_done_ratio", Better: More, Group: "Files", Text: "Share of members that have their file at the end, of those who began to fetch it and are there."},
	{Name: "file_time_p50_s", Better: Less, Group: "Files", Text: "Time from wanting a file to having it whole, half of those who have it."},
	{Name: "file_time_p95_s", Better: Less, Group: "Files", Text: "The same, 95 of 100."},
	{Name: "file_time_max_s", Better: Less, Group: "Files", Text: "The longest of all."},
	{Name: "file_bound_ratio", Better: Less, Group: "Files", Text: "Time until the last has the file by the least that the speeds of all access links allow, where all want one file at once and everybody stays."},
	{Name: "file_rate_bit_per_s", Better: More, Group: "Files", Text: "Size of a file by the mean of that time."},
	{Name: "file_holder_copies_ratio", Better: Less, Group: "Files", Text: "How often the files left those who held them at the beginning."},
	{Name: "file_duplicates_ratio", Better: Less, Group: "Files", Text: "Blocks that came to members that had them, by those that came first."},
	{Name: "file_control_ratio", Better: Less, Group: "Files", Text: "Bytes of all other messages of replication by bytes of blocks that were sent."},

	{Name: "talk_open_mean_ms", Better: Less, Group: "Talk", Text: "Time from asking for a session until it is open at both ends, mean."},
	{Name: "talk_delay_mean_ms", Better: Less, Group: "Talk", Text: "Time from sending a message without a deadline to its delivery, mean."},
	{Name: "talk_delay_p50_ms", Better: Less, Group: "Talk", Text: "The same, half of all."},
	{Name: "talk_delay_p99_ms", Better: Less, Group: "Talk", Text: "The same, 99 of 100."},
	{Name: "talk_close_mean_ms", Better: Less, Group: "Talk", Text: "Time from closing a flow until its sender is told that all of it is acknowledged or given up, mean."},
	{Name: "talk_close_p99_ms", Better: Less, Group: "Talk", Text: "The same, 99 of 100."},
	{Name: "talk_given_up_ratio", Better: Less, Group: "Talk", Text: "Share of messages with a deadline that were given up."},
	{Name: "talk_wire_ratio", Better: Less, Group: "Talk", Text: "UDP payload that was sent by bytes of messages that were delivered."},
	{Name: "talk_payload_bytes_per_s", Better: More, Group: "Talk", Text: "Bytes of messages that were delivered in a second, of both ends of a pair."},
	{Name: "talk_refused_ratio", Better: Less, Group: "Talk", Text: "Fragments for which a receiver had no room, by messages."},
	{Name: "talk_stray_ratio", Better: Less, Group: "Talk", Text: "What came that an end had no use for, such as packets of sessions that have ended, by datagrams."},
	{Name: "talk_broken_ratio", Better: Less, Group: "Talk", Text: "Share of sessions that ended although no end had closed them."},

	{Name: "nodes_mean_count", Group: "Run", Text: "Nodes that lived, mean over the run."},
	{Name: "lost_datagrams_ratio", Group: "Run", Text: "Datagrams that the network lost, by those that were sent: random loss, bursts, and faults."},
	{Name: "queue_drops_ratio", Better: Less, Group: "Run", Text: "Datagrams that found no room in the queue of an access link or a socket."},
	{Name: "refused_count", Better: Less, Group: "Run", Text: "What nodes had no room for, over all nodes: events, messages, flows, streams, neighbors."},

	{Name: "events_count", Group: "Machine", Text: "Datagrams, timers, and calls that were handled."},
	{Name: "events_per_s", Better: More, Group: "Machine", Machine: true, Text: "The same in a second of the machine's time, of one run."},
	{Name: "real_time_ratio", Better: More, Group: "Machine", Machine: true, Text: "Simulated time by the machine's time."},
	{Name: "memory_per_node_bytes", Better: Less, Group: "Machine", Machine: true, Text: "Live memory of the process by the nodes that live in it."},
}

// Find returns the description of a figure by its name, that of one class or
// shock included.
func Find(name string) (Figure, bool) {
	base, _, dotted := strings.Cut(name, ".")
	i := slices.IndexFunc(All, func(f Figure) bool { return f.Name == base })
	if i < 0 || All[i].PerName != dotted {
		return Figure{}, false
	}
	return All[i], true
}

// Order compares two names by their places in All, those of classes by name.
func Order(a, b string) int {
	place := func(name string) int {
		base, _, _ := strings.Cut(name, ".")
		return slices.IndexFunc(All, func(f Figure) bool { return f.Name == base })
	}
	if d := place(a) - place(b); d != 0 {
		return d
	}
	return strings.Compare(a, b)
}

// Unit returns the unit of a figure, which is the end of its name.
func Unit(name string) string {
	base, _, _ := strings.Cut(name, ".")
	for _, u := range [...]struct{ end, unit string }{
		{"_bit_per_s", "bit/s"}, {"_bytes_per_s", "B/s"}, {"_per_s", "/s"}, {"_ms", "ms"}, {"_s", "s"},
		{"_bytes", "B"}, {"_hops", "hops"}, {"_ratio", ""}, {"_count", ""},
	} {
		if strings.HasSuffix(base, u.end) {
			return u.unit
		}
	}
	return ""
}
