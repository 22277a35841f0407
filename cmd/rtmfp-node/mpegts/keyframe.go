package mpegts

import "bytes"

// keyFrame reports whether a viewer can begin with the picture that starts in
// this packet of a video stream. The multiplexer says so by the
// random_access_indicator (13818-1 §2.4.3.5). Some never do; then the first
// NAL units tell, as far as they are in this packet: parameter sets precede a
// key frame, and so it is found even if it begins in a later packet.
func keyFrame(p packet, h pes, c codec) bool {
	if p.randomAccess() {
		return true
	}
	b := h.body
	for {
		i := bytes.Index(b, []byte{0, 0, 1})
		if i < 0 || i+3 >= len(b) {
			return false
		}
		b = b[i+3:]
		switch c {
		case codecH264: // ITU-T H.264 table 7-1
			switch b[0] & 0x1f {
			case 5, 7: // IDR picture, sequence parameter set
				return true
			case 1, 2: // another picture
				return false
			}
		case codecH265: // ITU-T H.265 table 7-1
			switch t := b[0] >> 1 & 0x3f; {
			case t >= 16 && t <= 23, t == 32, t == 33: // IRAP pictures, video and sequence parameter sets
				return true
			case t < 16:
				return false
			}
		case codecMPEG2: // ITU-T H.262 §6.2.1
			switch b[0] {
			case 0xb3: // sequence header
				return true
			case 0x00: // picture
				return false
			}
		default:
			return false
		}
	}
}
