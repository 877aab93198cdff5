package identity

import (
	"testing"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/contract"
)

func TestReaches(t *testing.T) {
	r := newRig(t)
	ada, _ := r.boot(t)
	bot := r.bot(t, ada)
	store := writ.Capability{Tool: abi.ToolKVGet, Prefixes: []string{"notes/"}}
	release := &writ.Release{SkillRef: writ.SkillRef{Key: "acme/mailer"}, Manifest: &abi.Manifest{
		Capabilities: []writ.Capability{get("**"), store},
		Actions: []abi.Action{
			{Name: "read", Effects: []writ.Effect{abi.EffectRead}, Uses: []writ.Capability{get("api.example.com")}},
			{Name: "both", Effects: []writ.Effect{abi.EffectRead}},
			{Name: "sink", Effects: []writ.Effect{abi.EffectRead}, Sinks: []string{"url"}, Uses: []writ.Capability{get("api.example.com")}},
			{Name: "medium", Effects: []writ.Effect{abi.EffectRead}, Risk: writ.RiskMedium, Uses: []writ.Capability{get("api.example.com")}},
		},
	}}
	pure := &writ.Release{Manifest: &abi.Manifest{Actions: []abi.Action{{Name: "none", Effects: []writ.Effect{abi.EffectNone}}, {Name: "claims", Effects: []writ.Effect{abi.EffectAdmin}}}}}
	want := func(when string, p *writ.Principal, release *writ.Release, reached map[string]bool) {
		t.Helper()
		for action, want := range reached {
			if got := r.Reaches(t.Context(), p, release, action); got != want {
				t.Errorf("%s: %s is reached: %v", when, action, got)
			}
		}
	}
	want("without a grant", bot, release, map[string]bool{"read": false, "both": false, "medium": false, "nothing": false})
	want("without a grant", bot, pure, map[string]bool{"none": true, "claims": false})
	want("with every tool", ada, pure, map[string]bool{"none": true, "claims": true})
	r.grant(t, ada, contract.GrantCreateInput{PrincipalID: bot.ID, Capability: get("api.example.com"), Skills: []writ.SkillKey{"acme/mailer"}, ExpiresIn: abi.Duration(time.Hour)})
	want("with one tool at low risk", bot, release, map[string]bool{"read": true, "both": false, "medium": false, "sink": false})
	r.grant(t, ada, contract.GrantCreateInput{PrincipalID: bot.ID, Capability: get("api.example.com"), Skills: []writ.SkillKey{"acme/mailer"}, MaxRisk: writ.RiskMedium, ExpiresIn: abi.Duration(time.Hour)})
	want("at medium risk", bot, release, map[string]bool{"read": true, "both": false, "medium": true, "sink": true})
	r.grant(t, ada, contract.GrantCreateInput{PrincipalID: bot.ID, Capability: store})
	want("with both tools", bot, release, map[string]bool{"read": true, "both": true})
	other := *release
	other.Key = "acme/other"
	want("for another skill", bot, &other, map[string]bool{"read": false})
	r.now = r.now.Add(time.Hour)
	want("after its end", bot, release, map[string]bool{"read": false})
}
