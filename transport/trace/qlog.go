package trace

import (
	"encoding/hex"
	"encoding/json"
	"io"
	"maps"
	"net/netip"
	"time"

	"rtmfp/internal/clock"
	"rtmfp/transport"
	"rtmfp/transport/wire"
)

// Qlog writes an endpoint's life as JSON lines, in the manner of qlog
// (draft-ietf-quic-qlog-main-schema): a line that describes the trace, then one
// event each, with its time in milliseconds since the first, its name, the
// session that it belongs to, and its data.
//
//	transport:packet_sent, transport:packet_received   header and chunks
//	transport:packet_dropped                           from where, and why
//	recovery:packet_lost                               flow and sequence number
//	recovery:metrics_updated                           round trip, window, in flight
//	connectivity:connection_state_updated              names of RFC 7016 §3.5
//	connectivity:path_updated                          addresses
//
// Chunks are "frames" and have the names of RFC 7016 in snake case. What they
// carry is given by its length alone.
type Qlog struct {
	file
	title string
	first clock.Time
	begun bool
}

// NewQlog returns a trace that is written to w.
func NewQlog(w io.Writer, o Options) *Qlog { return &Qlog{file: newFile(w, o), title: o.Title} }

// Tracer returns what is to be the Trace of a Config.
func (q *Qlog) Tracer() *transport.Tracer { return q.TracerOf(nil) }

// TracerOf is Tracer for one of several endpoints that share the trace, with
// one clock: fields are added to each of its events, to tell whose they are.
func (q *Qlog) TracerOf(fields map[string]any) *transport.Tracer {
	event := func(now clock.Time, name string, s *transport.Session, data object) {
		q.event(now, name, fields, s, data)
	}
	return &transport.Tracer{
		PacketSent: func(now clock.Time, p transport.TracedPacket) {
			event(now, "transport:packet_sent", p.Session, describe(p, "to"))
		},
		PacketReceived: func(now clock.Time, p transport.TracedPacket) {
			event(now, "transport:packet_received", p.Session, describe(p, "from"))
		},
		Dropped: func(now clock.Time, from netip.AddrPort, why transport.Drop) {
			event(now, "transport:packet_dropped", nil, object{"from": from.String(), "trigger": why.String()})
		},
		Lost: func(now clock.Time, s *transport.Session, flow, sequence uint64, timeout bool) {
			trigger := "acknowledgements"
			if timeout {
				trigger = "timeout"
			}
			event(now, "recovery:packet_lost", s, object{"flow": flow, "sequence": sequence, "trigger": trigger})
		},
		Acknowledged: func(now clock.Time, s *transport.Session) { event(now, "recovery:metrics_updated", s, metrics(s)) },
		Window: func(now clock.Time, s *transport.Session, window, threshold int) {
			m := metrics(s)
			m["ssthresh"] = threshold
			event(now, "recovery:metrics_updated", s, m)
		},
		StateChanged: func(now clock.Time, s *transport.Session) {
			d := object{"new": stateNames[s.State()]}
			if s.State() == transport.StateOpen {
				peer := s.Peer()
				d["peer"] = hex.EncodeToString(peer[:])
				d["address"] = s.FarAddr().String()
				d["initiator"] = s.Initiator()
				d["suite"] = s.Suite()
			}
			event(now, "connectivity:connection_state_updated", s, d)
		},
		AddressChanged: func(now clock.Time, s *transport.Session, old netip.AddrPort) {
			event(now, "connectivity:path_updated", s, object{"old": old.String(), "new": s.FarAddr().String()})
		},
	}
}

type object = map[string]any

var stateNames = map[transport.State]string{
	transport.StateIHelloSent:     "ihello_sent",
	transport.StateKeyingSent:     "keying_sent",
	transport.StateOpen:           "open",
	transport.StateNearClose:      "nearclose",
	transport.StateFarCloseLinger: "farclose_linger",
	transport.StateClosed:         "closed",
	transport.StateOpenFailed:     "open_failed",
}

// ms gives a duration in milliseconds, to the microsecond.
func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func metrics(s *transport.Session) object {
	st := s.Stats()
	return object{
		"smoothed_rtt": ms(s.SRTT()), "rtt_variance": ms(s.RTTVar()), "erto": ms(s.ERTO()),
		"congestion_window": st.Window, "bytes_in_flight": st.Outstanding,
	}
}

// Event adds an event of the caller's own, in the order of its time.
func (q *Qlog) Event(now clock.Time, name string, fields, data map[string]any) {
	q.event(now, name, fields, nil, data)
}

// event writes a line.
func (q *Qlog) event(now clock.Time, name string, fields map[string]any, s *transport.Session, data object) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.err != nil {
		return
	}
	if !q.begun {
		q.begun, q.first = true, now
		q.line(object{
			"qlog_version": "0.4", "qlog_format": "NDJSON", "title": q.title,
			"trace": object{
				"vantage_point": object{"type": "endpoint"},
				"common_fields": object{
					"protocol_type": []string{"RTMFP"}, "time_format": "relative",
					"reference_time": ms(q.wall(now).Sub(time.Unix(0, 0))),
				},
			},
		})
	}
	event := object{"time": ms(now.Sub(q.first)), "name": name, "data": data}
	maps.Copy(event, fields)
	if s != nil {
		event["session"] = s.ID()
	}
	q.line(event)
}

func (q *Qlog) line(v object) {
	b, err := json.Marshal(v)
	if err != nil {
		panic("BUG: trace: " + err.Error()) // there is nothing in an event that JSON can't say
	}
	q.write(append(b, '\n'))
}

