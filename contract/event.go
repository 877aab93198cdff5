package contract

import (
	"encoding/json"
	"reflect"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/writ-run/writ"
)

// EventContract is what is promised of an event.
type EventContract struct {
	Key         string
	Version     string
	Title       string
	Description string
	Capability  string
	PII         []string // members of data that hold personal data
	Records     []writ.RecordType

	data reflect.Type
}

// DataSchema is the JSON Schema (2020-12) of the event's data. It must not be
// changed.
func (e *EventContract) DataSchema() *jsonschema.Schema { return schemaOf(e.data).schema }

// SchemaURI is the dataschema attribute of the event.
func (e *EventContract) SchemaURI() string { return "urn:writ:event:" + e.Key + ":" + e.Version }

// CheckData holds raw against the event's data schema. CodeInvalid.
func (e *EventContract) CheckData(raw json.RawMessage) error {
	return check(&Contract{Key: e.Key}, raw, schemaOf(e.data))
}

// IntentEvent is the data of controlPlane.intent.received.
type IntentEvent struct {
	ExecutionID writ.ExecutionID `json:"executionId"`
	IntentID    writ.IntentID    `json:"intentId"`
	WorkspaceID writ.WorkspaceID `json:"workspaceId"`
	Origin      writ.Origin      `json:"origin,omitempty"`
	ChannelKey  string           `json:"channelKey,omitempty"`
}

// PlanEvent is the data of controlPlane.plan.compiled and .rejected.
type PlanEvent struct {
	ExecutionID       writ.ExecutionID `json:"executionId"`
	PlanID            writ.PlanID      `json:"planId,omitempty"`
	DeterministicHash writ.Digest      `json:"deterministicHash,omitempty"`
	StepCount         int              `json:"stepCount"`
	Problems          []Problem        `json:"problems,omitempty"`
}

// ApprovalEvent is the data of controlPlane.approval.*.
type ApprovalEvent struct {
	ExecutionID writ.ExecutionID    `json:"executionId"`
	StepID      writ.StepID         `json:"stepId"`
	Digest      writ.Digest         `json:"digest"`
	Status      writ.ApprovalStatus `json:"status"`
	Summary     string              `json:"summary,omitempty"`
	RiskTier    writ.Risk           `json:"riskTier,omitempty"`
	Required    int                 `json:"required,omitempty"`
	DecideBy    writ.Time           `json:"decideBy,omitempty"`
	DecidedBy   writ.PrincipalID    `json:"decidedBy,omitempty"`
	Note        string              `json:"note,omitempty"`
}

// StepEvent is the data of controlPlane.execution.step.*. The members that name
// the action are absent where the projection does not know the plan.
type StepEvent struct {
	ExecutionID writ.ExecutionID `json:"executionId"`
	StepID      writ.StepID      `json:"stepId"`
	Attempt     int              `json:"attempt"`
	Name        string           `json:"name,omitempty"`
	Skill       writ.SkillKey    `json:"skill,omitempty"`
	Version     string           `json:"version,omitempty"`
	Action      string           `json:"action,omitempty"`
	Failure     *StepFailure     `json:"failure,omitempty"`
	Reasons     []Reason         `json:"reasons,omitempty"`
	Reason      string           `json:"reason,omitempty"`
	Calls       int              `json:"calls,omitempty"`
	Fuel        uint64           `json:"fuel,omitempty"`
}

// ToolEvent is the data of controlPlane.execution.tool.*. Arguments and results
// stay in the trace.
type ToolEvent struct {
	ExecutionID writ.ExecutionID `json:"executionId"`
	StepID      writ.StepID      `json:"stepId"`
	Attempt     int              `json:"attempt"`
	Sequence    int              `json:"sequence"`
	Tool        string           `json:"tool"`
	Effect      writ.Effect      `json:"effect,omitempty"`
	Digest      writ.Digest      `json:"digest,omitempty"`
	Summary     string           `json:"summary,omitempty"`
	Outcome     writ.Outcome     `json:"outcome,omitempty"`
	Failure     *StepFailure     `json:"failure,omitempty"`
	Reasons     []Reason         `json:"reasons,omitempty"`
}

// ExecutionEvent is the data of the events that end an execution, hold it or let
// it go on.
type ExecutionEvent struct {
	ExecutionID writ.ExecutionID     `json:"executionId"`
	Status      writ.ExecutionStatus `json:"status"`
	Reason      string               `json:"reason,omitempty"`
}

