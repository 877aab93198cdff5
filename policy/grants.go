package policy

import (
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/topdown/builtins"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
)

// builtinMissing reads the question as a rule sees it, so `with input as` in a
// test means what it says.
func builtinMissing(c rego.BuiltinContext, question *ast.Term) (*ast.Term, error) {
	if q := questionOf(c.Context, question.Value); q != nil {
		return missingFrom(q), nil
	}
	input, ok := question.Value.(ast.Object)
	if !ok {
		return nil, builtins.NewOperandTypeErr(1, question.Value, "object")
	}
	step, ok := member(input, keyStep).(ast.Object)
	if !ok {
		return nil, builtins.NewOperandErr(1, "the question has no step")
	}
	live, err := liveGrants(input, step)
	if err != nil {
		return nil, err
	}
	missing, named, err := uncovered(live, step)
	if err != nil {
		return nil, err
	}
	tools, err := texts(step, keyTools)
	if err != nil {
		return nil, err
	}
	for _, tool := range tools {
		if !slices.Contains(named, tool) && !grantsTool(live, tool) {
			missing = append(missing, toolTerm(tool))
		}
	}
	if len(named)+len(tools) == 0 && !harmless(step) && !grantsTool(live, "*") {
		missing = append(missing, toolTerm("*"))
	}
	return ast.ArrayTerm(missing...), nil
}

func toolTerm(tool string) *ast.Term { return ast.ObjectTerm([2]*ast.Term{keyTool, str(tool)}) }

// harmless: what has no tool reaches nothing. Where it claims an effect or a risk
// all the same, only a grant of every tool says that somebody wanted it.
func harmless(step ast.Object) bool {
	return text(step, keyEffect) == string(abi.EffectNone) && text(step, keyRisk) == string(writ.RiskLow)
}

// uncovered also returns the tools that the wanted capabilities name.
func uncovered(live []writ.Grant, step ast.Object) (missing []*ast.Term, named []string, err error) {
	err = eachElement(step, keyCapabilities, func(t *ast.Term) error {
		wanted, err := capabilityOf(t)
		if err != nil {
			return err
		}
		named = append(named, wanted.Tool)
		if !slices.ContainsFunc(live, func(held writ.Grant) bool { return held.Reaches(&wanted) }) {
			missing = append(missing, t)
		}
		return nil
	})
	return missing, named, err
}

func grantsTool(live []writ.Grant, tool string) bool {
	return slices.ContainsFunc(live, func(g writ.Grant) bool { return g.EveryTool() || g.Capability.Tool == tool && tool != writ.AnyTool })
}

// liveGrants are what the principal holds, their capabilities alone. A grant that is not
// understood errs: the decision is blocked, and says why.
func liveGrants(input, step ast.Object) ([]writ.Grant, error) {
	principal, ok := member(input, keyPrincipal).(ast.Object)
	now := text(input, keyTime)
	risk := writ.Risk(text(step, keyRisk))
	if !ok || now == "" || text(principal, keyID) == "" {
		return nil, nil
	}
	var asked writ.Sensitivity
	if taint, ok := member(input, keyTaint).(ast.Object); ok {
		asked = writ.Sensitivity(text(taint, keySensitivity))
	}
	var live []writ.Grant
	err := eachElement(input, keyGrants, func(t *ast.Term) error {
		grant, ok := t.Value.(ast.Object)
		if !ok {
			return builtins.NewOperandErr(1, "a grant is not an object")
		}
		same := text(grant, keyPrincipal) == text(principal, keyID) && text(grant, keyTenant) == text(principal, keyTenant)
		reach := writ.Grant{MaxSensitivity: writ.Sensitivity(text(grant, keyMaxSensitivity))}
		if !same || !alive(grant, now) || maxRisk(grant).Rank() < risk.Rank() || !reach.ForSensitivity(asked) {
			return nil
		}
		skills, err := texts(grant, keySkills)
		if err != nil || (len(skills) > 0 && !slices.Contains(skills, text(step, keySkill))) {
			return err
		}
		c, err := capabilityOf(grant.Get(keyCapability))
		live = append(live, writ.Grant{Capability: c})
		return err
	})
	return live, err
}

// maxRisk is low where a grant names none, and never reaches the blocked tier.
func maxRisk(grant ast.Object) writ.Risk {
	risk := writ.Risk(text(grant, keyMaxRisk))
	if risk.Rank() >= writ.RiskBlocked.Rank() {
		return writ.RiskLow
	}
	return risk
}

// alive compares times as text: both have one form, with nine fraction digits.
func alive(grant ast.Object, now string) bool {
	if expires := member(grant, keyExpires); expires != nil {
		if s, ok := expires.(ast.String); !ok || string(s) <= now {
			return false
		}
	}
	most, limited := number(grant, keyMaxUses)
	used, _ := number(grant, keyUses)
	return !limited || used < most
}

// number: a member that is there and is no integer counts as a limit of zero.
func number(object ast.Object, key *ast.Term) (n int, present bool) {
	value := member(object, key)
	if value == nil {
		return 0, false
	}
	if number, ok := value.(ast.Number); ok {
		n, _ = number.Int()
	}
	return n, true
}

// eachElement takes null and nothing as an empty list.
func eachElement(object ast.Object, key *ast.Term, fn func(*ast.Term) error) error {
	value := member(object, key)
	if _, null := value.(ast.Null); null || value == nil {
		return nil
	}
	list, ok := value.(*ast.Array)
	if !ok {
		return builtins.NewOperandTypeErr(1, value, "array")
	}
	return list.Iter(fn)
}
