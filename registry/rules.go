package registry

import (
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/Masterminds/semver/v3"
	"github.com/google/jsonschema-go/jsonschema"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
)

var (
	namePattern      = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?/[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$`)
	publisherPattern = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$`)
	actionPattern    = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]{0,63}$`)
	memberPattern    = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*(?:\.[A-Za-z_][A-Za-z0-9_-]*)*$`)
	injectPattern    = regexp.MustCompile(`^(?:bearer|basic|(?:header|query):[A-Za-z0-9_-]{1,64})$`)
	methodPattern    = regexp.MustCompile(`^[A-Z]{1,16}$`)
	placeholder      = regexp.MustCompile(`\{[A-Za-z_][A-Za-z0-9_.-]*\}`)
)

const (
	maxVersion     = 64  // characters of a version
	maxConstraint  = 128 // characters of a requires member
	maxDescription = 4096
	maxActions     = 64
	maxList        = 256 // items of any list of a capability
)

func itoa(i int) string { return strconv.Itoa(i) }

// rules checks what a type cannot say.
type rules struct {
	found    defects
	complete bool // schemas must be there
}

func checkManifest(m *abi.Manifest, complete bool) defects {
	r := rules{complete: complete}
	r.identity(m)
	for i := range m.Capabilities {
		r.capability(&m.Capabilities[i], "/capabilities/"+itoa(i), false)
	}
	if len(m.Actions) == 0 || len(m.Actions) > maxActions {
		r.found.add("/actions", "declare what the skill can do", "a skill has 1 to %d actions", maxActions)
	}
	seen := map[string]bool{}
	for i := range m.Actions {
		a, pointer := &m.Actions[i], "/actions/"+itoa(i)
		if seen[a.Name] {
			r.found.add(pointer+"/name", "give each action its own name", "action %q stands twice", clip(a.Name))
		}
		seen[a.Name] = true
		r.action(m, a, pointer)
	}
	return r.found
}

func (r *rules) identity(m *abi.Manifest) {
	if !namePattern.MatchString(m.Name) {
		r.found.add("/name", "write publisher/name in lower case, digits and dashes, such as acme/mailer",
			"%q is not a skill name", clip(m.Name))
	}
	v, err := semver.StrictNewVersion(m.Version)
	if err != nil || v.Metadata() != "" || len(m.Version) > maxVersion {
		r.found.add("/version", "write MAJOR.MINOR.PATCH, such as 1.0.0, without build metadata",
			"%q is not a semantic version", clip(m.Version))
	}
	if strings.TrimSpace(m.Description) == "" || len(m.Description) > maxDescription {
		r.found.add("/description", "say in one sentence what the skill does", "want 1 to %d bytes", maxDescription)
	}
	if !slices.Contains(guestInterfaces, m.ABI) && unknownABI(m.ABI) == nil {
		r.found.add("/abi", "write one of "+strings.Join(guestInterfaces, ", "), "%q is not a guest interface", clip(m.ABI))
	}
	for name, text := range map[string]string{"abi": m.Requires.ABI, "host": m.Requires.Host, "contracts": m.Requires.Contracts} {
		if _, err := constraint(text); err != nil {
			r.found.add("/requires/"+name, `write a semver range such as ">=1.0.0 <2.0.0"`, "%q is not a version range", clip(text))
		}
	}
}

// constraint reads a semver range; empty is any version.
func constraint(text string) (*semver.Constraints, error) {
	if text == "" {
		return nil, nil
	}
	if len(text) > maxConstraint {
		return nil, writ.Errorf(writ.CodeInvalid, "version range", "longer than %d characters", maxConstraint)
	}
	return semver.NewConstraint(text)
}

func (r *rules) action(m *abi.Manifest, a *abi.Action, pointer string) {
	if !actionPattern.MatchString(a.Name) {
		r.found.add(pointer+"/name", "start with a letter; letters, digits, _ . and - may follow, 64 in all", "%q is not an action name", clip(a.Name))
	}
	if strings.TrimSpace(a.Description) == "" || len(a.Description) > maxDescription {
		r.found.add(pointer+"/description", "say in one sentence what the action does", "want 1 to %d bytes", maxDescription)
	}
	r.schema(m, pointer+"/input", a.Input)
	r.schema(m, pointer+"/output", a.Output)
	if len(a.Effects) == 0 {
		r.found.add(pointer+"/effects", "list what the action does to the world, such as [none] or [read]", "no effect class is declared")
	}
	for i, e := range a.Effects {
		if !e.Valid() {
			r.found.add(pointer+"/effects/"+itoa(i), "use none, read, write-local, write-external, irreversible, financial or admin",
				"%q is not an effect class", clip(string(e)))
		}
	}
	if a.Risk != "" && !a.Risk.Valid() {
		r.found.add(pointer+"/risk", "use low, medium, high or blocked", "%q is not a risk tier", clip(string(a.Risk)))
	}
	if !a.Sensitivity.Valid() {
		r.found.add(pointer+"/sensitivity", "use public, internal or private, or leave it out", "%q is not a sensitivity", clip(string(a.Sensitivity)))
	}
	for i, sink := range a.Sinks {
		if !memberPattern.MatchString(sink) {
			r.found.add(pointer+"/sinks/"+itoa(i), "name a member of the input, such as recipient or payment.amount", "%q is not a path", clip(sink))
		}
	}
	for i := range a.Uses {
		use, at := &a.Uses[i], pointer+"/uses/"+itoa(i)
		if !slices.ContainsFunc(m.Capabilities, func(c abi.Capability) bool { return c.Tool == use.Tool }) {
			r.found.add(at+"/tool", "declare the tool in the manifest's capabilities", "%q is not among the capabilities", clip(use.Tool))
			continue
		}
		r.capability(use, at, true)
	}
}

