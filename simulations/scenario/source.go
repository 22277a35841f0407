package scenario

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
)

// source is the text of a scenario with what was laid over it.
type source struct {
	file  string
	lines map[string]int
	tree  map[string]any

	// origin tells where a key was said if not in its own place: the size, or
	// the command line.
	origin map[string]string
}

// fromCommand begins an origin that is no place in the file.
const fromCommand = "--set "

func parseSource(file, text string) (*source, error) {
	s := &source{file: file, origin: map[string]string{}}
	if _, err := toml.Decode(text, &s.tree); err != nil {
		p := &Problem{File: file, Text: err.Error()}
		var at toml.ParseError
		if errors.As(err, &at) {
			p.Line, p.Text = at.Position.Line, at.Message
			if p.Text == "" { // the message is within the error's own text
				p.Text = strings.TrimPrefix(at.Error(), "toml: ")
			}
		}
		return nil, Problems{p}
	}
	s.lines = locate(text)
	return s, nil
}

// problem makes a Problem of a key.
func (s *source) problem(path, text string) *Problem {
	p := &Problem{File: s.file, Key: readable(path), Text: text}
	at := path
	for key := path; ; {
		if from, moved := s.origin[key]; moved {
			if strings.HasPrefix(from, fromCommand) {
				p.File = strings.TrimSuffix(fromCommand, " ")
				return p
			}
			at = from + strings.TrimPrefix(path, key)
			break
		}
		cut := strings.LastIndexAny(key, ".[")
		if cut < 0 {
			break
		}
		key = key[:cut]
	}
	for { // the key's own line, or that of the nearest table around it
		if line, ok := s.lines[at]; ok {
			p.Line = line
			return p
		}
		cut := strings.LastIndexAny(at, ".[")
		if cut < 0 {
			return p
		}
		at = at[:cut]
	}
}

// readable counts tables from 1, as people do. A key in quotes may hold
// brackets of its own: what is no number between two of them stays as it is.
func readable(path string) string {
	var b strings.Builder
	for {
		before, rest, opened := strings.Cut(path, "[")
		number, after, closed := strings.Cut(rest, "]")
		n, err := strconv.Atoi(number)
		if !opened || !closed || err != nil {
			return b.String() + path
		}
		fmt.Fprintf(&b, "%s[%d]", before, n+1)
		path = after
	}
}

// sizes returns the names of the sizes that the scenario has.
func (s *source) sizes() ([]string, map[string]any, *Problem) {
	v, given := s.tree["sizes"]
	if !given {
		return nil, nil, nil
	}
	table, ok := v.(map[string]any)
	if !ok {
		return nil, nil, s.problem("sizes", "is a table: write [sizes.small] and the keys that differ below it")
	}
	return slices.Sorted(maps.Keys(table)), table, nil
}

// choose lays the keys of a size over the others.
func (s *source) choose(size string) *Problem {
	names, table, bad := s.sizes()
	if bad != nil || size == "" {
		return bad
	}
	v, ok := table[size]
	if !ok {
		if len(names) == 0 {
			return &Problem{File: s.file, Text: fmt.Sprintf("has no size %q, or any other", size)}
		}
		return &Problem{File: s.file, Text: fmt.Sprintf("has no size %q%s", size, meant(size, names))}
	}
	over, ok := v.(map[string]any)
	if !ok {
		return s.problem("sizes."+size, "is a table: write its keys below [sizes."+size+"]")
	}
	s.lay("", "sizes."+size, s.tree, over)
	return nil
}

// lay puts one tree over another. Tables are merged, lists replaced.
func (s *source) lay(path, from string, tree, over map[string]any) {
	for _, name := range sortedKeys(over) {
		v := over[name]
		at := join(path, name)
		table, ok := v.(map[string]any)
		below, there := tree[name].(map[string]any)
		if ok && there {
			s.lay(at, from+"."+name, below, table)
			continue
		}
		tree[name] = v
		s.origin[at] = from + "." + name
	}
}

// override carries out one key=value.
func (s *source) override(setting string) *Problem {
	path, text, ok := strings.Cut(setting, "=")
	path, text = strings.TrimSpace(path), strings.TrimSpace(text)
	if !ok || path == "" {
		return &Problem{File: "--set", Text: fmt.Sprintf("%q is no setting; write key=value, such as live.bitrate=2Mbit/s", setting)}
	}
	var parsed struct{ V any }
	if _, err := toml.Decode("v = "+text, &parsed); err != nil || parsed.V == nil {
		parsed.V = text
	}
	parts := strings.Split(path, ".")
	tree, at := s.tree, ""
	for i, part := range parts {
		at = join(at, part)
		if i == len(parts)-1 {
			tree[part] = parsed.V
			s.origin[at] = fromCommand + path
			return nil
		}
		switch next := tree[part].(type) {
		case nil:
			made := map[string]any{}
			tree[part] = made
			s.origin[at] = fromCommand + path
			tree = made
		case map[string]any:
			tree = next
		case []map[string]any:
			n := element(next, parts[i+1])
			if n < 0 || i+2 >= len(parts) {
				return &Problem{File: "--set", Key: path, Text: fmt.Sprintf(
					"there are %d of %s; write %s.1.%s for the first", len(next), part, part, parts[len(parts)-1])}
			}
			s.origin[fmt.Sprintf("%s[%d].%s", at, n, strings.Join(parts[i+2:], "."))] = fromCommand + path
			next[n][parts[i+2]] = parsed.V
			return nil
		default:
			return &Problem{File: "--set", Key: path, Text: part + " is no table"}
		}
	}
	return nil
}

// element returns which of several tables is meant, by number from 1 or by
// name; -1 if none is.
func element(tables []map[string]any, which string) int {
	if n, err := strconv.Atoi(which); err == nil && n >= 1 && n <= len(tables) {
		return n - 1
	}
	return slices.IndexFunc(tables, func(t map[string]any) bool { return t["name"] == which || t["kind"] == which })
}
