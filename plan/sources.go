package plan

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

// Names of sources that are no paths of an expression.
const (
	fromCaller  = "caller"
	fromForward = "the step that it undoes"
	fromEdit    = "edited"
	wholeInput  = "with"
)

// Flows implements writ.Planner.
func (p *Planner) Flows(plan *writ.Plan, step *writ.Step, scope writ.Scope) []writ.Flow {
	f := &flowing{resolver: &resolver{planner: p, plan: plan, step: step, scope: &scope}, out: []writ.Flow{}}
	f.gates()
	template, err := decodeTemplate(step.Template)
	if template == nil || len(step.Template) == 0 || err != nil { // null where the plan was read back
		f.called()
		return f.out
	}
	f.walk(template, "", nil)
	return f.out
}

// FlowsOf are those of every step of a plan and of the templates under it, in the
// order of the plan.
func (p *Planner) FlowsOf(plan *writ.Plan) []writ.StepFlows {
	out := []writ.StepFlows{}
	var add func(step *writ.Step, name string, scope writ.Scope)
	add = func(step *writ.Step, name string, scope writ.Scope) {
		out = append(out, writ.StepFlows{Step: name, Flows: p.Flows(plan, step, scope)})
		for i := range step.Calls {
			add(&step.Calls[i], name+"/"+step.Calls[i].Name, writ.Scope{})
		}
		if step.Compensate != nil {
			add(step.Compensate, name+"/compensate", writ.Scope{Forward: &writ.Forward{Step: step}})
		}
	}
	for i := range plan.Steps {
		add(&plan.Steps[i], plan.Steps[i].Name, writ.Scope{})
	}
	return out
}

// flowing collects the flows into one step.
type flowing struct {
	*resolver
	from   []string     // what decides whether the step runs
	gated  []writ.Label // the labels of that
	bound  map[string]*writ.Binding
	edited map[string][]writ.Label
	within map[string]bool // pointers that have a binding or an edit below them
	out    []writ.Flow
}

// gates adds the conditions of the step, which are sources of all its parameters.
func (f *flowing) gates() {
	f.gated = f.gate()
	for _, c := range []struct {
		name string
		of   *writ.Expression
	}{{"when", f.step.When}, {"forEach", f.step.ForEach}} {
		if c.of != nil {
			f.from = append(f.from, c.name)
			f.out = append(f.out, writ.Flow{Parameter: c.name, Expression: c.of.CEL, From: f.sources(c.of), Labels: f.runLabels(c.of)})
		}
	}
	if f.scope.Forward != nil {
		f.from = append(f.from, fromForward)
	}
	for _, need := range f.step.Needs {
		if f.plan.Rules > 0 && len(f.conditions(need)) > 0 {
			f.from = append(f.from, "condition of "+need)
		}
	}
	f.bound, f.edited, f.within = map[string]*writ.Binding{}, map[string][]writ.Label{}, map[string]bool{}
	for i := range f.step.Bindings {
		b := &f.step.Bindings[i]
		f.bound[b.Path] = b
		f.divide(b.Path)
	}
	for _, e := range f.step.Edited {
		f.edited[e.Path] = e.Labels
		f.divide(e.Path)
	}
}

// divide has all that lies above a pointer shown in parts.
func (f *flowing) divide(pointer string) {
	for at := strings.LastIndexByte(pointer, '/'); at >= 0; at = strings.LastIndexByte(pointer, '/') {
		pointer = pointer[:at]
		f.within[pointer] = true
	}
}

// called are the flows into an action that a step may call: nothing of its input
// is known but what it comes from.
func (f *flowing) called() {
	labels := f.step.Taint
	if f.scope.Caller != nil {
		labels = writ.JoinLabels(labels, f.scope.Caller.Labels)
	}
	f.out = append(f.out, writ.Flow{Parameter: wholeInput, From: []string{fromCaller}, Labels: writ.JoinLabels(labels)})
	for _, sink := range f.step.Sinks {
		f.out = append(f.out, writ.Flow{
			Parameter: wholeInput + "." + sink.Path, From: []string{fromCaller}, Labels: writ.JoinLabels(labels, sink.Labels), Sink: true,
		})
	}
}

