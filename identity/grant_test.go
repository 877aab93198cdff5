package identity

import (
	"context"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/contract"
)

func (r *rig) grant(t testing.TB, by *writ.Principal, in contract.GrantCreateInput) string {
	t.Helper()
	out, err := r.GrantCreate(as(by), &in)
	if err != nil {
		t.Fatal(err)
	}
	return out.GrantID
}

func (r *rig) candidates(t testing.TB, p *writ.Principal, tools ...string) []writ.Grant {
	t.Helper()
	grants, err := r.Candidates(context.Background(), p, usesOf(tools...), nil)
	if err != nil {
		t.Fatal(err)
	}
	return grants
}

// usesOf wants nothing of a tool but itself: each grant for it reaches that.
func usesOf(tools ...string) []writ.Capability {
	out := make([]writ.Capability, len(tools))
	for i, tool := range tools {
		out[i].Tool = tool
	}
	return out
}

func TestCandidates(t *testing.T) {
	r := newRig(t)
	ada, _ := r.boot(t)
	bot := r.bot(t, ada)
	if got := r.candidates(t, bot, abi.ToolHTTPRequest); len(got) != 0 {
		t.Errorf("a new agent holds %+v", got)
	}
	id := r.grant(t, ada, contract.GrantCreateInput{PrincipalID: bot.ID, Capability: get("api.example.com"), ExpiresIn: abi.Duration(time.Hour)})
	got := r.candidates(t, bot, abi.ToolHTTPRequest, abi.ToolLog)
	if len(got) != 1 || got[0].ID != id || got[0].MaxRisk != writ.RiskLow || got[0].Tenant != writ.DefaultTenant {
		t.Errorf("right after its creation: %+v", got)
	}
	if got := r.candidates(t, bot, abi.ToolKVGet); len(got) != 0 {
		t.Errorf("for another tool: %+v", got)
	}
	elsewhere := *bot
	elsewhere.Tenant = "other"
	if got := r.candidates(t, &elsewhere, abi.ToolHTTPRequest); len(got) != 0 {
		t.Errorf("in another tenant: %+v", got)
	}
	r.now = r.now.Add(time.Hour)
	if got := r.candidates(t, bot, abi.ToolHTTPRequest); len(got) != 0 {
		t.Errorf("at its end: %+v", got)
	}
}

func TestRevokeEndsWhatWasDelegated(t *testing.T) {
	r := newRig(t)
	ada, _ := r.boot(t)
	carol, _ := r.add(t, ada, contract.TokenCreateInput{PrincipalID: "human:carol", Kind: writ.Human, Roles: []string{"operator"}})
	bot := r.bot(t, ada)
	own := r.grant(t, ada, contract.GrantCreateInput{PrincipalID: carol.ID, Capability: get("**.example.com"), MaxRisk: writ.RiskMedium})
	r.grant(t, carol, contract.GrantCreateInput{PrincipalID: bot.ID, Capability: get("api.example.com"), Parent: own})
	if len(r.candidates(t, bot, abi.ToolHTTPRequest)) != 1 {
		t.Fatal("the delegated grant is not there")
	}
	if _, err := r.GrantRevoke(as(ada), &contract.GrantRevokeInput{GrantID: own, Reason: "over"}); err != nil {
		t.Fatal(err)
	}
	if got := append(r.candidates(t, bot, abi.ToolHTTPRequest), r.candidates(t, carol, abi.ToolHTTPRequest)...); len(got) != 0 {
		t.Errorf("still there: %+v", got)
	}
	_, err := r.GrantRevoke(as(ada), &contract.GrantRevokeInput{GrantID: own})
	wantCode(t, err, writ.CodeNotFound)
	list, err := r.GrantList(as(ada), &contract.GrantListInput{})
	if err != nil || len(list.Items) != 1 || list.Items[0].PrincipalID != ada.ID {
		t.Errorf("got %+v, %v", list, err)
	}
}

