package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"rtmfp/node"
	"rtmfp/node/store"
	"rtmfp/replication/content"
)

// storeCmd is the family of commands about the files on this machine.
type storeCmd struct {
	Ls     storeLsCmd     `cmd:"" help:"List the files, those that were used last first."`
	Rm     storeRmCmd     `cmd:"" help:"Take files out; those that are shared where they lie stay there."`
	Pin    storePinCmd    `cmd:"" help:"Never make room for others with these files."`
	Unpin  storeUnpinCmd  `cmd:"" help:"Make room with these files again when it is needed."`
	GC     storeGCCmd     `cmd:"" name:"gc" help:"Remove what is of no use, and what is above the quota."`
	Verify storeVerifyCmd `cmd:"" help:"Read files from the disk and check every block."`
}

// hash is the hash of a file on the command line.
type hash struct{ node.Hash }

// UnmarshalText reads a hash, or the hash of a link.
func (h *hash) UnmarshalText(text []byte) (err error) {
	if l, lerr := content.ParseLink(string(text)); lerr == nil {
		h.Hash = l.Hash
		return nil
	}
	h.Hash, err = content.ParseHash(string(text))
	return err
}

// each opens the store and calls f for every hash.
func (f *storeFlags) each(list []hash, do func(s *store.Store, h node.Hash) error) error {
	s, err := f.open()
	if err != nil {
		return err
	}
	defer s.Close()
	for _, h := range list {
		if err := do(s, h.Hash); err != nil {
			if errors.Is(err, store.ErrNotFound) {
				err = fmt.Errorf("there is no file %s in the store; \"rtmfp-node store ls\" lists them", h)
			}
			return err
		}
	}
	return nil
}

type storeLsCmd struct {
	storeFlags
	JSON bool `name:"json" help:"Print one JSON object per file: hash, name, type, size, have, pinned, path, broken, added."`
}

// fileReport is a file of the store as JSON.
type fileReport struct {
	Hash   string    `json:"hash"`
	Name   string    `json:"name"`
	Type   string    `json:"type,omitempty"`
	Size   int64     `json:"size"`
	Have   int64     `json:"have"` // bytes that are there, whole blocks
	Pinned bool      `json:"pinned"`
	Path   string    `json:"path,omitempty"` // where it lies, if it is not a copy
	Broken bool      `json:"broken,omitempty"`
	Added  time.Time `json:"added"`
}

// Help describes the command with examples.
func (*storeLsCmd) Help() string {
	return `
Lists the files, those that were used last first, with how much of each is there. The figures go to stderr.

Examples:

    rtmfp-node store ls
    rtmfp-node store ls --store /srv/files --json
`
}

// Run lists the files.
func (c *storeLsCmd) Run(ctx context.Context, e *env) error {
	s, err := c.open()
	if err != nil {
		return err
	}
	defer s.Close()
	list := s.List()
	if c.JSON {
		for _, i := range list {
			if err := json.NewEncoder(e.stdout).Encode(fileReport{
				Hash: i.Manifest.Hash.String(), Name: i.Manifest.Name, Type: i.Manifest.MediaType, Size: i.Manifest.Size,
				Have: haveBytes(i), Pinned: i.Pinned, Path: i.Path, Broken: i.Broken, Added: i.Added.UTC(),
			}); err != nil {
				return ended(ctx, err)
			}
		}
		return nil
	}
	w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	for _, i := range list {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", i.Manifest.Hash, bytesText(uint64(i.Manifest.Size)), stateText(i), i.Manifest.Name)
	}
	if err := w.Flush(); err != nil {
		return ended(ctx, err)
	}
	used, quota := s.Used()
	text := fmt.Sprintf("%d files, %s of copies", len(list), bytesText(uint64(used)))
	if quota > 0 {
		text += " of at most " + bytesText(uint64(quota))
	}
	e.console.printf("%s", text)
	return nil
}

func haveBytes(i store.Info) int64 {
	return min(i.Manifest.Size, int64(i.Have)*content.BlockSize)
}

// stateText says in a word or two how much of a file is there, and where.
func stateText(i store.Info) string {
	text := "whole"
	switch {
	case i.Broken:
		return "changed"
	case !i.Complete:
		text = fmt.Sprintf("%.0f %%", 100*float64(haveBytes(i))/float64(i.Manifest.Size))
	}
	if i.Path != "" {
		text += ", in place"
	}
	if i.Pinned {
		text += ", pinned"
	}
	return text
}

