package plan

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/canon"
)

const toolHTTP = abi.ToolHTTPRequest

// finish derives what follows from a step's arguments: labels, capabilities,
// effect, risk and id. Steps that it reads are finished before.
func (c *compiler) finish(w *work) {
	if w.input == nil || w.output == nil {
		c.labelling.outputs[w.draft.Name] = []writ.Label{writ.LabelChannel}
		return
	}
	c.derive(w)
	c.declassify(w)
	c.labelling.outputs[w.draft.Name] = c.outputLabels(w)
	if w.undo != nil && w.undo.input != nil && w.undo.output != nil {
		c.derive(w.undo)
		c.identify(w.undo)
		w.step.Compensate = &w.undo.step
		// Who lets the step go lets its compensation go.
		w.step.Effect = w.step.Effect.Join(w.undo.step.Effect)
		w.step.Risk = w.step.Risk.Join(w.undo.step.Risk)
	}
	if len(c.problems.list) == 0 {
		c.identify(w)
	}
}

// derive makes the compiled step, but for its template and its id.
func (c *compiler) derive(w *work) {
	capabilities, failed := c.narrower(w).narrow()
	for _, f := range failed {
		at := w.draft.at("with")
		if f.manifest {
			at = w.draft.at("uses")
		}
		c.problems.add(at, f.finding)
	}
	for _, sink := range w.action.Sinks {
		if !sinkExists(w.input.shape, strings.Split(sink, ".")) {
			c.skillInvalid(w, "sink %q of %s names no member of the input", sink, w.action.Name)
		}
	}
	flow := c.flows(w)
	sinks := flow.sinks(w.action.Sinks)
	effect := effectOf(w.action, capabilities)
	w.step = writ.Step{
		Name: w.draft.Name, Skill: w.release.SkillRef, Action: w.action.Name,
		InputSchema: w.input.digest, OutputSchema: w.output.digest,
		Bindings: c.bindings(w), Edited: w.edited, When: c.expressionOf(w, w.when), ForEach: c.expressionOf(w, w.forEach),
		Needs: append([]string{}, w.needs...), Capabilities: capabilities,
		Effect: effect, DeclaredRisk: w.action.Risk,
		Taint: flow.all(), Sinks: sinks, Retry: w.draft.Retry, Timeout: w.draft.Timeout,
		Limits: w.release.Manifest.Limits,
	}
	w.step.Risk = exposureOf(&w.step).risk()
	c.addCalls(&caller{step: &w.step, action: w.action, at: w.draft.at("uses"), path: []string{actionName(w.step.Skill.Key, w.step.Action)}})
}

// identify gives the step its template's canonical bytes and its id.
func (c *compiler) identify(w *work) {
	template, err := canon.MarshalJSON(w.template)
	if err == nil {
		w.step.Template = template
		w.step.ID, err = stepID(&w.step)
	}
	if err != nil {
		c.problems.add(w.draft.at("with"), found(CodeNumber, numberFix, "the arguments have no canonical form: %v", err))
	}
}

// stepID is derived from everything in the step but the id itself.
func stepID(s *writ.Step) (writ.StepID, error) {
	body := struct {
		writ.Step
		ID *struct{} `json:"id,omitempty"` // shadows the member of Step
	}{Step: *s}
	b, err := canon.MarshalJSON(body)
	if err != nil {
		return "", err
	}
	return writ.StepID(canon.ID("stp", canon.DomainStep, b)), nil
}

func (c *compiler) narrower(w *work) *narrower {
	return &narrower{manifest: w.release.Manifest, action: w.action, input: w.input.shape, lookup: func(path []string) argument {
		return argumentAt(w.template, path, func(pointer string) bool {
			return slices.ContainsFunc(w.bindings, func(b binding) bool { return b.pointer == pointer })
		})
	}}
}

