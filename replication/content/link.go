package content

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"rtmfp/group"
)

// LinkScheme is what the text of a link begins with.
const LinkScheme = "rtmfp-file:"

// Limits of links.
const (
	MaxLink        = 32 << 10 // characters
	MaxIntroducers = 8
	maxIntroducer  = 280 // characters of one
)

// ErrLink is why a text is not a link. ParseLink wraps it.
var ErrLink = errors.New("not a link to a file")

// Link is all that one needs in order to get a file.
type Link struct {
	Hash        Hash
	Size        int64
	Name        string   // see CheckName
	MediaType   string   // "" if it is not known; DirectoryType for a directory
	Group       string   // the groupspec, "" if the reader knows the group
	Introducers []string // rtmfp://HOST or rtmfp://HOST:PORT
	Origins     []string // see Manifest.Origins
}

// Manifest returns what the link says of the file.
func (l *Link) Manifest() Manifest {
	return Manifest{Name: l.Name, Size: l.Size, MediaType: l.MediaType, Hash: l.Hash, Origins: l.Origins}
}

// Check returns an error, which wraps ErrLink, if no link can say this.
func (l *Link) Check() error {
	m := l.Manifest()
	if err := m.Check(); err != nil {
		return fmt.Errorf("%w: %w", ErrLink, err)
	}
	if l.Group != "" {
		spec, err := group.ParseSpec(l.Group)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrLink, err)
		}
		if spec.String() != l.Group {
			return fmt.Errorf("%w: its groupspec is not written as groupspecs are", ErrLink)
		}
	}
	if len(l.Introducers) > MaxIntroducers {
		return fmt.Errorf("%w: %d introducers, more than %d", ErrLink, len(l.Introducers), MaxIntroducers)
	}
	for _, url := range l.Introducers {
		if !isIntroducer(url) {
			return fmt.Errorf("%w: the introducer %q is not written rtmfp://HOST or rtmfp://HOST:PORT", ErrLink, clip(url))
		}
	}
	return nil
}

// Text returns the text of the link, which has no white space and none of the
// characters at which chat programs end a link. The error is that of Check.
//
// A groupspec may have passwords and grants in it: give that of
// group.Spec.WithoutAuthorizations unless those who read the link may have them.
func (l *Link) Text() (string, error) {
	if err := l.Check(); err != nil {
		return "", err
	}
	b := append([]byte(LinkScheme), l.Hash.String()...)
	b = strconv.AppendInt(append(b, "?size="...), l.Size, 10)
	b = appendEscaped(append(b, "&name="...), l.Name)
	if l.MediaType != "" {
		b = appendEscaped(append(b, "&type="...), l.MediaType)
	}
	if l.Group != "" {
		b = append(append(b, "&group="...), l.Group...)
	}
	for _, url := range l.Introducers {
		b = appendEscaped(append(b, "&via="...), url)
	}
	for _, url := range l.Origins {
		b = appendEscaped(append(b, "&origin="...), url)
	}
	if len(b) > MaxLink {
		return "", fmt.Errorf("%w: %d characters, more than %d", ErrLink, len(b), MaxLink)
	}
	return string(b), nil
}

