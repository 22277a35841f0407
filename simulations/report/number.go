package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"rtmfp/simulations/figure"
)

// Number writes a number with four digits that count.
func Number(v float64) string {
	if v == math.Trunc(v) && math.Abs(v) < 1e6 {
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	digits := 4
	if a := math.Abs(v); a >= 1 && a < 1e6 {
		digits = max(3-int(math.Log10(a)), 0)
		return strconv.FormatFloat(v, 'f', digits, 64)
	}
	return strconv.FormatFloat(v, 'g', digits, 64)
}

// Text writes a value of a figure with its unit, large ones with a prefix.
func Text(name string, v float64) string {
	unit := figure.Unit(name)
	switch unit {
	case "bit/s", "B/s", "B", "/s":
		return prefixed(v, unit)
	case "":
		if strings.HasSuffix(strings.SplitN(name, ".", 2)[0], "_ratio") && isShare(name) {
			return percent(v)
		}
		return Number(v)
	}
	return Number(v) + " " + unit
}

// isShare reports whether a ratio is a part of a whole, which people read as
// percent.
func isShare(name string) bool {
	base, _, _ := strings.Cut(name, ".")
	switch base {
	case "stretch_mean_ratio", "stretch_p99_ratio", "fragment_stretch_mean_ratio", "fragment_stretch_p99_ratio", "publisher_copies_ratio", "publisher_wire_copies_ratio", "real_time_ratio":
		return false
	}
	return true
}

// percent writes a share with as many digits as tell it from none and all.
func percent(v float64) string {
	p := 100 * v
	digits := 2
	for off := math.Min(math.Abs(p), math.Abs(100-p)); off > 0 && off < 0.1 && digits < 5; off *= 10 {
		digits++
	}
	text := strconv.FormatFloat(p, 'f', digits, 64)
	if strings.Contains(text, ".") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	return text + " %"
}

func prefixed(v float64, unit string) string {
	for _, p := range [...]struct {
		by   float64
		name string
	}{{1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if math.Abs(v) >= p.by {
			return fmt.Sprintf("%s %s%s", Number(v/p.by), p.name, unit)
		}
	}
	return Number(v) + " " + unit
}
