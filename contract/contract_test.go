package contract_test

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/Masterminds/semver/v3"
	"github.com/google/jsonschema-go/jsonschema"

	"github.com/writ-run/writ/contract"
)

// planned are the operations that every version serves under these keys.
var planned = []string{
	"controlPlane.intent.submit", "controlPlane.plan.compile", "controlPlane.plan.verify",
	"controlPlane.execution.start", "controlPlane.execution.approve", "controlPlane.execution.reject",
	"controlPlane.execution.cancel", "controlPlane.skill.install", "controlPlane.skill.disable",
	"controlPlane.execution.get", "controlPlane.execution.list", "controlPlane.trace.get",
	"controlPlane.policy.explain", "controlPlane.skill.list", "controlPlane.skill.verify",
}

func TestPlannedOperationsAndEvents(t *testing.T) {
	for _, key := range planned {
		if _, ok := contract.Lookup(key); !ok {
			t.Errorf("%s is missing", key)
		}
	}
	for _, key := range []string{
		"controlPlane.intent.received", "controlPlane.plan.compiled", "controlPlane.plan.rejected",
		"controlPlane.execution.step.started", "controlPlane.execution.step.blocked",
		"controlPlane.execution.step.completed", "controlPlane.execution.completed",
		"controlPlane.execution.failed", "controlPlane.skill.installed", "controlPlane.skill.rejected",
	} {
		if _, ok := contract.LookupEvent(key); !ok {
			t.Errorf("event %s is missing", key)
		}
	}
	if n := len(contract.Capabilities()); n != 5 {
		t.Errorf("%d capabilities, want the five", n)
	}
}

// TestMembers pins the members of the planned operations by name.
func TestMembers(t *testing.T) {
	want := map[string][2]string{
		"controlPlane.intent.submit":     {"workspaceId text actorId channelKey metadata traceId idempotencyKey draft", "executionId intentId"},
		"controlPlane.plan.compile":      {"executionId intentId plannerModel draft", "planId compiledAt stepCount deterministicHash"},
		"controlPlane.plan.verify":       {"executionId planId policyVersion", "verdict requiresApproval blockedReasons verifiedAt"},
		"controlPlane.execution.start":   {"executionId planId mode", "runId"},
		"controlPlane.execution.approve": {"executionId stepId approvalDigest approvedBy note signature", ""},
		"controlPlane.execution.reject":  {"executionId stepId rejectedBy reason", ""},
		"controlPlane.execution.cancel":  {"executionId cancelledBy reason", ""},
		"controlPlane.skill.install":     {"source skillKey version artifactDigest manifest metadata bundle", "installationId verified signatureVerified publisherTrusted provenanceVerified compatibilityVerified manifestDigest provenance issues"},
		"controlPlane.skill.disable":     {"skillKey version disabledBy reason", ""},
		"controlPlane.execution.get":     {"executionId", "execution"},
		"controlPlane.execution.list":    {"workspaceId status riskTier limit cursor", "items nextCursor"},
		"controlPlane.trace.get":         {"executionId includePayloads", "entries"},
		"controlPlane.policy.explain":    {"executionId stepId", "verdict riskTier reasons policyVersion input"},
		"controlPlane.skill.list":        {"includeDisabled limit cursor", "items"},
		"controlPlane.skill.verify":      {"source skillKey version artifactDigest manifest metadata bundle", "verified signatureVerified publisherTrusted provenanceVerified compatibilityVerified manifestDigest provenance issues"},
	}
	for key, members := range want {
		c, _ := contract.Lookup(key)
		for _, name := range strings.Fields(members[0]) {
			if c.InputSchema().Properties[name] == nil {
				t.Errorf("%s: the input lacks %s", key, name)
			}
		}
		for _, name := range strings.Fields(members[1]) {
			if c.OutputSchema().Properties[name] == nil {
				t.Errorf("%s: the output lacks %s", key, name)
			}
		}
	}
}

var keyForm = regexp.MustCompile(`^controlPlane(\.[a-z]+){1,2}$`)

