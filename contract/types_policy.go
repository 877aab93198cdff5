package contract

import (
	"encoding/json"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
)

// PolicyExplainInput is the input of PolicyExplain.
type PolicyExplainInput struct {
	ExecutionID writ.ExecutionID `json:"executionId"`
	StepID      writ.StepID      `json:"stepId,omitempty"`
}

// PolicyExplainOutput is the output of PolicyExplain.
type PolicyExplainOutput struct {
	Result
	Verdict       writ.Mode       `json:"verdict"`
	RiskTier      writ.Risk       `json:"riskTier"`
	Reasons       []Reason        `json:"reasons,omitempty"`
	Clamps        []Clamp         `json:"clamps,omitempty"`
	PolicyVersion string          `json:"policyVersion"`
	PolicyDigest  writ.Digest     `json:"policyDigest,omitempty"`
	Input         json.RawMessage `json:"input,omitempty" jsonschema:"The complete question that the policy answered."`
	StepID        writ.StepID     `json:"stepId,omitempty"`
	Stage         string          `json:"stage,omitempty" jsonschema:"verify, dispatch or call."`
	DecidedBy     *Deciding       `json:"decidedBy,omitempty"`
	Layers        []PolicyLayer   `json:"layers,omitempty" jsonschema:"The bundles that were asked, highest layer first."`
	Approvals     *Approvals      `json:"approvals,omitempty" jsonschema:"What an assist asks of people."`
	Calls         int             `json:"calls,omitempty" jsonschema:"How many calls the step may make. Absent: not limited by policy."`
}

// PolicyLayer is the bundle of one layer.
type PolicyLayer struct {
	Layer   writ.Layer  `json:"layer"`
	Digest  writ.Digest `json:"digest"`
	Version string      `json:"version,omitempty"`
}

// Approvals are what a verdict asks of people.
type Approvals struct {
	Count         int          `json:"count"`
	Roles         []string     `json:"roles,omitempty" jsonschema:"An approver has one of them."`
	Quorum        []Seats      `json:"quorum,omitempty" jsonschema:"Approvals that people of each role must give; one person takes one seat."`
	ExpiresIn     abi.Duration `json:"expiresIn,omitempty"`
	EscalateAfter abi.Duration `json:"escalateAfter,omitempty"`
	EscalateTo    []string     `json:"escalateTo,omitempty" jsonschema:"Who may decide too from then on."`
}

// ApprovalsFrom converts what a verdict asks of people.
func ApprovalsFrom(r *writ.Requirement) *Approvals {
	return &Approvals{
		Count: r.Count, Roles: r.Roles, Quorum: SeatsFrom(r.Quorum),
		ExpiresIn: r.ExpiresIn, EscalateAfter: r.EscalateAfter, EscalateTo: r.EscalateTo,
	}
}

// Clamp says that code above the policy tightened its answer.
type Clamp struct {
	Rule  string     `json:"rule"`
	From  writ.Mode  `json:"from"`
	To    writ.Mode  `json:"to"`
	Layer writ.Layer `json:"layer,omitempty" jsonschema:"Whose answer it was, where more than one bundle was asked."`
}

// ClampsFrom converts the clamps of a verdict.
func ClampsFrom(clamps []writ.Clamp) []Clamp {
	out := make([]Clamp, 0, len(clamps))
	for _, c := range clamps {
		out = append(out, Clamp(c))
	}
	return out
}

// PolicyTestInput is the input of PolicyTest. Without Source and Bundle the
// active bundle is tested.
type PolicyTestInput struct {
	Source string `json:"source,omitempty" jsonschema:"Path on the server."`
	Bundle []byte `json:"bundle,omitempty" jsonschema:"OPA bundle (tar.gz), base64."`
}

