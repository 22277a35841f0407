package geography

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Limits of a file.
const (
	maxPlaces = 4096
	maxRTT    = 10_000.0 // ms
	maxBytes  = 256 << 20
)

// Load reads files of round-trip times, of the same places measured at
// different times. A file holds a square matrix in milliseconds, one row a
// line, separated by tabs, spaces, or commas, and may be compressed with gzip.
// Lines that begin with # are comments. The first line may name the places,
// in quotes; what follows the last comma of a name is its region. What was not
// measured is negative, and is taken from the way back, or else from the best
// detour over a third place. Latency one way is half of the round trip.
func Load(files ...string) (*Map, error) {
	if len(files) == 0 {
		return nil, errors.New("no file of latencies")
	}
	var m *Map
	for _, name := range files {
		one, err := loadFile(name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if m == nil {
			m = one
			continue
		}
		if one.Len() != m.Len() {
			return nil, fmt.Errorf("%s: has %d places, but %s has %d", name, one.Len(), files[0], m.Len())
		}
		m.slices = append(m.slices, one.slices[0])
	}
	return m, nil
}

func loadFile(name string) (*Map, error) {
	f, err := os.Open(name)
	if err != nil {
		var path *os.PathError
		if errors.As(err, &path) {
			err = path.Err // the name stands before it already
		}
		return nil, err
	}
	defer f.Close()
	in := bufio.NewReader(f)
	var from io.Reader = in
	if magic, _ := in.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(in)
		if err != nil {
			return nil, err
		}
		defer z.Close()
		from = z
	}
	m, err := parse(io.LimitReader(from, maxBytes))
	if err != nil {
		return nil, err
	}
	m.Name = strings.TrimSuffix(filepath.Base(name), ".gz")
	return m, nil
}

func parse(in io.Reader) (*Map, error) {
	m := &Map{local: localMicroseconds}
	var rows [][]float64
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	for at := 1; lines.Scan(); at++ {
		line := strings.TrimSpace(lines.Text())
		switch {
		case line == "" || line[0] == '#':
			continue
		case line[0] == '"':
			if err := m.parseNames(line); err != nil {
				return nil, fmt.Errorf("line %d: %w", at, err)
			}
			continue
		}
		row, err := parseRow(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", at, err)
		}
		if len(row) > maxPlaces {
			return nil, fmt.Errorf("line %d: more than %d places", at, maxPlaces)
		}
		if len(rows) > 0 && len(row) != len(rows[0]) {
			return nil, fmt.Errorf("line %d: got %d times, want %d as in the first row", at, len(row), len(rows[0]))
		}
		rows = append(rows, row)
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	n := len(rows)
	switch {
	case n < 2:
		return nil, errors.New("no matrix of round-trip times in it")
	case n != len(rows[0]):
		return nil, fmt.Errorf("got %d rows of %d times, want as many rows as times", n, len(rows[0]))
	case m.places == nil:
		for i := range n {
			m.places = append(m.places, Place{Name: fmt.Sprintf("site %d", i+1)})
		}
	case len(m.places) != n:
		return nil, fmt.Errorf("got %d names for %d rows", len(m.places), n)
	}
	matrix, err := oneWay(rows)
	m.slices = [][]int32{matrix}
	return m, err
}

func parseRow(line string) ([]float64, error) {
	fields := strings.FieldsFunc(line, func(r rune) bool { return r == ',' || r == '\t' || r == ' ' || r == ';' })
	row := make([]float64, len(fields))
	for i, f := range fields {
		v, err := strconv.ParseFloat(f, 64)
		if err != nil || math.IsNaN(v) || v > maxRTT {
			return nil, fmt.Errorf("%q is no round-trip time in milliseconds", f)
		}
		row[i] = v
	}
	return row, nil
}

func (m *Map) parseNames(line string) error {
	names, err := csv.NewReader(strings.NewReader(line)).Read()
	if err != nil {
		return err
	}
	if m.places != nil {
		return errors.New("a second line of names")
	}
	for _, name := range names {
		p := Place{Name: name}
		if i := strings.LastIndex(name, ","); i >= 0 {
			p.Name, p.Region = strings.TrimSpace(name[:i]), strings.TrimSpace(name[i+1:])
		}
		m.places = append(m.places, p)
	}
	return nil
}

// oneWay turns round-trip times in ms into latencies in µs.
func oneWay(rows [][]float64) ([]int32, error) {
	n := len(rows)
	matrix := make([]int32, n*n)
	var holes [][2]int
	for i, row := range rows {
		for j, rtt := range row {
			if rtt < 0 && i != j {
				rtt = rows[j][i]
			}
			if rtt < 0 && i != j {
				holes = append(holes, [2]int{i, j})
			}
			matrix[i*n+j] = int32(math.Round(rtt * 500)) // negative where there is none
		}
	}
	// From what was measured alone, so that the order of filling can't matter.
	filled := make([]int32, len(holes))
	for h, hole := range holes {
		best := int32(math.MaxInt32)
		for via := range n {
			a, b := matrix[hole[0]*n+via], matrix[via*n+hole[1]]
			if a > 0 && b > 0 {
				best = min(best, a+b)
			}
		}
		if best == math.MaxInt32 {
			return nil, fmt.Errorf("nothing was measured from place %d to place %d, directly or over a third", hole[0]+1, hole[1]+1)
		}
		filled[h] = best
	}
	for h, hole := range holes {
		matrix[hole[0]*n+hole[1]] = filled[h]
	}
	return matrix, nil
}
