package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/contract"
)

// TestTheHostsWordOnATenant binds it, is no word of its admins, and shows the host
// nothing else of it.
func TestTheHostsWordOnATenant(t *testing.T) {
	h := testHome(t, nil)
	r := &rehearsal{home: h, work: &work{}}
	r.prepare(t)
	ctx := writ.WithPrincipal(t.Context(), r.author)
	other := h.acme(t, ctx)
	theirs := writ.WithPrincipal(t.Context(), other)
	own := contract.BudgetSubject{Tenant: true, Kind: writ.BudgetSteps, Span: writ.SpanHour}
	word := contract.BudgetSubject{TenantID: "acme", Kind: writ.BudgetSteps, Span: writ.SpanHour}
	set := func(ctx context.Context, s contract.BudgetSubject, count int64) error {
		_, err := h.budgets.BudgetSet(ctx, &contract.BudgetSetInput{BudgetSubject: s, Count: count, Reason: "what they pay for"})
		return err
	}
	if err := errors.Join(set(ctx, word, 0), set(theirs, own, 5)); err != nil {
		t.Fatal(err)
	}
	if err := set(theirs, word, 5); !writ.IsCode(err, writ.CodeForbidden) {
		t.Errorf("acme speaks for the host: %v", err)
	}
	if _, err := h.budgets.BudgetRemove(theirs, &contract.BudgetRemoveInput{BudgetSubject: word, Reason: "r"}); !writ.IsCode(err, writ.CodeForbidden) {
		t.Errorf("acme takes the host's word back: %v", err)
	}
	refused := ""
	want := &writ.BudgetWant{Tenant: "acme", Principal: other, Skill: "a/b", Steps: 1, Time: canon.TimeOf(time.Now())}
	_, err := h.budgets.Refuse(theirs, want, func(u *writ.BudgetUse, _ []writ.Change, _ writ.Time) error {
		refused = u.Refusal().Fix
		return nil
	})
	if err != nil || !strings.Contains(refused, "an admin of the host") || strings.Contains(refused, "pay") {
		t.Errorf("%q, %v", refused, err)
	}
	list := func(ctx context.Context, id writ.TenantID) int {
		out, err := h.budgets.BudgetList(ctx, &contract.BudgetListInput{TenantID: id})
		if err != nil {
			t.Fatal(err)
		}
		return len(out.Items)
	}
	if list(theirs, "") != 2 || list(ctx, "acme") != 1 || list(ctx, "") != 0 {
		t.Errorf("acme sees %d, the host %d there and %d of its own", list(theirs, ""), list(ctx, "acme"), list(ctx, ""))
	}
	if _, err := h.budgets.BudgetList(theirs, &contract.BudgetListInput{TenantID: writ.DefaultTenant}); !writ.IsCode(err, writ.CodeForbidden) {
		t.Errorf("acme lists the host's: %v", err)
	}
	changed, err := h.journal.Records(ctx, writ.RecordQuery{Tenant: "acme", Stream: writ.SystemStream})
	if err != nil {
		t.Fatal(err)
	}
	by := []writ.PrincipalID{}
	for i := range changed {
		if changed[i].Type == writ.RecBudgetChanged {
			by = append(by, changed[i].Actor.ActorID)
		}
	}
	if !slices.Equal(by, []writ.PrincipalID{writ.HostPrincipal, other.ID}) {
		t.Errorf("the journal of acme names %v", by)
	}
	for i := range changed {
		if changed[i].Actor.ActorID != other.ID && strings.Contains(string(changed[i].Bytes), "what they pay for") {
			t.Errorf("acme reads why: %s", changed[i].Type)
		}
	}
	kept, err := h.journal.Records(ctx, writ.RecordQuery{Tenant: writ.DefaultTenant, Stream: writ.SystemStream})
	if err != nil {
		t.Fatal(err)
	}
	last := kept[len(kept)-1]
	if f := last.Body.System; last.Type != writ.RecBudgetChanged || last.Actor.ActorID != r.author.ID || f.Reason != "what they pay for" || f.Details[contract.BudgetOfTenant] != "acme" {
		t.Errorf("the host's journal ends with %+v", last)
	}
}

func TestBudgetCounts(t *testing.T) {
	for text, want := range map[string]struct {
		kind  writ.BudgetKind
		count int64
		span  writ.BudgetSpan
	}{
		"100/h":                   {writ.BudgetCalls, 100, writ.SpanHour},
		"0/total":                 {writ.BudgetSteps, 0, writ.SpanTotal},
		"12.5/d":                  {writ.BudgetSpend, 12_500_000, writ.SpanDay},
		"3/m":                     {writ.BudgetSpend, 3_000_000, writ.SpanMinute},
		"0.000001/m":              {writ.BudgetSpend, 1, writ.SpanMinute},
		"9007199254.740991/total": {writ.BudgetSpend, writ.MaxAmount, writ.SpanTotal},
		"9007199254740991/total":  {writ.BudgetTokens, writ.MaxAmount, writ.SpanTotal},
	} {
		if count, span, err := budgetCount(want.kind, text); err != nil || count != want.count || span != want.span {
			t.Errorf("%s of %s: %d, %s, %v", text, want.kind, count, span, err)
		}
	}
	for text, kind := range map[string]writ.BudgetKind{
		"100": writ.BudgetCalls, "100/y": writ.BudgetCalls, "/h": writ.BudgetCalls, "-1/h": writ.BudgetCalls, "1.5/h": writ.BudgetCalls,
		"9007199254740992/h": writ.BudgetCalls, "9007199254.740992/h": writ.BudgetSpend, "1.0000001/h": writ.BudgetSpend, ".5/h": writ.BudgetSpend,
		"1e3/h": writ.BudgetSpend, "": writ.BudgetSteps, "99999999999999999999/h": writ.BudgetSteps,
	} {
		if _, _, err := budgetCount(kind, text); err == nil {
			t.Errorf("%q of %s is taken", text, kind)
		}
	}
}
