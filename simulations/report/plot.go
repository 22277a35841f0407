package report

import (
	"fmt"
	"html"
	"math"
	"strconv"
	"strings"
)

// plot is a diagram with two axes that is drawn as SVG.
type plot struct {
	Title, X, Y string // axes with their units
	Read        string // a sentence that says how to read it

	lines []line
	bars  []point
	marks []mark

	minX, maxX, minY, maxY float64
	percent                bool // the vertical axis shows shares
	whole                  bool // the horizontal axis shows whole numbers
	height                 int
}

type point struct{ x, y float64 }

// line is one curve. Curves without a name are not in the legend.
type line struct {
	name   string
	class  string // of the style sheet: a, b, c, thin, dashed
	points []point
}

// mark is a vertical line with a name, a shock for example.
type mark struct {
	x    float64
	name string
}

const (
	plotWidth   = 720
	plotHeight  = 260
	left, right = 64, 16
	top, bottom = 28, 44
)

func newPlot(title, x, y, read string) *plot {
	return &plot{Title: title, X: x, Y: y, Read: read, minX: math.Inf(1), maxX: math.Inf(-1), minY: 0, maxY: math.Inf(-1), height: plotHeight}
}

// line adds a curve. Points that are not numbers interrupt it.
func (p *plot) line(name, class string, points []point) {
	p.lines = append(p.lines, line{name, class, points})
	for _, q := range points {
		p.include(q)
	}
}

func (p *plot) include(q point) {
	if math.IsNaN(q.y) || math.IsNaN(q.x) {
		return
	}
	p.minX, p.maxX = min(p.minX, q.x), max(p.maxX, q.x)
	p.minY, p.maxY = min(p.minY, q.y), max(p.maxY, q.y)
}

// empty reports whether there is nothing to draw.
func (p *plot) empty() bool { return math.IsInf(p.maxX, 0) }

