package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"rtmfp/cmd/rtmfp-node/hls"
	"rtmfp/node"
)

// playCmd plays a stream of a group.
type playCmd struct {
	Group     spec          `required:"" help:"Groupspec, or @FILE that holds one." placeholder:"SPEC"`
	Stream    string        `required:"" help:"Name of the stream." placeholder:"NAME"`
	Bootstrap []bootURL     `required:"" sep:"none" help:"Introducer to join through, rtmfp://HOST[:PORT]. May be repeated." placeholder:"URL"`
	Listen    string        `default:":0" help:"UDP address to listen on, HOST:PORT. Default: any free port." placeholder:"ADDR"`
	Output    string        `short:"o" help:"Write the stream to a file, byte for byte as it was published from the key frame where this viewer joined; - is stdout." placeholder:"FILE"`
	HTTP      string        `name:"http" help:"Serve the stream on this HTTP address: a page at /, MPEG-TS at /stream.ts, HLS at /index.m3u8." placeholder:"ADDR"`
	Back      time.Duration `help:"Begin with what was published so long ago, as far as members hold it. Default: the newest key frame." placeholder:"D"`
	Duration  time.Duration `help:"Stop after this long, counted from the first frame. Default: when the stream ends." placeholder:"D"`
	Wait      time.Duration `help:"How long to wait for the stream to appear. Default: for ever." placeholder:"D"`
	Stats     string        `help:"Write the figures as JSON to a file at the end; - is stdout." placeholder:"FILE"`
	nodeFlags
}

// Help describes the command with examples.
func (*playCmd) Help() string {
	return `
Joins the group, plays the stream from the newest key frame that a neighbor still holds, and relays it to others meanwhile. Ends with the stream, after --duration, or with ^C or SIGTERM, and then leaves in an orderly way.

Examples:

    rtmfp-node play --group "$SPEC" --stream cam1 --bootstrap rtmfp://seed.example.org -o - | ffplay -
    rtmfp-node play --group "$SPEC" --stream cam1 --bootstrap rtmfp://seed.example.org --http 127.0.0.1:8080
    rtmfp-node play --group "$SPEC" --stream cam1 --bootstrap rtmfp://seed.example.org --back 30s -o - | ffplay -
    rtmfp-node play --group "$SPEC" --stream cam1 --bootstrap rtmfp://127.0.0.1 --duration 30s -o cam1.ts --stats cam1.json
`
}

// Validate is called by the parser once all flags are set.
func (c *playCmd) Validate() error {
	switch {
	case c.Output == "" && c.HTTP == "" && c.Stats == "":
		return errors.New("say where the stream goes: -o FILE, -o - for stdout, --http ADDR, or only --stats FILE")
	case c.Output == "-" && c.Stats == "-":
		return errors.New("-o - and --stats - can't share stdout; write the figures to a file")
	case c.Duration < 0 || c.Wait < 0 || c.Back < 0:
		return errors.New("--duration, --wait, and --back can't be negative")
	}
	return checkStream(c.Group, c.Stream)
}

// checkStream reports a group and stream name that can't work together.
func checkStream(g spec, stream string) error {
	if g.Spec != nil && !g.Multicast {
		return fmt.Errorf("group %q carries no streams; make one with \"rtmfp-node group new --name NAME --multicast\"", g.Name)
	}
	if stream == "" {
		return errors.New("--stream must not be empty")
	}
	return nil
}

// Run plays until the stream, its duration, or ctx ends.
func (c *playCmd) Run(ctx context.Context, e *env) error {
	c.bootstrap = c.Bootstrap
	began := time.Now()

	if err := checkWritable(c.Stats); err != nil {
		return fmt.Errorf("can't write the figures: %w", err)
	}
	out, err := c.openOutput(e)
	if err != nil {
		return err
	}
	defer out.Close()
	var live *liveServer
	if c.HTTP != "" {
		if live, err = serveLive(c.HTTP, func(s *hls.Server) http.Handler { return playerPage(c.Stream, s) }); err != nil {
			return err
		}
		defer live.Close()
		c.notice(e)("watch at http://%s/", live.addr)
	}

	n, err := c.start(ctx, e, node.Config{Listen: c.Listen}, slog.LevelError)
	if err != nil {
		return err
	}
	defer c.stop(n)
	_, sub, err := n.JoinAndPlay(ctx, c.Group.String(), c.Stream, node.PlayOptions{Back: c.Back})
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return joinError(err, &c.nodeFlags)
	}
	defer sub.Close()

	p := &playing{cmd: c, sub: sub, out: out, live: live}
	err = p.run(ctx, e)
	stats := sub.Stats()
	e.console.setStatus("")
	if werr := c.writeStats(e, reportOf("", began, stats)); err == nil {
		err = werr
	}
	if cerr := out.Close(); err == nil && cerr != nil && !errors.Is(cerr, os.ErrClosed) {
		err = cerr
	}
	if err == nil && stats.Messages > 0 {
		c.notice(e)("played %s in %s; lost %d of %d fragments; delay %s, 99%% within %s",
			bytesText(stats.Bytes), time.Since(stats.FirstFrame).Round(100*time.Millisecond),
			stats.Lost, stats.Fragments+stats.Lost, delayText(stats.Delay.P50), delayText(stats.Delay.P99))
	}
	return err
}

