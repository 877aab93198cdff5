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

// anyArray and anything are arguments whose members the functions check.
var (
	anyArray = types.NewArray(nil, types.A)
	anything = types.A
)

// ownBuiltins let rules ask what only the vocabulary can decide exactly: whether
// one scope contains another. Both are pure.
func ownBuiltins() []*tester.Builtin {
	uncovered := &rego.Function{
		Name:        "capability.uncovered",
		Description: "The members of wanted that no capability of held covers.",
		Decl:        types.NewFunction(types.Args(types.Named("held", anyArray), types.Named("wanted", anyArray)), types.Named("uncovered", anyArray)),
	}
	allows := &rego.Function{
		Name:        "capability.allows",
		Description: "Whether a capability of held lets the call pass.",
		Decl:        types.NewFunction(types.Args(types.Named("held", anyArray), types.Named("call", anything)), types.Named("allowed", types.B)),
	}
	return []*tester.Builtin{
		{Decl: declaration(uncovered), Func: rego.Function2(uncovered, builtinUncovered)},
		{Decl: declaration(allows), Func: rego.Function2(allows, builtinAllows)},
	}
}

func declaration(f *rego.Function) *ast.Builtin {
	return &ast.Builtin{Name: f.Name, Description: f.Description, Decl: f.Decl}
}

func builtinUncovered(_ rego.BuiltinContext, held, wanted *ast.Term) (*ast.Term, error) {
	have, err := capabilitiesOf(held)
	if err != nil {
		return nil, err
	}
	list, ok := wanted.Value.(*ast.Array)
	if !ok {
		return nil, builtins.NewOperandTypeErr(2, wanted.Value, "array")
	}
	missing := []*ast.Term{}
	for i := range list.Len() {
		c, err := capabilityOf(list.Elem(i))
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(have, func(h writ.Capability) bool { return covers(&h, &c) }) {
			missing = append(missing, list.Elem(i))
		}
	}
	return ast.ArrayTerm(missing...), nil
}

// covers adds to CapabilityCovers what only a grant may say: every tool.
func covers(held, wanted *writ.Capability) bool {
	if held.Tool == "*" {
		return len(held.Hosts)+len(held.Methods)+len(held.Paths)+len(held.Prefixes)+
			len(held.Servers)+len(held.Models)+len(held.Channels)+len(held.Secrets) == 0
	}
	return writ.CapabilityCovers(held, wanted)
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
			Path: text(target, keyPath), Key: text(target, keyKey),
		}
	}
	allowed := slices.ContainsFunc(have, func(h writ.Capability) bool { return writ.CapabilityAllows(&h, &facts) })
	return ast.InternedTerm(allowed), nil
}

func capabilitiesOf(t *ast.Term) ([]writ.Capability, error) {
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
		{keyHosts, &c.Hosts}, {keyMethods, &c.Methods}, {keyPaths, &c.Paths}, {keyPrefixes, &c.Prefixes},
		{keyServers, &c.Servers}, {keyModels, &c.Models}, {keyChannels, &c.Channels},
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
	if value == nil {
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