// TestExpiredGrantsAreMarked, and are not in the way of those that count.
func TestExpiredGrantsAreMarked(t *testing.T) {
	r := newRig(t)
	ada, _ := r.boot(t)
	bot := r.bot(t, ada)
	id := r.grant(t, ada, contract.GrantCreateInput{PrincipalID: bot.ID, Capability: get("api.example.com"), ExpiresIn: abi.Duration(time.Hour)})
	list := func(past bool) []contract.Grant {
		t.Helper()
		out, err := r.GrantList(as(ada), &contract.GrantListInput{PrincipalID: bot.ID, IncludePast: past})
		if err != nil {
			t.Fatal(err)
		}
		return out.Items
	}
	r.now = r.now.Add(time.Hour - 1)
	if got := list(false); len(got) != 1 || got[0].Expired {
		t.Errorf("a moment before: %+v", got)
	}
	r.now = r.now.Add(1)
	if got := list(false); len(got) != 0 {
		t.Errorf("at its end: %+v", got)
	}
	if got := list(true); len(got) != 1 || got[0].GrantID != id || !got[0].Expired {
		t.Errorf("with those that have expired: %+v", got)
	}
}

func TestGrantsThatAreRefused(t *testing.T) {
	r := newRig(t)
	ada, _ := r.boot(t)
	carol, _ := r.add(t, ada, contract.TokenCreateInput{PrincipalID: "human:carol", Kind: writ.Human, Roles: []string{"operator"}})
	bot := r.bot(t, ada)
	own := r.grant(t, ada, contract.GrantCreateInput{
		PrincipalID: carol.ID, Capability: get("api.example.com"), Skills: []writ.SkillKey{"acme/a", "acme/b"}, ExpiresIn: abi.Duration(time.Hour),
	})
	delegate := func(change func(*contract.GrantCreateInput)) contract.GrantCreateInput {
		in := contract.GrantCreateInput{PrincipalID: bot.ID, Capability: get("api.example.com"), Skills: []writ.SkillKey{"acme/a"}, ExpiresIn: abi.Duration(time.Hour), Parent: own}
		change(&in)
		return in
	}
	plain := func(c writ.Capability) contract.GrantCreateInput {
		return contract.GrantCreateInput{PrincipalID: bot.ID, Capability: c}
	}
	tests := []struct {
		name string
		by   *writ.Principal
		in   contract.GrantCreateInput
		code writ.Code
	}{
		{"no admin and no parent", carol, delegate(func(in *contract.GrantCreateInput) { in.Parent = "" }), writ.CodeForbidden},
		{"an agent to itself", bot, plain(writ.Capability{Tool: "*"}), writ.CodeForbidden},
		{"somebody else's parent", bot, delegate(func(*contract.GrantCreateInput) {}), writ.CodeForbidden},
		{"unknown parent", carol, delegate(func(in *contract.GrantCreateInput) { in.Parent = "none" }), writ.CodeNotFound},
		{"wider host", carol, delegate(func(in *contract.GrantCreateInput) { in.Capability.Hosts = []string{"**.example.com"} }), writ.CodeConflict},
		{"another method", carol, delegate(func(in *contract.GrantCreateInput) { in.Capability.Methods = []string{"POST"} }), writ.CodeConflict},
		{"another tool", carol, delegate(func(in *contract.GrantCreateInput) {
			in.Capability = writ.Capability{Tool: abi.ToolKVGet, Prefixes: []string{"a"}}
		}), writ.CodeConflict},
		{"every tool", carol, delegate(func(in *contract.GrantCreateInput) { in.Capability = writ.Capability{Tool: "*"} }), writ.CodeConflict},
		{"more risk", carol, delegate(func(in *contract.GrantCreateInput) { in.MaxRisk = writ.RiskMedium }), writ.CodeConflict},
		{"longer", carol, delegate(func(in *contract.GrantCreateInput) { in.ExpiresIn++ }), writ.CodeConflict},
		{"for ever", carol, delegate(func(in *contract.GrantCreateInput) { in.ExpiresIn = 0 }), writ.CodeConflict},
		{"any skill", carol, delegate(func(in *contract.GrantCreateInput) { in.Skills = nil }), writ.CodeConflict},
		{"another skill", carol, delegate(func(in *contract.GrantCreateInput) { in.Skills = []writ.SkillKey{"acme/a", "acme/c"} }), writ.CodeConflict},
		{"unknown principal", ada, contract.GrantCreateInput{PrincipalID: "agent:none", Capability: writ.Capability{Tool: "*"}}, writ.CodeNotFound},
		{"unknown tool", ada, plain(writ.Capability{Tool: "shell.exec"}), writ.CodeInvalid},
		{"no tool", ada, plain(writ.Capability{}), writ.CodeInvalid},
		{"star with a scope", ada, plain(writ.Capability{Tool: "*", Servers: []string{"x"}}), writ.CodeInvalid},
		{"no scope", ada, plain(writ.Capability{Tool: abi.ToolHTTPRequest}), writ.CodeInvalid},
		{"a scope that bounds nothing", ada, plain(writ.Capability{Tool: abi.ToolLog, Paths: []string{"/a"}}), writ.CodeInvalid},
		{"a pattern that is none", ada, plain(writ.Capability{Tool: abi.ToolFileRead, Paths: []string{"a/**/b"}}), writ.CodeInvalid},
		{"secrets", ada, plain(writ.Capability{Tool: abi.ToolLog, Secrets: []abi.Secret{{Name: "n"}}}), writ.CodeInvalid},
		{"the blocked tier", ada, contract.GrantCreateInput{PrincipalID: bot.ID, Capability: writ.Capability{Tool: "*"}, MaxRisk: writ.RiskBlocked}, writ.CodeInvalid},
		{"fewer uses than none", ada, contract.GrantCreateInput{PrincipalID: bot.ID, Capability: writ.Capability{Tool: "*"}, MaxUses: -1}, writ.CodeInvalid},
		{"an end before now", ada, contract.GrantCreateInput{PrincipalID: bot.ID, Capability: writ.Capability{Tool: "*"}, ExpiresIn: -1}, writ.CodeInvalid},
	}
	before := len(r.records(t))
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := r.GrantCreate(as(test.by), &test.in)
			wantCode(t, err, test.code)
		})
	}
	if after := len(r.records(t)); after != before {
		t.Errorf("refusals left %d records", after-before)
	}
	r.grant(t, carol, delegate(func(*contract.GrantCreateInput) {}))
}

