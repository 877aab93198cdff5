package engine_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/contract"
	"github.com/writ-run/writ/identity"
)

// TestAQuestionHasTheGrantsThatConcernItsStep: of a principal's many grants for the same
// tool those that reach what the step needs, also where they are for something else
// of it; the rest is in no record, and the execution replays.
func TestAQuestionHasTheGrantsThatConcernItsStep(t *testing.T) {
	c := newCounted(t, &rig{})
	for i := range 200 {
		c.grant(t, contract.GrantCreateInput{Capability: writ.Capability{Tool: abi.ToolKVPut, Prefixes: []string{fmt.Sprintf("other/%d", i)}}})
	}
	c.grant(t, contract.GrantCreateInput{Capability: writ.Capability{Tool: abi.ToolKVGet, Prefixes: []string{"k"}}})
	want := []string{
		c.grant(t, contract.GrantCreateInput{MaxUses: 2}),
		c.grant(t, contract.GrantCreateInput{MaxRisk: writ.RiskHigh, Skills: []writ.SkillKey{"acme/other"}}),
		c.grant(t, contract.GrantCreateInput{Capability: writ.Capability{Tool: writ.AnyTool}, MaxRisk: writ.RiskHigh, Skills: []writ.SkillKey{"acme/other"}}),
	}
	slices.Sort(want)
	exec := c.attempt(agent, keeping)
	c.expect(exec, writ.ExecCompleted)
	asked := c.questions(exec, writ.StageVerify, writ.StageDispatch, writ.StageCall)
	if len(asked) != 3 {
		t.Fatalf("%d questions", len(asked))
	}
	for _, q := range asked {
		var got []string
		for _, g := range q.Grants {
			got = append(got, g.ID)
		}
		if !slices.Equal(got, want) {
			t.Errorf("the question of the %s has %v, want %v", q.Point, got, want)
		}
	}
	c.identical(exec)
}

// byTool looks grants up as Writ did before it held them against capabilities.
type byTool struct{ *identity.Service }

func (b byTool) Candidates(ctx context.Context, p *writ.Principal, wanted []writ.Capability, held []writ.GrantUse) ([]writ.Grant, error) {
	var tools []writ.Capability
	for i := range wanted {
		tools = append(tools, writ.Capability{Tool: wanted[i].Tool})
	}
	return b.Service.Candidates(ctx, p, tools, held)
}

// TestQuestionsWithAllGrantsOfATool: what was recorded with them replays, and uses are
// counted on from it.
func TestQuestionsWithAllGrantsOfATool(t *testing.T) {
	c := newCounted(t, &rig{})
	used := c.grant(t, contract.GrantCreateInput{MaxUses: 2})
	for i := range 20 {
		c.grant(t, contract.GrantCreateInput{Capability: writ.Capability{Tool: abi.ToolKVPut, Prefixes: []string{fmt.Sprintf("other/%d", i)}}})
	}
	c.granted = byTool{c.people}
	c.reboot()
	before := c.attempt(agent, keeping)
	c.expect(before, writ.ExecCompleted)
	asked := c.questions(before, writ.StageDispatch)
	if len(asked) != 1 || len(asked[0].Grants) != 21 {
		t.Fatalf("%d questions, the first with %d grants", len(asked), len(asked[0].Grants))
	}
	c.granted = c.people
	c.reboot()
	c.identical(before)
	after := c.attempt(agent, keeping)
	c.identical(after)
	if got := append(c.taken(before), c.taken(after)...); !slices.Equal(got, []writ.GrantUse{{ID: used, Use: 1}, {ID: used, Use: 2}}) {
		t.Errorf("they took %+v", got)
	}
	if got := lines(c.whatIf(before, c.candidate("test/keep", nil, nil))); got != "" {
		t.Errorf("the same version differs:\n%s", got)
	}
}

// TestWhatIfLooksUpWhatWasNotAskedForThen: for a scope that the older version did not
// have the grants of today count, and for what it had those that were recorded.
func TestWhatIfLooksUpWhatWasNotAskedForThen(t *testing.T) {
	r := newRig(t)
	grant := func(id, prefix string) writ.Grant {
		return writ.Grant{
			ID: id, Principal: agent.ID, Tenant: writ.DefaultTenant, MaxRisk: writ.RiskHigh,
			Capability: writ.Capability{Tool: abi.ToolKVPut, Prefixes: []string{prefix}},
		}
	}
	r.grants = []writ.Grant{grant("grant_a", "k")}
	id := r.begin(agent, keeping)
	r.expect(id, writ.ExecCompleted)
	wider := r.candidate("test/keep", nil, func(m *abi.Manifest) {
		m.Capabilities = append(m.Capabilities, writ.Capability{Tool: abi.ToolKVPut, Prefixes: []string{"z"}})
	})
	for _, test := range []struct {
		name   string
		today  []writ.Grant
		blocks bool
	}{
		{"nothing of today", nil, true},
		{"what was recorded alone", []writ.Grant{grant("grant_a", "k")}, true},
		{"what is new", []writ.Grant{grant("grant_b", "z")}, false},
		{"one that reaches both", []writ.Grant{grant("grant_c", "")}, false},
	} {
		r.grants = test.today
		got := lines(r.whatIf(id, wider))
		if strings.Contains(got, `"autonomous" -> "blocked"`) != test.blocks {
			t.Errorf("%s: got\n%s", test.name, got)
		}
	}
	r.grants = nil // revoked since: what was recorded counts for what was asked
	if got := lines(r.whatIf(id, r.candidate("test/keep", nil, nil))); got != "" {
		t.Errorf("the same version differs:\n%s", got)
	}
}
