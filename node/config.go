package node

import (
	"errors"
	"log/slog"
	"time"

	"rtmfp/node/keepdir"
	"rtmfp/node/origin"
	"rtmfp/node/store"
	"rtmfp/transport/crypto"
)

// PeerID names a node: the SHA-256 of its certificate.
type PeerID = crypto.PeerID

// Config says how a node runs. The zero Config is a node on a free UDP port
// with a fresh identity, modern crypto only, and no introducer.
type Config struct {
	// Listen is the UDP address to bind, "host:port". Default ":0", any port
	// on all interfaces.
	Listen string

	// Bootstrap lists the introducers, rtmfp://host[:port] with port 1935 by
	// default. All are tried at once, together with the other ways into a group:
	// bootstrap peers of the groupspec, the address cache, the local network.
	// Without any, Join does not wait: the node may be the first member, to
	// whom others come.
	Bootstrap []string

	// Identity is the node's certificate and keys. Default: a fresh one.
	// Two running nodes must not share an identity.
	Identity *crypto.Identity

	// Introduce makes the node tell newcomers about the members that it
	// knows, and introduce them to each other.
	Introduce bool

	// RelayAll makes the node relay every stream that its groups carry, not
	// only those that it plays itself.
	RelayAll bool

	// KeepWindow is how long the node keeps what it carries of a stream for
	// members that want to see the past (Playback.Seek), and KeepBytes how much of
	// each stream at most: in memory 64 MiB by default and 2 GiB at most, in KeepDir 8 and 48 GiB.
	// Default: for as long as the publisher wants it, 8 s, and 2 s more.
	KeepWindow time.Duration
	KeepBytes  int64

	// KeepDir is a folder in which the past is kept, of as many streams as it is for, rather than in memory.
	// The caller closes it after the node. Default: none.
	KeepDir *keepdir.Dir

	// UploadLimit bounds what the node sends, in bytes per second of UDP payload,
	// over all groups. It relays no more streams than fit, and objects, files
	// among them, get what streams and everything else leave. DownloadLimit is the
	// same for what comes: streams are taken whatever they need. Default 0: for streams
	// what the line is found to carry (StreamStats.UploadLimit), and otherwise no
	// limit.
	UploadLimit, DownloadLimit int

	// AllowLegacy admits the plain RFC 7425 crypto of old peers: 1024- and
	// 2048-bit Diffie-Hellman, AES-128-CBC. Default: modern crypto only.
	AllowLegacy bool

	// Store keeps the files that the node shares and fetches, and gives those
	// that are in it to members who ask for them by hash. The caller closes it
	// after the node. Default: none, and no files.
	Store *store.Store

	// NoOrigins keeps the node from fetching blocks that no member has from the
	// web servers that a file names. PrivateOrigins lets it ask servers at
	// loopback, private, and link-local addresses, too: links come from anybody,
	// and could have it look around in its own network.
	NoOrigins, PrivateOrigins bool

	// S3 are object stores that the node may read with keys of its own, where a
	// file names an object of theirs as an origin.
	S3 []origin.S3

	// JoinTimeout bounds how long Join waits for the first introducer or
	// neighbor. Default 10 s.
	JoinTimeout time.Duration

	// AddressCache is a file that remembers where members of groups were, so
	// that the node finds them again though no introducer answers. It is made
	// if it is not there. Default: none.
	AddressCache string

	// LAN makes the node find other members on its local networks, by IPv4
	// multicast, in groups whose groupspec permits it (SpecFields.MemberUpdates).
	LAN bool

	// Logger receives what operators want to know. Default: discard.
	Logger *slog.Logger
}

const defaultJoinTimeout = 10 * time.Second

// Errors that the methods of this package return, wrapped with the operation.
var (
	// ErrClosed is returned for operations on a closed node, group, or stream.
	ErrClosed = errClosed{}
	// ErrNoIntroducer says that no bootstrap node answered.
	ErrNoIntroducer = errors.New("no introducer answered")
	// ErrRefused says that an introducer answered and did not admit us: the
	// groupspec differs, or it does not carry the group.
	ErrRefused = errors.New("the introducer does not know this group")
)
