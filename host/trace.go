package host

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/ianlancetaylor/demangle"

	"github.com/writ-run/writ/host/wasm"
)

// StreamTrace is the GuestLine that says in which of its functions a guest failed, the
// outermost first: "greet > parse_name > panic". The names are of the module's name
// section, so they are the guest's own words. It is for authors and logs: no journal
// has it and no guest sees it, since an engine may unwind otherwise than another.
const StreamTrace = "trace"

const (
	// maxFunction is where a function's name is cut; the longest of usual programs,
	// those of Rust's generics, have some 60 letters up to what matters.
	maxFunction = 80
	// maxMangled is the longest name that is worth the time to read it as one of C++ or
	// Rust, and what may come of it.
	maxMangled   = 1 << mangledPower
	mangledPower = 9
	// maxFrames of a trace that a guest tells itself; the engine gives as many.
	maxFrames = 30
)

// frame is a line of the engine's stack trace. Functions have no names there: what is
// compiled has no name section, so none of them is the guest's text.
var frame = regexp.MustCompile(`(?m)^\t[^\s(]*\.\$([0-9]+)\(`)

// tellTrace says where the guest was when it was ended, as far as the engine knows.
func (g *guest) tellTrace(fromEngine error, known *facts) {
	if g.console.tell == nil {
		return
	}
	defer func() { _ = recover() }() // names are the guest's: they decide nothing
	if g.told != "" {
		g.tell(GuestLine{Stream: StreamTrace, Text: g.told})
		return
	}
	if fromEngine == nil {
		return
	}
	var stack []uint32 // innermost first
	for _, found := range frame.FindAllStringSubmatch(fromEngine.Error(), -1) {
		index, err := strconv.ParseUint(found[1], 10, 32)
		if original, ok := known.original(uint32(index)); err == nil && ok {
			stack = append(stack, original)
		}
	}
	slices.Reverse(stack)
	if text := traceOf(g.run.Module, stack); text != "" {
		g.tell(GuestLine{Stream: StreamTrace, Text: text})
	}
}

// original is the index in the signed module of a function of the derived one: package
// meter puts its import behind the module's own, and its functions at the end.
func (f *facts) original(index uint32) (uint32, bool) {
	if f.metered {
		if index <= f.imported {
			return 0, false
		}
		index--
	}
	return index, index >= f.imported && index < f.functions
}

// entryFrame is the name of a function with which the SDKs enter an action: what comes
// before it is the same in every trace.
var entryFrame = regexp.MustCompile(`(^|::|/)writ(_|::|/)(run(_|$)|action::)`)

// rustCall begins the names of what Rust calls a function through, rustPanic of what a
// panic goes through, in which the author's code no longer is.
const (
	rustCall  = "core::ops::function::"
	rustPanic = "core::panicking::"
)

// rustHash is what Rust adds to every name.
var rustHash = regexp.MustCompile(`::h[0-9a-f]{16}$`)

// traceOf names the functions of a stack, the outermost first. Repeated ones are counted.
func traceOf(module []byte, stack []uint32) string {
	wanted := map[uint32]bool{}
	for _, index := range stack {
		wanted[index] = true
	}
	names := wasm.FunctionNames(module, wanted)
	var shown []string
	for i := 0; i < len(stack); {
		n := 1
		for i+n < len(stack) && stack[i+n] == stack[i] {
			n++
		}
		name := plainName(names[stack[i]])
		if name == "" {
			name = "$" + strconv.FormatUint(uint64(stack[i]), 10)
		}
		if n > 1 {
			name += " (" + strconv.Itoa(n) + " times)"
		}
		switch {
		case strings.HasPrefix(name, rustPanic):
			return strings.Join(append(shown, "panic"), " > ")
		case entryFrame.MatchString(name):
			shown = nil
		case !strings.HasPrefix(name, rustCall):
			shown = append(shown, name)
		}
		i += n
	}
	return strings.Join(shown, " > ")
}

// plainName is a name as its author wrote it, without what could pass for something
// else in a terminal.
func plainName(name string) string {
	if len(name) <= maxMangled {
		name = demangle.Filter(name, demangle.NoParams, demangle.MaxLength(mangledPower))
	}
	name = rustHash.ReplaceAllString(name, "")
	letters := []rune(name)
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) && r != '>' {
			return r
		}
		return -1
	}, string(letters[:min(len(letters), maxFunction)]))
}

// plainTrace is what a guest tells itself, with the bounds of what the engine knows.
func plainTrace(names []string) string {
	names = names[:min(len(names), maxFrames)]
	shown := make([]string, len(names))
	for i, name := range names {
		shown[i] = plainName(name)
	}
	return strings.Join(shown, " > ")
}
