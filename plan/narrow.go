package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
)

// argument is what is known of one input member.
type argument struct {
	state argumentState
	value any
}

type argumentState int

const (
	argumentAbsent  argumentState = iota // it is not there
	argumentUnknown                      // an expression gives it at run time
	argumentKnown
)

// narrower turns what an action uses into the exact capabilities of one input.
type narrower struct {
	manifest *abi.Manifest
	action   *abi.Action
	input    *shape
	lookup   func(path []string) argument
}

// narrowing is why capabilities could not be narrowed.
type narrowing struct {
	finding
	manifest bool // the fault is the skill's
}

// narrow is the capabilities that this input needs, each covered by one of the
// manifest. Patterns of members that are absent fall away.
func (n *narrower) narrow() ([]writ.Capability, []narrowing) {
	uses := n.action.Uses
	if len(uses) == 0 {
		uses = n.manifest.Capabilities
	}
	out := []writ.Capability{}
	var failed []narrowing
	for i := range uses {
		got, problem := n.one(&uses[i])
		if problem != nil {
			failed = append(failed, *problem)
			continue
		}
		for _, c := range got {
			if !slices.ContainsFunc(out, func(have writ.Capability) bool { return sameCapability(&have, &c) }) {
				out = append(out, c)
			}
		}
	}
	return out, failed
}

func sameCapability(a, b *writ.Capability) bool {
	return writ.CapabilityCovers(a, b) && writ.CapabilityCovers(b, a)
}

// one narrows one use. A value that is not known and stands for a whole host,
// path or method is as wide as each capability of the manifest, and no wider.
func (n *narrower) one(use *writ.Capability) ([]writ.Capability, *narrowing) {
	spec, ok := writ.LookupTool(use.Tool)
	if !ok {
		return nil, &narrowing{finding: found(CodeSkillInvalid, "update the host, or pin an older version of the skill", "this host has no tool %s", use.Tool), manifest: true}
	}
	base := writ.Capability{Tool: use.Tool, Secrets: use.Secrets, Idempotent: use.Idempotent, Costs: use.Costs}
	var open []string // scopes that take the manifest's own patterns
	for _, scope := range spec.Scope {
		patterns, whole, err := n.scope(use, scope)
		if err != nil {
			return nil, err
		}
		if whole {
			open = append(open, scope)
		} else if len(patterns) == 0 {
			return nil, nil // allows nothing
		}
		*scopeOf(&base, scope) = patterns
	}
	var out []writ.Capability
	for i := range n.manifest.Capabilities {
		declared := &n.manifest.Capabilities[i]
		candidate := base
		for _, scope := range open {
			patterns := slices.Concat(*scopeOf(&base, scope), *scopeOf(declared, scope))
			*scopeOf(&candidate, scope) = uniqueSorted(patterns)
		}
		if len(candidate.Costs) == 0 {
			candidate.Costs = declared.Costs
		}
		if writ.CapabilityCovers(declared, &candidate) {
			candidate.Secrets = reachable(&candidate)
			out = append(out, candidate)
		}
	}
	if len(out) == 0 {
		return nil, &narrowing{finding: found(CodeCapabilityExceeded, n.allowed(use.Tool),
			"%s would need %s, beyond what the skill declares", n.action.Name, describe(&base, open))}
	}
	return out, nil
}

func uniqueSorted(patterns []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(patterns)))
}

// reachable are the secrets for hosts that the capability still has.
func reachable(c *writ.Capability) []abi.Secret {
	var out []abi.Secret
	for _, secret := range c.Secrets {
		if slices.ContainsFunc(c.Hosts, func(host string) bool {
			return writ.PatternCovers(host, secret.Host, ".") || writ.PatternCovers(secret.Host, host, ".")
		}) {
			out = append(out, secret)
		}
	}
	return out
}

func scopeOf(c *writ.Capability, scope string) *[]string {
	switch scope {
	case writ.ScopeHosts:
		return &c.Hosts
	case writ.ScopeMethods:
		return &c.Methods
	case writ.ScopePaths:
		return &c.Paths
	case writ.ScopeSkills:
		return &c.Skills
	case writ.ScopeChannels:
		return &c.Channels
	}
	return &c.Prefixes
}

// scope narrows the patterns of one scope; whole says that one of them is a
// single member that is not known.
func (n *narrower) scope(use *writ.Capability, scope string) (patterns []string, whole bool, failed *narrowing) {
	for _, pattern := range *scopeOf(use, scope) {
		p := patternText{narrower: n, tool: use.Tool, scope: scope, pattern: pattern}
		text, state, failed := p.substitute()
		switch {
		case failed != nil:
			return nil, false, failed
		case state == argumentUnknown:
			whole = true
		case state == argumentKnown && !slices.Contains(patterns, text):
			patterns = append(patterns, text)
		}
	}
	return patterns, whole, nil
}

func describe(c *writ.Capability, open []string) string {
	parts := []string{c.Tool}
	for _, scope := range []string{writ.ScopeMethods, writ.ScopeHosts, writ.ScopePaths, writ.ScopePrefixes, writ.ScopeSkills, writ.ScopeChannels} {
		if slices.Contains(open, scope) {
			parts = append(parts, "any of its "+scope)
		} else if list := *scopeOf(c, scope); len(list) > 0 {
			parts = append(parts, clip(strings.Join(list, ", ")))
		}
	}
	return strings.Join(parts, " ")
}

// allowed is advice: what the manifest declares for the tool.
func (n *narrower) allowed(tool string) string {
	var lines []string
	for i := range n.manifest.Capabilities {
		if c := &n.manifest.Capabilities[i]; c.Tool == tool {
			lines = append(lines, describe(c, nil))
		}
	}
	if len(lines) == 0 {
		return "use another action: the skill declares no " + tool
	}
	return "stay within " + clipTo(strings.Join(lines, "; "), 200) + ", or use a skill that declares more"
}

func (n *narrower) invalid(pattern, format string, args ...any) *narrowing {
	return &narrowing{finding: found(CodeSkillInvalid, "ask the skill's publisher for a corrected version, or pin an older one",
		"%s uses %q: %s", n.action.Name, pattern, fmt.Sprintf(format, args...)), manifest: true}
}
