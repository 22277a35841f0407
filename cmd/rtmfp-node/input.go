package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"rtmfp/cmd/rtmfp-node/demo"
	"rtmfp/cmd/rtmfp-node/mpegts"
	"rtmfp/node"
)

// input is what the publish command publishes.
type input struct {
	name   string    // for errors
	file   *os.File  // paced by its clock; nil for a live input
	live   io.Reader // published as it comes
	source mpegts.SourceOptions
}

// stdinName is the INPUT that stands for stdin.
const stdinName = "-"

// openInput opens a file, or stdin for "-". What is not a regular file, such
// as a named pipe or a device, is taken as live too. A file is looked into, so
// that a wrong one is reported before anybody is bothered with it.
func openInput(e *env, name string, o mpegts.SourceOptions) (*input, error) {
	if name == stdinName {
		return liveInput("stdin", e.stdin, o)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, failf(exitInput, "can't read the input: %w", err)
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = fmt.Errorf("%s is a folder, not an MPEG-TS file", name)
	}
	if err != nil {
		f.Close()
		return nil, failf(exitInput, "can't read the input: %w", err)
	}
	if !info.Mode().IsRegular() {
		return liveInput(name, f, o)
	}
	in := &input{name: name, file: f, source: o}
	if err := in.probe(); err != nil {
		f.Close()
		return nil, in.explain(err)
	}
	return in, nil
}

func liveInput(name string, r io.Reader, o mpegts.SourceOptions) (*input, error) {
	if o.Loop {
		return nil, failf(exitUsage, "--loop needs a file that can be read again; %s is live", name)
	}
	return &input{name: name, live: r, source: o}, nil
}

// probe reads the first message of a file and goes back to its start.
func (in *input) probe() error {
	s, err := mpegts.NewSource(in.file, in.source)
	if err != nil {
		return err
	}
	var truncated *mpegts.TruncatedError
	if _, err := s.Next(); err != nil && err != io.EOF && !errors.As(err, &truncated) {
		return err
	}
	_, err = in.file.Seek(0, io.SeekStart)
	return err
}

// run hands messages to emit until the end of the input, when they are due or,
// from a live input, as they come. The end of ctx is its error.
func (in *input) run(ctx context.Context, emit func(mpegts.Message) error) error {
	if in.file == nil {
		return feedLive(ctx, in.live, in.source.Splitter, emit)
	}
	s, err := mpegts.NewSource(in.file, in.source)
	if err != nil {
		return err
	}
	return s.Run(ctx, emit)
}

// explain turns an error about the input into one for the user; others stay.
func (in *input) explain(err error) error {
	var truncated *mpegts.TruncatedError
	var path *os.PathError
	switch {
	case errors.As(err, &truncated):
		return failf(exitInput, "%s: %w; everything before was published", in.name, err)
	case errors.Is(err, mpegts.ErrNotTS):
		return failf(exitInput, "%s: %w; convert it with \"ffmpeg -i INPUT -c copy -f mpegts OUTPUT.ts\"", in.name, err)
	case errors.Is(err, mpegts.ErrNoClock):
		return failf(exitInput, "%s: %w; say how fast it is with --bitrate", in.name, err)
	case errors.As(err, &path):
		return failf(exitInput, "can't read the input: %w", err)
	}
	return err
}

func (in *input) close() {
	if in.file != nil {
		in.file.Close()
	}
}

// A live input that pauses in the middle of a message is published as far as
// it came, so that a low bit rate does not mean a high delay.
const livePause = 10 * time.Millisecond

// feedLive publishes what r gives as it comes. When ctx ends, the goroutine
// that waits for r stays until r gives something or ends.
func feedLive(ctx context.Context, r io.Reader, o mpegts.SplitterOptions, emit func(mpegts.Message) error) error {
	type piece struct {
		data []byte
		err  error
	}
	pieces := make(chan piece)
	go func() {
		for {
			b := make([]byte, 32<<10)
			n, err := r.Read(b)
			select {
			case pieces <- piece{b[:n], err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	split := mpegts.NewSplitter(o)
	pause := time.NewTimer(livePause)
	defer pause.Stop()
	for {
		var err error
		select {
		case p := <-pieces:
			if err = split.Write(p.data, emit); err == nil && p.err != nil {
				if p.err == io.EOF {
					return split.Close(emit)
				}
				err = failf(exitInput, "can't read the input: %w", p.err)
			}
			pause.Reset(livePause)
		case <-pause.C:
			err = split.Flush(emit)
		case <-ctx.Done():
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
	}
}

// publishTo returns what hands messages to a publication, which are worth anything for a lifetime.
func publishTo(pub *node.Publication, lifetime time.Duration) func(mpegts.Message) error {
	return func(m mpegts.Message) error {
		return pub.Send(node.Message{Data: m.Data, PTS: m.PTS, Key: m.Key, Class: classOf(m.Class), Lifetime: lifetime})
	}
}

func classOf(c mpegts.Class) node.Class {
	switch c {
	case mpegts.First:
		return node.ClassFirst
	case mpegts.Spare:
		return node.ClassSpare
	}
	return node.ClassPlain
}

// feedClip publishes the embedded clip over and over until ctx ends.
func feedClip(ctx context.Context, pub *node.Publication) error {
	s, err := mpegts.NewSource(bytes.NewReader(demo.Clip), mpegts.SourceOptions{Loop: true})
	if err != nil {
		return err
	}
	return s.Run(ctx, publishTo(pub, 0))
}
