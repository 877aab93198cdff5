package plan

import (
	"slices"
	"strconv"
	"strings"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
)

// flows says which labels an input carries, and which of them reach its sinks.
type flows struct {
	template any
	author   []writ.Label            // of literals
	gate     []writ.Label            // of the conditions under which the step runs
	bound    map[string][]writ.Label // by pointer
}

// all is the join over the whole input.
func (f *flows) all() []writ.Label {
	sets := [][]writ.Label{f.author, f.gate}
	for _, labels := range f.bound {
		sets = append(sets, labels)
	}
	return writ.JoinLabels(sets...)
}

// sinks are the flows into the sinks that the input has, sorted by path. What a
// condition depends on flows along: whether a message is sent says something.
func (f *flows) sinks(paths []string) []writ.SinkFlow {
	out := []writ.SinkFlow{}
	for _, path := range slices.Compact(slices.Sorted(slices.Values(paths))) {
		w := &sinkWalk{flows: f}
		w.walk(f.template, "", strings.Split(path, "."))
		if w.present {
			out = append(out, writ.SinkFlow{Path: path, Labels: writ.JoinLabels(w.labels, f.gate)})
		}
	}
	return out
}

type sinkWalk struct {
	flows   *flows
	labels  []writ.Label
	present bool
}

// walk follows a path of members through lists: "items.to" is the member to of
// each element.
func (w *sinkWalk) walk(value any, pointer string, path []string) {
	if labels, ok := w.flows.bound[pointer]; ok {
		w.join(labels)
		return
	}
	if list, ok := value.([]any); ok {
		for i, item := range list {
			w.walk(item, pointerTo(pointer, strconv.Itoa(i)), path)
		}
		return
	}
	object, ok := value.(map[string]any)
	if len(path) > 0 {
		if ok {
			inner, there := object[path[0]]
			_, bound := w.flows.bound[pointerTo(pointer, path[0])]
			if there || bound {
				w.walk(inner, pointerTo(pointer, path[0]), path[1:])
			}
		}
		return
	}
	w.join(w.flows.author)
	for name, inner := range object {
		w.walk(inner, pointerTo(pointer, name), nil)
	}
}

func (w *sinkWalk) join(labels []writ.Label) {
	w.present = true
	w.labels = writ.JoinLabels(w.labels, labels)
}

func untrusted(labels []writ.Label) bool {
	return slices.ContainsFunc(labels, func(l writ.Label) bool { return !l.Trusted() })
}

// exposure is what the risk of a step depends on.
type exposure struct {
	effect       writ.Effect
	declared     writ.Risk
	capabilities []writ.Capability
	taint        []writ.Label
	sinks        []writ.SinkFlow
}

func exposureOf(s *writ.Step) *exposure {
	return &exposure{effect: s.Effect, declared: s.DeclaredRisk, capabilities: s.Capabilities, taint: s.Taint, sinks: s.Sinks}
}

// risk is the tier of a step: what its effect demands, what its author declared,
// at least medium where private data may leave together with untrusted data, and
// one tier more where an untrusted label reaches a sink. Taint alone never goes
// above high: it asks for people, it does not forbid.
func (e *exposure) risk() writ.Risk {
	risk := writ.RiskOf(e.effect)
	if e.declared != "" {
		risk = risk.Join(knownRisk(e.declared))
	}
	if writ.Lethal(e.taint) && writ.MayLeave(e.effect, e.capabilities) {
		risk = risk.Join(writ.RiskMedium)
	}
	if !slices.ContainsFunc(e.sinks, func(s writ.SinkFlow) bool { return untrusted(s.Labels) }) {
		return risk
	}
	switch risk {
	case writ.RiskLow:
		return writ.RiskMedium
	case writ.RiskMedium:
		return writ.RiskHigh
	}
	return risk
}

func knownRisk(r writ.Risk) writ.Risk {
	if r.Valid() {
		return r
	}
	return writ.RiskBlocked
}

// effectOf joins what the action says with what its tools can do. An action
// that says nothing is as bad as can be.
func effectOf(action *abi.Action, capabilities []writ.Capability) writ.Effect {
	effect := abi.EffectNone
	if len(action.Effects) == 0 {
		effect = abi.EffectAdmin
	}
	for _, e := range action.Effects {
		effect = effect.Join(knownEffect(e))
	}
	for i := range capabilities {
		effect = effect.Join(toolEffect(&capabilities[i]))
	}
	return effect
}

func knownEffect(e writ.Effect) writ.Effect {
	if e.Valid() {
		return e
	}
	return abi.EffectAdmin
}

// toolEffect is what calls within a capability can do: HTTP that may only GET
// and HEAD reads.
func toolEffect(c *writ.Capability) writ.Effect {
	spec, ok := writ.LookupTool(c.Tool)
	if !ok {
		return abi.EffectAdmin
	}
	writes := func(method string) bool { return method != "GET" && method != "HEAD" }
	if c.Tool == abi.ToolHTTPRequest && !slices.ContainsFunc(c.Methods, writes) {
		return abi.EffectRead
	}
	return spec.Effect
}

// toolLabels are the labels that the results of tools add to an output.
func toolLabels(capabilities []writ.Capability) []writ.Label {
	labels := []writ.Label{}
	for i := range capabilities {
		switch tool := capabilities[i].Tool; {
		case tool == abi.ToolHTTPRequest:
			labels = append(labels, writ.LabelHTTP)
		case strings.HasPrefix(tool, "kv."), strings.HasPrefix(tool, "file."):
			labels = append(labels, writ.LabelStored)
		}
	}
	return writ.JoinLabels(labels)
}

// yieldLabels are those that running a step adds to what it was given: of its
// tools, and of what its action and those that it calls say of themselves. Which
// labels stored values keep is known when they are read.
func (c *compiler) yieldLabels(s *writ.Step, action *abi.Action) []writ.Label {
	labels := toolLabels(s.Capabilities)
	if c.labelling.rules == 0 {
		return labels
	}
	if action.Sensitivity == abi.SensitivityPrivate || c.callsPrivate(s) {
		labels = append(labels, writ.LabelPrivate)
	}
	for i := range s.Capabilities {
		switch capability := &s.Capabilities[i]; {
		case capability.Tool == abi.ToolFileRead, capability.Tool == abi.ToolFileList:
			labels = append(labels, writ.LabelPrivate)
		case len(capability.Secrets) > 0 && action.Sensitivity != abi.SensitivityPublic:
			labels = append(labels, writ.LabelSecret)
		}
	}
	return writ.JoinLabels(labels)
}

// callsPrivate reports whether a step may call an action that gives out private
// data.
func (c *compiler) callsPrivate(s *writ.Step) bool {
	return slices.ContainsFunc(s.Calls, func(called writ.Step) bool {
		release := c.callable[called.Skill.Key]
		return c.callsPrivate(&called) || release != nil && slices.ContainsFunc(release.Manifest.Actions, func(a abi.Action) bool {
			return a.Name == called.Action && a.Sensitivity == abi.SensitivityPrivate
		})
	})
}
