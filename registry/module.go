package registry

import (
	"slices"
	"strings"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
)

// coreFunctions are all that abi.ModuleCore exports.
var coreFunctions = []string{abi.CoreInput, abi.CoreAction, abi.CoreResult, abi.CoreOutput, abi.CoreFail}

// extismHTTP is the one function of the Extism kernel that reaches out.
const extismHTTP = "http_request"

// The exports through which a plug-in that speaks MCP runs its tools: it has one.
const mcpCall, mcpCallOlder = "call_tool", "call"

// proveModule shows that the module can reach only what its manifest declares,
// and that it can be entered. The import section is the whole of what a guest
// can name, so this is a proof and no estimate.
func proveModule(inspector writ.Inspector, m *abi.Manifest, module []byte) []writ.SkillIssue {
	facts, err := inspector.Inspect(module)
	if err != nil {
		return []writ.SkillIssue{*fixed(finding(writ.IssueManifestInvalid, "the module is not WebAssembly: %s", clip(err.Error())),
			"build the module with GOOS=wasip1 GOARCH=wasm, or another compiler for WebAssembly")}
	}
	var issues []writ.SkillIssue
	seen := map[string]bool{}
	for _, i := range facts.Imports {
		if name := i.Module + "\x00" + i.Name + "\x00" + i.Kind; !seen[name] {
			seen[name] = true
			if issue := proveImport(m, i); issue != nil {
				issues = append(issues, *issue)
			}
		}
	}
	for _, name := range entries(m, facts) {
		if !slices.Contains(facts.Exports, name) {
			issues = append(issues, *fixed(finding(writ.IssueEntrypointMissing, "the module does not export the function %q", name),
				"export %s, or correct the manifest's abi and actions", name))
		}
	}
	return issues
}

// entries are the exports that the manifest's actions need.
func entries(m *abi.Manifest, facts *writ.ModuleFacts) []string {
	switch m.ABI {
	case abi.Extism1:
		names := make([]string, len(m.Actions))
		for i := range m.Actions {
			names[i] = m.Actions[i].Name
		}
		return names
	case abi.ExtismMCP1:
		if slices.Contains(facts.Exports, mcpCallOlder) {
			return []string{mcpCallOlder}
		}
		return []string{mcpCall}
	}
	return []string{abi.EntryRun}
}

func proveImport(m *abi.Manifest, i writ.ModuleImport) *writ.SkillIssue {
	declared := func(tool string) bool {
		return slices.ContainsFunc(m.Capabilities, func(c abi.Capability) bool { return c.Tool == tool })
	}
	name := clip(i.Module) + " " + clip(i.Name)
	undeclared := func(fix string) *writ.SkillIssue {
		return fixed(finding(writ.IssueCapabilityUndeclared, "the module imports %s, which the manifest does not allow", name), "%s", fix)
	}
	if i.Kind != "func" {
		return undeclared("build the module so that it imports functions alone; this is a " + clip(i.Kind))
	}
	switch i.Module {
	case abi.ModuleWASI:
		return nil
	case abi.ModuleCore:
		if slices.Contains(coreFunctions, i.Name) {
			return nil
		}
		return undeclared("use one of " + strings.Join(coreFunctions, ", "))
	case abi.ModuleTool:
		if declared(i.Name) {
			return nil
		}
		return undeclared("declare the tool " + clip(i.Name) + " in capabilities, or do not import it")
	case abi.ModuleExtism:
		if m.ABI == abi.V1 {
			return undeclared("write abi: " + abi.Extism1)
		}
		if i.Name != extismHTTP || declared(abi.ToolHTTPRequest) {
			return nil
		}
		return undeclared("declare " + abi.ToolHTTPRequest + " with its hosts in capabilities")
	}
	return undeclared("import from " + strings.Join([]string{abi.ModuleCore, abi.ModuleTool, abi.ModuleWASI}, ", ") + " alone")
}

// withinCeiling refuses limits that the operator does not give.
func withinCeiling(l, most abi.Limits) []writ.SkillIssue {
	var issues []writ.SkillIssue
	over := func(name string, asked, limit uint64) {
		if limit > 0 && asked > limit {
			issues = append(issues, *fixed(finding(writ.IssueManifestInvalid, "manifest /limits/%s: asks for %d, this host gives at most %d", name, asked, limit),
				"lower limits.%s, or raise the host's maximum", name))
		}
	}
	over("memory", uint64(l.Memory), uint64(most.Memory))
	over("fuel", l.Fuel, most.Fuel)
	over("time", uint64(l.Time), uint64(most.Time))
	over("calls", uint64(l.Calls), uint64(most.Calls))
	over("output", uint64(l.Output), uint64(most.Output))
	return issues
}
