package writ_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
)

func drawPattern(t *rapid.T, sep string) string {
	segment := rapid.SampledFrom([]string{"a", "ab", "b", "a*", "ab*", "*"})
	out := segment.Draw(t, "segment")
	for range rapid.IntRange(0, 3).Draw(t, "more") {
		out += sep + segment.Draw(t, "segment")
	}
	if rapid.IntRange(0, 3).Draw(t, "open") == 0 {
		if sep == "." {
			return "**." + out
		}
		return out + sep + "**"
	}
	return out
}

func drawCapability(t *rapid.T) writ.Capability {
	switch rapid.IntRange(0, 2).Draw(t, "tool") {
	case 0:
		return writ.Capability{
			Tool: abi.ToolHTTPRequest, Hosts: []string{drawPattern(t, "."), drawPattern(t, ".")},
			Methods: rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"GET", "PUT", "POST"}), 1, 2, rapid.ID[string]).Draw(t, "methods"),
			Paths:   []string{drawPattern(t, "/"), drawPattern(t, "/")}, Idempotent: rapid.Bool().Draw(t, "idempotent"),
		}
	case 1:
		return writ.Capability{Tool: abi.ToolKVPut, Prefixes: []string{rapid.StringMatching("[ab]{0,3}").Draw(t, "prefix")}}
	}
	return writ.Capability{Tool: abi.ToolSkillCall, Skills: []string{rapid.SampledFrom([]string{"a/b#*", "a/b#x", "a/*#x*", "**", "a/c#x"}).Draw(t, "skill")}}
}

// TestPropertyAnIntersectionIsWhatBothAllow: it exceeds neither, and what both
// allow it allows.
func TestPropertyAnIntersectionIsWhatBothAllow(t *testing.T) {
	covered := func(by []writ.Capability, c *writ.Capability) bool {
		return slices.ContainsFunc(by, func(have writ.Capability) bool { return writ.CapabilityCovers(&have, c) })
	}
	rapid.Check(t, func(t *rapid.T) {
		as := rapid.SliceOfN(rapid.Custom(drawCapability), 0, 3).Draw(t, "a")
		bs := rapid.SliceOfN(rapid.Custom(drawCapability), 0, 3).Draw(t, "b")
		both := writ.IntersectCapabilities(as, bs)
		for i := range both {
			if !covered(as, &both[i]) || !covered(bs, &both[i]) {
				t.Fatalf("%+v exceeds %+v or %+v", both[i], as, bs)
			}
		}
		letters := rapid.StringMatching("[ab]{1,3}")
		call := &writ.CallFacts{Tool: abi.ToolHTTPRequest, Target: writ.Target{
			Method: rapid.SampledFrom([]string{"GET", "PUT"}).Draw(t, "method"),
			Host:   letters.Draw(t, "h") + "." + letters.Draw(t, "h"), Path: letters.Draw(t, "p") + "/" + letters.Draw(t, "p"),
		}}
		if rapid.Bool().Draw(t, "skill") {
			call = &writ.CallFacts{Tool: abi.ToolSkillCall, Target: writ.Target{Skill: rapid.SampledFrom([]string{"a/b#x", "a/c#x", "a/b#y"}).Draw(t, "target")}}
		}
		allows := func(set []writ.Capability) bool {
			return slices.ContainsFunc(set, func(c writ.Capability) bool { return writ.CapabilityAllows(&c, call) })
		}
		if (allows(as) && allows(bs)) != allows(both) {
			t.Fatalf("%+v: %v and %v, both %v", call.Target, allows(as), allows(bs), allows(both))
		}
	})
}
