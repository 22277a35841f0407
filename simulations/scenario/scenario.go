// Package scenario reads descriptions of simulations: what network, who comes
// and goes, what goes wrong when, what is sent, and what must come of it.
//
// A scenario is a TOML file. docs/scenarios.md describes every key; the struct
// tags here say the same to the decoder, which refuses keys that it does not
// know and values that can't be with the line, the reason, and the key that
// was meant. The scenarios that come with the program are in the folder
// library.
package scenario

import (
	"math"
	"time"

	"rtmfp/simulations/geography"
)

// Scenario is a simulation to be run. The tags of its fields, and of those of
// the structs in it, are the documentation of the keys; default, min, and max
// are written as in a file.
type Scenario struct {
	Name string `toml:"-"` // by which it was asked for
	Size string `toml:"-"` // "" as written

	Title string `toml:"title" doc:"what it is, in a line"`
	About string `toml:"about" doc:"what it shows, in a few sentences"`

	Nodes       int      `toml:"nodes" default:"50" min:"3" max:"1000000" doc:"nodes that are there at the beginning, the introducers and the publisher included"`
	Introducers int      `toml:"introducers" default:"1" min:"1" max:"64" doc:"how many of them introduce the others to each other"`
	Warmup      Duration `toml:"warmup" default:"10s" min:"1s" max:"24h" doc:"time for the first nodes to find each other; nothing is measured in it"`
	Duration    Duration `toml:"duration" default:"30s" min:"1s" max:"240h" doc:"time that is measured; shocks and traffic happen in it"`
	Drain       Duration `toml:"drain" default:"5s" min:"0s" max:"1h" doc:"time after it for what is on its way"`
	Crypto      string   `toml:"crypto" default:"simulated" enum:"simulated,modern" doc:"simulated is a cheap stand-in of the same sizes and times; modern is the real thing"`

	Network     Network     `toml:"network" doc:"what is between the nodes"`
	Classes     []Class     `toml:"class" doc:"kinds of nodes; without any, all have fast links and no NAT"`
	Arrivals    Arrivals    `toml:"arrivals" doc:"who comes when"`
	Sessions    Sessions    `toml:"sessions" doc:"how long nodes stay"`
	Shocks      []Shock     `toml:"shock" doc:"what goes wrong, and when"`
	Adversaries []Adversary `toml:"adversary" doc:"nodes that do not keep to the rules"`
	Live        *Live       `toml:"live" doc:"a stream that one node publishes and others play; without any traffic the group idles"`
	Posts       *Posts      `toml:"posts" doc:"posts that members write to everybody"`
	Routing     *Routing    `toml:"routing" doc:"messages that members send to whoever is nearest to a place on the ring"`
	Files       *Files      `toml:"files" doc:"files that members copy of each other"`
	Talk        *Talk       `toml:"talk" doc:"pairs of nodes beside the group's that talk to each other over plain sessions"`
	Measure     Measure     `toml:"measure" doc:"how figures are taken"`
	Checks      Checks      `toml:"checks" doc:"invariants beside those that are always watched; a run ends at the first that is broken"`

	// Expect holds bounds of figures, checked when all seeds have run.
	Expect []Expectation `toml:"-"`
}

// Network is what is between the nodes.
type Network struct {
	Geography string      `toml:"geography" default:"synthetic" doc:"synthetic: cities of the world; flat: all alike, see latency; file: what files names"`
	Files     []string    `toml:"files" doc:"matrices of round-trip times in ms, of the same places at different times; relative to the scenario's file"`
	Slice     Duration    `toml:"slice" default:"5m" min:"1s" max:"240h" doc:"with several files: how long each of them holds"`
	Latency   Duration    `toml:"latency" default:"20ms" min:"0s" max:"10s" doc:"one way, where geography is flat"`
	LastMile  [2]Duration `toml:"last_mile" doc:"least and most that a node's own line adds one way, evenly distributed; 1 to 10 ms where geography is synthetic, otherwise nothing"`

	Jitter       Duration `toml:"jitter" default:"0s" min:"0s" max:"10s" doc:"added to each datagram's latency, evenly from nothing up to this"`
	Hop          Duration `toml:"hop" default:"0s" min:"0s" max:"1s" doc:"added to each datagram's latency, for what nodes do with it; it is no part of the direct latency that delays are compared with"`
	Ordered      bool     `toml:"ordered" default:"false" doc:"jitter does not let datagrams overtake each other"`
	Loss         Ratio    `toml:"loss" default:"0" max:"1" doc:"share of datagrams that is lost, each for itself"`
	BurstGood    Duration `toml:"burst_good" default:"0s" min:"0s" max:"1h" doc:"mean time between bursts of loss on a path; needs burst_bad"`
	BurstBad     Duration `toml:"burst_bad" default:"0s" min:"0s" max:"1m" doc:"mean time that a burst lasts; all is lost in it"`
	Reorder      Ratio    `toml:"reorder" default:"0" max:"1" doc:"share of datagrams that is held back"`
	ReorderDelay Duration `toml:"reorder_delay" default:"10ms" min:"0s" max:"10s" doc:"for so long"`
	Duplicate    Ratio    `toml:"duplicate" default:"0" max:"1" doc:"share of datagrams that arrives twice"`
	Corrupt      Ratio    `toml:"corrupt" default:"0" max:"1" doc:"share of datagrams of which some bits are changed"`
	MTU          int      `toml:"mtu" default:"0" min:"0" max:"65535" doc:"largest UDP payload that passes, in bytes; 0 is any"`
}

