package meter

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/writ-run/writ/host/wasm"
	asm "github.com/writ-run/writ/host/wasmtest"
)

// generator writes functions that are valid and end. Locals: 0 to 3 are the
// parameters of the types i, l, f and d; 4 to 7 are of the same types; 8 and up
// count the rounds of loops, one for each loop.
type generator struct {
	t     *rapid.T
	raw   bool // bits of floating-point numbers may be looked at
	left  int  // instructions, more or less
	loops int
	depth int // labels around
	index int // of this function
}

const (
	generatedLoops = 6
	generatedTypes = "ilfd"
	countedFrom    = 8
)

func (g *generator) draw(n int) int { return rapid.IntRange(0, n-1).Draw(g.t, "n") }

// value is code that pushes a value of the type.
func (g *generator) value(kind byte) []byte {
	g.left--
	if g.left <= 0 || g.draw(4) == 0 {
		return g.leaf(kind)
	}
	binary := func(ops ...byte) []byte {
		return asm.Code(g.value(kind), g.value(kind), asm.Op(ops[g.draw(len(ops))]))
	}
	switch choice := g.draw(6); {
	case kind == 'i' && choice == 0: // comparisons
		of := generatedTypes[g.draw(4)]
		op := map[byte]byte{'i': 0x48, 'l': 0x53, 'f': 0x5d, 'd': 0x63}[of]
		return asm.Code(g.value(of), g.value(of), asm.Op(op))
	case kind == 'i' && choice == 1:
		return asm.Code(g.value('i'), asm.I32(0xfff0), asm.Op(0x71), []byte{0x28, 2, 0})
	case kind == 'i' && choice == 2:
		return asm.Code(g.value('i'), asm.I32(3), asm.Op(0x71), asm.Grow())
	case kind == 'i' && choice == 3:
		if g.raw {
			return asm.Code(g.value('f'), asm.Op(0xbc))
		}
		return asm.Code(g.value('d'), []byte{0xfc, 2}) // saturating
	case kind == 'i':
		return binary(0x6a, 0x6b, 0x6c, 0x71, 0x73, 0x74, 0x6d)
	case kind == 'l' && choice == 0 && g.index > 0:
		return asm.Code(g.arguments(), asm.Call(uint32(g.draw(g.index))))
	case kind == 'l' && choice == 1 && g.raw:
		return asm.Code(g.value('d'), asm.Op(0xbd))
	case kind == 'l' && choice == 2:
		return asm.Code(g.value('i'), asm.Op(0xad))
	case kind == 'l':
		return binary(0x7c, 0x7d, 0x7e, 0x83, 0x85, 0x7f)
	case kind == 'f' && choice == 0:
		return asm.Code(g.value('d'), asm.Op(0xb6))
	case kind == 'f' && choice == 1:
		return asm.Code(g.value('f'), asm.Op([]byte{0x8b, 0x8c, 0x8d, 0x8f, 0x91}[g.draw(5)]))
	case kind == 'f' && g.raw: // with copysign, which shows the sign of a NaN
		return binary(0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98)
	case kind == 'f':
		return binary(0x92, 0x93, 0x94, 0x95, 0x96, 0x97)
	case choice == 0:
		return asm.Code(g.value('f'), asm.Op(0xbb))
	case choice == 1:
		return asm.Code(g.value('d'), asm.Op([]byte{0x99, 0x9a, 0x9b, 0x9e, 0x9f}[g.draw(5)]))
	}
	if g.raw {
		return binary(0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6)
	}
	return binary(0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5)
}

func (g *generator) leaf(kind byte) []byte {
	at := bytes.IndexByte([]byte(generatedTypes), kind)
	if choice := g.draw(4); choice < 3 {
		return asm.Get(uint32(at + 4*(choice%2)))
	}
	small := int64(g.draw(7) - 3)
	switch kind {
	case 'i':
		return asm.I32(int32(small))
	case 'l':
		return asm.I64(small)
	case 'f':
		return asm.Code(asm.I32(int32(small)), asm.Op(0xb2))
	}
	return asm.Code(asm.I64(small), asm.Op(0xb9))
}

func (g *generator) arguments() []byte {
	return asm.Code(g.value('i'), g.value('l'), g.value('f'), g.value('d'))
}

// statements is code that leaves the stack as it was.
func (g *generator) statements() []byte {
	var out []byte
	for range 1 + g.draw(4) {
		out = append(out, g.statement()...)
	}
	return out
}

