package engine

import (
	"context"
	"errors"
	"slices"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// ApprovalApprove is the handler of contract.ApprovalApprove. Everything is looked
// at before anything is decided: CodeConflict where an item is of another action or
// is asked because of other rules, CodeForbidden where a signature is not the
// caller's. An item that cannot be decided any more is reported.
func (e *Engine) ApprovalApprove(ctx context.Context, in *contract.ApprovalApproveInput) (*contract.ApprovalApproveOutput, error) {
	p, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, err
	}
	rules := slices.Compact(slices.Sorted(slices.Values(in.Rules)))
	switch {
	case len(in.Items) > contract.MaxBulk:
		return nil, &writ.Error{Code: writ.CodeTooLarge, Op: "approve", Place: "items", Message: "are more than 200", Fix: "approve fewer at once"}
	case len(in.Items) == 0 || in.Template == "" || len(rules) == 0:
		return nil, &writ.Error{Code: writ.CodeInvalid, Op: "approve", Place: "items", Message: "an action, its rules and at least one item must be named", Fix: "see `writ approval list`"}
	}
	found := make([]*execution, len(in.Items))
	for i := range in.Items {
		item := &in.Items[i]
		if _, err := e.Approvals.VerifyApproval(ctx, p, writ.Word{Digest: item.ApprovalDigest, For: in.For}, item.Signature); err != nil {
			return nil, err
		}
		if found[i], err = e.open(ctx, p.Tenant, item.ExecutionID); err != nil {
			return nil, err
		}
		if err := found[i].ofKind(item, in.Template, rules); err != nil {
			return nil, err
		}
	}
	out := &contract.ApprovalApproveOutput{Items: make([]contract.ApprovalOutcome, 0, len(in.Items))}
	for i := range in.Items {
		item := &in.Items[i]
		w, err := e.wordOf(ctx, p, in.For)
		if err != nil {
			return nil, err
		}
		w.step, w.digest = item.StepID, item.ApprovalDigest
		w.decision.Approved, w.decision.Note, w.decision.Signature, w.decision.Bulk = true, in.Note, item.Signature, len(in.Items)
		outcome := contract.ApprovalOutcome{ExecutionID: item.ExecutionID, StepID: item.StepID}
		a, err := found[i].decide(w)
		var refused *writ.Error
		switch {
		case errors.As(err, &refused) && refused.Code != writ.CodeInternal && refused.Code != writ.CodeUnavailable:
			outcome.Code, outcome.Message = refused.Code, refused.Message
		case err != nil:
			return nil, err
		default:
			outcome.Status = a.Status
			out.Approved++
		}
		out.Items = append(out.Items, outcome)
	}
	for _, x := range found {
		if err := x.barrier(ctx); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// ofKind checks that what is pending is the item, of this action and asked because
// of these rules. What is no longer pending is found out when it is decided.
func (x *execution) ofKind(item *contract.ApprovalItem, template string, rules []string) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	op := "execution " + string(x.id)
	all := x.approvals[item.StepID]
	i := slices.IndexFunc(all, func(a *writ.Approval) bool { return a.Digest == item.ApprovalDigest })
	if i < 0 {
		return writ.Errorf(writ.CodeConflict, op, "nothing with the digest %s was asked", item.ApprovalDigest).WithFix("look at the list again with `writ approval list`")
	}
	if r := &all[i].Request; r.Template() != template || !slices.Equal(r.Rules(), rules) {
		return writ.Errorf(writ.CodeConflict, op, "it is %s, asked because of %v, and not of the kind that is approved", r.Template(), r.Rules()).
			WithFix("decide it by itself with `writ exec approve %s`", x.id)
	}
	return nil
}
