package identity

import (
	"slices"
	"strings"

	"github.com/writ-run/writ"
)

// holding is what a principal holds, and how the few grants of many are found that
// reach something. Nobody changes one: a change of the grants makes another.
type holding struct {
	all   []held         // in order of their ids
	at    map[string]int // by id
	every []int          // for every tool
	tools map[string]*toolHolding
}

// toolHolding are the grants for a tool, found by each member of its scope.
type toolHolding struct {
	all    []int
	scopes map[string]*anchors
}

// anchors find patterns by what is literal in them up to their first star: whatever a
// pattern covers begins with that. Hosts are read from their end.
type anchors struct {
	at      map[string][]int
	lengths []int // of the keys of at, each once
}

func newHolding(all []held) *holding {
	h := &holding{all: all, at: make(map[string]int, len(all)), tools: map[string]*toolHolding{}}
	for i := range all {
		g := &all[i].grant
		h.at[g.ID] = i
		if g.Capability.Tool == writ.AnyTool {
			h.every = append(h.every, i)
			continue
		}
		of := h.tools[g.Capability.Tool]
		if of == nil {
			of = &toolHolding{scopes: map[string]*anchors{}}
			h.tools[g.Capability.Tool] = of
		}
		of.all = append(of.all, i)
		for _, b := range boundsOf(&g.Capability) {
			for _, p := range b.patterns {
				of.put(b.scope, anchorOf(b.scope, p), i)
			}
		}
	}
	return h
}

// bound is a member of a capability that its tool reads.
type bound struct {
	scope    string
	patterns []string
}

func boundsOf(c *writ.Capability) []bound {
	spec, ok := writ.LookupTool(c.Tool)
	if !ok {
		return nil
	}
	members, out := scopes(c), make([]bound, len(spec.Scope))
	for i, name := range spec.Scope {
		out[i] = bound{name, members[name]}
	}
	return out
}

func (t *toolHolding) put(scope, anchor string, i int) {
	of := t.scopes[scope]
	if of == nil {
		of = &anchors{at: map[string][]int{}}
		t.scopes[scope] = of
	}
	of.at[anchor] = append(of.at[anchor], i)
	if !slices.Contains(of.lengths, len(anchor)) {
		of.lengths = append(of.lengths, len(anchor))
	}
}

// anchorOf is the literal part of a pattern. In a prefix and in a method a star is a
// letter like others, and what comes before it is still where the covered begin.
func anchorOf(scope, pattern string) string {
	if scope == writ.ScopeHosts {
		return pattern[strings.LastIndexByte(pattern, '*')+1:]
	}
	literal, _, _ := strings.Cut(pattern, "*")
	return literal
}

// near are the grants with a pattern that may cover this one.
func (a *anchors) near(scope, pattern string) []int {
	var out []int
	for _, n := range a.lengths {
		switch {
		case n > len(pattern):
		case scope == writ.ScopeHosts:
			out = append(out, a.at[pattern[len(pattern)-n:]]...)
		default:
			out = append(out, a.at[pattern[:n]]...)
		}
	}
	return out
}

// fewEnough ends the search for a member that leaves fewer: to hold this many against
// what is wanted takes less time than to look on.
const fewEnough = 8

// near are the grants that may cover what is wanted, by the pattern that leaves the
// fewest. What wants nothing of a member is covered by whatever a grant says of it.
func (t *toolHolding) near(wanted *writ.Capability) []int {
	fewest := t.all
	for _, b := range boundsOf(wanted) {
		for _, p := range b.patterns {
			if len(fewest) <= fewEnough {
				return fewest
			}
			var near []int
			if of := t.scopes[b.scope]; of != nil {
				near = of.near(b.scope, p)
			}
			if len(near) < len(fewest) {
				fewest = near
			}
		}
	}
	return fewest
}

// concern are the grants of which writ.Grant.Concerns is true, in order of their ids.
func (h *holding) concern(wanted []writ.Capability) []int {
	out := slices.Clone(h.every)
	for i := range wanted {
		of := h.tools[wanted[i].Tool]
		if of == nil {
			continue
		}
		for _, at := range of.near(&wanted[i]) {
			if h.all[at].grant.Reaches(&wanted[i]) {
				out = append(out, at)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// grant is nil where it is not held.
func (h *holding) grant(id string) *held {
	if i, ok := h.at[id]; ok {
		return &h.all[i]
	}
	return nil
}