type storeRmCmd struct {
	storeFlags
	Hashes []hash `arg:"" help:"Hashes, or links, of the files."`
}

// Help describes the command with examples.
func (*storeRmCmd) Help() string {
	return `
Takes files out of the store and frees their room. A file that is shared where it lies stays there, and is not shared any more.

Examples:

    rtmfp-node store rm 5a03445df8849f3fa1cd6d385ec957c55e69c25a1fee0e53404e1cf88b86bb04
`
}

// Run removes the files.
func (c *storeRmCmd) Run() error {
	return c.each(c.Hashes, func(s *store.Store, h node.Hash) error { return s.Remove(h) })
}

type storePinCmd struct {
	storeFlags
	Hashes []hash `arg:"" help:"Hashes, or links, of the files."`
}

// Help describes the command with examples.
func (*storePinCmd) Help() string {
	return `
Keeps files when a quota makes others go.

Examples:

    rtmfp-node store pin 5a03445df8849f3fa1cd6d385ec957c55e69c25a1fee0e53404e1cf88b86bb04
`
}

// Run pins the files.
func (c *storePinCmd) Run() error {
	return c.each(c.Hashes, func(s *store.Store, h node.Hash) error { return s.Pin(h, true) })
}

type storeUnpinCmd struct {
	storeFlags
	Hashes []hash `arg:"" help:"Hashes, or links, of the files."`
}

// Help describes the command with examples.
func (*storeUnpinCmd) Help() string {
	return `
Lets files go again when a quota needs their room.

Examples:

    rtmfp-node store unpin 5a03445df8849f3fa1cd6d385ec957c55e69c25a1fee0e53404e1cf88b86bb04
`
}

// Run unpins the files.
func (c *storeUnpinCmd) Run() error {
	return c.each(c.Hashes, func(s *store.Store, h node.Hash) error { return s.Pin(h, false) })
}

type storeGCCmd struct{ storeFlags }

// Help describes the command with examples.
func (*storeGCCmd) Help() string {
	return `
Removes what no file of the index needs, files that were shared where they lie and have changed, and, with --quota, what is above it.

Examples:

    rtmfp-node store gc
    rtmfp-node store gc --quota 20G
`
}

// Run removes what is of no use.
func (c *storeGCCmd) Run(e *env) error {
	s, err := c.open()
	if err != nil {
		return err
	}
	defer s.Close()
	freed, err := s.GC()
	e.console.printf("%s became free", bytesText(uint64(freed)))
	return err
}

type storeVerifyCmd struct {
	storeFlags
	Hashes []hash `arg:"" optional:"" help:"Hashes, or links, of the files. Default: all files."`
}

// Help describes the command with examples.
func (*storeVerifyCmd) Help() string {
	return `
Reads every block that is there from the disk and checks it against the hash of its file. Blocks that are damaged are dropped, so that they are fetched again; exit code 1 says that there were some.

Examples:

    rtmfp-node store verify
    rtmfp-node store verify 5a03445df8849f3fa1cd6d385ec957c55e69c25a1fee0e53404e1cf88b86bb04
`
}

// Run checks the files.
func (c *storeVerifyCmd) Run(ctx context.Context, e *env) error {
	s, err := c.open()
	if err != nil {
		return err
	}
	defer s.Close()
	if len(c.Hashes) == 0 {
		for _, i := range s.List() {
			c.Hashes = append(c.Hashes, hash{i.Manifest.Hash})
		}
	}
	checked, damaged := 0, 0
	for _, h := range c.Hashes {
		ok, bad, err := s.Verify(ctx, h.Hash, func(done, total int64) {
			e.console.setStatus(fmt.Sprintf("%s: %s of %s", h, bytesText(uint64(done)), bytesText(uint64(total))))
		})
		e.console.setStatus("")
		checked, damaged = checked+ok, damaged+bad
		switch {
		case errors.Is(err, store.ErrNotFound):
			return fmt.Errorf("there is no file %s in the store; \"rtmfp-node store ls\" lists them", h)
		case errors.Is(err, store.ErrChanged):
			damaged++
			e.console.printf("%s: the file was shared where it lies, and has changed or is gone; share it again", h)
		case err != nil:
			return ended(ctx, err)
		case bad > 0:
			e.console.printf("%s: %d blocks were damaged and are dropped", h, bad)
		}
	}
	if damaged > 0 {
		return failf(exitFailure, "%d of %d blocks were damaged", damaged, checked)
	}
	e.console.printf("%d blocks of %d files are good", checked, len(c.Hashes))
	return nil
}
