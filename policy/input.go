package policy

import (
	"encoding/json"
	"errors"
	"maps"
	"strconv"
	"unicode/utf8"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
)

var errNotJSON = errors.New("not one JSON document")

// questionValue is the JSON form of q as the evaluator's value, built without
// JSON: the round trip costs more than the decision. A test holds the two equal.
// Raw documents and what few rules read are converted when a rule reads them. It
// errs where a raw member is not JSON.
func (m *memory) questionValue(q *writ.Question) (ast.Value, error) {
	if !document(q.Step.Input) || (q.Call != nil && !document(q.Call.Arguments)) {
		return nil, errNotJSON
	}
	return ast.LazyObject(map[string]any{
		"point":     word(q.Point),
		"principal": m.principal(q.Principal),
		"grants":    m.grants(q.Principal, q.Grants),
		"origin":    word(q.Origin),
		"plan":      &q.Plan,
		"step":      m.step(&q.Step),
		"call":      callValue(q.Call),
		"taint":     m.taint(q),
		"history":   historyValue(q.History),
		"host":      &q.Host,
		"time":      moment(q.Time),
	}), nil
}

func taintValue(t *writ.TaintFacts) ast.Value {
	f := fields{
		{keyLabels, array(t.Labels, strOf)},
		{keyUntrusted, ast.InternedTerm(t.Untrusted)},
		{keySinks, array(t.Sinks, sinkTerm)},
	}
	f.optional(keySensitivity, string(t.Sensitivity))
	return f.term().Value
}

// noHistory is that of the first thing that a principal does with a step.
var noHistory = historyObject(writ.HistoryFacts{})

func historyValue(h writ.HistoryFacts) ast.Value {
	if h == (writ.HistoryFacts{}) {
		return noHistory
	}
	return historyObject(h)
}

func historyObject(h writ.HistoryFacts) ast.Value {
	return ast.NewObject(
		[2]*ast.Term{keyStepsLastHour, integer(h.StepsLastHour)},
		[2]*ast.Term{keyCallsInStep, integer(h.CallsInStep)},
		[2]*ast.Term{keyApprovals, integer(h.Approvals)},
	)
}

// step is a map of its own for each question: the evaluator keeps what it has
// converted in it.
func (m *memory) step(s *writ.StepFacts) ast.Value {
	members := maps.Clone(m.plannedStep(s))
	members["input"], members["resolved"], members["attempt"] = s.Input, s.Resolved, s.Attempt
	return ast.LazyObject(members)
}

// plannedMembers are those that a step has in each of its questions.
func plannedMembers(s *writ.StepFacts) map[string]any {
	members := map[string]any{
		"id":           word(s.ID),
		"name":         word(s.Name),
		"skill":        word(s.Skill),
		"publisher":    word(s.Publisher),
		"version":      word(s.Version),
		"digest":       word(s.Digest),
		"action":       word(s.Action),
		"effect":       word(s.Effect),
		"risk":         word(s.Risk),
		"capabilities": array(s.Capabilities, capabilityTerm).Value,
		"tools":        array(s.Tools, strOf).Value,
	}
	if d := s.Declassified; d != nil {
		members["declassified"] = ast.NewObject(
			[2]*ast.Term{keyRule, str(d.Rule)}, [2]*ast.Term{keyFrom, str(d.From)}, [2]*ast.Term{keyTo, str(d.To)}, [2]*ast.Term{keyReason, str(d.Reason)},
		)
	}
	return members
}

func callValue(c *writ.CallFacts) ast.Value {
	if c == nil {
		return ast.InternedNullValue
	}
	var target fields
	target.optional(keyScheme, c.Target.Scheme)
	target.optional(keyHost, c.Target.Host)
	target.optional(keyMethod, c.Target.Method)
	target.optional(keyPath, c.Target.Path)
	target.optional(keyKey, c.Target.Key)
	target.optional(keySkill, c.Target.Skill)
	target.optional(keyChannel, c.Target.Channel)
	return ast.LazyObject(map[string]any{
		"sequence":   c.Sequence,
		"tool":       word(c.Tool),
		"effect":     word(c.Effect),
		"idempotent": c.Idempotent,
		"arguments":  c.Arguments,
		"digest":     word(c.Digest),
		"target":     target.term().Value,
	})
}

func principalTerm(p *writ.Principal) *ast.Term {
	if p == nil {
		return ast.InternedNullTerm
	}
	f := fields{
		{keyID, str(p.ID)},
		{keyKind, str(p.Kind)},
		{keyTenant, str(p.Tenant)},
		{keyWorkspace, str(p.Workspace)},
	}
	f.optional(keyName, p.Name)
	f.list(keyRoles, p.Roles)
	f.list(keyCapabilities, p.Capabilities)
	f.optional(keySession, p.Session)
	if len(p.OnBehalfOf) > 0 {
		f.put(keyOnBehalfOf, array(p.OnBehalfOf, strOf))
	}
	f.optional(keySource, p.Source)
	f.optional(keyStrength, string(p.Strength))
	return f.term()
}

