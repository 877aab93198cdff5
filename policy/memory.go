package policy

import (
	"hash/maphash"
	"slices"
	"sync/atomic"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
)

// memorySlots bounds a memory: 256 principals and steps at work at one time are
// more than a host runs, and a collision only costs a conversion.
const memorySlots = 256

// memory keeps the evaluator's form of what stays the same from one question of a
// step to the next. An entry is used only where it equals what is asked for, so
// it never changes an answer.
type memory struct {
	seed     maphash.Seed
	people   [memorySlots]atomic.Pointer[entry[writ.Principal]]
	held     [memorySlots]atomic.Pointer[entry[[]writ.Grant]]
	declared [memorySlots]atomic.Pointer[entry[[]writ.Capability]]
}

type entry[T any] struct {
	of   T // a copy: the caller's may change
	form ast.Value
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
	e := &entry[writ.Principal]{of: kept, form: principalTerm(&kept).Value}
	slot.Store(e)
	return e.form
}

func (m *memory) grants(p *writ.Principal, grants []writ.Grant) ast.Value {
	if p == nil || len(grants) == 0 {
		return array(grants, grantTerm).Value
	}
	slot := &m.held[m.slot(string(p.ID))]
	if e := slot.Load(); e != nil && slices.EqualFunc(e.of, grants, sameGrant) {
		return e.form
	}
	kept := slices.Clone(grants)
	for i := range kept {
		kept[i].Skills = slices.Clone(kept[i].Skills)
		kept[i].Capability = cloneCapability(kept[i].Capability)
	}
	e := &entry[[]writ.Grant]{of: kept, form: array(kept, grantTerm).Value}
	slot.Store(e)
	return e.form
}

func (m *memory) capabilities(s *writ.StepFacts) ast.Value {
	if len(s.Capabilities) == 0 {
		return array(s.Capabilities, capabilityTerm).Value
	}
	slot := &m.declared[m.slot(string(s.ID))]
	if e := slot.Load(); e != nil && slices.EqualFunc(e.of, s.Capabilities, sameCapability) {
		return e.form
	}
	kept := slices.Clone(s.Capabilities)
	for i := range kept {
		kept[i] = cloneCapability(kept[i])
	}
	e := &entry[[]writ.Capability]{of: kept, form: array(kept, capabilityTerm).Value}
	slot.Store(e)
	return e.form
}

func cloneCapability(c writ.Capability) writ.Capability {
	for _, list := range []*[]string{&c.Hosts, &c.Methods, &c.Paths, &c.Prefixes, &c.Servers, &c.Models, &c.Channels, &c.Skills} {
		*list = slices.Clone(*list)
	}
	c.Secrets = slices.Clone(c.Secrets)
	return c
}

func samePrincipal(a, b *writ.Principal) bool {
	return a.ID == b.ID && a.Kind == b.Kind && a.Name == b.Name && a.Tenant == b.Tenant && a.Workspace == b.Workspace &&
		a.Session == b.Session && a.Source == b.Source && a.Strength == b.Strength &&
		slices.Equal(a.Roles, b.Roles) && slices.Equal(a.Capabilities, b.Capabilities) && slices.Equal(a.OnBehalfOf, b.OnBehalfOf)
}

func sameGrant(a, b writ.Grant) bool {
	return a.ID == b.ID && a.Parent == b.Parent && a.Principal == b.Principal && a.Tenant == b.Tenant &&
		a.MaxRisk == b.MaxRisk && a.Expires == b.Expires && a.MaxUses == b.MaxUses && a.Uses == b.Uses &&
		slices.Equal(a.Skills, b.Skills) && sameCapability(a.Capability, b.Capability)
}

func sameCapability(a, b abi.Capability) bool {
	return a.Tool == b.Tool && a.Idempotent == b.Idempotent &&
		slices.Equal(a.Hosts, b.Hosts) && slices.Equal(a.Methods, b.Methods) && slices.Equal(a.Paths, b.Paths) &&
		slices.Equal(a.Prefixes, b.Prefixes) && slices.Equal(a.Servers, b.Servers) && slices.Equal(a.Models, b.Models) &&
		slices.Equal(a.Channels, b.Channels) && slices.Equal(a.Skills, b.Skills) && slices.Equal(a.Secrets, b.Secrets)
}
