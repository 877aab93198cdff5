package contract_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
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
