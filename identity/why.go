package identity

import (
	"cmp"
	"context"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// maxNearest is as many as a person reads.
const maxNearest = 5

// GrantWhy is the handler of contract.GrantWhy. It asks what a decision asks, and
// uses nothing up.
func (s *Service) GrantWhy(ctx context.Context, in *contract.GrantWhyInput) (*contract.GrantWhyOutput, error) {
	by, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, err
	}
	if err := checkCapability(&in.Capability); err != nil {
		return nil, err
	}
	in.Risk = cmp.Or(in.Risk, writ.RiskLow)
	if in.Risk.Rank() > writ.RiskHigh.Rank() {
		return nil, invalid("risk", "%q: a grant reaches low, medium or high", in.Risk)
	}
	if in.Sensitivity = cmp.Or(in.Sensitivity, writ.SensitivityPublic); !in.Sensitivity.Valid() {
		return nil, notSensitive("sensitivity", in.Sensitivity)
	}
	p, err := s.principal(ctx, by.Tenant, in.PrincipalID)
	if writ.IsCode(err, writ.CodeNotFound) {
		return nil, writ.Errorf(writ.CodeNotFound, "grant", "there is no principal %s", in.PrincipalID).WithFix("see `writ token list`")
	}
	if err != nil {
		return nil, err
	}
	holding, err := s.grantsOf(ctx, p.Tenant, p.ID)
	if err != nil {
		return nil, err
	}
	all := holding.all
	now := s.opts.Clock.Now()
	out := &contract.GrantWhyOutput{Result: contract.Result{Status: "missing", ChangedAt: now}, Chain: []contract.Grant{}, Nearest: []contract.GrantMiss{}}
	if h := s.covering(all, p, in, now); h != nil {
		s.explain(out, h)
		return out, nil
	}
	out.Nearest = s.nearest(all, in, now)
	out.Fix = createCommand(in)
	return out, nil
}

// covering is the grant that a step would use: chosen as the decision chooses it.
func (s *Service) covering(all []held, p *writ.Principal, in *contract.GrantWhyInput, now writ.Time) *held {
	q := &writ.Question{Principal: p, Time: now, Step: writ.StepFacts{Skill: in.Skill, Risk: in.Risk, Capabilities: []writ.Capability{in.Capability}}}
	q.Taint.Sensitivity = in.Sensitivity
	for i := range all {
		h := &all[i]
		g := h.grant
		if g.Uses = s.count(&g, nil); s.overAbove(h, now, nil) == "" {
			q.Grants = append(q.Grants, g)
		}
	}
	needed := writ.GrantsNeeded(q, nil)
	if len(needed) == 0 {
		return nil
	}
	return &all[slices.IndexFunc(all, func(h held) bool { return h.grant.ID == needed[0].ID })]
}

// explain follows the chain: it lasts as long, and as often, as its weakest link.
func (s *Service) explain(out *contract.GrantWhyOutput, h *held) {
	out.Status, out.Covered = "covered", true
	for _, g := range append([]writ.Grant{h.grant}, h.above...) {
		g.Uses = s.count(&g, nil)
		out.Chain = append(out.Chain, contract.GrantFrom(&g, s.opts.Clock.Now()))
		if g.Expires != 0 && (out.Until == 0 || g.Expires < out.Until) {
			out.Until = g.Expires
		}
		if left := g.MaxUses - g.Uses; g.MaxUses != 0 && (out.UsesLeft == 0 || left < out.UsesLeft) {
			out.UsesLeft = left
		}
	}
}

// misfit is one thing about a grant that does not fit.
type misfit struct{ member, message string }

// nearest sorts by how much does not fit: another tool is farther than anything.
func (s *Service) nearest(all []held, in *contract.GrantWhyInput, now writ.Time) []contract.GrantMiss {
	type near struct {
		miss contract.GrantMiss
		far  int
	}
	var list []near
	for i := range all {
		g := all[i].grant
		g.Uses = s.count(&g, nil)
		wrong := s.misfits(&all[i], in, now)
		if len(wrong) == 0 {
			continue
		}
		far := len(wrong)
		if wrong[0].member == "tool" {
			far += 100
		}
		list = append(list, near{contract.GrantMiss{Grant: contract.GrantFrom(&g, now), Member: wrong[0].member, Message: wrong[0].message}, far})
	}
	slices.SortStableFunc(list, func(a, b near) int {
		return cmp.Or(cmp.Compare(a.far, b.far), strings.Compare(a.miss.Grant.GrantID, b.miss.Grant.GrantID))
	})
	out := []contract.GrantMiss{}
	for _, n := range list[:min(len(list), maxNearest)] {
		out = append(out, n.miss)
	}
	return out
}

