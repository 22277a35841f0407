package content

import (
	"fmt"
	"strconv"
	"strings"
)

// Limits of manifests.
const (
	// MaxManifest is the size of an encoded manifest in bytes: what a record of
	// the group holds.
	MaxManifest = 1024

	MaxMediaType = 127 // bytes
	MaxOrigins   = 4
	MaxOrigin    = 512 // bytes of one
)

// DirectoryType is the media type of an encoded Directory.
const DirectoryType = "application/vnd.rtmfp.directory+json"

// Manifest describes a file, or, if its media type is DirectoryType, a
// directory, of which it names the encoded Directory.
type Manifest struct {
	Name      string   // see CheckName
	Size      int64    // bytes, 0 to MaxSize
	MediaType string   // type/subtype, "" if it is not known
	Hash      Hash     // of the file
	Origins   []string // http and https URLs that have the same file
}

// IsDirectory reports whether the manifest is that of a directory.
func (m *Manifest) IsDirectory() bool { return m.MediaType == DirectoryType }

// Check returns an error if the manifest breaks a limit or has parts that
// nobody takes.
func (m *Manifest) Check() error {
	if err := CheckName(m.Name); err != nil {
		return err
	}
	if m.Size < 0 || m.Size > MaxSize {
		return fmt.Errorf("%w: %d bytes, but a file has from 0 to %d", ErrSize, m.Size, int64(MaxSize))
	}
	if m.IsDirectory() && m.Size > MaxDirectory {
		return fmt.Errorf("%w: a directory of %d bytes, more than %d", ErrSize, m.Size, MaxDirectory)
	}
	if err := CheckMediaType(m.MediaType); m.MediaType != "" && err != nil {
		return err
	}
	if err := checkOrigins(m.Origins); err != nil {
		return err
	}
	if n := len(m.append(nil)); n > MaxManifest {
		return fmt.Errorf("%w: it has %d bytes, more than %d: shorten the name or the origins", ErrFormat, n, MaxManifest)
	}
	return nil
}

// Append appends the encoded manifest. The error is that of Check.
func (m *Manifest) Append(b []byte) ([]byte, error) {
	if err := m.Check(); err != nil {
		return b, err
	}
	return m.append(b), nil
}

func (m *Manifest) append(b []byte) []byte {
	b = append(b, `{"manifest":1,"name":`...)
	b = appendString(b, m.Name)
	b = append(b, `,"size":`...)
	b = strconv.AppendInt(b, m.Size, 10)
	if m.MediaType != "" {
		b = appendString(append(b, `,"type":`...), m.MediaType)
	}
	b = appendString(append(b, `,"hash":`...), m.Hash.String())
	return append(appendOrigins(b, m.Origins), '}')
}

// ParseManifest reads what Append makes and nothing else: of every manifest
// there is one encoding. Errors wrap ErrFormat, ErrName, or ErrSize.
func ParseManifest(b []byte) (*Manifest, error) {
	if len(b) > MaxManifest {
		return nil, fmt.Errorf("%w: it has %d bytes, more than %d", ErrFormat, len(b), MaxManifest)
	}
	m := new(Manifest)
	s := newScanner(b)
	s.want(`{"manifest":1,"name":`)
	m.Name = s.str()
	s.want(`,"size":`)
	m.Size = s.size()
	m.MediaType = s.mediaType()
	s.want(`,"hash":`)
	m.Hash = s.hash()
	m.Origins = s.origins()
	s.want("}")
	if err := s.end(); err != nil {
		return nil, err
	}
	if err := m.Check(); err != nil {
		return nil, err
	}
	return m, nil
}

// mediaType takes a media type if one is next.
func (s *scanner) mediaType() string {
	if !s.has(`,"type":`) {
		return ""
	}
	typ := s.str()
	if typ == "" {
		s.fail("an empty media type")
	}
	return typ
}

// origins takes the origins if they are next.
func (s *scanner) origins() []string {
	if !s.has(`,"origins":`) {
		return nil
	}
	return s.list(MaxOrigins)
}

func appendOrigins(b []byte, origins []string) []byte {
	for i, o := range origins {
		if i == 0 {
			b = append(b, `,"origins":[`...)
		} else {
			b = append(b, ',')
		}
		b = appendString(b, o)
	}
	if len(origins) > 0 {
		b = append(b, ']')
	}
	return b
}

// CheckMediaType returns an error unless typ is a media type that a manifest
// may have: type/subtype, with parameters without quotes.
func CheckMediaType(typ string) error {
	bad := fmt.Errorf("%w: the media type %q is not one like video/mp4, or has more than %d bytes", ErrFormat, clip(typ), MaxMediaType)
	if len(typ) > MaxMediaType {
		return bad
	}
	for i, part := range strings.Split(typ, ";") {
		if i > 0 {
			part = strings.TrimPrefix(part, " ")
		}
		left, right, ok := strings.Cut(part, [...]string{"/", "="}[min(i, 1)])
		if !ok || !isToken(left) || !isToken(right) {
			return bad
		}
	}
	return nil
}

// isToken reports whether s is a token of RFC 9110 §5.6.2.
func isToken(s string) bool {
	for i := range len(s) {
		if c := s[i]; !isAlphanumeric(c) && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return s != ""
}

func isAlphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z'
}

func checkOrigins(origins []string) error {
	if len(origins) > MaxOrigins {
		return fmt.Errorf("%w: %d origins, more than %d", ErrFormat, len(origins), MaxOrigins)
	}
	for _, o := range origins {
		if err := CheckOrigin(o); err != nil {
			return err
		}
	}
	return nil
}

// CheckOrigin returns an error unless url is an http or https URL, as it would
// be sent: with everything that is not ASCII escaped, and without user names.
func CheckOrigin(url string) error {
	bad := func(why string) error { return fmt.Errorf("%w: the origin %q %s", ErrFormat, clip(url), why) }
	if len(url) > MaxOrigin {
		return bad(fmt.Sprintf("has more than %d bytes", MaxOrigin))
	}
	rest, ok := strings.CutPrefix(url, "https://")
	if !ok {
		if rest, ok = strings.CutPrefix(url, "http://"); !ok {
			return bad("does not begin with http:// or https://")
		}
	}
	for i := range len(rest) {
		if c := rest[i]; c <= ' ' || c >= 0x7f || strings.IndexByte("\"\\<>^`{|}#", c) >= 0 {
			return bad("has characters that must be escaped")
		}
	}
	host := rest
	if end := strings.IndexAny(rest, "/?"); end >= 0 {
		host = rest[:end]
	}
	if host == "" || strings.IndexByte(host, '@') >= 0 {
		return bad("has no host, or a user name before it")
	}
	return nil
}
