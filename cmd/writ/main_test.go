package main

import (
	"context"
	"crypto/rand"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/host/wasmtest"
	"github.com/writ-run/writ/registry"
)

// TestMain makes this test binary the command `writ` of the scripts, and the
// process that compiles for a home that a test opens.
func TestMain(m *testing.M) {
	if args := os.Args[1:]; compiles(args) {
		os.Exit(run(context.Background(), args, stdio{in: os.Stdin, out: os.Stdout, err: os.Stderr}))
	}
	testscript.Main(triageEnds{m}, map[string]func(){"ociregistry": ociRegistry, "openid": openID, "browser": browser, "writ": func() {
		carry(os.Getenv("SHELF"))
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		code := run(ctx, os.Args[1:], stdio{in: os.Stdin, out: os.Stdout, err: os.Stderr})
		stop()
		os.Exit(code)
	}})
}

// Every promise of the command line is a script. Each has a home of its own that
// is not made yet, and the modules of this test in $MODULES.
func TestScripts(t *testing.T) {
	modules := writeModules(t)
	writeBundles(t, modules)
	writeShelf(t, modules)
	environment := goEnvironment(t)
	baseline, err := filepath.Abs(filepath.Join("..", "..", "contract", "baseline.json"))
	if err != nil {
		t.Fatal(err)
	}
	conformance, err := filepath.Abs(filepath.Join("..", "..", "examples", "conformance"))
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(e *testscript.Env) error {
			home, err := shortDir(t)
			if err != nil {
				return err
			}
			e.Vars = append(e.Vars, environment...)
			e.Vars = append(e.Vars,
				"TOMORROW="+time.Now().AddDate(0, 0, 1).Format(time.DateOnly), "WRIT_HOME="+home, "WRIT_PASSPHRASE=correct horse battery", "HOME="+e.WorkDir, "MODULES="+modules, "BASELINE="+baseline, "CONFORMANCE="+conformance, "FIRSTSKILL="+filepath.Join(conformance, "..", "..", "sdk", "scaffold", "testdata"))
			newEffects(e)
			newReceiver(e)
			if err := newFeed(e); err != nil {
				return err
			}
			return os.CopyFS(e.WorkDir, os.DirFS(filepath.Join("testdata", "fixtures")))
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits": scriptExits, "json": scriptJSON, "follow": scriptFollow, "dial": scriptDial,
			"address": scriptAddress, "http": scriptHTTP, "craft": scriptCraft, "flipjson": scriptFlipJSON, "flipmodules": scriptFlipModules,
			"mode": scriptMode, "snapshot": scriptSnapshot, "arrived": scriptArrived, "awaits": scriptAwaits, "answer": scriptAnswer, "effects": scriptEffects, "fill": scriptFill, "feed": scriptFeed,
			"hooked": scriptHooked, "receiver": scriptReceiver, "sigstore": scriptSigstore, "certs": scriptCerts,
		},
		RequireUniqueNames: true,
	})
}

// shortDir is a home whose socket's path fits: the kernel allows 107 bytes. It
// goes after the scripts, whose daemons may still be stopping when they end.
func shortDir(t *testing.T) (string, error) {
	dir, err := os.MkdirTemp("", "w")
	if err != nil {
		return "", err
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "h"), nil
}

