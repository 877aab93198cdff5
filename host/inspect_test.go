package host

import (
	"bytes"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/host/wasm"
	"github.com/writ-run/writ/host/wasmtest"
)

func TestInspectListsEveryKindOfImport(t *testing.T) {
	m := wasmtest.New()
	m.Import(abi.ModuleCore, "input", "ii", "i")
	m.Import(abi.ModuleTool, "kv.get", "ii", "l")
	m.ImportRaw("env", "t", []byte{1, 0x70, 0, 1})
	m.ImportRaw("env", "m", []byte{2, 1, 1, 2})
	m.ImportRaw("env", "g", []byte{3, 0x7f, 0})
	m.Func(wasmtest.Func{Export: "writ_run", Results: "i", Code: wasmtest.I32(0)})
	m.Func(wasmtest.Func{Results: "i", Code: wasmtest.I32(0)})
	facts, err := NewInspector().Inspect(m.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	want := []writ.ModuleImport{
		{Module: abi.ModuleCore, Name: "input", Kind: "func"},
		{Module: abi.ModuleTool, Name: "kv.get", Kind: "func"},
		{Module: "env", Name: "t", Kind: "table"},
		{Module: "env", Name: "m", Kind: "memory"},
		{Module: "env", Name: "g", Kind: "global"},
	}
	if !slices.Equal(facts.Imports, want) || !slices.Equal(facts.Exports, []string{"writ_run"}) {
		t.Fatalf("facts %+v", facts)
	}
}

// concat frames sections behind the header.
func concat(sections ...[]byte) []byte {
	return append(slices.Clone(wasm.Header), slices.Concat(sections...)...)
}

func TestInspectRefuses(t *testing.T) {
	section := wasmtest.Section
	emptyImports := section(2, []byte{0})
	for name, c := range map[string]struct {
		module []byte
		code   writ.Code
	}{
		"nothing":                {nil, writ.CodeInvalid},
		"text":                   {[]byte("(module)"), writ.CodeInvalid},
		"a component":            {[]byte("\x00asm\x0d\x00\x01\x00"), writ.CodeInvalid},
		"too large":              {make([]byte, wasm.MaxModuleBytes+1), writ.CodeTooLarge},
		"cut section":            {concat([]byte{1, 5, 0}), writ.CodeInvalid},
		"second imports":         {concat(emptyImports, emptyImports), writ.CodeInvalid},
		"imports after memory":   {concat(section(5, []byte{0}), emptyImports), writ.CodeInvalid},
		"unknown section":        {concat(section(13, nil)), writ.CodeInvalid},
		"trailing section bytes": {concat(section(2, []byte{0, 0})), writ.CodeInvalid},
		"count that lies":        {concat(section(1, []byte{0xff, 0xff, 0xff, 0xff, 0x0f})), writ.CodeInvalid},
		"number over 32 bits":    {concat(section(1, []byte{0xff, 0xff, 0xff, 0xff, 0x1f})), writ.CodeInvalid},
		"six-byte number":        {concat(section(1, []byte{0x80, 0x80, 0x80, 0x80, 0x80, 0})), writ.CodeInvalid},
		"parameters that lie":    {concat(section(1, []byte{1, 0x60, 0xff, 0xff, 3})), writ.CodeInvalid},
		"name not UTF-8":         {concat(section(2, []byte{1, 1, 0xff, 0, 0, 0})), writ.CodeInvalid},
		"import of a tag":        {concat(section(2, []byte{1, 0, 0, 4, 0, 0})), writ.CodeInvalid},
		"shared memory":          {concat(section(5, []byte{1, 3, 1, 1})), writ.CodeInvalid},
		"maximum below minimum":  {concat(section(5, []byte{1, 1, 2, 1})), writ.CodeInvalid},
		"code without functions": {concat(section(10, []byte{1, 2, 0, 0x0b})), writ.CodeInvalid},
		"functions without code": {concat(section(1, []byte{1, 0x60, 0, 0}), section(3, []byte{1, 0})), writ.CodeInvalid},
		"two equal exports":      {concat(section(7, []byte{2, 1, 'a', 0, 0, 1, 'a', 0, 1})), writ.CodeInvalid},
		"table over the bound":   {wasmtest.New().Table(wasm.MaxTableEntries+1, 0).Bytes(), writ.CodeInvalid},
		"two tables over it":     {wasmtest.New().Table(wasm.MaxTableEntries, 0).Table(1, 0).Bytes(), writ.CodeInvalid},
		"locals over the bound":  {localsOf(wasm.MaxLocals + 1), writ.CodeInvalid},
		"locals of four billion": {localsOf(1<<32 - 1), writ.CodeInvalid},
		"compile bomb":           {bomb(2000, 1000), writ.CodeInvalid},
		"bomb without locals":    {bomb(2, 12_000), writ.CodeInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			facts, err := NewInspector().Inspect(c.module)
			if writ.CodeOf(err) != c.code || facts != nil {
				t.Fatalf("got %v, %v, want code %s", facts, err, c.code)
			}
		})
	}
}

