package writ

import "encoding/json"

// Event is a CloudEvents 1.0 event in the JSON format, with Writ's extension
// attributes. See contract.EventsOf for which records become which events.
type Event struct {
	SpecVersion string          `json:"specversion"` // 1.0
	ID          string          `json:"id"`
	Source      string          `json:"source"`
	Type        string          `json:"type"` // contract key: controlPlane.plan.compiled
	Subject     string          `json:"subject"`
	Time        Time            `json:"time"`
	DataSchema  string          `json:"dataschema"`
	ContentType string          `json:"datacontenttype"`
	Data        json.RawMessage `json:"data"`

	Tenant           TenantID    `json:"tenant"`
	Actor            PrincipalID `json:"actor"`
	Session          string      `json:"session,omitempty"`
	CapabilitySource string      `json:"capabilitysource"`
	TraceParent      string      `json:"traceparent"`
	Seq              uint64      `json:"seq"`
	PrevDigest       Digest      `json:"prevdigest"`
}
