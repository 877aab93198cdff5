package engine_test

import (
	"reflect"
	"testing"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// TestATraceSaysOfEachEntryWhoDidItAndForWhom: every audit field, of everything that
// belongs to one governed execution.
func TestATraceSaysOfEachEntryWhoDidItAndForWhom(t *testing.T) {
	r := newRig(t)
	asker := *agent
	asker.OnBehalfOf, asker.Session = []writ.PrincipalID{"human:bob", "service:ci"}, "sess_1"
	asker.Capabilities, asker.Source = []string{contract.CapCore, contract.CapAudit}, "token:abc"
	id := r.begin(&asker, post)
	r.approve(approver, id)
	r.expect(id, writ.ExecCompleted)
	out, err := r.journal.TraceGet(as(operator), &contract.TraceGetInput{ExecutionID: id})
	r.do(err)
	byAgent := writ.Audit{
		ActorID: agent.ID, ActorType: writ.Agent, TenantID: writ.DefaultTenant, WorkspaceID: writ.DefaultWorkspace, SessionID: "sess_1",
		WorkflowID: string(id), CapabilityGrants: []string{contract.CapCore, contract.CapAudit}, CapabilitySource: "token:abc",
		TraceID: r.state(id).TraceID, OnBehalfOf: []writ.PrincipalID{"human:bob", "service:ci"},
	}
	people := 0
	for _, e := range out.Entries {
		want := byAgent
		if e.Type == writ.RecApprovalDecided {
			people++
			want.ActorID, want.ActorType, want.SessionID, want.CapabilitySource = approver.ID, writ.Human, "", ""
			want.CapabilityGrants, want.OnBehalfOf = []string{}, []writ.PrincipalID{}
		}
		if e.ActorID != want.ActorID || !reflect.DeepEqual(e.Audit, want) {
			t.Errorf("%d %s:\n%+v\nwant\n%+v", e.Seq, e.Type, e.Audit, want)
		}
	}
	if len(out.Entries) < 10 || people != 1 || byAgent.TraceID == "" {
		t.Fatalf("%d entries, %d of people, trace %q", len(out.Entries), people, byAgent.TraceID)
	}
}
