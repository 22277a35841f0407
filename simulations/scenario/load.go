package scenario

import (
	"embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
)

//go:embed library/*.toml
var library embed.FS

// Entry is a scenario that comes with the program.
type Entry struct {
	Name  string
	Title string
	Sizes []string // beside the one without a name
}

// Library lists the scenarios that come with the program, by name.
func Library() []Entry {
	files, err := library.ReadDir("library")
	if err != nil {
		panic("BUG: scenario: " + err.Error())
	}
	var all []Entry
	for _, f := range files {
		e := Entry{Name: strings.TrimSuffix(f.Name(), ".toml")}
		src, err := parseSource(f.Name(), libraryText(e.Name))
		if err != nil {
			panic("BUG: scenario: " + err.Error())
		}
		e.Title, _ = src.tree["title"].(string)
		e.Sizes, _, _ = src.sizes()
		all = append(all, e)
	}
	return all
}

func libraryText(name string) string {
	text, err := library.ReadFile("library/" + name + ".toml")
	if err != nil {
		panic("BUG: scenario: " + err.Error())
	}
	return string(text)
}

// Text returns a scenario of the library as it is written.
func Text(name string) (string, bool) {
	for _, e := range Library() {
		if e.Name == name {
			return libraryText(name), true
		}
	}
	return "", false
}

// Load reads a scenario: one of the library, "live", one of its sizes,
// "live/small", or a file, "my.toml", "my.toml/small". settings are laid over
// it, each "key=value".
func Load(what string, settings ...string) (*Scenario, error) {
	name, size := what, ""
	if !isFile(what) {
		if cut := strings.LastIndexByte(what, '/'); cut >= 0 {
			name, size = what[:cut], what[cut+1:]
		}
	}
	if strings.HasSuffix(name, ".toml") || isFile(name) {
		text, err := os.ReadFile(name)
		if err != nil {
			var path *os.PathError
			if errors.As(err, &path) {
				err = path.Err
			}
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		return Parse(name, string(text), size, settings...)
	}
	text, ok := Text(name)
	if !ok {
		var names []string
		for _, e := range Library() {
			names = append(names, e.Name)
		}
		return nil, fmt.Errorf("no scenario is named %q%s; a file's name ends with .toml", name, meant(name, names))
	}
	s, err := Parse(name+".toml", text, size, settings...)
	if err == nil {
		s.Name, s.Size = name, size
	}
	return s, err
}

func isFile(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.Mode().IsRegular()
}

// Parse reads a scenario from the text of a file, in one of its sizes, "" for
// the one without a name. Its error is of the type Problems.
func Parse(file, text, size string, settings ...string) (*Scenario, error) {
	src, err := parseSource(file, text)
	if err != nil {
		return nil, err
	}
	d := &decoder{source: src}
	if p := src.choose(size); p != nil {
		return nil, Problems{p}
	}
	for _, setting := range settings {
		if p := src.override(setting); p != nil {
			return nil, Problems{p}
		}
	}
	s := &Scenario{Name: strings.TrimSuffix(filepath.Base(file), ".toml"), Size: size}
	d.table("", src.tree, reflect.ValueOf(s).Elem())
	d.check(s)
	d.expectations(s)
	if err := d.problems.err(); err != nil {
		return nil, err
	}
	_, lastMile := d.given("network.last_mile")
	s.fill(filepath.Dir(file), lastMile)
	if s.Title == "" {
		s.Title = s.Name
	}
	return s, nil
}

// FullName returns the name with the size.
func (s *Scenario) FullName() string {
	if s.Size == "" {
		return s.Name
	}
	return s.Name + "/" + s.Size
}

// HasRegions reports whether one of the shocks names a region that the
// geography must have.
func (s *Scenario) HasRegions() (regions []string) {
	for _, sh := range s.Shocks {
		if sh.Region != "" && !slices.Contains(regions, sh.Region) {
			regions = append(regions, sh.Region)
		}
	}
	return regions
}