// grants draws grants of one tool and a few words, so that many cover others.
func grants(t *rapid.T, name string) *writ.Grant {
	pick := func(label string, from ...string) []string {
		return rapid.SliceOfNDistinct(rapid.SampledFrom(from), 0, 2, rapid.ID[string]).Draw(t, name+label)
	}
	g := &writ.Grant{ID: name, Principal: "human:ada", Tenant: "default"}
	g.Capability = writ.Capability{
		Tool:  rapid.SampledFrom([]string{abi.ToolHTTPRequest, abi.ToolHTTPRequest, abi.ToolKVGet, "*"}).Draw(t, name+"tool"),
		Hosts: pick("hosts", "a.x", "b.x", "*.x", "**.x"), Methods: pick("methods", "GET", "POST"),
		Paths: pick("paths", "/a", "/a*", "/**", "/a/b"), Prefixes: pick("prefixes", "", "a", "ab"),
	}
	if g.Capability.Tool == "*" {
		g.Capability = writ.Capability{Tool: "*"}
	}
	for _, s := range pick("skills", "p/a", "p/b", "p/c") {
		g.Skills = append(g.Skills, writ.SkillKey(s))
	}
	g.MaxRisk = rapid.SampledFrom([]writ.Risk{writ.RiskLow, writ.RiskMedium, writ.RiskHigh}).Draw(t, name+"risk")
	g.MaxSensitivity = rapid.SampledFrom([]writ.Sensitivity{"", writ.SensitivityPublic, writ.SensitivityPrivate, writ.SensitivitySecret}).Draw(t, name+"sensitivity")
	g.Expires = writ.Time(rapid.Int64Range(0, 3).Draw(t, name+"expires"))
	return g
}

