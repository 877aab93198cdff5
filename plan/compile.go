package plan

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/canon"
)

// maxExpressions bounds the work of compiling one draft: 256 steps of eight
// expressions, at about 0.1 ms each.
const maxExpressions = 2048

// compiler turns one draft into steps.
type compiler struct {
	planner   *Planner
	problems  *problems
	draft     *Draft
	labelling *labelling
	catalogue writ.Catalogue

	declassifies []writ.Declassification // of the policy law
	law          writ.Digest

	inputs      any // decoded
	scope       *scopeTypes
	env         *exprEnv
	expressions int
	callable    map[writ.SkillKey]*writ.Release // resolved for skill.call
	templates   int                             // of skill.call
	works       []*work                         // in the order of the draft
	byName      map[string]*work                // the first of each name
	order       []*work                         // topological
}

// work is one step on its way from draft to plan.
type work struct {
	draft    *DraftStep
	release  *writ.Release
	action   *abi.Action
	input    *schema
	output   *schema
	template any
	bindings []binding
	when     *compiled
	forEach  *compiled
	items    int // elements of a list that is known, -1 where it is not
	edited   []writ.EditedValue
	gate     []writ.Label // of when and forEach
	needs    []string
	step     writ.Step
	undo     *work // its compensation
	forward  *work // of a compensation: what it undoes
}

// binding is an expression and the place in the input where its value goes.
type binding struct {
	pointer string // RFC 6901
	at      place
	expr    *compiled
}

// run does everything but the plan itself. An error is not the draft's fault.
func (c *compiler) run() error {
	if err := c.resolveSkills(); err != nil {
		return err
	}
	c.scope = &scopeTypes{inputs: &shape{kind: shapeObject}, steps: map[string]*shape{}}
	if c.draft.inputs != nil {
		inputs, err := canon.Decode(c.draft.Inputs)
		if err != nil {
			return &writ.Error{Code: writ.CodeInternal, Op: "plan inputs", Err: err}
		}
		c.inputs, c.scope.inputs = inputs, literalShape(inputs)
	}
	for name, w := range c.byName {
		c.scope.steps[name] = dyn
		if w.output != nil {
			c.scope.steps[name] = yield(w.output.shape, w.draft.ForEach != "")
		}
	}
	env, err := c.planner.newEnv(c.scope)
	if err != nil {
		return &writ.Error{Code: writ.CodeInternal, Op: "plan expressions", Err: err}
	}
	c.env = env
	for _, w := range c.works {
		if err := c.expressionsOf(w); err != nil {
			return err
		}
	}
	c.countSteps()
	for _, w := range c.works {
		c.link(w)
	}
	c.sort()
	for _, w := range c.order {
		c.finish(w)
	}
	return nil
}

