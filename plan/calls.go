package plan

import (
	"slices"
	"strings"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/canon"
)

// maxCallTemplates bounds what the scopes of skill.call of one plan may name.
const maxCallTemplates = writ.MaxPlanSteps

// caller is a step, or an action that one calls, on the way to what it calls.
type caller struct {
	step   *writ.Step
	action *abi.Action
	at     place
	path   []string // of actions, from the step of the plan
}

func actionName(skill writ.SkillKey, action string) string { return string(skill) + "#" + action }

// addCalls pins the actions that a step's guest may call. Their effect and risk
// are also the step's: who lets the step go lets them go.
func (c *compiler) addCalls(from *caller) {
	for i := range from.step.Capabilities {
		capability := &from.step.Capabilities[i]
		if capability.Tool != abi.ToolSkillCall {
			continue
		}
		for _, pattern := range capability.Skills {
			c.addPattern(from, pattern)
		}
	}
	for i := range from.step.Calls {
		from.step.Effect = from.step.Effect.Join(from.step.Calls[i].Effect)
		from.step.Risk = from.step.Risk.Join(from.step.Calls[i].Risk)
	}
}

func (c *compiler) refuse(from *caller, f finding) {
	f.message = strings.Join(from.path, " -> ") + ": " + f.message
	c.problems.add(from.at, f)
}

const calleeFix = "ask the skill's publisher for a corrected version, or pin an older one"

func (c *compiler) addPattern(from *caller, pattern string) {
	key, _, _ := strings.Cut(pattern, "#")
	if strings.Contains(key, "*") {
		c.refuse(from, found(CodeSkillInvalid, calleeFix, "%q does not name one skill", pattern))
		return
	}
	release := c.callee(from, writ.SkillKey(key))
	if release == nil {
		return
	}
	for i := range release.Manifest.Actions {
		action := &release.Manifest.Actions[i]
		name := actionName(release.Key, action.Name)
		if !writ.PatternCovers(pattern, name, "#") || slices.ContainsFunc(from.step.Calls, func(s writ.Step) bool { return s.Name == name }) {
			continue
		}
		switch {
		case slices.Contains(from.path, name):
			c.refuse(from, found(CodeSkillInvalid, calleeFix, "%s would call itself", name))
		case len(from.path) > writ.MaxCallDepth:
			c.refuse(from, found(CodeTooLarge, "call fewer skills inside one another", "calls are nested deeper than %d", writ.MaxCallDepth))
		case c.templates >= maxCallTemplates:
			c.refuse(from, found(CodeTooLarge, "use skills that call less", "the plan's steps may call more than %d actions", maxCallTemplates))
		default:
			c.templates++
			c.addCall(from, release, action)
			continue
		}
		return
	}
}

// callee finds the release that is called; nil after a problem.
func (c *compiler) callee(from *caller, key writ.SkillKey) *writ.Release {
	if release, ok := c.callable[key]; ok {
		return release
	}
	release, err := c.catalogue.Resolve(key, "")
	if err == nil && release != nil && release.Manifest != nil {
		if c.callable == nil {
			c.callable = map[writ.SkillKey]*writ.Release{}
		}
		c.callable[key] = release
		return release
	}
	c.refuse(from, found(CodeSkillNotFound, "install the skill that is called", "it calls %s, which is not there", key))
	return nil
}

// addCall compiles one action that may be called. Nothing of its input is known.
func (c *compiler) addCall(from *caller, release *writ.Release, action *abi.Action) {
	input, err := c.planner.schema(action.Input)
	if err != nil {
		c.refuse(from, found(CodeSkillInvalid, calleeFix, "%s: input schema of %s: %v", release.SkillRef, action.Name, err))
		return
	}
	output, err := c.planner.schema(action.Output)
	if err != nil {
		c.refuse(from, found(CodeSkillInvalid, calleeFix, "%s: output schema of %s: %v", release.SkillRef, action.Name, err))
		return
	}
	n := &narrower{manifest: release.Manifest, action: action, input: input.shape, lookup: func([]string) argument {
		return argument{state: argumentUnknown}
	}}
	declared, failed := n.narrow()
	for _, f := range failed {
		c.refuse(from, f.finding)
	}
	capabilities := writ.IntersectCapabilities(declared, from.step.Capabilities)
	taint := writ.JoinLabels(from.step.Taint, c.yieldLabels(from.step, from.action))
	sinks := []writ.SinkFlow{}
	for _, path := range slices.Compact(slices.Sorted(slices.Values(action.Sinks))) {
		sinks = append(sinks, writ.SinkFlow{Path: path, Labels: taint})
	}
	effect := effectOf(action, capabilities)
	step := writ.Step{
		Name: actionName(release.Key, action.Name), Skill: release.SkillRef, Action: action.Name,
		InputSchema: input.digest, OutputSchema: output.digest, Bindings: []writ.Binding{}, Needs: []string{},
		Capabilities: capabilities, Effect: effect, DeclaredRisk: action.Risk,
		Taint: taint, Sinks: sinks, Limits: release.Manifest.Limits,
	}
	step.Risk = exposureOf(&step).risk()
	c.addCalls(&caller{step: &step, action: action, at: from.at, path: append(slices.Clip(from.path), step.Name)})
	if step.ID, err = stepID(&step); err != nil {
		c.refuse(from, found(CodeSkillInvalid, calleeFix, "%s: %v", step.Name, err))
		return
	}
	from.step.Calls = append(from.step.Calls, step)
}

// called resolves a step that another one calls: its input is given, and it may
// do nothing that its caller may not.
func (r *resolver) called() (*writ.ResolvedStep, error) {
	from := r.scope.Caller
	input, err := canon.Decode(from.Input)
	if err != nil {
		return nil, writ.Errorf(writ.CodeInvalid, r.op, "its input is not JSON: %w", err)
	}
	canonical, err := r.checked(input)
	if err != nil {
		return nil, err
	}
	if again, err := canon.JSON(from.Input); err != nil || string(again) != string(canonical) {
		return nil, writ.Errorf(writ.CodeInvalid, r.op, "its input has no canonical form")
	}
	capabilities, err := r.capabilities(input)
	if err != nil {
		return nil, err
	}
	f := &flows{template: input, author: from.Labels}
	out := &writ.ResolvedStep{
		Input: canonical, Capabilities: capabilities, Taint: writ.JoinLabels(r.step.Taint, from.Labels), Sinks: f.sinks(r.action.Sinks),
	}
	r.risk(out)
	return out, nil
}