func (c *playCmd) openOutput(e *env) (io.WriteCloser, error) {
	switch c.Output {
	case "":
		return nopCloser{io.Discard}, nil
	case "-":
		return nopCloser{e.stdout}, nil
	}
	if err := checkWritable(c.Output); err != nil {
		return nil, fmt.Errorf("can't write the output: %w", err)
	}
	return &lateFile{name: c.Output}, nil
}

// lateFile is a file that is made, or emptied, with the first write, so that
// an earlier recording is still there if no stream comes.
type lateFile struct {
	name string
	f    *os.File
}

func (l *lateFile) Write(b []byte) (n int, err error) {
	if l.f == nil {
		if l.f, err = os.Create(l.name); err != nil {
			return 0, err
		}
	}
	return l.f.Write(b)
}

func (l *lateFile) Close() error {
	if l.f == nil {
		return nil
	}
	return l.f.Close()
}

func (c *playCmd) writeStats(e *env, r streamReport) error {
	if c.Stats == "" {
		return nil
	}
	if err := e.writeFile(c.Stats, encode(r)); err != nil {
		return fmt.Errorf("can't write the figures: %w", err)
	}
	return nil
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// playing is one run of the play command once the stream was asked for.
type playing struct {
	cmd  *playCmd
	sub  *node.Playback
	out  io.Writer
	live *liveServer // nil without --http

	late atomic.Bool // --wait went by without a frame
}

// run moves frames until the stream ends or it is time to stop. Both the
// user's wish to stop and the end of the duration are no error.
func (p *playing) run(ctx context.Context, e *env) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if !p.cmd.Quiet {
		defer every(time.Second, p.status(e))()
	}
	waiting := after(p.cmd.Wait, func() { p.late.Store(true); cancel() })
	defer waiting()

	playing := false
	var pace pacer
	for f, err := range p.sub.Frames(ctx) {
		switch {
		case err == nil:
		case p.late.Load() && !playing:
			return failf(exitNoStream, "stream %q did not appear in group %q within %v", p.cmd.Stream, p.cmd.Group.Name, p.cmd.Wait)
		case ctx.Err() != nil:
			return nil
		default:
			return err
		}
		if !playing {
			playing = true
			waiting()
			p.sayBack(e)
			defer after(p.cmd.Duration, cancel)()
		}
		if p.live != nil && p.cmd.Back > 0 && !pace.wait(ctx, f.SentAt) {
			return nil
		}
		_, err = p.out.Write(f.Data)
		if errors.Is(err, syscall.EPIPE) {
			return nil // whoever read our stdout has seen enough
		}
		if err != nil {
			return fmt.Errorf("can't write the stream: %w", err)
		}
		if p.live != nil {
			p.live.push(f)
		}
	}
	return nil
}

// sayBack tells whoever wanted to go back if it is not so far.
func (p *playing) sayBack(e *env) {
	const worthTelling = time.Second
	if p.cmd.Back == 0 {
		return
	}
	if back, ok := p.sub.Sought(); ok && back < p.cmd.Back-worthTelling {
		p.cmd.notice(e)("no member holds what is %v old; playing from %v back", p.cmd.Back, back.Round(100*time.Millisecond))
	}
}

// status returns what shows the line about a stream that plays.
func (p *playing) status(e *env) func(now time.Time) {
	var in, out meter
	return func(now time.Time) {
		s := p.sub.Stats()
		down, up := in.rate(now, s.DownloadBytes), out.rate(now, s.UploadBytes)
		if s.Messages == 0 {
			e.console.setStatus(fmt.Sprintf("waiting for stream %q", p.cmd.Stream))
			return
		}
		e.console.setStatus(fmt.Sprintf("in %s, out %s, delay %s (99%% within %s), %d neighbors, lost %d",
			bitsText(down), bitsText(up), delayText(s.Delay.P50), delayText(s.Delay.P99), s.Neighbors, s.Lost))
	}
}
