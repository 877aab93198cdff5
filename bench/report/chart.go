package report

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"math"
)

// Chart is a dot plot of a few panels, each on a logarithmic scale of its own:
// what is compared lies up to a thousandfold apart.
type Chart struct {
	Title  string
	Panels []Panel
}

// Panel is one scale with one mark a line.
type Panel struct {
	Title string // with the unit, and which direction is better
	Marks []Mark
}

// Mark is a median with the lowest and the highest of the rounds. Marks that are
// not positive are drawn as text alone.
type Mark struct {
	Label            string
	Value, Low, High float64
	Ours             bool
}

// Geometry of a chart, in pixels.
const (
	chartWidth = 760
	plotLeft   = 230
	plotRight  = 660
	lineHeight = 26
	panelHead  = 44
	panelFoot  = 30
)

// The style follows the reader's colour scheme, in a page as well as alone.
const chartStyle = `<style>
text{font:13px system-ui,sans-serif;fill:#1f2328}
.title{font-weight:600}.faint{fill:#59636e;font-size:11px}.end{text-anchor:end}.middle{text-anchor:middle}
.grid{stroke:#d1d9e0;stroke-width:1}.range{stroke:#818b98;stroke-width:3;stroke-linecap:round}.dot{fill:#59636e}
.ours .range{stroke:#54aeff}.ours .dot{fill:#0969da}.ours text{font-weight:600}
@media (prefers-color-scheme:dark){
text{fill:#f0f6fc}.faint{fill:#9198a1}.grid{stroke:#3d444d}.range{stroke:#656c76}.dot{fill:#9198a1}
.ours .range{stroke:#1f6feb}.ours .dot{fill:#4493f8}}
</style>
`

// SVG draws the chart. The same chart gives the same bytes.
func (c *Chart) SVG() []byte {
	height := 0
	for i := range c.Panels {
		height += c.Panels[i].height()
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-label="%s">`+"\n",
		chartWidth, height, chartWidth, height, escape(c.Title))
	b.WriteString(chartStyle)
	top := 0
	for i := range c.Panels {
		c.Panels[i].draw(&b, top)
		top += c.Panels[i].height()
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

func (p *Panel) height() int { return panelHead + lineHeight*len(p.Marks) + panelFoot }

func (p *Panel) draw(b *bytes.Buffer, top int) {
	fmt.Fprintf(b, `<text class="title" x="12" y="%d">%s</text>`+"\n", top+24, escape(p.Title))
	low, high := p.decades()
	x := func(v float64) float64 {
		share := (math.Log10(v) - float64(low)) / float64(high-low)
		return plotLeft + share*(plotRight-plotLeft)
	}
	bottom := top + panelHead + lineHeight*len(p.Marks)
	for decade := low; decade <= high; decade++ {
		at := x(math.Pow10(decade))
		fmt.Fprintf(b, `<line class="grid" x1="%.1f" y1="%d" x2="%.1f" y2="%d"/>`, at, top+panelHead-6, at, bottom)
		fmt.Fprintf(b, `<text class="faint middle" x="%.1f" y="%d">%s</text>`+"\n", at, bottom+16, figure(math.Pow10(decade)))
	}
	for i, m := range p.Marks {
		y := top + panelHead + lineHeight*i + lineHeight/2
		class := "other"
		if m.Ours {
			class = "ours"
		}
		fmt.Fprintf(b, `<g class="%s"><text class="end" x="%d" y="%d">%s</text>`, class, plotLeft-14, y+4, escape(m.Label))
		if m.Value > 0 && m.Low > 0 && m.High > 0 {
			fmt.Fprintf(b, `<line class="range" x1="%.1f" y1="%d" x2="%.1f" y2="%d"/>`, x(m.Low), y, x(m.High), y)
			fmt.Fprintf(b, `<circle class="dot" cx="%.1f" cy="%d" r="5"/>`, x(m.Value), y)
		}
		fmt.Fprintf(b, `<text x="%d" y="%d">%s</text></g>`+"\n", plotRight+14, y+4, figure(m.Value))
	}
}

// decades are the powers of ten that hold every mark, at least one apart.
func (p *Panel) decades() (low, high int) {
	least, most := math.Inf(1), math.Inf(-1)
	for _, m := range p.Marks {
		for _, v := range []float64{m.Value, m.Low, m.High} {
			if v > 0 {
				least, most = min(least, v), max(most, v)
			}
		}
	}
	if math.IsInf(least, 1) {
		return 0, 1
	}
	low, high = int(math.Floor(math.Log10(least))), int(math.Ceil(math.Log10(most)))
	return low, max(high, low+1)
}

// figure writes three significant digits, and whole numbers from 100 on.
func figure(v float64) string {
	if v >= 100 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.3g", v)
}

func escape(s string) string {
	var b bytes.Buffer
	_ = xml.EscapeText(&b, []byte(s)) // a bytes.Buffer takes everything
	return b.String()
}