// Class is a kind of nodes.
type Class struct {
	Name        string   `toml:"name" doc:"under which figures are given"`
	Share       Ratio    `toml:"share" default:"1" max:"1" doc:"of the nodes; the shares of all classes make 1"`
	Up          Rate     `toml:"up" default:"0" max:"1Tbit/s" doc:"speed of the access link to the network; 0 is no limit"`
	Down        Rate     `toml:"down" default:"0" max:"1Tbit/s" doc:"and from it"`
	Queue       Size     `toml:"queue" default:"0" max:"1GB" doc:"bytes that wait before either; 0 is what 250 ms bring"`
	CoDel       bool     `toml:"codel" default:"false" doc:"drops early (RFC 8289), where otherwise only a full queue drops"`
	UploadLimit Rate     `toml:"upload_limit" default:"0" max:"1Tbit/s" doc:"what the node is told to send at most, as with --upload-limit; 0 is no limit"`
	RelayAll    bool     `toml:"relay_all" default:"false" doc:"relays every stream, as with --relay-all"`
	NAT         string   `toml:"nat" default:"none" enum:"none,full-cone,restricted,port-restricted,symmetric,double" doc:"what kind of NAT each is behind; double is a port-restricted one behind another that all of the class share"`
	NATLifetime Duration `toml:"nat_lifetime" default:"2m" min:"1s" max:"24h" doc:"how long its mappings live without traffic"`
	PacketCost  Duration `toml:"packet_cost" default:"0s" min:"0s" max:"1s" doc:"processor time that a datagram takes the node"`
	WorkCost    Duration `toml:"work_cost" default:"0s" min:"0s" max:"10s" doc:"processor time that a piece of public-key work takes it"`
	ClockOffset Duration `toml:"clock_offset" default:"0s" min:"0s" max:"24h" doc:"by how much its clock is ahead; delays are measured by the true time all the same"`
	ClockDrift  int      `toml:"clock_drift" default:"0" min:"-100000" max:"100000" doc:"by how much its clock is too fast, in millionths"`
	Anchor      bool     `toml:"anchor" default:"false" doc:"nodes of the class neither leave nor die"`
}

// Arrivals says who comes after the first nodes.
type Arrivals struct {
	Over    Duration `toml:"over" default:"0s" min:"0s" max:"24h" doc:"time over which the first nodes come, evenly; 0s is half of warmup"`
	Pattern string   `toml:"pattern" default:"poisson" enum:"poisson,steady" doc:"of those who come later: at random instants, or evenly"`
	Rate    Float    `toml:"rate" default:"-1" min:"-1" max:"100000" doc:"how many come in a second; -1 is as many as leave by sessions"`
}

// Sessions says how long nodes stay.
type Sessions struct {
	Distribution string   `toml:"distribution" default:"forever" enum:"forever,exponential,weibull" doc:"of the time that a node stays"`
	Median       Duration `toml:"median" default:"5m" min:"1s" max:"240h" doc:"half of the nodes stay for less"`
	Shape        Float    `toml:"shape" default:"0.5" min:"0.2" max:"10" doc:"of the Weibull distribution: below 1, those who have stayed stay on"`
	Orderly      Ratio    `toml:"orderly" default:"0" max:"1" doc:"share of those who leave that says so; the others just die"`
}

// Shock is something that goes wrong.
type Shock struct {
	At         Duration `toml:"at" default:"0s" min:"0s" max:"240h" doc:"when, from the end of warmup"`
	Kind       string   `toml:"kind" enum:"die,die-region,die-first-level,die-introducers,crowd,partition,one-way,loss,cut,stall,slow,move,latencies,pollute" doc:"what happens, see the table of shocks"`
	Share      Ratio    `toml:"share" default:"0" max:"1" doc:"of the nodes that it meets"`
	Region     string   `toml:"region" default:"" doc:"where it happens, instead of share; a region of the geography"`
	For        Duration `toml:"for" default:"0s" min:"0s" max:"240h" doc:"how long it lasts"`
	Factor     Float    `toml:"factor" default:"10" min:"1.01" max:"1000" doc:"crowd: how many times as many nodes there are afterwards"`
	Over       Duration `toml:"over" default:"10s" min:"1ms" max:"24h" doc:"crowd: in which time they come"`
	Loss       Ratio    `toml:"loss" default:"0" max:"1" doc:"loss: share of datagrams that is lost, beside that of the network"`
	PacketCost Duration `toml:"packet_cost" default:"2ms" min:"1us" max:"1s" doc:"slow: processor time that a datagram takes"`
}

