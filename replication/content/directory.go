package content

import (
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
)

// Limits of directories.
const (
	MaxDirectory = 16 << 20 // bytes of an encoded directory
	MaxEntries   = 65536
)

// ErrDirectory is why a list of files is not a directory.
var ErrDirectory = errors.New("not a directory")

// Entry is a file of a directory.
type Entry struct {
	Path      string // see CheckPath
	Size      int64
	MediaType string // "" if it is not known
	Hash      Hash
}

// Directory lists the files under a directory, sorted by path. Encoded, it is
// itself a file with a hash, which a Manifest of type DirectoryType names. Empty
// directories, links, owners, and permissions are not kept.
type Directory struct {
	Entries []Entry

	// Origins are http and https URLs that end in a slash: the file of an entry
	// is at an origin and the entry's path, escaped, after it.
	Origins []string
}

// Size returns how many bytes all files have.
func (d *Directory) Size() (n int64) {
	for i := range d.Entries {
		n += d.Entries[i].Size
	}
	return n
}

// Manifest returns what the directory says of a file in it.
func (d *Directory) Manifest(i int) Manifest {
	e := &d.Entries[i]
	m := Manifest{Name: path.Base(e.Path), Size: e.Size, MediaType: e.MediaType, Hash: e.Hash}
	for _, o := range d.Origins {
		m.Origins = append(m.Origins, string(appendEscaped([]byte(o), e.Path)))
		if m.Check() != nil { // too long
			m.Origins = m.Origins[:len(m.Origins)-1]
		}
	}
	return m
}

// Check returns an error if the directory breaks a limit, is not sorted, or has
// paths that cannot be side by side on every system.
func (d *Directory) Check() error {
	if len(d.Entries) == 0 || len(d.Entries) > MaxEntries {
		return fmt.Errorf("%w: %d files, but a directory has from 1 to %d", ErrDirectory, len(d.Entries), MaxEntries)
	}
	if err := checkOrigins(d.Origins); err != nil {
		return err
	}
	for _, o := range d.Origins {
		if !strings.HasSuffix(o, "/") || strings.IndexByte(o, '?') >= 0 {
			return fmt.Errorf("%w: the origin %q of a directory does not end in a slash", ErrFormat, clip(o))
		}
	}
	// Many systems don't tell capitals from small letters.
	files := make(map[string]bool, len(d.Entries))
	folders := make(map[string]bool)
	total := int64(0)
	for i := range d.Entries {
		e := &d.Entries[i]
		if err := CheckPath(e.Path); err != nil {
			return err
		}
		if e.Size < 0 || e.Size > MaxSize {
			return fmt.Errorf("%w: %d bytes, but a file has from 0 to %d", ErrSize, e.Size, int64(MaxSize))
		}
		if total += e.Size; total > MaxSize {
			return fmt.Errorf("%w: a directory of more than %d bytes", ErrSize, int64(MaxSize))
		}
		if err := CheckMediaType(e.MediaType); e.MediaType != "" && err != nil {
			return err
		}
		if i > 0 && e.Path <= d.Entries[i-1].Path {
			return fmt.Errorf("%w: %q is not after %q", ErrDirectory, clip(e.Path), clip(d.Entries[i-1].Path))
		}
		path := fold(e.Path)
		if files[path] {
			return fmt.Errorf("%w: %q is there twice but for capitals", ErrDirectory, clip(e.Path))
		}
		files[path] = true
		for n := strings.LastIndexByte(path, '/'); n >= 0; n = strings.LastIndexByte(path[:n], '/') {
			folders[path[:n]] = true
		}
	}
	for i := range d.Entries {
		if folders[fold(d.Entries[i].Path)] {
			return fmt.Errorf("%w: %q is a file and a folder", ErrDirectory, clip(d.Entries[i].Path))
		}
	}
	return nil
}

// fold makes texts equal that differ only in capitals.
func fold(text string) string { return strings.ToLower(strings.ToUpper(text)) }

// Append appends the encoded directory. Errors are those of Check, or wrap
// ErrDirectory if it is longer than MaxDirectory.
func (d *Directory) Append(b []byte) ([]byte, error) {
	if err := d.Check(); err != nil {
		return b, err
	}
	start := len(b)
	b = append(b, `{"directory":1,"files":[`...)
	for i := range d.Entries {
		e := &d.Entries[i]
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(append(b, `{"path":`...), e.Path)
		b = strconv.AppendInt(append(b, `,"size":`...), e.Size, 10)
		if e.MediaType != "" {
			b = appendString(append(b, `,"type":`...), e.MediaType)
		}
		b = append(appendString(append(b, `,"hash":`...), e.Hash.String()), '}')
	}
	b = append(appendOrigins(append(b, ']'), d.Origins), '}')
	if len(b)-start > MaxDirectory {
		return b[:start], fmt.Errorf("%w: its list has %d bytes, more than %d", ErrDirectory, len(b)-start, MaxDirectory)
	}
	return b, nil
}

// ParseDirectory reads what Append makes and nothing else. Errors wrap
// ErrFormat, ErrDirectory, ErrName, or ErrSize.
func ParseDirectory(b []byte) (*Directory, error) {
	if len(b) > MaxDirectory {
		return nil, fmt.Errorf("%w: its list has %d bytes, more than %d", ErrDirectory, len(b), MaxDirectory)
	}
	d := new(Directory)
	s := newScanner(b)
	s.want(`{"directory":1,"files":[`)
	for s.err == nil {
		if len(d.Entries) == MaxEntries {
			s.fail("more than %d files", MaxEntries)
			break
		}
		var e Entry
		s.want(`{"path":`)
		e.Path = s.str()
		s.want(`,"size":`)
		e.Size = s.size()
		e.MediaType = s.mediaType()
		s.want(`,"hash":`)
		e.Hash = s.hash()
		s.want("}")
		d.Entries = append(d.Entries, e)
		if !s.has(",") {
			s.want("]")
			break
		}
	}
	d.Origins = s.origins()
	s.want("}")
	if err := s.end(); err != nil {
		return nil, err
	}
	if err := d.Check(); err != nil {
		return nil, err
	}
	return d, nil
}
