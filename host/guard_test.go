package host

import (
	"bytes"
	"context"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"

	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/host/meter"
	"github.com/writ-run/writ/host/wasm"
	. "github.com/writ-run/writ/host/wasmtest"
)

func TestGuardChangesOnlyWhatItSays(t *testing.T) {
	g := NewGuest(1, 2)
	tool := g.Tool(abi.ToolKVGet)
	g.Table(3, 200_000).Table(1, 5)
	g.Func(Func{Code: Code(I32(1), Op(Drop))}) // a leaf
	module := g.Run(g.CallTool(tool)).Data(8, []byte("x")).Bytes()
	module = append(module, Section(0, []byte{4, 'n', 'a', 'm', 'e'})...)
	before, err := wasm.Parse(module)
	if err != nil {
		t.Fatal(err)
	}
	guarded := guard(before, nil)
	after, err := wasm.Parse(guarded)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.EqualFunc(before.Imports, after.Imports, sameImport) || !slices.Equal(before.Exports, after.Exports) || *before.Memory != *after.Memory {
		t.Fatal("imports, exports or memory changed")
	}
	if after.Tables[0].Max != wasm.MaxTableEntries || after.Tables[1].Max != 5 || after.Tables[0].Min != 3 {
		t.Fatalf("tables %+v", after.Tables)
	}
	if bytes.Contains(guarded, []byte("name")) {
		t.Fatal("a custom section is still there")
	}
	for i, b := range before.Bodies {
		old, now := module[b.Code:b.To], guarded[after.Bodies[i].Code:after.Bodies[i].To]
		if i == 0 && !bytes.Equal(old, now) {
			t.Fatal("a leaf changed")
		}
		if i > 0 && !bytes.Equal(now, append(slices.Clone(emptyLoop), old...)) {
			t.Fatal("a function that calls is not guarded")
		}
	}
	if !bytes.Equal(guarded, guard(before, nil)) {
		t.Fatal("two derivations differ")
	}
}

// sameImport leaves out where it stands.
func sameImport(a, b wasm.Import) bool {
	return a.Module == b.Module && a.Name == b.Name && a.Kind == b.Kind
}

func TestGuardMovesImports(t *testing.T) {
	s, err := wasm.Parse(extismModule(t, "http_headers"))
	if err != nil {
		t.Fatal(err)
	}
	moved, err := wasm.Parse(guard(s, sdkModule))
	if err != nil {
		t.Fatal(err)
	}
	for i, im := range s.Imports {
		want := im
		if im.Module == abi.ModuleExtism && isEnv(im.Name) {
			want.Module = sdkEnv
		}
		if !sameImport(moved.Imports[i], want) {
			t.Errorf("%v became %v", im, moved.Imports[i])
		}
	}
}

// What guard gives of real modules must still be valid to the runtime.
func TestGuardedModulesAreValid(t *testing.T) {
	r := wazero.NewRuntimeWithConfig(context.Background(), wazero.NewRuntimeConfigInterpreter())
	defer r.Close(context.Background())
	modules := [][]byte{Echo(), ToolCaller(abi.ToolLog), Fail("x"), Loop(), bomb(3, 3)}
	for _, name := range []string{"hello", "fail", "input_offset", "http_headers", "log", "var", "count_vowels"} {
		modules = append(modules, extismModule(t, name))
	}
	for i, module := range modules {
		s, err := wasm.Parse(module)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.CompileModule(context.Background(), guard(s, nil)); err != nil {
			t.Errorf("module %d: %v", i, err)
		}
	}
}

