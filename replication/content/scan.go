package content

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// ErrFormat is why bytes are not a manifest or a directory.
var ErrFormat = errors.New("not a manifest")

// scanner reads the one form that a manifest has: JSON without white space,
// with the keys in their order, and without a backslash, since nothing that may
// stand in a string needs one.
type scanner struct {
	whole, rest string
	err         error
}

func newScanner(b []byte) *scanner {
	s := &scanner{whole: string(b)}
	s.rest = s.whole
	if !utf8.ValidString(s.whole) {
		s.fail("is not UTF-8")
	}
	return s
}

func (s *scanner) fail(format string, args ...any) {
	if s.err == nil {
		s.err = fmt.Errorf("%w: at byte %d: %s", ErrFormat, len(s.whole)-len(s.rest), fmt.Sprintf(format, args...))
		s.rest = ""
	}
}

// has takes text if it is next.
func (s *scanner) has(text string) bool {
	rest, ok := strings.CutPrefix(s.rest, text)
	if ok {
		s.rest = rest
	}
	return ok
}

func (s *scanner) want(text string) {
	if !s.has(text) {
		s.fail("want %s", text)
	}
}

// str takes a string and its quotes.
func (s *scanner) str() string {
	s.want(`"`)
	text, rest, ok := strings.Cut(s.rest, `"`)
	if !ok || strings.IndexByte(text, '\\') >= 0 {
		s.fail("a string without an end, or with a backslash")
		return ""
	}
	s.rest = rest
	return text
}

// size takes a number of bytes.
func (s *scanner) size() int64 {
	n := 0
	for n < len(s.rest) && s.rest[n] >= '0' && s.rest[n] <= '9' {
		n++
	}
	v, err := strconv.ParseInt(s.rest[:n], 10, 64)
	if err != nil || n > 1 && s.rest[0] == '0' || v > MaxSize {
		s.fail("want a size from 0 to %d", int64(MaxSize))
		return 0
	}
	s.rest = s.rest[n:]
	return v
}

func (s *scanner) hash() Hash {
	text := s.str()
	h, err := ParseHash(text)
	switch {
	case err != nil:
		s.fail("%v", err)
	case text != h.String():
		s.fail("a hash in capitals")
	}
	return h
}

// list takes a list of one string or more.
func (s *scanner) list(most int) (list []string) {
	s.want("[")
	for s.err == nil {
		if len(list) == most {
			s.fail("more than %d of them", most)
			break
		}
		list = append(list, s.str())
		if !s.has(",") {
			s.want("]")
			break
		}
	}
	return list
}

// end checks that nothing follows.
func (s *scanner) end() error {
	if s.rest != "" {
		s.fail("want nothing more")
	}
	return s.err
}

func appendString(b []byte, text string) []byte {
	return append(append(append(b, '"'), text...), '"')
}
