package identity

import (
	"context"
	"slices"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
)

// Reaches reports whether live grants of a principal reach something of each tool that
// an action uses; one that needs no grant is reached by everybody. It is for showing what
// may be worth asking for: what a step may do is decided with its input, by the policy.
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
	tools := make([]string, len(wanted))
	for i := range wanted {
		tools[i] = wanted[i].Tool
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

// leastRisk is what an action has at least, whatever its input is.
func leastRisk(a *abi.Action) writ.Risk {
	risk := writ.RiskLow
	if a.Risk.Rank() > risk.Rank() && a.Risk.Rank() <= writ.RiskHigh.Rank() {
		risk = a.Risk
	}
	return risk
}
