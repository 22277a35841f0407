package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"rtmfp/group"
	"rtmfp/node"
	"rtmfp/node/store"
	"rtmfp/replication/content"
)

// getCmd fetches a file.
type getCmd struct {
	Group     spec          `help:"Groupspec, or @FILE that holds one. Default: that of the link." placeholder:"SPEC"`
	Bootstrap []bootURL     `sep:"none" help:"Introducer to join through, rtmfp://HOST[:PORT]. May be repeated. Default: those of the link." placeholder:"URL"`
	Listen    string        `default:":0" help:"UDP address to listen on, HOST:PORT. Default: any free port." placeholder:"ADDR"`
	Output    string        `short:"o" help:"File to write, or a folder to put it into; - is stdout, in order and from the first bytes that are there. Default: the file's name, here." placeholder:"PATH"`
	Force     bool          `help:"Replace what is there."`
	Verify    bool          `help:"Check first what is in the store of an earlier try, on the disk."`
	Wait      time.Duration `default:"30s" help:"How long to wait for a member that has some of the file. Default: 30s." placeholder:"D"`
	Seed      bool          `help:"Go on giving the file to others, until ^C or SIGTERM."`
	JSON      bool          `name:"json" help:"Print a JSON object at the end: path, name, size, hash, seconds, received, members."`
	Link      string        `arg:"" help:"The link, or NAME@PEER-ID of a file that somebody has published in the group."`
	nodeFlags
	fileFlags
}

// Help describes the command with examples.
func (*getCmd) Help() string {
	return `
Fetches the file, or the folder, of a link from the members of its group that have it, each block checked, and gives what it has to others meanwhile. What was fetched before an interruption is not fetched again.

Examples:

    rtmfp-node get 'rtmfp-file:ea8f…?size=1234567&name=talk.mp4&group=G:…&via=rtmfp://seed.example.org'
    rtmfp-node get "$LINK" -o ~/Videos
    rtmfp-node get "$LINK" -o - | ffplay -
    rtmfp-node get --group "$SPEC" --bootstrap rtmfp://seed.example.org nightly@5f3c…
`
}

// target is what is to be fetched.
type target struct {
	manifest  node.Manifest
	name      string // published under it
	publisher node.PeerID
}

// target reads the argument, and completes the flags by what a link says.
func (c *getCmd) target() (t target, err error) {
	if name, key, ok := strings.Cut(c.Link, "@"); ok && !strings.HasPrefix(strings.ToLower(strings.TrimLeft(c.Link, " <")), content.LinkScheme) {
		var p peerID
		if err := p.UnmarshalText([]byte(key)); err != nil {
			return t, failf(exitUsage, "%q: behind the @ %w", c.Link, err)
		}
		if c.Group.Spec == nil || len(c.Bootstrap) == 0 {
			return t, failf(exitUsage, "a name needs --group and --bootstrap; only links say where they are")
		}
		return target{name: name, publisher: p.id}, nil
	}
	l, err := content.ParseLink(c.Link)
	if err != nil {
		return t, failf(exitUsage, "%w", err)
	}
	if c.Group.Spec == nil {
		if l.Group == "" {
			return t, failf(exitUsage, "the link names no group; give one with --group")
		}
		if c.Group.Spec, err = group.ParseSpec(l.Group); err != nil {
			return t, failf(exitUsage, "the link's groupspec: %w", err)
		}
	}
	if len(c.Bootstrap) == 0 {
		for _, url := range l.Introducers {
			c.Bootstrap = append(c.Bootstrap, bootURL(url))
		}
	}
	if len(c.Bootstrap) == 0 {
		return t, failf(exitUsage, "the link names no introducer; give one with --bootstrap")
	}
	return target{manifest: l.Manifest()}, nil
}