func (c *compiler) resolveSkills() error {
	c.byName = map[string]*work{}
	for i := range c.draft.Steps {
		s := &c.draft.Steps[i]
		w := &work{draft: s}
		c.works = append(c.works, w)
		if s.Name != "" && c.byName[s.Name] != nil {
			c.problems.add(s.at("name"), found(CodeDuplicateName, "give each step its own name", "two steps are named %s", s.Name))
		} else if s.Name != "" {
			c.byName[s.Name] = w
		}
		if err := c.resolveSkill(w); err != nil {
			return err
		}
		if s.Compensate != nil {
			w.undo = &work{draft: s.Compensate, forward: w}
			if err := c.resolveSkill(w.undo); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *compiler) resolveSkill(w *work) error {
	s := w.draft
	release, err := c.catalogue.Resolve(s.Skill, s.Constraint)
	if err != nil {
		problem, ok := catalogueProblem(s, err)
		if !ok {
			return err
		}
		c.problems.add(s.at("uses"), problem)
		return nil
	}
	if release == nil || release.Manifest == nil {
		return writ.Errorf(writ.CodeInternal, "skill "+wanted(s), "the catalogue gave no manifest")
	}
	w.release = release
	var names []string
	for i := range release.Manifest.Actions {
		if action := &release.Manifest.Actions[i]; action.Name == s.Action {
			w.action = action
		} else {
			names = append(names, action.Name)
		}
	}
	if w.action == nil {
		c.problems.add(s.at("uses"), found(CodeActionNotFound, suggest(s.Action, names), "%s has no action %q", release.SkillRef, clip(s.Action)))
		return nil
	}
	for _, part := range []struct {
		name string
		raw  []byte
		into **schema
	}{{"input", w.action.Input, &w.input}, {"output", w.action.Output, &w.output}} {
		read, err := c.planner.schema(part.raw)
		if err != nil {
			c.skillInvalid(w, "%s schema of %s: %v", part.name, w.action.Name, err)
			continue
		}
		*part.into = read
	}
	return nil
}

func (c *compiler) skillInvalid(w *work, format string, args ...any) {
	c.problems.add(w.draft.at("uses"), found(CodeSkillInvalid, "ask the skill's publisher for a corrected version, or pin an older one",
		"%s: %s", w.release.SkillRef, fmt.Sprintf(format, args...)))
}

// expressionsOf compiles forEach, when and the arguments of a step.
func (c *compiler) expressionsOf(w *work) error {
	s, env := w.draft, c.env
	if s.ForEach != "" {
		var err error
		if env, err = c.iteration(w); err != nil {
			return err
		}
	}
	if s.When != "" {
		w.when = c.condition(env, s.When, s.at("when"))
		if w.when != nil && (w.when.optional() || (w.when.shape.kind != shapeBool && w.when.shape.kind != shapeDyn)) {
			c.problems.add(s.at("when"), found(CodeExpressionType, "compare with something, so that it is true or false", "when is of type %s, not boolean", w.when.shape))
		}
	}
	f := &filler{compiler: c, work: w, env: env}
	f.fillStep()
	if w.undo == nil {
		return nil
	}
	return c.expressionsOfUndo(w)
}

// condition compiles a member that is CEL with or without the marks.
func (c *compiler) condition(env *exprEnv, text string, at place) *compiled {
	parts, problem := splitTemplate(text)
	switch {
	case problem != nil:
		c.problems.add(at, *problem)
		return nil
	case len(parts) == 1 && parts[0].expression:
		return c.expression(env, parts[0], at)
	case slices.ContainsFunc(parts, func(p part) bool { return p.expression }):
		c.problems.add(at, found(CodeExpressionSyntax, "write one expression", "text and expressions are mixed where one expression is expected"))
		return nil
	}
	return c.expression(env, part{text: strings.TrimSpace(text), raw: text, expression: true}, at)
}

// expression compiles one expression of the scalar at a place; nil after problems.
func (c *compiler) expression(env *exprEnv, p part, at place) *compiled {
	c.expressions++
	if c.expressions > maxExpressions {
		if c.expressions == maxExpressions+1 {
			c.problems.add(at, found(CodeTooLarge, "split the plan", "the plan has more than %d expressions", maxExpressions))
		}
		return nil
	}
	out, failed := env.compile(p.text)
	for _, f := range failed {
		c.problems.add(c.problems.source.inside(at, p.raw, p.offset(f.line, f.column)), f.finding)
	}
	return out
}

// link finds what the step needs.
func (c *compiler) link(w *work) {
	needs := map[string]bool{}
	read := func(e *compiled, at place) {
		if e == nil {
			return
		}
		for _, name := range e.steps {
			if name == w.draft.Name {
				c.problems.add(at, found(CodeSelfReference, "read another step", "step %s reads its own output", name))
				continue
			}
			needs[name] = true
		}
	}
	read(w.when, w.draft.at("when"))
	read(w.forEach, w.draft.at("forEach"))
	for _, b := range w.bindings {
		read(b.expr, b.at)
	}
	c.linkUndo(w, needs)
	for _, name := range w.draft.Needs {
		if c.other(w, name, w.draft.at("needs")) {
			needs[name] = true
		}
	}
	w.needs = slices.Sorted(maps.Keys(needs))
}

// other checks that a name is that of another step.
func (c *compiler) other(w *work, name string, at place) bool {
	if name == w.draft.Name {
		c.problems.add(at, found(CodeSelfReference, "name another step", "step %s names itself", name))
		return false
	}
	if c.byName[name] == nil {
		names := slices.DeleteFunc(slices.Sorted(maps.Keys(c.byName)), func(n string) bool { return n == w.draft.Name })
		c.problems.add(at, found(CodeUnknownStep, suggest(name, names), "there is no step %q", clip(name)))
		return false
	}
	return true
}

// assemble makes the plan of steps without problems.
func (c *compiler) assemble(origin writ.Origin) (*writ.CompiledPlan, error) {
	if origin.Label() == writ.LabelChannel {
		origin = writ.OriginChannel // also what is unknown
	}
	p := &writ.Plan{APIVersion: APIVersion, Kind: "CompiledPlan", Origin: origin, Steps: []writ.Step{}}
	p.Rules = c.labelling.rules
	for _, w := range c.order {
		if w.step.Declassified != nil {
			p.Law = c.law
		}
		p.Steps = append(p.Steps, w.step)
		keep := func(s *schema) {
			if p.Schemas == nil {
				p.Schemas = map[writ.Digest]json.RawMessage{}
			}
			p.Schemas[s.digest] = s.canonical
		}
		for _, e := range w.expressions() {
			if slices.Contains(e.reads, rootInputs) {
				p.Inputs = c.draft.Inputs
			}
			if slices.Contains(e.reads, rootInput) {
				keep(w.input)
			}
			if slices.Contains(e.reads, rootOutput) {
				keep(w.output)
			}
			for _, name := range e.steps {
				keep(c.byName[name].output)
			}
		}
	}
	b, err := canon.MarshalJSON(p)
	if err != nil {
		return nil, err
	}
	return &writ.CompiledPlan{
		Plan: p, Bytes: b, Hash: canon.Sum(canon.DomainPlan, b), ID: writ.PlanID(canon.ID("pln", canon.DomainPlan, b)),
	}, nil
}

// expressions are all of the step that are evaluated at run time.
func (w *work) expressions() []*compiled {
	var out []*compiled
	for _, e := range []*compiled{w.when, w.forEach} {
		if e != nil {
			out = append(out, e)
		}
	}
	for _, b := range w.bindings {
		out = append(out, b.expr)
	}
	if w.undo != nil {
		out = append(out, w.undo.expressions()...)
	}
	return out
}