// Adversary is a kind of nodes that do not keep to the rules.
type Adversary struct {
	Kind  string `toml:"kind" doc:"what they do, see the table of adversaries"`
	Share Ratio  `toml:"share" default:"0.1" max:"1" doc:"of the nodes"`
}

// Live is a stream.
type Live struct {
	Bitrate        Rate     `toml:"bitrate" default:"1Mbit/s" min:"1kbit/s" max:"1Gbit/s" doc:"of the media"`
	Message        Size     `toml:"message" default:"940B" min:"16B" max:"200kB" doc:"size of the messages that the publisher writes, evenly spaced"`
	KeyEvery       Duration `toml:"key_every" default:"1s" min:"0s" max:"10m" doc:"time between key frames, at which viewers may begin; 0s is at every message"`
	Viewers        Ratio    `toml:"viewers" default:"1" max:"1" doc:"share of the other nodes that plays it"`
	PublisherClass string   `toml:"publisher_class" default:"" doc:"class of the publisher and of the introducers; without it they have fast links"`
	PushLimit      int      `toml:"push_limit" default:"0" min:"0" max:"64" doc:"copies of each slice that the publisher pushes; 0 is the node's default"`
	Window         Duration `toml:"window" default:"8s" min:"1s" max:"10m" doc:"how long a message is worth having"`
	Lead           Duration `toml:"lead" default:"0s" min:"0s" max:"24h" doc:"the stream begins so long before the end of warmup, and nothing of that is measured; less than warmup"`
	Announced      bool     `toml:"announced" default:"false" doc:"the publisher announces the stream when it comes, and viewers take their places; otherwise with the first message, at the end of warmup"`
	AnyFrame       bool     `toml:"any_frame" default:"false" doc:"viewers begin with the newest message, not with a key frame"`
}

// Posts are small messages to everybody.
type Posts struct {
	Rate Float `toml:"rate" default:"2" min:"0.01" max:"1000" doc:"posts in a second, of the whole group; each is written by a member that is drawn"`
	Size Size  `toml:"size" default:"200B" min:"16B" max:"60kB" doc:"of a post"`
}

// Routing is messages to places on the ring.
type Routing struct {
	Rate     Float `toml:"rate" default:"10" min:"0.01" max:"10000" doc:"messages in a second, of the whole group; each is sent by a member that is drawn"`
	Size     Size  `toml:"size" default:"200B" min:"16B" max:"60kB" doc:"of a message, and of a reply"`
	Requests Ratio `toml:"requests" default:"0.5" max:"1" doc:"share of the messages that ask for a reply"`
	Seam     Ratio `toml:"seam" default:"0.1" max:"1" doc:"share that goes to a place next to 0, where the ring closes; a third of the others goes to the place of a member that is drawn, the rest to random places"`
}

// Files is a swarm: some members hold files, and the others fetch them.
type Files struct {
	Size        Size     `toml:"size" default:"4MB" min:"1kB" max:"100GB" doc:"of each file; it goes in blocks of 64 KiB"`
	Count       int      `toml:"count" default:"1" min:"1" max:"1000" doc:"how many there are; a member fetches one that is drawn"`
	Holders     int      `toml:"holders" default:"1" min:"1" max:"1000" doc:"nodes that have all files from the beginning on, and neither leave nor die"`
	HolderClass string   `toml:"holder_class" default:"" doc:"class of the holders; without it they have fast links"`
	Share       Ratio    `toml:"share" default:"1" max:"1" doc:"of the other nodes that fetches; those who come later begin when they come"`
	Over        Duration `toml:"over" default:"0s" min:"0s" max:"24h" doc:"time over which those who are there begin, evenly; 0s is all at once"`
}

