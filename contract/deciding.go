package contract

import (
	"slices"
	"strings"

	"github.com/writ-run/writ"
)

// Deciding is what a verdict comes down to: the rules that decided, or the code
// that tightened their answer.
type Deciding struct {
	Layer   writ.Layer `json:"layer,omitempty" jsonschema:"Absent where neither policy nor floor decided, but how the run was started or what was decided before."`
	Rule    string     `json:"rule" jsonschema:"More than one where they decide together."`
	Message string     `json:"message"`
	Fix     string     `json:"fix,omitempty" jsonschema:"The narrowest change that would alter the answer."`
}

// tightened says of each clamp that changes a mode what it means.
var tightened = map[string]Deciding{
	"writ.high-risk":    {writ.LayerFloor, "", "high risk is never autonomous, whatever a bundle says", "have people approve it, or change the plan so that the step does less"},
	"risk.high":         {writ.LayerFloor, "", "high risk is never autonomous, whatever a bundle says", "have people approve it, or change the plan so that the step does less"},
	"writ.risk-blocked": {writ.LayerFloor, "", "a blocked tier is never approvable", "change the plan so that the step does less"},
	"verdict.zero":      {writ.LayerFloor, "", "an answer without a mode blocks", "run `writ policy test`"},
	"run.mode":          {"", "", "the run was started in assist mode", "start it in the mode autonomous"},
	"verdict.before":    {"", "", "an earlier verdict about the step was stricter, and a run never loosens one", "submit the intent again"},
	"compensation":      {"", "", "the step's compensation was judged more strictly, and binds the step", "see the verdict of the compensation, STEP/compensate"},
}

// DecidedBy is what decided a verdict.
func DecidedBy(v *writ.Verdict) Deciding {
	for _, c := range slices.Backward(v.Clamps) {
		if d, known := tightened[c.Rule]; known && c.From != c.To {
			d.Rule = c.Rule
			return d
		}
	}
	var rules []string
	var d Deciding
	if len(v.Reasons) > 0 && v.Reasons[0].Layer == writ.LayerFloor {
		r := &v.Reasons[0]
		return Deciding{r.Layer, r.Rule, r.Message, r.Fix}
	}
	for n, r := range v.Reasons {
		if n == 0 {
			d.Layer, d.Message, d.Fix = r.Layer, r.Message, r.Fix
		}
		if d.Fix == "" {
			d.Fix = r.Fix
		}
		rules = append(rules, ruleIn(&r, v.Reasons[0].Layer))
	}
	if d.Layer == "" {
		d.Layer = writ.LayerOrganisation // one bundle alone is the organisation's
	}
	slices.Sort(rules)
	d.Rule = strings.Join(slices.Compact(rules), " + ")
	return d
}

// ruleIn names the layer of a rule where it is another than the first one's.
func ruleIn(r *writ.Reason, first writ.Layer) string {
	if r.Layer != first {
		return string(r.Layer) + ":" + r.Rule
	}
	return r.Rule
}
