package plan

import (
	"encoding/json"
	"strconv"

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
	labels, err := json.Marshal([]any{of.author, of.words, req.Declassify, req.Law})
	if err != nil {
		return ""
	}
	edits, err := json.Marshal(req.Edits)
	if err != nil || len(edits) > maxMemoDraft {
		return ""
	}
	sum := canon.Hash(canon.DomainPlan, []byte("memo"), strconv.AppendInt(nil, int64(of.rules), 10), []byte(req.Draft.Source), []byte(req.Draft.Format), []byte(req.Origin), labels, edits, req.Draft.Raw)
	return string(sum[:])
}

// recorder writes down what the catalogue answers.
type recorder struct {
	writ.Catalogue
	asked   []answer
	refused bool
	ahead   []given // asked for a memo that does not hold
}

// given is what the catalogue said.
type given struct {
	answer
	release *writ.Release
	err     error
}

// Resolve implements writ.Catalogue. The same question is not asked again for the
// sake of a memo: who writes the questions down sees those of one compilation.
func (r *recorder) Resolve(key writ.SkillKey, constraint string) (*writ.Release, error) {
	var g given
	if len(r.ahead) > 0 && r.ahead[0].key == key && r.ahead[0].constraint == constraint {
		g, r.ahead = r.ahead[0], r.ahead[1:]
	} else {
		r.ahead = nil
		g.release, g.err = r.Catalogue.Resolve(key, constraint)
	}
	if g.err != nil || g.release == nil {
		r.refused = true
		return g.release, g.err
	}
	r.asked = append(r.asked, answer{key, constraint, g.release.SkillRef})
	return g.release, nil
}

// holds asks the catalogue again, in the same order, up to an answer that is
// another one. A compilation asks these first.
func (m *memo) holds(r *recorder) bool {
	for _, a := range m.asked {
		release, err := r.Catalogue.Resolve(a.key, a.constraint)
		r.ahead = append(r.ahead, given{a, release, err})
		if err != nil || release == nil || release.SkillRef != a.ref {
			return false
		}
	}
	return true
}