// ParseLink reads a link. White space and angle brackets around it are left
// out, and its parameters may come in any order. Errors wrap ErrLink and say
// what to do.
func ParseLink(text string) (*Link, error) {
	bad := func(format string, args ...any) (*Link, error) {
		return nil, fmt.Errorf("%w: %s", ErrLink, fmt.Sprintf(format, args...))
	}
	text = strings.TrimSpace(text)
	if inner, ok := strings.CutPrefix(text, "<"); ok {
		text = strings.TrimSpace(strings.TrimSuffix(inner, ">"))
	}
	switch {
	case text == "":
		return bad("it is empty")
	case len(text) > MaxLink:
		return bad("%d characters, but no more than %d are allowed", len(text), MaxLink)
	case len(text) < len(LinkScheme) || !strings.EqualFold(text[:len(LinkScheme)], LinkScheme):
		return bad("it begins with %q, but a link begins with %q", clip(text), LinkScheme)
	}
	for i, r := range text {
		if r <= ' ' || r >= 0x7f || strings.ContainsRune("<>\"`{}|\\^", r) {
			return bad("character %d is %q, which a link does not have in it; copy the whole link and nothing else", i+1, r)
		}
	}
	digits, query, ok := strings.Cut(text[len(LinkScheme):], "?")
	if !ok {
		return bad("it ends before the size of the file; a part was lost, copy it again")
	}
	l := new(Link)
	var err error
	if l.Hash, err = ParseHash(digits); err != nil {
		return bad("%v; copy it again", err)
	}
	seen := make(map[string]bool)
	for param := range strings.SplitSeq(query, "&") {
		key, value, ok := strings.Cut(param, "=")
		if !ok || value == "" {
			return bad("%q has no value; a part was lost, copy it again", clip(param))
		}
		if seen[key] && key != "via" && key != "origin" {
			return bad("%s is there twice", clip(key))
		}
		seen[key] = true
		if value, ok = unescape(value); !ok {
			return bad("the %s is not escaped as it has to be; copy the link again", clip(key))
		}
		switch key {
		case "size":
			n, err := strconv.ParseUint(value, 10, 63)
			if err != nil || strconv.FormatUint(n, 10) != value {
				return bad("the size is %q, not a number of bytes", clip(value))
			}
			l.Size = int64(n)
		case "name":
			l.Name = value
		case "type":
			l.MediaType = value
		case "group":
			spec, err := group.ParseSpec(value)
			if err != nil {
				return nil, fmt.Errorf("%w: %w", ErrLink, err)
			}
			l.Group = spec.String()
		case "via":
			if len(l.Introducers) == MaxIntroducers {
				return bad("more than %d introducers", MaxIntroducers)
			}
			l.Introducers = append(l.Introducers, value)
		case "origin":
			if len(l.Origins) == MaxOrigins {
				return bad("more than %d origins", MaxOrigins)
			}
			l.Origins = append(l.Origins, value)
		default:
			return bad("this program does not know %q; a newer one may", clip(key))
		}
	}
	if !seen["size"] || !seen["name"] {
		return bad("it has no size or no name; a part was lost, copy it again")
	}
	if err := l.Check(); err != nil {
		return nil, err
	}
	return l, nil
}

// isIntroducer reports whether url is the address of an introducer.
func isIntroducer(url string) bool {
	rest, ok := strings.CutPrefix(url, "rtmfp://")
	if !ok || len(url) > maxIntroducer {
		return false
	}
	host, port := rest, ""
	if strings.HasPrefix(rest, "[") {
		inner, after, ok := strings.Cut(rest[1:], "]")
		if !ok || inner == "" || strings.Trim(inner, "0123456789abcdefABCDEF:.") != "" {
			return false
		}
		if after == "" {
			return true
		}
		host = inner
		if port, ok = strings.CutPrefix(after, ":"); !ok {
			return false
		}
	} else {
		var has bool
		host, port, has = strings.Cut(rest, ":")
		for i := range len(host) {
			if c := host[i]; !isAlphanumeric(c) && c != '-' && c != '.' && c != '_' {
				return false
			}
		}
		if host == "" {
			return false
		}
		if !has {
			return true
		}
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n != 0 && strconv.FormatUint(n, 10) == port
}

// isUnreserved tells the characters that stand for themselves. The colon and
// slashes of an introducer's URL need no escape in the query of a URI (RFC 3986
// §3.4) and make it readable.
func isUnreserved(c byte) bool {
	return isAlphanumeric(c) || strings.IndexByte("-._~:/", c) >= 0
}

func appendEscaped(b []byte, text string) []byte {
	const digits = "0123456789ABCDEF"
	for i := range len(text) {
		if c := text[i]; isUnreserved(c) {
			b = append(b, c)
		} else {
			b = append(b, '%', digits[c>>4], digits[c&15])
		}
	}
	return b
}

// unescape undoes appendEscaped. A plus sign is not a space.
func unescape(text string) (string, bool) {
	if strings.IndexByte(text, '%') < 0 {
		return text, true
	}
	b := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c == '%' {
			if i+2 >= len(text) {
				return "", false
			}
			v, err := strconv.ParseUint(text[i+1:i+3], 16, 8)
			if err != nil {
				return "", false
			}
			c = byte(v)
			i += 2
		}
		b = append(b, c)
	}
	return string(b), utf8.Valid(b)
}
