package writ

import (
	"encoding/json"

	"github.com/writ-run/writ/canon"
)

// HostPrincipal is the host where nobody asked, and where a tenant does not see who
// did. No principal that anybody makes has its id.
const HostPrincipal PrincipalID = "service:host"

// TheHost is the host's own hand in a tenant.
func TheHost(tenant TenantID) *Principal {
	return &Principal{ID: HostPrincipal, Kind: Service, Name: "the host itself", Tenant: tenant, Workspace: DefaultWorkspace, Source: "host"}
}

// Notice is a change that is the host's, as every other tenant is told of it: by a
// record of its own journal, which moves its epoch. It says who and why to nobody.
//
// It is a document of the default tenant, set in the batch of the change itself, so
// that what is in force and what others are to be told is one fact; and a document
// of each other tenant, set with the record, so that nobody is told twice and who
// was not told is found again.
type Notice struct {
	Type  RecordType  `json:"type"`
	Time  Time        `json:"time"` // of the change
	Facts SystemFacts `json:"facts"`
}

// NoticePrefix of the documents, one for each type of record: the newest counts.
const NoticePrefix = "host/notice/"

// Change is the notice's document.
func (n *Notice) Change() (Change, error) {
	raw, err := canon.MarshalJSON(n)
	return Change{Key: NoticePrefix + string(n.Type), Value: raw}, err
}

// NoticeFrom reads the document. CodeTampered where it is not one.
func NoticeFrom(doc *Document) (*Notice, error) {
	var n Notice
	if err := json.Unmarshal(doc.Value, &n); err != nil || NoticePrefix+string(n.Type) != doc.Key {
		return nil, Errorf(CodeTampered, doc.Key, "the document is no notice").WithFix("restore the store from a backup")
	}
	return &n, nil
}
