package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// openStatuses are those between start and end. Most of the steps that wait for
// people are in the first.
var openStatuses = []writ.ExecutionStatus{
	writ.ExecAwaitingApproval, writ.ExecPaused, writ.ExecIndeterminate, writ.ExecRunning,
}

// Bounds of a page of approvals, as of other lists.
const (
	defaultPage = 50
	maxPage     = 500
)

// queued is an approval with the execution that it is of.
type queued struct {
	x    *writ.Execution
	step writ.StepID
	a    *writ.Approval
	as   []writ.PrincipalID // in whose name the caller could approve it now
}

// place orders the queue: the higher risk, then the nearer deadline, then the
// older. None of it changes while an approval waits, so that pages are stable, and
// the place of the last item is a cursor.
func (q *queued) place() string {
	r := &q.a.Request
	return fmt.Sprintf("%d.%019d.%019d.%s.%s", writ.RiskBlocked.Rank()-r.Risk.Rank(), r.DecideBy, r.OpenedAt, q.a.Digest.Hex(), q.x.ID)
}

// ApprovalList is the handler of contract.ApprovalList: what waits for people,
// with the exact bytes that they would approve.
func (e *Engine) ApprovalList(ctx context.Context, in *contract.ApprovalListInput) (*contract.ApprovalListOutput, error) {
	p, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, err
	}
	if in.Cursor != "" && strings.Count(in.Cursor, ".") != 4 {
		return nil, &writ.Error{Code: writ.CodeInvalid, Op: "approvals", Place: "cursor", Message: "is not one that this list has given", Fix: "send nextCursor of the page before"}
	}
	queue, err := e.queue(ctx, p, in)
	if err != nil {
		return nil, err
	}
	out := &contract.ApprovalListOutput{Items: []contract.Approval{}, Total: len(queue)}
	limit := in.Limit
	if limit <= 0 {
		limit = defaultPage
	}
	limit = min(limit, maxPage)
	first := 0
	for first < len(queue) && in.Cursor != "" && queue[first].place() <= in.Cursor {
		first++
	}
	page := queue[first:min(first+limit, len(queue))]
	if first+limit < len(queue) {
		out.NextCursor = page[len(page)-1].place()
	}
	past := &earlier{e: e, tenant: p.Tenant}
	requests := map[writ.ExecutionID]*requestsOf{}
	for i := range page {
		q := &page[i]
		if requests[q.x.ID] == nil {
			requests[q.x.ID] = &requestsOf{e: e, x: q.x}
		}
		item, err := requests[q.x.ID].item(ctx, q)
		if err != nil {
			return nil, err
		}
		item.Priority = first + i + 1
		if item.Earlier, err = past.like(ctx, &q.a.Request); err != nil {
			return nil, err
		}
		out.Items = append(out.Items, *item)
	}
	return out, nil
}

// queue is everything that waits and that the request wants, in order.
func (e *Engine) queue(ctx context.Context, p *writ.Principal, in *contract.ApprovalListInput) ([]queued, error) {
	executions, err := e.waiting(ctx, p.Tenant, in.ExecutionID)
	if err != nil {
		return nil, err
	}
	words, err := e.wordsOf(ctx, p)
	if err != nil {
		return nil, err
	}
	rules := slices.Compact(slices.Sorted(slices.Values(in.Rules)))
	var out []queued
	for _, x := range executions {
		for i := range x.Steps {
			s := &x.Steps[i]
			if s.Approval == nil || !wanted(s, in, rules) {
				continue
			}
			q := queued{x: x, step: s.ID, a: s.Approval}
			if q.a.Open() && s.Status == writ.StepAwaitingApproval && e.Clock.Now() < q.a.Request.DecideBy {
				q.as = mayApprove(words, q.a)
			}
			if !in.Mine || len(q.as) > 0 {
				out = append(out, q)
			}
		}
	}
	slices.SortFunc(out, func(a, b queued) int { return strings.Compare(a.place(), b.place()) })
	return out, nil
}

// wanted reports whether the list is to show a step's approval.
func wanted(s *writ.StepState, in *contract.ApprovalListInput, rules []string) bool {
	a := s.Approval
	switch {
	case in.Status == "" && (!a.Open() || s.Status != writ.StepAwaitingApproval), in.Status != "" && a.Status != in.Status:
		return false
	case in.Template != "" && a.Request.Template() != in.Template:
		return false
	case len(rules) > 0 && !slices.Equal(a.Request.Rules(), rules):
		return false
	}
	deciders := a.Request.Requirement.Deciders(a.Status == writ.ApprovalEscalated)
	return in.Role == "" || len(deciders) == 0 || slices.Contains(deciders, in.Role)
}

