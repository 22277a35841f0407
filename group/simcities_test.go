package group

import (
	"bufio"
	"compress/gzip"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"time"
)

// The matrix of round-trip times between 242 cities, in microseconds; random
// points on a plane of the same mean where there is no file, and in all that is not
// a measurement, so that it does not depend on the environment.
var cityTable [][]int32

func cities() [][]int32 {
	if cityTable == nil {
		cityTable = loadCities()
	}
	return cityTable
}

func loadCities() [][]int32 {
	f, err := os.Open(os.Getenv("RTMFP_CITIES"))
	if err != nil || !*large {
		return planeCities()
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		panic(err)
	}
	var table [][]int32
	s := bufio.NewScanner(z)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		if line := s.Text(); !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "\"") {
			var row []int32
			for _, cell := range strings.Split(line, ",") {
				ms, err := strconv.ParseFloat(strings.TrimSpace(cell), 64)
				if err != nil || ms < 0 {
					ms = 300
				}
				row = append(row, int32(ms*1000))
			}
			table = append(table, row)
		}
	}
	for i := range table {
		table[i][i] = 500
	}
	return table
}

func planeCities() [][]int32 {
	rng := rand.New(rand.NewPCG(242, 1))
	type point struct{ x, y float64 }
	points := make([]point, 242)
	for i := range points {
		points[i] = point{rng.Float64(), rng.Float64()}
	}
	table := make([][]int32, len(points))
	for i, a := range points {
		for _, b := range points {
			table[i] = append(table[i], int32(500+300_000*math.Hypot(a.x-b.x, a.y-b.y)))
		}
	}
	return table
}

func cityDelay(a, b *simNode) time.Duration {
	return time.Duration(cities()[a.city][b.city])*time.Microsecond/2 + a.last + b.last
}
