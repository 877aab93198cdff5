package plan

import (
	"encoding/json"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

// memo is a finished compilation with all that the catalogue was asked on the
// way. Compiling is pure, so the same draft by the same author with the same
// answers gives the same plan: services submit one draft over and over, and
// finding it again costs a hundredth of compiling it.
type memo struct {
	plan  *writ.CompiledPlan
	asked []answer
}

// answer is one question to the catalogue and the release that it gave.
type answer struct {
	key        writ.SkillKey
	constraint string
	ref        writ.SkillRef
}

// maxMemoDraft keeps the memory of memos small: 512 drafts and their plans.
const maxMemoDraft = 32 << 10

// memoKey covers everything of the request but the catalogue and the draft's
// name, which stands in problems alone. It is empty where nothing is kept.
func memoKey(req *writ.CompileRequest, of *labelling) string {
	if len(req.Draft.Raw) > maxMemoDraft {
		return ""
	}
	labels, err := json.Marshal([][]writ.Label{of.author, of.words})
	if err != nil {
		return ""
	}
	sum := canon.Hash(canon.DomainPlan, []byte("memo"), []byte(req.Draft.Source), []byte(req.Draft.Format), []byte(req.Origin), labels, req.Draft.Raw)
	return string(sum[:])
}

// recorder writes down what the catalogue answers.
type recorder struct {
	writ.Catalogue
	asked   []answer
	refused bool
}

// Resolve implements writ.Catalogue.
func (r *recorder) Resolve(key writ.SkillKey, constraint string) (*writ.Release, error) {
	release, err := r.Catalogue.Resolve(key, constraint)
	if err != nil || release == nil {
		r.refused = true
		return release, err
	}
	r.asked = append(r.asked, answer{key, constraint, release.SkillRef})
	return release, nil
}

// holds asks the catalogue again, in the same order.
func (m *memo) holds(c writ.Catalogue) bool {
	for _, a := range m.asked {
		release, err := c.Resolve(a.key, a.constraint)
		if err != nil || release == nil || release.SkillRef != a.ref {
			return false
		}
	}
	return true
}