// SkillEvent is the data of controlPlane.skill.installed and .rejected. A
// rejected bundle may not have told its key.
type SkillEvent struct {
	SkillKey string       `json:"skillKey"`
	Version  string       `json:"version,omitempty"`
	Digest   writ.Digest  `json:"digest,omitempty"`
	Issues   []SkillIssue `json:"issues,omitempty"`
}

// PolicyEvent is the data of controlPlane.policy.activated.
type PolicyEvent struct {
	Digest  writ.Digest `json:"digest"`
	Version string      `json:"version,omitempty"`
	Reason  string      `json:"reason,omitempty"`

	Layer      writ.Layer  `json:"layer,omitempty" jsonschema:"In which it is active now."`
	InForce    writ.Digest `json:"inForce,omitempty" jsonschema:"What verdicts name from now on."`
	Previous   writ.Digest `json:"previous,omitempty" jsonschema:"What was active in the layer."`
	RolledBack bool        `json:"rolledBack,omitempty" jsonschema:"It was active before. Where nothing is active in the layer any more, digest is what is in force."`
}

// Keys of the events.
const (
	EventIntentReceived       = "controlPlane.intent.received"
	EventPlanCompiled         = "controlPlane.plan.compiled"
	EventPlanRejected         = "controlPlane.plan.rejected"
	EventApprovalRequested    = "controlPlane.approval.requested"
	EventApprovalGranted      = "controlPlane.approval.granted"
	EventApprovalRejected     = "controlPlane.approval.rejected"
	EventApprovalEscalated    = "controlPlane.approval.escalated"
	EventApprovalExpired      = "controlPlane.approval.expired"
	EventStepStarted          = "controlPlane.execution.step.started"
	EventStepBlocked          = "controlPlane.execution.step.blocked"
	EventStepCompleted        = "controlPlane.execution.step.completed"
	EventStepFailed           = "controlPlane.execution.step.failed"
	EventStepSkipped          = "controlPlane.execution.step.skipped"
	EventStepIndeterminate    = "controlPlane.execution.step.indeterminate"
	EventStepFrozen           = "controlPlane.execution.step.frozen"
	EventStepThawed           = "controlPlane.execution.step.thawed"
	EventToolCalled           = "controlPlane.execution.tool.called"
	EventToolReturned         = "controlPlane.execution.tool.returned"
	EventToolDenied           = "controlPlane.execution.tool.denied"
	EventExecutionCompleted   = "controlPlane.execution.completed"
	EventExecutionFailed      = "controlPlane.execution.failed"
	EventExecutionCancelled   = "controlPlane.execution.cancelled"
	EventExecutionExpired     = "controlPlane.execution.expired"
	EventExecutionPaused      = "controlPlane.execution.paused"
	EventExecutionResumed     = "controlPlane.execution.resumed"
	EventExecutionEdited      = "controlPlane.execution.edited"
	EventSkillInstalled       = "controlPlane.skill.installed"
	EventSkillRejected        = "controlPlane.skill.rejected"
	EventPolicyActivated      = "controlPlane.policy.activated"
	EventDriftDetected        = "controlPlane.drift.detected"
	EventFreezeChanged        = "controlPlane.freeze.changed"
	EventBudgetChanged        = "controlPlane.budget.changed"
	EventBudgetExhausted      = "controlPlane.budget.exhausted"
	EventChannelChanged       = "controlPlane.channel.changed"
	EventChannelReceived      = "controlPlane.channel.received"
	EventChannelHandled       = "controlPlane.channel.handled"
	EventChannelAnswered      = "controlPlane.channel.answered"
	EventMessageQueued        = "controlPlane.channel.message.queued"
	EventMessageSent          = "controlPlane.channel.message.sent"
	EventMessageFailed        = "controlPlane.channel.message.failed"
	EventMessageIndeterminate = "controlPlane.channel.message.indeterminate"
	EventMessageDropped       = "controlPlane.channel.message.dropped"
	EventGrantGlassBroken     = "controlPlane.grant.glassBroken"
	EventGrantReviewed        = "controlPlane.grant.reviewed"
)

// words are an event's title and description.
type words [2]string

func event[Data any](key, capability string, w words, records ...writ.RecordType) *EventContract {
	return &EventContract{
		Key: key, Version: "1.0.0", Title: w[0], Description: w[1], Capability: capability,
		Records: records, data: reflect.TypeFor[Data](),
	}
}

// at sets the version of an event that has grown.
func (e *EventContract) at(version string) *EventContract {
	e.Version = version
	return e
}

func (e *EventContract) pii(members ...string) *EventContract {
	e.PII = members
	return e
}

