package plan

import (
	"maps"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/types"
	"github.com/writ-run/writ"
)

// Roots of expressions.
const (
	rootIntent = "intent"
	rootInputs = "inputs"
	rootSteps  = "steps"
	rootItem   = "item"   // of forEach
	rootIndex  = "index"  // of forEach
	rootInput  = "input"  // of the step that a compensation undoes
	rootOutput = "output" // of the step that a compensation undoes
)

// Sizes that the static cost assumes where a schema does not say: the runtime
// bound holds for whatever really comes.
const (
	assumedItems  = 64
	assumedLength = 1024
)

// scopeTypes are the shapes that expressions may read.
type scopeTypes struct {
	inputs *shape
	steps  map[string]*shape // outputs by step name
	item   *shape            // nil outside forEach
	input  *shape            // nil outside compensate
	output *shape            // nil outside compensate
}

// exprEnv compiles expressions over one scope.
type exprEnv struct {
	env      *cel.Env
	provider *provider
	maxCost  uint64
}

// text members of the intent are what its author wrote or could choose.
var intentShape = &shape{kind: shapeObject, members: map[string]*shape{
	"id": {kind: shapeString, most: 64}, "executionId": {kind: shapeString, most: 64},
	"tenantId": {kind: shapeString, most: 64}, "workspaceId": {kind: shapeString, most: 64},
	"text": {kind: shapeString}, "actorId": {kind: shapeString, most: 256},
	"channelKey": {kind: shapeString, most: 256}, "origin": {kind: shapeString, most: 16},
	"metadata": {kind: shapeMap, extra: dyn}, "traceId": {kind: shapeString, most: 32},
	"receivedAt": {kind: shapeString, most: 32},
}}

// hostMembers are the members of the intent that the host itself sets.
var hostMembers = []string{"id", "executionId", "tenantId", "workspaceId", "channelKey", "origin", "receivedAt"}

func (p *Planner) newEnv(scope *scopeTypes) (*exprEnv, error) {
	provider := newProvider(p.registry)
	steps := &shape{kind: shapeObject, members: map[string]*shape{}}
	for name, output := range scope.steps {
		steps.members[name] = &shape{kind: shapeObject, members: map[string]*shape{"output": output}}
	}
	options := []cel.EnvOption{
		cel.CustomTypeProvider(provider), cel.CustomTypeAdapter(adapter{p.registry}),
		cel.Variable(rootIntent, provider.declare(rootIntent, intentShape)),
		cel.Variable(rootInputs, provider.declare(rootInputs, scope.inputs)),
		cel.Variable(rootSteps, provider.declare(rootSteps, steps)),
	}
	if scope.item != nil {
		options = append(options, cel.Variable(rootItem, provider.declare(rootItem, scope.item)), cel.Variable(rootIndex, cel.IntType))
	}
	for name, s := range map[string]*shape{rootInput: scope.input, rootOutput: scope.output} {
		if s != nil {
			options = append(options, cel.Variable(name, provider.declare(name, s)))
		}
	}
	env, err := p.base.Extend(options...)
	if err != nil {
		return nil, err
	}
	return &exprEnv{env: env, provider: provider, maxCost: p.maxCost}, nil
}

// compiled is a type-checked expression.
type compiled struct {
	source string
	ast    *cel.Ast
	shape  *shape
	reads  []string
	steps  []string // names of the steps that it reads, sorted
	intent []string // members of the intent, "" for all of it
}

// constant reports whether the value is known while compiling.
func (c *compiled) constant() bool {
	return len(c.steps) == 0 && len(c.intent) == 0 && !readsItem(c.reads) && !readsForward(c.reads)
}

// readsForward reports whether a value depends on the step that is undone.
func readsForward(reads []string) bool {
	return slices.Contains(reads, rootInput) || slices.Contains(reads, rootOutput)
}

// readsItem reports whether a value differs between the iterations of forEach.
func readsItem(reads []string) bool {
	return slices.Contains(reads, rootItem) || slices.Contains(reads, rootIndex)
}

// optional reports whether the expression may yield nothing.
func (c *compiled) optional() bool { return isOptional(c.ast.OutputType()) }

func isOptional(t *types.Type) bool {
	return t.Kind() == types.OpaqueKind && t.TypeName() == "optional_type" && len(t.Parameters()) == 1
}

// exprError is what is wrong with an expression and where in it: a line from 1
// and a column from 0.
type exprError struct {
	finding
	line, column int
}

// compile checks one expression. The errors are all that CEL finds.
func (e *exprEnv) compile(source string) (*compiled, []exprError) {
	if strings.TrimSpace(source) == "" {
		return nil, []exprError{{finding: found(CodeExpressionSyntax, "write an expression or remove the marks", "the expression is empty")}}
	}
	parsed, issues := e.env.Parse(source)
	if issues.Err() != nil {
		return nil, e.issues(issues, nil)
	}
	checked, issues := e.env.Check(parsed)
	if issues.Err() != nil {
		return nil, e.issues(issues, parsed.NativeRep())
	}
	out := &compiled{source: source, ast: checked}
	if failed := e.read(out); failed != nil {
		return nil, []exprError{*failed}
	}
	estimate, err := e.env.EstimateCost(checked, sizes{e.provider})
	if err != nil || estimate.Max > e.maxCost {
		return nil, []exprError{{finding: found(CodeExpressionLimit, "nest fewer comprehensions, or bound the data with maxItems or maxLength in its schema",
			"the expression may cost %d, at most %d is allowed", estimate.Max, e.maxCost)}}
	}
	s, ok := e.provider.shapeOf(unwrapOptional(checked.OutputType()))
	if !ok {
		return nil, []exprError{{finding: found(CodeExpressionType, "convert it, for example with string(...)", "a value of type %s has no JSON form", checked.OutputType())}}
	}
	out.shape = s
	return out, nil
}

