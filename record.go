package writ

import (
	"github.com/writ-run/writ/abi"
)

// RecordType is the closed vocabulary of the journal. Public events are a
// projection of records (contract.EventsOf).
type RecordType string

// The record types of an execution's journal.
const (
	RecIntentReceived    RecordType = "intent.received"
	RecInterpreted       RecordType = "intent.interpreted"
	RecPlanCompiled      RecordType = "plan.compiled"
	RecPlanRejected      RecordType = "plan.rejected"
	RecVerdict           RecordType = "verdict.decided"
	RecApprovalOpened    RecordType = "approval.opened"
	RecApprovalDecided   RecordType = "approval.decided"
	RecApprovalEscalated RecordType = "approval.escalated"
	RecApprovalExpired   RecordType = "approval.expired"
	RecRunStarted        RecordType = "run.started"
	RecStepExpanded      RecordType = "step.expanded"
	RecRunPaused         RecordType = "run.paused"
	RecRunResumed        RecordType = "run.resumed"
	RecRunRetried        RecordType = "run.retried"
	RecRunEdited         RecordType = "run.edited"
	RecStepFrozen        RecordType = "step.frozen"
	RecStepThawed        RecordType = "step.thawed"
	RecStepStarted       RecordType = "step.started"
	RecStepCompleted     RecordType = "step.completed"
	RecStepFailed        RecordType = "step.failed"
	RecStepSkipped       RecordType = "step.skipped"
	RecStepBlocked       RecordType = "step.blocked"
	RecStepRejected      RecordType = "step.rejected"
	RecStepExpired       RecordType = "step.expired"
	RecStepCancelled     RecordType = "step.cancelled"
	RecStepIndeterminate RecordType = "step.indeterminate"
	RecStepResolved      RecordType = "step.resolved"
	RecRetryScheduled    RecordType = "retry.scheduled"
	RecToolCalled        RecordType = "tool.called"
	RecToolReturned      RecordType = "tool.returned"
	RecToolDenied        RecordType = "tool.denied"
	RecCallProposed      RecordType = "call.proposed"
	RecCancelRequested   RecordType = "cancel.requested"
	RecExecutionEnded    RecordType = "execution.ended"
	RecSealed            RecordType = "execution.sealed"
)

// The record types of a delivery's journal: what a channel's provider sent, and what
// came of it.
const (
	RecDeliveryReceived RecordType = "delivery.received"
	RecDeliveryHandled  RecordType = "delivery.handled"
	// RecDeliveryAnswered is of an execution that a delivery set off: its thread is told
	// how it goes.
	RecDeliveryAnswered RecordType = "delivery.answered"
)

// The record types of a message's journal: what is to be said in a channel, and what came
// of it.
const (
	RecMessageQueued  RecordType = "message.queued"  // by an operator, too, who has it sent again
	RecMessageSending RecordType = "message.sending" // a request is about to be made
	RecMessageSent    RecordType = "message.sent"
	RecMessageFailed  RecordType = "message.failed" // it was not taken; Again says whether it is tried again
	// RecMessageIndeterminate: a request was made, and nobody knows what came of it.
	RecMessageIndeterminate RecordType = "message.indeterminate"
	RecMessageDropped       RecordType = "message.dropped" // somebody has seen that it was given up
)

// The record types of the system journal.
const (
	RecSkillInstalled   RecordType = "skill.installed"
	RecSkillRejected    RecordType = "skill.rejected"
	RecSkillStatus      RecordType = "skill.status"
	RecSkillUninstalled RecordType = "skill.uninstalled"
	RecTrustChanged     RecordType = "trust.changed"
	RecPolicyActivated  RecordType = "policy.activated"
	RecTokenCreated     RecordType = "token.created"
	RecTokenRevoked     RecordType = "token.revoked"
	RecPrincipalAdded   RecordType = "principal.added"
	RecTenantCreated    RecordType = "tenant.created" // in the default tenant's journal
	RecSecretChanged    RecordType = "secret.changed"
	RecGrantChanged     RecordType = "grant.changed"
	// RecDelegationChanged is of who decides approvals in whose place.
	RecDelegationChanged RecordType = "delegation.changed"
	RecEvidenceExported  RecordType = "evidence.exported"
	RecEvidenceImported  RecordType = "evidence.imported"
	RecDriftDetected     RecordType = "drift.detected"
	RecDriftGone         RecordType = "drift.gone"
	RecFreezeChanged     RecordType = "freeze.changed"
	RecBudgetChanged     RecordType = "budget.changed"
	RecHostAccepted      RecordType = "host.accepted"
	RecHookChanged       RecordType = "hook.changed" // tested, or sent back by hand
	RecChannelChanged    RecordType = "channel.changed"
)

