package policy

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/cover"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/tester"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// Bounds of a test run.
const (
	testDeadline = 2 * time.Second // each test; the default bundle's take under 5 ms
	runDeadline  = 60 * time.Second
	maxTests     = 2000
)

// Report is what the tests of a bundle came to.
type Report struct {
	Cases    []TestCase
	Coverage float64 // per cent of the lines of the rules, tests not counted
	Files    []contract.PolicyFileCoverage
}

// TestCase is one test. It passes only where the answer is the same with and
// without the evaluator's rule index and early exit.
type TestCase struct {
	Name    string
	Passed  bool
	Message string
}

// Failed counts the tests that did not pass.
func (r *Report) Failed() int {
	failed := 0
	for _, c := range r.Cases {
		if !c.Passed {
			failed++
		}
	}
	return failed
}

// RunTests runs the bundle's tests twice: an indexer that is wrong makes a deny
// rule silently not fire, and only the second run shows it. CodeInvalid where the
// bundle does not compile with its tests, CodeTimeout where they do not end.
func RunTests(ctx context.Context, b *Bundle) (*Report, error) {
	ctx, cancel := context.WithTimeout(ctx, runDeadline)
	defer cancel()
	// The runner compiles the modules itself and adds stages of its own.
	compiler, err := newCompiler()
	if err != nil {
		return nil, writ.Errorf(writ.CodeInternal, "policy test", "input schema: %w", err)
	}
	t := &testRun{op: "policy " + string(b.digest), bundle: b, compiler: compiler, store: b.store()}
	var report *Report
	err = storage.Txn(ctx, t.store, storage.TransactionParams{}, func(txn storage.Transaction) error {
		t.txn = txn
		report, err = t.run(ctx)
		return err
	})
	if ctx.Err() != nil {
		return nil, writ.Errorf(writ.CodeTimeout, t.op, "the tests did not end within %s", runDeadline)
	}
	return report, err
}

type testRun struct {
	op       string
	bundle   *Bundle
	compiler *ast.Compiler
	store    storage.Store
	txn      storage.Transaction
}

func (t *testRun) run(ctx context.Context) (*Report, error) {
	coverage := cover.New()
	modules := t.bundle.modules(withTests)
	runner := tester.NewRunner().SetCompiler(t.compiler).SetStore(t.store).SetModules(modules).
		AddCustomBuiltins(ownBuiltins()).SetCoverageQueryTracer(coverage).SetCoverageRuns(nil).
		SetTimeout(testDeadline).RaiseBuiltinErrors(true).SetParallel(1)
	results, err := runner.RunTests(ctx, t.txn)
	if err != nil {
		return nil, invalid(t.op, err)
	}
	report := &Report{}
	for result := range results {
		report.Cases = append(report.Cases, t.judge(ctx, result))
	}
	if len(report.Cases) > maxTests {
		return nil, writ.Errorf(writ.CodeTooLarge, t.op, "a bundle has at most %d tests", maxTests)
	}
	slices.SortFunc(report.Cases, func(a, b TestCase) int { return cmp.Compare(a.Name, b.Name) })
	report.cover(coverage, t.bundle)
	return report, nil
}

// cover notes which lines of the rules no test reaches, file by file. The tracer
// knows files by the paths that the bundle's reader gives them.
func (r *Report) cover(traced *cover.Cover, b *Bundle) {
	rules := map[string]*ast.Module{}
	for _, m := range b.opa.Modules {
		if !isTest(m.Path) {
			rules[m.Path] = m.Parsed
		}
	}
	files := traced.Report(rules).Files
	covered, lines := 0, 0
	for _, name := range slices.Sorted(maps.Keys(rules)) {
		of := files[name]
		file := contract.PolicyFileCoverage{
			File: strings.TrimPrefix(name, "/"), Coverage: of.Coverage, Lines: of.CoveredLines + of.NotCoveredLines, Uncovered: []string{},
		}
		covered, lines = covered+of.CoveredLines, lines+file.Lines
		if file.Lines == 0 {
			file.Coverage = 100 // nothing to reach
		}
		for _, part := range of.NotCovered {
			lines := strconv.Itoa(part.Start.Row)
			if part.End.Row > part.Start.Row {
				lines += "-" + strconv.Itoa(part.End.Row)
			}
			file.Uncovered = append(file.Uncovered, lines)
		}
		file.Uncovered = slices.Compact(file.Uncovered)
		r.Files = append(r.Files, file)
	}
	if r.Coverage = 100; lines > 0 {
		r.Coverage = 100 * float64(covered) / float64(lines)
	}
}

// judge runs the test once more the slow way.
func (t *testRun) judge(ctx context.Context, result *tester.Result) TestCase {
	c := TestCase{Name: result.Package + "." + result.Name}
	switch {
	case result.Skip:
		c.Message = "a test that is skipped proves nothing"
	case result.Error != nil:
		c.Message = clean(result.Error.Error(), maxText)
	case !result.Pass():
		c.Message = failedParts(result)
	default:
		c.Passed, c.Message = t.plain(ctx, c.Name)
	}
	return c
}

func failedParts(result *tester.Result) string {
	parts := []string{}
	for name, sub := range result.SubResults {
		if sub.Fail {
			parts = append(parts, name)
		}
	}
	if len(parts) == 0 {
		return fmt.Sprintf("fails at line %d", result.Location.Row)
	}
	slices.Sort(parts)
	return clean("fails for "+strings.Join(parts, ", "), maxText)
}

func (t *testRun) plain(ctx context.Context, name string) (bool, string) {
	ctx, cancel := context.WithTimeout(ctx, testDeadline)
	defer cancel()
	options := []func(*rego.Rego){
		rego.Query(name), rego.Compiler(t.compiler), rego.Store(t.store), rego.Transaction(t.txn),
		rego.StrictBuiltinErrors(true),
	}
	for _, b := range ownBuiltins() {
		options = append(options, b.Func)
	}
	query, err := rego.New(options...).PrepareForEval(ctx)
	if err != nil {
		return false, clean(err.Error(), maxText)
	}
	results, err := query.Eval(ctx, rego.EvalTransaction(t.txn), rego.EvalRuleIndexing(false), rego.EvalEarlyExit(false))
	switch {
	case err != nil:
		return false, clean("without the rule index: "+err.Error(), maxText)
	case len(results) == 0 || !holds(results[0].Expressions[0].Value):
		return false, "passes with the rule index and fails without it"
	}
	return true, ""
}

// holds reads a test's value: true, or an object of cases that are all true.
func holds(value any) bool {
	switch v := value.(type) {
	case bool:
		return v
	case map[string]any:
		for _, item := range v {
			if !holds(item) {
				return false
			}
		}
		return len(v) > 0
	}
	return false
}
