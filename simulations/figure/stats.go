package figure

import (
	"math"
	"slices"
)

// Summary is one figure over several seeds.
type Summary struct {
	Mean float64   `json:"mean"`
	CI95 float64   `json:"ci95"` // half of the width of the 95 % confidence interval of the mean; 0 with one seed
	Min  float64   `json:"min"`
	Max  float64   `json:"max"`
	N    int       `json:"n"` // seeds that have the figure
	Runs []float64 `json:"runs,omitempty"`
}

// Summarize returns the summary of values, one of each seed.
func Summarize(values []float64) Summary {
	s := Summary{N: len(values), Runs: values}
	if s.N == 0 {
		return s
	}
	s.Min, s.Max = slices.Min(values), slices.Max(values)
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	s.Mean = sum / float64(s.N)
	if s.N > 1 {
		squares := 0.0
		for _, v := range values {
			squares += (v - s.Mean) * (v - s.Mean)
		}
		deviation := math.Sqrt(squares / float64(s.N-1))
		s.CI95 = student95(s.N-1) * deviation / math.Sqrt(float64(s.N))
	}
	return s
}

// studentTable are the 97.5 % quantiles of Student's t for 1 to 30 degrees of
// freedom.
var studentTable = [...]float64{
	12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
	2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
	2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
}

// student95 returns the factor of a 95 % confidence interval.
func student95(freedom int) float64 {
	if freedom <= len(studentTable) {
		return studentTable[freedom-1]
	}
	// The expansion about the normal quantile z in 1/freedom, right to 0.001.
	const z = 1.959964
	return z + (z*z*z+z)/(4*float64(freedom))
}