// PolicyTestOutput is the output of PolicyTest.
type PolicyTestOutput struct {
	Result
	Digest   writ.Digest      `json:"digest"`
	Version  string           `json:"version,omitempty"`
	Passed   int              `json:"passed"`
	Failed   int              `json:"failed"`
	Coverage float64          `json:"coverage,omitempty" jsonschema:"Per cent of the lines."`
	Results  []PolicyTestCase `json:"results" jsonschema:"The bundle's tests, and as writ.floor whether an answer of its rules is looser than the floor."`

	Files []PolicyFileCoverage `json:"files" jsonschema:"Coverage of each file of rules."`
}

// PolicyFileCoverage says which lines of a file the tests reach.
type PolicyFileCoverage struct {
	File      string   `json:"file"`
	Lines     int      `json:"lines" jsonschema:"That can be reached."`
	Coverage  float64  `json:"coverage" jsonschema:"Per cent of them."`
	Uncovered []string `json:"uncovered" jsonschema:"Lines that no test reaches: 12 or 12-14."`
}

// PolicyTestCase is one test of a bundle.
type PolicyTestCase struct {
	Name    string `json:"name"`
	Passed  bool   `json:"passed"`
	Message string `json:"message,omitempty"`
}

// PolicyActivateInput is the input of PolicyActivate. Exactly one of Source,
// Bundle and Digest is set.
type PolicyActivateInput struct {
	Source string      `json:"source,omitempty" jsonschema:"Path on the server."`
	Bundle []byte      `json:"bundle,omitempty" jsonschema:"OPA bundle (tar.gz), base64."`
	Digest writ.Digest `json:"digest,omitempty" jsonschema:"A bundle that this host has kept."`
	Reason string      `json:"reason,omitempty"`
	Layer  writ.Layer  `json:"layer,omitempty" jsonschema:"organisation or tenant. Absent: organisation."`
}

// PolicyActivateOutput is the output of PolicyActivate.
type PolicyActivateOutput struct {
	Result
	Digest   writ.Digest `json:"digest"`
	Version  string      `json:"version,omitempty"`
	Previous writ.Digest `json:"previous,omitempty" jsonschema:"What was active in the layer."`
	Layer    writ.Layer  `json:"layer"`
	InForce  writ.Digest `json:"inForce" jsonschema:"What verdicts name from now on: of the bundle, or of the list of layers where more than one has a bundle."`
}

// PolicyRollbackInput is the input of PolicyRollback.
type PolicyRollbackInput struct {
	Layer  writ.Layer `json:"layer,omitempty" jsonschema:"organisation or tenant. Absent: organisation."`
	Reason string     `json:"reason"`
}

// PolicyRollbackOutput is the output of PolicyRollback.
type PolicyRollbackOutput struct {
	Result
	Layer    writ.Layer  `json:"layer"`
	Digest   writ.Digest `json:"digest,omitempty" jsonschema:"What is active in the layer again. Absent: nothing, as before."`
	Version  string      `json:"version,omitempty"`
	Previous writ.Digest `json:"previous" jsonschema:"What was gone back from."`
	InForce  writ.Digest `json:"inForce" jsonschema:"What verdicts name from now on."`
}

// PolicyListInput is the input of PolicyList.
type PolicyListInput struct{}

// PolicyListOutput is the output of PolicyList.
type PolicyListOutput struct {
	Result
	Items   []PolicyBundle `json:"items"`
	InForce writ.Digest    `json:"inForce" jsonschema:"What verdicts name now."`
	Version string         `json:"version,omitempty"`
}

// PolicyBundle is one bundle that the host keeps.
type PolicyBundle struct {
	Digest      writ.Digest `json:"digest"`
	Version     string      `json:"version,omitempty"`
	Active      bool        `json:"active"`
	ActivatedAt writ.Time   `json:"activatedAt,omitempty"`

	Layer       writ.Layer       `json:"layer"`
	Signer      string           `json:"signer,omitempty" jsonschema:"Name of the key, or binary."`
	ActivatedBy writ.PrincipalID `json:"activatedBy,omitempty"`
}