// Run fetches the file.
func (c *getCmd) Run(ctx context.Context, e *env) error {
	t, err := c.target()
	if err != nil {
		return err
	}
	if !c.Group.Replication {
		return failf(exitUsage, "%w", errNoFiles(c.Group))
	}
	s, err := c.open()
	if err != nil {
		return err
	}
	defer s.Close()
	member := memberFlags{Group: c.Group, Bootstrap: c.Bootstrap, Listen: c.Listen, nodeFlags: c.nodeFlags}
	c.configure(&member.config, s)
	g, leave, err := member.join(ctx, e)
	if err != nil {
		return ended(ctx, err)
	}
	defer leave()
	if t.name != "" {
		if err := member.company(ctx, g); err != nil {
			return ended(ctx, err)
		}
		if t.manifest, err = g.Objects().Resolve(ctx, t.name, t.publisher); err != nil {
			if errors.Is(err, node.ErrNoFile) {
				return failf(exitNoStream, "nobody knows of %s; is it published in this group?", c.Link)
			}
			return ended(ctx, err)
		}
	}
	d := &download{cmd: c, e: e, g: g, store: s, began: time.Now()}
	if err := d.run(ctx, t.manifest); err != nil {
		e.console.setStatus("")
		return ended(ctx, err)
	}
	if c.Seed {
		c.notice(e)("giving it to others; ^C ends")
		<-ctx.Done()
	}
	return nil
}

// download is one run of get.
type download struct {
	cmd   *getCmd
	e     *env
	g     *node.Group
	store *store.Store
	began time.Time

	total, done int64 // of all files, and of those that are complete
	received    uint64
	members     int // most that had something
	meter       meter
	perSecond   float64 // lately
}

// getReport is what get tells at the end.
type getReport struct {
	Path     string  `json:"path"`
	Name     string  `json:"name"`
	Size     int64   `json:"size"`
	Hash     string  `json:"hash"`
	Seconds  float64 `json:"seconds"`
	Received uint64  `json:"received"` // bytes of blocks that came; less than size if some were there
	Members  int     `json:"members"`  // most that had some of it at a time
}

func (d *download) run(ctx context.Context, m node.Manifest) error {
	to, err := d.path(m)
	if err != nil {
		return err
	}
	d.total = m.Size
	if m.IsDirectory() {
		err = d.directory(ctx, m, to)
	} else {
		err = d.file(ctx, m, to)
	}
	if err != nil {
		return err
	}
	d.e.console.setStatus("")
	r := getReport{
		Path: to, Name: m.Name, Size: d.total, Hash: m.Hash.String(),
		Seconds: time.Since(d.began).Seconds(), Received: d.received, Members: d.members,
	}
	if d.cmd.JSON {
		return json.NewEncoder(d.e.stdout).Encode(r)
	}
	d.cmd.notice(d.e)("got %s, %s in %s from up to %d members", m.Name, bytesText(uint64(d.total)),
		time.Since(d.began).Round(100*time.Millisecond), d.members)
	return nil
}

// path says where the file goes, and reports early what is in the way.
func (d *download) path(m node.Manifest) (string, error) {
	path := d.cmd.Output
	switch {
	case path == "-" && m.IsDirectory():
		return "", failf(exitUsage, "%q is a folder, which can't go to stdout; name one with -o", m.Name)
	case path == "-" && d.cmd.JSON:
		return "", failf(exitUsage, "-o - and --json can't share stdout")
	case path == "-":
		return path, nil
	case path == "":
		path = m.Name
	default:
		if st, err := os.Stat(path); err == nil && st.IsDir() {
			path = filepath.Join(path, m.Name)
		}
	}
	if _, err := os.Lstat(path); err == nil && !d.cmd.Force {
		return "", failf(exitFailure, "%s is there already; use --force to replace it, or name another with -o", path)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", failf(exitFailure, "%w", err)
	}
	if m.IsDirectory() {
		return path, nil
	}
	if err := checkWritable(path); err != nil {
		return "", failf(exitFailure, "can't write the file: %w", err)
	}
	return path, nil
}

// file fetches one file and puts it at a path.
func (d *download) file(ctx context.Context, m node.Manifest, path string) error {
	if path != "-" {
		if err := d.fetch(ctx, m, nil); err != nil {
			return err
		}
		if err := d.store.Export(ctx, m.Hash, path, store.ExportOptions{Move: true, Overwrite: d.cmd.Force}); err != nil {
			return err
		}
		return d.store.Sync(m.Hash) // who is told that it is there may cut the power
	}
	return d.fetch(ctx, m, d.e.stdout)
}

