package main

import (
	"fmt"
	"strconv"
	"strings"

	"rtmfp/simulations/report"
)

// simulateCompareCmd compares two results.
type simulateCompareCmd struct {
	A         string  `arg:"" help:"Result of a simulation, from --json."`
	B         string  `arg:"" help:"The one to hold against it."`
	Threshold percent `default:"5%" help:"By how much a figure may get worse. Default: 5%." placeholder:"PART"`
	All       bool    `help:"Print all figures. Default: those that changed for sure."`
}

// Help describes the command with examples.
func (*simulateCompareCmd) Help() string {
	return `
Prints how each figure changed from A to B, and ends with exit code 1 if one got worse by more than the threshold and its confidence intervals do not overlap. Figures that depend on the machine, such as events per second, never count as worse.

Examples:

    rtmfp-node simulate compare before.json after.json
    rtmfp-node simulate compare before.json after.json --threshold 2% --all
`
}

// Run prints the changes.
func (c *simulateCompareCmd) Run(e *env) error {
	a, err := report.Read(c.A)
	if err != nil {
		return failf(exitInput, "%w", err)
	}
	b, err := report.Read(c.B)
	if err != nil {
		return failf(exitInput, "%w", err)
	}
	if a.Scenario != b.Scenario || strings.Join(a.Settings, " ") != strings.Join(b.Settings, " ") {
		fmt.Fprintf(e.stdout, "A is %s, B is %s: not the same scenario.\n", describeDoc(a), describeDoc(b))
	}
	changes := report.Compare(a, b, float64(c.Threshold))
	shown := changes
	if !c.All {
		shown = nil
		for _, ch := range changes {
			if ch.Sure {
				shown = append(shown, ch)
			}
		}
	}
	same := sameTraces(a, b)
	switch {
	case len(shown) > 0:
		if err := report.WriteChanges(e.stdout, shown); err != nil {
			return err
		}
	case same:
		fmt.Fprintln(e.stdout, "All seeds ran exactly alike.")
	default:
		fmt.Fprintf(e.stdout, "None of %d figures changed by more than chance would.\n", len(changes))
	}
	if onlyA, onlyB := report.Missing(a, b); len(onlyA)+len(onlyB) > 0 {
		fmt.Fprintf(e.stdout, "Only in A: %s. Only in B: %s.\n", orNone(onlyA), orNone(onlyB))
	}
	if worse := report.Worse(changes); len(worse) > 0 {
		var names []string
		for _, w := range worse {
			names = append(names, w.Name)
		}
		return failf(exitFailure, "worse by more than %v: %s", c.Threshold, strings.Join(names, ", "))
	}
	return nil
}

func describeDoc(d *report.Document) string {
	return strings.Join(append([]string{d.Scenario}, d.Settings...), " ")
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// sameTraces reports whether all runs did the same to the bit.
func sameTraces(a, b *report.Document) bool {
	if len(a.Runs) != len(b.Runs) {
		return false
	}
	for i := range a.Runs {
		if a.Runs[i].Seed != b.Runs[i].Seed || a.Runs[i].Trace != b.Runs[i].Trace {
			return false
		}
	}
	return true
}

// percent is a part on the command line: 5% or 0.05.
type percent float64

// UnmarshalText reads a part.
func (p *percent) UnmarshalText(text []byte) error {
	number, cent := strings.CutSuffix(string(text), "%")
	v, err := strconv.ParseFloat(number, 64)
	if err != nil || !(v >= 0) {
		return fmt.Errorf("%q is no part: write 5%% or 0.05", text)
	}
	if cent {
		v /= 100
	}
	*p = percent(v)
	return nil
}

// String writes the part as percent.
func (p percent) String() string { return strconv.FormatFloat(100*float64(p), 'g', 6, 64) + "%" }
