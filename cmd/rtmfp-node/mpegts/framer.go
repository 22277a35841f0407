package mpegts

import (
	"bytes"
	"fmt"
)

// framer finds the packets in a stream of bytes. What does not look like a
// packet is skipped until syncDepth packets in a row are found.
type framer struct {
	buf     []byte
	base    int64 // offset of buf[0] in the input
	synced  bool
	found   bool  // there has been a packet
	gap     int64 // bytes skipped since the last packet
	skipped int64
}

// write takes the next piece and hands each whole packet to emit. The packet is
// valid, and may be changed, until emit returns.
func (f *framer) write(p []byte, emit func(packet) error) error {
	f.buf = append(f.buf, p...)
	at, err := f.scan(emit, false)
	f.drop(at)
	return err
}

// close takes what is left for all there will be and makes the framer ready for
// another input.
func (f *framer) close(emit func(packet) error) error {
	at, err := f.scan(emit, true)
	rest, offset := f.buf[at:], f.base+int64(at)
	found, synced := f.found, f.synced
	*f = framer{buf: f.buf[:0], skipped: f.skipped}
	switch {
	case err != nil:
		return err
	case !found && offset+int64(len(rest)) == 0:
		return fmt.Errorf("the input is empty: %w", ErrNotTS)
	case !found:
		return fmt.Errorf("no packet in %d bytes of input: %w", offset+int64(len(rest)), ErrNotTS)
	case synced && len(rest) > 0 && rest[0] == syncByte:
		return &TruncatedError{Offset: offset, Have: len(rest)}
	}
	f.skipped += int64(len(rest))
	return nil
}

// scan emits the packets in the buffer and returns how much of it is done.
func (f *framer) scan(emit func(packet) error, last bool) (at int, err error) {
	for {
		if !f.synced {
			n, ok := findSync(f.buf[at:], last)
			f.gap += int64(n)
			f.skipped += int64(n)
			at += n
			if f.gap > maxUnsynced {
				if f.found {
					return at, fmt.Errorf("no packet in %d bytes before offset %d: %w", f.gap, f.base+int64(at), ErrNotTS)
				}
				return at, fmt.Errorf("no packet in the first %d bytes: %w", f.gap, ErrNotTS)
			}
			if !ok {
				return at, nil
			}
			f.synced = true
		}
		if len(f.buf)-at < PacketSize {
			return at, nil
		}
		if f.buf[at] != syncByte {
			f.synced = false
			continue
		}
		f.found, f.gap = true, 0
		pkt := f.buf[at : at+PacketSize : at+PacketSize]
		at += PacketSize
		if err := emit(pkt); err != nil {
			return at, err
		}
	}
}

func (f *framer) drop(n int) {
	f.buf = f.buf[:copy(f.buf, f.buf[n:])]
	f.base += int64(n)
}

// findSync returns how many bytes to skip, and whether a packet boundary is
// there. At the end of the input, fewer packets suffice if they are all there
// is.
func findSync(b []byte, last bool) (skip int, ok bool) {
	for {
		i := bytes.IndexByte(b[skip:], syncByte)
		if i < 0 {
			return len(b), false
		}
		skip += i
		seen := 0
		for at := skip; seen < syncDepth && at < len(b) && b[at] == syncByte; at += PacketSize {
			seen++
		}
		if seen == syncDepth {
			return skip, true
		}
		if skip+seen*PacketSize >= len(b) { // it may be one
			return skip, last && len(b)-skip >= PacketSize
		}
		skip++
	}
}