func (g *generator) statement() []byte {
	g.left--
	if g.left <= 0 {
		return nil
	}
	switch g.draw(11) {
	case 0:
		return g.within(func() []byte { return asm.If(g.statements()) }, g.value('i'))
	case 1:
		return g.within(func() []byte {
			then := g.statements()
			return asm.Code([]byte{0x04, 0x40}, then, asm.Op(asm.Else), g.statements(), asm.Op(asm.End))
		}, g.value('i'))
	case 2:
		return g.within(func() []byte { return asm.Code([]byte{0x02, 0x40}, g.statements(), asm.Op(asm.End)) })
	case 3:
		return g.loop()
	case 4: // only outwards: what goes on then ends
		if g.depth > 0 {
			return asm.Code(g.value('i'), []byte{0x0d}, asm.U32(uint32(g.draw(g.depth))))
		}
	case 5:
		return asm.Code(g.value('i'), asm.I32(0xfff0), asm.Op(0x71), g.value('i'), asm.Store())
	case 6:
		return asm.Code(g.value('l'), asm.SetGlobal(0))
	case 7:
		return asm.Code(g.value('i'), asm.I32(0x7fff), asm.Op(0x71), g.value('i'), asm.I32(64), []byte{0xfc, 11, 0})
	case 8:
		return g.table()
	case 9:
		if g.draw(4) == 0 {
			return asm.Code(g.value('i'), asm.If(g.value('l'), asm.Op(asm.Return)))
		}
	}
	kind := g.draw(4)
	return asm.Code(g.value(generatedTypes[kind]), asm.Set(uint32(kind+4)))
}

// within nests code one label deeper.
func (g *generator) within(code func() []byte, before ...[]byte) []byte {
	g.depth++
	inner := code()
	g.depth--
	return asm.Code(append(before, inner)...)
}

// loop goes round a few times: whatever continues it counts down first.
func (g *generator) loop() []byte {
	if g.loops == generatedLoops {
		return nil
	}
	counter := uint32(countedFrom + g.loops)
	g.loops++
	outer := g.depth
	g.depth = 1 // the block; a branch further out would be no fault, but is left out
	body := g.statements()
	g.depth = outer
	return asm.Code(asm.I32(int32(1+g.draw(5))), asm.Set(counter), asm.Repeat(
		[]byte{0x02, 0x40}, body, asm.Op(asm.End),
		asm.Get(counter), asm.I32(1), asm.Op(asm.I32Sub), []byte{0x22}, asm.U32(counter), []byte{0x0d, 0},
	))
}

// table is a br_table over three blocks.
func (g *generator) table() []byte {
	block := []byte{0x02, 0x40}
	choice := asm.Code(g.value('i'), []byte{0x0e, 2, 0, 1, 2})
	g.depth += 2
	first := g.statements()
	g.depth--
	second := g.statements()
	g.depth--
	return asm.Code(block, block, block, choice, asm.Op(asm.End), first, asm.Op(asm.End), second, asm.Op(asm.End))
}

// generated is a module of some functions; the last is exported as run.
func generated(t *rapid.T, raw bool) []byte {
	m := asm.New()
	m.Memory(1, 4)
	m.Global(3)
	functions := rapid.IntRange(1, 4).Draw(t, "functions")
	for i := range functions {
		g := &generator{t: t, raw: raw, left: 120, index: i}
		f := asm.Func{Params: generatedTypes, Results: "l", Locals: generatedTypes + "iiiiii", Code: asm.Code(g.statements(), g.value('l'))}
		if i == functions-1 {
			f.Export = "run"
		}
		m.Func(f)
	}
	return m.Bytes()
}

// state is what a run leaves behind: its result, the global and the memory.
func state(s *subject, results []uint64) string {
	memory, _ := s.module.Memory().Read(0, 1<<16)
	global := uint64(0)
	if s.derived != nil {
		global = s.module.ExportedGlobal(s.derived.Globals[0]).Get()
	}
	return fmt.Sprintf("%x %x %x", results, global, sha256.Sum256(memory))
}

