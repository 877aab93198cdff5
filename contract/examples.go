package contract

import (
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

// Values of the examples: deterministic, and of the right form.
var (
	exTime      = canon.TimeOf(time.Date(2026, time.March, 1, 9, 30, 0, 0, time.UTC))
	exLater     = exTime.Add(time.Hour)
	exExecution = writ.ExecutionID(canon.ID("exe", canon.DomainExecution, []byte("example")))
	exEdited    = writ.ExecutionID(canon.ID("exe", canon.DomainExecution, []byte("edited")))
	exIntent    = writ.IntentID(canon.ID("int", canon.DomainIntent, []byte("example")))
	exPlan      = writ.PlanID(canon.ID("pln", canon.DomainPlan, []byte("example")))
	exStep      = writ.StepID(canon.ID("stp", canon.DomainStep, []byte("example")))
	exRun       = writ.RunID(canon.ID("run", canon.DomainRun, []byte("example")))
	exDigest    = canon.Sum(canon.DomainPlan, []byte("example"))
	exPrev      = canon.Sum(canon.DomainRecord, []byte("example"))
)

const (
	exKey      = writ.SkillKey("acme/notes")
	exOperator = writ.PrincipalID("ada")
	exPEM      = "-----BEGIN PUBLIC KEY-----\n...\n-----END PUBLIC KEY-----\n"
)

func done(status string) Result { return Result{Status: status, ChangedAt: exTime} }

func example(in, out any) []Example {
	return []Example{{Name: "typical", Input: in, Output: out}}
}

func exampleStep() Step {
	return Step{
		ID: exStep, Name: "file", Skill: exKey, Version: "1.2.0", Action: "create",
		Status: writ.StepCompleted, Attempt: 1, Effect: "write-local", RiskTier: writ.RiskLow,
		Mode: writ.Autonomous, StartedAt: exTime, EndedAt: exTime,
	}
}

func exampleExecution() Execution {
	return Execution{
		ExecutionID: exExecution, WorkspaceID: "default", IntentID: exIntent, PlanID: exPlan, RunID: exRun,
		Status: writ.ExecCompleted, RiskTier: writ.RiskLow, Steps: []Step{exampleStep()},
		CreatedAt: exTime, UpdatedAt: exTime,
	}
}

func exampleApproval() Approval {
	return Approval{
		ExecutionID: exExecution, StepID: exStep, Digest: exDigest, Status: writ.ApprovalPending,
		DecideBy: exLater, Summary: "POST https://api.example.com/issues", Required: 1,
		OpenedAt: exTime,
	}
}

func exampleReport() SkillReport {
	return SkillReport{
		SkillKey: exKey, Version: "1.2.0", Publisher: "acme", Verified: true, SignatureVerified: true,
		PublisherTrusted: true, ProvenanceVerified: true, CompatibilityVerified: true, ManifestDigest: exDigest,
		Provenance: &Provenance{BuilderID: "https://ci.example.com/builder", Repository: "https://git.example.com/acme/notes"},
	}
}

func exampleImpact() *StoredImpact {
	out := &StoredImpact{Complete: true}
	out.Add(&ExecutionImpact{
		ExecutionID: exExecution, ReceivedAt: exTime, Versions: []string{"1.1.0"},
		Differences: []ImpactDifference{{
			ExecutionID: exExecution, StepID: exStep, Step: "file", Action: string(exKey) + "#create", Version: "1.1.0", Kind: ImpactOutput,
			Field: "/title", Recorded: []byte(`"milk"`), Candidate: []byte(`"Milk"`),
		}},
	})
	return out
}