// wordsOf are the ways in which p may say yes: as itself, and for each absent person.
func (e *Engine) wordsOf(ctx context.Context, p *writ.Principal) ([]*word, error) {
	held, err := e.Delegations.DelegatedTo(ctx, p)
	if err != nil {
		return nil, err
	}
	out := []*word{{p: p, roles: p.Roles}}
	for i := range held {
		absent := held[i].By
		if at := slices.IndexFunc(out, func(w *word) bool { return w.absent == absent }); at > 0 {
			out[at].roles = append(slices.Clone(out[at].roles), held[i].Roles...)
			continue
		}
		out = append(out, &word{p: p, roles: held[i].Roles, absent: absent, delegation: held[i].ID})
	}
	return out, nil
}

func mayApprove(words []*word, a *writ.Approval) []writ.PrincipalID {
	var out []writ.PrincipalID
	for _, w := range words {
		try := *w
		try.decision = &writ.Decision{By: w.p.ID, For: w.absent, Approved: true}
		if try.entitled(a, "approval") == nil {
			out = append(out, cmp.Or(w.absent, w.p.ID))
		}
	}
	return out
}

// waiting are the executions of which a step may wait, or the one that is named.
func (e *Engine) waiting(ctx context.Context, tenant writ.TenantID, one writ.ExecutionID) ([]*writ.Execution, error) {
	if one != "" {
		x, err := e.Traces.Execution(ctx, tenant, one)
		return []*writ.Execution{x}, err
	}
	var out []*writ.Execution
	for _, status := range openStatuses {
		query := writ.ExecutionQuery{Tenant: tenant, Status: status, Limit: maxPage}
		for {
			page, err := e.Traces.Executions(ctx, query)
			if err != nil {
				return nil, err
			}
			out = append(out, page.Items...)
			if query.Cursor = page.Next; query.Cursor == "" {
				break
			}
		}
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

// item is the approval with the request's data put back into it, as callers see it.
func (r *requestsOf) item(ctx context.Context, q *queued) (*contract.Approval, error) {
	full, err := r.fill(ctx, q.a, q.step)
	if err != nil {
		return nil, err
	}
	item, err := contract.ApprovalFrom(full)
	if err != nil {
		return nil, err
	}
	item.DecideAs = q.as
	return item, nil
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

// Bounds of looking back: what is shown is what a person reads, and what is read
// for it is one page of executions, the newest.
const maxEarlier = 5

// earlier finds how requests of the same kind were decided. The executions are read
// once, for the first.
type earlier struct {
	e      *Engine
	tenant writ.TenantID
	page   []*writ.Execution
}

// like are the last decisions about the same action that one of the same rules
// asked for, newest first.
func (l *earlier) like(ctx context.Context, r *writ.ApprovalRequest) ([]contract.EarlierDecision, error) {
	if l.page == nil {
		found, err := l.e.Traces.Executions(ctx, writ.ExecutionQuery{Tenant: l.tenant, Limit: maxPage})
		if err != nil {
			return nil, err
		}
		l.page = append([]*writ.Execution{}, found.Items...)
	}
	var out []contract.EarlierDecision
	for _, x := range l.page {
		for i := range x.Steps {
			a := x.Steps[i].Approval
			if a == nil || a.Open() || a.Request.Template() != r.Template() || !shareRule(&a.Request, r) {
				continue
			}
			d := contract.EarlierDecision{ExecutionID: x.ID, Status: a.Status, Summary: a.Request.Summary, At: a.ClosedAt}
			if n := len(a.Decisions); n > 0 && a.Status != writ.ApprovalExpired {
				d.By, d.Note = a.Decisions[n-1].By, a.Decisions[n-1].Note
			}
			out = append(out, d)
		}
	}
	slices.SortStableFunc(out, func(a, b contract.EarlierDecision) int { return cmp.Compare(b.At, a.At) })
	return out[:min(len(out), maxEarlier)], nil
}

func shareRule(a, b *writ.ApprovalRequest) bool {
	rules := b.Rules()
	return slices.ContainsFunc(a.Rules(), func(rule string) bool { return slices.Contains(rules, rule) })
}
