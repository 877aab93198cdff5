package writ_test

import (
	"testing"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
)

// TestAnApprovalCoversTheCompensationThatItShowed and nothing else.
func TestAnApprovalCoversTheCompensationThatItShowed(t *testing.T) {
	put := func(prefix string) writ.Capability {
		return writ.Capability{Tool: abi.ToolKVPut, Prefixes: []string{prefix}}
	}
	skill := writ.SkillRef{Key: "acme/notes", Version: "1.0.0"}
	verdict := &writ.Verdict{Mode: writ.Assist, Risk: writ.RiskMedium, Approvals: writ.Requirement{Count: 1}}
	approval := func(change func(*writ.ApprovalRequest)) *writ.Approval {
		request := writ.ApprovalRequest{
			Tenant: "default", Execution: "exe_1", Step: "stp_1", Risk: writ.RiskMedium,
			Compensation: &writ.Step{ID: "stp_1/compensate", Skill: skill, Capabilities: []writ.Capability{put("notes/")}},
		}
		change(&request)
		digest, err := request.Digest()
		if err != nil {
			t.Fatal(err)
		}
		return &writ.Approval{
			Digest: digest, Status: writ.ApprovalApproved, Request: request,
			Decisions: []writ.Decision{{By: "human:ada", Approved: true}},
		}
	}
	same := func(*writ.ApprovalRequest) {}
	for name, c := range map[string]struct {
		request func(*writ.ApprovalRequest)
		scope   func(*writ.PermitScope)
		given   func(*writ.Approval)
		verdict writ.Verdict
		covered bool
	}{
		"what was shown":        {covered: true},
		"narrower":              {scope: func(s *writ.PermitScope) { s.Capabilities = []writ.Capability{put("notes/7")} }, covered: true},
		"wider":                 {scope: func(s *writ.PermitScope) { s.Capabilities = []writ.Capability{put("")} }},
		"another tool":          {scope: func(s *writ.PermitScope) { s.Capabilities[0].Tool = abi.ToolKVDelete }},
		"another skill":         {scope: func(s *writ.PermitScope) { s.Skill.Version = "1.0.1" }},
		"another step":          {scope: func(s *writ.PermitScope) { s.Step = "stp_2/compensate" }},
		"the step itself":       {scope: func(s *writ.PermitScope) { s.Compensates, s.Step = "", "stp_1" }},
		"of another step":       {scope: func(s *writ.PermitScope) { s.Compensates = "stp_2" }},
		"another execution":     {scope: func(s *writ.PermitScope) { s.Execution = "exe_2" }},
		"another tenant":        {scope: func(s *writ.PermitScope) { s.Tenant = "other" }},
		"nothing was shown":     {request: func(r *writ.ApprovalRequest) { r.Compensation = nil }},
		"a higher risk":         {verdict: writ.Verdict{Mode: writ.Assist, Risk: writ.RiskHigh, Approvals: writ.Requirement{Count: 1}}},
		"more people":           {verdict: writ.Verdict{Mode: writ.Assist, Risk: writ.RiskMedium, Approvals: writ.Requirement{Count: 2}}},
		"changed after the yes": {given: func(a *writ.Approval) { a.Request.Compensation.Capabilities[0].Prefixes[0] = "" }},
		"rejected":              {given: func(a *writ.Approval) { a.Status = writ.ApprovalRejected }},
	} {
		t.Run(name, func(t *testing.T) {
			if c.request == nil {
				c.request = same
			}
			a := approval(c.request)
			scope := writ.PermitScope{
				Tenant: "default", Execution: "exe_1", Step: "stp_1/compensate", Skill: skill,
				Compensates: "stp_1", Capabilities: []writ.Capability{put("notes/")},
			}
			if c.scope != nil {
				c.scope(&scope)
			}
			if c.given != nil {
				c.given(a)
			}
			v := verdict
			if c.verdict.Mode != "" {
				v = &c.verdict
			}
			permit, err := writ.MintPermit(scope, writ.PermitEvidence{Verdict: v, Approvals: []*writ.Approval{a}})
			call := &writ.CallFacts{Tool: abi.ToolKVPut, Effect: abi.EffectWriteLocal, Target: writ.Target{Key: "notes/7"}}
			if err == nil {
				_, err = permit.Covers(call)
			}
			if (err == nil) != c.covered {
				t.Errorf("covered %v: %v", c.covered, err)
			}
		})
	}
}