// walk adds a flow for each parameter: a member with an expression, or the widest
// literal that no sink divides.
func (f *flowing) walk(value any, pointer string, path []string) {
	if b, ok := f.bound[pointer]; ok {
		labels := writ.JoinLabels(f.runLabels(&b.Expression), f.itemLabels(&b.Expression), f.forwardLabels(&b.Expression))
		f.add(pointer, path, writ.Flow{Expression: b.CEL, From: f.sources(&b.Expression), Labels: labels})
		return
	}
	if labels, ok := f.edited[pointer]; ok {
		f.literal(value, pointer, path, writ.Flow{From: []string{fromEdit}, Labels: labels})
		return
	}
	switch t := value.(type) {
	case map[string]any:
		if len(t) > 0 && (pointer == "" || f.within[pointer] || f.divided(path)) {
			for _, name := range slices.Sorted(maps.Keys(t)) {
				f.walk(t[name], pointerTo(pointer, name), append(slices.Clip(path), name))
			}
			return
		}
	case []any:
		if f.within[pointer] {
			for i, item := range t {
				f.walk(item, pointerTo(pointer, strconv.Itoa(i)), path)
			}
			return
		}
	}
	f.literal(value, pointer, path, writ.Flow{From: []string{"literal by " + string(f.plan.Origin)}, Labels: []writ.Label{f.plan.Origin.Label()}})
}

// literal adds a flow with its value, where no run has that in its input.
func (f *flowing) literal(value any, pointer string, path []string, flow writ.Flow) {
	if raw, err := canon.MarshalJSON(value); err == nil && f.scope.Release == nil {
		flow.Value = json.RawMessage(raw)
	}
	f.add(pointer, path, flow)
}

func (f *flowing) add(pointer string, path []string, flow writ.Flow) {
	flow.Parameter = pathOf(pointer)
	flow.From = slices.Compact(slices.Sorted(slices.Values(slices.Concat(flow.From, f.from))))
	flow.Labels = writ.JoinLabels(flow.Labels, f.gated)
	for _, s := range f.step.Sinks {
		if reaches(strings.Split(s.Path, "."), path) { // shown with no less than what the plan says of it
			flow.Sink, flow.Labels = true, writ.JoinLabels(flow.Labels, s.Labels)
		}
	}
	f.out = append(f.out, flow)
}

// reaches: a sink is the member itself, one above it or one below it.
func reaches(sink, path []string) bool {
	n := min(len(sink), len(path))
	return slices.Equal(sink[:n], path[:n])
}

// divided reports whether a sink lies below a literal object.
func (f *flowing) divided(path []string) bool {
	return slices.ContainsFunc(f.step.Sinks, func(s writ.SinkFlow) bool {
		sink := strings.Split(s.Path, ".")
		return len(sink) > len(path) && reaches(sink, path)
	})
}

// sources are the paths that an expression reads, as they are written.
func (f *flowing) sources(e *writ.Expression) []string {
	parsed, issues := f.planner.base.Parse(e.CEL)
	if issues.Err() != nil {
		return append([]string{}, e.Reads...)
	}
	r := newReader()
	r.visit(parsed.NativeRep().Expr())
	out := []string{}
	for path := range r.paths {
		if root, _, _ := strings.Cut(path, "."); slices.Contains([]string{rootIntent, rootInputs, rootSteps, rootItem, rootIndex, rootInput, rootOutput}, root) {
			out = append(out, path)
		}
	}
	if len(out) == 0 {
		return []string{"literal by " + string(f.plan.Origin)}
	}
	return slices.Sorted(slices.Values(out))
}