// describe tells of a packet in clear.
func describe(p transport.TracedPacket, direction string) object {
	h, n := wire.ConsumeHeader(p.Packet)
	header := object{"mode": modeNames[h.Mode&3]}
	if h.HasTimestamp {
		header["timestamp"] = h.Timestamp
	}
	if h.HasEcho {
		header["timestamp_echo"] = h.Echo
	}
	if h.TimeCritical {
		header["time_critical"] = true
	}
	if h.TimeCriticalReverse {
		header["time_critical_reverse"] = true
	}
	frames := []object{}
	var last wire.UserData
	for rest := p.Packet[n:]; n > 0; {
		t, payload, size := wire.ConsumeChunk(rest)
		if size == 0 {
			break
		}
		rest = rest[size:]
		frames = append(frames, describeChunk(t, payload, &last))
	}
	return object{direction: p.Addr.String(), "session_id": p.ID, "header": header,
		"raw": object{"length": len(p.Packet)}, "frames": frames}
}

var modeNames = [4]string{"forbidden", "initiator", "responder", "startup"}

// describeChunk tells of a chunk. last is the fragment before, which Next User
// Data goes on from.
func describeChunk(t wire.ChunkType, p []byte, last *wire.UserData) object {
	d := object{"frame_type": "unknown", "length": len(p)}
	is := func(name string, ok bool) bool {
		if d["frame_type"] = name; !ok {
			d["malformed"] = true
		}
		return ok
	}
	switch t {
	case wire.ChunkUserData:
		if c, ok := wire.ParseUserData(p); is("user_data", ok) {
			*last = c
			describeData(d, c)
		}
	case wire.ChunkNextUserData:
		c, ok := wire.ParseNextUserData(p)
		u, after := c.After(*last)
		if is("next_user_data", ok && after) {
			*last = u
			describeData(d, u)
		}
	case wire.ChunkRangeAck:
		if c, ok := wire.ParseRangeAck(p); is("range_ack", ok) {
			describeAck(d, c)
		}
	case wire.ChunkBitmapAck:
		if c, ok := wire.ParseBitmapAck(p); is("bitmap_ack", ok) {
			describeAck(d, c)
		}
	case wire.ChunkBufferProbe:
		if c, ok := wire.ParseBufferProbe(p); is("buffer_probe", ok) {
			d["flow"] = c.FlowID
		}
	case wire.ChunkException:
		if c, ok := wire.ParseFlowException(p); is("flow_exception_report", ok) {
			d["flow"], d["code"] = c.FlowID, c.Code
		}
	case wire.ChunkECNReport:
		if c, ok := wire.ParseECNReport(p); is("ecn_report", ok) {
			d["ce"] = c.CE
			if c.Long {
				d["ect0"], d["ect1"] = c.ECT0, c.ECT1
			}
		}
	case wire.ChunkFIHello:
		if c, ok := wire.ParseFIHello(p); is("forwarded_ihello", ok) {
			d["reply"] = c.Reply.String()
		}
	case wire.ChunkIIKeying:
		if c, ok := wire.ParseIIKeying(p); is("iikeying", ok) {
			d["near_session_id"] = c.SessionID
		}
	case wire.ChunkRIKeying:
		if c, ok := wire.ParseRIKeying(p); is("rikeying", ok) {
			d["near_session_id"] = c.SessionID
		}
	default:
		if name, ok := chunkNames[t]; ok {
			d["frame_type"] = name
		} else {
			d["type"] = uint8(t)
		}
	}
	return d
}

// chunkNames has the chunks of which there is nothing more to tell.
var chunkNames = map[wire.ChunkType]string{
	wire.ChunkFragment: "packet_fragment", wire.ChunkIHello: "ihello", wire.ChunkRHello: "rhello",
	wire.ChunkRedirect: "responder_redirect", wire.ChunkCookieChange: "rhello_cookie_change",
	wire.ChunkPing: "ping", wire.ChunkPingReply: "ping_reply",
	wire.ChunkClose: "session_close_request", wire.ChunkCloseAck: "session_close_acknowledgement",
}

func describeData(d object, c wire.UserData) {
	d["flow"], d["sequence"], d["forward_sequence"], d["length"] = c.FlowID, c.Sequence, c.ForwardSequence(), len(c.Data)
	d["fragment"] = map[wire.Flags]string{wire.FragmentWhole: "whole", wire.FragmentBegin: "begin",
		wire.FragmentMiddle: "middle", wire.FragmentEnd: "end"}[c.Flags.Fragment()]
	if c.Flags.Abandon() {
		d["abandon"] = true
	}
	if c.Flags.Final() {
		d["final"] = true
	}
	if o, ok := wire.ParseFlowOptions(c.Options); ok && o.HasMetadata {
		d["metadata"] = hex.EncodeToString(o.Metadata)
		if o.HasReturnFlow {
			d["return_flow"] = o.ReturnFlow
		}
	}
}

func describeAck(d object, a wire.Ack) {
	delete(d, "length")
	d["flow"], d["cumulative"], d["buffer"] = a.FlowID, a.Cumulative, a.BufferBytes()
	ranges := [][2]uint64{}
	for c := a.Ranges(); ; {
		r, ok := c.Next()
		if !ok {
			break
		}
		ranges = append(ranges, [2]uint64{r.First, r.Last})
	}
	if len(ranges) > 0 {
		d["ranges"] = ranges
	}
}