// Record is one entry of a journal: a link of its hash chain. It is encoded once
// as deterministic CBOR with the JSON member names; those bytes are what is
// hashed and stored.
type Record struct {
	Tenant   TenantID     `json:"tenant"`
	Stream   StreamID     `json:"stream"`
	Seq      uint64       `json:"seq"`  // 1 for the first
	Prev     Digest       `json:"prev"` // digest of the record before; of the first, the stream's genesis
	Type     RecordType   `json:"type"`
	Time     Time         `json:"time"`
	Actor    Audit        `json:"actor"`
	Step     StepID       `json:"step,omitempty"`
	Attempt  int          `json:"attempt,omitempty"`
	Body     Body         `json:"body"`
	Payloads []PayloadRef `json:"payloads,omitempty"`
}

// PayloadRef stands in a record for bytes that are kept beside it. Digest is
// salted: it does not confirm a guess once the payload and its salt are gone.
type PayloadRef struct {
	Name   string `json:"name"` // input, output, plan, arguments, ...
	Digest Digest `json:"digest"`
	Size   int64  `json:"size"`
}

// Names of payloads.
const (
	PayloadIntent    = "intent"    // canonical JSON of the Intent
	PayloadDraft     = "draft"     // raw text of the draft
	PayloadEdits     = "edits"     // canonical JSON: the Edits of the draft
	PayloadPlan      = "plan"      // canonical JSON of the Plan
	PayloadQuestion  = "question"  // canonical JSON of the Question
	PayloadRequest   = "request"   // canonical JSON of the ApprovalRequest
	PayloadItems     = "items"     // canonical JSON: the list of forEach
	PayloadInput     = "input"     // canonical JSON
	PayloadSeed      = "seed"      // 32 bytes
	PayloadOutput    = "output"    // canonical JSON
	PayloadArguments = "arguments" // canonical JSON
	PayloadResult    = "result"    // canonical JSON
	PayloadBody      = "body"      // of a delivery, byte for byte
	PayloadMessage   = "message"   // canonical JSON of what is to be said
)

// Body holds the facts of a record. Which members are set depends on the type;
// the comments name the types.
type Body struct {
	Intent   *IntentFacts   `json:"intent,omitempty"`   // intent.received, intent.interpreted
	Plan     *CompiledFacts `json:"plan,omitempty"`     // plan.compiled, plan.rejected
	Decided  *DecidedFacts  `json:"decided,omitempty"`  // verdict.decided
	Approval *ApprovalFacts `json:"approval,omitempty"` // approval.*
	Run      *RunFacts      `json:"run,omitempty"`      // run.started
	Expanded *ExpandedFacts `json:"expanded,omitempty"` // step.expanded
	Frozen   *Freeze        `json:"frozen,omitempty"`   // step.frozen
	Started  *StartedFacts  `json:"started,omitempty"`  // step.started
	Ended    *EndedFacts    `json:"ended,omitempty"`    // step.completed ... step.indeterminate
	Retry    *RetryFacts    `json:"retry,omitempty"`    // retry.scheduled
	Call     *CalledFacts   `json:"call,omitempty"`     // tool.*, call.proposed
	Resolved *ResolvedFacts `json:"resolved,omitempty"` // step.resolved
	Edit     *EditFacts     `json:"edit,omitempty"`     // run.edited: into what; intent.received: from what
	End      *EndFacts      `json:"end,omitempty"`      // execution.ended, cancel.requested, run.paused, run.resumed, run.retried
	Seal     *SealFacts     `json:"seal,omitempty"`     // execution.sealed
	Delivery *DeliveryFacts `json:"delivery,omitempty"` // delivery.*
	Message  *MessageFacts  `json:"message,omitempty"`  // message.*
	System   *SystemFacts   `json:"system,omitempty"`   // the system journal
}

// IntentFacts are of the intent without its words, which are in the payload.
type IntentFacts struct {
	ID             IntentID    `json:"id"`
	Workspace      WorkspaceID `json:"workspace"`
	ChannelKey     string      `json:"channelKey,omitempty"`
	Origin         Origin      `json:"origin"`
	IdempotencyKey string      `json:"idempotencyKey,omitempty"`
	Source         string      `json:"source,omitempty"` // intent.interpreted: draft, template, model
	Format         string      `json:"format,omitempty"`
	Name           string      `json:"name,omitempty"`
	Principal      *Principal  `json:"principal,omitempty"`
	Grants         []Grant     `json:"grants,omitempty"`
	// Authors wrote the draft, where that was not the requester alone: they do not
	// count as approvers of what it asks for. intent.interpreted.
	Authors []PrincipalID `json:"authors,omitempty"`
}

