package policy

import (
	"context"
	_ "embed"
	"errors"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	"github.com/open-policy-agent/opa/v1/util"

	"github.com/writ-run/writ"
)

//go:embed input.schema.json
var inputSchema []byte

// moduleSet says which modules take part.
type moduleSet bool

const (
	decisions moduleSet = false // tests left out
	withTests moduleSet = true
)

// program is a compiled set of modules with the bundle's data.
type program struct {
	op       string
	compiler *ast.Compiler
	store    storage.Store
	alters   bool // a rule asks others with a question that it has altered
}

func (b *Bundle) modules(set moduleSet) map[string]*ast.Module {
	modules := map[string]*ast.Module{}
	for _, m := range b.opa.Modules {
		if set == withTests || !isTest(m.Path) {
			modules[strings.TrimPrefix(m.Path, "/")] = m.Parsed.Copy()
		}
	}
	return modules
}

// newCompiler makes one that is strict and knows the shape of the input: a misspelt member is an
// error here and not a rule that never holds.
func newCompiler() (*ast.Compiler, error) {
	var schema any
	if err := util.UnmarshalJSON(inputSchema, &schema); err != nil {
		return nil, err
	}
	schemas := ast.NewSchemaSet()
	schemas.Put(ast.SchemaRootRef, schema)
	return ast.NewCompiler().WithCapabilities(capabilities()).WithStrict(true).
		WithSchemas(schemas).WithDefaultRegoVersion(ast.RegoV1), nil
}

func (b *Bundle) compile(set moduleSet) (*program, error) {
	op := "policy " + string(b.digest)
	compiler, err := newCompiler()
	if err != nil {
		return nil, writ.Errorf(writ.CodeInternal, op, "input schema: %w", err)
	}
	if compiler.Compile(b.modules(set)); compiler.Failed() {
		return nil, invalid(op, compiler.Errors)
	}
	for _, point := range decisionPoints {
		if len(compiler.GetRulesExact(ast.MustParseRef("data.writ."+string(point)))) == 0 {
			return nil, writ.Errorf(writ.CodeInvalid, op, "package writ has no rule %q", point).
				WithFix("define the rules %v in package writ", decisionPoints)
		}
	}
	p := &program{op: op, compiler: compiler, store: b.store()}
	for _, m := range compiler.Modules {
		ast.WalkWiths(m, func(*ast.With) bool {
			p.alters = true
			return true
		})
	}
	return p, nil
}

func (b *Bundle) store() storage.Store {
	return inmem.NewFromObjectWithOpts(b.opa.Data, inmem.OptReturnASTValuesOnRead(true), inmem.OptRoundTripOnWrite(false))
}

// prepare makes a query whose result is left in the evaluator's own form: the
// answer is read once, member by member, and never through JSON.
func (p *program) prepare(ctx context.Context, ref ast.Ref) (rego.PreparedEvalQuery, error) {
	options := []func(*rego.Rego){
		rego.ParsedQuery(ast.NewBody(ast.NewExpr(ast.NewTerm(ref)))),
		rego.Compiler(p.compiler), rego.Store(p.store), rego.StrictBuiltinErrors(true),
		rego.GenerateJSON(func(t *ast.Term, _ *rego.EvalContext) (any, error) { return t.Value, nil }),
	}
	for _, b := range ownBuiltins() {
		options = append(options, b.Func)
	}
	query, err := rego.New(options...).PrepareForEval(ctx)
	if err != nil {
		return query, invalid(p.op, err)
	}
	return query, nil
}

// maxProblems bounds what a message lists of a bundle that does not compile.
const maxProblems = 8

// invalid names the first problems with their places.
func invalid(op string, err error) error {
	var many ast.Errors
	if errors.As(err, &many) && len(many) > 0 {
		lines := []string{}
		for _, e := range many[:min(len(many), maxProblems)] {
			lines = append(lines, clean(strings.TrimPrefix(e.Error(), "/"), maxText))
		}
		return &writ.Error{
			Code: writ.CodeInvalid, Op: op, Message: strings.Join(lines, "; "), Err: err,
			Fix: "correct the rules and run `writ policy test` again",
		}
	}
	return &writ.Error{
		Code: writ.CodeInvalid, Op: op, Message: clean(err.Error(), maxText), Err: err,
		Fix: "correct the bundle and run `writ policy test` again",
	}
}
