package contract

import (
	"encoding/json"

	"github.com/writ-run/writ"
)

// TraceGet shows the journal of an execution.
var TraceGet = define[TraceGetInput, TraceGetOutput](Contract{
	Key: "controlPlane.trace.get", Version: "1.1.0", Kind: Query, Capability: CapAudit, Auth: User,
	CLI: "writ trace get", Title: "Get a trace", Idempotent: true,
	Description: "Shows every record of an execution's chain, in order, with the payloads where they are asked for.",
	Goal:        "Read what happened, in the order in which it became durable.",
	Context:     "At any time after intent.submit.",
	PII:         []string{"output.entries.actorId", "output.entries.audit.actorId", "output.entries.audit.onBehalfOf", "output.entries.metadata", "output.entries.payloads.data"},
	Errors: []Failure{
		on(writ.CodeNotFound, "The execution does not exist."),
		on(writ.CodeTampered, "A record is missing or does not match the chain."),
	},
	Examples: example(TraceGetInput{ExecutionID: exExecution}, TraceGetOutput{
		Result: done("ok"),
		Entries: []TraceEntry{{
			Seq: 1, Timestamp: exTime, Stage: "intent", Type: writ.RecIntentReceived, Status: "received",
			ActorID: exOperator, Audit: writ.Audit{
				ActorID: exOperator, ActorType: writ.Human, TenantID: writ.DefaultTenant, WorkspaceID: writ.DefaultWorkspace, WorkflowID: string(exExecution),
				CapabilityGrants: []string{CapCore}, CapabilitySource: "token:5obvnmrys4dtmhjl", TraceID: "4bf92f3577b34da6a3ce929d0e0e4736", OnBehalfOf: []writ.PrincipalID{},
			}, Digest: exDigest, Prev: exPrev,
		}},
	}),
})

// TraceList shows which traces there are.
var TraceList = define[TraceListInput, TraceListOutput](Contract{
	Key: "controlPlane.trace.list", Kind: Query, Capability: CapAudit, Auth: User,
	CLI: "writ trace list", Title: "List traces", Idempotent: true,
	Description: "Lists the executions' journals, newest first, with the head of each chain.",
	Goal:        "Find a trace to read, verify, export or replay.",
	Context:     "At any time.",
	Examples: example(TraceListInput{}, TraceListOutput{
		Result: done("ok"),
		Items:  []TraceSummary{{ExecutionID: exExecution, Status: writ.ExecCompleted, Records: 14, Head: exDigest, CreatedAt: exTime, UpdatedAt: exTime}},
	}),
})

// TraceVerify checks a chain.
var TraceVerify = define[TraceVerifyInput, TraceVerifyOutput](Contract{
	Key: "controlPlane.trace.verify", Kind: Query, Capability: CapAudit, Auth: User,
	CLI: "writ trace verify", Title: "Verify traces", Idempotent: true,
	Description: "Computes the chain again and holds it against the signed checkpoints. What is wrong is in problems; the call itself succeeds.",
	Goal:        "Know that nothing was removed, altered or rolled back.",
	Context:     "At any time, also while executions run.",
	Errors:      []Failure{on(writ.CodeNotFound, "The execution does not exist.")},
	Examples: example(TraceVerifyInput{ExecutionID: exExecution},
		TraceVerifyOutput{Result: done("ok"), Valid: true, Records: 14, Head: exDigest, Assurance: HostSigned, Problems: []TraceProblem{}}),
})

// EvidenceExport packs a trace for somebody who does not trust this host.
var EvidenceExport = define[EvidenceExportInput, EvidenceExportOutput](Contract{
	Key: "controlPlane.evidence.export", Kind: Command, Capability: CapAudit, Auth: User,
	CLI: "writ trace export", Title: "Export evidence", Idempotent: false,
	Description: "Packs the trace, the plan, the verdicts and the approvals of an execution into one signed bundle. That it was exported is recorded.",
	Goal:        "Let somebody else verify and replay the execution, offline, with public keys alone.",
	Context:     "At any time after intent.submit; usually when the execution has ended.",
	PII:         []string{"output.bundle"},
	Errors: []Failure{
		on(writ.CodeNotFound, "The execution does not exist."),
		on(writ.CodeTampered, "The chain does not verify."),
	},
	Examples: example(EvidenceExportInput{ExecutionID: exExecution},
		EvidenceExportOutput{Result: done("exported"), Bundle: []byte("{}"), Digest: exDigest, Records: 14, Head: exPrev, Assurance: HostSigned}),
})

// EvidenceImport takes in a bundle that another host exported.
var EvidenceImport = define[EvidenceImportInput, EvidenceImportOutput](Contract{
	Key: "controlPlane.evidence.import", Kind: Command, Capability: CapAudit, Auth: Operator,
	CLI: "writ trace import", Title: "Import evidence", Idempotent: true,
	Description: "Verifies a bundle and keeps its trace for reading and replay. What is wrong with it is in problems, and then nothing is kept.",
	Goal:        "Replay on this machine what happened on another.",
	Context:     "With a bundle of evidence.export.",
	PII:         []string{"input.bundle"},
	Errors: []Failure{
		on(writ.CodeTampered, "The bundle is not signed by the host's key."),
		on(writ.CodeConflict, "Another trace with this identifier is here."),
	},
	Examples: example(EvidenceImportInput{Bundle: []byte("{}")},
		EvidenceImportOutput{Result: done("imported"), ExecutionID: exExecution, Valid: true, Records: 14, Head: exDigest, Assurance: HostSigned, Problems: []TraceProblem{}}),
})

// ReplayRun derives an execution again from what is recorded.
var ReplayRun = define[ReplayRunInput, ReplayRunOutput](Contract{
	Key: "controlPlane.replay.run", Version: "1.1.1", Kind: Query, Capability: CapAudit, Auth: User,
	CLI: "writ replay", Title: "Replay an execution", Idempotent: true,
	Description: "Compiles, judges and runs again from the recorded facts, and names the first field that differs. No effect is performed. With policyDigest, or with a skill whose version runs instead, it is a what-if.",
	Goal:        "Prove that the record explains the outcome, or see what another policy or another version of a skill would have come to.",
	Context:     "After the execution has ended. Nothing live can be reached.",
	PII:         []string{"output.report.firstDifference.recorded", "output.report.firstDifference.replayed"},
	Errors: []Failure{
		on(writ.CodeNotFound, "The execution or the policy bundle does not exist."),
		on(writ.CodeConflict, "The execution has not ended."),
		on(writ.CodeTampered, "The chain does not verify."),
		on(writ.CodeUnreplayable, "A payload that the replay needs has expired."),
		on(writ.CodeSkillRefused, "The skill of a what-if does not verify."),
	},
	Examples: example(ReplayRunInput{ExecutionID: exExecution}, ReplayRunOutput{
		Result: done("diverged"), ExecutionID: exExecution, Engine: "wazero/v1.12.0 compiler arm64",
		RecordedOn: []string{"wazero/v1.12.0 compiler amd64"},
		Report: []ReplayStage{
			{Stage: "plan", Identical: true},
			{Stage: "verify", StepID: exStep, FirstDifference: &ReplayDifference{
				Field: "/mode", Recorded: json.RawMessage(`"autonomous"`), Replayed: json.RawMessage(`"assist"`),
			}},
		},
	}),
})
