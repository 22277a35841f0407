package mpegts

import (
	"bytes"
	"context"
	"slices"

	"github.com/asticode/go-astits"
)

// codec is what a stream's key frames are recognized by.
type codec uint8

const (
	codecOther codec = iota // no video that we can look into
	codecMPEG2
	codecH264
	codecH265
)

// program is what the tables say of the program that matters: the first that
// has video, or else the first.
type program struct {
	clockPID int // carries the clock references; nullPID if none does
	// leadPID carries the stream that messages are cut and timed by: the first
	// video stream, or else the first audio stream, or else the first.
	leadPID int
	video   bool // the lead is video
	codec   codec
}

// tables follows the program association and the program maps of a stream.
type tables struct {
	pat  section
	pmts []*section // one for each program, in the order of the PAT
	prog program
	ok   bool // prog is valid

	sound []int // PIDs of all programs' sound
}

// section collects the packets of one table.
type section struct {
	pid     int
	packets []byte // since the last start of a section
	parsed  []byte // those of the version that was parsed last
}

// add takes a packet of the section's PID and reports whether there is
// something new to parse.
func (s *section) add(p packet) bool {
	if p.unitStart() {
		s.packets = s.packets[:0]
	} else if len(s.packets) == 0 || len(s.packets) >= maxTableBytes {
		return false
	}
	s.packets = append(s.packets, p...)
	// Continuity counters are all that differs when a table is repeated. They
	// are blanked to see that, and numbered to please the parser.
	packet(s.packets[len(s.packets)-PacketSize:]).setCounter(byte(len(s.packets)/PacketSize - 1))
	return !bytes.Equal(s.packets, s.parsed)
}

// done remembers the present version as parsed.
func (s *section) done() { s.parsed = append(s.parsed[:0], s.packets...) }

// add takes a packet and reports whether it belongs to a table.
func (t *tables) add(p packet) bool {
	pid := p.pid()
	if pid == patPID {
		if t.pat.add(p) {
			t.parsePAT()
		}
		return true
	}
	for _, s := range t.pmts {
		if s.pid != pid {
			continue
		}
		if s.add(p) {
			t.parsePMTs()
		}
		return true
	}
	return false
}

func (t *tables) parsePAT() {
	var pmts []*section
	for _, d := range parse(t.pat.packets) {
		if d.PAT == nil {
			continue
		}
		for _, p := range d.PAT.Programs {
			if p.ProgramNumber == 0 { // the network's own table
				continue
			}
			pmts = append(pmts, &section{pid: int(p.ProgramMapID)})
		}
	}
	if len(pmts) == 0 {
		return // incomplete or damaged: the old one stands
	}
	for _, s := range pmts {
		for _, old := range t.pmts {
			if old.pid == s.pid {
				*s = *old
			}
		}
	}
	t.pmts = pmts
	t.pat.done()
	t.choose()
}

func (t *tables) parsePMTs() {
	for _, s := range t.pmts {
		if !bytes.Equal(s.packets, s.parsed) && t.parsePMT(s.packets) != nil {
			s.done()
		}
	}
	t.choose()
}

// parsePMT parses the packets of a program map. The library knows a map by the
// PAT that comes before it.
func (t *tables) parsePMT(packets []byte) *astits.PMTData {
	for _, d := range parse(append(bytes.Clone(t.pat.parsed), packets...)) {
		if d.PMT != nil {
			return d.PMT
		}
	}
	return nil
}

// choose picks the program that messages are cut by, and notes where there is sound.
func (t *tables) choose() {
	t.ok, t.sound = false, t.sound[:0]
	for _, s := range t.pmts {
		if len(s.parsed) == 0 {
			continue
		}
		m := t.parsePMT(s.parsed)
		if m == nil {
			continue
		}
		for _, e := range m.ElementaryStreams {
			if isSound(e) {
				t.sound = append(t.sound, int(e.ElementaryPID))
			}
		}
		if t.ok && t.prog.video {
			continue
		}
		if p, ok := chooseLead(m); ok && (!t.ok || p.video) {
			t.prog, t.ok = p, true
		}
	}
}

// carriesSound reports whether packets with a PID do.
func (t *tables) carriesSound(pid int) bool { return slices.Contains(t.sound, pid) }

// isSound reports whether a stream is sound, by its type or, where that says nothing
// but that it is private, by its descriptors.
func isSound(e *astits.PMTElementaryStream) bool {
	if e.StreamType != astits.StreamTypePrivateData {
		return e.StreamType.IsAudio()
	}
	for _, d := range e.ElementaryStreamDescriptors {
		switch d.Tag {
		case astits.DescriptorTagAC3, astits.DescriptorTagEnhancedAC3, 0x7b, 0x7c: // ETSI EN 300 468 table 12: DTS, AAC
			return true
		case astits.DescriptorTagRegistration:
			if d.Registration != nil && d.Registration.FormatIdentifier == 0x4f707573 { // "Opus"
				return true
			}
		}
	}
	return false
}

func chooseLead(m *astits.PMTData) (program, bool) {
	p := program{clockPID: int(m.PCRPID), leadPID: nullPID}
	audio := false
	for _, e := range m.ElementaryStreams {
		pid := int(e.ElementaryPID)
		if e.StreamType.IsVideo() {
			p.leadPID, p.video = pid, true
			switch e.StreamType {
			case astits.StreamTypeMPEG1Video, astits.StreamTypeMPEG2Video:
				p.codec = codecMPEG2
			case astits.StreamTypeH264Video:
				p.codec = codecH264
			case astits.StreamTypeH265Video:
				p.codec = codecH265
			}
			return p, true
		}
		if p.leadPID == nullPID || e.StreamType.IsAudio() && !audio {
			p.leadPID, audio = pid, e.StreamType.IsAudio()
		}
	}
	return p, p.leadPID != nullPID
}

// parse returns the tables in some packets, those before the first error.
func parse(packets []byte) (all []*astits.DemuxerData) {
	d := astits.NewDemuxer(context.Background(), bytes.NewReader(packets), astits.DemuxerOptPacketSize(PacketSize))
	for {
		data, err := d.NextData()
		if err != nil {
			return all
		}
		all = append(all, data)
	}
}

// Tables remembers the program tables of a stream, so that players can be given
// them at any place. The zero value is ready.
type Tables struct{ t tables }

// Observe takes the next whole packets of the stream.
func (t *Tables) Observe(data []byte) {
	for ; len(data) >= PacketSize; data = data[PacketSize:] {
		if data[0] == syncByte {
			t.t.add(packet(data[:PacketSize]))
		}
	}
}

// Packets returns the newest association table and program maps as packets, or
// nil as long as any is missing. The caller may keep them.
func (t *Tables) Packets() []byte {
	if len(t.t.pmts) == 0 {
		return nil
	}
	b := bytes.Clone(t.t.pat.parsed)
	for _, s := range t.t.pmts {
		if len(s.parsed) == 0 {
			return nil
		}
		b = append(b, s.parsed...)
	}
	return b
}

// StartsWithTables reports whether data begins with the association table.
func StartsWithTables(data []byte) bool {
	return len(data) >= PacketSize && data[0] == syncByte && packet(data).pid() == patPID && packet(data).unitStart()
}
