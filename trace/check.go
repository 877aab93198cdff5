package trace

import (
	"github.com/writ-run/writ"
)

// checkBatch refuses what would not fold or would not be found again.
func checkBatch(in *writ.Batch) error {
	op := "stream " + string(in.Stream)
	switch {
	case !validName(string(in.Tenant)):
		return writ.Errorf(writ.CodeInvalid, op, "the tenant must be 1 to %d letters, digits and ._-:@", maxName)
	case !validName(string(in.Stream)):
		return writ.Errorf(writ.CodeInvalid, "journal: append", "the stream must be 1 to %d letters, digits and ._-:@", maxName)
	case len(in.Records) == 0:
		return writ.Errorf(writ.CodeInvalid, op, "a batch needs a record")
	case in.Expect == writ.AnySeq && in.Stream != writ.SystemStream:
		return writ.Errorf(writ.CodeInvalid, op, "only the system journal may be appended to without a fence")
	}
	for i := range in.Records {
		if err := checkRecord(op, &in.Records[i]); err != nil {
			return err
		}
	}
	for _, c := range in.Changes {
		if !validDocumentKey(c.Key) {
			return writ.Errorf(writ.CodeInvalid, op, "a document's key must be 1 to %d bytes of UTF-8", maxDocumentKey)
		}
	}
	return nil
}

func checkRecord(op string, r *writ.NewRecord) error {
	if r.Type == "" {
		return writ.Errorf(writ.CodeInvalid, op, "a record has no type")
	}
	if !hasBody(r.Type, &r.Body) {
		return writ.Errorf(writ.CodeInvalid, op, "%s: the facts that this type needs are missing", r.Type)
	}
	if f := r.Body.Intent; f != nil && f.Workspace != "" && !validName(string(f.Workspace)) {
		return writ.Errorf(writ.CodeInvalid, op, "the workspace must be 1 to %d letters, digits and ._-:@", maxName)
	}
	for _, p := range r.Payloads {
		if len(p.Data) > maxPayload {
			return writ.Errorf(writ.CodeTooLarge, op, "payload %s has %d bytes: at most %d", p.Name, len(p.Data), maxPayload)
		}
	}
	return nil
}

// hasBody reports whether the fold can read the record.
func hasBody(t writ.RecordType, b *writ.Body) bool {
	switch t {
	case writ.RecIntentReceived, writ.RecInterpreted:
		return b.Intent != nil
	case writ.RecPlanCompiled, writ.RecPlanRejected:
		return b.Plan != nil
	case writ.RecRunStarted:
		return b.Run != nil
	case writ.RecVerdict:
		return b.Decided != nil
	case writ.RecApprovalOpened:
		return b.Approval != nil && b.Approval.Request != nil
	case writ.RecApprovalDecided, writ.RecApprovalEscalated, writ.RecApprovalExpired:
		return b.Approval != nil
	case writ.RecStepExpanded:
		return b.Expanded != nil
	case writ.RecRetryScheduled:
		return b.Retry != nil
	case writ.RecToolCalled, writ.RecToolDenied:
		return b.Call != nil
	case writ.RecDeliveryReceived, writ.RecDeliveryHandled, writ.RecDeliveryAnswered:
		return b.Delivery != nil
	case writ.RecMessageQueued, writ.RecMessageSending, writ.RecMessageSent, writ.RecMessageFailed, writ.RecMessageIndeterminate,
		writ.RecMessageDropped:
		return b.Message != nil
	case writ.RecStepFrozen:
		return b.Frozen != nil
	case writ.RecStepResolved:
		return b.Resolved != nil
	case writ.RecRunEdited:
		return b.Edit != nil
	case writ.RecCancelRequested, writ.RecExecutionEnded, writ.RecRunPaused, writ.RecRunResumed, writ.RecRunRetried:
		return b.End != nil
	}
	return true
}
