package plan

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"cel.dev/cel-go/cel"
	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/canon"
)

// maxInputBytes bounds the input of one step: outputs of other steps may be
// copied into it many times.
const maxInputBytes = 4 << 20

// runnable is an expression of a plan, ready to be evaluated.
type runnable struct {
	program cel.Program
	scope   *scopeTypes
	shape   *shape // of the value
	key     string // of all that it depends on
}

// Resolve implements writ.Planner. Labels, risk and taint are those of the plan
// joined with the labels of this run: never less than planned. CodeInvalid where
// an expression fails or the input does not fit the schema, CodeForbidden where
// it reaches beyond the planned capabilities, CodeTooLarge, and CodeTampered
// where the release or the plan is not what was compiled.
func (p *Planner) Resolve(plan *writ.Plan, step *writ.Step, scope writ.Scope) (*writ.ResolvedStep, error) {
	r, err := p.resolver(plan, step, &scope)
	if err != nil {
		return nil, err
	}
	if scope.Caller != nil {
		return r.called()
	}
	if step.When != nil {
		runs, err := r.condition()
		if err != nil {
			return nil, err
		}
		if !runs {
			return &writ.ResolvedStep{Skip: true, Taint: r.runLabels(step.When)}, nil
		}
	}
	input, err := r.input()
	if err != nil {
		return nil, err
	}
	canonical, err := r.checked(input)
	if err != nil {
		return nil, err
	}
	capabilities, err := r.capabilities(input)
	if err != nil {
		return nil, err
	}
	out := &writ.ResolvedStep{Input: canonical, Capabilities: capabilities}
	r.taint(out)
	return out, nil
}

// resolver resolves one step.
type resolver struct {
	planner  *Planner
	plan     *writ.Plan
	step     *writ.Step
	scope    *writ.Scope
	op       string
	manifest *abi.Manifest
	action   *abi.Action
	schema   *schema
	template any
	intent   any
	gates    map[string][]writ.Label // by step, of its conditions
}

func (r *resolver) fail(code writ.Code, f finding, place string) *writ.Error {
	return &writ.Error{Code: code, Op: r.op, Place: place, Message: f.message, Fix: f.fix}
}

func (p *Planner) resolver(plan *writ.Plan, step *writ.Step, scope *writ.Scope) (*resolver, error) {
	r := &resolver{planner: p, plan: plan, step: step, scope: scope, op: "step " + step.Name}
	if scope.Release == nil || scope.Release.Manifest == nil {
		return nil, writ.Errorf(writ.CodeInvalid, r.op, "there is no release of %s to resolve it with", step.Skill)
	}
	if scope.Release.SkillRef != step.Skill {
		return nil, writ.Errorf(writ.CodeTampered, r.op, "the release is %s, the plan pins %s", scope.Release.SkillRef, step.Skill)
	}
	r.manifest = scope.Release.Manifest
	i := slices.IndexFunc(r.manifest.Actions, func(a abi.Action) bool { return a.Name == step.Action })
	if i < 0 {
		return nil, writ.Errorf(writ.CodeTampered, r.op, "%s has no action %s", step.Skill, step.Action)
	}
	r.action = &r.manifest.Actions[i]
	var err error
	if r.schema, err = p.schema(r.action.Input); err != nil || r.schema.digest != step.InputSchema {
		return nil, writ.Errorf(writ.CodeTampered, r.op, "the input schema of %s is not the one of the plan", step.Action)
	}
	if step.ForEach != nil && scope.Item == nil {
		return nil, writ.Errorf(writ.CodeInvalid, r.op, "there is no element to resolve it with")
	}
	if r.template, err = decodeTemplate(step.Template); err != nil {
		return nil, writ.Errorf(writ.CodeTampered, r.op, "the template is not JSON: %w", err)
	}
	return r, nil
}

// condition evaluates when.
func (r *resolver) condition() (bool, error) {
	value, err := r.evaluate(placed{r.step.When, "when"})
	if err != nil {
		return false, err
	}
	runs, ok := value.(bool)
	if !ok {
		return false, r.fail(writ.CodeInvalid, found(CodeExpressionType, "compare with something, so that it is true or false", "the condition is neither true nor false"), "when")
	}
	return runs, nil
}