// CompiledFacts are of a compilation.
type CompiledFacts struct {
	ID    PlanID        `json:"id,omitempty"`
	Hash  Digest        `json:"hash,omitempty"`
	Steps []PlannedStep `json:"steps,omitempty"`
	// Templates are judged with the plan, and become steps only when they must.
	Templates []PlannedStep `json:"templates,omitempty"`
	Law       Digest        `json:"law,omitempty"` // as in the plan
	Problems  []Problem     `json:"problems,omitempty"`
	// Resolutions are what the catalogue answered, so that a replay compiles
	// against the same skills whatever is installed by then.
	Resolutions []Resolution `json:"resolutions,omitempty"`
}

// Resolution is one answer of the catalogue: a pinned skill or a refusal.
type Resolution struct {
	Key        SkillKey  `json:"key"`
	Constraint string    `json:"constraint"`
	Ref        *SkillRef `json:"ref,omitempty"`
	Refusal    string    `json:"refusal,omitempty"`
	Fix        string    `json:"fix,omitempty"`
}

// PlannedStep is what a list of steps shows before anything has run.
type PlannedStep struct {
	ID     StepID   `json:"id"`
	Name   string   `json:"name"`
	Skill  SkillRef `json:"skill"`
	Action string   `json:"action"`
	Needs  []string `json:"needs,omitempty"`
	Effect Effect   `json:"effect"`
	Risk   Risk     `json:"risk"`
	// Of a step that is no step of the plan: what it is, whose it is, and the
	// template in the plan that it is made from.
	Kind     StepKind `json:"kind,omitempty"`
	Parent   StepID   `json:"parent,omitempty"`
	Template StepID   `json:"template,omitempty"`
}

// StepKind says why there is a step. The zero value is a step of the plan.
type StepKind string

// The kinds of steps that a run adds.
const (
	KindIteration    StepKind = "iteration"    // of forEach: STEP/INDEX
	KindCompensation StepKind = "compensation" // of a completed step: STEP/compensate
	KindCall         StepKind = "call"         // of skill.call: STEP/call-N
)

// ExpandedFacts are the steps that a step turned out to have. That they follow
// from the plan and from earlier outputs is what a replay shows.
type ExpandedFacts struct {
	Steps  []PlannedStep `json:"steps"`
	Labels []Label       `json:"labels,omitempty"` // of the list of forEach
	// Sequence is of the call of skill.call, in the attempt of the record.
	Sequence int `json:"sequence,omitempty"`
}

// Stages at which a verdict is decided.
const (
	StageVerify   = "verify"   // before anything runs; provisional where inputs are not known
	StageDispatch = "dispatch" // with the exact input, right before the step runs
	StageCall     = "call"     // one tool call
)

// DecidedFacts are a verdict with where it was decided.
type DecidedFacts struct {
	Stage    string  `json:"stage"`
	Verdict  Verdict `json:"verdict"`
	Advisory bool    `json:"advisory,omitempty"`
	Sequence int     `json:"sequence,omitempty"` // of the call, from 1
	// Grants are those that an attempt under way needs besides what it began with,
	// such as where one of those was revoked meanwhile.
	Grants []GrantUse `json:"grants,omitempty"`
	// Over is the budget that had no room, where that is why Verdict blocks.
	Over *BudgetUse `json:"over,omitempty"`
}

// ApprovalFacts open, decide or close an approval.
type ApprovalFacts struct {
	Digest   Digest           `json:"digest"`
	Status   ApprovalStatus   `json:"status"`            // after this record
	Request  *ApprovalRequest `json:"request,omitempty"` // approval.opened, without Input and Call.Arguments: the payload holds them
	Decision *Decision        `json:"decision,omitempty"`
}

// RunFacts start a run.
type RunFacts struct {
	ID   RunID `json:"id"`
	Mode Mode  `json:"mode"` // autonomous, or tightened to assist
	// Pins are the digests of the intent, draft and plan payloads that the run
	// began with: changing one of them alone shows, whatever is sealed again.
	Pins []PayloadRef `json:"pins"`
}