func (s *Service) misfits(h *held, in *contract.GrantWhyInput, now writ.Time) []misfit {
	var out []misfit
	add := func(wrong bool, member, message string) {
		if wrong {
			out = append(out, misfit{member, message})
		}
	}
	g := h.grant
	g.Uses = s.count(&g, nil)
	if !g.EveryTool() {
		add(g.Capability.Tool != in.Capability.Tool, "tool", "it is for "+g.Capability.Tool+", not "+in.Capability.Tool)
		if g.Capability.Tool == in.Capability.Tool {
			out = append(out, scopeMisfits(&g.Capability, &in.Capability)...)
		}
	}
	add(!g.ForRisk(in.Risk), "maxRisk", "it reaches "+string(cmp.Or(g.MaxRisk, writ.RiskLow))+" risk, not "+string(in.Risk))
	add(!g.ForSensitivity(in.Sensitivity), "maxSensitivity", "it reaches "+string(g.Sensitivity())+" data, not "+string(in.Sensitivity))
	switch {
	case in.Skill == "":
		add(!g.ForSkill(""), "skill", "it is for "+skillsText(g.Skills)+" alone")
	default:
		add(!g.ForSkill(in.Skill), "skill", "it is for "+skillsText(g.Skills)+", not "+string(in.Skill))
	}
	add(g.Expired(now), "expiresAt", "it expired at "+g.Expires.String())
	add(g.Spent(), "maxUses", "its uses are used up: "+strconv.Itoa(g.Uses)+" of "+strconv.Itoa(g.MaxUses))
	above := s.overAbove(h, now, nil)
	add(above != "", "parent", above)
	return out
}

// scopeMisfits holds each member of the scope alone against what is wanted, in
// the order in which the tool names them.
func scopeMisfits(have, want *writ.Capability) []misfit {
	spec, ok := writ.LookupTool(want.Tool)
	if !ok {
		return nil
	}
	var out []misfit
	for _, name := range spec.Scope {
		one := *want // with every other member as it is wanted, only this one can be what is wrong
		mine, wanted := scopes(have)[name], scopes(want)[name]
		switch name {
		case writ.ScopeHosts:
			one.Hosts = mine
		case writ.ScopeMethods:
			one.Methods = mine
		case writ.ScopePaths:
			one.Paths = mine
		case writ.ScopePrefixes:
			one.Prefixes = mine
		case writ.ScopeSkills:
			one.Skills = mine
		case writ.ScopeChannels:
			one.Channels = mine
		}
		if !writ.CapabilityCovers(&one, want) {
			out = append(out, misfit{name, "its " + name + " are " + quoted(mine) + ", which do not cover " + quoted(wanted)})
		}
	}
	return out
}

func quoted(list []string) string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = strconv.Quote(s)
	}
	return strings.Join(out, ", ")
}

func skillsText(skills []writ.SkillKey) string {
	var out []string
	for _, k := range skills {
		out = append(out, string(k))
	}
	return strings.Join(out, ", ")
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9._/:@=-]+$`)

// createCommand is the narrowest grant that would cover what is asked, as a person
// types it. The policy's own denials say the same.
func createCommand(in *contract.GrantWhyInput) string {
	var b strings.Builder
	b.WriteString("writ grant create")
	flag := func(name string, values ...string) {
		for _, v := range values {
			if !plainWord.MatchString(v) {
				v = "'" + strings.ReplaceAll(v, "'", `'\''`) + "'"
			}
			b.WriteString(" --" + name + " " + v)
		}
	}
	c := &in.Capability
	flag("principal", string(in.PrincipalID))
	flag("tool", c.Tool)
	flag("host", c.Hosts...)
	flag("method", c.Methods...)
	flag("path", c.Paths...)
	flag("prefix", c.Prefixes...)
	flag("action", c.Skills...)
	flag("channel", c.Channels...)
	if in.Skill != "" {
		flag("skill", string(in.Skill))
	}
	flag("max-risk", string(in.Risk))
	if reach := (&writ.Grant{}); !reach.ForSensitivity(in.Sensitivity) {
		flag("max-sensitivity", string(in.Sensitivity))
	}
	return b.String()
}
