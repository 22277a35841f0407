package mpegts

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// readSize is how much a Source reads at once. maxLag is by how much Run may
// fall behind, say in a suspended process, before it gives up to catch up.
const (
	readSize = 64 << 10
	maxLag   = 2 * time.Second
)

// SourceOptions are options of a Source. The zero value plays once, paced by
// the program clock.
type SourceOptions struct {
	Splitter SplitterOptions
	// Loop starts again at the end of the input, without end. The first pass
	// is the input byte for byte; later ones have their clocks, time stamps,
	// and continuity counters moved on, so that the whole is one stream.
	Loop bool
	// Bitrate paces an input that has no program clock, in bits per second.
	// Zero makes such an input fail with ErrNoClock.
	Bitrate int
}

// Source reads messages from a file and says when each is due.
type Source struct {
	r       io.Reader
	start   int64 // where each pass starts
	loop    bool
	buf     []byte
	framer  framer
	restamp restamper
	cutter  cutter
	pacer   pacer
	err     error // what follows when the pacer is empty
}

// NewSource returns a source that reads r from where it stands. With
// SourceOptions.Loop, that is where each pass starts, and r must be an
// io.Seeker.
func NewSource(r io.Reader, o SourceOptions) (*Source, error) {
	s := &Source{
		r: r, loop: o.Loop, buf: make([]byte, readSize),
		cutter: newCutter(o.Splitter), pacer: pacer{bitrate: o.Bitrate},
	}
	if !o.Loop {
		return s, nil
	}
	seeker, ok := r.(io.Seeker)
	if !ok {
		return nil, errors.New("an input that cannot seek cannot be looped")
	}
	var err error
	if s.start, err = seeker.Seek(0, io.SeekCurrent); err != nil {
		return nil, fmt.Errorf("an input that cannot seek cannot be looped: %w", err)
	}
	return s, nil
}

// Next returns the next message. The error is io.EOF after the last one; a
// *TruncatedError if the input ended within a packet; or one that wraps
// ErrNotTS, ErrNoClock, or a reading error. Everything before the error was
// returned.
func (s *Source) Next() (Message, error) {
	for {
		if m, ok := s.pacer.next(); ok {
			return m, nil
		}
		if s.err != nil {
			return Message{}, s.err
		}
		n, err := s.r.Read(s.buf)
		if n > 0 {
			if e := s.framer.write(s.buf[:n], s.packet); e != nil {
				err = e
			}
		}
		if err == io.EOF {
			err = s.endPass()
		}
		if err != nil {
			s.stop(err)
		}
	}
}

func (s *Source) packet(p packet) error {
	if s.loop {
		s.restamp.apply(p)
	}
	return s.cutter.add(p, s.pacer.add)
}

// endPass ends the input, or starts it again.
func (s *Source) endPass() error {
	if err := s.framer.close(s.packet); err != nil {
		return err
	}
	if !s.loop {
		return io.EOF
	}
	s.restamp.nextPass()
	if s.restamp.length == 0 && s.pacer.bitrate == 0 {
		return fmt.Errorf("cannot loop: %w", ErrNoClock)
	}
	_, err := s.r.(io.Seeker).Seek(s.start, io.SeekStart)
	return err
}

// stop lets everything out that was read before err.
func (s *Source) stop(err error) {
	s.err = err
	if errors.Is(err, ErrNoClock) {
		return
	}
	if e := s.cutter.close(s.pacer.add); e != nil {
		s.err = e
	} else if e := s.pacer.finish(); e != nil && !errors.Is(err, ErrNotTS) {
		s.err = e
	}
}

// Skipped returns how many bytes of garbage between packets were left out.
func (s *Source) Skipped() int64 { return s.framer.skipped }

// Run calls emit with each message when it is due, until the end of the input
// (nil), an error of Next or emit, or the end of ctx (its error).
func (s *Source) Run(ctx context.Context, emit func(Message) error) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	start := time.Now()
	for {
		m, err := s.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		wait := m.Due - time.Since(start)
		switch {
		case wait < -maxLag:
			start = start.Add(-wait)
		case wait > 0:
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := emit(m); err != nil {
			return err
		}
	}
}
