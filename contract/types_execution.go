package contract

import "github.com/writ-run/writ"

// IntentSubmitInput is the input of IntentSubmit.
type IntentSubmitInput struct {
	WorkspaceID    writ.WorkspaceID `json:"workspaceId"`
	Text           string           `json:"text" jsonschema:"What is wanted, in words. Data, never an instruction to the host."`
	ActorID        writ.PrincipalID `json:"actorId,omitempty" jsonschema:"Must equal the caller or one it acts for."`
	ChannelKey     string           `json:"channelKey,omitempty"`
	Origin         writ.Origin      `json:"origin,omitempty" jsonschema:"Who wrote the words; absent: derived from the caller's kind."`
	Metadata       Object           `json:"metadata,omitempty"`
	TraceID        string           `json:"traceId,omitempty" jsonschema:"W3C trace id, 32 hexadecimal digits; absent: derived."`
	IdempotencyKey string           `json:"idempotencyKey,omitempty" jsonschema:"The same key again answers with the same execution."`
	Draft          string           `json:"draft,omitempty" jsonschema:"Text of an explicit draft (apiVersion writ/v1, kind Plan)."`
	DraftFormat    string           `json:"draftFormat,omitempty" jsonschema:"yaml (default) or json."`
	DraftName      string           `json:"draftName,omitempty" jsonschema:"File name for messages."`
	Run            bool             `json:"run,omitempty" jsonschema:"Compile the draft, verify the plan and start it in the same request."`
	Mode           RunMode          `json:"mode,omitempty" jsonschema:"With run: as in execution.start."`
	Wait           bool             `json:"wait,omitempty" jsonschema:"With run: answer when the execution has ended or waits for a person."`
}

// IntentSubmitOutput is the output of IntentSubmit. The plan and the run are
// there where run was set.
type IntentSubmitOutput struct {
	Result
	ExecutionID       writ.ExecutionID `json:"executionId"`
	IntentID          writ.IntentID    `json:"intentId"`
	PlanID            writ.PlanID      `json:"planId,omitempty"`
	DeterministicHash writ.Digest      `json:"deterministicHash,omitempty"`
	RunID             writ.RunID       `json:"runId,omitempty"`
}

// PlanCompileInput is the input of PlanCompile.
type PlanCompileInput struct {
	ExecutionID  writ.ExecutionID `json:"executionId"`
	IntentID     writ.IntentID    `json:"intentId"`
	PlannerModel string           `json:"plannerModel,omitempty"`
	Draft        string           `json:"draft,omitempty" jsonschema:"Replaces the draft of the intent."`
	DraftFormat  string           `json:"draftFormat,omitempty" jsonschema:"yaml (default) or json."`
	DraftName    string           `json:"draftName,omitempty"`
}

// PlanCompileOutput is the output of PlanCompile.
type PlanCompileOutput struct {
	Result
	PlanID            writ.PlanID `json:"planId"`
	CompiledAt        writ.Time   `json:"compiledAt"`
	StepCount         int         `json:"stepCount"`
	DeterministicHash writ.Digest `json:"deterministicHash" jsonschema:"The same intent, draft, skills and policy give the same hash on any machine."`
}

// PlanVerifyInput is the input of PlanVerify.
type PlanVerifyInput struct {
	ExecutionID   writ.ExecutionID `json:"executionId"`
	PlanID        writ.PlanID      `json:"planId"`
	PolicyVersion string           `json:"policyVersion,omitempty" jsonschema:"A version or digest that is not active gives an advisory verdict, which starts nothing."`
}

// PlanVerifyOutput is the output of PlanVerify.
type PlanVerifyOutput struct {
	Result
	Verdict          writ.Mode `json:"verdict" jsonschema:"The strictest of the steps."`
	RequiresApproval bool      `json:"requiresApproval"`
	BlockedReasons   []Reason  `json:"blockedReasons,omitempty"`
	VerifiedAt       writ.Time `json:"verifiedAt"`
	Advisory         bool      `json:"advisory,omitempty"`
}

// ExecutionStartInput is the input of ExecutionStart.
type ExecutionStartInput struct {
	ExecutionID writ.ExecutionID `json:"executionId"`
	PlanID      writ.PlanID      `json:"planId"`
	Mode        RunMode          `json:"mode,omitempty" jsonschema:"May only tighten what the policy allows."`
	Wait        bool             `json:"wait,omitempty" jsonschema:"Answer when the execution has ended or waits for a person."`
}

