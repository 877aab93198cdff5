package contract

import (
	"encoding/json"

	"github.com/writ-run/writ"
)

// TraceGetInput is the input of TraceGet.
type TraceGetInput struct {
	ExecutionID     writ.ExecutionID `json:"executionId"`
	IncludePayloads bool             `json:"includePayloads,omitempty"`
}

// TraceGetOutput is the output of TraceGet.
type TraceGetOutput struct {
	Result
	Entries []TraceEntry `json:"entries"`
}

// TraceEntry is one record of the execution's journal.
type TraceEntry struct {
	Seq       uint64           `json:"seq"`
	Timestamp writ.Time        `json:"timestamp"`
	Stage     string           `json:"stage" jsonschema:"First segment of type: intent, plan, verdict, approval, step, tool, execution."`
	Type      writ.RecordType  `json:"type"`
	Status    string           `json:"status"`
	StepID    writ.StepID      `json:"stepId,omitempty"`
	Attempt   int              `json:"attempt,omitempty"`
	ActorID   writ.PrincipalID `json:"actorId,omitempty"`
	Audit     writ.Audit       `json:"audit" jsonschema:"Who did it, of which tenant and in which session, with what, for whom, and in which trace."`
	Metadata  Object           `json:"metadata,omitempty" jsonschema:"The facts of the record."`
	Payloads  []TracePayload   `json:"payloads,omitempty"`
	Digest    writ.Digest      `json:"digest"`
	Prev      writ.Digest      `json:"prev"`
}

// TracePayload is what is kept beside a record.
type TracePayload struct {
	Name    string      `json:"name"`
	Digest  writ.Digest `json:"digest" jsonschema:"Salted: it does not confirm a guess."`
	Size    int64       `json:"size"`
	Data    []byte      `json:"data,omitempty" jsonschema:"Where includePayloads asked for it, base64."`
	Missing bool        `json:"missing,omitempty" jsonschema:"Expired or redacted."`
}

// TraceListInput is the input of TraceList.
type TraceListInput struct {
	WorkspaceID writ.WorkspaceID `json:"workspaceId,omitempty"`
	Page
}

// TraceListOutput is the output of TraceList, newest first.
type TraceListOutput struct {
	Result
	Items      []TraceSummary `json:"items"`
	NextCursor string         `json:"nextCursor,omitempty"`
}

// TraceSummary is one execution's journal.
type TraceSummary struct {
	ExecutionID writ.ExecutionID     `json:"executionId"`
	Status      writ.ExecutionStatus `json:"status"`
	Records     uint64               `json:"records"`
	Head        writ.Digest          `json:"head,omitempty"`
	CreatedAt   writ.Time            `json:"createdAt"`
	UpdatedAt   writ.Time            `json:"updatedAt"`
}

// TraceVerifyInput is the input of TraceVerify.
type TraceVerifyInput struct {
	ExecutionID writ.ExecutionID `json:"executionId,omitempty" jsonschema:"Absent: every journal of the tenant."`
}

// Assurance says who vouches for a trace.
type Assurance string

// The assurances.
const (
	HostSigned Assurance = "host-signed"
	Witnessed  Assurance = "witnessed"
)

// TraceProblem is one thing that is wrong with a trace.
type TraceProblem struct {
	ExecutionID writ.ExecutionID `json:"executionId,omitempty"`
	Seq         uint64           `json:"seq,omitempty"`
	Code        string           `json:"code"`
	Message     string           `json:"message"`
}

// TraceVerifyOutput is the output of TraceVerify.
type TraceVerifyOutput struct {
	Result
	Valid     bool           `json:"valid"`
	Records   uint64         `json:"records"`
	Head      writ.Digest    `json:"head,omitempty"`
	Assurance Assurance      `json:"assurance"`
	Problems  []TraceProblem `json:"problems"`
}

// EvidenceExportInput is the input of EvidenceExport.
type EvidenceExportInput struct {
	ExecutionID     writ.ExecutionID `json:"executionId"`
	ExcludePayloads bool             `json:"excludePayloads,omitempty" jsonschema:"Without payloads the chain verifies, but nothing replays."`
}

// EvidenceExportOutput is the output of EvidenceExport.
type EvidenceExportOutput struct {
	Result
	Bundle    []byte      `json:"bundle" jsonschema:"DSSE envelope of an in-toto statement, base64."`
	Digest    writ.Digest `json:"digest" jsonschema:"Plain SHA-256 of bundle."`
	Records   uint64      `json:"records"`
	Head      writ.Digest `json:"head"`
	Assurance Assurance   `json:"assurance"`
}

// EvidenceImportInput is the input of EvidenceImport.
type EvidenceImportInput struct {
	Bundle       []byte `json:"bundle" jsonschema:"As evidence.export gave it, base64."`
	PublicKeyPEM string `json:"publicKeyPem,omitempty" jsonschema:"Key of the host that made it; absent: one that this host knows."`
}

// EvidenceImportOutput is the output of EvidenceImport.
type EvidenceImportOutput struct {
	Result
	ExecutionID writ.ExecutionID `json:"executionId"`
	Valid       bool             `json:"valid"`
	Records     uint64           `json:"records"`
	Head        writ.Digest      `json:"head"`
	Assurance   Assurance        `json:"assurance"`
	Problems    []TraceProblem   `json:"problems"`
}

// ReplayRunInput is the input of ReplayRun.
type ReplayRunInput struct {
	ExecutionID  writ.ExecutionID `json:"executionId"`
	PolicyDigest writ.Digest      `json:"policyDigest,omitempty" jsonschema:"Judge with this bundle instead: what if."`
	SkillSource  string           `json:"skillSource,omitempty" jsonschema:"A .skill file, as in skill.install: what if its version had run."`
	SkillBundle  []byte           `json:"skillBundle,omitempty" jsonschema:"The bundle itself, base64."`
}

// ReplayRunOutput is the output of ReplayRun.
type ReplayRunOutput struct {
	Result
	ExecutionID writ.ExecutionID `json:"executionId"`
	Identical   bool             `json:"identical"`
	WhatIf      bool             `json:"whatIf,omitempty"`
	Engine      string           `json:"engine" jsonschema:"Of the sandbox that ran the steps again."`
	RecordedOn  []string         `json:"recordedOn,omitempty" jsonschema:"Other engines that steps were recorded on, such as one of another architecture. What came of them is compared all the same."`
	Report      []ReplayStage    `json:"report"`
}

// ReplayStage compares one stage of the whole execution or of one step.
type ReplayStage struct {
	Stage           string            `json:"stage"`
	StepID          writ.StepID       `json:"stepId,omitempty"`
	Identical       bool              `json:"identical"`
	FirstDifference *ReplayDifference `json:"firstDifference,omitempty"`
	Unreplayable    string            `json:"unreplayable,omitempty" jsonschema:"Why the stage could not be derived again, e.g. a payload that has expired."`
}

// ReplayDifference is the first field that differs.
type ReplayDifference struct {
	Field    string          `json:"field" jsonschema:"JSON pointer into the stage's document."`
	Recorded json.RawMessage `json:"recorded"`
	Replayed json.RawMessage `json:"replayed"`
}
