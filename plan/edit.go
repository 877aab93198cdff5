package plan

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

// Edits implements writ.Planner.
func (p *Planner) Edits(req *writ.EditRequest) ([]writ.Edit, error) {
	op := "step " + req.Step
	draft, failed := ParseDraft(req.Draft)
	if failed == nil {
		ps := &problems{file: req.Draft.Name, source: newSource(req.Draft.Raw)}
		edit(draft, req.Edits, ps)
		failed = ps.sorted()
	}
	if len(failed) > 0 {
		return nil, writ.Errorf(writ.CodeTampered, op, "the draft does not read as it did: %s", failed[0].Message)
	}
	s := draft.step(req.Step)
	if s == nil {
		return nil, writ.Errorf(writ.CodeNotFound, op, "the draft has no such step")
	}
	was, err := decodeTemplate(req.Was)
	if err != nil {
		return nil, writ.Errorf(writ.CodeTampered, op, "its input is not JSON: %w", err)
	}
	now, err := canon.Decode(req.Now)
	if err != nil {
		return nil, &writ.Error{
			Code: writ.CodeInvalid, Op: op, Place: "input", Message: err.Error(), Err: err,
			Fix: "send canonical-safe JSON: unique keys, integers within 2^53-1",
		}
	}
	if _, ok := now.(map[string]any); !ok {
		return nil, &writ.Error{Code: writ.CodeInvalid, Op: op, Place: "input", Message: "an input is an object", Fix: "send the whole input, with what is to be another"}
	}
	d := &differing{req: req, out: []writ.Edit{}}
	d.walk(s.with, "", pair{was: was, now: now, had: true, has: true})
	return d.out, nil
}

// differing collects what is another.
type differing struct {
	req *writ.EditRequest
	out []writ.Edit
}

// pair is a value before and after, each where there is one.
type pair struct {
	was, now any
	had, has bool
}

func (d *differing) walk(n *node, pointer string, v pair) {
	switch {
	case !v.has && (!v.had || d.kept(n, v.was)):
		return
	case !v.has:
		d.out = append(d.out, writ.Edit{Step: d.req.Step, Path: pointer, Labels: d.req.Labels})
		return
	case v.had && same(v.was, v.now):
		return
	}
	if before, ok := v.was.(map[string]any); ok && n != nil && n.kind == mapNode {
		if after, ok := v.now.(map[string]any); ok {
			d.members(n, pointer, before, after)
			return
		}
	}
	if before, ok := v.was.([]any); ok && n != nil && n.kind == listNode {
		if after, ok := v.now.([]any); ok && len(before) == len(after) && len(n.items) == len(after) {
			for i := range after {
				d.walk(n.items[i], pointerTo(pointer, strconv.Itoa(i)), pair{before[i], after[i], true, true})
			}
			return
		}
	}
	raw, err := canon.MarshalJSON(v.now)
	if err != nil {
		return // it was decoded from JSON
	}
	d.out = append(d.out, writ.Edit{Step: d.req.Step, Path: pointer, Value: raw, Labels: d.req.Labels})
}

func (d *differing) members(n *node, pointer string, before, after map[string]any) {
	names := slices.Concat(slices.Collect(maps.Keys(before)), slices.Collect(maps.Keys(after)))
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		v := pair{}
		v.was, v.had = before[name]
		v.now, v.has = after[name]
		var inner *node
		if m, ok := n.get(name); ok {
			inner = m.value
		}
		d.walk(inner, pointerTo(pointer, name), v)
	}
}

// kept reports whether a member that is left out is an expression of which nobody
// has seen a value.
func (d *differing) kept(n *node, was any) bool {
	return d.req.Pending && was == nil && n != nil && n.kind == stringNode && !n.literal
}

func same(a, b any) bool {
	one, err := canon.MarshalJSON(a)
	other, failed := canon.MarshalJSON(b)
	return err == nil && failed == nil && bytes.Equal(one, other)
}

func (d *Draft) step(name string) *DraftStep {
	for i := range d.Steps {
		if d.Steps[i].Name == name {
			return &d.Steps[i]
		}
	}
	return nil
}

// edit puts values into a draft, in order.
func edit(d *Draft, edits []writ.Edit, ps *problems) {
	for i := range edits {
		e := &edits[i]
		s := d.step(e.Step)
		if s == nil {
			ps.add(place{}, found(CodeUnknownStep, "edit a step of the draft", "there is no step %q to edit", clip(e.Step)))
			continue
		}
		if !s.edit(e) {
			ps.add(s.at("with"), found(CodeInvalidValue, "edit what the step has", "%s of step %s cannot be edited", pathOf(e.Path), s.Name))
		}
	}
}

// edit reports whether the place of the edit is in the input.
func (s *DraftStep) edit(e *writ.Edit) bool {
	var value *node
	if len(e.Value) > 0 {
		decoded, err := canon.Decode(e.Value)
		if err != nil {
			return false
		}
		value = literalNode(decoded, s.with.at)
		value.labels = append([]writ.Label{}, e.Labels...)
	}
	segments := strings.Split(strings.TrimPrefix(e.Path, "/"), "/")
	at := s.with
	for i, segment := range segments {
		if at.labels != nil { // whoever edits a part of what another wrote has written it too
			at.labels = writ.JoinLabels(at.labels, e.Labels)
		}
		name := pointerUnescape.Replace(segment)
		if i == len(segments)-1 {
			return at.put(name, value)
		}
		inner := at.child(name)
		if inner == nil {
			return false
		}
		at = inner
	}
	return false
}

// child is a member or an element, nil where there is none.
func (n *node) child(name string) *node {
	if n.kind == mapNode {
		if m, ok := n.get(name); ok {
			return m.value
		}
		return nil
	}
	if i, err := strconv.Atoi(name); n.kind == listNode && err == nil && i >= 0 && i < len(n.items) {
		return n.items[i]
	}
	return nil
}

// put sets a member or an element; nil takes a member away. Lists keep their length.
func (n *node) put(name string, value *node) bool {
	if n.kind == listNode && value != nil && n.child(name) != nil {
		i, _ := strconv.Atoi(name)
		n.items[i] = value
		return true
	}
	if n.kind != mapNode {
		return false
	}
	i := slices.IndexFunc(n.members, func(m member) bool { return m.key == name })
	switch {
	case i < 0 && value != nil:
		n.members = append(n.members, member{key: name, at: n.at, value: value})
	case i >= 0 && value != nil:
		n.members[i].value = value
	case i >= 0:
		n.members = slices.Delete(n.members, i, i+1)
	}
	return true
}

// literalNode is a value that stands in no text.
func literalNode(value any, at place) *node {
	n := &node{at: at, literal: true}
	switch v := value.(type) {
	case bool:
		n.kind, n.text = boolNode, strconv.FormatBool(v)
	case json.Number:
		n.kind, n.text = numberNode, v.String()
	case string:
		n.kind, n.text = stringNode, v
	case []any:
		n.kind = listNode
		for _, item := range v {
			n.items = append(n.items, literalNode(item, at))
		}
	case map[string]any:
		n.kind = mapNode
		for _, name := range slices.Sorted(maps.Keys(v)) {
			n.members = append(n.members, member{key: name, at: at, value: literalNode(v[name], at)})
		}
	}
	return n
}
