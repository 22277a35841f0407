package trace

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"rtmfp/internal/clock"
	"rtmfp/transport"
	"rtmfp/transport/crypto"
)

type reader struct{ rng *rand.Rand }

func (r reader) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(r.rng.Uint32())
	}
	return len(b), nil
}

type datagram struct {
	from, to netip.AddrPort
	b        []byte
}

// converse has a traced endpoint open a session with another at virtual time,
// send a message of 5000 bytes, lose the third packet with data, and close.
func converse(t *testing.T, trace *transport.Tracer, ip string) {
	t.Helper()
	var ends [2]*transport.Endpoint
	addrs := [2]netip.AddrPort{netip.AddrPortFrom(netip.MustParseAddr(ip), 1000), netip.AddrPortFrom(netip.MustParseAddr(ip), 2000)}
	for i := range ends {
		source := reader{rand.New(rand.NewPCG(uint64(i), 1))}
		id, err := crypto.NewIdentity(source, crypto.IdentityOptions{})
		if err != nil {
			t.Fatal(err)
		}
		cfg := transport.Config{Identity: id, Rand: source}
		if i == 0 {
			cfg.Trace = trace
		}
		if ends[i], err = transport.New(cfg); err != nil {
			t.Fatal(err)
		}
	}
	now := clock.Time(time.Hour)
	s, err := ends[0].Dial(now, ends[1].PeerID(), addrs[1:])
	if err != nil {
		t.Fatal(err)
	}
	f, err := s.OpenFlow(now, transport.FlowOptions{Metadata: []byte("m")})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Send(now, make([]byte, 5000), transport.SendOptions{}); err != nil {
		t.Fatal(err)
	}
	f.Close(now)
	done, large := false, 0
	buf := make([]byte, 64<<10)
	for range 2000 {
		var flights []datagram
		for i, e := range ends {
			e.Advance(now)
			for ev, ok := e.NextEvent(); ok; ev, ok = e.NextEvent() {
				switch ev.Kind {
				case transport.FlowOpen:
					ev.Recv.Accept(now, true)
				case transport.SendFlowClosed:
					s.Close(now)
					done = true
				}
			}
			for w, ok := e.NextWork(); ok; w, ok = e.NextWork() {
				w.Run()
				e.FinishWork(now, w)
			}
			for b, ok := e.Transmit(now, buf); ok; b, ok = e.Transmit(now, buf) {
				for rest := b.B; len(rest) > 0; rest = rest[min(b.Segment, len(rest)):] {
					d := bytes.Clone(rest[:min(b.Segment, len(rest))])
					if i == 0 && len(d) > 1100 {
						if large++; large == 4 { // the IHello is as large
							continue
						}
					}
					flights = append(flights, datagram{addrs[i], b.To, d})
				}
			}
		}
		now = now.Add(5 * time.Millisecond)
		for _, d := range flights {
			for i, a := range addrs {
				if a == d.to {
					ends[i].HandleDatagram(now, d.from, d.b)
				}
			}
		}
	}
	ends[0].HandleDatagram(now, addrs[1], []byte("nonsense, and no packet"))
	if !done {
		t.Fatalf("the flow did not end")
	}
}