// placed is an expression with the place of messages about it.
type placed struct {
	*writ.Expression
	place string
}

// input is the template with the values of its bindings.
func (r *resolver) input() (any, error) {
	root := r.template
	for i := range r.step.Bindings {
		b := &r.step.Bindings[i]
		value, err := r.evaluate(placed{&b.Expression, pathOf(b.Path)})
		if err != nil {
			return nil, err
		}
		var ok bool
		if root, ok = setAt(root, b.Path, value); !ok {
			return nil, writ.Errorf(writ.CodeTampered, r.op, "the template has no place %s", b.Path)
		}
	}
	return root, nil
}

// checked is the canonical form of an input that fits the action's schema.
func (r *resolver) checked(input any) ([]byte, error) {
	raw, err := canon.MarshalJSON(input)
	if err != nil {
		return nil, &writ.Error{Code: writ.CodeInvalid, Op: r.op, Message: "the input has no canonical form", Err: err, Fix: numberFix}
	}
	if len(raw) > maxInputBytes {
		return nil, r.fail(writ.CodeTooLarge, found("", "pass less data to the step", "the input has %d bytes, at most %d are taken", len(raw), maxInputBytes), "with")
	}
	if err := r.schema.validator.Validate(plain(input)); err != nil {
		return nil, r.fail(writ.CodeInvalid, found("", "correct what the step reads, or the draft: "+r.step.Action+" does not take this input",
			"%s", validation(err)), "with")
	}
	return raw, nil
}

// capabilities are those of this input. Each lies within one of the plan.
func (r *resolver) capabilities(input any) ([]writ.Capability, error) {
	n := &narrower{manifest: r.manifest, action: r.action, input: r.schema.shape, lookup: func(path []string) argument {
		return argumentAt(input, path, func(string) bool { return false })
	}}
	narrowed, failed := n.narrow()
	if len(failed) > 0 {
		return nil, r.fail(writ.CodeForbidden, failed[0].finding, "with")
	}
	if from := r.scope.Caller; from != nil {
		narrowed = writ.IntersectCapabilities(narrowed, from.Within)
	}
	for i := range narrowed {
		c := &narrowed[i]
		if !slices.ContainsFunc(r.step.Capabilities, func(planned writ.Capability) bool { return writ.CapabilityCovers(&planned, c) }) {
			return nil, r.fail(writ.CodeForbidden, found("", "compile a plan whose arguments say so", "%s is beyond what the plan foresaw", describe(c, nil)), "with")
		}
	}
	return narrowed, nil
}

// evaluate runs one expression of the plan.
func (r *resolver) evaluate(e placed) (any, error) {
	run, err := r.runnable(e)
	if err != nil {
		return nil, err
	}
	vars, err := r.variables(e, run.scope)
	if err != nil {
		return nil, err
	}
	value, problem := evaluate(run.program, vars)
	if problem != nil {
		return nil, r.fail(writ.CodeInvalid, *problem, e.place)
	}
	return value, nil
}

// runnable compiles an expression against the schemas that the plan carries. It
// is cached by all that it depends on.
func (r *resolver) runnable(e placed) (*runnable, error) {
	scope, cacheKey, err := r.types(e)
	if err != nil {
		return nil, err
	}
	if known, ok := r.planner.programs.get(cacheKey); ok {
		return known, nil
	}
	env, err := r.planner.newEnv(scope)
	if err != nil {
		return nil, &writ.Error{Code: writ.CodeInternal, Op: r.op, Err: err}
	}
	out, failed := env.compile(e.CEL)
	if len(failed) > 0 {
		return nil, writ.Errorf(writ.CodeTampered, r.op, "%s does not compile against the plan: %s", e.place, failed[0].message)
	}
	program, err := env.program(out.ast)
	if err != nil {
		return nil, &writ.Error{Code: writ.CodeInternal, Op: r.op, Err: err}
	}
	run := &runnable{program: program, scope: scope, shape: out.shape, key: cacheKey}
	r.planner.programs.put(cacheKey, run)
	return run, nil
}

