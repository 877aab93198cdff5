package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"unicode/utf8"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
)

var errNotJSON = errors.New("not one JSON document")

// questionValue is the JSON form of q as the evaluator's value, built without
// JSON: the round trip costs more than the decision. A test holds the two equal.
// It errs where a raw member is not JSON.
func questionValue(q *writ.Question) (ast.Value, error) {
	step, err := stepTerm(&q.Step)
	if err != nil {
		return nil, err
	}
	call, err := callTerm(q.Call)
	if err != nil {
		return nil, err
	}
	return ast.NewObject(
		[2]*ast.Term{keyPoint, str(q.Point)},
		[2]*ast.Term{keyPrincipal, principalTerm(q.Principal)},
		[2]*ast.Term{keyGrants, array(q.Grants, grantTerm)},
		[2]*ast.Term{keyOrigin, str(q.Origin)},
		[2]*ast.Term{keyPlan, ast.ObjectTerm(
			[2]*ast.Term{keyHash, str(q.Plan.Hash)},
			[2]*ast.Term{keySteps, integer(q.Plan.Steps)},
		)},
		[2]*ast.Term{keyStep, step},
		[2]*ast.Term{keyCall, call},
		[2]*ast.Term{keyTaint, ast.ObjectTerm(
			[2]*ast.Term{keyLabels, array(q.Taint.Labels, strOf)},
			[2]*ast.Term{keyUntrusted, ast.InternedTerm(q.Taint.Untrusted)},
			[2]*ast.Term{keySinks, array(q.Taint.Sinks, sinkTerm)},
		)},
		[2]*ast.Term{keyHistory, ast.ObjectTerm(
			[2]*ast.Term{keyStepsLastHour, integer(q.History.StepsLastHour)},
			[2]*ast.Term{keyCallsInStep, integer(q.History.CallsInStep)},
			[2]*ast.Term{keyApprovals, integer(q.History.Approvals)},
		)},
		[2]*ast.Term{keyHost, hostTerm(&q.Host)},
		[2]*ast.Term{keyTime, moment(q.Time)},
	), nil
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
		f.put(keyExpires, moment(g.Expires))
	}
	if g.MaxUses != 0 {
		f.put(keyMaxUses, integer(g.MaxUses))
	}
	if g.Uses != 0 {
		f.put(keyUses, integer(g.Uses))
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
	if len(c.Secrets) > 0 {
		f.put(keySecrets, array(c.Secrets, secretTerm))
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

func stepTerm(s *writ.StepFacts) (*ast.Term, error) {
	input, err := raw(s.Input)
	if err != nil {
		return nil, err
	}
	return ast.ObjectTerm(
		[2]*ast.Term{keyID, str(s.ID)},
		[2]*ast.Term{keyName, str(s.Name)},
		[2]*ast.Term{keySkill, str(s.Skill)},
		[2]*ast.Term{keyPublisher, str(s.Publisher)},
		[2]*ast.Term{keyVersion, str(s.Version)},
		[2]*ast.Term{keyDigest, str(s.Digest)},
		[2]*ast.Term{keyAction, str(s.Action)},
		[2]*ast.Term{keyEffect, str(s.Effect)},
		[2]*ast.Term{keyRisk, str(s.Risk)},
		[2]*ast.Term{keyCapabilities, array(s.Capabilities, capabilityTerm)},
		[2]*ast.Term{keyTools, array(s.Tools, strOf)},
		[2]*ast.Term{keyInput, input},
		[2]*ast.Term{keyResolved, ast.InternedTerm(s.Resolved)},
		[2]*ast.Term{keyAttempt, integer(s.Attempt)},
	), nil
}

func callTerm(c *writ.CallFacts) (*ast.Term, error) {
	if c == nil {
		return ast.InternedNullTerm, nil
	}
	arguments, err := raw(c.Arguments)
	if err != nil {
		return nil, err
	}
	var target fields
	target.optional(keyScheme, c.Target.Scheme)
	target.optional(keyHost, c.Target.Host)
	target.optional(keyMethod, c.Target.Method)
	target.optional(keyPath, c.Target.Path)
	target.optional(keyKey, c.Target.Key)
	return ast.ObjectTerm(
		[2]*ast.Term{keySequence, integer(c.Sequence)},
		[2]*ast.Term{keyTool, str(c.Tool)},
		[2]*ast.Term{keyEffect, str(c.Effect)},
		[2]*ast.Term{keyIdempotent, ast.InternedTerm(c.Idempotent)},
		[2]*ast.Term{keyArguments, arguments},
		[2]*ast.Term{keyDigest, str(c.Digest)},
		[2]*ast.Term{keyTarget, target.term()},
	), nil
}

func sinkTerm(s *writ.SinkFlow) *ast.Term {
	return ast.ObjectTerm(
		[2]*ast.Term{keyPath, str(s.Path)},
		[2]*ast.Term{keyLabels, array(s.Labels, strOf)},
	)
}

func hostTerm(h *writ.HostFacts) *ast.Term {
	labels := ast.InternedNullTerm
	if h.Labels != nil {
		object := ast.NewObjectWithCapacity(len(h.Labels))
		for name, value := range h.Labels {
			object.Insert(str(name), str(value))
		}
		labels = ast.NewTerm(object)
	}
	return ast.ObjectTerm(
		[2]*ast.Term{keyVersion, str(h.Version)},
		[2]*ast.Term{keyLabels, labels},
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

// str reads invalid UTF-8 as encoding/json writes it, so that two byte strings
// are equal for a rule exactly where their stored forms are.
func str[S ~string](s S) *ast.Term {
	if !utf8.ValidString(string(s)) {
		return ast.StringTerm(string([]rune(string(s))))
	}
	return ast.InternedTerm(string(s))
}

func strOf[S ~string](s *S) *ast.Term { return str(*s) }

func integer(n int) *ast.Term { return ast.InternedTerm(n) }

func moment(t writ.Time) *ast.Term {
	if t == 0 {
		return ast.InternedNullTerm
	}
	return ast.StringTerm(t.String())
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

func raw(message json.RawMessage) (*ast.Term, error) {
	if len(message) == 0 {
		if message != nil {
			return nil, errNotJSON
		}
		return ast.InternedNullTerm, nil
	}
	if !json.Valid(message) {
		return nil, errNotJSON
	}
	value, err := ast.ValueFromReader(bytes.NewReader(message))
	if err != nil {
		return nil, err
	}
	return ast.NewTerm(value), nil
}
