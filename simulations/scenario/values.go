package scenario

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Kinds of values. Each is written in a file as its String gives it.
type (
	Duration time.Duration
	Rate     int64   // bits per second
	Size     int64   // bytes
	Ratio    float64 // 0 to 1
	Float    float64
)

// value is what the decoder asks of a kind of values.
type value interface {
	set(v any) error
	number() float64 // to compare with bounds
	String() string
}

// String returns the duration as Go writes it.
func (d Duration) String() string   { return time.Duration(d).String() }
func (d *Duration) number() float64 { return float64(*d) }

func (d *Duration) set(v any) error {
	text, ok := v.(string)
	if !ok {
		return fmt.Errorf(`want a time with its unit, such as "20ms" or "1.5s"`)
	}
	got, err := time.ParseDuration(text)
	if err != nil {
		return fmt.Errorf(`%q is no time; write it with its unit, such as "20ms", "1.5s", or "5m"`, text)
	}
	*d = Duration(got)
	return nil
}

// String returns the rate with its unit.
func (r Rate) String() string {
	return units(int64(r), 1000, "bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s")
}
func (r *Rate) number() float64 { return float64(*r) }

func (r *Rate) set(v any) error {
	got, err := quantity(v, "rate", `"1.5Mbit/s"`, map[string]float64{
		"bit/s": 1, "kbit/s": 1e3, "mbit/s": 1e6, "gbit/s": 1e9, "tbit/s": 1e12,
		"bit": 1, "kbit": 1e3, "mbit": 1e6, "gbit": 1e9, "bps": 1, "kbps": 1e3, "mbps": 1e6, "gbps": 1e9,
	})
	*r = Rate(got)
	return err
}

// String returns the size with its unit.
func (s Size) String() string   { return units(int64(s), 1000, "B", "kB", "MB", "GB") }
func (s *Size) number() float64 { return float64(*s) }

func (s *Size) set(v any) error {
	got, err := quantity(v, "size", `"64kB"`, map[string]float64{
		"b": 1, "kb": 1e3, "mb": 1e6, "gb": 1e9, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30,
	})
	*s = Size(got)
	return err
}

// String returns the ratio as a number.
func (r Ratio) String() string   { return strconv.FormatFloat(float64(r), 'g', -1, 64) }
func (r *Ratio) number() float64 { return float64(*r) }

func (r *Ratio) set(v any) error {
	f, err := float(v)
	if text, ok := v.(string); ok {
		number, percent := strings.CutSuffix(strings.TrimSpace(text), "%")
		if f, err = strconv.ParseFloat(strings.TrimSpace(number), 64); percent {
			f /= 100
		}
	}
	switch {
	case err != nil:
		return fmt.Errorf(`want a share from 0 to 1, such as 0.25 or "25%%"`)
	case f > 1 && f <= 100:
		return fmt.Errorf("%v is no share from 0 to 1; for %v percent write %v", f, f, f/100)
	case !(f >= 0 && f <= 1):
		return fmt.Errorf("%v is no share from 0 to 1", f)
	}
	*r = Ratio(f)
	return nil
}

// String returns the number.
func (f Float) String() string   { return strconv.FormatFloat(float64(f), 'g', -1, 64) }
func (f *Float) number() float64 { return float64(*f) }

func (f *Float) set(v any) error {
	got, err := float(v)
	if text, ok := v.(string); ok { // of --set
		got, err = strconv.ParseFloat(text, 64)
	}
	if err != nil {
		return fmt.Errorf("want a number")
	}
	*f = Float(got)
	return nil
}

func float(v any) (float64, error) {
	switch v := v.(type) {
	case int64:
		return float64(v), nil
	case float64:
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			return v, nil
		}
	}
	return 0, strconv.ErrSyntax
}

// quantity reads a whole number of the smallest unit, or a text with a unit.
func quantity(v any, what, example string, unit map[string]float64) (int64, error) {
	if n, ok := v.(int64); ok {
		if n < 0 {
			return 0, fmt.Errorf("a %s can't be negative", what)
		}
		return n, nil
	}
	text, ok := v.(string)
	if !ok {
		return 0, fmt.Errorf("want a %s with its unit, such as %s", what, example)
	}
	text = strings.ToLower(strings.ReplaceAll(text, " ", ""))
	end := strings.IndexFunc(text, func(r rune) bool { return r != '.' && (r < '0' || r > '9') })
	if end < 0 {
		end = len(text)
	}
	n, err := strconv.ParseFloat(text[:end], 64)
	by, known := unit[text[end:]]
	if text[end:] == "" {
		by, known = 1, true
	}
	if err != nil || !known || n*by > math.MaxInt64/2 {
		return 0, fmt.Errorf("%q is no %s; write it with its unit, such as %s", v, what, example)
	}
	return int64(math.Round(n * by)), nil
}

// units writes a number with the largest unit that leaves it short.
func units(n int64, step float64, names ...string) string {
	v, i := float64(n), 0
	for v >= step && i+1 < len(names) {
		v, i = v/step, i+1
	}
	return strconv.FormatFloat(v, 'g', 6, 64) + names[i]
}
