package engine

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// openStatuses are those between start and end. Most of the steps that wait for
// people are in the first.
var openStatuses = []writ.ExecutionStatus{
	writ.ExecAwaitingApproval, writ.ExecPaused, writ.ExecIndeterminate, writ.ExecRunning,
}

// ApprovalList is the handler of contract.ApprovalList: what waits for people,
// with the exact bytes that they would approve.
func (e *Engine) ApprovalList(ctx context.Context, in *contract.ApprovalListInput) (*contract.ApprovalListOutput, error) {
	p, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, err
	}
	var executions []*writ.Execution
	out := &contract.ApprovalListOutput{Items: []contract.Approval{}}
	if in.ExecutionID != "" {
		one, err := e.Traces.Execution(ctx, p.Tenant, in.ExecutionID)
		if err != nil {
			return nil, err
		}
		executions = []*writ.Execution{one}
	} else if executions, out.NextCursor, err = e.waiting(ctx, p.Tenant, in.Page); err != nil {
		return nil, err
	}
	for _, x := range executions {
		items, err := e.approvalsOf(ctx, x, in.Status)
		if err != nil {
			return nil, err
		}
		out.Items = append(out.Items, items...)
	}
	slices.SortFunc(out.Items, func(a, b contract.Approval) int { return int(a.DecideBy - b.DecideBy) })
	return out, nil
}

// waiting pages through the executions of one status after another. Its cursor
// is the status's index and the cursor of its list.
func (e *Engine) waiting(ctx context.Context, tenant writ.TenantID, page contract.Page) ([]*writ.Execution, string, error) {
	first, cursor, _ := strings.Cut(page.Cursor, ".")
	at, err := strconv.Atoi(first)
	if page.Cursor != "" && (err != nil || at < 0 || at >= len(openStatuses)) {
		return nil, "", &writ.Error{Code: writ.CodeInvalid, Op: "approvals", Place: "cursor", Message: "is not one that this list has given", Fix: "send nextCursor of the page before"}
	}
	var out []*writ.Execution
	for ; at < len(openStatuses); at++ {
		found, err := e.Traces.Executions(ctx, writ.ExecutionQuery{Tenant: tenant, Status: openStatuses[at], Limit: page.Limit, Cursor: cursor})
		if err != nil {
			return nil, "", err
		}
		for _, x := range found.Items {
			if slices.ContainsFunc(x.Steps, func(s writ.StepState) bool { return s.Status == writ.StepAwaitingApproval }) {
				out = append(out, x)
			}
		}
		if cursor = found.Next; cursor != "" {
			return out, strconv.Itoa(at) + "." + cursor, nil
		}
	}
	return out, "", nil
}

func (e *Engine) approvalsOf(ctx context.Context, x *writ.Execution, status writ.ApprovalStatus) ([]contract.Approval, error) {
	var out []contract.Approval
	requests := requestsOf{e: e, x: x}
	for i := range x.Steps {
		a := x.Steps[i].Approval
		if a == nil || (status == "" && (!a.Open() || x.Steps[i].Status != writ.StepAwaitingApproval)) || (status != "" && a.Status != status) {
			continue
		}
		full, err := requests.fill(ctx, a, x.Steps[i].ID)
		if err != nil {
			return nil, err
		}
		item, err := contract.ApprovalFrom(full)
		if err != nil {
			return nil, err
		}
		out = append(out, *item)
	}
	return out, nil
}

// requestsOf reads the requests of one execution's approvals, which are kept as
// payloads. The journal is read once, for the first.
type requestsOf struct {
	e       *Engine
	x       *writ.Execution
	records []writ.Stored
	read    writ.PayloadReader
}

func (r *requestsOf) open(ctx context.Context) (err error) {
	if r.read != nil {
		return nil
	}
	stream := writ.StreamID(r.x.ID)
	if r.records, err = r.e.Traces.Records(ctx, writ.RecordQuery{Tenant: r.x.Tenant, Stream: stream}); err != nil {
		return err
	}
	r.read, err = r.e.Traces.Payloads(ctx, r.x.Tenant, stream)
	return err
}

// fill is the approval with the request's data put back into it.
func (r *requestsOf) fill(ctx context.Context, a *writ.Approval, step writ.StepID) (*writ.Approval, error) {
	if err := r.open(ctx); err != nil {
		return nil, err
	}
	full := *a
	for i := range r.records {
		one := &r.records[i]
		if one.Type != writ.RecApprovalOpened || one.Step != step || one.Body.Approval.Digest != a.Digest {
			continue
		}
		ref, _ := one.Payload(writ.PayloadRequest)
		raw, err := r.read(ref)
		if err != nil {
			return nil, err
		}
		return &full, json.Unmarshal(raw, &full.Request)
	}
	return &full, nil
}
