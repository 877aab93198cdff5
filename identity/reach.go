package identity

import (
	"context"
	"slices"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
)

// Reaches reports whether live grants of a principal reach something of each tool that
// an action uses; one that needs no grant is reached by everybody. It is for showing what
// may be worth asking for in a channel: what a step may do is decided with its input, by
// the policy.
func (s *Service) Reaches(ctx context.Context, p *writ.Principal, release *writ.Release, action string) bool {
	m := release.Manifest
	i := slices.IndexFunc(m.Actions, func(a abi.Action) bool { return a.Name == action })
	if i < 0 {
		return false
	}
	a := &m.Actions[i]
	wanted := a.Uses
	if len(wanted) == 0 {
		wanted = m.Capabilities
	}
	if len(wanted) == 0 {
		if leastRisk(a) == writ.RiskLow && !slices.ContainsFunc(a.Effects, func(e writ.Effect) bool { return e != abi.EffectNone }) {
			return true
		}
		wanted = []writ.Capability{{Tool: writ.AnyTool}} // it claims something and names no tool
	}
	tools := make([]writ.Capability, len(wanted))
	for i := range wanted {
		tools[i].Tool = wanted[i].Tool // nothing of its scope: each of its grants reaches that
	}
	grants, err := s.Candidates(ctx, p, tools, nil)
	if err != nil {
		return false
	}
	q := &writ.Question{Principal: p, Time: s.opts.Clock.Now(), Step: writ.StepFacts{Skill: release.Key, Risk: leastRisk(a)}}
	for i := range wanted {
		if !slices.ContainsFunc(grants, func(g writ.Grant) bool {
			return g.Counts(q) && (g.EveryTool() || g.Capability.Tool == wanted[i].Tool)
		}) {
			return false
		}
	}
	return true
}

// leastRisk is what an action has at least when somebody asks for it in a channel: their
// words are untrusted, and what goes into a sink raises the risk by a tier.
func leastRisk(a *abi.Action) writ.Risk {
	tiers := []writ.Risk{writ.RiskLow, writ.RiskMedium, writ.RiskHigh}
	at := max(slices.Index(tiers, a.Risk), 0)
	if len(a.Sinks) > 0 {
		at = min(at+1, len(tiers)-1)
	}
	return tiers[at]
}
