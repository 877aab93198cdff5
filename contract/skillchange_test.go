package contract_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/contract"
)

func notes() *abi.Manifest {
	return &abi.Manifest{
		Name: "acme/notes", Version: "1.0.0", ABI: abi.V1,
		Capabilities: []writ.Capability{
			{Tool: abi.ToolHTTPRequest, Hosts: []string{"api.acme.test"}, Methods: []string{"GET", "POST"}, Paths: []string{"/v1/**"}},
			{Tool: abi.ToolLog},
		},
		Actions: []abi.Action{{
			Name: "create", Effects: []writ.Effect{abi.EffectWriteExternal}, Sinks: []string{"to"},
			Input:  json.RawMessage(`{"type":"object","properties":{"to":{"type":"string"}},"required":["to"]}`),
			Output: json.RawMessage(`{"type":"object","properties":{"id":{"type":"string"}}}`),
			Uses:   []writ.Capability{{Tool: abi.ToolHTTPRequest, Hosts: []string{"api.acme.test"}, Methods: []string{"POST"}, Paths: []string{"/v1/notes"}}},
		}},
		Limits: abi.Limits{Fuel: 100, Calls: 5},
	}
}

func TestSkillChanges(t *testing.T) {
	for name, c := range map[string]struct {
		edit func(m *abi.Manifest)
		want []string // "!" in front: it asks
	}{
		"nothing": {func(*abi.Manifest) {}, nil},
		"words":   {func(m *abi.Manifest) { m.Description, m.Actions[0].Title = "other", "Create" }, nil},
		"another tool": {func(m *abi.Manifest) {
			m.Capabilities = append(m.Capabilities, writ.Capability{Tool: abi.ToolKVGet, Prefixes: []string{"a"}})
		}, []string{"!capability added: kv.get a"}},
		"another host": {func(m *abi.Manifest) { m.Capabilities[0].Hosts = []string{"*.acme.test"} }, []string{"!capability widened: http.request GET,POST api.acme.test /v1/** -> http.request GET,POST *.acme.test /v1/**"}},
		"less":         {func(m *abi.Manifest) { m.Capabilities[0].Methods = []string{"POST"} }, []string{"capability narrowed: http.request GET,POST api.acme.test /v1/** -> http.request POST api.acme.test /v1/**"}},
		"a tool less":  {func(m *abi.Manifest) { m.Capabilities = m.Capabilities[:1] }, []string{"capability removed: log"}},
		"split in two": {func(m *abi.Manifest) {
			m.Capabilities = append(m.Capabilities, m.Capabilities[0])
			m.Capabilities[0].Paths = []string{"/v1/a"}
		}, nil},
		"a secret": {func(m *abi.Manifest) {
			m.Capabilities[0].Secrets = []abi.Secret{{Name: "key", Scheme: "https", Host: "api.acme.test", InjectAs: "bearer"}}
		}, []string{"!capability widened"}},
		"resending":                            {func(m *abi.Manifest) { m.Capabilities[0].Idempotent = true }, []string{"!capability widened"}},
		"an effect":                            {func(m *abi.Manifest) { m.Actions[0].Effects = []writ.Effect{abi.EffectFinancial} }, []string{"!create: effect raised: write-external -> financial", "!create: risk raised: medium -> high"}},
		"a mild effect":                        {func(m *abi.Manifest) { m.Actions[0].Effects = []writ.Effect{abi.EffectRead} }, []string{"create: effect lowered: write-external -> read", "create: risk lowered: medium -> low"}},
		"a risk":                               {func(m *abi.Manifest) { m.Actions[0].Risk = abi.RiskHigh }, []string{"!create: risk raised: medium -> high"}},
		"a risk below what the effect demands": {func(m *abi.Manifest) { m.Actions[0].Risk = abi.RiskLow }, nil},
		"a sink less":                          {func(m *abi.Manifest) { m.Actions[0].Sinks = nil }, []string{"!create: sinks removed: to"}},
		"a milder word on its output":          {func(m *abi.Manifest) { m.Actions[0].Sensitivity = abi.SensitivityPublic }, []string{"!create: sensitivity lowered: internal -> public"}},
		"a stricter word on its output":        {func(m *abi.Manifest) { m.Actions[0].Sensitivity = abi.SensitivityPrivate }, []string{"create: sensitivity raised: internal -> private"}},
		"the default word":                     {func(m *abi.Manifest) { m.Actions[0].Sensitivity = abi.SensitivityInternal }, nil},
		"uses":                                 {func(m *abi.Manifest) { m.Actions[0].Uses[0].Paths = []string{"/v1/**"} }, []string{"!create: capability widened"}},
		"a new action": {func(m *abi.Manifest) {
			m.Actions = append(m.Actions, abi.Action{Name: "read", Effects: []writ.Effect{abi.EffectRead}})
		}, []string{"action added: read (read)"}},
		"a worse action": {func(m *abi.Manifest) {
			m.Actions = append(m.Actions, abi.Action{Name: "pay", Effects: []writ.Effect{abi.EffectFinancial}})
		}, []string{"!action added: pay (financial)"}},
		"no action": {func(m *abi.Manifest) { m.Actions = nil }, []string{"action removed: create"}},
		"limits":    {func(m *abi.Manifest) { m.Limits = abi.Limits{Fuel: 200, Calls: 4, Memory: 1} }, []string{"limit memory changed: default -> 1", "limit fuel raised: 100 -> 200", "limit calls lowered: 5 -> 4"}},
		"an input that takes less": {func(m *abi.Manifest) {
			m.Actions[0].Input = json.RawMessage(`{"type":"object","properties":{"to":{"type":"integer"}},"required":["to"]}`)
		}, []string{"create: input /properties/to narrowed: was string, is integer"}},
		"an input that takes more": {func(m *abi.Manifest) {
			m.Actions[0].Input = json.RawMessage(`{"type":"object","properties":{"to":{"type":"string"}}}`)
		}, []string{"create: input /properties/to widened"}},
		"an output":     {func(m *abi.Manifest) { m.Actions[0].Output = json.RawMessage(`{"type":"object"}`) }, []string{"create: output /properties/id changed: is gone"}},
		"the interface": {func(m *abi.Manifest) { m.ABI = abi.Extism1 }, []string{"interface changed: writ/v1 -> extism/v1"}},
	} {
		t.Run(name, func(t *testing.T) {
			now := notes()
			c.edit(now)
			got := []string{}
			for _, change := range contract.SkillChanges(notes(), now) {
				text := change.String()
				if change.Asks {
					text = "!" + text
				}
				got = append(got, text)
			}
			ok := len(got) == len(c.want)
			for i := range min(len(got), len(c.want)) {
				ok = ok && strings.HasPrefix(got[i], c.want[i])
			}
			if !ok {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
}

// Whatever a new version may that none of the old capabilities covers, asks; and
// what only narrows, never does.
func TestPropertyWideningAlwaysAsks(t *testing.T) {
	capability := rapid.Custom(func(t *rapid.T) writ.Capability {
		return writ.Capability{
			Tool:  abi.ToolHTTPRequest,
			Hosts: rapid.SliceOfN(rapid.SampledFrom([]string{"a.test", "*.test", "**.test", "b.test"}), 1, 2).Draw(t, "hosts"), Methods: []string{"GET"},
			Paths: rapid.SliceOfN(rapid.SampledFrom([]string{"/a", "/a*", "/*", "/**", "/a/b"}), 1, 2).Draw(t, "paths"),
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		old, now := notes(), notes()
		old.Capabilities = rapid.SliceOfN(capability, 0, 3).Draw(t, "old")
		now.Capabilities = rapid.SliceOfN(capability, 0, 3).Draw(t, "now")
		wider := slices.ContainsFunc(now.Capabilities, func(want writ.Capability) bool {
			return !slices.ContainsFunc(old.Capabilities, func(have writ.Capability) bool { return writ.CapabilityCovers(&have, &want) })
		})
		asks := len(contract.NewSkillUpgrade(&writ.Release{Manifest: old}, &writ.Release{Manifest: now}, nil).Asks) > 0
		if asks != wider {
			t.Fatalf("asks: %v, wider: %v", asks, wider)
		}
	})
}

// Pages add up to the whole, and lists stay bounded.
func TestStoredImpactIsBounded(t *testing.T) {
	whole := &contract.StoredImpact{}
	for range 700 {
		page := &contract.StoredImpact{}
		d := contract.ImpactDifference{Action: "acme/notes#create", Kind: contract.ImpactOutput}
		page.Add(&contract.ExecutionImpact{Differences: []contract.ImpactDifference{d, d}, Versions: []string{"1.0.0"}})
		page.Add(&contract.ExecutionImpact{Unreplayable: "expired"})
		whole.Merge(page)
	}
	g := whole.Groups
	if whole.Examined != 1400 || whole.Differing != 700 || whole.Unreplayable != 700 || len(whole.Items) != 1000 || whole.Omitted != 400 ||
		len(whole.Gaps) != 10 || len(g) != 1 || g[0].Count != 1400 || g[0].Executions != 700 || len(g[0].Examples) != 3 || len(whole.Versions) != 1 {
		t.Errorf("%+v", whole)
	}
}