// types are the shapes of what an expression reads, and a key of all that it
// depends on.
func (r *resolver) types(e placed) (*scopeTypes, string, error) {
	scope := &scopeTypes{inputs: &shape{kind: shapeObject}, steps: map[string]*shape{}}
	key := []string{strconv.Quote(e.CEL)}
	for _, read := range e.Reads {
		name, ok := strings.CutPrefix(read, rootSteps+".")
		if !ok {
			continue
		}
		digest, output, err := r.output(name)
		if err != nil {
			return nil, "", err
		}
		scope.steps[name] = output
		key = append(key, name, digest)
	}
	if readsItem(e.Reads) {
		element, of, err := r.itemShape()
		if err != nil {
			return nil, "", err
		}
		scope.item = element
		key = append(key, rootItem, strconv.Quote(of))
	}
	if readsForward(e.Reads) {
		of, err := r.forwardShapes(scope)
		if err != nil {
			return nil, "", err
		}
		key = append(key, rootOutput, of)
	}
	if slices.Contains(e.Reads, rootInputs) {
		inputs, err := canon.Decode(r.plan.Inputs)
		if err != nil {
			return nil, "", writ.Errorf(writ.CodeTampered, r.op, "the inputs of the plan are not JSON: %w", err)
		}
		scope.inputs = literalShape(inputs)
		key = append(key, rootInputs, string(r.plan.Inputs))
	}
	return scope, strings.Join(key, " "), nil
}

// output is the shape of what another step yields, and a key of it.
func (r *resolver) output(name string) (string, *shape, error) {
	other, ok := r.plan.Step(name)
	if !ok || other.Name != name {
		return "", nil, writ.Errorf(writ.CodeTampered, r.op, "the plan has no step %s", name)
	}
	read, err := r.planner.schema(r.plan.Schemas[other.OutputSchema])
	if err != nil || read.digest != other.OutputSchema {
		return "", nil, writ.Errorf(writ.CodeTampered, r.op, "the plan does not hold the output schema of step %s", name)
	}
	key := string(read.digest)
	if other.ForEach != nil {
		key += "[]"
	}
	return key, yield(read.shape, other.ForEach != nil), nil
}

// variables are the values that an expression reads, typed by their schemas.
func (r *resolver) variables(e placed, types *scopeTypes) (map[string]any, error) {
	vars := map[string]any{}
	steps := map[string]any{}
	for name, shape := range types.steps {
		outputs := map[string]any{}
		if raw, ok := r.scope.Outputs[name]; ok {
			value, err := canon.Decode(raw)
			if err != nil {
				return nil, writ.Errorf(writ.CodeInvalid, r.op, "the output of step %s is not JSON: %w", name, err)
			}
			outputs["output"] = toCEL(value, shape)
		}
		steps[name] = outputs
	}
	vars[rootSteps] = steps
	if slices.Contains(e.Reads, rootInputs) {
		inputs, err := canon.Decode(r.plan.Inputs)
		if err != nil {
			return nil, writ.Errorf(writ.CodeTampered, r.op, "the inputs of the plan are not JSON: %w", err)
		}
		vars[rootInputs] = toCEL(inputs, types.inputs)
	}
	if types.item != nil {
		if err := r.itemVariables(vars, types.item); err != nil {
			return nil, err
		}
	}
	if types.input != nil || types.output != nil {
		if err := r.forwardVariables(vars, types); err != nil {
			return nil, err
		}
	}
	if slices.Contains(e.Reads, rootIntent) {
		if r.intent == nil {
			intent, err := intentValue(r.scope.Intent)
			if err != nil {
				return nil, &writ.Error{Code: writ.CodeInvalid, Op: r.op, Message: "the intent is not the JSON of an intent", Err: err}
			}
			r.intent = intent
		}
		vars[rootIntent] = r.intent
	}
	return vars, nil
}

// intentValue has every member of an intent: one that JSON leaves out is empty.
func intentValue(raw json.RawMessage) (any, error) {
	value, err := canon.Decode(raw)
	if err != nil {
		return nil, err
	}
	object, ok := value.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("it is not an object")
	}
	out := map[string]any{}
	for name, s := range intentShape.members {
		v, ok := object[name]
		switch {
		case ok && v != nil:
			out[name] = toCEL(v, s)
		case s.kind == shapeMap:
			out[name] = map[string]any{}
		default:
			out[name] = ""
		}
	}
	return out, nil
}
