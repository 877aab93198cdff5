package meter

import (
	"testing"

	asm "github.com/writ-run/writ/host/wasmtest"

	"github.com/writ-run/writ/abi"
)

// fibonacci recurses without a loop.
func fibonacci() []byte {
	m := asm.New()
	m.Func(asm.Func{Export: "run", Params: "i", Results: "i", Code: asm.Code(
		asm.Get(0), asm.I32(2), asm.Op(asm.I32LtS), asm.If(asm.Get(0), asm.Op(asm.Return)),
		asm.Get(0), asm.I32(1), asm.Op(asm.I32Sub), asm.Call(0),
		asm.Get(0), asm.I32(2), asm.Op(asm.I32Sub), asm.Call(0), asm.Op(asm.I32Add),
	)})
	return m.Bytes()
}

// floats adds up a series, four numbers a round.
func floats() []byte {
	m := asm.New()
	step := asm.Code(asm.Get(1), asm.Get(1), asm.Op(0xa2), asm.Get(1), asm.Op(0xa0), asm.Set(1))
	m.Func(asm.Func{Export: "run", Params: "i", Locals: "d", Code: asm.Repeat(
		step, step, step, step, asm.Get(0), asm.I32(1), asm.Op(asm.I32Sub), []byte{0x22, 0}, []byte{0x0d, 0},
	)})
	return m.Bytes()
}

// BenchmarkOverhead runs each module as it is and derived.
func BenchmarkOverhead(b *testing.B) {
	all, err := goSkills()
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		module []byte
		entry  string
		params []uint64
	}{
		{"loop 1M", countdown(), "run", []uint64{1_000_000}},
		{"fib 27", fibonacci(), "run", []uint64{27}},
		{"floats 1M", floats(), "run", []uint64{1_000_000}},
		{"go json 1 KiB", all["skills/json"], abi.EntryRun, nil},
	} {
		derived := must(b, c.module, Options{Pages: skillPages})
		for name, d := range map[string]*Module{"plain": nil, "metered": derived} {
			b.Run(c.name+"/"+name, func(b *testing.B) {
				s, err := compiler.open(b, c.module, d, 1<<60)
				if err != nil {
					b.Fatal(err)
				}
				defer s.close()
				s.input = []byte(query)
				if s.module.ExportedFunction(abi.EntryInitialize) != nil {
					if _, fault := s.call(abi.EntryInitialize); fault != "" {
						b.Fatal(fault)
					}
				}
				f := s.module.ExportedFunction(c.entry)
				for b.Loop() {
					if _, err := f.Call(background, c.params...); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkRewrite derives a stock Go skill.
func BenchmarkRewrite(b *testing.B) {
	all, err := goSkills()
	if err != nil {
		b.Fatal(err)
	}
	module := all["skills/json"]
	b.SetBytes(int64(len(module)))
	for b.Loop() {
		must(b, module, Options{Pages: skillPages})
	}
}

// BenchmarkCompile is what the derived module costs the compiler.
func BenchmarkCompile(b *testing.B) {
	all, err := goSkills()
	if err != nil {
		b.Fatal(err)
	}
	module := all["skills/json"]
	for name, d := range map[string]*Module{"plain": nil, "metered": must(b, module, Options{Pages: skillPages})} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				s, err := compiler.open(b, module, d, 1<<60)
				if err != nil {
					b.Fatal(err)
				}
				s.close()
			}
		})
	}
}
