package channel

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/contract"
)

// followPrefix of the documents of executions whose thread is told how they go:
// following/EXECUTION. They are there from when it was asked for until it has ended.
const followPrefix = "following/"

// following is what such a document says.
type following struct {
	Channel   writ.ChannelName `json:"channel"`
	Thread    string           `json:"thread"`
	Principal writ.PrincipalID `json:"principal"`
	Delivery  writ.StreamID    `json:"delivery"`
	Key       string           `json:"key"`            // of the delivery
	Told      string           `json:"told,omitempty"` // the last state that the thread was told
}

// follow says how an execution stands that was submitted just now, and has it followed
// where it goes on.
func (s *Service) follow(ctx context.Context, c *come, h *heard, id writ.ExecutionID) (string, error) {
	e, err := s.opts.Traces.Execution(ctx, h.tenant, id)
	if err != nil && !writ.IsCode(err, writ.CodeNotFound) {
		return "", err
	}
	f := &following{
		Channel: h.channel.Name, Thread: h.m.Thread, Principal: h.acting.ID,
		Delivery: h.stream, Key: h.facts.Key,
	}
	text := sayStarted(id)
	if err == nil && !asksIn(h.channel, e) {
		if f.Told = worthTelling(e); f.Told != "" {
			if text, err = s.outcome(ctx, e); err != nil || e.Status.Final() {
				return text, err
			}
		}
	}
	raw, err := canon.MarshalJSON(f)
	if err != nil {
		return "", err
	}
	if !c.change(writ.Change{Key: followPrefix + string(id), Value: raw}) {
		return "", nil // one of very many: the journal has it
	}
	return text, nil
}

// worthTelling names the state of an execution that a thread is told of; empty: it goes
// on. Two steps that wait one after the other are two states.
func worthTelling(e *writ.Execution) string {
	switch {
	case e.Status.Final(), e.Status == writ.ExecIndeterminate:
		return string(e.Status)
	case e.Status != writ.ExecAwaitingApproval:
		return ""
	}
	waiting := []string{string(e.Status)}
	for i := range e.Steps {
		if s := &e.Steps[i]; s.Status == writ.StepAwaitingApproval {
			waiting = append(waiting, string(s.ID))
		}
	}
	return string(canon.SHA256([]byte(strings.Join(waiting, " "))))
}

// asksIn reports whether what waits of an execution is asked in its thread, which then is
// told of it so.
func asksIn(c *contract.Channel, e *writ.Execution) bool {
	return c != nil && c.Decides && e.Status == writ.ExecAwaitingApproval
}

// outcome is what a thread is told of an execution.
func (s *Service) outcome(ctx context.Context, e *writ.Execution) (string, error) {
	shown := ""
	if e.Status == writ.ExecCompleted {
		var err error
		if shown, err = s.shown(ctx, e); err != nil {
			return "", err
		}
	}
	return sayEnded(e, shown), nil
}

// shown is what the last step of a plan gave out, shortened. Where any of it is private,
// or nobody has said whose it is, that is all that is said of it.
func (s *Service) shown(ctx context.Context, e *writ.Execution) (string, error) {
	for i := len(e.Steps) - 1; i >= 0; i-- {
		step := &e.Steps[i]
		if step.Kind != "" || step.Status != writ.StepCompleted || step.Output == nil {
			continue
		}
		if !public(step.Labels) {
			return sayWithheld, nil
		}
		read, err := s.opts.Traces.Payloads(ctx, e.Tenant, writ.StreamID(e.ID))
		if err != nil {
			return "", err
		}
		raw, err := read(*step.Output)
		if writ.IsCode(err, writ.CodeUnreplayable) {
			return "", nil // it was kept no longer
		}
		return cut(plainly(raw), maxShown), err
	}
	return "", nil
}

// public reports whether data of these labels may be read by whoever is in a thread.
func public(labels []writ.Label) bool {
	return len(labels) > 0 && !slices.ContainsFunc(labels, writ.Label.Private)
}

// plainly is an output for people: the text that it is or has alone, else as JSON.
func plainly(raw []byte) string {
	var members map[string]json.RawMessage
	if json.Unmarshal(raw, &members) == nil && len(members) == 1 {
		for _, only := range members {
			raw = only
		}
	}
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	return string(raw)
}

