package writ

import "encoding/json"

// Origin is the kind of author whose words became the intent. The zero value is
// unknown and is treated like a channel: untrusted.
type Origin string

// The origins.
const (
	OriginHuman      Origin = "human"
	OriginModel      Origin = "model"
	OriginAutomation Origin = "automation"
	OriginChannel    Origin = "channel"
)

// Intent is what somebody wants, before it is a plan. Text and Metadata are
// data, never instructions to the host.
type Intent struct {
	ID         IntentID        `json:"id"`
	Execution  ExecutionID     `json:"executionId"`
	Tenant     TenantID        `json:"tenantId"`
	Workspace  WorkspaceID     `json:"workspaceId"`
	Text       string          `json:"text"`
	Actor      PrincipalID     `json:"actorId"`
	ChannelKey string          `json:"channelKey,omitempty"`
	Origin     Origin          `json:"origin"`
	Metadata   json.RawMessage `json:"metadata,omitempty"` // canonical JSON object
	TraceID    string          `json:"traceId"`            // 32 hexadecimal digits, W3C trace context
	ReceivedAt Time            `json:"receivedAt"`
}

// Interpretation is how an intent became a draft. Raw is kept so that a replay
// never asks an interpreter again.
type Interpretation struct {
	Source string `json:"source"` // draft, template or model
	Format string `json:"format"` // yaml or json
	Name   string `json:"name"`   // file name for messages
	Raw    []byte `json:"-"`      // the draft's text as it came
}

// Label says where data came from. What has no label is untrusted.
type Label string

// The labels of this version.
const (
	LabelOperator  Label = "operator"
	LabelPrincipal Label = "principal"
	LabelChannel   Label = "channel"
	LabelHTTP      Label = "http"
	LabelModel     Label = "model"
	LabelSecret    Label = "secret"
	LabelStored    Label = "stored" // kv and files without a kept label
)

// Trusted reports whether data of this label may reach a sink unseen.
func (l Label) Trusted() bool { return l == LabelOperator || l == LabelPrincipal }

// Label is the label of what an author of this origin wrote.
func (o Origin) Label() Label {
	switch o {
	case OriginHuman, OriginAutomation:
		return LabelPrincipal
	case OriginModel:
		return LabelModel
	}
	return LabelChannel
}

// JoinLabels is the sorted union of the sets.
func JoinLabels(sets ...[]Label) []Label {
	return sortedUnion(sets...)
}