var events = []*EventContract{
	event[IntentEvent](EventIntentReceived, CapCore, words{"Intent received", "An intent is durable."}, writ.RecIntentReceived),
	event[PlanEvent](EventPlanCompiled, CapCore, words{"Plan compiled", "A draft became a plan."}, writ.RecPlanCompiled),
	event[PlanEvent](EventPlanRejected, CapCore, words{"Plan rejected", "A draft does not compile."}, writ.RecPlanRejected),
	event[ApprovalEvent](EventApprovalRequested, CapApproval, words{"Approval requested", "A step waits for a person."}, writ.RecApprovalOpened).pii("summary"),
	event[ApprovalEvent](EventApprovalGranted, CapApproval, words{"Approval granted", "Enough people approved. An approval that does not yet suffice is in the trace alone."}, writ.RecApprovalDecided).pii("decidedBy", "note"),
	event[ApprovalEvent](EventApprovalRejected, CapApproval, words{"Approval rejected", "A person said no."}, writ.RecApprovalDecided).pii("decidedBy", "note"),
	event[ApprovalEvent](EventApprovalEscalated, CapApproval, words{"Approval escalated", "Nobody decided in time; others are asked."}, writ.RecApprovalEscalated),
	event[ApprovalEvent](EventApprovalExpired, CapApproval, words{"Approval expired", "The deadline passed: the step does not run."}, writ.RecApprovalExpired),
	event[StepEvent](EventStepStarted, CapCore, words{"Step started", "An attempt of a step began."}, writ.RecStepStarted).at("1.1.0"),
	event[StepEvent](EventStepBlocked, CapCore, words{"Step blocked", "The policy blocks the step."}, writ.RecStepBlocked).at("1.1.0"),
	event[StepEvent](EventStepCompleted, CapCore, words{"Step completed", "A step has its output."}, writ.RecStepCompleted).at("1.1.0"),
	event[StepEvent](EventStepFailed, CapCore, words{"Step failed", "A step has failed for good."}, writ.RecStepFailed).at("1.1.0"),
	event[StepEvent](EventStepSkipped, CapCore, words{"Step skipped", "A step's condition is false, or what it needs did not complete."}, writ.RecStepSkipped).at("1.1.0"),
	event[StepEvent](EventStepIndeterminate, CapCore, words{"Step indeterminate", "An effect began and its outcome is not known: an operator decides."}, writ.RecStepIndeterminate).at("1.1.0"),
	event[StepEvent](EventStepFrozen, CapCore, words{"Step frozen", "The kill switch holds a step that would begin or go on; reason says by whom and why."}, writ.RecStepFrozen).pii("reason"),
	event[StepEvent](EventStepThawed, CapCore, words{"Step thawed", "What held the step does so no longer: it is judged again and goes on."}, writ.RecStepThawed),
	event[ToolEvent](EventToolCalled, CapAudit, words{"Tool called", "A call is about to be made."}, writ.RecToolCalled).pii("summary").at("1.1.0"),
	event[ToolEvent](EventToolReturned, CapAudit, words{"Tool returned", "A call came back."}, writ.RecToolReturned).pii("summary").at("1.1.0"),
	event[ToolEvent](EventToolDenied, CapAudit, words{"Tool denied", "A call was not allowed."}, writ.RecToolDenied).pii("summary").at("1.1.0"),
	event[ExecutionEvent](EventExecutionCompleted, CapCore, words{"Execution completed", "Every step is done."}, writ.RecExecutionEnded),
	event[ExecutionEvent](EventExecutionFailed, CapCore, words{"Execution failed", "The execution ended without being done: failed, blocked or rejected, as status says."}, writ.RecExecutionEnded),
	event[ExecutionEvent](EventExecutionCancelled, CapCore, words{"Execution cancelled", "Somebody cancelled the execution."}, writ.RecExecutionEnded),
	event[ExecutionEvent](EventExecutionExpired, CapCore, words{"Execution expired", "A deadline of the execution passed."}, writ.RecExecutionEnded),
	event[ExecutionEvent](EventExecutionPaused, CapCore, words{"Execution paused", "An operator holds the execution."}, writ.RecRunPaused).pii("reason"),
	event[ExecutionEvent](EventExecutionResumed, CapCore, words{"Execution resumed", "An operator lets the execution go on: after a pause, after it had ended, or by deciding about an indeterminate step, which the subject then names."}, writ.RecRunResumed, writ.RecRunRetried, writ.RecStepResolved).pii("reason"),
	event[EditEvent](EventExecutionEdited, CapCore, words{"Execution edited", "Somebody edited what waited: another execution goes on in its place, and nothing that was approved carries over."}, writ.RecRunEdited).pii("reason"),
	event[SkillEvent](EventSkillInstalled, CapSkillRegistry, words{"Skill installed", "A skill was verified and installed."}, writ.RecSkillInstalled),
	event[SkillEvent](EventSkillRejected, CapSkillRegistry, words{"Skill rejected", "Verification found issues; nothing was installed."}, writ.RecSkillRejected),
	event[PolicyEvent](EventPolicyActivated, CapCore, words{"Policy activated", "Another bundle decides from now on."}, writ.RecPolicyActivated).pii("reason").at("1.1.0"),
	event[DriftFinding](EventDriftDetected, CapAudit, words{"Drift detected", "Something is no longer as it was approved. It is said once for each finding, and again where it had been gone."}, writ.RecDriftDetected).at("1.0.2"),
	event[FreezeEvent](EventFreezeChanged, CapCore, words{"Freeze changed", "Something was frozen or unfrozen, as status says."}, writ.RecFreezeChanged).pii("subject", "reason"),
	event[BudgetEvent](EventBudgetChanged, CapCore, words{"Budget changed", "A budget was set or removed, as status says."}, writ.RecBudgetChanged).pii("subject", "reason"),
	event[ExhaustedEvent](EventBudgetExhausted, CapCore, words{"Budget exhausted", "A budget has refused a step or a call for the first time in its span. Others that it refuses until it begins again are in their traces alone."}, writ.RecVerdict).pii("subject"),
	event[ChannelEvent](EventChannelChanged, CapChannelRuntime, words{"Channel changed", "A channel was added, replaced, removed or tested, as status says."}, writ.RecChannelChanged).pii("reason").at("1.0.1"),
	event[DeliveryEvent](EventChannelReceived, CapChannelRuntime, words{"Delivery received", "What a provider signed is durable. It is said once, however often the provider sends it."}, writ.RecDeliveryReceived).pii("outcomes.answer").at("1.1.0"),
	event[DeliveryEvent](EventChannelHandled, CapChannelRuntime, words{"Delivery handled", "What came of each message of a delivery."}, writ.RecDeliveryHandled).pii("outcomes.sender", "outcomes.principal", "outcomes.message", "outcomes.answer").at("1.1.0"),
	event[DeliveryEvent](EventChannelAnswered, CapChannelRuntime, words{"Thread answered", "The thread in which an execution was asked for is told how it goes: that it waits for a person, or how it ended."}, writ.RecDeliveryAnswered).pii("outcomes.principal", "outcomes.answer"),
	event[MessageEvent](EventMessageQueued, CapChannelRuntime, words{"Message queued", "Something is to be said in a channel, for the first time or because an operator has it sent again."}, writ.RecMessageQueued).pii("thread", "reason"),
	event[MessageEvent](EventMessageSent, CapChannelRuntime, words{"Message sent", "A provider took what was to be said."}, writ.RecMessageSent).pii("thread"),
	event[MessageEvent](EventMessageFailed, CapChannelRuntime, words{"Message failed", "A provider did not take what was to be said; again says when it is tried next, and without it somebody decides."}, writ.RecMessageFailed).pii("thread", "why"),
	event[MessageEvent](EventMessageIndeterminate, CapChannelRuntime, words{"Message indeterminate", "A request was made and nobody knows what came of it: it is not sent again by itself."}, writ.RecMessageIndeterminate).pii("thread", "why"),
	event[MessageEvent](EventMessageDropped, CapChannelRuntime, words{"Message dropped", "Somebody has looked at a message that was given up, and it is not said."}, writ.RecMessageDropped).pii("thread", "reason"),
	event[GrantEvent](EventGrantGlassBroken, CapAudit, words{"Glass broken", "Somebody was given a grant in an emergency. Who gave it is the actor."}, writ.RecGrantChanged).pii("principalId", "reason"),
	event[GrantEvent](EventGrantReviewed, CapAudit, words{"Break-glass reviewed", "Another person has reviewed a grant that was given in an emergency; reason is what they wrote."}, writ.RecGrantChanged).pii("principalId", "reason"),
}

// Events lists the event contracts, in the order in which the documents show
// them.
func Events() []*EventContract { return append([]*EventContract(nil), events...) }

// LookupEvent finds an event contract by key.
func LookupEvent(key string) (*EventContract, bool) {
	for _, e := range events {
		if e.Key == key {
			return e, true
		}
	}
	return nil, false
}
