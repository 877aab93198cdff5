package writ

import "slices"

// Declassification is a rule of a policy: what one action of one release of a skill
// gives out is public, although what it was made of was private. Nothing else is ever
// declassified: a secret stays one, and who wrote something is no matter of rules.
type Declassification struct {
	Name   string      `json:"name"`
	Skill  SkillKey    `json:"skill"`
	Digest Digest      `json:"digest"` // of the release: another one is another sanitiser
	Action string      `json:"action"`
	From   Sensitivity `json:"from"` // private
	To     Sensitivity `json:"to"`   // public
	Reason string      `json:"reason"`
}

// Of reports whether the rule is of the action of this release.
func (d *Declassification) Of(skill SkillRef, action string) bool {
	return d.Skill == skill.Key && d.Digest == skill.Digest && d.Action == action && action != "" && skill.Digest != "" &&
		d.From == SensitivityPrivate && d.To == SensitivityPublic
}

// Declassified is a rule as a step of a plan has it.
type Declassified struct {
	Rule   string      `json:"rule"`
	From   Sensitivity `json:"from"`
	To     Sensitivity `json:"to"`
	Reason string      `json:"reason"`
}

// Declassify is what a rule leaves of the labels of an output.
func Declassify(labels []Label) []Label {
	return slices.DeleteFunc(slices.Clone(labels), func(l Label) bool { return l == LabelPrivate })
}

// Declassifier is a Judge whose policy has such rules. Of several layers those count
// that each of them has. A planner takes them from it, and the judge itself blocks a
// step that was compiled by one which it does not have.
type Declassifier interface {
	Declassifications() []Declassification
}
