package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"rtmfp/cmd/rtmfp-node/mpegts"
	"rtmfp/node"
)

// publishCmd publishes an MPEG-TS stream to a group.
type publishCmd struct {
	Group     spec          `required:"" help:"Groupspec, or @FILE that holds one." placeholder:"SPEC"`
	Stream    string        `required:"" help:"Name of the stream." placeholder:"NAME"`
	Bootstrap []bootURL     `sep:"none" help:"Introducer to join through, rtmfp://HOST[:PORT]. May be repeated. Without any, the publisher is the introducer itself and prints its URLs on stdout." placeholder:"URL"`
	Listen    string        `default:":0" help:"UDP address to listen on, HOST:PORT. Default: any free port." placeholder:"ADDR"`
	Loop      bool          `help:"Start again at the end of the file, for ever, as one stream."`
	Bitrate   bitRate       `help:"Pace a file that has no clock of its own by this rate, such as 2M." placeholder:"RATE"`
	Linger    time.Duration `default:"2s" help:"Stay this long after the end of the input, so that members can fetch what they missed. Default: 2s." placeholder:"D"`
	Lifetime  time.Duration `help:"How long what is published is worth anything, such as 2s: viewers don't wait longer for what is late, and what is newer doesn't wait behind it. Default: the stream's window, 8s." placeholder:"D"`
	Stats     string        `help:"Write the figures as JSON to a file at the end; - is stdout." placeholder:"FILE"`
	Input     string        `arg:"" help:"MPEG-TS file, paced by its own clock, or - for stdin, published as it comes."`
	nodeFlags
}

// Help describes the command with examples.
func (*publishCmd) Help() string {
	return `
Joins the group and publishes the input as a stream, byte for byte. Viewers start at key frames, so have one each second or two. Ends with the input or with ^C or SIGTERM.

Examples:

    rtmfp-node publish --group "$SPEC" --stream cam1 --bootstrap rtmfp://seed.example.org talk.ts
    rtmfp-node publish --group "$SPEC" --stream cam1 --bootstrap rtmfp://seed.example.org --loop talk.ts
    ffmpeg -re -i talk.mp4 -c copy -f mpegts - | rtmfp-node publish --group "$SPEC" --stream cam1 --listen :1935 -
`
}

// Validate is called by the parser once all flags are set.
func (c *publishCmd) Validate() error {
	if c.Linger < 0 {
		return errors.New("--linger can't be negative")
	}
	if c.Lifetime < 0 {
		return errors.New("--lifetime can't be negative")
	}
	if c.Group.Spec != nil && c.Group.Multicast && !c.Group.MayPublish() {
		return fmt.Errorf("group %q needs a password to publish, and this groupspec carries none that fits; ask for the publisher's groupspec", c.Group.Name)
	}
	return checkStream(c.Group, c.Stream)
}

// Run publishes until the input or ctx ends.
func (c *publishCmd) Run(ctx context.Context, e *env) error {
	c.bootstrap = c.Bootstrap
	if err := checkWritable(c.Stats); err != nil {
		return fmt.Errorf("can't write the figures: %w", err)
	}
	in, err := openInput(e, c.Input, mpegts.SourceOptions{Loop: c.Loop, Bitrate: int(c.Bitrate)})
	if err != nil {
		return err
	}
	defer in.close()

	first := len(c.bootstrap) == 0
	n, err := c.start(ctx, e, node.Config{Listen: c.Listen, Introduce: first}, slog.LevelError)
	if err != nil {
		return err
	}
	defer c.stop(n)
	g, err := n.Join(ctx, c.Group.String())
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return joinError(err, &c.nodeFlags)
	}
	pub, err := g.Publish(ctx, c.Stream, node.PublishOptions{})
	if err != nil {
		return err
	}
	if first {
		if err := e.printURLs(n.Addr()); err != nil {
			return err
		}
	}
	began := time.Now()
	stopStatus := func() {}
	if !c.Quiet {
		stopStatus = every(time.Second, c.status(e, pub))
	}
	err = in.explain(in.run(ctx, publishTo(pub, c.Lifetime)))
	pub.Close()
	if ctx.Err() != nil {
		err = nil // asked to end, which is how a loop or a live input ends
	} else {
		linger(ctx, c.Linger)
	}
	stopStatus()
	e.console.setStatus("")

	stats := pub.Stats()
	if c.Stats != "" {
		if werr := e.writeFile(c.Stats, encode(publishReportOf(time.Since(began), stats))); werr != nil && err == nil {
			err = fmt.Errorf("can't write the figures: %w", werr)
		}
	}
	if err != nil {
		return err
	}
	c.notice(e)("published %s; sent %.2f copies", bytesText(stats.Bytes), copies(stats))
	return nil
}

// linger waits for d or the end of ctx.
func linger(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// status returns what shows the line about a stream that is published.
func (c *publishCmd) status(e *env, pub *node.Publication) func(now time.Time) {
	var source, up meter
	return func(now time.Time) {
		s := pub.Stats()
		e.console.setStatus(fmt.Sprintf("publishing %q at %s, out %s, %.2f copies, %d neighbors",
			c.Stream, bitsText(source.rate(now, s.Bytes)), bitsText(up.rate(now, s.UploadBytes)), copies(s), s.Neighbors))
	}
}
