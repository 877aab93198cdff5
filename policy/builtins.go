package policy

import (
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/tester"
	"github.com/open-policy-agent/opa/v1/topdown/builtins"
	"github.com/open-policy-agent/opa/v1/types"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
)

// removed are functions that the evaluator does not flag as nondeterministic and
// that still depend on the machine, reach inside the evaluator or make secrets.
// The calendar functions take a zone name, and zones differ between machines:
// input.time is UTC and time.parse_rfc3339_ns reads it.
var removed = []string{
	"trace", "rego.parse_module", "providers.aws.sign_req", "crypto.x509.parse_keypair",
	"time.clock", "time.date", "time.weekday", "time.format", "time.diff", "time.add_date",
	"time.parse_ns",
}

// capabilities are the functions that a bundle may call. The compiler holds them:
// the evaluator ignores them where it is given a compiler.
func capabilities() *ast.Capabilities {
	c := ast.CapabilitiesForThisVersion()
	c.Builtins = slices.DeleteFunc(c.Builtins, func(b *ast.Builtin) bool {
		return b.Nondeterministic || slices.Contains(removed, b.Name)
	})
	for _, b := range ownBuiltins() {
		c.Builtins = append(c.Builtins, b.Decl)
	}
	c.AllowNet = []string{}
	return c
}

// ownBuiltins let rules ask what the vocabulary alone decides exactly: whether a
// scope contains another, and whether a grant is live. Both are pure.
func ownBuiltins() []*tester.Builtin {
	missing := &rego.Function{
		Name: "grants.missing",
		Description: "Capabilities and tools of the step that no live grant of the principal covers, for its skill, " +
			"at its risk, with data as sensitive as its, at the time of the question. {\"tool\": \"*\"} stands for a step that has an effect and no tool.",
		Decl: types.NewFunction(types.Args(types.Named("question", types.A)),
			types.Named("missing", types.NewArray(nil, types.NewObject(nil, types.NewDynamicProperty(types.S, types.A))))),
	}
	allows := &rego.Function{
		Name:        "capability.allows",
		Description: "Whether a capability of held lets the call pass.",
		Decl: types.NewFunction(types.Args(types.Named("held", types.A), types.Named("call", types.A)),
			types.Named("allowed", types.B)),
	}
	untrusted := &rego.Function{
		Name:        "taint.untrusted",
		Description: "Paths of the sinks that data reaches which is not trusted, or has no label.",
		Decl: types.NewFunction(types.Args(types.Named("sinks", types.A)),
			types.Named("paths", types.NewArray(nil, types.S))),
	}
	lethal := &rego.Function{
		Name: "taint.lethal",
		Description: "Whether the step or call of the question may take private data out of the host together with data " +
			"that somebody untrusted wrote.",
		Decl: types.NewFunction(types.Args(types.Named("question", types.A)), types.Named("lethal", types.B)),
	}
	return []*tester.Builtin{
		{Decl: declaration(lethal), Func: rego.Function1(lethal, builtinLethal)},
		{Decl: declaration(untrusted), Func: rego.Function1(untrusted, builtinUntrusted)},
		{Decl: declaration(missing), Func: rego.Function1(missing, builtinMissing)},
		{Decl: declaration(allows), Func: rego.Function2(allows, builtinAllows)},
	}
}

func declaration(f *rego.Function) *ast.Builtin {
	return &ast.Builtin{Name: f.Name, Description: f.Description, Decl: f.Decl}
}

func builtinUntrusted(_ rego.BuiltinContext, sinks *ast.Term) (*ast.Term, error) {
	if _, null := sinks.Value.(ast.Null); null {
		return ast.InternedEmptyArray, nil
	}
	list, ok := sinks.Value.(*ast.Array)
	if !ok {
		return nil, builtins.NewOperandTypeErr(1, sinks.Value, "array")
	}
	paths := []*ast.Term{}
	for i := range list.Len() {
		flow, ok := list.Elem(i).Value.(ast.Object)
		if !ok {
			return nil, builtins.NewOperandErr(1, "a sink is not an object")
		}
		labels, ok := member(flow, keyLabels).(*ast.Array)
		trusted := ok && labels.Len() > 0 && !labels.Until(func(t *ast.Term) bool {
			label, _ := t.Value.(ast.String)
			return !writ.Label(label).Trusted()
		})
		if !trusted {
			paths = append(paths, str(text(flow, keyPath)))
		}
	}
	return ast.ArrayTerm(paths...), nil
}