// argumentAt looks a member up in a template.
func argumentAt(value any, path []string, bound func(pointer string) bool) argument {
	pointer := ""
	for _, name := range path {
		if bound(pointer) {
			return argument{state: argumentUnknown}
		}
		object, ok := value.(map[string]any)
		if !ok {
			return argument{}
		}
		if value, ok = object[name]; !ok {
			return argument{}
		}
		pointer = pointerTo(pointer, name)
	}
	if bound(pointer) {
		return argument{state: argumentUnknown}
	}
	if value == nil {
		return argument{} // null is nothing to reach for
	}
	return argument{state: argumentKnown, value: value}
}

// sinkExists follows a sink through lists, as its flow is followed.
func sinkExists(s *shape, path []string) bool {
	for s != nil && s.kind == shapeList {
		s = s.item
	}
	if s == nil || len(path) == 0 || s.kind == shapeDyn {
		return s != nil
	}
	return sinkExists(memberAt(s, path[:1]), path[1:])
}

// labellingOf says which labels the sources of a step's own expressions carry.
func (c *compiler) labellingOf(w *work) *labelling {
	of := *c.labelling
	forward := w
	if w.forward != nil {
		forward = w.forward
		of.forward = c.labelling.outputs[forward.draft.Name]
	}
	if forward.forEach != nil {
		of.item = forward.forEach.labels(c.labelling)
	}
	return &of
}

// flows has the labels of every expression of the step.
func (c *compiler) flows(w *work) *flows {
	of := c.labellingOf(w)
	gates := [][]writ.Label{of.item, of.forward}
	if of.rules > 0 { // a step that needs another runs where that one's condition let it
		for _, name := range w.needs {
			if need := c.byName[name]; need != nil {
				gates = append(gates, need.gate)
			}
		}
	}
	if w.when != nil {
		gates = append(gates, w.when.labels(of))
	}
	w.gate = writ.JoinLabels(gates...)
	f := &flows{template: w.template, author: of.author, gate: w.gate, bound: map[string][]writ.Label{}}
	for _, b := range w.bindings {
		f.bound[b.pointer] = b.expr.labels(of)
	}
	for _, e := range w.edited {
		f.bound[e.Path] = e.Labels
	}
	return f
}

func (c *compiler) expressionOf(w *work, e *compiled) *writ.Expression {
	if e == nil {
		return nil
	}
	return &writ.Expression{
		CEL: e.source, Type: shortTypes(e.ast.OutputType().String()), Labels: e.labels(c.labellingOf(w)), Reads: append([]string{}, e.reads...),
	}
}

func (c *compiler) bindings(w *work) []writ.Binding {
	out := []writ.Binding{}
	for _, b := range w.bindings {
		out = append(out, writ.Binding{Path: b.pointer, Expression: *c.expressionOf(w, b.expr)})
	}
	return out
}

// setAt puts a value where a pointer leads in a decoded template; absent takes
// the member away. ok is false where the pointer leads nowhere.
func setAt(root any, pointer string, value any) (out any, ok bool) {
	if pointer == "" {
		return value, true
	}
	segments := strings.Split(pointer[1:], "/")
	at := root
	for i, segment := range segments {
		name := pointerUnescape.Replace(segment)
		last := i == len(segments)-1
		switch t := at.(type) {
		case map[string]any:
			inner, there := t[name]
			switch {
			case !there:
				return root, false
			case last && value == any(absent{}):
				delete(t, name)
			case last:
				t[name] = value
			}
			at = inner
		case []any:
			index, err := strconv.Atoi(name)
			if err != nil || index < 0 || index >= len(t) || (last && value == any(absent{})) {
				return root, false
			}
			if last {
				t[index] = value
			}
			at = t[index]
		default:
			return root, false
		}
	}
	return root, true
}

// decodeTemplate is a fresh copy of a step's template.
func decodeTemplate(raw json.RawMessage) (any, error) {
	if len(raw) == 0 {
		return map[string]any{}, nil
	}
	return canon.Decode(raw)
}
