package main

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
	"github.com/writ-run/writ/drift"
)

// A host is degraded where a tenant is frozen, or what decides or runs is not what
// was approved; each tenant hears of its own.
func TestWhenAHostIsDegraded(t *testing.T) {
	h := testHome(t, nil)
	r := &rehearsal{home: h, work: &work{}}
	r.prepare(t)
	other := h.tenant(t, r.author, "acme")
	ctx := writ.WithPrincipal(t.Context(), r.author)
	status := func(p *writ.Principal) (string, string) {
		t.Helper()
		out, err := h.systemStatus(writ.WithPrincipal(t.Context(), p), &contract.SystemStatusInput{})
		if err != nil {
			t.Fatal(err)
		}
		var failed []string
		for _, c := range out.Checks {
			if !c.OK {
				if c.Fix == "" {
					t.Errorf("%s says nothing of what to do", c.Name)
				}
				failed = append(failed, c.Name)
			}
		}
		return out.Status, strings.Join(failed, ",")
	}
	expect := func(when string, p *writ.Principal, want, failed string) {
		t.Helper()
		if got, checks := status(p); got != want || checks != failed {
			t.Errorf("%s: %s is told %s (%s), want %s (%s)", when, p.Tenant, got, checks, want, failed)
		}
	}
	freeze := func(s contract.FreezeSubject) {
		t.Helper()
		if _, err := h.freezes.Freeze(ctx, &contract.FreezeInput{FreezeSubject: s, Reason: "harm"}); err != nil {
			t.Fatal(err)
		}
	}
	expect("at first", r.author, "ok", "")
	freeze(contract.FreezeSubject{PrincipalID: "agent:bot"})
	expect("with one agent frozen", r.author, "ok", "")
	freeze(contract.FreezeSubject{Tenant: true})
	expect("frozen", r.author, "degraded", "frozen tenant")
	expect("frozen elsewhere", other, "ok", "")
	freeze(everything)
	expect("all frozen", other, "degraded", "frozen all")
	for _, s := range []contract.FreezeSubject{everything, {Tenant: true}} {
		if _, err := h.freezes.Unfreeze(ctx, &contract.UnfreezeInput{FreezeSubject: s, Reason: "over"}); err != nil {
			t.Fatal(err)
		}
	}
	expect("let go", r.author, "ok", "")
	found := []contract.DriftFinding{{Code: contract.DriftSkillSuperseded, Subject: "acme/old@1.0.0", Message: "m"}}
	looks, err := drift.New(drift.Options{
		Store: h.journal, Journal: h.journal, Clock: h.clock,
		Sources: []drift.Source{func(context.Context, writ.TenantID) ([]contract.DriftFinding, error) { return found, nil }},
	})
	if err != nil {
		t.Fatal(err)
	}
	look := func() {
		t.Helper()
		if _, err := looks.Check(t.Context(), itself(writ.DefaultTenant)); err != nil {
			t.Fatal(err)
		}
	}
	look()
	expect("with an old skill", r.author, "ok", "")
	found = append(found, contract.DriftFinding{Code: contract.DriftReplayBroken, Subject: "exe_x", Message: "m"})
	look()
	expect("with a replay that differs", r.author, "degraded", "drift REPLAY_BROKEN")
	expect("with a replay that differs elsewhere", other, "ok", "")
	found = nil
	look()
	expect("when it is gone", r.author, "ok", "")
	if c := journalCheck(errors.New("the disk of /srv/writ is full")); c.OK || c.Fix == "" || strings.Contains(c.Message, "/srv") {
		t.Errorf("%+v", c)
	}
}
