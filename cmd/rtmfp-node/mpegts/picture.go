package mpegts

// Class says what a stream can do without where there is no room for all of it.
type Class uint8

// Classes.
const (
	Plain Class = iota // pictures, and what is not known
	First              // tables, sound, and key frames
	Spare              // pictures that no other needs, and stuffing
)

// over returns the class of what holds packets of two.
func (c Class) over(d Class) Class {
	switch {
	case c == First || d == First:
		return First
	case c == Plain || d == Plain:
		return Plain
	}
	return Spare
}

// pictures follows the pictures of a video stream and tells the class of each: by the
// random_access_indicator, or else by the first slice, or picture header, that it has.
type pictures struct {
	class   Class // of the picture whose packets come
	open    bool  // it is not known yet
	counter byte  // of the last packet with payload

	last   uint32  // the three bytes before
	head   [3]byte // what follows a start code
	lacks  int     // bytes of it that are still to come; 0: none is awaited
	layers int     // of H.265: one more than the highest temporal layer of the stream; 0: not known
}

// add takes a packet of the stream. key says that it begins a key frame.
func (v *pictures) add(p packet, c codec, key bool) {
	if !p.hasPayload() {
		return
	}
	counter := p.counter()
	whole := counter == v.counter || counter == (v.counter+1)&0x0f
	v.counter = counter
	body := p.payload()
	switch {
	case p.unitStart():
		h, ok := p.pes()
		v.last, v.lacks = 1<<24-1, 0
		v.class, v.open = Plain, ok && !p.damaged() && c != codecOther
		body = h.body
		if key {
			v.class, v.open = First, false
			if c != codecH265 {
				return
			}
		}
	case p.scrambled() || p.damaged() || !whole:
		// Another picture may have begun in what is missing here.
		v.class, v.open = Plain, false
		return
	}
	// What is spare is looked at to its end, lest something else is in it.
	if v.open || v.class == Spare || v.class == First && c == codecH265 && v.layers == 0 || key {
		v.scan(body, c)
	}
}

// settle ends the wait for a picture's class.
func (v *pictures) settle() { v.open = false }

// scan looks for start codes, wherever packets part them.
func (v *pictures) scan(b []byte, c codec) {
	for _, x := range b {
		if v.lacks > 0 {
			v.head[len(v.head)-v.lacks] = x
			if v.lacks--; v.lacks == 0 {
				v.judge(c)
			}
		}
		if v.last = v.last<<8&0xffffff | uint32(x); v.last == 1 {
			v.lacks = len(v.head)
		}
	}
}

// judge looks at what follows a start code.
func (v *pictures) judge(c codec) {
	switch c {
	case codecH264: // ITU-T H.264 §7.3.1, table 7-1
		switch t := v.head[0] & 0x1f; {
		case t == 5:
			v.found(First)
		case t >= 1 && t < 5, t == 20, t == 21:
			v.found(spareIf(v.head[0]&0x60 == 0)) // nal_ref_idc
		}
	case codecH265: // ITU-T H.265 §7.3.1.2, table 7-1
		t, layer, temporal := v.head[0]>>1&0x3f, v.head[0]&1<<5|v.head[1]>>3, int(v.head[1]&7)
		switch {
		case t == 33 && layer == 0: // sequence parameter set: sps_max_sub_layers_minus1
			v.layers = int(v.head[2]>>1&7) + 1
		case t >= 16 && t <= 23:
			v.found(First)
		case t < 16:
			// Of no use to others of its layer; those of higher ones may still need it.
			v.found(spareIf(t <= 14 && t%2 == 0 && layer == 0 && temporal > 0 && temporal == v.layers))
		}
	case codecMPEG2: // ITU-T H.262 §6.2.3, table 6-12
		if v.head[0] == 0 {
			switch v.head[2] >> 3 & 7 {
			case 1:
				v.found(First)
			case 3:
				v.found(Spare)
			default:
				v.found(Plain)
			}
		}
	}
}

func spareIf(spare bool) Class {
	if spare {
		return Spare
	}
	return Plain
}

// found takes the class of a slice.
func (v *pictures) found(c Class) {
	switch {
	case v.open:
		v.class, v.open = c, false
	case v.class == Spare:
		v.class = c
	}
}
