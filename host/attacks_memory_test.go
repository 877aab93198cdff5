package host

import (
	"strings"
	"testing"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/host/wasm"
	. "github.com/writ-run/writ/host/wasmtest"
)

func TestMemoryIsBounded(t *testing.T) {
	grow := func(pages int32) []byte {
		return guestWith(func(g *Guest) [][]byte {
			return [][]byte{I32(pages), Grow(), I32(-1), Op(0x46), If(Op(Unreachable)), g.Say(`"grown"`)}
		})
	}
	bomb := guestWith(func(g *Guest) [][]byte {
		return [][]byte{Repeat(I32(1), Grow(), I32(-1), Op(0x47), Op(0x0d, 0)), Op(Unreachable)}
	})
	const outOf = "! memory_limit: the guest needed more memory than the step's limit"
	onEach(t, func(t *testing.T, s writ.Sandbox) {
		limited := func(module []byte, limit abi.Bytes, want string) {
			t.Helper()
			run := runOf(t, module, `{}`)
			run.Limits.Memory = limit
			wants(t, s, run, want)
		}
		limited(grow(9), 10*pageBytes, `"grown"`)
		limited(grow(10), 10*pageBytes, outOf)
		limited(bomb, 0, outOf)
		limited(bomb, MaxMemory, outOf)
		big := NewGuest(16, 0)
		starts := big.Run(big.Say(`"big"`)).Bytes()
		limited(starts, 16*pageBytes, `"big"`)
		limited(starts, 16*pageBytes-1, outOf)
		limited(NewGuest(65536, 65536).Run(I32(0)).Bytes(), 0, outOf)
		limited(NewGuest(65536, 65536).Run(I32(0)).Bytes(), MaxMemory, outOf)
	})
}

func TestTablesAreBounded(t *testing.T) {
	grows := func(entries int32) []byte {
		g := NewGuest(1, 1)
		g.Table(1, 0)
		return g.Run(NullFunc(), I32(entries), GrowTable(0), I32(-1), Op(0x46), If(Op(Unreachable)), g.Say(`"grown"`)).Bytes()
	}
	huge := NewGuest(1, 1)
	huge.Table(100_000_000, 0)
	onEach(t, func(t *testing.T, s writ.Sandbox) {
		wants(t, s, runOf(t, grows(wasm.MaxTableEntries-1), `{}`), `"grown"`)
		wants(t, s, runOf(t, grows(wasm.MaxTableEntries), `{}`), "! trap: the guest trapped: unreachable")
		got := outcomeOf(t, s, runOf(t, huge.Run(I32(0)).Bytes(), `{}`))
		if !strings.HasPrefix(got, "! module_invalid: ") {
			t.Fatal(got)
		}
	})
}

func TestOutputIsBounded(t *testing.T) {
	outputs := func(size int32) []byte {
		g := NewGuest(200, 200)
		// A JSON string of the size: quotes around what is filled with spaces.
		fill := Code(I32(1), I32(' '), I32(size-2), Op(0xfc, 11, 0), I32(0), I32('"'), Op(0x3a, 0, 0), I32(size-1), I32('"'), Op(0x3a, 0, 0))
		return g.Run(fill, I32(0), I32(size), Call(g.Output), I32(0)).Bytes()
	}
	const limited = "! output_limit: the output is larger than the step's limit"
	onEach(t, func(t *testing.T, s writ.Sandbox) {
		if got := outcomeOf(t, s, runOf(t, outputs(int32(DefaultOutput)), `{}`)); len(got) != int(DefaultOutput) {
			t.Fatalf("at the limit: %d bytes, %.80s", len(got), got)
		}
		wants(t, s, runOf(t, outputs(int32(DefaultOutput)+1), `{}`), limited)
		run := runOf(t, outputs(100), `{}`)
		run.Limits.Output = 99
		wants(t, s, run, limited)
	})
}

// Memory that a module only declares costs nothing until it is refused.
func TestAttackMemoryOfFourGigabytes(t *testing.T) {
	underAttack(t, func(t *testing.T, a *attack) {
		a.run(t, NewGuest(65536, 0).Run(I32(0)).Bytes(), outOfMemoryLine)
	})
}

const outOfMemoryLine = "! memory_limit: the guest needed more memory than the step's limit"

func TestAttackGrowthPageByPage(t *testing.T) {
	underAttack(t, func(t *testing.T, a *attack) {
		a.limits.Memory = MaxMemory
		a.run(t, guestWith(func(*Guest) [][]byte {
			return [][]byte{Repeat(I32(1), Grow(), I32(-1), Op(0x47), Op(0x0d, 0)), Op(Unreachable)}
		}), outOfMemoryLine)
	})
}

func TestAttackTableOfAHundredMillion(t *testing.T) {
	g := NewGuest(1, 1)
	g.Table(100_000_000, 0)
	module := g.Run(I32(0)).Bytes()
	underAttack(t, func(t *testing.T, a *attack) {
		a.begins(t, module, "! module_invalid: byte ")
	})
}

func TestAttackTableGrowth(t *testing.T) {
	g := NewGuest(1, 1)
	g.Table(1, 0)
	module := g.Run(Repeat(NullFunc(), I32(1000), GrowTable(0), I32(-1), Op(0x47), Op(0x0d, 0)), Op(Unreachable)).Bytes()
	underAttack(t, func(t *testing.T, a *attack) {
		a.run(t, module, "! trap: the guest trapped: unreachable")
	})
}

func TestAttackHugeOutput(t *testing.T) {
	const pages = 15_000 // 940 MiB
	g := NewGuest(pages, pages)
	module := g.Run(I32(0), I32(pages<<16), Call(g.Output), I32(0)).Bytes()
	underAttack(t, func(t *testing.T, a *attack) {
		a.limits.Memory, a.limits.Output = MaxMemory, MaxOutput
		a.run(t, module, "! output_limit: "+tooMuchOutput)
	})
}

// A plug-in's blocks are memory of the host's own.
func TestAttackBlocks(t *testing.T) {
	for name, size := range map[string]int64{"large": 1 << 20, "tiny": 1} {
		m := New()
		alloc := m.Import(abi.ModuleExtism, "alloc", "l", "l")
		m.Func(Func{Export: "run", Results: "i", Code: Code(Repeat(I64(size), Call(alloc), Op(0x50), Op(I32Eqz), Op(0x0d, 0)), Op(Unreachable))})
		t.Run(name, func(t *testing.T) {
			underAttack(t, func(t *testing.T, a *attack) {
				a.limits.Memory = 4 << 20
				a.plugin, a.limits.Time = "run", MaxTime // go-sdk takes seconds for a million small blocks
				a.run(t, m.Bytes(), outOfMemoryLine)
			})
		})
	}
}
