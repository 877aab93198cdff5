package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

// declassifyFile of a bundle has its declassifications. It is data of the bundle, and
// so under its signature and in its digest.
const declassifyFile = "writ/declassify/data.json"

// Bounds. A plan holds each of its steps against each rule.
const (
	maxDeclassifications = 64
	maxDeclassifyText    = 512
)

// ClampDeclassified is the name of the clamp of a step that was compiled by a
// declassification which the policy does not have.
const ClampDeclassified = "writ.declassification"

// declassifications reads the rules. CodeInvalid where one of them says anything but
// that the private output of an action of one release is public.
func declassifications(raw []byte) ([]writ.Declassification, error) {
	const op = "policy " + declassifyFile
	wrong := func(format string, args ...any) error {
		return writ.Errorf(writ.CodeInvalid, op, format, args...).
			WithFix(`write {"rules": [{"name", "skill": "publisher/skill", "digest": "sha256:...", "action", "from": "private", "to": "public", "reason"}]}`)
	}
	if err := canon.CheckJSON(raw); err != nil {
		return nil, wrong("%w", err)
	}
	var file struct {
		Rules []writ.Declassification `json:"rules"`
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&file); err != nil {
		return nil, wrong("%w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, wrong("something follows the object")
	}
	if len(file.Rules) > maxDeclassifications {
		return nil, wrong("has %d rules, want at most %d", len(file.Rules), maxDeclassifications)
	}
	names := map[string]bool{}
	for i := range file.Rules {
		r := &file.Rules[i]
		for member, text := range map[string]string{"name": r.Name, "skill": string(r.Skill), "action": r.Action, "reason": r.Reason} {
			if strings.TrimSpace(text) == "" || len(text) > maxDeclassifyText || clean(text, maxDeclassifyText) != text {
				return nil, wrong("rule %d: %s is missing, too long or not one line", i+1, member)
			}
		}
		switch {
		case names[r.Name]:
			return nil, wrong("rule %d: the name %q stands twice", i+1, r.Name)
		case !r.Digest.Valid():
			return nil, wrong("rule %q: digest is not of a release; `writ skill list -o json` shows those that are installed", r.Name)
		case r.From != writ.SensitivityPrivate || r.To != writ.SensitivityPublic:
			return nil, wrong("rule %q: %q to %q: only private becomes public; a secret never does, nor is who wrote something changed", r.Name, writ.Clip(string(r.From), 40), writ.Clip(string(r.To), 40))
		}
		names[r.Name] = true
	}
	return file.Rules, nil
}

// Declassifications implements writ.Declassifier.
func (p *Policy) Declassifications() []writ.Declassification { return slices.Clone(p.declassifies) }

// Declassifications implements writ.Declassifier: a lower layer tightens, so what
// one of them does not say is not said.
func (l *law) Declassifications() []writ.Declassification {
	out := l.parts[0].policy.Declassifications()
	for _, part := range l.parts[1:] {
		out = slices.DeleteFunc(out, func(d writ.Declassification) bool { return !part.policy.has(&d) })
	}
	return out
}

func (p *Policy) has(want *writ.Declassification) bool {
	return slices.ContainsFunc(p.declassifies, func(d writ.Declassification) bool {
		return d.Name == want.Name && d.Of(writ.SkillRef{Key: want.Skill, Digest: want.Digest}, want.Action)
	})
}

// holdDeclassified blocks a step, and a call of it, whose plan took a rule that is
// not of this bundle: it was withdrawn, or another layer has none.
func (p *Policy) holdDeclassified(q *writ.Question, v *writ.Verdict) {
	if q == nil || q.Step.Declassified == nil {
		return
	}
	s := &q.Step
	if p.has(&writ.Declassification{Name: s.Declassified.Rule, Skill: s.Skill, Digest: s.Digest, Action: s.Action}) {
		return
	}
	if v.Mode != writ.Blocked {
		v.Clamps = append(v.Clamps, writ.Clamp{Rule: ClampDeclassified, From: v.Mode, To: writ.Blocked})
	}
	v.Mode, v.Approvals = writ.Blocked, writ.Requirement{}
	v.Reasons = append([]writ.Reason{{
		Rule:    ClampDeclassified,
		Message: "the plan takes the output for public by the declassification " + clean(s.Declassified.Rule, maxDeclassifyText) + ", which the policy does not have",
		Fix:     "submit the intent anew: its plan is compiled by the policy of now",
	}}, v.Reasons...)
}
