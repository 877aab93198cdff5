package policy

import (
	"os"
	"testing"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/contract"
)

// TestWhatComesWithEvidenceFitsItsDigest: files of another digest are refused and
// leave nothing behind, so that the bundle itself can still be activated.
func TestWhatComesWithEvidenceFitsItsDigest(t *testing.T) {
	r := newRig(t)
	b := declassifyingBundle(t, declassifyText("", ""))
	altered := map[string][]byte{}
	for name, content := range b.files {
		altered[name] = content
	}
	altered["step.rego"] = append([]byte("# another\n"), altered["step.rego"]...)
	l := lawWith(t, declassifyingPolicy(t, ""), declassifyingPolicy(t, declassifyText("", "")))
	list, err := layerList(l.parts).encode()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		digest writ.Digest
		files  map[string][]byte
		code   writ.Code
	}{
		"another bundle":         {b.digest, altered, writ.CodeTampered},
		"nothing":                {b.digest, map[string][]byte{}, writ.CodeTampered},
		"a list of layers":       {b.digest, map[string][]byte{layersFile: list}, writ.CodeTampered},
		"a bundle for a list":    {l.ref.Digest, b.files, writ.CodeTampered},
		"a list and more":        {l.ref.Digest, map[string][]byte{layersFile: list, "p.rego": []byte("package writ")}, writ.CodeTampered},
		"no digest":              {"sha256:../../etc", b.files, writ.CodeTampered},
		"a file out of the way":  {b.digest, map[string][]byte{"../x.rego": []byte("package writ")}, writ.CodeInvalid},
		"a file that is no rule": {b.digest, map[string][]byte{"run.sh": []byte("id")}, writ.CodeInvalid},
		"somebody else's digest": {canon.SHA256([]byte("x")), b.files, writ.CodeTampered},
	} {
		if err := r.Adopt(c.digest, c.files); !writ.IsCode(err, c.code) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(r.place(c.digest)); err == nil && c.digest.Valid() {
			t.Errorf("%s: its place is taken", name)
		}
	}
	for range 2 {
		if err := r.Adopt(b.digest, b.files); err != nil {
			t.Fatal(err)
		}
		if err := r.Adopt(l.ref.Digest, map[string][]byte{layersFile: list}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.ByDigest(t.Context(), b.digest); err != nil {
		t.Error(err)
	}
	// Kept is not active, nor does it become so without a signature.
	if _, err := r.Activate(admin(t), &contract.PolicyActivateInput{Digest: b.digest}); err == nil {
		t.Error("what came with evidence was activated")
	}
}
