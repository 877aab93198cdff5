package plan

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/writ-run/writ"
)

// filler checks the arguments of one step against the action's input schema and
// cuts them into a template and bindings.
type filler struct {
	compiler *compiler
	work     *work
	env      *exprEnv
	failed   bool // a problem was found since it was last reset
	edited   bool // within an edit
}

func (f *filler) problem(at place, p finding) {
	f.failed = true
	f.compiler.problems.add(at, p)
}

func (f *filler) fillStep() {
	with, w := f.work.draft.with, f.work
	root := dyn
	if w.input != nil {
		root = w.input.shape
	}
	if root.kind != shapeObject {
		w.template = f.fill(with, root, "")
		f.validateAll(with)
		return
	}
	object := map[string]any{}
	w.template = object
	clean := true
	for _, m := range with.members {
		inner, ok := f.memberShape(root, m, "")
		if !ok {
			clean = false
			continue
		}
		f.failed = false
		bound := len(w.bindings)
		if v := f.fill(m.value, inner, pointerTo("", m.key)); v != any(absent{}) {
			object[m.key] = v
		}
		if !f.failed && len(w.bindings) == bound {
			f.validateMember(m, object[m.key])
		}
		clean = clean && !f.failed
	}
	f.failed = !clean
	f.required(root, with, "")
	f.validateAll(with)
	slices.SortFunc(w.bindings, func(a, b binding) int { return strings.Compare(a.pointer, b.pointer) })
	slices.SortFunc(w.edited, func(a, b writ.EditedValue) int { return strings.Compare(a.Path, b.Path) })
}

// validateMember holds a literal argument against everything that its schema
// says: patterns, bounds, enumerations.
func (f *filler) validateMember(m member, value any) {
	validator, ok := f.work.input.members[m.key]
	if !ok || value == nil {
		return
	}
	if err := validator.Validate(plain(value)); err != nil {
		f.problem(m.value.at, found(CodeInvalidValue, "give a value that the input schema of "+f.work.action.Name+" allows", "with.%s: %s", m.key, validation(err)))
	}
}

// validateAll holds a wholly literal input against the whole schema.
func (f *filler) validateAll(with *node) {
	if f.failed || f.work.input == nil || len(f.work.bindings) > 0 {
		return
	}
	if err := f.work.input.validator.Validate(plain(f.work.template)); err != nil {
		f.problem(with.at, found(CodeInvalidValue, "give what the input schema of "+f.work.action.Name+" asks for", "with: %s", validation(err)))
	}
}

// validation shortens an error of the validator: "validating root: validating
// /properties/x: type: ..." says more about it than about the value.
func validation(err error) string {
	message := err.Error()
	for {
		rest, ok := strings.CutPrefix(message, "validating ")
		if !ok {
			return clipTo(message, 200)
		}
		_, after, ok := strings.Cut(rest, ": ")
		if !ok {
			return clipTo(message, 200)
		}
		message = after
	}
}

// memberShape is the shape of a member, and whether it may be there at all.
func (f *filler) memberShape(s *shape, m member, pointer string) (*shape, bool) {
	if inner, ok := s.members[m.key]; ok {
		return inner, true
	}
	if s.extra != nil || s.kind == shapeDyn {
		return orDyn(s.extra), true
	}
	f.problem(m.at, found(CodeUnknownMember, suggest(m.key, s.names()), "%s has no member %q", pathOf(pointer), clip(m.key)))
	return nil, false
}

func orDyn(s *shape) *shape {
	if s == nil {
		return dyn
	}
	return s
}

func (f *filler) required(s *shape, n *node, pointer string) {
	for _, name := range s.required {
		if _, ok := n.get(name); !ok {
			f.problem(n.at, found(CodeMissingMember, "add "+name+": a value of type "+orDyn(s.members[name]).String(), "%s has no %s, which %s requires", pathOf(pointer), name, f.work.action.Name))
		}
	}
}

// fill is the template's value for a node.
func (f *filler) fill(n *node, s *shape, pointer string) any {
	if n.labels != nil && !f.edited {
		f.work.edited = append(f.work.edited, writ.EditedValue{Path: pointer, Labels: n.labels})
		f.edited = true
		defer func() { f.edited = false }()
	}
	if n.kind == stringNode {
		return f.text(n, s, pointer)
	}
	if !nodeFits(n, s) {
		f.problem(n.at, found(CodeWrongType, "write a value of type "+s.String(), "%s is of type %s, not %s", pathOf(pointer), n.kind, s))
		return nil
	}
	switch n.kind {
	case listNode:
		list := make([]any, len(n.items))
		for i, item := range n.items {
			bound := len(f.work.bindings)
			list[i] = f.fill(item, orDyn(s.item), pointerTo(pointer, strconv.Itoa(i)))
			optional := item.kind == stringNode && len(f.work.bindings) > bound && f.work.bindings[bound].expr.optional()
			if optional || list[i] == any(absent{}) {
				f.problem(item.at, found(CodeExpressionType, "end it with .orValue(...)", "an element of %s may hold no value", pathOf(pointer)))
			}
		}
		return list
	case mapNode:
		object := map[string]any{}
		for _, m := range n.members {
			inner, ok := f.memberShape(s, m, pointer)
			if !ok {
				continue
			}
			if v := f.fill(m.value, inner, pointerTo(pointer, m.key)); v != any(absent{}) {
				object[m.key] = v
			}
		}
		f.required(s, n, pointer)
		return object
	}
	return n.value()
}