func TestInspectTakesWhatIsAtTheBounds(t *testing.T) {
	for name, module := range map[string][]byte{
		"empty":  concat(),
		"table":  wasmtest.New().Table(wasm.MaxTableEntries, 0).Bytes(),
		"locals": localsOf(wasm.MaxLocals),
		"echo":   wasmtest.Echo(),
		"custom": append(concat(wasmtest.Section(0, []byte{1, 'x', 9})), wasmtest.Section(0, []byte{0})...),
	} {
		if _, err := NewInspector().Inspect(module); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func localsOf(n uint32) []byte {
	body := slices.Concat([]byte{1}, wasmtest.U32(n), []byte{0x7f, 0x0b})
	return concat(
		wasmtest.Section(1, []byte{1, 0x60, 0, 0}), wasmtest.Section(3, []byte{1, 0}),
		wasmtest.Section(10, slices.Concat([]byte{1}, wasmtest.U32(uint32(len(body))), body)),
	)
}

// bomb is a function whose compilation takes locals times ifs.
func bomb(locals, ifs int) []byte {
	m := wasmtest.New()
	one := wasmtest.Code(wasmtest.Get(0), wasmtest.If(wasmtest.Get(1), wasmtest.Set(0)))
	m.Func(wasmtest.Func{Export: "writ_run", Results: "i", Locals: string(bytes.Repeat([]byte("i"), locals)), Code: append(bytes.Repeat(one, ifs), wasmtest.I32(0)...)})
	return m.Bytes()
}

func TestInspectOfAnyCutOrFlippedModule(t *testing.T) {
	g := wasmtest.NewGuest(1, 2)
	tool := g.Tool(abi.ToolKVGet)
	g.Global(7)
	g.Table(3, 5)
	whole := g.Run(g.CallTool(tool), wasmtest.I32(0), wasmtest.Op(wasmtest.Drop)).Data(8, []byte("x")).Bytes()
	rapid.Check(t, func(t *rapid.T) {
		module := slices.Clone(whole[:rapid.IntRange(0, len(whole)).Draw(t, "length")])
		for range rapid.IntRange(0, 3).Draw(t, "flips") {
			if len(module) > 0 {
				module[rapid.IntRange(0, len(module)-1).Draw(t, "at")] ^= rapid.Byte().Draw(t, "by")
			}
		}
		facts, err := NewInspector().Inspect(module)
		if (facts == nil) == (err == nil) {
			t.Fatalf("facts %v, error %v", facts, err)
		}
		if err != nil && writ.CodeOf(err) != writ.CodeInvalid {
			t.Fatalf("error %v", err)
		}
	})
}

func FuzzInspect(f *testing.F) {
	f.Add(wasmtest.Echo())
	f.Add(wasmtest.ToolCaller(abi.ToolKVGet))
	f.Add(wasmtest.New().Table(1, 2).Bytes())
	f.Add(concat(wasmtest.Section(9, []byte{1, 7, 0x70, 1, 0xd0, 0x70, 0x0b})))
	f.Fuzz(func(t *testing.T, module []byte) {
		facts, err := NewInspector().Inspect(module)
		if (facts == nil) == (err == nil) {
			t.Fatalf("facts %v, error %v", facts, err)
		}
	})
}