func TestQlog(t *testing.T) {
	var runs [2]bytes.Buffer
	for i := range runs {
		q := NewQlog(&runs[i], Options{Title: "a test", Origin: time.Unix(1_700_000_000, 0)})
		converse(t, q.Tracer(), "10.0.0.1")
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(runs[0].Bytes(), runs[1].Bytes()) {
		t.Errorf("two traces of the same differ")
	}
	lines := strings.Split(strings.TrimSpace(runs[0].String()), "\n")
	names := map[string]int{}
	frames := map[string]int{}
	var states []string
	last := 0.0
	for i, l := range lines {
		var v struct {
			Version string `json:"qlog_version"`
			Title   string
			Time    float64
			Name    string
			Session uint32
			Data    struct {
				New    any
				Frames []struct {
					Type      string `json:"frame_type"`
					Malformed bool
					Metadata  string
				}
			}
		}
		if err := json.Unmarshal([]byte(l), &v); err != nil {
			t.Fatalf("line %d: %v: %s", i, err, l)
		}
		if i == 0 {
			if v.Version == "" || v.Title != "a test" {
				t.Errorf("the first line is %s", l)
			}
			continue
		}
		if v.Time < last || v.Name == "" {
			t.Errorf("line %d: time %v after %v: %s", i, v.Time, last, l)
		}
		last = v.Time
		names[v.Name]++
		if v.Name == "connectivity:connection_state_updated" {
			states = append(states, v.Data.New.(string))
		}
		for _, f := range v.Data.Frames {
			frames[f.Type]++
			if f.Malformed {
				t.Errorf("line %d: a malformed chunk: %s", i, l)
			}
			if f.Metadata != "" && f.Metadata != "6d" {
				t.Errorf("metadata: got %s, want 6d", f.Metadata)
			}
		}
	}
	for _, want := range []string{"transport:packet_sent", "transport:packet_received", "transport:packet_dropped",
		"recovery:packet_lost", "recovery:metrics_updated"} {
		if names[want] == 0 {
			t.Errorf("no event %s", want)
		}
	}
	for _, want := range []string{"ihello", "rhello", "iikeying", "rikeying", "user_data", "range_ack", "ping",
		"ping_reply", "session_close_request", "session_close_acknowledgement"} {
		if frames[want] == 0 {
			t.Errorf("no chunk %s", want)
		}
	}
	if got, want := strings.Join(states, " "), "keying_sent open nearclose closed"; got != want {
		t.Errorf("states: got %q, want %q", got, want)
	}
}

func TestPcap(t *testing.T) {
	for _, ip := range []string{"10.0.0.1", "2001:db8::1"} {
		var out bytes.Buffer
		p := NewPcap(&out, Options{Origin: time.Unix(1_700_000_000, 0), Local: netip.MustParseAddrPort("10.9.9.9:7000")})
		var packets []transport.TracedPacket
		keep := func(_ clock.Time, t transport.TracedPacket) {
			t.Packet = bytes.Clone(t.Packet)
			packets = append(packets, t)
		}
		converse(t, Join(p.Tracer(), &transport.Tracer{PacketSent: keep, PacketReceived: keep}), ip)
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		b := out.Bytes()
		if binary.LittleEndian.Uint32(b) != pcapMagic || binary.LittleEndian.Uint32(b[20:]) != pcapRaw {
			t.Fatalf("header: %x", b[:24])
		}
		b = b[24:]
		last := uint64(0)
		for i, want := range packets {
			at := uint64(binary.LittleEndian.Uint32(b))*1e9 + uint64(binary.LittleEndian.Uint32(b[4:]))
			n := binary.LittleEndian.Uint32(b[8:])
			r := b[16 : 16+n]
			b = b[16+n:]
			if at < last || at < 1_700_003_600e9 {
				t.Errorf("packet %d: time %d after %d", i, at, last)
			}
			last = at
			udp := r[ipv4Header:]
			pseudo := r[12:20]
			if ip == "10.0.0.1" {
				if fold(add(0, r[:ipv4Header])) != 0xffff || int(binary.BigEndian.Uint16(r[2:])) != len(r) {
					t.Fatalf("packet %d: bad IPv4 header %x", i, r[:ipv4Header])
				}
			} else {
				udp, pseudo = r[ipv6Header:], r[8:40]
				if r[0] != 0x60 || int(binary.BigEndian.Uint16(r[4:])) != len(udp) {
					t.Fatalf("packet %d: bad IPv6 header %x", i, r[:ipv6Header])
				}
			}
			if fold(add(add(uint32(protocolUDP+len(udp)), pseudo), udp)) != 0xffff {
				t.Errorf("packet %d: bad UDP checksum", i)
			}
			if id := binary.BigEndian.Uint32(udp[8:]); id != want.ID || !bytes.Equal(udp[12:], want.Packet) {
				t.Errorf("packet %d: got session id %x and %x, want %x and %x", i, id, udp[12:], want.ID, want.Packet)
			}
		}
		if len(b) != 0 || len(packets) < 10 {
			t.Errorf("%d packets, %d bytes behind them", len(packets), len(b))
		}
	}
}

// A file that fails ends the trace and nothing else.
func TestFailingFile(t *testing.T) {
	failure := errors.New("disk full")
	q := NewQlog(writer(func([]byte) (int, error) { return 0, failure }), Options{})
	converse(t, q.Tracer(), "10.0.0.1")
	if err := q.Close(); !errors.Is(err, failure) {
		t.Errorf("Close: got %v, want %v", err, failure)
	}
	p := NewPcap(&bytes.Buffer{}, Options{})
	if err := errors.Join(p.Close(), p.Close()); err != nil {
		t.Errorf("Close twice: %v", err)
	}
	p.Tracer().PacketSent(0, transport.TracedPacket{}) // after the end
}

type writer func([]byte) (int, error)

func (w writer) Write(b []byte) (int, error) { return w(b) }
