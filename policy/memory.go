package policy

import (
	"hash/maphash"
	"slices"
	"sync/atomic"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/writ-run/writ"
)

// memorySlots bounds a memory: 256 principals and steps at work at one time are
// more than a host runs, and a collision only costs a conversion.
const memorySlots = 256

// memory keeps the evaluator's form of what stays the same from one question of a
// step to the next. An entry is used only where it equals what is asked for, so
// it never changes an answer.
type memory struct {
	seed    maphash.Seed
	people  [memorySlots]atomic.Pointer[entry[writ.Principal, ast.Value]]
	held    [memorySlots]atomic.Pointer[entry[[]writ.Grant, ast.Value]]
	planned [memorySlots]atomic.Pointer[entry[writ.StepFacts, map[string]any]]
	flows   [memorySlots]atomic.Pointer[entry[writ.TaintFacts, ast.Value]]
}

// entry is what something was turned into. Nobody changes form.
type entry[T, F any] struct {
	of   T // a copy: the caller's may change
	form F
}

func newMemory() *memory { return &memory{seed: maphash.MakeSeed()} }

func (m *memory) slot(key string) uint64 { return maphash.String(m.seed, key) % memorySlots }

func (m *memory) principal(p *writ.Principal) ast.Value {
	if p == nil {
		return ast.InternedNullValue
	}
	slot := &m.people[m.slot(string(p.ID))]
	if e := slot.Load(); e != nil && samePrincipal(&e.of, p) {
		return e.form
	}
	kept := *p
	kept.Roles, kept.Capabilities = slices.Clone(p.Roles), slices.Clone(p.Capabilities)
	kept.OnBehalfOf = slices.Clone(p.OnBehalfOf)
	e := &entry[writ.Principal, ast.Value]{of: kept, form: principalTerm(&kept).Value}
	slot.Store(e)
	return e.form
}

func (m *memory) grants(p *writ.Principal, grants []writ.Grant) ast.Value {
	if p == nil || len(grants) == 0 {
		return array(grants, grantTerm).Value
	}
	slot := &m.held[m.slot(string(p.ID))]
	if e := slot.Load(); e != nil && sameGrants(e.of, grants) {
		return e.form
	}
	kept := slices.Clone(grants)
	for i := range kept {
		kept[i].Skills = slices.Clone(kept[i].Skills)
		kept[i].Capability = cloneCapability(kept[i].Capability)
	}
	e := &entry[[]writ.Grant, ast.Value]{of: kept, form: array(kept, grantTerm).Value}
	slot.Store(e)
	return e.form
}

// plannedStep is what plannedMembers says; the caller clones it.
func (m *memory) plannedStep(s *writ.StepFacts) map[string]any {
	slot := &m.planned[m.slot(string(s.ID))]
	if e := slot.Load(); e != nil && sameStep(&e.of, s) {
		return e.form
	}
	kept := *s
	kept.Input, kept.Tools, kept.Capabilities = nil, slices.Clone(s.Tools), slices.Clone(s.Capabilities)
	for i := range kept.Capabilities {
		kept.Capabilities[i] = cloneCapability(kept.Capabilities[i])
	}
	e := &entry[writ.StepFacts, map[string]any]{of: kept, form: plannedMembers(&kept)}
	slot.Store(e)
	return e.form
}

func (m *memory) taint(q *writ.Question) ast.Value {
	slot := &m.flows[m.slot(string(q.Step.ID))]
	if e := slot.Load(); e != nil && sameTaint(&e.of, &q.Taint) {
		return e.form
	}
	kept := q.Taint
	kept.Labels, kept.Sinks = slices.Clone(q.Taint.Labels), slices.Clone(q.Taint.Sinks)
	for i := range kept.Sinks {
		kept.Sinks[i].Labels = slices.Clone(kept.Sinks[i].Labels)
	}
	e := &entry[writ.TaintFacts, ast.Value]{of: kept, form: taintValue(&kept)}
	slot.Store(e)
	return e.form
}

