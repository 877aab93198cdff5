package contract

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/canon"
)

// ChangeArea is the part of a manifest that a version says otherwise.
type ChangeArea string

// The areas.
const (
	AreaAction     ChangeArea = "action"
	AreaCapability ChangeArea = "capability"
	AreaEffect     ChangeArea = "effect"
	AreaRisk       ChangeArea = "risk"
	AreaSinks      ChangeArea = "sinks"
	// AreaSensitivity is of what an action gives out.
	AreaSensitivity ChangeArea = "sensitivity"
	AreaInput       ChangeArea = "input"
	AreaOutput      ChangeArea = "output"
	AreaLimit       ChangeArea = "limit"
	AreaInterface   ChangeArea = "interface"
)

// ChangeWord says which way.
type ChangeWord string

// The words.
const (
	WordAdded    ChangeWord = "added"
	WordRemoved  ChangeWord = "removed"
	WordWidened  ChangeWord = "widened"
	WordNarrowed ChangeWord = "narrowed"
	WordRaised   ChangeWord = "raised"
	WordLowered  ChangeWord = "lowered"
	WordChanged  ChangeWord = "changed"
)

// SkillChange is one thing that a version of a skill declares otherwise than the
// one before.
type SkillChange struct {
	Area   ChangeArea `json:"area"`
	Action string     `json:"action,omitempty" jsonschema:"Absent: of the whole skill."`
	Change ChangeWord `json:"change"`
	Place  string     `json:"place,omitempty" jsonschema:"JSON pointer into a schema, or the name of a limit."`
	From   string     `json:"from,omitempty"`
	To     string     `json:"to,omitempty"`
	Asks   bool       `json:"asks,omitempty" jsonschema:"Somebody must accept it: the skill may reach further, or do worse."`
	// Breaking says that a plan or a program that was right may fail.
	Breaking bool `json:"breaking,omitempty" jsonschema:"A plan that was right may not compile, or a reader of the output may miss something."`
}

// SkillUpgrade is what installing a newer version of an enabled skill changes.
type SkillUpgrade struct {
	From    string        `json:"from" jsonschema:"The newest enabled version before."`
	To      string        `json:"to"`
	Digest  writ.Digest   `json:"digest" jsonschema:"Of the newer version: artifactDigest of the call that accepts it."`
	Changes []SkillChange `json:"changes"`
	Impact  *StoredImpact `json:"impact,omitempty" jsonschema:"Over stored executions; absent where it was not asked for."`
	Asks    []string      `json:"asks" jsonschema:"What somebody must accept; empty: nothing."`
}

// NewSkillUpgrade puts together what somebody must accept of an upgrade.
func NewSkillUpgrade(old, now *writ.Release, impact *StoredImpact) *SkillUpgrade {
	u := &SkillUpgrade{
		From: old.Version, To: now.Version, Digest: now.Digest, Impact: impact,
		Changes: SkillChanges(old.Manifest, now.Manifest), Asks: []string{},
	}
	for i := range u.Changes {
		if u.Changes[i].Asks {
			u.Asks = append(u.Asks, u.Changes[i].String())
		}
	}
	if impact != nil && impact.Differing > 0 {
		u.Asks = append(u.Asks, fmt.Sprintf("%d of %d stored executions would differ", impact.Differing, impact.Examined))
	}
	return u
}

// String is one line for people.
func (c *SkillChange) String() string {
	words := []string{}
	if c.Action != "" && c.Area != AreaAction {
		words = append(words, c.Action+":")
	}
	words = append(words, string(c.Area))
	if c.Place != "" {
		words = append(words, c.Place)
	}
	words = append(words, string(c.Change))
	text := strings.Join(words, " ")
	switch {
	case c.From != "" && c.To != "":
		return text + ": " + c.From + " -> " + c.To
	case c.From+c.To != "":
		return text + ": " + c.From + c.To
	}
	return text
}

