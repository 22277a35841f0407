package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"rtmfp/node"
	"rtmfp/node/store"
)

// storeFlags say where files are kept.
type storeFlags struct {
	Store string   `help:"Folder that keeps files by hash. One process uses it at a time. Default: rtmfp-node/store in the user's cache folder." placeholder:"DIR"`
	Quota byteSize `help:"Most bytes of copies in the store, such as 20G; files that are not pinned make room, those first that were not used for longest. Default: no limit." placeholder:"SIZE"`
}

// open opens the store.
func (f *storeFlags) open() (*store.Store, error) {
	dir := f.Store
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return nil, failf(exitUsage, "no folder for the store (%w); name one with --store", err)
		}
		dir = filepath.Join(cache, "rtmfp-node", "store")
	}
	s, err := store.Open(dir, store.Options{Quota: int64(f.Quota)})
	if errors.Is(err, store.ErrLocked) {
		return nil, failf(exitBusy, "the store %s is in use by another process; give this one another folder with --store", dir)
	}
	if err != nil {
		return nil, fmt.Errorf("can't open the store %s: %w", dir, err)
	}
	return s, nil
}

// byteSize is a number of bytes, written as 500M or 20G.
type byteSize int64

// UnmarshalText reads a number with an optional unit.
func (b *byteSize) UnmarshalText(text []byte) error {
	var r bitRate
	if r.UnmarshalText(append(text, "bit/s"...)) != nil || r > 1<<60 {
		return fmt.Errorf("%q is not a size; write bytes, such as 500M or 20G", text)
	}
	*b = byteSize(r)
	return nil
}

// shareCmd shares files.
type shareCmd struct {
	memberFlags
	fileFlags
	Name    string   `help:"Name of the file, if it is not to be that on the disk." placeholder:"NAME"`
	Publish string   `help:"Also let members find the file under this name of this node's, so that \"get NAME@PEER-ID\" has the newest version." placeholder:"NAME"`
	Origin  []string `sep:"none" help:"An http or https URL that has the same file, for the link's readers. May be repeated." placeholder:"URL"`
	Copy    bool     `help:"Copy the files into the store instead of sharing them where they lie."`
	QR      string   `name:"qr" help:"Also draw the link as a QR picture, into a PNG file, or with - on the terminal." placeholder:"FILE"`
	JSON    bool     `name:"json" help:"Print one JSON object per link: link, name, size, hash."`
	Paths   []string `arg:"" name:"path" help:"Files and folders to share."`
}

// Help describes the command with examples.
func (*shareCmd) Help() string {
	return `
Reads and hashes the files, prints a link to each on stdout, and then gives them to the members who ask for them, until ^C or SIGTERM. A folder becomes one link. Files are shared where they lie; one that changes is not shared any more.

Examples:

    rtmfp-node share --group "$SPEC" talk.mp4
    rtmfp-node share --group "$SPEC" --bootstrap rtmfp://seed.example.org --publish nightly build/
    rtmfp-node share --group "$SPEC" --bootstrap rtmfp://seed.example.org --origin https://example.org/talk.mp4 talk.mp4
`
}

// Validate is called by the parser once all flags are set.
func (c *shareCmd) Validate() error {
	if err := c.fileFlags.Validate(); err != nil {
		return err
	}
	switch {
	case c.Group.Spec != nil && !c.Group.Replication:
		return errNoFiles(c.Group)
	case c.QR != "" && c.QR != qrTerminal && len(c.Paths) > 1:
		return errors.New("--qr FILE is for one file or folder; --qr - draws one after the other")
	case c.Name != "" && len(c.Paths) > 1, c.Publish != "" && len(c.Paths) > 1, len(c.Origin) > 0 && len(c.Paths) > 1:
		return errors.New("--name, --publish, and --origin are for one file or folder")
	}
	return nil
}

func errNoFiles(g spec) error {
	return fmt.Errorf("group %q carries no files; make one with \"rtmfp-node group new --name NAME --replication\"", g.Name)
}

