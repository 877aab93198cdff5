package main

import (
	"crypto/rand"
	"encoding/base64"
	"os"
	"path/filepath"
	"testing"

	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/host"
	"github.com/writ-run/writ/registry"
	"github.com/writ-run/writ/sdk/scaffold"
	"github.com/writ-run/writ/shelf"
)

// shelved are the first-party skills that the scripts need; building takes a second
// each, compiling them in a home some more.
var shelved = []string{"csv", "github", "markdown"}

// carry makes this process a binary that carries the archive in dir, as a build
// with `make` does. Without a dir it is what `go build` gives.
func carry(dir string) {
	if dir == "" {
		return
	}
	key, err := os.ReadFile(filepath.Join(dir, "firstparty.pub"))
	if err == nil {
		carriedSkills, err = os.ReadFile(filepath.Join(dir, "firstparty.shelf"))
	}
	if err != nil {
		panic(err)
	}
	firstPartyKey = base64.StdEncoding.EncodeToString(key)
}

// writeShelf builds and signs first-party skills as publisher writ.
func writeShelf(t *testing.T, dir string) {
	t.Helper()
	key, err := registry.GenerateKey(registry.KeyECDSA, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sandbox, err := host.NewSandbox(host.Options{CompileInProcessUnsafe: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sandbox.Close(t.Context()) }()
	var items []shelf.Item
	for _, name := range shelved {
		source := filepath.Join("..", "..", "skills", name)
		text, err := os.ReadFile(filepath.Join(source, manifestFile))
		if err != nil {
			t.Fatal(err)
		}
		module, err := scaffold.BuildTo(t.Context(), source, filepath.Join(t.TempDir(), "skill.wasm"))
		if err != nil {
			t.Fatal(err)
		}
		wasm, err := os.ReadFile(module)
		if err != nil {
			t.Fatal(err)
		}
		m, err := registry.ParseManifest(manifestFile, text)
		if err != nil {
			t.Fatal(err)
		}
		d, err := sandbox.Describe(t.Context(), wasm)
		if err != nil {
			t.Fatal(err)
		}
		items = append(items, shelf.Item{Entry: shelfEntry(m), Bundle: described(t, key, m, d, wasm)})
	}
	archive, err := shelf.Pack(items)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"firstparty.shelf": archive, "firstparty.pub": key.Public().PEM} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func shelfEntry(m *abi.Manifest) shelf.Entry {
	e := shelf.Entry{Name: m.Name, Version: m.Version, Description: m.Description}
	for i := range m.Actions {
		e.Actions = append(e.Actions, m.Actions[i].Name)
	}
	return e
}

func described(t *testing.T, key *registry.Key, m *abi.Manifest, d *abi.Description, wasm []byte) []byte {
	t.Helper()
	if err := registry.ApplyDescription(m, d); err != nil {
		t.Fatal(err)
	}
	return packAndSign(t, key, m, wasm)
}

// One flipped byte of the archive in the binary is found, and said to whom it
// concerns.
func TestADamagedShelfIsFound(t *testing.T) {
	archive, err := shelf.Pack([]shelf.Item{{Entry: shelf.Entry{Name: "writ/a", Version: "1.0.0"}, Bundle: []byte("bundle")}})
	if err != nil {
		t.Fatal(err)
	}
	defer func(before []byte) { carriedSkills = before }(carriedSkills)
	for _, damaged := range [][]byte{archive[:len(archive)-1], append([]byte("x"), archive...)} {
		carriedSkills = damaged
		if _, err := carriedBundle("writ/a"); err == nil {
			t.Error("a damaged archive gives a skill")
		}
	}
	carriedSkills = archive
	if bundle, err := carriedBundle("writ/a@1.0.0"); err != nil || string(bundle) != "bundle" {
		t.Errorf("%q, %v", bundle, err)
	}
}
