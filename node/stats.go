package node

import (
	"net/netip"
	"time"

	"rtmfp/group/lan"
	"rtmfp/node/keepdir"
)

// Slices is the number of slices, and so of trees, of a stream.
const Slices = 8

// Stats is a snapshot of a node's figures.
type Stats struct {
	Addr            netip.AddrPort
	Sessions        int    // open sessions
	Introducers     int    // of Config.Bootstrap, that the node is in touch with
	DatagramsIn     uint64 // UDP datagrams received
	DatagramsOut    uint64 // UDP datagrams sent
	BytesIn         uint64 // UDP payload received
	BytesOut        uint64 // UDP payload sent
	DatagramsFailed uint64 // datagrams that the kernel refused to send
	Refused         Counters
	LAN             lan.Stats     // announcements on local networks
	Kept            keepdir.Stats // in Config.KeepDir
}

// GroupStats is a snapshot of a group's figures at this node.
type GroupStats struct {
	Name      string
	ID        string        // group id, hex
	Joined    time.Duration // from Join's call to the first introducer or neighbor
	Neighbors int
	Members   int // estimate of the group's size, this node included
	Streams   []string

	Refused   Refusals     // since Join
	Total     ServiceBytes // since Join
	PerSecond ServiceBytes // lately, over three to six seconds
}

// Refusals count what a group refused at this node, by the reason.
type Refusals struct {
	Proofs       uint64 `json:"proofs"`       // nodes that could not prove that they know the groupspec
	Joins        uint64 `json:"joins"`        // questions for members without proof, of other groups, or too often
	Evicted      uint64 `json:"evicted"`      // evicted members that wanted to be neighbors
	Revocations  uint64 `json:"revocations"`  // forged or malformed
	Forged       uint64 `json:"forged"`       // posts whose signature is wrong
	Unauthorized uint64 `json:"unauthorized"` // posts without a grant or password that permits them now
	Untimely     uint64 `json:"untimely"`     // posts from too long ago, or from the future
	Malformed    uint64 `json:"malformed"`    // posts that are none
	Flooding     uint64 `json:"flooding"`     // posts of authors that post too much

	Streams StreamRefusals `json:"streams"`
}

// StreamRefusals are those of live streams.
type StreamRefusals struct {
	Forged      uint64 `json:"forged"`      // descriptions, signatures under fragments, and ends that the publisher did not sign
	Altered     uint64 `json:"altered"`     // fragments that are not what was signed
	Unsigned    uint64 `json:"unsigned"`    // streams without signatures, where they are not admitted
	Unpermitted uint64 `json:"unpermitted"` // streams whose publisher has no grant that is good now
	CutOff      uint64 `json:"cut_off"`     // neighbors that were cut off from streams for what they sent
}

// Bytes are those of messages, without what the transport adds.
type Bytes struct {
	Sent     uint64 `json:"sent"`
	Received uint64 `json:"received"`
}

// ServiceBytes are the bytes that a group's services send and receive.
type ServiceBytes struct {
	Membership Bytes `json:"membership"` // of the group itself
	Routing    Bytes `json:"routing"`    // directed routing, for others too
	Streams    Bytes `json:"streams"`
	Posts      Bytes `json:"posts"`
	Records    Bytes `json:"records"` // copies between neighbors; requests are routed
	Objects    Bytes `json:"objects"`
}

// Delay is the distribution of the time from the publisher's Write to the
// moment at which a message can be delivered here, in order. It is meaningful
// where both clocks agree, as on one machine. Messages that were published
// before this node began to play are not in it.
type Delay struct {
	Count              uint64
	P50, P95, P99, Max time.Duration
}

// Slice is one of a stream's trees as this node sees it.
type Slice struct {
	Parent   PeerID   // who pushes it to us, zero if nobody
	Depth    int      // hops from the publisher, -1 if unknown
	Children []PeerID // whom we push it to
}

// StreamStats is a snapshot of a stream's figures at this node.
type StreamStats struct {
	Name       string
	Publishing bool
	Started    time.Time // the Play or Publish call
	FirstFrame time.Time // when the first frame could be delivered, zero until then

	Messages   uint64 // delivered or written
	Bytes      uint64 // payload of those messages
	Fragments  uint64 // first copies received, or fragments published
	Lost       uint64 // fragments given up
	Duplicates uint64 // fragments received again
	Pushed     uint64 // fragments whose first copy a neighbor pushed
	Pulled     uint64 // fragments whose first copy we asked for
	CatchUp    uint64 // delivered messages from before the Play call, or of the past after a Seek or a pause

	Delay Delay

	Neighbors     int
	UploadBytes   uint64 // stream payload and control sent to neighbors
	DownloadBytes uint64 // stream payload and control received from them
	UploadPayload uint64 // fragments sent to neighbors, payload bytes
	UploadLimit   uint64 // bytes per second that all streams may take: as configured, or as the line was found to carry; 0: neither

	WrittenFirst, WrittenSpare uint64 // of Messages written, those of ClassFirst, with which a player can start among them, and of ClassSpare

	Signed         bool   // by the publisher, and verified here before it is passed on or played
	SignatureBytes uint64 // of hashes and signatures among what was received or published, first copies

	Slices [Slices]Slice
	Moves  Moves
}

// Moves counts for what reasons a slice went over to another parent.
type Moves struct {
	Sooner uint64 // it comes sooner from there
	Asked  uint64 // the parent asked to be left: others have the place, or its upload limit is reached
	Silent uint64 // the parent owed fragments for too long
	Gone   uint64 // the link ended, or the parent has no more to do with the stream
}
