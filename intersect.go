package writ

import (
	"slices"
	"strings"
)

// IntersectCapabilities is what both sets allow: for each pair of one tool what
// the two allow, where that is anything.
func IntersectCapabilities(as, bs []Capability) []Capability {
	out := []Capability{}
	for i := range as {
		for k := range bs {
			both, ok := intersect(&as[i], &bs[k])
			covered := func(have Capability) bool {
				return CapabilityCovers(&have, &both) && slices.Equal(have.Costs, both.Costs)
			}
			if ok && !slices.ContainsFunc(out, covered) {
				out = append(out, both)
			}
		}
	}
	return out
}

func intersect(a, b *Capability) (Capability, bool) {
	spec, ok := LookupTool(a.Tool)
	if !ok || a.Tool != b.Tool {
		return Capability{}, false
	}
	both := Capability{Tool: a.Tool, Idempotent: a.Idempotent && b.Idempotent}
	for _, scope := range spec.Scope {
		x, y, into := scopeMember(a, scope), scopeMember(b, scope), scopeMember(&both, scope)
		for _, p := range *x {
			for _, q := range *y {
				if r, ok := intersectPatterns(scope, p, q); ok && !slices.Contains(*into, r) {
					*into = append(*into, r)
				}
			}
		}
		if len(*into) == 0 {
			return Capability{}, false
		}
		slices.Sort(*into)
	}
	for _, secret := range a.Secrets {
		if slices.Contains(b.Secrets, secret) {
			both.Secrets = append(both.Secrets, secret)
		}
	}
	both.Costs = slices.Clone(a.Costs)
	for _, cost := range b.Costs { // what either takes is taken
		if !slices.Contains(a.Costs, cost) {
			both.Costs = append(both.Costs, cost)
		}
	}
	return both, true
}

func scopeMember(c *Capability, scope string) *[]string {
	switch scope {
	case ScopeHosts:
		return &c.Hosts
	case ScopeMethods:
		return &c.Methods
	case ScopePaths:
		return &c.Paths
	case ScopeSkills:
		return &c.Skills
	case ScopeChannels:
		return &c.Channels
	}
	return &c.Prefixes
}

// intersectPatterns is the one pattern that matches what both match.
func intersectPatterns(scope, a, b string) (string, bool) {
	switch scope {
	case ScopeMethods:
		return a, a == b
	case ScopePrefixes:
		if len(a) < len(b) {
			a, b = b, a
		}
		return a, strings.HasPrefix(a, b)
	}
	sep := map[string]string{ScopeHosts: ".", ScopePaths: "/", ScopeChannels: "/", ScopeSkills: "#"}[scope]
	if !ValidPattern(a, sep) || !ValidPattern(b, sep) {
		return "", false
	}
	segments, ok := intersectSegments(splitPattern(a, sep), splitPattern(b, sep))
	if sep == "." {
		slices.Reverse(segments)
	}
	return strings.Join(segments, sep), ok
}

func intersectSegments(as, bs []string) ([]string, bool) {
	var out []string
	for i := 0; i < len(as) || i < len(bs); i++ {
		switch {
		case i >= len(as) || i >= len(bs):
			return nil, false
		case as[i] == "**":
			return append(out, bs[i:]...), true
		case bs[i] == "**":
			return append(out, as[i:]...), true
		}
		segment, ok := intersectSegment(as[i], bs[i])
		if !ok {
			return nil, false
		}
		out = append(out, segment)
	}
	return out, true
}

// intersectSegment: of two prefixes the longer, where it begins with the other.
func intersectSegment(a, b string) (string, bool) {
	switch {
	case segmentCovers(a, b):
		return b, true
	case segmentCovers(b, a):
		return a, true
	}
	return "", false
}
