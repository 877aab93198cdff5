package plan

import (
	"slices"
	"strings"

	"github.com/writ-run/writ"
)

// taint joins the labels of this run to those of the plan.
func (r *resolver) taint(out *writ.ResolvedStep) {
	f := &flows{template: r.template, author: []writ.Label{r.plan.Origin.Label()}, gate: r.gate(), bound: map[string][]writ.Label{}}
	for i := range r.step.Bindings {
		b := &r.step.Bindings[i]
		f.bound[b.Path] = writ.JoinLabels(r.runLabels(&b.Expression), r.itemLabels(&b.Expression), r.forwardLabels(&b.Expression))
	}
	for _, e := range r.step.Edited {
		f.bound[e.Path] = e.Labels
	}
	out.Taint = writ.JoinLabels(r.step.Taint, f.all())
	out.Sinks = f.sinks(r.action.Sinks)
	for i := range out.Sinks {
		for _, planned := range r.step.Sinks {
			if planned.Path == out.Sinks[i].Path {
				out.Sinks[i].Labels = writ.JoinLabels(out.Sinks[i].Labels, planned.Labels)
			}
		}
	}
	r.risk(out)
}

// risk is that of a run: never less than planned.
func (r *resolver) risk(out *writ.ResolvedStep) {
	e := exposureOf(r.step)
	e.capabilities, e.taint, e.sinks = out.Capabilities, out.Taint, out.Sinks
	out.Risk = r.step.Risk.Join(e.risk())
}

// gate is the labels of all that decides whether the step runs.
func (r *resolver) gate() []writ.Label {
	var labels []writ.Label
	if r.step.When != nil {
		labels = r.runLabels(r.step.When)
	}
	if list := r.iterating().ForEach; list != nil {
		labels = writ.JoinLabels(labels, r.runLabels(list))
	}
	if r.scope.Forward != nil {
		labels = writ.JoinLabels(labels, r.scope.Forward.Labels)
	}
	if r.plan.Rules == 0 {
		return labels
	}
	name, _, _ := strings.Cut(r.iterating().Name, "/") // of the plan's step, whose iteration this may be
	return writ.JoinLabels(labels, r.conditions(name))
}

// runLabels are those that an expression has in this run.
func (r *resolver) runLabels(e *writ.Expression) []writ.Label {
	sets := [][]writ.Label{e.Labels}
	for _, read := range e.Reads {
		name, ok := strings.CutPrefix(read, rootSteps+".")
		if !ok {
			continue
		}
		labels, completed := r.scope.Labels[name]
		if !completed && r.plan.Rules > 0 { // that it has no output says how its condition came out
			labels = r.conditions(name)
		}
		sets = append(sets, labels)
	}
	return writ.JoinLabels(sets...)
}

// conditions are the labels of what decided whether a step of the plan ran.
func (r *resolver) conditions(name string) []writ.Label {
	if known, ok := r.gates[name]; ok {
		return known
	}
	if r.gates == nil {
		r.gates = map[string][]writ.Label{}
	}
	r.gates[name] = nil // a stored plan that goes in circles ends here
	i := slices.IndexFunc(r.plan.Steps, func(s writ.Step) bool { return s.Name == name })
	if i < 0 {
		return nil
	}
	step, labels := &r.plan.Steps[i], []writ.Label{}
	for _, e := range []*writ.Expression{step.When, step.ForEach} {
		if e != nil {
			labels = writ.JoinLabels(labels, r.runLabels(e))
		}
	}
	for _, need := range step.Needs {
		labels = writ.JoinLabels(labels, r.conditions(need))
	}
	r.gates[name] = labels
	return labels
}