// Talk is a workload at the level of sessions. The nodes of a pair open a
// session to each other, and send messages on eight flows each: ordered or as
// received, with deadlines or without, time critical or not.
type Talk struct {
	Pairs    int      `toml:"pairs" default:"4" min:"1" max:"10000" doc:"how many"`
	Rate     Float    `toml:"rate" default:"10" min:"0.1" max:"1000" doc:"messages in a second, of each end; each goes on a flow that is drawn, one time in 64 sixteen of them at once"`
	Size     Size     `toml:"size" default:"4kB" min:"1kB" max:"60kB" doc:"the most bytes of a message, of which the sizes are drawn"`
	Flow     Duration `toml:"flow" default:"1s" min:"10ms" max:"1h" doc:"mean time after which an end closes one of its flows and opens another, and half of the mean time after which it holds one that it receives for 1.5 s"`
	Session  Duration `toml:"session" default:"10s" min:"100ms" max:"10h" doc:"mean time after which either end closes the session, one time in four without waiting for an answer, and another is opened from either side, or from both at once"`
	Patience Duration `toml:"patience" default:"20s" min:"1s" max:"1h" doc:"what takes longer breaks an invariant: opening or closing a session, closing a flow, the arrival of a message without a deadline, and the receipt for one"`
	Broken   bool     `toml:"broken" default:"false" doc:"sessions may end because the network is too bad; otherwise that breaks an invariant"`
}

// Measure says how figures are taken.
type Measure struct {
	Deadline Duration `toml:"deadline" default:"500ms" enum:"200ms,500ms,1s" doc:"a message that is played later than so long after it was published is late: what recovery and the figure of repair go by"`
	Stretch  Float    `toml:"stretch" default:"1.15" min:"0.1" max:"1000" doc:"times the direct latency: what delays have to be below again after a shock of kind latencies"`
	Sample   Duration `toml:"sample" default:"1s" min:"100ms" max:"1h" doc:"time between looks at trees, neighbors, and the ring"`
}

// Checks says which invariants are watched beside those that always are.
type Checks struct {
	Turns int      `toml:"turns" default:"1024" min:"1" max:"1000000" doc:"of so many turns of a node one is followed by a look at all that its layers promise"`
	Order bool     `toml:"order" default:"false" doc:"compares each message of a flow that is delivered with those that were sent: none twice, none out of order where order was promised"`
	Ring  bool     `toml:"ring" default:"false" doc:"watches the ring: relations of neighbors have two ends, an address has one owner, and when nobody comes or goes members are linked with those next to them, who get the messages that are for them"`
	Near  int      `toml:"near" default:"1" min:"1" max:"3" doc:"ring: with how many on either side"`
	Grace Duration `toml:"grace" default:"40s" min:"1s" max:"1h" doc:"ring: how long a relation may have one end only"`
	Quiet Duration `toml:"quiet" default:"60s" min:"1s" max:"1h" doc:"ring: how long nobody must have come, gone, or been cut off before members have to know who is next to them"`
}

// Total returns the virtual time that a run takes.
func (s *Scenario) Total() time.Duration {
	return time.Duration(s.Warmup + s.Duration + s.Drain)
}

// FirstArrivals returns the time over which the first nodes come.
func (s *Scenario) FirstArrivals() time.Duration {
	if s.Arrivals.Over > 0 {
		return time.Duration(s.Arrivals.Over)
	}
	return time.Duration(s.Warmup / 2)
}

// MeanSession returns the mean time that nodes stay, 0 for ever.
func (s *Scenario) MeanSession() time.Duration {
	median := float64(s.Sessions.Median)
	switch s.Sessions.Distribution {
	case "exponential":
		return time.Duration(median / math.Ln2)
	case "weibull":
		k := 1 / float64(s.Sessions.Shape)
		return time.Duration(median / math.Pow(math.Ln2, k) * math.Gamma(1+k))
	}
	return 0
}

// ArrivalRate returns how many nodes come in a second after the first ones.
func (s *Scenario) ArrivalRate() float64 {
	if s.Arrivals.Rate >= 0 {
		return float64(s.Arrivals.Rate)
	}
	if mean := s.MeanSession(); mean > 0 {
		return float64(s.Nodes) / mean.Seconds()
	}
	return 0
}

// Map returns the geography, which it reads if it is in files.
func (s *Scenario) Map() (*geography.Map, error) {
	switch s.Network.Geography {
	case "synthetic":
		if n := s.count("latencies"); n > 0 {
			return geography.Changing(1 + n), nil
		}
		return geography.Synthetic(), nil
	case "flat":
		return geography.Flat(time.Duration(s.Network.Latency)), nil
	}
	return geography.Load(s.Network.Files...)
}

// count returns how many shocks of a kind there are.
func (s *Scenario) count(kind string) (n int) {
	for i := range s.Shocks {
		if s.Shocks[i].Kind == kind {
			n++
		}
	}
	return n
}

// Has reports whether there is a shock of a kind.
func (s *Scenario) Has(kind string) bool { return s.count(kind) > 0 }

// Names under which uploads are given beside those of classes.
const (
	ClassAll       = "all"       // of all but introducers and the publisher
	ClassPublisher = "publisher" // of the publisher
)