// SkillChanges lists what a manifest says otherwise than the one before, the
// skill's own first, then by action.
func SkillChanges(old, now *abi.Manifest) []SkillChange {
	m := manifestChanges{list: []SkillChange{}}
	if old.ABI != now.ABI {
		m.add(SkillChange{Area: AreaInterface, Change: WordChanged, From: old.ABI, To: now.ABI})
	}
	m.capabilities("", old.Capabilities, now.Capabilities)
	m.limits(&old.Limits, &now.Limits)
	for i := range old.Actions {
		was := &old.Actions[i]
		if is := actionNamed(now, was.Name); is != nil {
			m.action(was, is)
		} else {
			m.add(SkillChange{Area: AreaAction, Action: was.Name, Change: WordRemoved, From: was.Name})
		}
	}
	for i := range now.Actions {
		if is := &now.Actions[i]; actionNamed(old, is.Name) == nil {
			effect := worstEffect(is)
			m.add(SkillChange{
				Area: AreaAction, Action: is.Name, Change: WordAdded, To: is.Name + " (" + string(effect) + ")",
				Asks: effect.Writes() && effect.Severity() > worstOfAll(old).Severity(),
			})
		}
	}
	return m.list
}

type manifestChanges struct{ list []SkillChange }

func (m *manifestChanges) add(c SkillChange) { m.list = append(m.list, c) }

func actionNamed(m *abi.Manifest, name string) *abi.Action {
	i := slices.IndexFunc(m.Actions, func(a abi.Action) bool { return a.Name == name })
	if i < 0 {
		return nil
	}
	return &m.Actions[i]
}

func worstEffect(a *abi.Action) writ.Effect {
	worst := abi.EffectNone
	for _, e := range a.Effects {
		worst = worst.Join(e)
	}
	return worst
}

func worstOfAll(m *abi.Manifest) writ.Effect {
	worst := abi.EffectNone
	for i := range m.Actions {
		worst = worst.Join(worstEffect(&m.Actions[i]))
	}
	return worst
}

// capabilities pairs what covers what: a capability of the new version that none
// of the old ones covers reaches further.
func (m *manifestChanges) capabilities(action string, old, now []writ.Capability) {
	for i := range now {
		if slices.ContainsFunc(old, func(have writ.Capability) bool { return writ.CapabilityCovers(&have, &now[i]) }) {
			continue
		}
		c := SkillChange{Area: AreaCapability, Action: action, Change: WordAdded, To: CapabilityText(&now[i]), Asks: true}
		if k := slices.IndexFunc(old, func(have writ.Capability) bool { return have.Tool == now[i].Tool }); k >= 0 {
			c.Change, c.From = WordWidened, CapabilityText(&old[k])
		}
		m.add(c)
	}
	for i := range old {
		if slices.ContainsFunc(now, func(have writ.Capability) bool { return writ.CapabilityCovers(&have, &old[i]) }) {
			continue
		}
		k := slices.IndexFunc(now, func(have writ.Capability) bool { return have.Tool == old[i].Tool })
		switch {
		case k < 0:
			m.add(SkillChange{Area: AreaCapability, Action: action, Change: WordRemoved, From: CapabilityText(&old[i])})
		case slices.ContainsFunc(old, func(have writ.Capability) bool { return writ.CapabilityCovers(&have, &now[k]) }):
			m.add(SkillChange{Area: AreaCapability, Action: action, Change: WordNarrowed, From: CapabilityText(&old[i]), To: CapabilityText(&now[k])})
		}
	}
}

// CapabilityText is a capability on one line.
func CapabilityText(c *writ.Capability) string {
	text := c.Tool
	for _, part := range [][]string{c.Methods, c.Hosts, c.Paths, c.Prefixes, c.Skills, c.Channels} {
		if len(part) > 0 {
			text += " " + strings.Join(part, ",")
		}
	}
	for _, s := range c.Secrets {
		text += " secret " + s.Name + " for " + s.Host
	}
	if c.Idempotent {
		text += " idempotent"
	}
	return text
}

func (m *manifestChanges) limits(old, now *abi.Limits) {
	compare := func(name string, was, is uint64) {
		if was == is {
			return
		}
		c := SkillChange{Area: AreaLimit, Place: name, Change: WordRaised, From: limitText(name, was), To: limitText(name, is)}
		// Zero is the host's default, which is not known here.
		if was == 0 || is == 0 {
			c.Change = WordChanged
		} else if is < was {
			c.Change = WordLowered
		}
		m.add(c)
	}
	compare("memory", uint64(old.Memory), uint64(now.Memory))
	compare("fuel", old.Fuel, now.Fuel)
	compare("time", uint64(old.Time), uint64(now.Time))
	compare("calls", uint64(old.Calls), uint64(now.Calls))
	compare("output", uint64(old.Output), uint64(now.Output))
}

