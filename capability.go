package writ

import (
	"slices"
	"strings"

	"github.com/writ-run/writ/abi"
)

// Patterns. A path or host pattern is a list of segments, split at "/" or ".".
// A segment is a literal, a literal with one trailing "*" (that prefix), "*"
// (exactly one segment) or, as the last of a path or the first of a host, "**"
// (one or more segments). There is nothing else, so whether one pattern contains
// another can be decided exactly. A kv prefix is a literal prefix.

// ValidPattern reports whether s is a pattern whose segments are split at sep
// ("/" for paths, "." for hosts).
func ValidPattern(s, sep string) bool {
	if s == "" || strings.ContainsAny(s, "?[]{}\\ \x00") {
		return false
	}
	for more := true; more; {
		var segment string
		segment, s, more = nextSegment(s, sep)
		star := strings.IndexByte(segment, '*')
		if star >= 0 && star < len(segment)-1 && (segment != "**" || more) {
			return false
		}
	}
	return true
}

// nextSegment cuts off what splitPattern puts first. A decision among a thousand grants
// asks so often that a list of the segments is what it would take longest to make.
func nextSegment(s, sep string) (segment, rest string, more bool) {
	if sep != "." {
		return strings.Cut(s, sep)
	}
	if i := strings.LastIndexByte(s, '.'); i >= 0 {
		return s[i+1:], s[:i], true
	}
	return s, "", false
}

// splitPattern puts hosts in reverse, so that "**" is the last segment of both.
func splitPattern(s, sep string) []string {
	segments := strings.Split(s, sep)
	if sep == "." {
		slices.Reverse(segments)
	}
	return segments
}

// PatternCovers reports whether everything that b matches is matched by a. A
// literal is a pattern that matches itself alone.
func PatternCovers(a, b, sep string) bool {
	if !ValidPattern(a, sep) {
		return false
	}
	moreA, moreB := true, true
	for moreA {
		if !moreB {
			return false
		}
		var x, y string
		x, a, moreA = nextSegment(a, sep)
		y, b, moreB = nextSegment(b, sep)
		switch {
		case x == "**":
			return true
		case y == "**" || !segmentCovers(x, y):
			return false
		}
	}
	return !moreB
}

func segmentCovers(a, b string) bool {
	prefix, isPrefix := strings.CutSuffix(a, "*")
	if !isPrefix {
		return a == b
	}
	// "*" matches one non-empty segment: an empty one would let "/a//b" pass.
	return b != "" && strings.HasPrefix(b, prefix)
}

// CapabilityCovers reports whether a allows all that b allows.
func CapabilityCovers(a, b *Capability) bool {
	if a.Tool != b.Tool || (b.Idempotent && !a.Idempotent) || len(a.Costs) > 0 && !slices.Equal(a.Costs, b.Costs) {
		return false // what must cost something is not there for less
	}
	spec, ok := LookupTool(a.Tool)
	if !ok {
		return false
	}
	for _, scope := range spec.Scope {
		if !scopeCovers(scope, a, b) {
			return false
		}
	}
	for _, secret := range b.Secrets {
		if !slices.Contains(a.Secrets, secret) {
			return false
		}
	}
	return true
}

func scopeCovers(scope string, a, b *Capability) bool {
	switch scope {
	case ScopeHosts:
		return allCovered(a.Hosts, b.Hosts, func(x, y string) bool { return PatternCovers(x, y, ".") })
	case ScopeMethods:
		return allCovered(a.Methods, b.Methods, func(x, y string) bool { return x == y })
	case ScopePaths:
		return allCovered(a.Paths, b.Paths, func(x, y string) bool { return PatternCovers(x, y, "/") })
	case ScopeChannels:
		return allCovered(a.Channels, b.Channels, func(x, y string) bool { return PatternCovers(x, y, "/") })
	case ScopeSkills:
		return allCovered(a.Skills, b.Skills, func(x, y string) bool { return PatternCovers(x, y, "#") })
	case ScopePrefixes:
		return allCovered(a.Prefixes, b.Prefixes, func(x, y string) bool { return strings.HasPrefix(y, x) })
	}
	return false
}

// allCovered: b empty allows nothing, which anything covers.
func allCovered(a, b []string, covers func(x, y string) bool) bool {
	for _, y := range b {
		if !slices.ContainsFunc(a, func(x string) bool { return covers(x, y) }) {
			return false
		}
	}
	return true
}

// CapabilityAllows reports whether c lets the call pass.
func CapabilityAllows(c *Capability, call *CallFacts) bool {
	if c.Tool != call.Tool {
		return false
	}
	want := Capability{Tool: call.Tool, Costs: c.Costs}
	t := call.Target
	switch call.Tool {
	case abi.ToolHTTPRequest:
		want.Hosts, want.Methods, want.Paths = []string{t.Host}, []string{t.Method}, []string{t.Path}
	case abi.ToolFileRead, abi.ToolFileWrite, abi.ToolFileList:
		want.Paths = []string{t.Path}
	case abi.ToolKVGet, abi.ToolKVPut, abi.ToolKVDelete, abi.ToolKVList:
		want.Prefixes = []string{t.Key}
	case abi.ToolSkillCall:
		want.Skills = []string{t.Skill}
	case abi.ToolMessageSend:
		want.Channels = []string{t.Channel}
	}
	// A target is literal: a star in it is data and must not act as a pattern.
	if strings.Contains(t.Host+t.Path+t.Skill+t.Channel, "*") {
		return false
	}
	return CapabilityCovers(c, &want)
}

// String is the target for messages.
func (t Target) String() string {
	switch {
	case t.Host != "":
		return t.Method + " " + t.Scheme + "://" + t.Host + t.Path
	case t.Path != "":
		return t.Path
	case t.Key != "":
		return "key " + t.Key
	case t.Skill != "":
		return t.Skill
	case t.Channel != "":
		return "channel " + t.Channel
	}
	return "the call"
}

// RiskOf is the lowest tier that an effect class demands, whatever an author
// declares: an external write needs a person, money or administration two.
func RiskOf(e Effect) Risk {
	switch e {
	case abi.EffectNone, abi.EffectRead, abi.EffectWriteLocal:
		return abi.RiskLow
	case abi.EffectWriteExternal:
		return abi.RiskMedium
	}
	return abi.RiskHigh
}

// Aliases of the tiers, so that callers of this package need not import abi.
const (
	RiskLow     = abi.RiskLow
	RiskMedium  = abi.RiskMedium
	RiskHigh    = abi.RiskHigh
	RiskBlocked = abi.RiskBlocked
)