// schema checks that a schema resolves by itself: nothing is fetched.
func (r *rules) schema(m *abi.Manifest, pointer string, raw json.RawMessage) {
	if len(raw) == 0 {
		if r.complete || m.ABI != abi.V1 {
			r.found.add(pointer, "write a JSON Schema, such as `type: object`", "the schema is missing")
		}
		return
	}
	var s jsonschema.Schema
	err := json.Unmarshal(raw, &s)
	if err == nil {
		_, err = s.Resolve(nil)
	}
	var tree any
	if err == nil {
		err = json.Unmarshal(raw, &tree)
	}
	if err == nil {
		err = knownTypes(tree)
	}
	if err != nil {
		r.found.add(pointer, "write a JSON Schema 2020-12 that refers to nothing outside itself", "not a usable schema: %s", clip(err.Error()))
	}
}

var schemaTypes = []string{"null", "boolean", "object", "array", "number", "string", "integer"}

// knownTypes finds a type that JSON Schema has not: the validator would take it
// and then refuse every value.
func knownTypes(tree any) error {
	switch v := tree.(type) {
	case []any:
		for _, item := range v {
			if err := knownTypes(item); err != nil {
				return err
			}
		}
	case map[string]any:
		for name, member := range v {
			if name == "const" || name == "enum" || name == "default" || name == "examples" {
				continue // data, not schema
			}
			if text, ok := member.(string); ok && name == "type" && !slices.Contains(schemaTypes, text) {
				return writ.Errorf(writ.CodeInvalid, "type", "%q is not one of %s", clip(text), strings.Join(schemaTypes, ", "))
			}
			if err := knownTypes(member); err != nil {
				return err
			}
		}
	}
	return nil
}

// capability checks the scope. In uses, patterns may hold {member} of the input.
func (r *rules) capability(c *abi.Capability, pointer string, uses bool) {
	spec, ok := writ.LookupTool(c.Tool)
	if !ok {
		r.found = append(r.found, defect{
			pointer + "/tool", writ.IssueCapabilityMissing, "this host has no tool " + strconv.Quote(clip(c.Tool)),
			"use one of " + toolNames() + ", or a host that has the tool",
		})
		return
	}
	r.inapplicable(c, &spec, pointer)
	r.each(pointer+"/hosts", c.Hosts, uses, func(s string) bool { return s == strings.ToLower(s) && writ.ValidPattern(s, ".") })
	r.each(pointer+"/paths", c.Paths, uses, func(s string) bool {
		return writ.ValidPattern(s, "/") && (c.Tool != abi.ToolHTTPRequest || strings.HasPrefix(s, "/") || strings.HasPrefix(s, "*") ||
			(uses && s == filled)) // {member.path} stands alone and begins with a slash itself
	})
	r.each(pointer+"/methods", c.Methods, false, methodPattern.MatchString)
	r.each(pointer+"/prefixes", c.Prefixes, uses, func(s string) bool { return !strings.ContainsAny(s, "\x00*{}") && len(s) <= 512 })
	r.each(pointer+"/channels", c.Channels, uses, func(s string) bool {
		return uses && s == filled || writ.ValidPattern(s, "/") && strings.Count(s, "/") == 1
	})
	r.each(pointer+"/skills", c.Skills, false, func(s string) bool { return skillPattern.MatchString(s) })
	for i := range c.Secrets {
		r.secret(c, &c.Secrets[i], pointer+"/secrets/"+itoa(i), uses)
	}
	r.costs(c.Costs, pointer+"/costs")
}

// Bounds of what a call costs. A thousand million units are far above any price.
const (
	maxCosts   = 4
	maxPointer = 256
	maxTimes   = 1_000_000_000
)