func TestGeneratedModulesDoTheSame(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		raw := rapid.Bool().Draw(rt, "raw")
		module := generated(rt, raw)
		params := []uint64{
			uint64(rapid.Uint32().Draw(rt, "i")), rapid.Uint64().Draw(rt, "l"),
			uint64(rapid.Uint32().Draw(rt, "f")), rapid.Uint64().Draw(rt, "d"),
		}
		derived := must(t, module, Options{Pages: 4})
		var states, faults []string
		var fuel []int64
		for _, m := range []machine{compiler, interpreter, compiler} {
			s, err := m.open(t, module, derived, limit)
			if err != nil {
				rt.Fatal(err)
			}
			results, fault := s.call("run", params...)
			states, faults, fuel = append(states, state(s, results)), append(faults, fault), append(fuel, s.used())
			s.close()
		}
		if states[0] != states[1] || faults[0] != faults[1] || fuel[0] != fuel[1] || states[0] != states[2] || fuel[0] != fuel[2] {
			rt.Fatalf("%q %q %v", states, faults, fuel)
		}
		if raw {
			return // what is not metered makes other NaNs
		}
		plain, err := compiler.open(t, module, nil, 0)
		if err != nil {
			rt.Fatal(err)
		}
		defer plain.close()
		results, fault := plain.call("run", params...)
		if fault != faults[0] {
			rt.Fatalf("fault %q, derived %q", fault, faults[0])
		}
		if got, want := state(plain, results), states[0]; fault == "" && withoutGlobal(got) != withoutGlobal(want) {
			rt.Fatalf("%s, derived %s", got, want)
		}
	})
}

// withoutGlobal leaves out what only the derived module exports.
func withoutGlobal(state string) string {
	var results, global, memory string
	if _, err := fmt.Sscanf(state, "[%s %s %s", &results, &global, &memory); err != nil {
		return state
	}
	return results + memory
}

// counting adds a global, exported as count, to which every instruction that has
// a cost adds one before it is executed.
func counting(t testing.TB, module []byte) []byte {
	t.Helper()
	m, err := wasm.Parse(module)
	if err != nil {
		t.Fatal(err)
	}
	count := asm.U32(uint32(len(m.Globals)))
	one := asm.Code([]byte{0x23}, count, asm.I64(1), asm.Op(asm.I64Add), []byte{0x24}, count)
	code := asm.U32(uint32(len(m.Bodies)))
	for _, b := range m.Bodies {
		body := bytes.Clone(module[b.From:b.Code])
		var in wasm.Instruction
		for c := m.Code(b); c.Next(&in); {
			switch in.Op {
			case wasm.OpBlock, wasm.OpLoop, wasm.OpElse, wasm.OpEnd, wasm.OpNop:
			default:
				body = append(body, one...)
			}
			body = append(body, module[in.From:in.To]...)
		}
		code = asm.Code(code, asm.U32(uint32(len(body))), body)
	}
	out := bytes.Clone(wasm.Header)
	for _, s := range m.Sections {
		content := module[s.From:s.To]
		items := module[s.Items:s.To]
		switch s.ID {
		case wasm.SectionGlobal:
			content = asm.Code(asm.U32(uint32(len(m.Globals)+1)), items, []byte{wasm.I64, 1}, asm.I64(0), asm.Op(asm.End))
		case wasm.SectionExport:
			content = asm.Code(asm.U32(uint32(len(m.Exports)+1)), items, []byte("\x05count\x03"), count)
		case wasm.SectionCode:
			content = code
		}
		out = append(out, asm.Section(s.ID, content)...)
	}
	return out
}

func TestFuelIsNeverLessThanWhatRan(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		module := generated(rt, false) // what is not metered makes other NaNs, and may go another way by their bits
		params := []uint64{uint64(rapid.Uint32().Draw(rt, "i")), rapid.Uint64().Draw(rt, "l"), 0, 0}
		s := opened(t, interpreter, module, Options{Pages: 4}, limit)
		defer s.close()
		counted, err := interpreter.open(t, counting(t, module), nil, 0)
		if err != nil {
			rt.Fatal(err)
		}
		defer counted.close()
		_, want := counted.call("run", params...)
		if _, fault := s.call("run", params...); fault != want {
			rt.Fatalf("%q, want %q", fault, want)
		}
		ran, paid := int64(counted.module.ExportedGlobal("count").Get()), s.used()
		if most := ran*(branchLimit+1) + 64*pageFuel + ran*64/bytesPerFuel; paid < ran || paid > most {
			rt.Fatalf("%d instructions ran, %d were paid for", ran, paid)
		}
	})
}