func TestEveryContractIsWhole(t *testing.T) {
	seen, lines := map[string]bool{}, map[string]bool{}
	for _, c := range contract.All() {
		t.Run(c.Key, func(t *testing.T) {
			if !keyForm.MatchString(c.Key) || seen[c.Key] {
				t.Error("the key is malformed or taken")
			}
			seen[c.Key] = true
			if _, err := semver.StrictNewVersion(c.Version); err != nil {
				t.Error(err)
			}
			for _, text := range []string{c.Title, c.Description, c.Goal, c.Context} {
				if text == "" {
					t.Error("title, description, goal and context must be there")
				}
			}
			if !slices.ContainsFunc(contract.Capabilities(), func(k contract.Capability) bool { return k.Key == c.Capability }) {
				t.Errorf("the capability %q is unknown", c.Capability)
			}
			if len(c.Owners) == 0 || len(c.Tags) == 0 || len(c.Examples) == 0 {
				t.Error("owners, tags and examples must be there")
			}
			if (c.CLI == "") != (c.Auth == contract.System) || (c.CLI != "" && lines[c.CLI]) {
				t.Errorf("command line %q: only what the host calls has none, and each is there once", c.CLI)
			}
			lines[c.CLI] = true
			for _, key := range c.Emits {
				if _, ok := contract.LookupEvent(key); !ok {
					t.Errorf("emits %s, which is no event", key)
				}
			}
			checkFailures(t, c)
			checkPII(t, c)
			checkResult(t, c)
		})
	}
	for _, e := range contract.Events() {
		if seen[e.Key] {
			t.Errorf("%s is a contract and an event", e.Key)
		}
		seen[e.Key] = true
	}
}

func checkFailures(t *testing.T, c *contract.Contract) {
	t.Helper()
	seen := map[string]bool{}
	for _, f := range c.Errors {
		if seen[string(f.Code)] || f.HTTP < 400 || f.HTTP != contract.HTTPStatus(f.Code) || f.Description == "" || f.When == "" {
			t.Errorf("failure %+v is not whole", f)
		}
		seen[string(f.Code)] = true
	}
}

func checkPII(t *testing.T, c *contract.Contract) {
	t.Helper()
	for _, path := range c.PII {
		side, rest, _ := strings.Cut(path, ".")
		s := map[string]*jsonschema.Schema{"input": c.InputSchema(), "output": c.OutputSchema()}[side]
		for name := range strings.SplitSeq(rest, ".") {
			if s != nil && s.Items != nil {
				s = s.Items
			}
			if s == nil || s.Properties[name] == nil {
				t.Errorf("pii %s: there is no such member", path)
				return
			}
			s = s.Properties[name]
		}
	}
}

func checkResult(t *testing.T, c *contract.Contract) {
	t.Helper()
	for _, name := range []string{"status", "changedAt"} {
		if !slices.Contains(c.OutputSchema().Required, name) {
			t.Errorf("the output lacks %s", name)
		}
	}
}

func TestExamplesFitTheirSchemas(t *testing.T) {
	for _, c := range contract.All() {
		for _, e := range c.Examples {
			in, err := json.Marshal(e.Input)
			if err != nil {
				t.Fatal(err)
			}
			if err := c.CheckInput(in); err != nil {
				t.Errorf("%s %s: input: %v", c.Key, e.Name, err)
			}
			out, err := json.Marshal(e.Output)
			if err != nil {
				t.Fatal(err)
			}
			if err := c.CheckOutput(out); err != nil {
				t.Errorf("%s %s: output: %v", c.Key, e.Name, err)
			}
		}
	}
}

// TestDocumentsReferToWhatIsThere follows every $ref of the two documents.
func TestDocumentsReferToWhatIsThere(t *testing.T) {
	for name, generate := range map[string]func() ([]byte, error){"openapi": contract.OpenAPI, "asyncapi": contract.AsyncAPI} {
		raw, err := generate()
		if err != nil {
			t.Fatal(err)
		}
		var root map[string]any
		if err := json.Unmarshal(raw, &root); err != nil {
			t.Fatal(err)
		}
		refs := 0
		var walk func(v any)
		walk = func(v any) {
			switch x := v.(type) {
			case map[string]any:
				if target, ok := x["$ref"].(string); ok {
					refs++
					if !resolves(root, target) {
						t.Errorf("%s: %s leads nowhere", name, target)
					}
				}
				for _, inner := range x {
					walk(inner)
				}
			case []any:
				for _, inner := range x {
					walk(inner)
				}
			}
		}
		walk(root)
		if refs == 0 {
			t.Errorf("%s has no references: the walk is broken", name)
		}
	}
	var doc struct{ Paths map[string]any }
	raw, _ := contract.OpenAPI()
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	for _, key := range contract.Keys() {
		if doc.Paths["/v1/"+key] == nil {
			t.Errorf("openapi lacks %s", key)
		}
	}
}

func resolves(root map[string]any, target string) bool {
	var at any = root
	for part := range strings.SplitSeq(strings.TrimPrefix(target, "#/"), "/") {
		members, ok := at.(map[string]any)
		if !ok {
			return false
		}
		// A key of ours has dots and no slash, so a part is a member.
		if at, ok = members[part]; !ok {
			return false
		}
	}
	return true
}
