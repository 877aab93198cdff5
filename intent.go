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
	LabelStored    Label = "stored"  // kv and files without a kept label
	LabelSecret    Label = "secret"  // what came back where a secret was sent along
	LabelPrivate   Label = "private" // what an action says of its output, and what the host's files hold
)

// Trusted reports whether data of this label may reach a sink unseen.
func (l Label) Trusted() bool { return l == LabelOperator || l == LabelPrincipal }

// Private reports whether the label says who may know the data, not who wrote it.
func (l Label) Private() bool { return l == LabelPrivate || l == LabelSecret }

// Lethal reports whether data of these labels may not leave the host by itself:
// some of it is private, and somebody who is not trusted wrote some of it. Data
// that nobody vouches for was written by nobody who is trusted.
func Lethal(labels []Label) bool {
	private, vouched, untrusted := false, false, false
	for _, l := range labels {
		switch {
		case l.Private():
			private = true
		case l.Trusted():
			vouched = true
		default:
			untrusted = true
		}
	}
	return private && (untrusted || !vouched)
}

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