// Nothing may come from a module that wazero takes and the outline does not see.
func FuzzOutlineAgreesWithTheRuntime(f *testing.F) {
	f.Add(Echo())
	f.Add(ToolCaller(abi.ToolKVGet))
	f.Add(New().Table(1, 2).Bytes())
	f.Fuzz(func(t *testing.T, module []byte) {
		s, err := wasm.Parse(module)
		if err != nil {
			return
		}
		r := wazero.NewRuntimeWithConfig(context.Background(), wazero.NewRuntimeConfigInterpreter())
		defer r.Close(context.Background())
		compiled, err := r.CompileModule(context.Background(), guard(s, nil))
		if err != nil {
			return
		}
		var functions []string
		for _, im := range s.Imports {
			if im.Kind == wasm.KindFunc {
				functions = append(functions, im.Module+" "+im.Name)
			}
		}
		for i, def := range compiled.ImportedFunctions() {
			module, name, _ := def.Import()
			if i >= len(functions) || functions[i] != module+" "+name {
				t.Fatalf("import %d is %s %s, outline %v", i, module, name, functions)
			}
		}
		for name, def := range compiled.ExportedFunctions() {
			sig, ok := factsOf(s).entries[name]
			if !ok || sig.Params != string(def.ParamTypes()) || sig.Results != string(def.ResultTypes()) {
				t.Fatalf("export %q: outline %v, %v", name, sig, ok)
			}
		}
	})
}

func TestEngineIDNamesWhatGoModPins(t *testing.T) {
	mod, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	for path, version := range map[string]string{"github.com/tetratelabs/wazero": wazeroVersion, "github.com/extism/go-sdk": extismVersion} {
		if !regexp.MustCompile(`(?m)^\s*` + regexp.QuoteMeta(path) + " " + regexp.QuoteMeta(version) + "$").Match(mod) {
			t.Errorf("go.mod does not pin %s %s", path, version)
		}
	}
	if id := EngineID(); !strings.Contains(id, wazeroVersion) || !strings.Contains(id, runtime.GOARCH) || !strings.Contains(id, meter.Version) ||
		!strings.Contains(ExtismEngineID(), engine()) {
		t.Errorf("EngineID %q", id)
	}
}

func TestEffectiveLimits(t *testing.T) {
	got, err := EffectiveLimits(abi.Limits{Fuel: 5})
	if want := (abi.Limits{Memory: DefaultMemory, Fuel: 5, Time: DefaultTime, Calls: DefaultCalls, Output: DefaultOutput}); err != nil || got != want {
		t.Fatalf("defaults %+v, %v", got, err)
	}
	most := abi.Limits{Memory: MaxMemory, Fuel: MaxFuel, Time: MaxTime, Calls: MaxCalls, Output: MaxOutput}
	if got, err := EffectiveLimits(most); err != nil || got != most {
		t.Fatalf("maxima %+v, %v", got, err)
	}
	for name, alter := range map[string]func(*abi.Limits){
		"memory": func(l *abi.Limits) { l.Memory++ }, "time": func(l *abi.Limits) { l.Time++ },
		"fuel": func(l *abi.Limits) { l.Fuel++ }, "calls": func(l *abi.Limits) { l.Calls++ }, "output": func(l *abi.Limits) { l.Output++ },
	} {
		l := most
		alter(&l)
		if _, err := EffectiveLimits(l); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s one past its maximum: %v", name, err)
		}
	}
}

func BenchmarkEcho(b *testing.B) {
	for name, open := range sandboxes {
		b.Run(name, func(b *testing.B) {
			s := opened(b, open, Options{})
			run := runOf(b, Echo(), `{"text":"`+strings.Repeat("x", 1000)+`"}`)
			b.ReportAllocs()
			for b.Loop() {
				result, err := s.Run(context.Background(), run)
				if err != nil || result.Failure != nil {
					b.Fatal(result, err)
				}
			}
		})
	}
}

func BenchmarkToolCall(b *testing.B) {
	s := opened(b, NewSandbox, Options{})
	run := runOf(b, ToolCaller(abi.ToolKVGet), `{"key":"k"}`)
	run.Gate = &silentGate{}
	b.ReportAllocs()
	for b.Loop() {
		if result, err := s.Run(context.Background(), run); err != nil || result.Failure != nil {
			b.Fatal(result, err)
		}
	}
}
