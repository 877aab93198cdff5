package identity

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// people are ada, who is an admin and approver, bob, who approves, and cyd of security.
func (r *rig) people(t *testing.T) (ada, bob, cyd *writ.Principal) {
	t.Helper()
	ada, _ = r.boot(t)
	add := func(id writ.PrincipalID, roles ...string) *writ.Principal {
		p, _ := r.add(t, ada, contract.TokenCreateInput{PrincipalID: id, Kind: writ.Human, Roles: roles, Capabilities: []string{contract.CapCore, contract.CapApproval}})
		return p
	}
	return ada, add("human:bob", "approver"), add("human:cyd", "approver", "security")
}

func (r *rig) in(d time.Duration) writ.Time { return writ.Time(r.now.Add(d).UnixNano()) }

func (r *rig) delegate(t *testing.T, by *writ.Principal, in contract.ApprovalDelegateInput) *contract.ApprovalDelegateOutput {
	t.Helper()
	out, err := r.ApprovalDelegate(as(by), &in)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// held is in whose place p decides now, and as what.
func (r *rig) held(t *testing.T, p *writ.Principal) string {
	t.Helper()
	list, err := r.DelegatedTo(context.Background(), p)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, d := range list {
		out = append(out, string(d.By)+" "+strings.Join(d.Roles, ","))
	}
	return strings.Join(out, "; ")
}

func TestADelegationHoldsFromItsBeginningToItsEnd(t *testing.T) {
	r := newRig(t)
	ada, bob, cyd := r.people(t)
	out := r.delegate(t, cyd, contract.ApprovalDelegateInput{To: bob.ID, From: r.in(time.Hour), Until: r.in(2 * time.Hour), Roles: []string{"security"}, Reason: "on leave"})
	for _, step := range []struct {
		after time.Duration
		want  string
	}{{time.Hour - 1, ""}, {1, "human:cyd security"}, {time.Hour - 1, "human:cyd security"}, {1, ""}} {
		r.now = r.now.Add(step.after)
		if got := r.held(t, bob); got != step.want {
			t.Errorf("after %v: %q, want %q", step.after, got, step.want)
		}
	}
	if got := r.held(t, ada) + r.held(t, cyd); got != "" {
		t.Errorf("others hold %q", got)
	}
	past, err := r.ApprovalDelegations(as(bob), &contract.ApprovalDelegationsInput{IncludePast: true})
	if err != nil || len(past.Items) != 1 || past.Items[0].DelegationID != out.Delegation.DelegationID || past.Items[0].Reason != "on leave" {
		t.Errorf("%+v %v", past, err)
	}
	now, err := r.ApprovalDelegations(as(bob), &contract.ApprovalDelegationsInput{})
	if err != nil || len(now.Items) != 0 {
		t.Errorf("%+v %v", now, err)
	}
	if kinds := r.records(t); !slices.Contains(kinds, writ.RecDelegationChanged) {
		t.Errorf("the journal says %v", kinds)
	}
}

func TestWhatMayBeDelegated(t *testing.T) {
	r := newRig(t)
	ada, bob, cyd := r.people(t)
	bot := r.bot(t, ada)
	r.delegate(t, cyd, contract.ApprovalDelegateInput{To: bob.ID, Until: r.in(time.Hour), Reason: "on leave"})
	through := *cyd
	through.OnBehalfOf = []writ.PrincipalID{ada.ID}
	for name, test := range map[string]struct {
		by   *writ.Principal
		in   contract.ApprovalDelegateInput
		code writ.Code
	}{
		"to a bot":                    {cyd, contract.ApprovalDelegateInput{To: bot.ID}, writ.CodeForbidden},
		"by a bot":                    {bot, contract.ApprovalDelegateInput{To: bob.ID}, writ.CodeForbidden},
		"by who acts for another":     {&through, contract.ApprovalDelegateInput{To: bob.ID}, writ.CodeForbidden},
		"to oneself":                  {cyd, contract.ApprovalDelegateInput{To: cyd.ID}, writ.CodeInvalid},
		"to nobody":                   {cyd, contract.ApprovalDelegateInput{To: "human:zoe"}, writ.CodeNotFound},
		"a role that one has not":     {bob, contract.ApprovalDelegateInput{To: ada.ID, Roles: []string{"security"}}, writ.CodeForbidden},
		"without a reason":            {cyd, contract.ApprovalDelegateInput{To: bob.ID, Reason: " "}, writ.CodeInvalid},
		"with a book for a reason":    {cyd, contract.ApprovalDelegateInput{To: bob.ID, Reason: strings.Repeat("x", maxReason+1)}, writ.CodeInvalid},
		"into the past":               {cyd, contract.ApprovalDelegateInput{To: bob.ID, From: r.in(-2 * time.Hour), Until: r.in(0)}, writ.CodeInvalid},
		"ending before it begins":     {cyd, contract.ApprovalDelegateInput{To: bob.ID, From: r.in(2 * time.Hour), Until: r.in(time.Hour)}, writ.CodeInvalid},
		"a day more than the longest": {cyd, contract.ApprovalDelegateInput{To: bob.ID, Until: r.in(maxAbsence + 1)}, writ.CodeInvalid},
		"the longest":                 {cyd, contract.ApprovalDelegateInput{To: bob.ID, Until: r.in(maxAbsence)}, ""},
		"without an end":              {cyd, contract.ApprovalDelegateInput{To: bob.ID, Until: -1}, writ.CodeInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			if test.in.Reason == "" {
				test.in.Reason = "on leave"
			}
			if test.in.Until == 0 {
				test.in.Until = r.in(time.Hour)
			}
			_, err := r.ApprovalDelegate(as(test.by), &test.in)
			wantCode(t, err, test.code)
		})
	}
}

