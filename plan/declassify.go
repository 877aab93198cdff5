package plan

import (
	"slices"

	"github.com/writ-run/writ"
)

// declassify puts down by which rule of the policy the step's output is public. A
// step that undoes another, or that a skill calls, has none: nobody reads it here.
func (c *compiler) declassify(w *work) {
	if c.labelling.rules < writ.PlanRulesSensitivity {
		return
	}
	i := slices.IndexFunc(c.declassifies, func(d writ.Declassification) bool { return d.Of(w.step.Skill, w.step.Action) })
	if i >= 0 {
		d := &c.declassifies[i]
		w.step.Declassified = &writ.Declassified{Rule: d.Name, From: d.From, To: d.To, Reason: d.Reason}
	}
}

// outputLabels are those that the output of a step has, as far as the plan shows.
func (c *compiler) outputLabels(w *work) []writ.Label {
	labels := writ.JoinLabels(w.step.Taint, c.yieldLabels(&w.step, w.action))
	if w.step.Declassified != nil {
		return writ.Declassify(labels)
	}
	return labels
}
