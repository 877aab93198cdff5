package meter

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero/api"

	"github.com/writ-run/writ/host/wasm"
	asm "github.com/writ-run/writ/host/wasmtest"
)

// limit is more fuel than any test here uses on purpose.
const limit = 1 << 30

// onBoth runs a test on both engines of wazero.
func onBoth(t *testing.T, test func(t *testing.T, m machine)) {
	t.Run("compiler", func(t *testing.T) { test(t, compiler) })
	t.Run("interpreter", func(t *testing.T) { test(t, interpreter) })
}

func opened(t *testing.T, m machine, module []byte, o Options, limit int64) *subject {
	t.Helper()
	s, err := m.open(t, module, must(t, module, o), limit)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// countdown loops as often as its parameter says.
func countdown() []byte {
	m := asm.New()
	m.Func(asm.Func{Export: "run", Params: "i", Results: "i", Code: asm.Code(
		asm.Repeat(asm.Get(0), asm.I32(1), asm.Op(asm.I32Sub), []byte{0x22, 0}, asm.Op(0x0d, 0)), asm.I32(7),
	)})
	return m.Bytes()
}

func TestFuelIsTheNumberOfInstructions(t *testing.T) {
	onBoth(t, func(t *testing.T, m machine) {
		s := opened(t, m, countdown(), Options{}, limit)
		before := s.used()
		for _, n := range []uint64{1, 2, 1000} {
			if results, fault := s.call("run", n); fault != "" || results[0] != 7 {
				t.Fatal(results, fault)
			}
			used := s.used() - before
			before += used
			if want := int64(n)*5 + 1; used != want {
				t.Errorf("%d rounds: %d used, want %d", n, used, want)
			}
		}
	})
}

func TestFuelStopsWhatDoesNotEnd(t *testing.T) {
	forever := asm.New()
	forever.Func(asm.Func{Export: "run", Code: asm.Repeat(asm.Branch(0))})

	filling := asm.New()
	filling.Memory(1, 1)
	filling.Func(asm.Func{Export: "run", Code: asm.Repeat(asm.I32(0), asm.I32(1), asm.I32(65536), asm.Op(0xfc, 11, 0), asm.Branch(0))})
	growing := asm.New()
	growing.Memory(0, 0)
	growing.Func(asm.Func{Export: "run", Code: asm.Repeat(asm.I32(1), asm.Grow(), asm.Op(asm.Drop), asm.Branch(0))})
	straight := asm.New()
	straight.Func(asm.Func{Export: "run", Code: asm.Code(asm.Repeat(bytes.Repeat(asm.Op(0x01, 0x41, 0, 0x1a), 300_000), asm.Branch(0)))})
	for name, module := range map[string]interface{ Bytes() []byte }{"loop": forever, "fill": filling, "grow": growing, "straight code": straight} {
		onBoth(t, func(t *testing.T, m machine) {
			var used []int64
			for range 2 {
				s := opened(t, m, module.Bytes(), Options{Pages: 100}, 5_000_000)
				if _, fault := s.call("run"); fault != errNoFuel.Error() {
					t.Fatalf("%s: %q", name, fault)
				}
				used = append(used, s.used())
			}
			if used[0] != used[1] || used[0] < 5_000_000 || used[0] > 5_000_000+2*straightLimit {
				t.Errorf("%s: used %v", name, used)
			}
		})
	}
}

func TestMemoryIsVirtual(t *testing.T) {
	module := func(minimum, maximum uint32) []byte {
		m := asm.New()
		m.Memory(minimum, maximum)
		m.Func(asm.Func{Export: "grow", Params: "i", Results: "i", Code: asm.Code(asm.Get(0), asm.Grow())})
		m.Func(asm.Func{Export: "size", Results: "i", Code: []byte{0x3f, 0}})
		return m.Bytes()
	}
	onBoth(t, func(t *testing.T, m machine) {
		for _, c := range []struct{ maximum, pages, most uint32 }{{0, 10, 10}, {5, 10, 5}, {20, 10, 10}} {
			s := opened(t, m, module(2, c.maximum), Options{Pages: c.pages}, limit)
			if s.derived.MinPages != 2 || s.module.Memory().Size() != c.pages<<16 {
				t.Fatalf("%d pages, memory of %d", s.derived.MinPages, s.module.Memory().Size())
			}
			size := uint32(2)
			for _, by := range []uint32{0, 1, c.most, 1<<32 - 1, c.most - 3, 1, 0} {
				want := int32(size)
				if size+by > c.most || by > c.most {
					want = -1
				} else {
					size += by
				}
				before := s.used()
				got, fault := s.call("grow", uint64(by))
				if fault != "" || int32(got[0]) != want {
					t.Fatalf("%+v: growing to %d by %d gave %v %s", c, size, by, got, fault)
				}
				if cost := s.used() - before; want >= 0 && cost < int64(by)*pageFuel {
					t.Fatalf("%d pages for %d", by, cost)
				}
				if got, _ := s.call("size"); uint32(got[0]) != size || uint32(s.module.ExportedGlobal(s.derived.Pages).Get()) != size {
					t.Fatalf("size %v, want %d", got, size)
				}
			}
		}
	})
	if _, err := Rewrite(module(11, 0), Options{Pages: 10}); err == nil || !strings.Contains(err.Error(), "11 pages") {
		t.Error(err)
	}
}

func TestDepthIsBounded(t *testing.T) {
	m := asm.New()
	m.Func(asm.Func{Export: "run", Params: "i", Results: "i", Code: asm.Code(
		asm.Get(0), asm.Op(asm.I32Eqz), asm.If(asm.I32(0), asm.Op(asm.Return)), asm.Get(0), asm.I32(1), asm.Op(asm.I32Sub), asm.Call(0), asm.I32(1), asm.Op(asm.I32Add),
	)})
	s := opened(t, compiler, m.Bytes(), Options{}, limit)
	const deepest = Stack/72 - 1
	for range 3 {
		if got, fault := s.call("run", deepest); fault != "" || got[0] != deepest {
			t.Fatal(got, fault)
		}
		if left := s.module.ExportedGlobal(s.derived.Depth).Get(); left != Stack {
			t.Fatalf("%d left of %d", left, Stack)
		}
	}
	if _, fault := s.call("run", deepest+1); fault != overflow {
		t.Fatal(fault)
	}
}

func TestGlobalsAreExported(t *testing.T) {
	m := asm.New()
	m.Global(5)
	m.Global(-6)
	m.Memory(1, 0)
	module := m.Bytes()
	d := must(t, module, Options{Pages: 3})
	want := []string{"writ:meter/global/0", "writ:meter/global/1", d.Fuel, d.Depth, d.Pages, d.Refused}
	if !slices.Equal(d.Globals, want) || !d.Resettable {
		t.Fatalf("%+v", d)
	}
	s, err := interpreter.open(t, module, d, limit)
	if err != nil {
		t.Fatal(err)
	}
	for i, value := range []int64{5, -6, 0, Stack, 1, 0} {
		g, ok := s.module.ExportedGlobal(want[i]).(api.MutableGlobal)
		if !ok || (int64(g.Get()) != value && uint32(g.Get()) != uint32(value)) {
			t.Errorf("%s is %v, want %d", want[i], g, value)
		}
	}
}

func TestWhatIsNotResettable(t *testing.T) {
	table := asm.New()
	table.Table(1, 0)
	table.Func(asm.Func{Code: asm.Code(asm.NullFunc(), asm.I32(1), asm.GrowTable(0), asm.Op(asm.Drop))})
	vector := append(slices.Clone(wasm.Header), asm.Section(6, slices.Concat([]byte{1, wasm.V128, 1, 0xfd, 12}, make([]byte, 16), []byte{asm.End}))...)
	for name, module := range map[string][]byte{"table": table.Bytes(), "vector": vector} {
		if d := must(t, module, Options{}); d.Resettable || d.Remains == "" {
			t.Errorf("%s: %+v", name, d)
		}
	}
}
