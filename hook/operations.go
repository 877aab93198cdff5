package hook

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/contract"
)

// Statuses of records hook.changed.
const (
	statusTested    = "tested"
	statusRedeliver = "redelivering"
	statusDismissed = "dismissed"
)

// Statuses of a test.
const (
	sampleDelivered = "delivered"
	sampleNotTaken  = "refused"
)

// longFailing is when a hook that fails is drift: a receiver that is updated is away
// for less.
const longFailing = 15 * time.Minute

// List is the operation contract.HookList.
func (s *Service) List(ctx context.Context, in *contract.HookListInput) (*contract.HookListOutput, error) {
	by, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, err
	}
	out := &contract.HookListOutput{Items: []contract.Hook{}}
	for _, w := range s.workers {
		if w.hook.Tenant != by.Tenant || (in.Name != "" && in.Name != w.hook.Name) {
			continue
		}
		item, err := w.show(ctx)
		if err != nil {
			return nil, err
		}
		out.Items = append(out.Items, *item)
	}
	if in.Name != "" && len(out.Items) == 0 {
		_, err := s.find(by.Tenant, in.Name)
		return nil, err
	}
	return out, nil
}

// show is the hook as it stands.
func (w *worker) show(ctx context.Context) (*contract.Hook, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.load(ctx); err != nil {
		return nil, err
	}
	behind, err := w.behind()
	if err != nil {
		return nil, err
	}
	s := w.state
	item := &contract.Hook{
		Name: w.hook.Name, Target: w.target.Scheme + "://" + w.target.Host, Events: slices.Clone(w.hook.Events), AllowPrivate: w.hook.AllowPrivate,
		State: s.status(), Cursor: s.Cursor, Behind: behind, NextAttemptAt: s.NextAt,
		Delivered: s.Delivered, DeliveredAt: s.DeliveredAt, DeadLetters: slices.Clone(s.Dead), DeadTotal: s.DeadTotal,
	}
	if s.Pending != nil && s.Pending.Attempts > 0 {
		pending := *s.Pending
		item.Pending = &pending
	}
	if s.Failure != nil {
		failure := *s.Failure
		item.Failure = &failure
	}
	return item, nil
}

// behind is how far the tenant's journals reach beyond where the hook stands. mu is
// held.
func (w *worker) behind() (writ.Position, error) {
	tip, err := w.opts.Tip(w.hook.Tenant)
	if err != nil || tip <= w.state.Cursor {
		return 0, err
	}
	return tip - w.state.Cursor, nil
}

// Test is the operation contract.HookTest.
func (s *Service) Test(ctx context.Context, in *contract.HookTestInput) (*contract.HookTestOutput, error) {
	by, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, err
	}
	w, err := s.find(by.Tenant, in.Name)
	if err != nil {
		return nil, err
	}
	now := s.opts.Clock.Now()
	id := canon.ID("evt", canon.DomainEvent, []byte("hook test"), []byte(w.hook.Name), []byte(by.ID), []byte(strconv.FormatInt(int64(now), 10)))
	body, err := w.sample(id, now)
	if err != nil {
		return nil, err
	}
	r := w.attempt(ctx, id, body)
	out := &contract.HookTestOutput{
		Result: contract.Result{Status: sampleNotTaken}, EventID: id, Delivered: r.outcome == delivered, StatusCode: r.status,
		Took: abi.Duration(r.took), Signatures: r.signatures, Failure: r.failure,
	}
	if out.Delivered {
		out.Status = sampleDelivered
	}
	details := map[string]string{"outcome": out.Status, "statusCode": strconv.Itoa(r.status)}
	return out, w.append(ctx, by, &writ.SystemFacts{Subject: w.hook.Name, Status: statusTested, Details: details}, false)
}