func grantTerm(g *writ.Grant) *ast.Term {
	f := fields{
		{keyID, str(g.ID)},
		{keyPrincipal, str(g.Principal)},
		{keyTenant, str(g.Tenant)},
		{keyCapability, capabilityTerm(&g.Capability)},
	}
	f.optional(keyParent, g.Parent)
	if len(g.Skills) > 0 {
		f.put(keySkills, array(g.Skills, strOf))
	}
	f.optional(keyMaxRisk, string(g.MaxRisk))
	if g.Expires != 0 {
		f.put(keyExpires, ast.NewTerm(moment(g.Expires)))
	}
	if g.MaxUses != 0 {
		f.put(keyMaxUses, integer(g.MaxUses))
	}
	if g.Uses != 0 {
		f.put(keyUses, integer(g.Uses))
	}
	f.optional(keyMaxSensitivity, string(g.MaxSensitivity))
	if g.BreakGlass {
		f.put(keyBreakGlass, ast.InternedTerm(true))
	}
	return f.term()
}

func capabilityTerm(c *writ.Capability) *ast.Term {
	f := fields{{keyTool, str(c.Tool)}}
	f.list(keyHosts, c.Hosts)
	f.list(keyMethods, c.Methods)
	f.list(keyPaths, c.Paths)
	f.list(keyPrefixes, c.Prefixes)
	f.list(keyServers, c.Servers)
	f.list(keyModels, c.Models)
	f.list(keyChannels, c.Channels)
	f.list(keySkills, c.Skills)
	if len(c.Secrets) > 0 {
		f.put(keySecrets, array(c.Secrets, secretTerm))
	}
	if len(c.Costs) > 0 {
		f.put(keyCosts, array(c.Costs, costTerm))
	}
	if c.Idempotent {
		f.put(keyIdempotent, ast.InternedTerm(true))
	}
	return f.term()
}

func secretTerm(s *abi.Secret) *ast.Term {
	return ast.ObjectTerm(
		[2]*ast.Term{keyName, str(s.Name)},
		[2]*ast.Term{keyScheme, str(s.Scheme)},
		[2]*ast.Term{keyHost, str(s.Host)},
		[2]*ast.Term{keyInjectAs, str(s.InjectAs)},
	)
}

func costTerm(c *abi.Cost) *ast.Term {
	f := fields{{keyKind, str(c.Kind)}}
	if c.Amount != 0 {
		f.put(keyAmount, ast.NewTerm(ast.Number(strconv.FormatInt(c.Amount, 10))))
	}
	f.optional(keyPointer, c.Pointer)
	if c.Times != 0 {
		f.put(keyTimes, ast.NewTerm(ast.Number(strconv.FormatInt(c.Times, 10))))
	}
	return f.term()
}

func sinkTerm(s *writ.SinkFlow) *ast.Term {
	return ast.ObjectTerm(
		[2]*ast.Term{keyPath, str(s.Path)},
		[2]*ast.Term{keyLabels, array(s.Labels, strOf)},
	)
}

// fields are the members of an object some of which may be left out.
type fields [][2]*ast.Term

func (f *fields) put(key, value *ast.Term) { *f = append(*f, [2]*ast.Term{key, value}) }

func (f *fields) optional(key *ast.Term, value string) {
	if value != "" {
		f.put(key, str(value))
	}
}

func (f *fields) list(key *ast.Term, values []string) {
	if len(values) > 0 {
		f.put(key, array(values, strOf))
	}
}

func (f fields) term() *ast.Term { return ast.NewTerm(ast.NewObject(f...)) }

// word is a string, read as encoding/json writes it where it is not UTF-8, so
// that two strings are equal for a rule exactly where their stored forms are.
func word[S ~string](s S) ast.Value { return str(s).Value }

func str[S ~string](s S) *ast.Term {
	if !utf8.ValidString(string(s)) {
		return ast.StringTerm(string([]rune(string(s))))
	}
	if known, ok := vocabulary[string(s)]; ok {
		return known
	}
	return ast.InternedTerm(string(s))
}

func strOf[S ~string](s *S) *ast.Term { return str(*s) }

func integer(n int) *ast.Term { return ast.InternedTerm(n) }

func moment(t writ.Time) ast.Value {
	if t == 0 {
		return ast.InternedNullValue
	}
	return ast.String(t.String())
}

// array is null for a nil slice, as in JSON.
func array[T any](items []T, term func(*T) *ast.Term) *ast.Term {
	if items == nil {
		return ast.InternedNullTerm
	}
	terms := make([]*ast.Term, len(items))
	for i := range items {
		terms[i] = term(&items[i])
	}
	return ast.ArrayTerm(terms...)
}

// document reports whether the evaluator can convert the bytes later; nil is null.
func document(raw json.RawMessage) bool { return raw == nil || json.Valid(raw) }