func cloneCapability(c writ.Capability) writ.Capability {
	for _, list := range []*[]string{&c.Hosts, &c.Methods, &c.Paths, &c.Prefixes, &c.Servers, &c.Models, &c.Channels, &c.Skills} {
		*list = slices.Clone(*list)
	}
	c.Secrets, c.Costs = slices.Clone(c.Secrets), slices.Clone(c.Costs)
	return c
}

func samePrincipal(a, b *writ.Principal) bool {
	return a.ID == b.ID && a.Kind == b.Kind && a.Name == b.Name && a.Tenant == b.Tenant && a.Workspace == b.Workspace &&
		a.Session == b.Session && a.Source == b.Source && a.Strength == b.Strength &&
		slices.Equal(a.Roles, b.Roles) && slices.Equal(a.Capabilities, b.Capabilities) && slices.Equal(a.OnBehalfOf, b.OnBehalfOf)
}

// sameGrants and what it asks take pointers: to copy a grant takes longer than to
// compare two.
func sameGrants(a, b []writ.Grant) bool {
	same := len(a) == len(b)
	for i := 0; same && i < len(a); i++ {
		same = sameGrant(&a[i], &b[i])
	}
	return same
}

func sameGrant(a, b *writ.Grant) bool {
	return a.ID == b.ID && a.Parent == b.Parent && a.Principal == b.Principal && a.Tenant == b.Tenant &&
		a.MaxRisk == b.MaxRisk && a.MaxSensitivity == b.MaxSensitivity && a.Expires == b.Expires && a.MaxUses == b.MaxUses && a.Uses == b.Uses && a.BreakGlass == b.BreakGlass &&
		slices.Equal(a.Skills, b.Skills) && sameCapability(&a.Capability, &b.Capability)
}

func sameCapabilities(a, b []writ.Capability) bool {
	same := sameNil(a, b) && len(a) == len(b)
	for i := 0; same && i < len(a); i++ {
		same = sameCapability(&a[i], &b[i])
	}
	return same
}

func sameCapability(a, b *writ.Capability) bool {
	return a.Tool == b.Tool && a.Idempotent == b.Idempotent &&
		slices.Equal(a.Hosts, b.Hosts) && slices.Equal(a.Methods, b.Methods) && slices.Equal(a.Paths, b.Paths) &&
		slices.Equal(a.Prefixes, b.Prefixes) && slices.Equal(a.Servers, b.Servers) && slices.Equal(a.Models, b.Models) &&
		slices.Equal(a.Channels, b.Channels) && slices.Equal(a.Skills, b.Skills) && slices.Equal(a.Secrets, b.Secrets) && slices.Equal(a.Costs, b.Costs)
}

// sameStep leaves out what differs from one question of a step to the next. A nil
// list is null to a rule.
func sameStep(a, b *writ.StepFacts) bool {
	return a.ID == b.ID && a.Name == b.Name && a.Skill == b.Skill && a.Publisher == b.Publisher && a.Version == b.Version &&
		a.Digest == b.Digest && a.Action == b.Action && a.Effect == b.Effect && a.Risk == b.Risk && sameDeclassified(a.Declassified, b.Declassified) &&
		sameList(a.Tools, b.Tools) && sameCapabilities(a.Capabilities, b.Capabilities)
}

func sameDeclassified(a, b *writ.Declassified) bool {
	return (a == nil) == (b == nil) && (a == nil || *a == *b)
}

func sameTaint(a, b *writ.TaintFacts) bool {
	return a.Untrusted == b.Untrusted && a.Sensitivity == b.Sensitivity && sameList(a.Labels, b.Labels) && sameNil(a.Sinks, b.Sinks) &&
		slices.EqualFunc(a.Sinks, b.Sinks, func(x, y writ.SinkFlow) bool { return x.Path == y.Path && sameList(x.Labels, y.Labels) })
}

func sameList[T comparable](a, b []T) bool { return sameNil(a, b) && slices.Equal(a, b) }

func sameNil[T any](a, b []T) bool { return (a == nil) == (b == nil) }
