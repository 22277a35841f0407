package transport

import "time"

// Durations and sizes of the protocol, with their origin.
const (
	ultimateOpenTimeout = 95 * time.Second        // RFC 7016 §3.5.1.1.1
	helloInterval       = 250 * time.Millisecond  // until the second attempt; our choice
	sparingInterval     = 750 * time.Millisecond  // the same of sparing dials; our choice
	helloVolley         = 4                       // packets of each attempt but the first; our choice
	helloSpacing        = 100 * time.Millisecond  // between them; our choice
	helloBackoff        = 1500 * time.Millisecond // RFC 7016 §3.5.1.1.1: added to the interval between attempts
	redirectThreshold   = 24                      // RFC 7016 §3.5.1.1.1: REDIRECT_THRESHOLD, candidates in all

	parallelOffset = 50 * time.Millisecond  // between candidates of one list; our choice
	sparingOffset  = 200 * time.Millisecond // the same of sparing dials; our choice

	fragmentProgress   = time.Second            // RFC 7016 §3.4: "progressing if at least one new fragment for it was received in the last second"
	fragmentLifetime   = 60 * time.Second       // RFC 7016 §3.4: "up to 60 seconds to completely receive a fragmented packet"
	fragmentPause      = 200 * time.Millisecond // RFC 7016 §3.4: "four packets per distinct endpoint every 200 ms"
	fragmentBurst      = 4                      // RFC 7016 §3.4, in packets
	fragmentBytes      = 4380                   // RFC 7016 §3.4: in the same time
	maxFragments       = 16                     // of one packet; our choice
	maxCertificate     = 4096                   // of this endpoint, in bytes, so that its IIKeying is no startup packet beyond the bound; our choice
	maxEPD             = 1000                   // of our IHellos, in bytes; our choice
	startupMTU         = 1452                   // bytes of our datagrams of a handshake, at most: what an Ethernet takes by IPv6; our choice
	maxStartupDatagram = 2048                   // bytes of a datagram of a handshake; our choice
	maxStartupChunks   = 16                     // of one packet that are looked at; our choice
	maxStartupPacket   = 8192                   // in bytes: more than the largest certificates and components together; our choice

	cookieLifetime = 120 * time.Second // RFC 7016 §3.5.1.1.2: not less than 95 s
	yieldPeriod    = 2 * time.Second   // how long the loser of glare waits for the other session: one repetition of its IIKeying; our choice
	glareWindow    = 5 * time.Second   // how long an open session still counts as simultaneous with another; our choice

	initialERTO = 3 * time.Second        // RFC 7016 §3.5.2.2
	minERTO     = 250 * time.Millisecond // RFC 7016 §3.5.2.2
	maxERTO     = 10 * time.Second       // RFC 7016 §3.5.2.2: the ultimate backoff cap
	ackAllow    = 200 * time.Millisecond // RFC 7016 §3.5.2.2: what ERTO allows the receiver to wait
	echoLimit   = 128 * time.Second      // RFC 7016 §3.5.2.2: age at which a timestamp is no longer echoed
	tick        = 4 * time.Millisecond   // RFC 7016 §2.2.4: of timestamps

	delayedAck  = 200 * time.Millisecond // RFC 7016 §3.6.3.4.4
	criticalAck = 20 * time.Millisecond  // the same for time-critical packets: their sender has no time to guess; our choice
	loneAcks    = 2                      // time-critical packets that were acknowledged alone until others are at once; our choice
	loneTrial   = 32                     // of them until one waits again; our choice
	ackEvery    = 2                      // RFC 7016 §3.6.3.2: data packets until an acknowledgement is due

	criticalHold = 800 * time.Millisecond // RFC 7016 §3.5.2.1: how long a time-critical notification counts

	streakLength = 16                     // packets with user data since the last ping that make a stream; our choice
	streamQuiet  = 500 * time.Millisecond // least silence after a stream until its receiver pings; our choice

	mobilityInterval = time.Second       // RFC 7016 §3.5.4.2: between checks of a new address
	mobilityLifetime = 120 * time.Second // RFC 7016 §3.5.4.2: of a check

	closeRepeat    = 5 * time.Second   // RFC 7016 §3.5.5
	nearCloseLimit = 90 * time.Second  // RFC 7016 §3.5.5
	farCloseLinger = 19 * time.Second  // RFC 7016 §3.5.5
	sendFlowLinger = 130 * time.Second // RFC 7016 §3.6.2.11
	recvFlowLinger = 120 * time.Second // RFC 7016 §3.6.3.8

	initialWindow = 65536 // RFC 7016 §3.6.2: RX_BUFFER_SIZE before the first acknowledgement, in bytes
	windowBlock   = 1024  // RFC 7016 §2.3.13: unit of window advertisements, in bytes
	maxMetadata   = 512   // RFC 7016 §2.3.11.1.1, in bytes

	probeInterval    = time.Second // RFC 7016 §3.6.2.9.1: the least time until the second buffer probe
	probeIntervalMax = time.Minute // RFC 7016 §3.6.2.9.1

	defaultMTU    = 1200
	defaultMaxMTU = 1472    // 1500 less the headers of IPv4 and UDP
	maxSlots      = 1 << 20 // sessions of an endpoint: a session id is 20 bits of slot below 12 bits of generation

	packetThreshold = 3   // RFC 7016 §3.6.2.5: negative acknowledgements that make a loss
	maxRanges       = 512 // runs of received sequence numbers above the first gap that a flow remembers
	fragOverhead    = 64  // what a buffered fragment costs beside its bytes
	maxSegments     = 64  // datagrams in one Batch: Linux's UDP_MAX_SEGMENTS
	sessionTurn     = 32  // datagrams that one session sends before it is another's turn
)
