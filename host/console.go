package host

import (
	"bytes"
	"strings"

	"github.com/writ-run/writ"
)

// maxLine is where a line without an end is cut.
const maxLine = 4 << 10

// console cuts what a guest prints into lines.
type console struct {
	stdout, stderr []byte // begun lines
	printed        int
	execution      writ.ExecutionID
	step           writ.StepID
	tell           func(GuestLine) // nil: nobody listens
}

// print adds to a stream; text is a view of guest memory and is copied.
func (g *guest) print(stream string, text []byte) {
	if g.console.printed >= MaxGuestOutput {
		return
	}
	text = text[:min(len(text), MaxGuestOutput-g.console.printed)]
	g.console.printed += len(text)
	pending := &g.console.stdout
	if stream == "stderr" {
		pending = &g.console.stderr
	}
	*pending = append(*pending, text...)
	for {
		line, rest, ended := bytes.Cut(*pending, []byte("\n"))
		if !ended && len(line) < maxLine {
			return
		}
		if len(line) > maxLine {
			line, rest = (*pending)[:maxLine], (*pending)[maxLine:]
		}
		g.tell(GuestLine{Stream: stream, Text: string(line)})
		*pending = rest
		if len(rest) == 0 {
			*pending = nil
			return
		}
	}
}

// log passes on a message of an Extism plug-in.
func (g *guest) log(level string, message []byte) {
	if g.console.printed >= MaxGuestOutput {
		return
	}
	message = message[:min(len(message), MaxGuestOutput-g.console.printed, maxLine)]
	g.console.printed += len(message)
	g.tell(GuestLine{Stream: "log", Level: level, Text: string(message)})
}

// flush ends lines that were begun.
func (g *guest) flush() {
	for _, line := range []GuestLine{
		{Stream: "stdout", Text: string(g.console.stdout)}, {Stream: "stderr", Text: string(g.console.stderr)},
	} {
		if line.Text != "" {
			g.tell(line)
		}
	}
	g.console.stdout, g.console.stderr = nil, nil
}

func (g *guest) tell(line GuestLine) {
	if g.console.tell == nil {
		return
	}
	line.Execution, line.Step = g.console.execution, g.console.step
	line.Text = strings.ToValidUTF8(line.Text, "\uFFFD")
	g.console.tell(line)
}
