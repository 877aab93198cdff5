package contract_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/writ-run/writ/contract"
)

var update = flag.Bool("update", false, "write the generated documents and the baseline")

const docsDir = "../docs/contracts"

func TestDocumentsAreFresh(t *testing.T) {
	docs, err := contract.Docs()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		writeDocs(t, docs)
	}
	entries, err := os.ReadDir(docsDir)
	if err != nil {
		t.Fatalf("%v: run go test ./contract -update", err)
	}
	for _, entry := range entries {
		if _, ok := docs[entry.Name()]; !ok {
			t.Errorf("%s is not generated any more: remove it", filepath.Join(docsDir, entry.Name()))
		}
	}
	for name, want := range docs {
		have, err := os.ReadFile(filepath.Join(docsDir, name))
		if err != nil {
			t.Errorf("%v: run go test ./contract -update", err)
			continue
		}
		if !bytes.Equal(have, want) {
			t.Errorf("%s differs from the contracts: run go test ./contract -update", name)
		}
	}
}

func writeDocs(t *testing.T, docs map[string][]byte) {
	t.Helper()
	if err := os.MkdirAll(docsDir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, doc := range docs {
		if err := os.WriteFile(filepath.Join(docsDir, name), doc, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// A contract that changed without the right version fails here, and -update
// does not let it through: the version comes first.
func TestBaseline(t *testing.T) {
	baseline, err := contract.Baseline()
	if err != nil {
		t.Fatal(err)
	}
	for _, drift := range contract.Check(baseline) {
		t.Errorf("%s has version %s and needs %s: %+v", drift.Key, drift.Have, drift.Want, drift.Changes)
	}
	want, err := contract.Current().Encode()
	if err != nil {
		t.Fatal(err)
	}
	if *update && !t.Failed() {
		if err := os.WriteFile("baseline.json", want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile("baseline.json")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, want) {
		t.Error("baseline.json differs from the contracts: run go test ./contract -update")
	}
}

// TestWhoMayWhat holds the table of docs/access.md: each operation with what its
// caller must hold and be.
func TestWhoMayWhat(t *testing.T) {
	const file, begin, end = "../docs/access.md", "<!-- operations: go test ./contract -update -->\n", "<!-- end -->"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), begin)
	have, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatalf("%s has no place for the table of operations", file)
	}
	var want strings.Builder
	want.WriteString("| operation | command line | changes | capability | role |\n|---|---|---|---|---|\n")
	for _, c := range contract.All() {
		changes, cli := "", ""
		if c.Kind == contract.Command {
			changes = "yes"
		}
		if c.CLI != "" {
			cli = "`" + c.CLI + "`"
		}
		role := string(c.Auth)
		if c.Auth == contract.User {
			role = ""
		}
		fmt.Fprintf(&want, "| `%s` | %s | %s | `%s` | %s |\n", c.Key, cli, changes, c.Capability, role)
	}
	if *update && want.String() != have {
		if err := os.WriteFile(file, []byte(before+begin+want.String()+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want.String() != have {
		t.Errorf("the table of operations in %s differs from the contracts: run go test ./contract -update", file)
	}
}
