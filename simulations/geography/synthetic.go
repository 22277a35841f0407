package geography

import (
	_ "embed"
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"

	"github.com/cespare/xxhash/v2"
)

// How cities are apart. Light goes 200 km in a millisecond in glass. Cables
// are longer than the great circle, and routes longer than cables: between the
// 144 cities that WonderNetwork's pings of 2018 share with ours, half of the
// one-way times are more than 2.1 times what light would need, and a tenth
// more than 3.3 times. So each pair of cities has a factor of its own. That
// also makes a detour over a third city the faster way for many pairs, as it
// is on the Internet.
const (
	metersPerMicrosecond = 200
	leastDetour          = 98   // in 64ths: 1.5
	detourRange          = 48   // up to 2.3
	routersMicroseconds  = 2000 // one way, at both ends together
	localMicroseconds    = 400  // within a city
	earthRadius          = 6_371_000.0
)

//go:embed cities.csv
var citiesCSV string

// Synthetic returns the world that comes with the package: some 260 cities in
// six regions, with as many nodes in each as people live there.
var Synthetic = sync.OnceValue(func() *Map { return Changing(1) })

// Changing returns the same world with several slices: from one to the next all
// pairs of cities get other factors.
func Changing(slices int) *Map {
	cities := cities()
	m := &Map{Name: "synthetic", local: localMicroseconds, places: cities}
	for slice := range slices {
		matrix := make([]int32, len(cities)*len(cities))
		for i := range cities {
			for j := range cities[:i] {
				meters := int64(math.Round(distance(&cities[i], &cities[j])))
				us := routersMicroseconds + meters*detour(slice, &cities[i], &cities[j])/(64*metersPerMicrosecond)
				matrix[i*len(cities)+j] = int32(us)
				matrix[j*len(cities)+i] = int32(us)
			}
		}
		m.slices = append(m.slices, matrix)
	}
	return m
}

func cities() []Place {
	var all []Place
	for line := range strings.Lines(citiesCSV) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Split(strings.TrimSpace(line), ",")
		lat, err1 := strconv.ParseFloat(f[2], 64)
		lon, err2 := strconv.ParseFloat(f[3], 64)
		people, err3 := strconv.Atoi(f[4])
		if err1 != nil || err2 != nil || err3 != nil {
			panic(fmt.Sprintf("BUG: cities.csv: %q", line))
		}
		all = append(all, Place{Name: f[0], Region: f[1], Weight: people, Latitude: lat, Longitude: lon})
	}
	return all
}

// distance returns the length of the great circle between two cities in meters.
func distance(a, b *Place) float64 {
	const degree = math.Pi / 180
	lat := math.Sin((a.Latitude - b.Latitude) * degree / 2)
	lon := math.Sin((a.Longitude - b.Longitude) * degree / 2)
	h := float64(lat*lat) + float64(math.Cos(a.Latitude*degree)*math.Cos(b.Latitude*degree))*float64(lon*lon)
	return 2 * earthRadius * math.Asin(math.Sqrt(h))
}

// detour returns by how much the way between two cities is longer than the
// great circle, in 64ths, in a slice.
func detour(slice int, a, b *Place) int64 {
	first, second := xxhash.Sum64String(a.Name), xxhash.Sum64String(b.Name)
	var pair [24]byte
	binary.LittleEndian.PutUint64(pair[:], min(first, second))
	binary.LittleEndian.PutUint64(pair[8:], max(first, second))
	binary.LittleEndian.PutUint64(pair[16:], uint64(slice))
	named := pair[:]
	if slice == 0 {
		named = pair[:16]
	}
	return leastDetour + int64(xxhash.Sum64(named)%(detourRange+1))
}