// StartedFacts pin what a step runs with.
type StartedFacts struct {
	Key      string     `json:"key"` // idempotency key of the step
	Module   Digest     `json:"module"`
	ABI      string     `json:"abi"`
	Engine   string     `json:"engine"` // "wazero/v1.12.0 amd64", and the rewriter's version
	Clock    Time       `json:"clock"`  // what the guest's clock says at its start
	Limits   abi.Limits `json:"limits"`
	Taint    []Label    `json:"taint,omitempty"`
	Policy   Digest     `json:"policy"`
	Question Digest     `json:"question"` // of the payload of the verdict that let it start
	// Grants are those that it needed, then those above them whose uses count. A
	// record from before uses were counted has none.
	Grants []GrantUse `json:"grants,omitempty"`
	// Budgets are the counts that the attempt moved.
	Budgets []BudgetUse `json:"budgets,omitempty"`
}

// EndedFacts are how a step ended.
type EndedFacts struct {
	Failure *abi.Failure `json:"failure,omitempty"`
	Reasons []Reason     `json:"reasons,omitempty"` // step.blocked
	Reason  string       `json:"reason,omitempty"`  // step.skipped, step.cancelled
	Fuel    uint64       `json:"fuel,omitempty"`
	Calls   int          `json:"calls,omitempty"`
	Labels  []Label      `json:"labels,omitempty"` // of the output
	// Trail is canon.DomainTrail over the digests of the payloads of the
	// attempt's tool records and their verdicts, in order.
	Trail Digest `json:"trail,omitempty"`
}

// RetryFacts say when the next attempt begins.
type RetryFacts struct {
	At      Time         `json:"at"`
	Failure *abi.Failure `json:"failure,omitempty"`
	Fuel    uint64       `json:"fuel,omitempty"` // that the failed attempt used
}

// CalledFacts are one tool call of a guest. Sequence counts from 1 in its
// attempt, denied calls included.
type CalledFacts struct {
	Sequence   int          `json:"sequence"`
	Tool       string       `json:"tool"`
	Effect     Effect       `json:"effect"`
	Idempotent bool         `json:"idempotent,omitempty"`
	Digest     Digest       `json:"digest"` // of tool and arguments
	Occurrence int          `json:"occurrence"`
	Key        string       `json:"key,omitempty"` // idempotency key, tool.called
	Outcome    Outcome      `json:"outcome,omitempty"`
	Failure    *abi.Failure `json:"failure,omitempty"`
	Reasons    []Reason     `json:"reasons,omitempty"` // tool.denied
	Labels     []Label      `json:"labels,omitempty"`  // of the result
	Epoch      uint64       `json:"epoch,omitempty"`   // of policy and revocations under which it was checked
	Summary    string       `json:"summary,omitempty"` // the target, for people
	Earlier    int          `json:"earlier,omitempty"` // tool.returned: the attempt that made the call; this one did not repeat it
	Cost       *Amounts     `json:"cost,omitempty"`    // tool.called: what it may take of budgets
	Budgets    []BudgetUse  `json:"budgets,omitempty"` // tool.called: the counts that it moved
	Spent      *Amounts     `json:"spent,omitempty"`   // tool.returned: what it came to, where the tool knows
}

// Ruling is an operator's word on a call whose outcome is not known.
type Ruling string

// The rulings.
const (
	RulingRetry Ruling = "retry" // it did not happen, or may happen again: it is sent under the same key
	RulingDone  Ruling = "done"  // it happened, and this is what it answered
	RulingFail  Ruling = "fail"  // the step fails
)

// ResolvedFacts are an operator's decision about an indeterminate step. The
// answer of RulingDone is the payload PayloadResult.
type ResolvedFacts struct {
	Ruling   Ruling  `json:"ruling"`
	Sequence int     `json:"sequence,omitempty"` // of the call; 0: the step wanted another write than before
	Reason   string  `json:"reason"`
	Labels   []Label `json:"labels,omitempty"` // of the answer
}

// EndFacts are how an execution ended, or why it is to be cancelled, held or
// tried again.
type EndFacts struct {
	Status ExecutionStatus `json:"status,omitempty"`
	Reason string          `json:"reason,omitempty"`
}

// SealFacts close a journal.
type SealFacts struct {
	Records uint64 `json:"records"` // before this one
}

// PolicyRolledBack is the status of a policy.activated that went back to what was
// active before.
const PolicyRolledBack = "rolled back"

// SystemFacts are one change of what belongs to no execution.
type SystemFacts struct {
	Subject string            `json:"subject"` // what changed: a skill, a key id, a token's id
	Version string            `json:"version,omitempty"`
	Digest  Digest            `json:"digest,omitempty"`
	Status  string            `json:"status,omitempty"`
	Reason  string            `json:"reason,omitempty"`
	Issues  []SkillIssue      `json:"issues,omitempty"`
	Details map[string]string `json:"details,omitempty"`
}
