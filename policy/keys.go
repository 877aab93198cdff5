package policy

import (
	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
)

// Member names of the question. Terms are immutable, so all inputs share them.
var (
	keyAmount         = ast.StringTerm("amount")
	keyApprovals      = ast.StringTerm("approvals")
	keyBreakGlass     = ast.StringTerm("breakGlass")
	keyCall           = ast.StringTerm("call")
	keyCallsInStep    = ast.StringTerm("callsInStep")
	keyCapabilities   = ast.StringTerm("capabilities")
	keyCapability     = ast.StringTerm("capability")
	keyChannel        = ast.StringTerm("channel")
	keyChannels       = ast.StringTerm("channels")
	keyCosts          = ast.StringTerm("costs")
	keyEffect         = ast.StringTerm("effect")
	keyExpires        = ast.StringTerm("expires")
	keyFrom           = ast.StringTerm("from")
	keyGrants         = ast.StringTerm("grants")
	keyHost           = ast.StringTerm("host")
	keyHosts          = ast.StringTerm("hosts")
	keyID             = ast.StringTerm("id")
	keyIdempotent     = ast.StringTerm("idempotent")
	keyInjectAs       = ast.StringTerm("injectAs")
	keyKey            = ast.StringTerm("key")
	keyKind           = ast.StringTerm("kind")
	keyLabels         = ast.StringTerm("labels")
	keyMaxRisk        = ast.StringTerm("maxRisk")
	keyMaxSensitivity = ast.StringTerm("maxSensitivity")
	keyMaxUses        = ast.StringTerm("maxUses")
	keyMethod         = ast.StringTerm("method")
	keyMethods        = ast.StringTerm("methods")
	keyModels         = ast.StringTerm("models")
	keyName           = ast.StringTerm("name")
	keyOnBehalfOf     = ast.StringTerm("onBehalfOf")
	keyParent         = ast.StringTerm("parent")
	keyPath           = ast.StringTerm("path")
	keyPaths          = ast.StringTerm("paths")
	keyPoint          = ast.StringTerm("point")
	keyPointer        = ast.StringTerm("pointer")
	keyPrefixes       = ast.StringTerm("prefixes")
	keyPrincipal      = ast.StringTerm("principal")
	keyReason         = ast.StringTerm("reason")
	keyRisk           = ast.StringTerm("risk")
	keyRoles          = ast.StringTerm("roles")
	keyRule           = ast.StringTerm("rule")
	keyScheme         = ast.StringTerm("scheme")
	keySecrets        = ast.StringTerm("secrets")
	keySensitivity    = ast.StringTerm("sensitivity")
	keyServers        = ast.StringTerm("servers")
	keySession        = ast.StringTerm("session")
	keySinks          = ast.StringTerm("sinks")
	keySkill          = ast.StringTerm("skill")
	keySkills         = ast.StringTerm("skills")
	keySource         = ast.StringTerm("source")
	keyStep           = ast.StringTerm("step")
	keyStepsLastHour  = ast.StringTerm("stepsLastHour")
	keyStrength       = ast.StringTerm("strength")
	keyTaint          = ast.StringTerm("taint")
	keyTarget         = ast.StringTerm("target")
	keyTenant         = ast.StringTerm("tenant")
	keyTime           = ast.StringTerm("time")
	keyTimes          = ast.StringTerm("times")
	keyTo             = ast.StringTerm("to")
	keyTool           = ast.StringTerm("tool")
	keyTools          = ast.StringTerm("tools")
	keyUntrusted      = ast.StringTerm("untrusted")
	keyUses           = ast.StringTerm("uses")
	keyWorkspace      = ast.StringTerm("workspace")
)

// vocabulary holds the words that most questions are made of.
var vocabulary = wordTerms()

func wordTerms() map[string]*ast.Term {
	words := []string{
		string(writ.PointStep), string(writ.PointCall), string(writ.DefaultTenant),
		string(writ.Human), string(writ.Service), string(writ.Agent), string(writ.Tool),
		string(writ.StrengthPeer), string(writ.StrengthChannel), string(writ.StrengthToken), string(writ.StrengthMTLS), string(writ.StrengthOIDC),
		string(writ.OriginHuman), string(writ.OriginModel), string(writ.OriginAutomation), string(writ.OriginChannel),
		string(writ.RiskLow), string(writ.RiskMedium), string(writ.RiskHigh), string(writ.RiskBlocked),
		string(writ.LabelOperator), string(writ.LabelPrincipal), string(writ.LabelChannel), string(writ.LabelHTTP),
		string(writ.LabelModel), string(writ.LabelSecret), string(writ.LabelStored), string(writ.LabelPrivate), string(writ.SensitivityPublic),
		"*", "http", "https", "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE",
	}
	for _, effect := range abi.Effects {
		words = append(words, string(effect))
	}
	for _, tool := range writ.Tools() {
		words = append(words, tool.Name)
	}
	terms := make(map[string]*ast.Term, len(words))
	for _, word := range words {
		terms[word] = ast.StringTerm(word)
	}
	return terms
}
