package report

import (
	"fmt"
	"io"
	"math"
	"slices"
	"text/tabwriter"

	"rtmfp/simulations/figure"
)

// Change is how one figure differs between two documents.
type Change struct {
	Name string
	A, B figure.Summary
	Part float64 // of A: 0.1 is ten percent more; infinite if A was 0

	// Sure says that the 95 % intervals do not overlap, so that chance is an
	// unlikely cause.
	Sure bool

	// Worse says that the change is for the worse and past the threshold.
	Worse bool
}

// Compare returns the change of every figure that both documents have. A change
// is worse if it goes in the wrong direction by more than threshold, a part of
// the value, and is sure. Figures that depend on the machine never are.
func Compare(a, b *Document, threshold float64) []Change {
	var all []Change
	for _, name := range a.Names() {
		fa := a.Figures[name]
		fb, both := b.Figures[name]
		if !both {
			continue
		}
		c := Change{Name: name, A: fa, B: fb, Part: part(fa.Mean, fb.Mean)}
		c.Sure = math.Abs(fa.Mean-fb.Mean) > fa.CI95+fb.CI95
		f, known := figure.Find(name)
		if known && !f.Machine {
			c.Worse = c.Sure && wrongWay(f, fa.Mean, fb.Mean) > threshold*math.Abs(fa.Mean)
		}
		all = append(all, c)
	}
	return all
}

// wrongWay returns by how much a figure got worse, negative if it got better.
// A recovery that does not come about is worse than any that does.
func wrongWay(f figure.Figure, a, b float64) float64 {
	if f.Never && (a < 0) != (b < 0) {
		if b < 0 {
			return math.Inf(1)
		}
		return math.Inf(-1)
	}
	switch f.Better {
	case figure.Less:
		return b - a
	case figure.More:
		return a - b
	}
	return math.Inf(-1)
}

func part(a, b float64) float64 {
	switch {
	case a == b:
		return 0
	case a == 0:
		return math.Inf(1)
	}
	return (b - a) / math.Abs(a)
}

// Missing returns the names of figures that only one document has.
func Missing(a, b *Document) (onlyA, onlyB []string) {
	for _, name := range a.Names() {
		if _, ok := b.Figures[name]; !ok {
			onlyA = append(onlyA, name)
		}
	}
	for _, name := range b.Names() {
		if _, ok := a.Figures[name]; !ok {
			onlyB = append(onlyB, name)
		}
	}
	return onlyA, onlyB
}

// WriteChanges writes changes as a table.
func WriteChanges(w io.Writer, changes []Change) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "figure\tA\t± 95 %\tB\t± 95 %\tchange\t\t")
	for _, c := range changes {
		verdict := ""
		f, _ := figure.Find(c.Name)
		switch {
		case c.Worse:
			verdict = "WORSE"
		case !c.Sure || c.Part == 0:
		case f.Better != figure.Neither && wrongWay(f, c.A.Mean, c.B.Mean) < 0:
			verdict = "better"
		default:
			verdict = "differs"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", c.Name,
			Text(c.Name, c.A.Mean), Text(c.Name, c.A.CI95), Text(c.Name, c.B.Mean), Text(c.Name, c.B.CI95), changeText(c.Part), verdict)
	}
	return t.Flush()
}

func changeText(part float64) string {
	if math.IsInf(part, 0) {
		return "from 0"
	}
	return fmt.Sprintf("%+.1f %%", 100*part)
}

// Worse returns the changes that are for the worse.
func Worse(changes []Change) []Change {
	return slices.DeleteFunc(slices.Clone(changes), func(c Change) bool { return !c.Worse })
}

// WriteFigures writes all figures of a document as a table, by group.
func WriteFigures(w io.Writer, d *Document) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	group := ""
	for _, name := range d.Names() {
		if f, _ := figure.Find(name); f.Group != group {
			group = f.Group
			fmt.Fprintf(t, "%s\tmean\t± 95 %%\tmin\tmax\t\n", group)
		}
		s := d.Figures[name]
		fmt.Fprintf(t, "  %s\t%s\t%s\t%s\t%s\t\n", name, Text(name, s.Mean), Text(name, s.CI95), Text(name, s.Min), Text(name, s.Max))
	}
	return t.Flush()
}