// writeModules writes what the scripts pack: building them from Go would take
// seconds each.
func writeModules(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, module := range map[string][]byte{
		"echo": wasmtest.Echo(), "http": wasmtest.ToolCaller(abi.ToolHTTPRequest), "tell": wasmtest.ToolCaller(abi.ToolMessageSend),
		"store":    storeModule(),
		"put":      wasmtest.ToolCaller(abi.ToolKVPut),
		"twice":    twiceModule(),
		"weather":  wasmtest.Plugin(map[string]string{"list_tools": weatherTools, "call_tool": `{"content":[{"type":"text","text":"sunny in Oslo"}]}`}),
		"badnames": wasmtest.Plugin(map[string]string{"describe": `{"tools":[{"name":"what is it?"}]}`, "call": `{}`}),
		"stranger": strangerModule(),
		"shout":    sayModule(`{"text":"HELLO"}`),
		"noentry":  wasmtest.NewGuest(1, 1).Export("other", wasmtest.I32(0)).Bytes(),
	} {
		if err := os.WriteFile(filepath.Join(dir, name+".wasm"), module, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"count_vowels", "hello", "http_headers"} {
		if err := copyFile(filepath.Join("..", "..", "host", "testdata", "extism", name+".wasm"), filepath.Join(dir, name+".wasm")); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// sayModule puts out the same whatever it is given.
func sayModule(output string) []byte {
	g := wasmtest.NewGuest(1, 0)
	return g.Run(g.Say(output)).Bytes()
}

const weatherTools = `{"tools":[{"name":"now","description":"Says how the weather is.","inputSchema":{"type":"object","properties":{"city":{"type":"string"}},"required":["city"],"additionalProperties":false}},{"name":"forecast"}]}`

// strangerModule imports what no host of ours has.
func strangerModule() []byte {
	m := wasmtest.New()
	m.Import(abi.ModuleExtism, "alloc", "l", "l")
	m.Import("extism:host/user", "create_message", "l", "l")
	m.Import("env", "abort", "", "")
	m.Func(wasmtest.Func{Export: "run_test", Results: "i", Code: wasmtest.I32(0)})
	return m.Bytes()
}

// storeModule has the actions put and fetch, told apart by the length of their
// names.
func storeModule() []byte {
	g := wasmtest.NewGuest(1, 0)
	put, get := g.Tool(abi.ToolKVPut), g.Tool(abi.ToolKVGet)
	return g.Run(
		wasmtest.I32(0), wasmtest.I32(0), wasmtest.Call(g.Action), wasmtest.I32(int32(len("put"))), wasmtest.Op(wasmtest.I32Sub),
		wasmtest.If(g.CallTool(get), wasmtest.Op(wasmtest.Return)),
		g.CallTool(put),
	).Bytes()
}

// twiceModule makes the request that its input says, and then again.
func twiceModule() []byte {
	g := wasmtest.NewGuest(1, 0)
	call := g.Tool(abi.ToolHTTPRequest)
	return g.Run(g.ReadInput(), wasmtest.I32(0), wasmtest.Get(0), wasmtest.Call(call), wasmtest.Op(wasmtest.Drop), g.CallTool(call)).Bytes()
}

// writeBundles packs and signs the skills of testdata/fixtures, as publisher
// acme, whose key is acme.pub.
func writeBundles(t *testing.T, dir string) {
	t.Helper()
	key, err := registry.GenerateKey(registry.KeyECDSA, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	pem, err := key.PEM(nil)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{"acme.key": pem, "acme.pub": key.Public().PEM}
	for name, module := range map[string]string{
		"echo": "echo", "caller": "http", "mailer": "http", "teller": "tell", "twice": "twice", "store": "store", "pay": "put", "vowels": "count_vowels",
	} {
		text, err := os.ReadFile(filepath.Join("testdata", "fixtures", "skills", name, manifestFile))
		if err != nil {
			t.Fatal(err)
		}
		wasm, err := os.ReadFile(filepath.Join(dir, module+".wasm"))
		if err != nil {
			t.Fatal(err)
		}
		files[name+".skill"] = signedBundle(t, key, text, wasm)
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func signedBundle(t *testing.T, key *registry.Key, manifest, module []byte) []byte {
	t.Helper()
	m, err := registry.ParseManifest(manifestFile, manifest)
	if err != nil {
		t.Fatal(err)
	}
	return packAndSign(t, key, m, module)
}

func packAndSign(t *testing.T, key *registry.Key, m *abi.Manifest, module []byte) []byte {
	t.Helper()
	bundle, err := registry.Pack(m, module)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := registry.Sign(bundle, registry.SignRequest{Key: key, Clock: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// goEnvironment lets the scripts build with this machine's caches.
func goEnvironment(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, name := range []string{"GOCACHE", "GOMODCACHE", "GOPATH"} {
		value, err := exec.Command("go", "env", name).Output()
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, name+"="+strings.TrimSpace(string(value)))
	}
	return out
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if cerr := out.Close(); err == nil {
		err = cerr
	}
	return err
}
