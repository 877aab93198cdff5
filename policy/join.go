package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
)

// defaultRole is whom an assist asks that names no roles. The engine reads an
// empty list so too.
const defaultRole = "approver"

// join is the strictest of what the layers answer, member by member. Each of the
// verdicts has been clamped.
func join(parts []part, verdicts []*writ.Verdict) *writ.Verdict {
	out := &writ.Verdict{Mode: writ.Autonomous, Risk: writ.RiskLow, Reasons: []writ.Reason{}}
	for i, v := range verdicts {
		out.Mode, out.Risk = out.Mode.Tighten(v.Mode), out.Risk.Join(v.Risk)
		out.Budget = smaller(out.Budget, v.Budget)
		for _, c := range v.Clamps {
			c.Layer = parts[i].layer
			out.Clamps = append(out.Clamps, c)
		}
	}
	// Only the layers that decided have a word about why.
	asked := []writ.Layer{}
	for i, v := range verdicts {
		if v.Mode != out.Mode {
			continue
		}
		for _, r := range v.Reasons {
			r.Layer = parts[i].layer
			out.Reasons = append(out.Reasons, r)
		}
		if out.Mode != writ.Assist {
			continue
		}
		if asked = append(asked, parts[i].layer); len(asked) == 1 {
			out.Approvals = v.Approvals
			continue
		}
		both, ok := joinApprovals(&out.Approvals, &v.Approvals)
		if !ok {
			return nobodyMay(out, asked, &v.Approvals)
		}
		out.Approvals = both
	}
	return out
}

// nobodyMay blocks what different layers want different people for: a decision
// names one list of roles, and a role of one layer alone would pass over the other.
func nobodyMay(out *writ.Verdict, asked []writ.Layer, last *writ.Requirement) *writ.Verdict {
	say := func(r *writ.Requirement) string { return strings.Join(rolesOf(r), ", ") }
	out.Clamps = append(out.Clamps, writ.Clamp{Rule: ClampRoles, From: writ.Assist, To: writ.Blocked})
	above, below := asked[len(asked)-2], asked[len(asked)-1]
	out.Mode, out.Reasons = writ.Blocked, append([]writ.Reason{{
		Rule: ClampRoles, Layer: writ.LayerFloor,
		Message: clean(fmt.Sprintf("no role may approve for every layer: the %s asks for one of %s, the %s for one of %s",
			above, say(&out.Approvals), below, say(last)), maxText),
		Fix: fmt.Sprintf("name a role of the %s in the approvals of the %s's bundle too", above, below),
	}}, out.Reasons...)
	out.Approvals = writ.Requirement{}
	return out
}

// joinApprovals is what satisfies both: the larger number of people, the roles
// that both accept, the seats of both, the shorter time to decide. Escalation lets
// more people decide, so of two the later one counts, for those whom both then
// accept. It is false where no role satisfies both, or one asks for seats of a role
// that the other does not accept.
func joinApprovals(a, b *writ.Requirement) (writ.Requirement, bool) {
	first := common(rolesOf(a), rolesOf(b))
	out := writ.Requirement{Count: a.Count, Quorum: a.Quorum, Roles: first, ExpiresIn: min(a.ExpiresIn, b.ExpiresIn)}.Join(b)
	foreign := func(s writ.Seats) bool { return !slices.Contains(first, s.Role) }
	if len(first) == 0 || out.Count > maxPeople || slices.ContainsFunc(out.Quorum, foreign) {
		return out, false
	}
	var after abi.Duration
	for _, r := range []*writ.Requirement{a, b} {
		if escalates(r) {
			after = max(after, r.EscalateAfter)
		}
	}
	then := slices.DeleteFunc(common(laterRoles(a), laterRoles(b)), func(role string) bool { return slices.Contains(first, role) })
	if after > 0 && len(then) > 0 {
		out.EscalateAfter, out.EscalateTo = after, then
	}
	return out, true
}

func escalates(r *writ.Requirement) bool { return r.EscalateAfter > 0 && len(r.EscalateTo) > 0 }

// rolesOf are those that may decide from the beginning.
func rolesOf(r *writ.Requirement) []string {
	if deciders := r.Deciders(false); len(deciders) > 0 {
		return deciders
	}
	return []string{defaultRole}
}

// laterRoles are those that may decide once the requirement has escalated.
func laterRoles(r *writ.Requirement) []string {
	if !escalates(r) {
		return rolesOf(r)
	}
	return slices.Concat(rolesOf(r), r.EscalateTo)
}

func common(a, b []string) []string {
	var out []string
	for _, role := range a {
		if slices.Contains(b, role) {
			out = append(out, role)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// smaller joins budgets; a member of zero, and no budget, do not limit.
func smaller(a, b *writ.Budget) *writ.Budget {
	switch {
	case b == nil || b.Calls == 0:
		return a
	case a == nil || a.Calls == 0 || b.Calls < a.Calls:
		return &writ.Budget{Calls: b.Calls}
	}
	return a
}
