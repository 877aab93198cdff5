package contract_test

import (
	"testing"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// FuzzSkillRange: what is read is listed in a form that reads as the same, has
// only versions of its skill, and a version that is none.
func FuzzSkillRange(f *testing.F) {
	for _, text := range []string{"acme/mail", "acme/mail <1.4.2", "acme/mail  >=1, <2 || 3.x", "acme/mail ^1.2.3-rc.1", "acme", " acme/mail", "acme/mail ~", ""} {
		f.Add(text, "1.4.1")
	}
	f.Fuzz(func(t *testing.T, text, version string) {
		r, err := contract.ParseSkillRange(text)
		if err != nil {
			if !writ.IsCode(err, writ.CodeInvalid) || r.Has(r.Key, version) {
				t.Fatalf("%v: %+v", err, r)
			}
			return
		}
		again, err := contract.ParseSkillRange(r.String())
		if err != nil || again.String() != r.String() || again.Has(r.Key, version) != r.Has(r.Key, version) {
			t.Fatalf("%q reads as %q: %v", text, r, err)
		}
		if r.Has(r.Key+"x", version) || !r.Has(r.Key, "no version") {
			t.Fatalf("%q has what it does not name, or lacks what nobody can place", text)
		}
	})
}
