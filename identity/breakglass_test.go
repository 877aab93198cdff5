package identity

import (
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/contract"
)

func glassFor(p writ.PrincipalID, span time.Duration) *contract.GrantBreakGlassInput {
	return &contract.GrantBreakGlassInput{PrincipalID: p, Capability: get("api.example.com"), For: abi.Duration(span), Reason: "the site is down"}
}

// emergencies are those that wait for a review, as the status shows them.
func (r *rig) emergencies(t testing.TB) []contract.BreakGlass {
	t.Helper()
	open, err := r.Emergencies(t.Context(), writ.DefaultTenant)
	if err != nil {
		t.Fatal(err)
	}
	return open
}

func (r *rig) drifted(t testing.TB) int {
	t.Helper()
	found, err := r.GrantDrift(t.Context(), writ.DefaultTenant)
	if err != nil {
		t.Fatal(err)
	}
	return len(found)
}

func TestAnEmergencyFromItsBeginningToItsReview(t *testing.T) {
	r := newRig(t)
	ada, _ := r.boot(t)
	bot := r.bot(t, ada)
	bob, _ := r.add(t, ada, contract.TokenCreateInput{PrincipalID: "human:bob", Kind: writ.Human, Roles: []string{"approver"}})
	out, err := r.GrantBreakGlass(as(ada), glassFor(bot.ID, time.Hour))
	if err != nil || out.Status != "break-glass" || out.ExpiresAt.Std().Sub(r.now) != time.Hour || out.ReviewBy != out.ExpiresAt.Add(24*time.Hour) {
		t.Fatalf("%v %+v", err, out)
	}
	if got := r.candidates(t, bot, abi.ToolHTTPRequest); len(got) != 1 || !got[0].BreakGlass || got[0].MaxRisk != writ.RiskLow {
		t.Errorf("got %+v", got)
	}
	list, err := r.GrantList(as(ada), &contract.GrantListInput{})
	if err != nil || len(list.BreakGlass) != 1 || list.BreakGlass[0].Status != contract.GlassActive || list.BreakGlass[0].Self || list.BreakGlass[0].Reason != "the site is down" {
		t.Errorf("%v %+v", err, list.BreakGlass)
	}
	note := &contract.GrantReviewInput{GrantID: out.GrantID, Note: "as said"}
	_, err = r.GrantReview(as(bob), note)
	wantCode(t, err, writ.CodeConflict) // it lasts
	r.now = r.now.Add(time.Hour)
	if got := r.candidates(t, bot, abi.ToolHTTPRequest); len(got) != 0 {
		t.Errorf("at its end: %+v", got)
	}
	if open := r.emergencies(t); len(open) != 1 || open[0].Status != contract.GlassEnded || r.drifted(t) != 0 {
		t.Errorf("got %+v", open)
	}
	r.now = r.now.Add(24*time.Hour - 1)
	if r.drifted(t) != 0 {
		t.Error("it is drift a nanosecond too early")
	}
	r.now = r.now.Add(1)
	if open := r.emergencies(t); open[0].Status != contract.GlassOverdue || r.drifted(t) != 1 {
		t.Errorf("got %+v", open)
	}
	for _, who := range []*writ.Principal{ada, bot} {
		_, err = r.GrantReview(as(who), note)
		wantCode(t, err, writ.CodeForbidden)
	}
	if done, err := r.GrantReview(as(bob), note); err != nil || done.Status != contract.GlassReviewed {
		t.Fatalf("%v %+v", err, done)
	}
	if len(r.emergencies(t)) != 0 || r.drifted(t) != 0 {
		t.Error("it is still open")
	}
	_, err = r.GrantReview(as(bob), note)
	wantCode(t, err, writ.CodeConflict)
	stored, err := r.journal.Records(t.Context(), writ.RecordQuery{Tenant: writ.DefaultTenant, Stream: writ.SystemStream})
	if err != nil {
		t.Fatal(err)
	}
	var events []string
	for i := range stored {
		for _, e := range contract.EventsOf(&stored[i], nil) {
			events = append(events, e.Type+" by "+string(e.Actor))
		}
	}
	if got := strings.Join(events, ", "); got != "controlPlane.grant.glassBroken by human:ada, controlPlane.grant.reviewed by human:bob" {
		t.Errorf("events %s", got)
	}
}

