package writ

import (
	"errors"
	"slices"
	"strings"

	"github.com/writ-run/writ/abi"
)

// Grant lets a principal's steps use tools within a scope. A delegated grant is
// never wider than its parent.
type Grant struct {
	ID         string      `json:"id"`
	Parent     string      `json:"parent,omitempty"`
	Principal  PrincipalID `json:"principal"`
	Tenant     TenantID    `json:"tenant"`
	Capability Capability  `json:"capability"`        // Tool "*" with no scope covers every tool
	Skills     []SkillKey  `json:"skills,omitempty"`  // empty: any skill
	MaxRisk    Risk        `json:"maxRisk,omitempty"` // empty: low
	Expires    Time        `json:"expires,omitempty"` // zero: does not expire
	MaxUses    int         `json:"maxUses,omitempty"` // zero: not counted
	Uses       int         `json:"uses,omitempty"`
	BreakGlass bool        `json:"breakGlass,omitempty"` // given in an emergency, to be reviewed

	MaxSensitivity Sensitivity `json:"maxSensitivity,omitempty"` // of the data in a step's input; empty: private
}

// AnyTool as a grant's tool covers every tool.
const AnyTool = "*"

// GrantUse is a grant that an attempt of a step needed: it stands in the record
// that starts the attempt.
type GrantUse struct {
	ID         string `json:"id"`
	Use        int    `json:"use,omitempty"` // which use it was, from 1; zero: they are not counted
	For        string `json:"for,omitempty"` // the grant that was needed, and delegated from this one
	BreakGlass bool   `json:"breakGlass,omitempty"`
}

// ErrGrantSpent is the cause of a CodeConflict: between the decision and the
// attempt a grant was revoked, expired or was used up. Decide again.
var ErrGrantSpent = errors.New("a grant of the decision is no longer there")

// Taking asks for one use of each grant that an attempt needs.
type Taking struct {
	Principal *Principal
	Grants    []string   // ids
	Held      []GrantUse // that the attempt has taken already
}

// highest is the risk that the grant reaches: low where it names none, and never
// the blocked tier.
func (g *Grant) highest() Risk {
	if g.MaxRisk.Rank() >= RiskBlocked.Rank() {
		return RiskLow
	}
	return g.MaxRisk
}

// Spent reports whether every use has been taken.
func (g *Grant) Spent() bool { return g.MaxUses != 0 && g.Uses >= g.MaxUses }

// Expired reports whether its time is over.
func (g *Grant) Expired(now Time) bool { return g.Expires != 0 && now >= g.Expires }

// ForSkill reports whether it is for the skill.
func (g *Grant) ForSkill(skill SkillKey) bool {
	return len(g.Skills) == 0 || slices.Contains(g.Skills, skill)
}

// ForRisk reports whether it reaches the risk.
func (g *Grant) ForRisk(risk Risk) bool { return g.highest().Rank() >= risk.Rank() }

// EveryTool reports whether it covers every tool. A scope beside "*" has no
// meaning, so such a grant covers nothing.
func (g *Grant) EveryTool() bool { return everyTool(&g.Capability) }

func everyTool(c *Capability) bool {
	return c.Tool == AnyTool && len(c.Hosts)+len(c.Methods)+len(c.Paths)+len(c.Prefixes)+
		len(c.Servers)+len(c.Models)+len(c.Channels)+len(c.Skills)+len(c.Secrets)+len(c.Costs) == 0
}

// Reaches adds to CapabilityCovers what only a grant may say: every tool. A grant
// is about reach: which secret the host adds, what a call costs, and whether a
// server honours idempotency keys, is the signed manifest's word alone.
func (g *Grant) Reaches(wanted *Capability) bool {
	if everyTool(&g.Capability) {
		return true
	}
	reach := *wanted
	reach.Secrets, reach.Costs, reach.Idempotent = nil, nil, false
	return CapabilityCovers(&g.Capability, &reach)
}

// Concerns reports whether the grant may matter to a step with these capabilities: it
// reaches one of them, or is for every tool. A capability is covered by one grant or
// not at all, so what any other grant says changes no answer about them.
func (g *Grant) Concerns(wanted []Capability) bool {
	if g.Capability.Tool == AnyTool {
		return true
	}
	for i := range wanted {
		if g.Reaches(&wanted[i]) {
			return true
		}
	}
	return false
}

// Counts reports whether the grant is a live one of the asker for this step.
func (g *Grant) Counts(q *Question) bool {
	p := q.Principal
	return p != nil && p.ID != "" && q.Time != 0 && g.Principal == p.ID && g.Tenant == p.Tenant &&
		!g.Expired(q.Time) && !g.Spent() && g.ForRisk(q.Step.Risk) && g.ForSkill(q.Step.Skill) && g.ForSensitivity(q.Taint.Sensitivity)
}

// GrantsNeeded are the grants of a question that its step needs: for each of its
// capabilities one that covers it, unless one that is held still does. Which one is
// determined: one that is not counted before one that is, then the narrowest, then
// the smallest id. Where nothing covers a capability there is none for it. In order
// of the id.
func GrantsNeeded(q *Question, held []GrantUse) []Grant {
	wanted := q.Step.Capabilities
	if len(wanted) == 0 && (q.Step.Effect != abi.EffectNone || q.Step.Risk != RiskLow) {
		wanted = []Capability{{Tool: AnyTool}} // it claims something and names no tool
	}
	var needed []Grant
	for i := range wanted {
		if slices.ContainsFunc(q.Grants, func(g Grant) bool { return g.heldBy(held) && g.Counts(q) && g.Reaches(&wanted[i]) }) {
			continue
		}
		best := narrowest(q, &wanted[i])
		if best != nil && !slices.ContainsFunc(needed, func(g Grant) bool { return g.ID == best.ID }) {
			needed = append(needed, *best)
		}
	}
	slices.SortFunc(needed, func(a, b Grant) int { return strings.Compare(a.ID, b.ID) })
	return needed
}

// heldBy reports whether the grant itself was taken: one above another that was
// needed is a different matter.
func (g *Grant) heldBy(held []GrantUse) bool {
	return slices.ContainsFunc(held, func(u GrantUse) bool { return u.ID == g.ID && u.For == "" })
}

// narrowest compares each with each: "narrower" is no order of all grants, and
// one pass would depend on theirs. Only one that would be the best is compared: a
// thousand that say the same come in the order of their ids.
func narrowest(q *Question, wanted *Capability) *Grant {
	var fit []*Grant
	counted := true
	for i := range q.Grants {
		g := &q.Grants[i]
		if g.Counts(q) && g.Reaches(wanted) {
			fit, counted = append(fit, g), counted && g.MaxUses != 0
		}
	}
	var best *Grant
	for _, g := range fit {
		beaten := func(other *Grant) bool { return (other.MaxUses != 0) == counted && g.wider(other) }
		if (g.MaxUses != 0) == counted && (best == nil || g.ID < best.ID) && !slices.ContainsFunc(fit, beaten) {
			best = g
		}
	}
	return best
}

// wider reports whether g allows all that other does, and more.
func (g *Grant) wider(other *Grant) bool { return g.includes(other) && !other.includes(g) }

func (g *Grant) includes(other *Grant) bool {
	skills := len(g.Skills) == 0 || len(other.Skills) > 0 &&
		!slices.ContainsFunc(other.Skills, func(k SkillKey) bool { return !slices.Contains(g.Skills, k) })
	return skills && g.highest().Rank() >= other.highest().Rank() && g.ForSensitivity(other.Sensitivity()) && g.Reaches(&other.Capability)
}
