package canon_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestNode holds the vectors against an implementation that shares no code with
// this one. Node is a tool of the build: without it the test fails.
func TestNode(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Fatalf("node, version 20 or later, is needed to check the vectors: %v", err)
	}
	out, err := exec.Command(node, filepath.Join(vectors, "check.mjs")).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !bytes.Contains(out, []byte("checks passed")) {
		t.Fatalf("node says %s", out)
	}
}

// TestNodeNotices alters each file of vectors: a check that cannot fail proves
// nothing.
func TestNodeNotices(t *testing.T) {
	files, err := filepath.Glob(vectors + "/*")
	if err != nil || len(files) < 8 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	alter := map[string][2]string{
		"json.json": {`"canonical": "{`, `"canonical": "[`}, "numbers.json": {`"text": "5e-324"`, `"text": "4e-324"`}, "hashes.json": {`"sum": "sha256:0`, `"sum": "sha256:1`},
		"digests.json": {`"valid": true`, `"valid": false`}, "cbor.json": {`"hex": "`, `"hex": "00`}, "records.json": {`"$int": "1"`, `"$int": "3"`}, "times.json": {`"text": "1970`, `"text": "1971`},
	}
	for name, change := range alter {
		dir := t.TempDir()
		for _, file := range files {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if filepath.Base(file) == name {
				altered := bytes.Replace(raw, []byte(change[0]), []byte(change[1]), 1)
				if bytes.Equal(raw, altered) {
					t.Fatalf("%s has no %s", name, change[0])
				}
				raw = altered
			}
			if err := os.WriteFile(filepath.Join(dir, filepath.Base(file)), raw, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		out, err := exec.Command("node", filepath.Join(dir, "check.mjs")).CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || !bytes.Contains(out, []byte("checks failed")) {
			t.Errorf("an altered %s is not noticed: %v\n%s", name, err, out)
		}
	}
}
