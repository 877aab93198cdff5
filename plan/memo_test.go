package plan

import (
	"slices"
	"testing"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

// witness writes down what a catalogue is asked.
type witness struct {
	shelf
	keys []string
}

// Resolve implements writ.Catalogue.
func (w *witness) Resolve(key writ.SkillKey, constraint string) (*writ.Release, error) {
	w.keys = append(w.keys, string(key)+"@"+constraint)
	return w.shelf.Resolve(key, constraint)
}

func TestADraftIsCompiledOnce(t *testing.T) {
	p, all := planner(t), skills(t)
	req := request(draftOf("name: a\nuses: acme/text@^2#any\nwith: {x: 1}", "name: b\nuses: acme/text#any\nneeds: [a]"), nil)
	compile := func() (*writ.CompiledPlan, []string) {
		w := &witness{shelf: all}
		req.Catalogue = w
		return mustCompile(t, p, req), w.keys
	}
	first, asked := compile()
	req.Draft.Name = "another name"
	if again, askedAgain := compile(); again != first || !slices.Equal(asked, askedAgain) || len(asked) != 2 {
		t.Errorf("compiled again; asked for %v, then %v", asked, askedAgain)
	}

	all = slices.Clone(all)
	for i, release := range all {
		if release.Key == "acme/text" {
			newer := *release
			newer.Digest, newer.Module = canon.SHA256([]byte("newer")), canon.SHA256([]byte("newer"))
			all[i] = &newer
		}
	}
	upgraded, askedOfUpgrade := compile()
	if upgraded.Hash == first.Hash {
		t.Error("another release of the skill gives the plan of the old one")
	}
	if !slices.Equal(asked, askedOfUpgrade) { // it is written down, and a replay asks each question once
		t.Errorf("a memo that does not hold asks too: %v, then %v", asked, askedOfUpgrade)
	}
	req.Origin = writ.OriginModel
	if other, _ := compile(); other.Hash == upgraded.Hash {
		t.Error("another author gives the same plan")
	}
	all = nil
	if _, err := p.Compile(req); err != nil {
		t.Fatal("the catalogue of the request before counts")
	}
	req.Catalogue = all
	if _, err := p.Compile(req); !writ.IsCode(err, writ.CodePlanRejected) {
		t.Errorf("a skill that is gone: got %v", err)
	}
}