// append records what somebody did with the hook, with the state where it changed.
func (w *worker) append(ctx context.Context, by *writ.Principal, facts *writ.SystemFacts, stateToo bool) error {
	ctx = context.WithoutCancel(ctx)
	batch := &writ.Batch{
		Tenant: by.Tenant, Stream: writ.SystemStream, Expect: writ.AnySeq,
		Records: []writ.NewRecord{{Type: writ.RecHookChanged, Time: w.opts.Clock.Now(), Actor: writ.AuditOf(by, ""), Body: writ.Body{System: facts}}},
	}
	if stateToo {
		change, err := w.change()
		if err != nil {
			return err
		}
		batch.Changes = []writ.Change{change}
	}
	receipt, err := w.opts.Journal.Append(ctx, batch)
	if err != nil {
		return err
	}
	return w.opts.Journal.Barrier(ctx, receipt.Position)
}

// hold finds a hook of the caller's tenant and holds its state, which the caller lets go.
func (s *Service) hold(ctx context.Context, name string) (*writ.Principal, *worker, error) {
	by, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, nil, err
	}
	w, err := s.find(by.Tenant, name)
	if err != nil {
		return nil, nil, err
	}
	w.mu.Lock()
	if err := w.load(ctx); err != nil {
		w.mu.Unlock()
		return nil, nil, err
	}
	return by, w, nil
}

// Redeliver is the operation contract.HookRedeliver.
func (s *Service) Redeliver(ctx context.Context, in *contract.HookRedeliverInput) (*contract.HookRedeliverOutput, error) {
	by, w, err := s.hold(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	defer w.mu.Unlock()
	cursor, err := w.backTo(in.From)
	if err != nil {
		return nil, err
	}
	next := *w.state
	next.sentBack(cursor)
	facts := &writ.SystemFacts{
		Subject: w.hook.Name, Status: statusRedeliver, Reason: in.Reason,
		Details: map[string]string{"cursor": fmt.Sprint(cursor), "from": fmt.Sprint(w.state.Cursor)},
	}
	if err := w.replace(ctx, by, &next, facts); err != nil {
		return nil, err
	}
	w.turn++
	if w.stop != nil {
		w.stop()
	}
	return &contract.HookRedeliverOutput{Result: contract.Result{Status: statusRedeliver}, Cursor: cursor}, nil
}

// backTo is where the hook stands when it is sent back. mu is held.
func (w *worker) backTo(from writ.Position) (writ.Position, error) {
	switch {
	case from > w.state.Cursor+1:
		return 0, writ.Errorf(writ.CodeConflict, "hook "+w.hook.Name, "position %d lies ahead: it stands at %d", from, w.state.Cursor).
			WithFix("leave out --from, or give a position up to %d", w.state.Cursor+1)
	case from > 0:
		return from - 1, nil
	case w.state.DeadFrom > 0:
		return min(w.state.Cursor, w.state.DeadFrom-1), nil
	}
	return w.state.Cursor, nil
}

// replace puts another state in place, with its record. mu is held.
func (w *worker) replace(ctx context.Context, by *writ.Principal, next *state, facts *writ.SystemFacts) error {
	before := w.state
	w.state = next
	if err := w.append(ctx, by, facts, true); err != nil {
		w.state = before
		return err
	}
	w.dirty, w.saved = false, next.Cursor
	return nil
}

// Dismiss is the operation contract.HookDismiss.
func (s *Service) Dismiss(ctx context.Context, in *contract.HookDismissInput) (*contract.HookDismissOutput, error) {
	by, w, err := s.hold(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	defer w.mu.Unlock()
	out := &contract.HookDismissOutput{Result: contract.Result{Status: statusDismissed}, Dismissed: w.state.DeadTotal}
	if w.state.DeadTotal == 0 {
		return out, nil
	}
	next := *w.state
	next.Dead, next.DeadTotal, next.DeadFrom = nil, 0, 0
	return out, w.replace(ctx, by, &next, &writ.SystemFacts{
		Subject: w.hook.Name, Status: statusDismissed, Reason: in.Reason, Details: map[string]string{"events": fmt.Sprint(out.Dismissed)},
	})
}