func (r *rules) costs(costs []abi.Cost, pointer string) {
	if len(costs) > maxCosts {
		r.found.add(pointer, "add fixed amounts of a kind up", "more than %d costs", maxCosts)
		return
	}
	for i := range costs {
		c, at := &costs[i], pointer+"/"+itoa(i)
		switch {
		case c.Kind != abi.CostSpend && c.Kind != abi.CostTokens:
			r.found.add(at+"/kind", "write spend or tokens", "%q is no kind of cost", clip(string(c.Kind)))
		case (c.Amount == 0) == (c.Pointer == ""):
			r.found.add(at, "give one of amount and pointer", "want a fixed amount, or where the call's arguments say it")
		case c.Amount < 0 || c.Amount > writ.MaxAmount:
			r.found.add(at+"/amount", "write micro-units, or tokens: a whole number from 1 on", "%d is not an amount", c.Amount)
		case c.Pointer != "" && (!strings.HasPrefix(c.Pointer, "/") || len(c.Pointer) > maxPointer):
			r.found.add(at+"/pointer", "write a JSON pointer into the arguments, such as /body/amount", "%q is not a pointer", clip(c.Pointer))
		case c.Times < 0 || c.Times > maxTimes || c.Times != 0 && c.Pointer == "":
			r.found.add(at+"/times", "write how many micro-units, or tokens, one of what pointer finds is; at most 1000000000", "%d is no factor here", c.Times)
		}
	}
}

// skillPattern names one skill, so that a plan can pin what it calls.
var skillPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]*/[a-z0-9][a-z0-9._-]*#([A-Za-z0-9][A-Za-z0-9._-]*\*?|\*)$`)

// filled stands for the value of a placeholder while the pattern is checked.
const filled = "x"

func (r *rules) each(pointer string, list []string, uses bool, valid func(string) bool) {
	if len(list) > maxList {
		r.found.add(pointer, "use wider patterns", "more than %d items", maxList)
		return
	}
	for i, s := range list {
		plain := s
		if uses { // any value may stand there later: check the rest of the pattern
			plain = placeholder.ReplaceAllString(s, filled)
		}
		if !valid(plain) {
			r.found.add(pointer+"/"+itoa(i), "see the pattern grammar in docs/skills.md", "%q is not a valid pattern here", clip(s))
		}
	}
}

// inapplicable finds scope members that mean nothing for the tool: an author who
// writes one expects it to restrict something.
func (r *rules) inapplicable(c *abi.Capability, spec *writ.ToolSpec, pointer string) {
	given := []struct {
		name string
		set  bool
	}{
		{writ.ScopeHosts, len(c.Hosts) > 0},
		{writ.ScopeMethods, len(c.Methods) > 0},
		{writ.ScopePaths, len(c.Paths) > 0},
		{writ.ScopePrefixes, len(c.Prefixes) > 0},
		{"servers", len(c.Servers) > 0},
		{"models", len(c.Models) > 0},
		{writ.ScopeChannels, len(c.Channels) > 0},
		{writ.ScopeSkills, len(c.Skills) > 0},
	}
	for _, g := range given {
		if g.set && !slices.Contains(spec.Scope, g.name) {
			r.found.add(pointer+"/"+g.name, "remove it", "%s does not apply to %s", g.name, c.Tool)
		}
	}
	if c.Tool != abi.ToolHTTPRequest && (len(c.Secrets) > 0 || c.Idempotent) {
		r.found.add(pointer, "remove secrets and idempotent", "secrets and idempotent apply to %s alone", abi.ToolHTTPRequest)
	}
}

func (r *rules) secret(c *abi.Capability, s *abi.Secret, pointer string, uses bool) {
	covered := uses || slices.ContainsFunc(c.Hosts, func(host string) bool { return writ.PatternCovers(host, s.Host, ".") })
	switch {
	case !actionPattern.MatchString(s.Name):
		r.found.add(pointer+"/name", "start with a letter; letters, digits, _ . and - may follow", "%q is not a secret's name", clip(s.Name))
	case s.Scheme != "https" && s.Scheme != "http":
		r.found.add(pointer+"/scheme", "write https", "%q is not a scheme", clip(s.Scheme))
	case strings.Contains(s.Host, "*") || !covered:
		r.found.add(pointer+"/host", "name one literal host that the capability's hosts cover", "%q is not a host of this capability", clip(s.Host))
	case !injectPattern.MatchString(s.InjectAs):
		r.found.add(pointer+"/injectAs", "write bearer, basic, header:NAME or query:NAME", "%q is not a way to inject", clip(s.InjectAs))
	}
}

func toolNames() string {
	names := []string{}
	for _, spec := range writ.Tools() {
		names = append(names, spec.Name)
	}
	return strings.Join(names, ", ")
}