// SVG returns the drawing.
func (p *plot) SVG() string {
	if p.maxX <= p.minX {
		p.minX, p.maxX = p.minX-0.5, p.maxX+0.5
	}
	if p.maxY <= p.minY {
		p.maxY = p.minY + 1
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 %d %d" role="img" aria-label="%s">`, plotWidth, p.height, html.EscapeString(p.Title))
	p.axes(&b)
	for _, m := range p.marks {
		x := p.px(m.x)
		fmt.Fprintf(&b, `<line class="shock" x1="%.1f" x2="%.1f" y1="%d" y2="%d"/><text class="shock" x="%.1f" y="%d">%s</text>`,
			x, x, top, p.height-bottom, x+4, top+10, html.EscapeString(m.name))
	}
	p.drawBars(&b)
	for _, l := range p.lines {
		p.drawLine(&b, l)
	}
	p.legend(&b)
	b.WriteString("</svg>")
	return b.String()
}

func (p *plot) px(x float64) float64 {
	return left + (x-p.minX)/(p.maxX-p.minX)*(plotWidth-left-right)
}

func (p *plot) py(y float64) float64 {
	return float64(p.height-bottom) - (y-p.minY)/(p.maxY-p.minY)*float64(p.height-top-bottom)
}

func (p *plot) axes(b *strings.Builder) {
	for _, y := range ticks(p.minY, p.maxY, 5) {
		text := tick(y)
		if p.percent {
			text = percent(y)
		}
		fmt.Fprintf(b, `<line class="grid" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/><text class="y" x="%d" y="%.1f">%s</text>`,
			left, plotWidth-right, p.py(y), p.py(y), left-8, p.py(y)+4, text)
	}
	for _, x := range ticks(p.minX, p.maxX, 9) {
		if p.whole && x != math.Trunc(x) {
			continue
		}
		fmt.Fprintf(b, `<line class="tick" x1="%.1f" x2="%.1f" y1="%d" y2="%d"/><text class="x" x="%.1f" y="%d">%s</text>`,
			p.px(x), p.px(x), p.height-bottom, p.height-bottom+5, p.px(x), p.height-bottom+18, tick(x))
	}
	fmt.Fprintf(b, `<line class="axis" x1="%d" x2="%d" y1="%d" y2="%d"/>`, left, plotWidth-right, p.height-bottom, p.height-bottom)
	fmt.Fprintf(b, `<text class="name" x="%d" y="%d">%s</text>`, plotWidth-right, p.height-6, html.EscapeString(p.X))
	fmt.Fprintf(b, `<text class="yname" x="%d" y="%d">%s</text>`, 4, 14, html.EscapeString(p.Y))
}

func (p *plot) drawBars(b *strings.Builder) {
	for _, q := range p.bars {
		x0, x1 := p.px(q.x-0.4), p.px(q.x+0.4)
		fmt.Fprintf(b, `<rect class="bar" x="%.1f" y="%.1f" width="%.1f" height="%.1f"/>`,
			x0, p.py(q.y), x1-x0, float64(p.height-bottom)-p.py(q.y))
	}
}

func (p *plot) drawLine(b *strings.Builder, l line) {
	var d strings.Builder
	pen := "M"
	alone := true
	for _, q := range l.points {
		if math.IsNaN(q.y) {
			pen = "M"
			continue
		}
		fmt.Fprintf(&d, "%s%.1f %.1f", pen, p.px(q.x), p.py(q.y))
		alone = alone && pen == "M"
		pen = "L"
	}
	if d.Len() > 0 && !alone {
		fmt.Fprintf(b, `<path class="line %s" d="%s"/>`, l.class, d.String())
	}
}

func (p *plot) legend(b *strings.Builder) {
	x := float64(plotWidth - right)
	for i := len(p.lines) - 1; i >= 0; i-- {
		l := p.lines[i]
		if l.name == "" {
			continue
		}
		x -= 6.4*float64(len(l.name)) + 34
		fmt.Fprintf(b, `<path class="line %s" d="M%.1f 10L%.1f 10"/><text class="legend" x="%.1f" y="14">%s</text>`,
			l.class, x, x+18, x+23, html.EscapeString(l.name))
	}
}

// tick writes the number of a tick, which is round but for the last bits.
func tick(v float64) string {
	if v == math.Trunc(v) {
		return Number(v)
	}
	return strconv.FormatFloat(v, 'g', 6, 64)
}

// ticks returns round numbers from low to high, about n of them.
func ticks(low, high float64, n int) []float64 {
	step := math.Pow(10, math.Floor(math.Log10((high-low)/float64(n))))
	for _, f := range [...]float64{1, 2, 5, 10} {
		if (high-low)/(step*f) <= float64(n) {
			step *= f
			break
		}
	}
	var all []float64
	for i := math.Ceil(low/step-1e-9) + 0; i*step <= high+step*1e-9; i++ {
		all = append(all, i*step+0) // not -0
	}
	return all
}

// strips draws distributions one below the other: a bar from the 5th to the
// 95th percentile, a tick at the median, and a limit if there is one.
type strip struct {
	name                   string
	p5, p50, p95, p99, cap float64
}

func strips(title string, all []strip, unit string) string {
	const rowHeight, nameWidth = 34, 130
	most := 0.0
	for _, s := range all {
		most = max(most, s.p99)
		if s.cap > 0 && s.cap < 4*s.p99 {
			most = max(most, s.cap)
		}
	}
	if most == 0 {
		most = 1
	}
	height := rowHeight*len(all) + bottom
	px := func(v float64) float64 { return nameWidth + v/most*(plotWidth-nameWidth-right) }
	var b strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 %d %d" role="img" aria-label="%s">`, plotWidth, height, html.EscapeString(title))
	for _, x := range ticks(0, most, 7) {
		fmt.Fprintf(&b, `<line class="grid" x1="%.1f" x2="%.1f" y1="0" y2="%d"/><text class="x" x="%.1f" y="%d">%s</text>`,
			px(x), px(x), height-bottom, px(x), height-bottom+16, prefixed(x, ""))
	}
	fmt.Fprintf(&b, `<text class="name" x="%d" y="%d">%s</text>`, plotWidth-right, height-6, html.EscapeString(unit))
	for i, s := range all {
		y := float64(i*rowHeight) + 8
		fmt.Fprintf(&b, `<text class="row" x="%d" y="%.1f">%s</text>`, nameWidth-10, y+13, html.EscapeString(s.name))
		fmt.Fprintf(&b, `<rect class="bar" x="%.1f" y="%.1f" width="%.1f" height="18"/>`, px(s.p5), y, max(px(s.p95)-px(s.p5), 1))
		fmt.Fprintf(&b, `<line class="median" x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"/>`, px(s.p50), px(s.p50), y-2, y+20)
		fmt.Fprintf(&b, `<line class="whisker" x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"/>`, px(s.p95), px(s.p99), y+9, y+9)
		if s.cap > 0 && s.cap <= most {
			fmt.Fprintf(&b, `<line class="cap" x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"/>`, px(s.cap), px(s.cap), y-4, y+22)
		}
	}
	b.WriteString("</svg>")
	return b.String()
}
