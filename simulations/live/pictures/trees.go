package main

import (
	"fmt"
	"strings"
	"time"

	"rtmfp/simulations/geography"
	"rtmfp/simulations/live"
)

// panel is a tree at one instant.
type panel struct {
	at    time.Duration // since the stream began
	tree  []live.Branch
	ratio float64 // mean delay / direct, of all slices, in a second that was over a second before
}

const (
	mapWidth            = 720.0
	mapHeight           = 330.0
	northmost, southern = 66.0, -46.0 // degrees of latitude that are drawn
)

const mapStyle = `svg{background:#fff}text{font:13px system-ui,-apple-system,"Segoe UI",Roboto,Arial,sans-serif;fill:#1c2430}` +
	`line{stroke-width:1;stroke-opacity:.75}circle{fill:#1c2430}.p{fill:#c0332b}` +
	`.d1{stroke:#c0332b;stroke-width:1.8}.d2{stroke:#d9822b}.d3{stroke:#1f6feb}.d4{stroke:#1a7f4b}.d5{stroke:#8a63b8}`

// trees draws panels one below the other: where members are, and who feeds
// whom, in colors by how far from the publisher.
func trees(panels []panel) string {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" viewBox="0 0 %.0f %.0f" role="img" aria-label="The tree of a slice"><style>%s</style>`,
		mapWidth, mapWidth, mapHeight*float64(len(panels)), mapStyle)
	for i, p := range panels {
		fmt.Fprintf(&b, `<g transform="translate(0 %.0f)">`, mapHeight*float64(i))
		p.draw(&b)
		b.WriteString("</g>")
	}
	b.WriteString("</svg>\n")
	return b.String()
}

func (p *panel) draw(b *strings.Builder) {
	drawn := map[[2]float64]bool{}
	most, sum := 0, 0
	for _, br := range p.tree {
		x1, y1 := at(br.From.Latitude, br.From.Longitude)
		x2, y2 := at(br.To.Latitude, br.To.Longitude)
		fmt.Fprintf(b, `<line class="d%d" x1="%.0f" y1="%.0f" x2="%.0f" y2="%.0f"/>`, min(br.Depth, 5), x1, y1, x2, y2)
		most, sum = max(most, br.Depth), sum+br.Depth
	}
	for _, br := range p.tree {
		for _, place := range []geography.Place{br.From, br.To} {
			if x, y := at(place.Latitude, place.Longitude); !drawn[[2]float64{x, y}] {
				fmt.Fprintf(b, `<circle cx="%.0f" cy="%.0f" r="1.8"/>`, x, y)
				drawn[[2]float64{x, y}] = true
			}
		}
	}
	for _, br := range p.tree {
		if br.Depth == 1 {
			x, y := at(br.From.Latitude, br.From.Longitude)
			fmt.Fprintf(b, `<circle class="p" cx="%.0f" cy="%.0f" r="4"/>`, x, y)
			break
		}
	}
	for i, name := range []string{"first hop", "second", "third", "fourth", "later"} {
		fmt.Fprintf(b, `<line class="d%d" x1="8" x2="28" y1="%d" y2="%d"/><text x="34" y="%d">%s</text>`, i+1, 216+i*18, 216+i*18, 220+i*18, name)
	}
	fmt.Fprintf(b, `<text x="12" y="%.0f">after %.0f s: %.1f hops in the mean, %d at most; all slices: %.2f of the direct delay</text>`,
		mapHeight-12, p.at.Seconds(), float64(sum)/float64(max(len(p.tree), 1)), most, p.ratio)
}

// at is where a place is on the map, with parallels and meridians as straight
// lines.
func at(latitude, longitude float64) (x, y float64) {
	return (longitude + 180) / 360 * mapWidth, (northmost - latitude) / (northmost - southern) * (mapHeight - 30)
}