func unwrapOptional(t *types.Type) *types.Type {
	if isOptional(t) {
		return t.Parameters()[0]
	}
	return t
}

// read finds what the expression reads.
func (e *exprEnv) read(out *compiled) *exprError {
	r := newReader()
	r.visit(out.ast.NativeRep().Expr())
	if r.failed != nil {
		return &exprError{finding: *r.failed, line: 1}
	}
	out.reads = slices.Sorted(maps.Keys(r.found))
	out.steps = slices.Sorted(maps.Keys(r.steps))
	out.intent = slices.Sorted(maps.Keys(r.intent))
	return nil
}

func newReader() *reader {
	return &reader{found: map[string]bool{}, steps: map[string]bool{}, intent: map[string]bool{}, paths: map[string]bool{}}
}

// reader walks an expression for its roots.
type reader struct {
	found, steps, intent map[string]bool
	paths                map[string]bool // as they are written
	failed               *finding
}

func (r *reader) fail(f finding) {
	if r.failed == nil {
		r.failed = &f
	}
}

func (r *reader) visit(e ast.Expr) {
	switch e.Kind() {
	case ast.IdentKind:
		r.root(e.AsIdent(), nil)
	case ast.SelectKind:
		if name, path, ok := selection(e); ok {
			r.root(name, path)
			return
		}
		r.visit(e.AsSelect().Operand())
	case ast.StructKind:
		r.fail(found(CodeExpressionType, "write an object as {\"member\": value}", "a typed object cannot be written"))
	case ast.ComprehensionKind:
		c := e.AsComprehension()
		for _, name := range []string{c.IterVar(), c.IterVar2(), c.AccuVar()} {
			if slices.Contains([]string{rootIntent, rootInputs, rootSteps, rootItem, rootIndex, rootInput, rootOutput}, name) {
				r.fail(found(CodeExpressionUnknown, "give the variable another name", "%s cannot be the variable of a macro", name))
			}
		}
		for _, part := range []ast.Expr{c.IterRange(), c.AccuInit(), c.LoopCondition(), c.LoopStep(), c.Result()} {
			r.visit(part)
		}
	case ast.CallKind:
		call := e.AsCall()
		if call.IsMemberFunction() {
			r.visit(call.Target())
		}
		for _, arg := range call.Args() {
			r.visit(arg)
		}
	case ast.ListKind:
		for _, element := range e.AsList().Elements() {
			r.visit(element)
		}
	case ast.MapKind:
		for _, entry := range e.AsMap().Entries() {
			r.visit(entry.AsMapEntry().Key())
			r.visit(entry.AsMapEntry().Value())
		}
	}
}

// selection is the root and the path of a chain of members.
func selection(e ast.Expr) (root string, path []string, ok bool) {
	for e.Kind() == ast.SelectKind {
		path = append(path, e.AsSelect().FieldName())
		e = e.AsSelect().Operand()
	}
	slices.Reverse(path)
	if e.Kind() != ast.IdentKind {
		return "", nil, false
	}
	return e.AsIdent(), path, true
}

func (r *reader) root(name string, path []string) {
	name = strings.TrimPrefix(name, ".")
	r.paths[strings.Join(append([]string{name}, path...), ".")] = true
	switch name {
	case rootIntent:
		r.found[rootIntent] = true
		if len(path) == 0 {
			path = []string{""}
		}
		r.intent[path[0]] = true
	case rootSteps:
		if len(path) == 0 {
			r.fail(found(CodeExpressionType, "name a step: steps.NAME.output", "steps as a whole is not a value"))
			return
		}
		r.found[rootSteps+"."+path[0]], r.steps[path[0]] = true, true
	case rootInputs, rootItem, rootIndex, rootInput, rootOutput:
		r.found[name] = true
	}
}

// sizes estimates how large the data of an expression is.
type sizes struct{ provider *provider }

// EstimateCallCost implements cost.Estimator: CEL's own costs.
func (sizes) EstimateCallCost(string, string, *cost.AstNode, []cost.AstNode) *cost.CallEstimate {
	return nil
}

// EstimateSize implements cost.Estimator.
func (s sizes) EstimateSize(node cost.AstNode) *cost.SizeEstimate {
	if size := node.ComputedSize(); size != nil {
		return size
	}
	most := uint64(assumedItems)
	if kind := node.Type().Kind(); kind == types.StringKind || kind == types.BytesKind {
		most = assumedLength
	}
	if declared := s.declared(node.Path()); declared != nil && declared.most > 0 {
		most = declared.most
	}
	return &cost.SizeEstimate{Max: most}
}

// declared is the shape at a path such as steps.read.output.items.@items.
func (s sizes) declared(path []string) *shape {
	if len(path) == 0 {
		return nil
	}
	at := s.provider.objects["object("+path[0]+")"]
	for _, name := range path[1:] {
		switch {
		case at == nil:
			return nil
		case name == "@items":
			at = at.item
		case name == "@values":
			at = at.extra
		default:
			at = at.members[name]
		}
	}
	return at
}

// labels is the join of the labels of what the expression reads. The author
// chose the expression, so the author's label is always among them.
func (c *compiled) labels(of *labelling) []writ.Label {
	sets := [][]writ.Label{of.author}
	for _, member := range c.intent {
		sets = append(sets, of.intent(member))
	}
	for _, step := range c.steps {
		sets = append(sets, of.outputs[step])
	}
	if readsItem(c.reads) {
		sets = append(sets, of.item)
	}
	if readsForward(c.reads) {
		sets = append(sets, of.forward)
	}
	return writ.JoinLabels(sets...)
}
