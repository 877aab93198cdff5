package identity

import (
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/contract"
)

func (r *rig) why(t testing.TB, by *writ.Principal, in contract.GrantWhyInput) *contract.GrantWhyOutput {
	t.Helper()
	out, err := r.GrantWhy(as(by), &in)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestWhyItIsCovered(t *testing.T) {
	r := newRig(t)
	ada, _ := r.boot(t)
	carol, _ := r.add(t, ada, contract.TokenCreateInput{PrincipalID: "human:carol", Kind: writ.Human, Roles: []string{"operator"}})
	bot := r.bot(t, ada)
	top := r.grant(t, ada, contract.GrantCreateInput{PrincipalID: carol.ID, Capability: get("**.example.com"), MaxUses: 5, ExpiresIn: abi.Duration(time.Hour)})
	mine := r.grant(t, carol, contract.GrantCreateInput{PrincipalID: bot.ID, Capability: get("*.example.com"), MaxUses: 5, ExpiresIn: abi.Duration(time.Minute), Parent: top})
	take := func(p *writ.Principal, id string) {
		t.Helper()
		err := r.Take(t.Context(), &writ.Taking{Principal: p, Grants: []string{id}}, func([]writ.GrantUse, []writ.Change) error { return nil })
		if err != nil {
			t.Fatal(err)
		}
	}
	take(bot, mine)
	take(carol, top)
	out := r.why(t, ada, contract.GrantWhyInput{PrincipalID: bot.ID, Capability: get("api.example.com"), Skill: "acme/a"})
	if !out.Covered || out.Status != "covered" || out.Fix != "" || len(out.Nearest) != 0 || len(out.Chain) != 2 || out.Chain[0].GrantID != mine || out.Chain[1].GrantID != top {
		t.Fatalf("got %+v", out)
	}
	if out.UsesLeft != 3 || !out.Until.Std().Equal(r.now.Add(time.Minute)) || out.Chain[0].Uses != 1 || out.Chain[1].Uses != 2 {
		t.Errorf("got %+v", out)
	}
}

// TestWhyItIsNot: the first thing about each grant that does not fit, those first
// that come nearest, and the command that would do.
func TestWhyItIsNot(t *testing.T) {
	r := newRig(t)
	ada, _ := r.boot(t)
	bot := r.bot(t, ada)
	wanted := writ.Capability{Tool: abi.ToolHTTPRequest, Hosts: []string{"api.example.com"}, Methods: []string{"POST"}, Paths: []string{"/v1/it*"}}
	ask := contract.GrantWhyInput{PrincipalID: bot.ID, Capability: wanted, Skill: "acme/a", Risk: writ.RiskMedium}
	fix := "writ grant create --principal agent:bot --tool http.request --host api.example.com --method POST --path '/v1/it*' --skill acme/a --max-risk medium"
	if out := r.why(t, ada, ask); out.Covered || out.Status != "missing" || len(out.Nearest) != 0 || out.Fix != fix {
		t.Errorf("without grants: %+v", out)
	}
	with := func(change func(*contract.GrantCreateInput)) contract.GrantCreateInput {
		in := contract.GrantCreateInput{PrincipalID: bot.ID, MaxRisk: writ.RiskMedium, Capability: wanted}
		in.Capability.Paths = []string{"/v1/*"}
		change(&in)
		return in
	}
	tests := []struct {
		member, message string
		in              contract.GrantCreateInput
	}{
		{"tool", "it is for kv.get, not http.request", with(func(in *contract.GrantCreateInput) {
			in.Capability = writ.Capability{Tool: abi.ToolKVGet, Prefixes: []string{""}}
		})},
		{"hosts", `its hosts are "example.com", which do not cover "api.example.com"`, with(func(in *contract.GrantCreateInput) { in.Capability.Hosts = []string{"example.com"} })},
		{"methods", `its methods are "GET", which do not cover "POST"`, with(func(in *contract.GrantCreateInput) { in.Capability.Methods = []string{"GET"} })},
		{"paths", `its paths are "/v2/**", which do not cover "/v1/it*"`, with(func(in *contract.GrantCreateInput) { in.Capability.Paths = []string{"/v2/**"} })},
		{"maxRisk", "it reaches low risk, not medium", with(func(in *contract.GrantCreateInput) { in.MaxRisk = writ.RiskLow })},
		{"skill", "it is for acme/b, not acme/a", with(func(in *contract.GrantCreateInput) { in.Skills = []writ.SkillKey{"acme/b"} })},
		{"expiresAt", "it expired at ", with(func(in *contract.GrantCreateInput) { in.ExpiresIn = 1 })},
		{"maxUses", "its uses are used up: 1 of 1", with(func(in *contract.GrantCreateInput) { in.MaxUses = 1 })},
	}
	for _, test := range tests {
		t.Run(test.member, func(t *testing.T) {
			id := r.grant(t, ada, test.in)
			far := with(func(in *contract.GrantCreateInput) {
				in.Capability.Hosts, in.Capability.Methods, in.MaxRisk = []string{"y"}, []string{"PUT"}, writ.RiskLow
			})
			farID := r.grant(t, ada, far)
			r.now = r.now.Add(1)
			if test.in.MaxUses > 0 {
				err := r.Take(t.Context(), &writ.Taking{Principal: bot, Grants: []string{id}}, func([]writ.GrantUse, []writ.Change) error { return nil })
				if err != nil {
					t.Fatal(err)
				}
			}
			out := r.why(t, ada, ask)
			nearest := 0
			if test.member == "tool" { // another tool is farther than anything
				nearest = 1
			}
			if out.Covered || len(out.Nearest) != 2 || out.Fix != fix {
				t.Fatalf("got %+v", out)
			}
			if miss := out.Nearest[nearest]; miss.Grant.GrantID != id || miss.Member != test.member || !strings.HasPrefix(miss.Message, test.message) {
				t.Errorf("got %+v", miss)
			}
			for _, gone := range []string{id, farID} {
				if _, err := r.GrantRevoke(as(ada), &contract.GrantRevokeInput{GrantID: gone}); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
	for range maxNearest + 1 {
		r.grant(t, ada, with(func(in *contract.GrantCreateInput) { in.MaxRisk = writ.RiskLow }))
	}
	if out := r.why(t, ada, ask); len(out.Nearest) != maxNearest {
		t.Errorf("%d are shown", len(out.Nearest))
	}
}

// TestTheCommandOfWhyWouldDo: the narrowest grant that it names covers what was asked.
func TestTheCommandOfWhyWouldDo(t *testing.T) {
	r := newRig(t)
	ada, _ := r.boot(t)
	bot := r.bot(t, ada)
	ask := contract.GrantWhyInput{PrincipalID: bot.ID, Capability: writ.Capability{Tool: abi.ToolSkillCall, Skills: []string{"acme/b#run"}}}
	out := r.why(t, ada, ask)
	if out.Fix != "writ grant create --principal agent:bot --tool skill.call --action 'acme/b#run' --max-risk low" {
		t.Errorf("fix %s", out.Fix)
	}
	r.grant(t, ada, contract.GrantCreateInput{PrincipalID: bot.ID, Capability: ask.Capability, MaxRisk: writ.RiskLow})
	if out := r.why(t, ada, ask); !out.Covered {
		t.Errorf("got %+v", out)
	}
}

func TestWhyIsRefused(t *testing.T) {
	r := newRig(t)
	ada, _ := r.boot(t)
	for name, test := range map[string]struct {
		in   contract.GrantWhyInput
		code writ.Code
	}{
		"unknown principal": {contract.GrantWhyInput{PrincipalID: "agent:none", Capability: get("x")}, writ.CodeNotFound},
		"no scope":          {contract.GrantWhyInput{PrincipalID: ada.ID, Capability: writ.Capability{Tool: abi.ToolHTTPRequest}}, writ.CodeInvalid},
		"unknown tool":      {contract.GrantWhyInput{PrincipalID: ada.ID, Capability: writ.Capability{Tool: "x"}}, writ.CodeInvalid},
		"the blocked tier":  {contract.GrantWhyInput{PrincipalID: ada.ID, Capability: get("x"), Risk: writ.RiskBlocked}, writ.CodeInvalid},
	} {
		_, err := r.GrantWhy(as(ada), &test.in)
		if writ.CodeOf(err) != test.code {
			t.Errorf("%s: %v", name, err)
		}
	}
}