// ExecutionStartOutput is the output of ExecutionStart.
type ExecutionStartOutput struct {
	Result
	RunID writ.RunID `json:"runId"`
}

// ExecutionApproveInput is the input of ExecutionApprove.
type ExecutionApproveInput struct {
	ExecutionID    writ.ExecutionID `json:"executionId"`
	StepID         writ.StepID      `json:"stepId"`
	ApprovalDigest writ.Digest      `json:"approvalDigest" jsonschema:"What the approver saw."`
	ApprovedBy     writ.PrincipalID `json:"approvedBy,omitempty" jsonschema:"Must equal the caller."`
	For            writ.PrincipalID `json:"for,omitempty" jsonschema:"The absent person who has delegated to the caller; absent: the caller decides as itself."`
	Note           string           `json:"note,omitempty"`
	Signature      []byte           `json:"signature,omitempty" jsonschema:"DSSE envelope of the approver's key over the approval statement, base64."`
}

// ExecutionApproveOutput is the output of ExecutionApprove. Status is that of
// the approval: pending while more people must approve.
type ExecutionApproveOutput struct {
	Result
	Granted  int     `json:"granted" jsonschema:"How many different people have approved."`
	Required int     `json:"required"`
	Missing  []Seats `json:"missing,omitempty" jsonschema:"Of which roles people must still approve."`
}

// ExecutionRejectInput is the input of ExecutionReject.
type ExecutionRejectInput struct {
	ExecutionID    writ.ExecutionID `json:"executionId"`
	StepID         writ.StepID      `json:"stepId"`
	ApprovalDigest writ.Digest      `json:"approvalDigest,omitempty" jsonschema:"Absent: whatever is pending for the step."`
	RejectedBy     writ.PrincipalID `json:"rejectedBy,omitempty" jsonschema:"Must equal the caller."`
	For            writ.PrincipalID `json:"for,omitempty" jsonschema:"The absent person who has delegated to the caller; absent: the caller decides as itself."`
	Reason         string           `json:"reason"`
	Signature      []byte           `json:"signature,omitempty" jsonschema:"DSSE envelope over the rejection, base64; only who is known by a channel alone needs one, of the host's key."`
}

// ExecutionRejectOutput is the output of ExecutionReject.
type ExecutionRejectOutput struct {
	Result
}

// ExecutionCancelInput is the input of ExecutionCancel.
type ExecutionCancelInput struct {
	ExecutionID writ.ExecutionID `json:"executionId"`
	CancelledBy writ.PrincipalID `json:"cancelledBy,omitempty" jsonschema:"Must equal the caller."`
	Reason      string           `json:"reason,omitempty"`
}

// ExecutionCancelOutput is the output of ExecutionCancel.
type ExecutionCancelOutput struct {
	Result
}

// ExecutionExpireInput is the input of ExecutionExpire.
type ExecutionExpireInput struct {
	ExecutionID    writ.ExecutionID `json:"executionId"`
	StepID         writ.StepID      `json:"stepId"`
	ApprovalDigest writ.Digest      `json:"approvalDigest"`
}

// ExecutionExpireOutput is the output of ExecutionExpire.
type ExecutionExpireOutput struct {
	Result
}

// ExecutionGetInput is the input of ExecutionGet.
type ExecutionGetInput struct {
	ExecutionID    writ.ExecutionID `json:"executionId"`
	IncludeOutputs bool             `json:"includeOutputs,omitempty"`
}

// ExecutionGetOutput is the output of ExecutionGet.
type ExecutionGetOutput struct {
	Result
	Execution Execution `json:"execution"`
}

// ExecutionListInput is the input of ExecutionList.
type ExecutionListInput struct {
	WorkspaceID writ.WorkspaceID     `json:"workspaceId,omitempty"`
	Status      writ.ExecutionStatus `json:"status,omitempty"`
	RiskTier    writ.Risk            `json:"riskTier,omitempty"`
	Page
}

// Page bounds a list.
type Page struct {
	Limit  int    `json:"limit,omitempty" jsonschema:"At most 500; absent: 50."`
	Cursor string `json:"cursor,omitempty" jsonschema:"nextCursor of the page before."`
}

// ExecutionListOutput is the output of ExecutionList, newest first.
type ExecutionListOutput struct {
	Result
	Items      []Execution `json:"items"`
	NextCursor string      `json:"nextCursor,omitempty"`
}
