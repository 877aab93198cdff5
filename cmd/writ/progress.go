package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/registry/remote"
)

// bar is a line that shows how far a transfer is, where a person is looking.
type bar struct {
	w     io.Writer // nil: nobody is
	verb  string
	clock writ.Clock
	drawn time.Time
}

// drawEvery is often enough to look alive and seldom enough to cost nothing.
const drawEvery = 100 * time.Millisecond

const barWidth = 30

// progressBar draws on the standard error of a terminal, and nowhere else.
func (a *app) progressBar(verb string) *bar {
	b := &bar{verb: verb, clock: a.clock}
	if a.watched() {
		b.w = a.err
	}
	return b
}

// watched says whether a person sees what is drawn on standard error.
func (a *app) watched() bool { return a.flags.output == "table" && isTerminal(a.err) }

func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func (b *bar) show(p remote.Progress) {
	if b.w == nil || p.Total <= 0 {
		return
	}
	if now := b.clock(); now.Sub(b.drawn) >= drawEvery || p.Done == p.Total {
		b.drawn = now
		done := max(0, min(p.Done, p.Total))
		filled := int(done * barWidth / p.Total)
		_, _ = fmt.Fprintf(b.w, "\r\x1b[K%s [%s%s] %d%%  %s of %s", b.verb, strings.Repeat("=", filled), strings.Repeat(" ", barWidth-filled),
			done*100/p.Total, byteCount(done), byteCount(p.Total))
	}
}

// end takes the line away: what comes after it says the rest.
func (b *bar) end() {
	if b.w != nil && !b.drawn.IsZero() {
		_, _ = io.WriteString(b.w, "\r\x1b[K")
	}
}

func byteCount(n int64) string {
	switch {
	case n < 1<<10:
		return fmt.Sprintf("%d bytes", n)
	case n < 1<<20:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}
