package policy

import (
	"bytes"
	"context"
	"encoding/json"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"pgregory.net/rapid"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/canon"
)

func TestFastInputEqualsJSON(t *testing.T) {
	m := newMemory()
	rapid.Check(t, func(t *rapid.T) {
		q := questions(t)
		q.Step.Name = rapid.String().Draw(t, "name") + rapid.SampledFrom([]string{"", "\xff\xfe", "é"}).Draw(t, "bytes")
		q.Step.Input = rapid.SampledFrom([]json.RawMessage{nil, []byte(`null`), []byte(`{"a":[1,1e3,"é",true,null]}`), []byte(`7`)}).Draw(t, "input")
		q.Step.Capabilities = append(q.Step.Capabilities, writ.Capability{
			Tool: "mcp.call", Servers: []string{"s"}, Models: []string{"m"}, Channels: []string{"c"}, Idempotent: true,
			Secrets: []abi.Secret{{Name: "n", Scheme: "https", Host: "h", InjectAs: "bearer"}},
		})
		if rapid.Bool().Draw(t, "full") {
			q.Principal.OnBehalfOf, q.Principal.Session, q.Principal.Source = []writ.PrincipalID{"bob"}, "s", "tok"
			q.Grants = append(q.Grants, writ.Grant{ID: "x", Parent: "y", Skills: []writ.SkillKey{"a/b"}, MaxUses: 3, Uses: 1})
		}
		raw, err := json.Marshal(q)
		if err != nil {
			t.Fatal(err)
		}
		want, err := ast.ValueFromReader(bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		got, err := m.questionValue(q)
		if err != nil {
			t.Fatal(err)
		}
		if got.Compare(want) != 0 {
			t.Fatalf("got  %v\nwant %v", got, want)
		}
	})
}

// What a built-in reads of the question itself is what it reads of its form.
func TestMissingGrantsOfQuestionAndForm(t *testing.T) {
	m := newMemory()
	for _, unknown := range []bool{false, true} {
		rapid.Check(t, func(t *rapid.T) {
			q := questions(t)
			q.Step.Tools = rapid.SliceOf(rapid.SampledFrom([]string{"http.request", "kv.put", "*"})).Draw(t, "tools")
			for i := range q.Grants {
				q.Grants[i].MaxUses, q.Grants[i].Uses = rapid.IntRange(-1, 2).Draw(t, "maxUses"), rapid.IntRange(0, 2).Draw(t, "uses")
				q.Grants[i].BreakGlass = rapid.Bool().Draw(t, "breakGlass")
				q.Grants[i].Skills = rapid.SliceOf(rapid.SampledFrom([]writ.SkillKey{q.Step.Skill, "a/b"})).Draw(t, "skills")
				q.Grants[i].Expires = rapid.SampledFrom([]writ.Time{0, q.Time - 1, q.Time, q.Time + 1}).Draw(t, "expires")
			}
			if unknown {
				q.Principal = nil
			}
			if rapid.IntRange(0, 9).Draw(t, "timeless") == 0 {
				q.Time = 0
			}
			form, err := m.questionValue(q)
			if err != nil {
				t.Fatal(err)
			}
			want, err := builtinMissing(rego.BuiltinContext{Context: context.Background()}, ast.NewTerm(form))
			if err != nil {
				t.Fatal(err)
			}
			got, err := builtinMissing(rego.BuiltinContext{Context: withQuestion(context.Background(), &asked{q, form})}, ast.NewTerm(form))
			if err != nil || got.Value.Compare(want.Value) != 0 {
				t.Fatalf("got %v, %v; want %v", got, err, want)
			}
		})
	}
}

// The same answer is read once; what one caller does to its verdict is its own.
func TestVerdictsAreNotShared(t *testing.T) {
	p := compileDefault(t)
	low, medium := stepQuestion(), stepQuestion()
	medium.Step.Risk = writ.RiskMedium
	for _, q := range []*writ.Question{low, medium} {
		first := decide(t, p, q)
		want, err := canon.MarshalJSON(first)
		if err != nil {
			t.Fatal(err)
		}
		first.Reasons[0].Rule, first.Budget.Calls = "changed", 7
		for i := range first.Approvals.Roles {
			first.Approvals.Roles[i] = "changed"
		}
		for i := range first.Approvals.EscalateTo {
			first.Approvals.EscalateTo[i] = "changed"
		}
		got, err := canon.MarshalJSON(decide(t, p, q))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s after a change of the first, %v; want %s", got, err, want)
		}
	}
}

// Entries of the memory must not change when the caller's slices do.
func TestMemoryKeepsNothingOfTheCaller(t *testing.T) {
	p := compileDefault(t)
	q := stepQuestion()
	if v := decide(t, p, q); v.Mode != writ.Autonomous {
		t.Fatal(v)
	}
	q.Grants[0].Capability.Hosts[0] = "other.example.com"
	q.Step.Capabilities[0].Hosts = []string{"api.example.com"}
	if v := decide(t, p, q); v.Mode != writ.Blocked {
		t.Fatalf("a grant that was changed in place still counts: %+v", v)
	}
}