func builtinAllows(_ rego.BuiltinContext, held, call *ast.Term) (*ast.Term, error) {
	have, err := capabilitiesOf(held)
	if err != nil {
		return nil, err
	}
	object, ok := call.Value.(ast.Object)
	if !ok {
		return ast.InternedTerm(false), nil
	}
	facts := writ.CallFacts{Tool: text(object, keyTool)}
	if target, ok := member(object, keyTarget).(ast.Object); ok {
		facts.Target = writ.Target{
			Scheme: text(target, keyScheme), Host: text(target, keyHost), Method: text(target, keyMethod),
			Path: text(target, keyPath), Key: text(target, keyKey), Skill: text(target, keySkill), Channel: text(target, keyChannel),
		}
	}
	allowed := slices.ContainsFunc(have, func(h writ.Capability) bool { return writ.CapabilityAllows(&h, &facts) })
	return ast.InternedTerm(allowed), nil
}

func capabilitiesOf(t *ast.Term) ([]writ.Capability, error) {
	if _, null := t.Value.(ast.Null); null {
		return nil, nil
	}
	list, ok := t.Value.(*ast.Array)
	if !ok {
		return nil, builtins.NewOperandTypeErr(1, t.Value, "array")
	}
	out := make([]writ.Capability, list.Len())
	for i := range out {
		c, err := capabilityOf(list.Elem(i))
		if err != nil {
			return nil, err
		}
		out[i] = c
	}
	return out, nil
}

// capabilityOf fails on what it does not understand: a scope that is read as
// empty would cover less than it says as a grant, but more as a wish.
func capabilityOf(t *ast.Term) (writ.Capability, error) {
	if t == nil {
		return writ.Capability{}, builtins.NewOperandErr(1, "a grant has no capability")
	}
	object, ok := t.Value.(ast.Object)
	if !ok {
		return writ.Capability{}, builtins.NewOperandTypeErr(1, t.Value, "object")
	}
	var c writ.Capability
	c.Tool = text(object, keyTool)
	if idempotent, ok := member(object, keyIdempotent).(ast.Boolean); ok {
		c.Idempotent = bool(idempotent)
	}
	for _, scope := range []struct {
		key *ast.Term
		to  *[]string
	}{
		{keyHosts, &c.Hosts},
		{keyMethods, &c.Methods},
		{keyPaths, &c.Paths},
		{keyPrefixes, &c.Prefixes},
		{keyServers, &c.Servers},
		{keyModels, &c.Models},
		{keyChannels, &c.Channels},
		{keySkills, &c.Skills},
	} {
		list, err := texts(object, scope.key)
		if err != nil {
			return c, err
		}
		*scope.to = list
	}
	var err error
	c.Secrets, err = secretsOf(object)
	return c, err
}

func secretsOf(object ast.Object) ([]abi.Secret, error) {
	value := member(object, keySecrets)
	if value == nil {
		return nil, nil
	}
	list, ok := value.(*ast.Array)
	if !ok {
		return nil, builtins.NewOperandTypeErr(1, value, "array")
	}
	out := make([]abi.Secret, list.Len())
	for i := range out {
		secret, ok := list.Elem(i).Value.(ast.Object)
		if !ok {
			return nil, builtins.NewOperandTypeErr(1, list.Elem(i).Value, "object")
		}
		out[i] = abi.Secret{
			Name: text(secret, keyName), Scheme: text(secret, keyScheme),
			Host: text(secret, keyHost), InjectAs: text(secret, keyInjectAs),
		}
	}
	return out, nil
}

func member(object ast.Object, key *ast.Term) ast.Value {
	if t := object.Get(key); t != nil {
		return t.Value
	}
	return nil
}

func text(object ast.Object, key *ast.Term) string {
	s, _ := member(object, key).(ast.String)
	return string(s)
}

func texts(object ast.Object, key *ast.Term) ([]string, error) {
	value := member(object, key)
	if _, null := value.(ast.Null); null || value == nil {
		return nil, nil
	}
	list, ok := value.(*ast.Array)
	if !ok {
		return nil, builtins.NewOperandTypeErr(1, value, "array")
	}
	out := make([]string, list.Len())
	for i := range out {
		s, ok := list.Elem(i).Value.(ast.String)
		if !ok {
			return nil, builtins.NewOperandTypeErr(1, list.Elem(i).Value, "string")
		}
		out[i] = string(s)
	}
	return out, nil
}
