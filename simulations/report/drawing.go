package report

import (
	"fmt"
	"strings"
)

// Curve is a line of a Drawing.
type Curve struct {
	Name   string       // in the legend; "": not there
	Dashed bool         // for bounds
	Points [][2]float64 // a point with a NaN interrupts the line
}

// Drawing is a diagram that stands in a file of its own, as documents need it.
type Drawing struct {
	Title, X, Y string // axes with their units
	Percent     bool   // the vertical axis shows shares
	Curves      []Curve
	Marks       []Mark // vertical lines
}

// Mark is an instant with a name.
type Mark struct {
	X    float64
	Name string
}

// The looks of a page of results, on white ground.
const drawingStyle = `svg{background:#fff}text{font:12px system-ui,-apple-system,"Segoe UI",Roboto,Arial,sans-serif;fill:#5b6675}` +
	`text.y{text-anchor:end}text.x{text-anchor:middle}text.name{text-anchor:end}text.shock{font-size:11px;fill:#c0332b;stroke:none}` +
	`.grid{stroke:#dfe4ea}.axis,.tick{stroke:#5b6675}line.shock{stroke:#c0332b;stroke-dasharray:3 3}` +
	`.line{fill:none;stroke-width:2;stroke-linejoin:round}.a{stroke:#1f6feb}.b{stroke:#d9822b}.c{stroke:#b03a6f}.dashed{stroke-dasharray:6 4}`

// SVG returns the file.
func (d *Drawing) SVG() string {
	p := newPlot(d.Title, d.X, d.Y, "")
	p.percent = d.Percent
	for i, c := range d.Curves {
		class := string(rune('a' + i%3))
		if c.Dashed {
			class += " dashed"
		}
		var points []point
		for _, q := range c.Points {
			points = append(points, point{q[0], q[1]})
		}
		p.line(c.Name, class, points)
	}
	for _, m := range d.Marks {
		p.marks = append(p.marks, mark{m.X, m.Name})
	}
	head := fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" `, plotWidth)
	svg := head + strings.TrimPrefix(p.SVG(), "<svg ")
	return strings.Replace(svg, ">", "><style>"+drawingStyle+"</style>", 1) + "\n"
}