func limitText(name string, v uint64) string {
	switch {
	case v == 0:
		return "default"
	case name == "time":
		return abi.Duration(v).Std().String()
	}
	return fmt.Sprint(v)
}

func (m *manifestChanges) action(was, is *abi.Action) {
	if a, b := worstEffect(was), worstEffect(is); a != b {
		c := SkillChange{Area: AreaEffect, Action: is.Name, Change: WordLowered, From: string(a), To: string(b)}
		if b.Severity() > a.Severity() {
			c.Change, c.Asks = WordRaised, true
		}
		m.add(c)
	}
	a, b := declaredRisk(was), declaredRisk(is)
	if a != b {
		c := SkillChange{Area: AreaRisk, Action: is.Name, Change: WordLowered, From: string(a), To: string(b)}
		if b.Rank() > a.Rank() {
			c.Change, c.Asks = WordRaised, true
		}
		m.add(c)
	}
	m.sinks(was, is)
	m.sensitivity(was, is)
	m.capabilities(is.Name, was.Uses, is.Uses)
	m.schema(received, AreaInput, [2]*abi.Action{was, is})
	m.schema(given, AreaOutput, [2]*abi.Action{was, is})
}

// declaredRisk is what an action's effect demands, or more where it says so.
func declaredRisk(a *abi.Action) writ.Risk {
	least := writ.RiskOf(worstEffect(a))
	if a.Risk == "" {
		return least
	}
	return least.Join(a.Risk)
}

// sensitivity: a milder word lets more data go by itself.
func (m *manifestChanges) sensitivity(was, is *abi.Action) {
	order := []abi.Sensitivity{abi.SensitivityPublic, abi.SensitivityInternal, abi.SensitivityPrivate}
	of := func(a *abi.Action) abi.Sensitivity { return cmp.Or(a.Sensitivity, abi.SensitivityInternal) }
	a, b := of(was), of(is)
	if a == b {
		return
	}
	c := SkillChange{Area: AreaSensitivity, Action: is.Name, Change: WordRaised, From: string(a), To: string(b)}
	if slices.Index(order, b) < slices.Index(order, a) {
		c.Change, c.Asks = WordLowered, true
	}
	m.add(c)
}

// sinks: one that is gone lets untrusted data pass unseen.
func (m *manifestChanges) sinks(was, is *abi.Action) {
	for _, sink := range was.Sinks {
		if !slices.Contains(is.Sinks, sink) {
			m.add(SkillChange{Area: AreaSinks, Action: is.Name, Change: WordRemoved, From: sink, Asks: true})
		}
	}
	for _, sink := range is.Sinks {
		if !slices.Contains(was.Sinks, sink) {
			m.add(SkillChange{Area: AreaSinks, Action: is.Name, Change: WordAdded, To: sink})
		}
	}
}

// schema uses the rules by which contracts are compared: what a caller sends may
// be loosened, what it is given tightened.
func (m *manifestChanges) schema(dir direction, area ChangeArea, pair [2]*abi.Action) {
	texts := [2]json.RawMessage{pair[0].Input, pair[1].Input}
	if area == AreaOutput {
		texts = [2]json.RawMessage{pair[0].Output, pair[1].Output}
	}
	a, errA := canon.JSON(texts[0])
	b, errB := canon.JSON(texts[1])
	if errA == nil && errB == nil && bytes.Equal(a, b) {
		return
	}
	var old, now jsonschema.Schema
	if json.Unmarshal(texts[0], &old) != nil || json.Unmarshal(texts[1], &now) != nil {
		m.add(SkillChange{Area: area, Action: pair[1].Name, Change: WordChanged, To: "a schema that cannot be compared"})
		return
	}
	var d differ
	d.schema(dir, "", &old, &now)
	for _, c := range d.changes {
		if c.Class == Editorial {
			continue
		}
		word := WordChanged
		switch {
		case dir == received && c.Class == Breaking:
			word = WordNarrowed
		case dir == received:
			word = WordWidened
		}
		m.add(SkillChange{
			Area: area, Action: pair[1].Name, Change: word, Place: cmp.Or(c.Place, "/"), To: c.Message, Breaking: c.Class == Breaking,
		})
	}
}
