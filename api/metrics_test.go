package api_test

import (
	"bytes"
	"testing"

	"github.com/writ-run/writ"
)

// TestMetricsOfBudgets: by scope and kind, and nobody's name.
func TestMetricsOfBudgets(t *testing.T) {
	r := newRig(t, nil)
	use := writ.BudgetUse{Scope: writ.BudgetPrincipal, Subject: "agent:bot", Kind: writ.BudgetCalls, First: true}
	r.server.Refused(use)
	use.First = false
	r.server.Refused(use)
	raw := r.scrape()
	for _, want := range []string{
		`writ_budget_refusals_total{kind="calls",scope="principal"} 2`, `writ_budgets_exhausted_total{kind="calls",scope="principal"} 1`,
	} {
		if !bytes.Contains(raw, []byte(want)) {
			t.Errorf("lacks %s", want)
		}
	}
	if bytes.Contains(raw, []byte("agent:bot")) {
		t.Error("a metric names a principal")
	}
}