// nodeFits reports whether a node that is no string may be where s is wanted.
func nodeFits(n *node, s *shape) bool {
	switch s.kind {
	case shapeDyn:
		return true
	case shapeList:
		return n.kind == listNode || (n.kind == nullNode && s.nullable)
	case shapeMap, shapeObject:
		return n.kind == mapNode || (n.kind == nullNode && s.nullable)
	case shapeBool:
		return n.kind == boolNode || (n.kind == nullNode && s.nullable)
	case shapeNumber:
		return n.kind == numberNode || (n.kind == nullNode && s.nullable)
	case shapeInt:
		return (n.kind == numberNode && integral(n.text)) || (n.kind == nullNode && s.nullable)
	case shapeNull:
		return n.kind == nullNode
	}
	return n.kind == nullNode && s.nullable
}

func integral(text string) bool {
	v, err := strconv.ParseFloat(text, 64)
	return err == nil && v == math.Trunc(v)
}

// text is a string: a literal, an expression, or both.
func (f *filler) text(n *node, s *shape, pointer string) any {
	parts, problem := []part{{text: n.text}}, (*finding)(nil)
	if !n.literal {
		parts, problem = splitTemplate(n.text)
	}
	if problem != nil {
		f.problem(n.at, *problem)
		return nil
	}
	var expr *compiled
	switch {
	case len(parts) == 1 && parts[0].expression:
		if expr = f.compiler.expression(f.env, parts[0], n.at); expr == nil {
			f.failed = true
			return nil
		}
	case slices.ContainsFunc(parts, func(p part) bool { return p.expression }):
		if expr = f.concatenation(parts, n.at); expr == nil {
			f.failed = true
			return nil
		}
	default:
		if s.kind != shapeString && s.kind != shapeDyn {
			f.problem(n.at, found(CodeWrongType, "write a value of type "+s.String(), "%s is of type string, not %s", pathOf(pointer), s))
		}
		return literalText(parts)
	}
	if reason := fits(expr.shape, s, 0); reason != "" {
		f.problem(n.at, found(CodeExpressionType, "convert it, or read another member", "%s: the expression %s", pathOf(pointer), reason))
		return nil
	}
	if expr.constant() {
		return f.constant(expr, n.at)
	}
	f.work.bindings = append(f.work.bindings, binding{pointer: pointer, at: n.at, expr: expr})
	return nil
}

// concatenation compiles each expression for its own errors, and then the whole.
func (f *filler) concatenation(parts []part, at place) *compiled {
	ok := true
	for _, p := range parts {
		if !p.expression {
			continue
		}
		one := f.compiler.expression(f.env, p, at)
		if one == nil {
			ok = false
			continue
		}
		if kind := one.shape.kind; kind == shapeNull || kind >= shapeList || one.optional() {
			ok = false
			f.problem(f.compiler.problems.source.inside(at, p.raw, 0), found(CodeExpressionType, "read a member of it, or let it stand alone",
				"a value of type %s cannot be joined with text", one.shape))
		}
	}
	if !ok {
		return nil
	}
	return f.compiler.expression(f.env, part{text: joined(parts), expression: true}, at)
}

// constant evaluates an expression over literals alone, so that the step's
// capabilities can be narrowed and its verdict settled before anything runs.
func (f *filler) constant(expr *compiled, at place) any {
	program, err := f.env.program(expr.ast)
	if err != nil {
		f.problem(at, found(CodeExpressionType, "correct the expression", "%v", err))
		return nil
	}
	value, problem := evaluate(program, map[string]any{rootInputs: toCEL(f.compiler.inputs, f.compiler.scope.inputs)})
	if problem != nil {
		f.problem(at, *problem)
		return nil
	}
	return value
}

// RFC 6901 section 3.
var (
	pointerEscape   = strings.NewReplacer("~", "~0", "/", "~1")
	pointerUnescape = strings.NewReplacer("~1", "/", "~0", "~")
)

// pointerTo extends an RFC 6901 pointer.
func pointerTo(pointer, name string) string {
	return pointer + "/" + pointerEscape.Replace(name)
}

// pathOf is a pointer into the arguments as a person writes it.
func pathOf(pointer string) string {
	return pointerUnescape.Replace("with" + strings.ReplaceAll(pointer, "/", "."))
}
