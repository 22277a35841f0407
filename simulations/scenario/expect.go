package scenario

import (
	"fmt"
	"strconv"
	"strings"

	"rtmfp/simulations/figure"
)

// Expectation is a bound of a figure's mean over all seeds.
type Expectation struct {
	Figure string
	Least  bool // the figure is to be at least Bound, otherwise at most
	Bound  float64
}

// String writes the expectation as in a file.
func (e Expectation) String() string {
	op := "<="
	if e.Least {
		op = ">="
	}
	return e.Figure + " " + op + " " + strconv.FormatFloat(e.Bound, 'g', -1, 64)
}

// Holds reports whether a mean satisfies the expectation.
func (e Expectation) Holds(mean float64) bool {
	if e.Least {
		return mean >= e.Bound
	}
	return mean <= e.Bound
}

// expectations decodes the table expect: figure = ">= 0.999".
func (d *decoder) expectations(s *Scenario) {
	v, given := d.source.tree["expect"]
	tree, ok := d.tree("expect", v, given)
	if !ok {
		return
	}
	var flat func(path string, tree map[string]any)
	flat = func(path string, tree map[string]any) {
		for _, name := range sortedKeys(tree) {
			at := join(path, name)
			if below, ok := tree[name].(map[string]any); ok {
				flat(at, below) // recovery_s.die is a table to TOML
				continue
			}
			d.expectation(s, strings.TrimPrefix(at, "expect."), at, tree[name])
		}
	}
	flat("expect", tree)
}

func (d *decoder) expectation(s *Scenario, name, path string, v any) {
	base, of, _ := strings.Cut(name, ".")
	if _, ok := figure.Find(name); !ok {
		var names []string
		for _, f := range figure.All {
			if f.Name == base && f.PerName {
				d.complain(path, "is a figure of a class or a shock: write %s.NAME", base)
				return
			}
			names = append(names, f.Name)
		}
		if near := Nearest(base, names); near != "" {
			d.complain(path, "no figure has that name; did you mean %s?", near)
			return
		}
		d.complain(path, "no figure has that name; docs/reports.md lists them")
		return
	}
	if of != "" {
		known := []string{ClassAll, ClassPublisher}
		for i := range s.Classes {
			known = append(known, s.Classes[i].Name)
		}
		known = append(known, s.ShockNames()...)
		found := false
		for _, k := range known {
			found = found || k == of
		}
		if !found {
			d.complain(path, "no class or shock is named %s%s", of, meant(of, known))
			return
		}
	}
	text, _ := v.(string)
	text = strings.TrimSpace(text)
	e := Expectation{Figure: name}
	number := ""
	switch {
	case strings.HasPrefix(text, ">="):
		e.Least, number = true, text[2:]
	case strings.HasPrefix(text, "<="):
		number = text[2:]
	default:
		d.complain(path, `want a bound, such as ">= 0.999" or "<= 150"`)
		return
	}
	bound, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil {
		d.complain(path, "%q is no number", strings.TrimSpace(number))
		return
	}
	e.Bound = bound
	s.Expect = append(s.Expect, e)
}

// ShockNames returns the names under which figures of the shocks are given:
// their kinds, and a number from the second one of a kind on.
func (s *Scenario) ShockNames() []string {
	seen := map[string]int{}
	var names []string
	for i := range s.Shocks {
		kind := s.Shocks[i].Kind
		if seen[kind]++; seen[kind] > 1 {
			names = append(names, fmt.Sprintf("%s-%d", kind, seen[kind]))
		} else {
			names = append(names, kind)
		}
	}
	return names
}