// Follow tells threads how the executions go that were asked for in them, until ctx
// ends: what earlier processes did not tell first.
func (s *Service) Follow(ctx context.Context) {
	var tenants sync.WaitGroup
	defer tenants.Wait()
	again := time.NewTicker(lookAgain)
	defer again.Stop()
	begun := map[writ.TenantID]bool{}
	for {
		all, err := s.opts.Tenants(ctx)
		if err != nil && ctx.Err() == nil {
			s.opts.Log.Error("executions cannot be followed", "code", writ.CodeOf(err))
		}
		for _, tenant := range all {
			if begun[tenant] || !s.follows(ctx, tenant) && !s.asks(ctx, tenant) {
				continue
			}
			begun[tenant] = true
			tenants.Go(func() { s.followTenant(ctx, tenant) })
		}
		select {
		case <-ctx.Done():
			return
		case <-s.followed:
		case <-again.C: // what could not be told when it was time
			for tenant := range begun {
				if err := errors.Join(s.catchUp(ctx, tenant), s.forget(ctx, tenant)); err != nil && ctx.Err() == nil {
					s.opts.Log.Warn("threads are told later how executions go", "tenant", tenant, "code", writ.CodeOf(err))
				}
			}
		}
	}
}

// follows reports whether anything of a tenant is to be followed. What is not known is.
func (s *Service) follows(ctx context.Context, tenant writ.TenantID) bool {
	docs, err := s.opts.Store.List(ctx, writ.StoreQuery{Tenant: tenant, Prefix: followPrefix, Limit: 1})
	return err != nil || len(docs) > 0
}

func (s *Service) followTenant(ctx context.Context, tenant writ.TenantID) {
	for ctx.Err() == nil {
		after, err := s.opts.Tip(tenant)
		if err == nil {
			err = s.catchUp(ctx, tenant)
		}
		if err == nil {
			err = s.opts.Traces.Feed(ctx, tenant, after, func(rec *writ.Stored) error { return s.goesOn(ctx, tenant, &rec.Record) })
		}
		if err != nil && ctx.Err() == nil {
			s.opts.Log.Error("executions cannot be followed", "tenant", tenant, "code", writ.CodeOf(err), "again in", deferred)
			rest := time.NewTimer(deferred)
			select {
			case <-rest.C:
			case <-ctx.Done():
			}
			rest.Stop()
		}
	}
}

// goesOn tells and asks what a record of an execution gives reason to.
func (s *Service) goesOn(ctx context.Context, tenant writ.TenantID, r *writ.Record) error {
	id := writ.ExecutionID(r.Stream)
	switch r.Type {
	case writ.RecApprovalDecided, writ.RecApprovalEscalated, writ.RecApprovalExpired, writ.RecExecutionEnded:
		// Most executions end without anybody having been asked.
		docs, err := s.opts.Store.List(ctx, writ.StoreQuery{Tenant: tenant, Prefix: askedPrefix + string(id) + "/", Limit: 1})
		if err != nil {
			return err
		}
		if len(docs) == 0 {
			break
		}
		fallthrough
	case writ.RecApprovalOpened:
		if err := s.askOf(ctx, tenant, id); err != nil {
			return err
		}
	}
	switch r.Type {
	case writ.RecExecutionEnded, writ.RecApprovalOpened, writ.RecStepIndeterminate, writ.RecStepCompleted, writ.RecStepSkipped:
		return s.tellOf(ctx, tenant, id)
	}
	return nil
}

// catchUp tells and asks what earlier processes did not, or what could not be said when
// it was time. Each execution is looked at once for what people are asked.
func (s *Service) catchUp(ctx context.Context, tenant writ.TenantID) error {
	looked := map[writ.ExecutionID]bool{}
	ask := func(id writ.ExecutionID) error {
		if looked[id] {
			return nil
		}
		looked[id] = true
		return s.askOf(ctx, tenant, id)
	}
	err := s.each(ctx, tenant, followPrefix, func(doc *writ.Document) error {
		id := writ.ExecutionID(strings.TrimPrefix(doc.Key, followPrefix))
		if err := ask(id); err != nil {
			return err
		}
		return s.tellOf(ctx, tenant, id)
	})
	if err != nil {
		return err
	}
	err = s.each(ctx, tenant, askedPrefix, func(doc *writ.Document) error {
		id, _, _ := strings.Cut(strings.TrimPrefix(doc.Key, askedPrefix), "/")
		return ask(writ.ExecutionID(id))
	})
	if err != nil {
		return err
	}
	return s.askRooms(ctx, tenant, ask)
}

