package identity

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
)

// capabilities draws those of a tool, with patterns of each sort, stars where they mean
// nothing and members that the tool does not read.
func capabilities(t *rapid.T, name, tool string) writ.Capability {
	some := func(member string, separator string, words ...string) []string {
		patterns := rapid.Custom(func(t *rapid.T) string {
			p := rapid.SampledFrom(words).Draw(t, "word")
			for range rapid.IntRange(0, 2).Draw(t, "more") {
				p += separator + rapid.SampledFrom(words).Draw(t, "word")
			}
			return p
		})
		return rapid.SliceOfN(patterns, 0, 2).Draw(t, name+member)
	}
	return writ.Capability{
		Tool: tool, Hosts: some("hosts", ".", "a", "ab", "a*", "*", "**"), Methods: some("methods", "", "GET", "POST", "*"),
		Paths: some("paths", "/", "", "a", "ab", "a*", "*", "**"), Prefixes: some("prefixes", "/", "", "a", "ab", "a*"),
		Channels: some("channels", "/", "a", "ab", "*", "**"), Skills: some("skills", "#", "a/b", "a/*", "x", "**"),
	}
}

// within draws what a capability covers, mostly: its patterns with other words for
// their stars, and some of them left out.
func within(t *rapid.T, name string, c writ.Capability) writ.Capability {
	for _, member := range []*[]string{&c.Hosts, &c.Methods, &c.Paths, &c.Prefixes, &c.Channels, &c.Skills} {
		var out []string
		for _, p := range *member {
			word := rapid.SampledFrom([]string{"*", "ab", "b", "a*"}).Draw(t, name+"word")
			p = strings.ReplaceAll(strings.ReplaceAll(p, "**", "*"), "*", word)
			switch rapid.IntRange(0, 5).Draw(t, name+"how") {
			case 0:
			case 1:
				out = append(out, p, p)
			default:
				out = append(out, p)
			}
		}
		*member = out
	}
	c.Prefixes = append(c.Prefixes, c.Prefixes...)
	for i := range c.Prefixes {
		c.Prefixes[i] += rapid.SampledFrom([]string{"", "a", "/*"}).Draw(t, name+"rest")
	}
	return c
}

// TestPropertyWhatConcerns: the index finds exactly the grants that matter.
func TestPropertyWhatConcerns(t *testing.T) {
	found := 0
	known := rapid.SampledFrom([]string{abi.ToolHTTPRequest, abi.ToolHTTPRequest, abi.ToolFileRead, abi.ToolKVGet, abi.ToolMessageSend, abi.ToolSkillCall, abi.ToolLog})
	rapid.Check(t, func(t *rapid.T) {
		tools := []string{"*", "none", known.Draw(t, "other")} // and mostly one: few are held against what is wanted anyway
		tools = append(tools, slices.Repeat([]string{known.Draw(t, "tool")}, 12)...)
		tool := func(name string) string { return rapid.SampledFrom(tools).Draw(t, name+"tool") }
		var all []held
		for i := range rapid.IntRange(10, 50).Draw(t, "grants") {
			name := fmt.Sprint("g", i)
			g := writ.Grant{ID: name, Capability: capabilities(t, name, tool(name))}
			if g.Capability.Tool == writ.AnyTool && rapid.Bool().Draw(t, name+"bare") {
				g.Capability = writ.Capability{Tool: writ.AnyTool}
			}
			all = append(all, held{grant: g})
		}
		var wanted []writ.Capability
		for i := range rapid.IntRange(0, 3).Draw(t, "wanted") {
			name := fmt.Sprint("w", i)
			if len(all) == 0 || rapid.IntRange(0, 3).Draw(t, name+"of another") == 0 {
				wanted = append(wanted, capabilities(t, name, tool(name)))
			} else {
				wanted = append(wanted, within(t, name, all[rapid.IntRange(0, len(all)-1).Draw(t, name+"of")].grant.Capability))
			}
		}
		got, want := newHolding(all).concern(wanted), []int(nil)
		for i := range all {
			if all[i].grant.Concerns(wanted) {
				want = append(want, i)
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("found %v, and %v matter", got, want)
		}
		for _, i := range got {
			if all[i].grant.Capability.Tool != writ.AnyTool {
				found++
			}
		}
	})
	if found < 200 {
		t.Errorf("only %d grants for one tool were found: the words are too many", found)
	}
}

// TestFewAreHeldAgainstWhatIsWanted: of a thousand grants for one tool, whichever
// member tells them apart.
func TestFewAreHeldAgainstWhatIsWanted(t *testing.T) {
	for name, test := range thousands() {
		t.Run(name, func(t *testing.T) {
			h := newHolding(test.held)
			wanted := test.held[500].grant.Capability
			if near := h.tools[wanted.Tool].near(&wanted); len(near) > test.near {
				t.Errorf("%d of them are near", len(near))
			}
			if got := h.concern([]writ.Capability{wanted}); !slices.Contains(got, 500) || len(got) > test.near {
				t.Errorf("found %v", got)
			}
		})
	}
}

type thousand struct {
	held []held
	near int
}

// thousands are a thousand grants each, told apart by one member or by none.
func thousands() map[string]thousand {
	out := map[string]thousand{}
	for name, of := range map[string]func(i int) writ.Capability{
		"hosts":    func(i int) writ.Capability { return get(fmt.Sprintf("h%04d.example.com", i)) },
		"patterns": func(i int) writ.Capability { return get(fmt.Sprintf("*.h%04d.example.com", i)) },
		"paths": func(i int) writ.Capability {
			c := get("api.example.com")
			c.Paths = []string{fmt.Sprintf("/v1/t%04d/**", i)}
			return c
		},
		"prefixes": func(i int) writ.Capability {
			return writ.Capability{Tool: abi.ToolKVPut, Prefixes: []string{fmt.Sprintf("t%04d/", i)}}
		},
		"nothing": func(int) writ.Capability { return get("api.example.com") },
	} {
		t := thousand{near: 1}
		for i := range 1000 {
			t.held = append(t.held, held{grant: writ.Grant{ID: fmt.Sprintf("grant_%04d", i), Principal: "agent:bot", Tenant: writ.DefaultTenant, Capability: of(i)}})
		}
		if name == "nothing" {
			t.near = 1000
		}
		out[name] = t
	}
	return out
}

func BenchmarkCandidatesOfAThousand(b *testing.B) {
	r := newRig(b)
	bot := &writ.Principal{ID: "agent:bot", Tenant: writ.DefaultTenant}
	for name, test := range thousands() {
		b.Run(name, func(b *testing.B) {
			r.grants.Store(string(bot.Tenant)+"\x00"+string(bot.ID), newHolding(test.held))
			wanted := []writ.Capability{test.held[500].grant.Capability}
			b.ReportAllocs()
			for b.Loop() {
				if got, err := r.Candidates(b.Context(), bot, wanted, nil); err != nil || len(got) != test.near {
					b.Fatal(len(got), err)
				}
			}
		})
	}
}
