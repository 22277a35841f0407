package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"rtmfp/replication/content"
)

// AddDirectory takes all files under a directory into the store, and the list
// of them, whose Info it returns. Origins of the options are those of the list
// (content.Directory). Links, devices, and empty folders are left out. A name
// that not every system can take is an error before anything is added.
func (s *Store) AddDirectory(ctx context.Context, root string, o AddOptions) (Info, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return Info{}, failed("add "+root, err)
	}
	if o.Name == "" {
		o.Name = content.CleanName(filepath.Base(root))
	}
	d := content.Directory{Origins: o.Origins}
	total := int64(0)
	err = filepath.WalkDir(root, func(name string, e fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		fi, err := e.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		total += fi.Size()
		d.Entries = append(d.Entries, content.Entry{Path: filepath.ToSlash(rel), Size: fi.Size()})
		return nil
	})
	if err != nil {
		return Info{}, failed("add "+root, err)
	}
	slices.SortFunc(d.Entries, func(a, b content.Entry) int { return strings.Compare(a.Path, b.Path) })
	if err := d.Check(); err != nil {
		return Info{}, fmt.Errorf("store: add %s: %w", root, err)
	}
	done := int64(0)
	for i := range d.Entries {
		e := &d.Entries[i]
		each := AddOptions{InPlace: o.InPlace, Pin: o.Pin}
		if o.Progress != nil {
			each.Progress = func(n, _ int64) { o.Progress(done+n, total) }
		}
		in, err := s.Add(ctx, filepath.Join(root, filepath.FromSlash(e.Path)), each)
		if err != nil {
			return Info{}, err
		}
		e.Size, e.Hash = in.Manifest.Size, in.Manifest.Hash
		done += e.Size
	}
	b, err := d.Append(nil)
	if err != nil {
		return Info{}, fmt.Errorf("store: add %s: %w", root, err)
	}
	return s.AddBytes(b, AddOptions{Name: o.Name, MediaType: content.DirectoryType, Pin: o.Pin})
}

// Directory reads the list of a directory. The error wraps ErrMissing if some of
// it is not there yet.
func (s *Store) Directory(h content.Hash) (*content.Directory, error) {
	r, err := s.OpenReader(h, nil)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if r.Size() > content.MaxDirectory {
		return nil, fmt.Errorf("store: %s: %w", h, content.ErrDirectory)
	}
	b := make([]byte, r.Size())
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, err
	}
	d, err := content.ParseDirectory(b)
	if err != nil {
		return nil, fmt.Errorf("store: %s: %w", h, err)
	}
	return d, nil
}

// ExportDirectory exports all files of a directory to below a path, which is
// made. The error wraps ErrPartial or ErrNotFound if one of them is not
// complete; what was exported before stays, and is not exported again if it is
// moved. No folder on the way may be a link: whoever made the directory
// chooses only names, not places.
func (s *Store) ExportDirectory(ctx context.Context, h content.Hash, root string, o ExportOptions) error {
	root, err := filepath.Abs(root)
	if err != nil {
		return failed("export to "+root, err)
	}
	d, err := s.Directory(h)
	if errors.Is(err, ErrMissing) {
		return fmt.Errorf("%w: %s", ErrPartial, h)
	}
	if err != nil {
		return err
	}
	for i := range d.Entries {
		in, err := s.Info(d.Entries[i].Hash)
		if err == nil && !in.Complete {
			err = ErrPartial
		}
		if err != nil {
			return fmt.Errorf("%w: %s", err, d.Entries[i].Path)
		}
	}
	if err := os.MkdirAll(root, 0o755); err != nil {
		return failed("export", err)
	}
	total, done := d.Size(), int64(0)
	made := make(map[string]bool)
	for i := range d.Entries {
		e := &d.Entries[i]
		if err := makeFolders(root, path.Dir(e.Path), made); err != nil {
			return err
		}
		each := o
		if o.Progress != nil {
			each.Progress = func(n, _ int64) { o.Progress(done+n, total) }
		}
		if err := s.Export(ctx, e.Hash, filepath.Join(root, filepath.FromSlash(e.Path)), each); err != nil {
			return err
		}
		done += e.Size
	}
	return nil
}

// makeFolders makes the folders of a path of slashes below root.
func makeFolders(root, folder string, made map[string]bool) error {
	if folder == "." || made[folder] {
		return nil
	}
	if err := makeFolders(root, path.Dir(folder), made); err != nil {
		return err
	}
	name := filepath.Join(root, filepath.FromSlash(folder))
	if err := os.Mkdir(name, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return failed("export", err)
	}
	if fi, err := os.Lstat(name); err != nil || !fi.IsDir() {
		return fmt.Errorf("store: export to %s: it is not a folder", name)
	}
	made[folder] = true
	return nil
}