// TestAnEmergencyThatIsRevokedWaitsForItsReview: ending it early does not hide it.
func TestAnEmergencyThatIsRevokedWaitsForItsReview(t *testing.T) {
	r := newRig(t)
	ada, _ := r.boot(t)
	bot := r.bot(t, ada)
	out, err := r.GrantBreakGlass(as(ada), glassFor(bot.ID, time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	r.now = r.now.Add(time.Minute)
	if _, err := r.GrantRevoke(as(ada), &contract.GrantRevokeInput{GrantID: out.GrantID}); err != nil {
		t.Fatal(err)
	}
	open := r.emergencies(t)
	if len(open) != 1 || open[0].Status != contract.GlassEnded || !open[0].EndsAt.Std().Equal(r.now) || open[0].ReviewBy != open[0].EndsAt.Add(24*time.Hour) {
		t.Errorf("got %+v", open)
	}
	if len(r.candidates(t, bot, abi.ToolHTTPRequest)) != 0 {
		t.Error("the grant is still there")
	}
}

func TestWhoMayBreakGlass(t *testing.T) {
	r := newRig(t)
	ada, _ := r.boot(t)
	bot := r.bot(t, ada)
	fire, _ := r.add(t, ada, contract.TokenCreateInput{PrincipalID: "human:fire", Kind: writ.Human, Roles: []string{"breakglass"}})
	ops, _ := r.add(t, ada, contract.TokenCreateInput{PrincipalID: "human:ops", Kind: writ.Human, Roles: []string{"operator", "approver"}})
	peer := *ada
	peer.Strength = writ.StrengthPeer
	robot := *ada
	robot.Kind = writ.Agent
	change := func(f func(*contract.GrantBreakGlassInput)) *contract.GrantBreakGlassInput {
		in := glassFor(bot.ID, time.Minute)
		f(in)
		return in
	}
	plain := glassFor(bot.ID, time.Minute)
	tests := []struct {
		name string
		by   *writ.Principal
		in   *contract.GrantBreakGlassInput
		code writ.Code
	}{
		{"an operator", ops, plain, writ.CodeForbidden},
		{"an agent", bot, plain, writ.CodeForbidden},
		{"an agent with the role", &robot, plain, writ.CodeForbidden},
		{"the socket's user", &peer, plain, writ.CodeForbidden},
		{"no reason", ada, change(func(in *contract.GrantBreakGlassInput) { in.Reason = " \n" }), writ.CodeInvalid},
		{"a long reason", ada, change(func(in *contract.GrantBreakGlassInput) { in.Reason = strings.Repeat("x", maxReason+1) }), writ.CodeInvalid},
		{"a reason that is no text", ada, change(func(in *contract.GrantBreakGlassInput) { in.Reason = "\xff" }), writ.CodeInvalid},
		{"no end", ada, change(func(in *contract.GrantBreakGlassInput) { in.For = 0 }), writ.CodeInvalid},
		{"an end before now", ada, change(func(in *contract.GrantBreakGlassInput) { in.For = -1 }), writ.CodeInvalid},
		{"longer than an hour", ada, change(func(in *contract.GrantBreakGlassInput) { in.For = abi.Duration(time.Hour + 1) }), writ.CodeInvalid},
		{"unknown principal", ada, change(func(in *contract.GrantBreakGlassInput) { in.PrincipalID = "agent:none" }), writ.CodeNotFound},
		{"the blocked tier", ada, change(func(in *contract.GrantBreakGlassInput) { in.MaxRisk = writ.RiskBlocked }), writ.CodeInvalid},
		{"no scope", ada, change(func(in *contract.GrantBreakGlassInput) { in.Capability.Hosts = nil }), writ.CodeInvalid},
		{"the role alone", fire, change(func(in *contract.GrantBreakGlassInput) { in.Reason = strings.Repeat("x", maxReason) }), ""},
		{"an admin, for itself", ada, glassFor(ada.ID, time.Hour), ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			before := len(r.records(t))
			_, err := r.GrantBreakGlass(as(test.by), test.in)
			wantCode(t, err, test.code)
			if wrote := len(r.records(t)) != before; wrote != (test.code == "") {
				t.Errorf("it left a record: %v", wrote)
			}
		})
	}
	if open := r.emergencies(t); len(open) != 2 || !open[1].Self || open[0].Self {
		t.Errorf("got %+v", open)
	}
	_, err := r.TokenCreate(as(ops), &contract.TokenCreateInput{PrincipalID: "human:x", Kind: writ.Human, Roles: []string{"breakglass"}})
	wantCode(t, err, writ.CodeForbidden)
}

// TestAnEmergencyIsNotDelegated: it is for its principal alone.
func TestAnEmergencyIsNotDelegated(t *testing.T) {
	r := newRig(t)
	ada, _ := r.boot(t)
	bot := r.bot(t, ada)
	out, err := r.GrantBreakGlass(as(ada), glassFor(ada.ID, time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.GrantCreate(as(ada), &contract.GrantCreateInput{PrincipalID: bot.ID, Capability: get("api.example.com"), ExpiresIn: abi.Duration(time.Minute), Parent: out.GrantID})
	wantCode(t, err, writ.CodeConflict)
}

// TestWhoMayReview: another person, of a role, and none in whose name it was done.
func TestWhoMayReview(t *testing.T) {
	r := newRig(t)
	ada, _ := r.boot(t)
	bot, _ := r.add(t, ada, contract.TokenCreateInput{PrincipalID: "agent:bot", Kind: writ.Agent, OnBehalfOf: []writ.PrincipalID{"human:dan"}})
	dan, _ := r.add(t, ada, contract.TokenCreateInput{PrincipalID: "human:dan", Kind: writ.Human, Roles: []string{"approver"}})
	eve, _ := r.add(t, ada, contract.TokenCreateInput{PrincipalID: "human:eve", Kind: writ.Human, Roles: []string{"operator"}})
	bob, _ := r.add(t, ada, contract.TokenCreateInput{PrincipalID: "human:bob", Kind: writ.Human, Roles: []string{"breakglass"}})
	out, err := r.GrantBreakGlass(as(ada), glassFor(bot.ID, time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	r.now = r.now.Add(time.Minute)
	peer := *bob
	peer.Strength = writ.StrengthPeer
	for name, who := range map[string]*writ.Principal{"who gave it": ada, "in whose name it was used": dan, "without a role": eve, "the socket's user": &peer, "the agent": bot} {
		_, err := r.GrantReview(as(who), &contract.GrantReviewInput{GrantID: out.GrantID, Note: "n"})
		if writ.CodeOf(err) != writ.CodeForbidden {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err = r.GrantReview(as(bob), &contract.GrantReviewInput{GrantID: out.GrantID, Note: " "})
	wantCode(t, err, writ.CodeInvalid)
	_, err = r.GrantReview(as(bob), &contract.GrantReviewInput{GrantID: "grant_none", Note: "n"})
	wantCode(t, err, writ.CodeNotFound)
	if _, err = r.GrantReview(as(bob), &contract.GrantReviewInput{GrantID: out.GrantID, Note: "n"}); err != nil {
		t.Error(err)
	}
}
