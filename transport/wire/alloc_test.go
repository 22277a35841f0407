package wire

import "testing"

// Nothing on the packet path allocates, in either direction.
func TestNoAllocations(t *testing.T) {
	data := make([]byte, 100)
	options := FlowOptions{Metadata: data[:4], HasMetadata: true}.Append(nil)
	ranges := []Range{{12, 13}, {20, 30}}
	holes := []Range{{12, 12}, {14, 14}, {17, 17}, {19, 19}, {22, 23}}
	buffer := make([]byte, 0, 2048)
	var sum uint64
	if got := testing.AllocsPerRun(200, func() {
		b := AppendHeader(buffer, Header{Mode: ModeInitiator, HasTimestamp: true})
		b = UserData{FlowID: 2, Sequence: 500, FSNOffset: 3, Options: options, Data: data}.Append(b)
		b = NextUserData{Data: data}.Append(b)
		b = AppendRangeAck(b, 100, 2, 64, 10, ranges)
		b, _ = AppendAck(b, 100, 2, 64, 10, holes)
		b = Ping{data[:4]}.Append(b)
		b = FlowException{2, 0}.Append(b)
		_, n := ConsumeHeader(b)
		for b = b[n:]; ; b = b[n:] {
			var typ ChunkType
			var p []byte
			if typ, p, n = ConsumeChunk(b); n == 0 {
				break
			}
			switch typ {
			case ChunkUserData:
				u, _ := ParseUserData(p)
				o, _ := ParseFlowOptions(u.Options)
				sum += u.Sequence + uint64(len(o.Metadata))
			case ChunkNextUserData:
				u, _ := ParseNextUserData(p)
				sum += uint64(len(u.Data))
			case ChunkBitmapAck:
				a, _ := ParseBitmapAck(p)
				c := a.Ranges()
				for r, ok := c.Next(); ok; r, ok = c.Next() {
					sum += r.Last
				}
			case ChunkRangeAck:
				a, _ := ParseRangeAck(p)
				c := a.Ranges()
				for r, ok := c.Next(); ok; r, ok = c.Next() {
					sum += r.Last
				}
			case ChunkException:
				e, _ := ParseFlowException(p)
				sum += e.FlowID
			}
		}
	}); got != 0 {
		t.Errorf("%v allocations per packet, want 0", got)
	}
	if sum == 0 {
		t.Error("nothing was read")
	}
}

func BenchmarkPacket(b *testing.B) {
	data := make([]byte, 1100)
	buffer := make([]byte, 0, 2048)
	b.ReportAllocs()
	for b.Loop() {
		p := AppendHeader(buffer, Header{Mode: ModeInitiator, HasTimestamp: true})
		p = AppendRangeAck(p, 60, 2, 64, 10, nil)
		p = UserData{FlowID: 2, Sequence: 500, FSNOffset: 3, Data: data}.Append(p)
		_, n := ConsumeHeader(p)
		for p = p[n:]; n > 0; p = p[n:] {
			var typ ChunkType
			var payload []byte
			if typ, payload, n = ConsumeChunk(p); typ == ChunkUserData && n > 0 {
				if _, ok := ParseUserData(payload); !ok {
					b.Fatal("user data")
				}
			}
		}
	}
}