// A delegated grant allows no call that its parent does not.
func TestDelegatedGrantIsNeverWider(t *testing.T) {
	by := &writ.Principal{ID: "human:ada"}
	delegated := 0
	rapid.Check(t, func(t *rapid.T) {
		parent, child := grants(t, "parent"), grants(t, "child")
		if narrower(by, parent, child) != nil {
			return
		}
		delegated++
		call := &writ.CallFacts{
			Tool: rapid.SampledFrom([]string{abi.ToolHTTPRequest, abi.ToolKVGet}).Draw(t, "tool"),
			Target: writ.Target{
				Host: rapid.SampledFrom([]string{"a.x", "b.x", "c.a.x", "y"}).Draw(t, "host"), Method: rapid.SampledFrom([]string{"GET", "POST"}).Draw(t, "method"),
				Path: rapid.SampledFrom([]string{"/a", "/ab", "/a/b", "/c"}).Draw(t, "path"), Key: rapid.SampledFrom([]string{"", "a", "abc", "b"}).Draw(t, "key"),
			},
		}
		skill := writ.SkillKey(rapid.SampledFrom([]string{"p/a", "p/b", "p/d"}).Draw(t, "skill"))
		risk := rapid.SampledFrom([]writ.Risk{writ.RiskLow, writ.RiskMedium, writ.RiskHigh}).Draw(t, "risk")
		now := writ.Time(rapid.Int64Range(0, 4).Draw(t, "now"))
		data := sensitivities().Draw(t, "data")
		if allows(child, call, skill, risk, now) && knows(child, data) && !(allows(parent, call, skill, risk, now) && knows(parent, data)) {
			t.Fatalf("%+v allows what its parent %+v does not: %+v", child, parent, call)
		}
	})
	if delegated == 0 {
		t.Error("no pair was a delegation: the property says nothing")
	}
}

func sensitivities() *rapid.Generator[writ.Sensitivity] {
	return rapid.SampledFrom([]writ.Sensitivity{writ.SensitivityPublic, writ.SensitivityPrivate, writ.SensitivitySecret})
}

// knows is what a grant says of data, written a second time.
func knows(g *writ.Grant, data writ.Sensitivity) bool {
	switch g.MaxSensitivity {
	case writ.SensitivitySecret:
		return true
	case writ.SensitivityPrivate, "":
		return data != writ.SensitivitySecret
	}
	return data == writ.SensitivityPublic
}

// allows is the meaning of a grant, written a second time.
func allows(g *writ.Grant, call *writ.CallFacts, skill writ.SkillKey, risk writ.Risk, now writ.Time) bool {
	named := len(g.Skills) == 0
	for _, s := range g.Skills {
		named = named || s == skill
	}
	return named && risk.Rank() <= g.MaxRisk.Rank() && (g.Expires == 0 || now < g.Expires) &&
		(g.Capability.Tool == "*" || writ.CapabilityAllows(&g.Capability, call))
}

func TestGrantKeysDoNotMix(t *testing.T) {
	r := newRig(t)
	ada, _ := r.boot(t)
	first, _ := r.add(t, ada, contract.TokenCreateInput{PrincipalID: "agent:bot", Kind: writ.Agent})
	second, _ := r.add(t, ada, contract.TokenCreateInput{PrincipalID: "agent:bot-2", Kind: writ.Agent})
	r.grant(t, ada, contract.GrantCreateInput{PrincipalID: second.ID, Capability: writ.Capability{Tool: "*"}})
	if got := r.candidates(t, first, abi.ToolLog); len(got) != 0 {
		t.Errorf("%s holds %+v", first.ID, got)
	}
	if got := r.candidates(t, second, abi.ToolLog); len(got) != 1 || !strings.HasPrefix(got[0].ID, "grant_") {
		t.Errorf("got %+v", got)
	}
}