// linkReport is a link as JSON.
type linkReport struct {
	Link string `json:"link"`
	Name string `json:"name"`
	Size int64  `json:"size"`
	Hash string `json:"hash"`
}

// namePeriod is how often a published name is put again, nameTTL how long
// members keep it.
const (
	namePeriod = 20 * time.Minute
	nameTTL    = 2 * time.Hour
)

// Run shares the files until ctx ends.
func (c *shareCmd) Run(ctx context.Context, e *env) error {
	for _, path := range c.Paths {
		if _, err := os.Stat(path); err != nil {
			return failf(exitInput, "can't share: %w", err)
		}
	}
	s, err := c.open()
	if err != nil {
		return err
	}
	defer s.Close()
	c.configure(&c.config, s)
	c.config.Introduce = true
	g, leave, err := c.join(ctx, e)
	if err != nil {
		return ended(ctx, err)
	}
	defer leave()
	var last node.FileLink
	for _, path := range c.Paths {
		if last, err = c.share(ctx, e, g, path); err != nil {
			return ended(ctx, err)
		}
	}
	if c.Publish != "" {
		m := last.Manifest()
		m.Origins = c.Origin
		go c.publish(ctx, e, g, m)
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var up meter
	for {
		select {
		case <-ctx.Done():
			e.console.setStatus("")
			return nil
		case <-g.Done():
			return failf(exitFailure, "the node stopped by itself; see the log above")
		case now := <-tick.C:
			st := g.Stats()
			if !c.Quiet {
				e.console.setStatus(fmt.Sprintf("%d neighbors, gave %s, %s", st.Neighbors,
					bytesText(st.Total.Objects.Sent), bytesText(uint64(up.rate(now, st.Total.Objects.Sent)))+"/s"))
			}
		}
	}
}

// share adds one file or folder, and prints its link.
func (c *shareCmd) share(ctx context.Context, e *env, g *node.Group, path string) (node.FileLink, error) {
	l, err := g.Objects().Share(ctx, path, node.ShareOptions{
		Copy: c.Copy, Name: c.Name, Origins: c.Origin,
		Progress: func(done, total int64) {
			if !c.Quiet {
				e.console.setStatus(fmt.Sprintf("reading %s: %s of %s", path, bytesText(uint64(done)), bytesText(uint64(max(total, 0)))))
			}
		},
	})
	e.console.setStatus("")
	if err != nil {
		return l, failf(exitInput, "%w", err)
	}
	if len(c.Bootstrap) == 0 {
		l.Introducers = urlsOf(g.Node().Addr())
		l.Introducers = l.Introducers[:min(len(l.Introducers), 4)]
	}
	text, err := l.Text()
	if err != nil {
		return l, err
	}
	if c.QR != "" {
		if err := drawQR(e, text, c.QR); err != nil {
			return l, err
		}
	}
	if c.JSON {
		return l, json.NewEncoder(e.stdout).Encode(linkReport{text, l.Name, l.Size, l.Hash.String()})
	}
	_, err = fmt.Fprintln(e.stdout, text)
	return l, err
}

// publish puts the name now and again, so that it does not run out.
func (c *shareCmd) publish(ctx context.Context, e *env, g *node.Group, m node.Manifest) {
	log := c.logger(e, slog.LevelWarn)
	for ctx.Err() == nil {
		wait := namePeriod
		if g.Stats().Neighbors == 0 {
			wait = 200 * time.Millisecond // nobody is there to keep it
		} else if err := g.Objects().PublishName(ctx, c.Publish, m, node.PutOptions{TTL: nameTTL}); err != nil {
			if ctx.Err() == nil {
				log.Warn("can't publish the name; trying again in 10 s", "name", c.Publish, "err", err)
			}
			wait = 10 * time.Second
		} else if !c.Quiet {
			c.notice(e)("published as %s@%s", c.Publish, g.Node().ID())
		}
		linger(ctx, wait)
	}
}
