package toolbox

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

const (
	testTenant    = writ.DefaultTenant
	testExecution = writ.ExecutionID("exe_1")
	testStep      = writ.StepID("stp_1")
	testSkill     = writ.SkillKey("pub/skill")
)

// bench is a toolbox with a permit to use it.
type bench struct {
	*Toolbox
	t         *testing.T
	permit    writ.Permit
	execution writ.ExecutionID
}

func newBench(t *testing.T, opts Options, capabilities ...writ.Capability) *bench {
	t.Helper()
	box, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := box.Close(); err != nil {
			t.Error(err)
		}
	})
	return &bench{Toolbox: box, t: t, permit: mint(t, testExecution, capabilities...), execution: testExecution}
}

func mint(t *testing.T, execution writ.ExecutionID, capabilities ...writ.Capability) writ.Permit {
	t.Helper()
	permit, err := writ.MintPermit(
		writ.PermitScope{
			Tenant: testTenant, Execution: execution, Step: testStep,
			Skill: writ.SkillRef{Key: testSkill}, Capabilities: capabilities,
		},
		writ.PermitEvidence{Verdict: &writ.Verdict{Mode: writ.Autonomous, Risk: writ.RiskLow}})
	if err != nil {
		t.Fatal(err)
	}
	return permit
}

// calls makes the key of every call its own, as occurrences do in an engine.
var calls atomic.Int64

// callOf is the call that an honest engine makes of arguments.
func (b *bench) callOf(tool string, args any) *writ.ToolCall {
	b.t.Helper()
	raw, ok := args.(string)
	if !ok {
		canonical, err := canon.MarshalJSON(args)
		if err != nil {
			b.t.Fatal(err)
		}
		raw = string(canonical)
	}
	facts, err := writ.CallFactsOf(tool, []byte(raw))
	if err != nil {
		b.t.Fatal(err)
	}
	return &writ.ToolCall{
		CallFacts: *facts, Tenant: testTenant, Skill: testSkill, Execution: b.execution, Step: testStep,
		Key: fmt.Sprint("key", calls.Add(1)), Labels: []writ.Label{writ.LabelStored},
	}
}

func (b *bench) do(tool string, args any) *writ.ToolResult {
	b.t.Helper()
	result, err := b.Perform(b.t.Context(), b.permit, b.callOf(tool, args))
	if err != nil {
		b.t.Fatal(err)
	}
	checkResult(b.t, tool, result)
	return result
}

// checkResult holds every result of every test to its schema and to the rule
// that a result is a body or a failure.
func checkResult(t *testing.T, tool string, result *writ.ToolResult) {
	t.Helper()
	if (result.Failure == nil) == (result.Body == nil) {
		t.Fatalf("%s: body %q and failure %v", tool, result.Body, result.Failure)
	}
	if result.Failure != nil {
		return
	}
	if form, err := canon.JSON(result.Body); err != nil || string(form) != string(result.Body) {
		t.Fatalf("%s: the body is not canonical: %q", tool, result.Body)
	}
	schemas, err := resultSchemas()
	if err != nil {
		t.Fatal(err)
	}
	var body any
	if err := json.Unmarshal(result.Body, &body); err != nil {
		t.Fatal(err)
	}
	if err := schemas[tool].Validate(body); err != nil {
		t.Fatalf("%s: %s does not fit the result's schema: %v", tool, result.Body, err)
	}
}

var resultSchemas = sync.OnceValues(func() (map[string]*jsonschema.Resolved, error) {
	schemas, err := Schemas()
	if err != nil {
		return nil, err
	}
	out := map[string]*jsonschema.Resolved{}
	for _, s := range schemas {
		var schema jsonschema.Schema
		if err := json.Unmarshal(s.Result, &schema); err != nil {
			return nil, err
		}
		if out[s.Tool], err = schema.Resolve(nil); err != nil {
			return nil, err
		}
	}
	return out, nil
})

func bodyOf[T any](t *testing.T, result *writ.ToolResult) T {
	t.Helper()
	if result.Failure != nil {
		t.Fatalf("failed: %v", result.Failure)
	}
	var v T
	if err := json.Unmarshal(result.Body, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func wantFailure(t *testing.T, result *writ.ToolResult, code string, outcome writ.Outcome) {
	t.Helper()
	if result.Failure == nil || result.Failure.Code != code || result.Outcome != outcome {
		t.Fatalf("got outcome %q, failure %v, body %.200q; want %q, %q", result.Outcome, result.Failure, result.Body, outcome, code)
	}
	if result.Failure.Message == "" {
		t.Error("the failure says nothing")
	}
}

func every(tool string) writ.Capability {
	return writ.Capability{Tool: tool, Paths: []string{"**"}, Prefixes: []string{""}}
}

// memoryStore shows what was committed to it.
type memoryStore struct {
	mu        sync.Mutex
	documents map[string][]byte
	err       error
	gets      int
	listed    []writ.StoreQuery
}

func (s *memoryStore) commit(changes ...writ.Change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.documents == nil {
		s.documents = map[string][]byte{}
	}
	for _, c := range changes {
		if c.Value == nil {
			delete(s.documents, c.Key)
		} else {
			s.documents[c.Key] = c.Value
		}
	}
}

func (s *memoryStore) Get(_ context.Context, tenant writ.TenantID, key string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gets++
	if s.err != nil {
		return nil, s.err
	}
	if document, ok := s.documents[key]; ok && tenant == testTenant {
		return document, nil
	}
	return nil, writ.Errorf(writ.CodeNotFound, key, "is not there")
}

func (s *memoryStore) List(_ context.Context, q writ.StoreQuery) ([]writ.Document, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listed = append(s.listed, q)
	if s.err != nil {
		return nil, s.err
	}
	var out []writ.Document
	for _, key := range slices.Sorted(maps.Keys(s.documents)) {
		if strings.HasPrefix(key, q.Prefix) && key > q.After && (q.Limit == 0 || len(out) < q.Limit) {
			out = append(out, writ.Document{Key: key, Value: s.documents[key]})
		}
	}
	return out, nil
}