// fetch fetches one file into the store, and writes it meanwhile if w is not
// nil.
func (d *download) fetch(ctx context.Context, m node.Manifest, w io.Writer) error {
	f, err := d.open(ctx, m)
	if err != nil {
		return err
	}
	defer f.Close()
	watching, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		d.watch(watching, stop, f)
	}()
	if w != nil {
		defer context.AfterFunc(watching, func() { f.Close() })()
		_, err = io.Copy(w, f)
	} else {
		err = f.Wait(watching)
	}
	if cause := context.Cause(watching); err != nil && cause != nil && ctx.Err() == nil {
		err = cause
	}
	stop(nil)
	<-watched // which counts, too
	if err != nil {
		return err
	}
	st := f.Stats()
	d.received += st.Received
	d.members = max(d.members, st.Holders)
	d.done += m.Size
	return nil
}

// open begins to fetch a file, and checks first what is there if that was asked
// for.
func (d *download) open(ctx context.Context, m node.Manifest) (*node.File, error) {
	if d.cmd.Verify {
		_, damaged, err := d.store.Verify(ctx, m.Hash, nil)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, err
		}
		if damaged > 0 {
			d.cmd.notice(d.e)("%d blocks of %s were damaged on the disk and are fetched again", damaged, m.Name)
		}
	}
	return d.g.Objects().OpenManifest(ctx, m)
}

// watch shows how far a file is, and gives up if nobody has anything of it.
func (d *download) watch(ctx context.Context, stop context.CancelCauseFunc, f *node.File) {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	heard := time.Now()
	last := int64(-1)
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			st := f.Stats()
			d.members = max(d.members, st.Holders)
			if st.Holders > 0 || st.AtOrigin || st.Have != last || st.Complete {
				heard = now
			}
			last = st.Have
			if now.Sub(heard) > d.cmd.Wait {
				stop(failf(exitNoStream, "no member that has any of %q was found within %v; is somebody sharing it?", f.Manifest().Name, d.cmd.Wait))
				return
			}
			if !d.cmd.Quiet {
				d.e.console.setStatus(d.progress(now, f.Manifest().Name, st))
			}
		}
	}
}

// progress says how far a download is, in one line.
func (d *download) progress(now time.Time, name string, st node.FileStats) string {
	have := d.done + st.Have
	d.perSecond += (d.meter.rate(now, uint64(have)) - d.perSecond) / 4
	text := fmt.Sprintf("%s: %.0f %% of %s, %s/s from %d members", name, 100*float64(have)/float64(max(d.total, 1)),
		bytesText(uint64(d.total)), bytesText(uint64(d.perSecond)), st.Holders)
	if st.AtOrigin {
		text += " and an origin"
	}
	if d.perSecond > 1 {
		left := time.Duration(float64(d.total-have) / d.perSecond * float64(time.Second))
		text += fmt.Sprintf(", %s left", left.Round(time.Second))
	}
	return text
}

// directory fetches all files of a directory, and puts them into a folder.
func (d *download) directory(ctx context.Context, m node.Manifest, root string) error {
	if err := d.fetch(ctx, m, nil); err != nil {
		return err
	}
	list, err := d.store.Directory(m.Hash)
	if err != nil {
		return err
	}
	d.total, d.done = list.Size(), 0
	for i, entry := range list.Entries {
		if err := d.fetch(ctx, list.Manifest(i), nil); err != nil {
			return fmt.Errorf("%s: %w", entry.Path, err)
		}
	}
	if err := d.store.ExportDirectory(ctx, m.Hash, root, store.ExportOptions{Move: true, Overwrite: d.cmd.Force}); err != nil {
		return err
	}
	for _, entry := range list.Entries {
		if err := d.store.Sync(entry.Hash); err != nil {
			return err
		}
	}
	return nil
}