func TestDelegationsAreFew(t *testing.T) {
	r := newRig(t)
	_, bob, cyd := r.people(t)
	in := contract.ApprovalDelegateInput{To: bob.ID, Until: r.in(time.Hour), Reason: "on leave"}
	for range maxDeputies {
		r.delegate(t, cyd, in)
	}
	_, err := r.ApprovalDelegate(as(cyd), &in)
	wantCode(t, err, writ.CodeConflict)
	r.now = r.now.Add(2 * time.Hour) // those that have run out do not count
	in.Until = r.in(time.Hour)
	r.delegate(t, cyd, in)
}

func TestWhoEndsADelegation(t *testing.T) {
	r := newRig(t)
	ada, bob, cyd := r.people(t)
	for i, by := range []*writ.Principal{cyd, bob, ada} {
		out := r.delegate(t, cyd, contract.ApprovalDelegateInput{To: bob.ID, Until: r.in(time.Hour), Roles: []string{"security"}, Reason: "on leave"})
		end := &contract.ApprovalUndelegateInput{DelegationID: out.Delegation.DelegationID, Reason: "back"}
		stranger, _ := r.add(t, ada, contract.TokenCreateInput{PrincipalID: writ.PrincipalID(fmt.Sprintf("human:s%d", i)), Kind: writ.Human, Roles: []string{"approver"}})
		_, err := r.ApprovalUndelegate(as(stranger), end)
		wantCode(t, err, writ.CodeForbidden)
		if got := r.held(t, bob); got != "human:cyd security" {
			t.Errorf("before: %q", got)
		}
		if _, err := r.ApprovalUndelegate(as(by), end); err != nil {
			t.Errorf("%s: %v", by.ID, err)
		}
		if got := r.held(t, bob); got != "" {
			t.Errorf("after %s ended it: %q", by.ID, got)
		}
		_, err = r.ApprovalUndelegate(as(by), end)
		wantCode(t, err, writ.CodeNotFound)
	}
}

// TestNoChains: what was delegated to somebody is no role of theirs.
func TestNoChains(t *testing.T) {
	r := newRig(t)
	ada, bob, cyd := r.people(t)
	r.delegate(t, cyd, contract.ApprovalDelegateInput{To: bob.ID, Until: r.in(time.Hour), Reason: "on leave"})
	r.delegate(t, bob, contract.ApprovalDelegateInput{To: ada.ID, Until: r.in(time.Hour), Reason: "on leave too"})
	if got := r.held(t, ada); got != "human:bob approver" {
		t.Errorf("ada holds %q", got)
	}
}

// TestRolesOfThePolicyAreHandedOut by an admin who has none of them; those that this
// program itself gives a meaning are not.
func TestRolesOfThePolicyAreHandedOut(t *testing.T) {
	r := newRig(t)
	ada, _ := r.boot(t)
	for role, code := range map[string]writ.Code{
		"security": "", "approver": "", "operator": "", "system": writ.CodeForbidden,
		"Security": writ.CodeInvalid, "": writ.CodeInvalid, "a b": writ.CodeInvalid, strings.Repeat("a", 33): writ.CodeInvalid, strings.Repeat("a", 32): "",
	} {
		id := writ.PrincipalID(fmt.Sprintf("human:r%d%x", len(role), role[:min(2, len(role))]))
		_, err := r.TokenCreate(as(ada), &contract.TokenCreateInput{PrincipalID: id, Kind: writ.Human, Roles: []string{role}})
		if t.Run(role, func(t *testing.T) { wantCode(t, err, code) }); t.Failed() {
			t.Log(id)
		}
	}
}