// each calls fn with the documents of a prefix.
func (s *Service) each(ctx context.Context, tenant writ.TenantID, prefix string, fn func(*writ.Document) error) error {
	for after := ""; ; {
		docs, err := s.opts.Store.List(ctx, writ.StoreQuery{Tenant: tenant, Prefix: prefix, After: after, Limit: pageSize})
		if err != nil {
			return err
		}
		for i := range docs {
			if err := fn(&docs[i]); err != nil {
				return err
			}
			after = docs[i].Key
		}
		if len(docs) < pageSize {
			return nil
		}
	}
}

func readFollowing(key string, raw []byte) (*following, error) {
	f := &following{}
	if err := json.Unmarshal(raw, f); err != nil || f.Delivery == "" || f.Thread == "" {
		return nil, writ.Errorf(writ.CodeTampered, key, "the document is not of an execution that is followed").WithFix("restore the store from a backup")
	}
	return f, nil
}

// tellOf tells the thread of an execution what it was not told yet. One that is broken
// or no longer kept keeps no other from being told.
func (s *Service) tellOf(ctx context.Context, tenant writ.TenantID, id writ.ExecutionID) error {
	into, err := s.tellState(ctx, tenant, id)
	if err == nil && into != "" {
		if err = s.askOf(ctx, tenant, into); err == nil {
			_, err = s.tellState(ctx, tenant, into) // further edits of that are told by the next look
		}
	}
	if code := writ.CodeOf(err); code == writ.CodeTampered || code == writ.CodeNotFound {
		s.opts.Log.Error("a thread cannot be told how an execution goes", "execution", id, "code", code)
		return nil
	}
	return err
}

// tellState: the record and how far the thread has been told are one batch, so that each
// state is told once. What an execution was edited into is followed in its place.
func (s *Service) tellState(ctx context.Context, tenant writ.TenantID, id writ.ExecutionID) (into writ.ExecutionID, err error) {
	s.telling.Lock()
	defer s.telling.Unlock()
	f, err := s.following(ctx, tenant, id)
	if err != nil || f == nil {
		return "", err // nobody asked for it in a thread, or all is told
	}
	e, err := s.opts.Traces.Execution(ctx, tenant, id)
	if err != nil {
		return "", err
	}
	all, err := s.channels(ctx, tenant)
	if err != nil {
		return "", err
	}
	state := worthTelling(e)
	if state == "" || state == f.Told || asksIn(all[f.Channel], e) {
		return "", nil
	}
	text, err := s.outcome(ctx, e)
	if err != nil {
		return "", err
	}
	f.Told = state
	var changes []writ.Change
	switch after := *f; {
	case !e.Status.Final():
		changes, err = note(nil, followPrefix+string(id), &after)
	case e.EditedInto != nil:
		into, after.Told = e.EditedInto.Execution, ""
		changes, err = note([]writ.Change{{Key: followPrefix + string(id)}}, followPrefix+string(into), &after)
	default:
		changes = []writ.Change{{Key: followPrefix + string(id)}} // there is nothing more to tell
	}
	if err != nil {
		return "", err
	}
	return into, s.answered(ctx, place{tenant, f.Delivery}, f, &writ.DeliveryOutcome{
		Status: writ.DeliveryAnswered, Principal: f.Principal, Execution: id, Message: inWords(e.Status), Answer: text,
	}, changes...)
}

// answered records what a thread is told, behind the delivery that asked for it.
func (s *Service) answered(ctx context.Context, at place, f *following, o *writ.DeliveryOutcome, changes ...writ.Change) error {
	records, err := s.opts.Traces.Records(ctx, writ.RecordQuery{Tenant: at.tenant, Stream: at.stream})
	if err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	to := lane{at.tenant, f.Channel}
	return s.answering(ctx, to, &writ.Batch{
		Tenant: at.tenant, Stream: at.stream, Expect: records[len(records)-1].Seq,
		Records: []writ.NewRecord{{
			Type: writ.RecDeliveryAnswered, Time: s.opts.Clock.Now(), Actor: actor(at.tenant, f.Channel),
			Body: writ.Body{Delivery: &writ.DeliveryFacts{Channel: f.Channel, Key: f.Key, Outcomes: []writ.DeliveryOutcome{*o}}},
		}},
		Changes: changes,
	}, string(o.Execution)+"/"+f.Told, []Outgoing{{Thread: f.Thread, Text: o.Answer}})
}
