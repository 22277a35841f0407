package wire

import "rtmfp/internal/element"

// ECNReport tells how many packets with user data came with each congestion mark
// since the session began (docs/ecn.md). The short form has the low eight bits of
// CE alone.
type ECNReport struct {
	CE, ECT0, ECT1 uint64
	Long           bool
}

// Size returns the bytes that Append appends.
func (c ECNReport) Size() int {
	n := ChunkHeaderSize + 1
	if c.Long {
		n += element.SizeVLU(c.CE) + element.SizeVLU(c.ECT0) + element.SizeVLU(c.ECT1)
	}
	return n
}

// Append appends the chunk.
func (c ECNReport) Append(b []byte) []byte {
	b, mark := BeginChunk(b, ChunkECNReport)
	b = append(b, byte(c.CE))
	if c.Long {
		b = element.AppendVLU(b, c.CE)
		b = element.AppendVLU(b, c.ECT0)
		b = element.AppendVLU(b, c.ECT1)
	}
	return EndChunk(b, mark)
}

// ParseECNReport reads the payload of an ECN Report. What is behind the first
// byte and not the long form is ignored.
func ParseECNReport(p []byte) (c ECNReport, ok bool) {
	if len(p) == 0 {
		return ECNReport{}, false
	}
	c.CE = uint64(p[0])
	ce, n := element.ConsumeVLU(p[1:])
	ect0, m := element.ConsumeVLU(p[1+n:])
	ect1, k := element.ConsumeVLU(p[1+n+m:])
	if n == 0 || m == 0 || k == 0 || byte(ce) != p[0] {
		return c, true
	}
	return ECNReport{CE: ce, ECT0: ect0, ECT1: ect1, Long: true}, true
}
