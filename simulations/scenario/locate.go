package scenario

import (
	"fmt"
	"strings"
)

// locate returns the line of every key and table of a TOML text that is known
// to be well-formed, by path: "network.loss", "class[1].share" counted from 0.
// The parser tells positions of what it can't read, but not of what it could.
func locate(text string) map[string]int {
	lines := map[string]int{}
	arrays := map[string]int{} // tables of each array so far
	prefix := ""
	note := func(path string, line int) {
		if _, known := lines[path]; !known {
			lines[path] = line
		}
	}
	s := scanner{text: text, line: 1}
	for s.skipBlank(); !s.end(); s.skipBlank() {
		line := s.line
		switch {
		case strings.HasPrefix(s.rest(), "[["):
			s.at += 2
			path := indexed(s.key(), arrays)
			prefix = fmt.Sprintf("%s[%d]", path, arrays[path])
			arrays[path]++
			note(path, line)
			note(prefix, line)
			s.skipLine()
		case s.text[s.at] == '[':
			s.at++
			prefix = indexed(s.key(), arrays)
			note(prefix, line)
			s.skipLine()
		default:
			path := prefix
			for i, part := range s.key() {
				if i > 0 || prefix != "" {
					path += "."
				}
				path += part
				note(path, line)
			}
			s.at += strings.IndexByte(s.rest(), '=') + 1
			s.skipValue()
		}
	}
	return lines
}

// indexed returns a table's path, in which names of arrays stand for their
// last element.
func indexed(parts []string, arrays map[string]int) string {
	path := ""
	for i, part := range parts {
		if i > 0 {
			path += "."
		}
		path += part
		if n := arrays[path]; n > 0 && i < len(parts)-1 {
			path += fmt.Sprintf("[%d]", n-1)
		}
	}
	return path
}

type scanner struct {
	text string
	at   int
	line int
}

func (s *scanner) end() bool    { return s.at >= len(s.text) }
func (s *scanner) rest() string { return s.text[s.at:] }

// next goes on by n bytes and counts lines.
func (s *scanner) next(n int) {
	n = min(n, len(s.text)-s.at)
	s.line += strings.Count(s.text[s.at:s.at+n], "\n")
	s.at += n
}

func (s *scanner) skipLine() {
	if n := strings.IndexByte(s.rest(), '\n'); n >= 0 {
		s.next(n + 1)
	} else {
		s.at = len(s.text)
	}
}

// skipBlank skips space and comments.
func (s *scanner) skipBlank() {
	for !s.end() {
		switch s.text[s.at] {
		case ' ', '\t', '\r', '\n', ',':
			s.next(1)
		case '#':
			s.skipLine()
		default:
			return
		}
	}
}

// key reads a dotted key.
func (s *scanner) key() (parts []string) {
	part := ""
	for !s.end() {
		switch c := s.text[s.at]; c {
		case '=', ']', '\n':
			return append(parts, part)
		case '.':
			parts, part = append(parts, part), ""
			s.at++
		case '"', '\'':
			n := strings.IndexByte(s.text[s.at+1:], c)
			if n < 0 {
				s.at = len(s.text)
				return append(parts, part)
			}
			part += s.text[s.at+1 : s.at+1+n]
			s.at += n + 2
		case ' ', '\t':
			s.at++
		default:
			part += string(c)
			s.at++
		}
	}
	return append(parts, part)
}

// skipValue skips a value that may take several lines.
func (s *scanner) skipValue() {
	depth := 0
	for !s.end() {
		switch c := s.text[s.at]; c {
		case '"', '\'':
			s.skipString(c)
		case '[', '{':
			depth++
			s.at++
		case ']', '}':
			depth--
			s.at++
		case '#':
			s.skipLine()
			if depth <= 0 {
				return
			}
		case '\n':
			s.next(1)
			if depth <= 0 {
				return
			}
		default:
			s.at++
		}
	}
}

func (s *scanner) skipString(quote byte) {
	q := string(quote)
	if triple := strings.Repeat(q, 3); strings.HasPrefix(s.rest(), triple) {
		n := strings.Index(s.text[s.at+3:], triple)
		if n < 0 {
			s.next(len(s.text))
			return
		}
		s.next(n + 6)
		for !s.end() && s.text[s.at] == quote { // up to two more belong to the text
			s.at++
		}
		return
	}
	for s.at++; !s.end(); s.at++ {
		switch s.text[s.at] {
		case '\n':
			return
		case '\\':
			if quote == '"' {
				s.at++
			}
		case quote:
			s.at++
			return
		}
	}
}
