package channel

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// maxListed are as many messages as one look at the outbox shows of each kind.
const maxListed = 200

// Outbox is the handler of contract.ChannelOutbox.
func (s *Service) Outbox(ctx context.Context, in *contract.ChannelOutboxInput) (*contract.ChannelOutboxOutput, error) {
	by, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, err
	}
	out := &contract.ChannelOutboxOutput{Result: contract.Result{Status: "ok", ChangedAt: s.opts.Clock.Now()}, Items: []contract.ChannelMessage{}}
	err = s.givenUp(ctx, by.Tenant, func(u *unsentMessage) bool {
		if in.Name != "" && u.Channel != in.Name {
			return true
		}
		if len(out.Items) == maxListed {
			out.More = true
			return false
		}
		status := contract.MessageFailed
		if u.Code == writ.CodeIndeterminate {
			status = contract.MessageIndeterminate
		}
		out.Items = append(out.Items, contract.ChannelMessage{
			MessageID: string(u.Stream), Channel: u.Channel, Thread: u.Thread, Status: status, Code: u.Code, Why: u.Why, Since: u.at,
		})
		return true
	})
	if err != nil {
		return nil, err
	}
	prefix := outboxPrefix
	if in.Name != "" {
		prefix = laneKey(in.Name)
	}
	page, err := s.messages(ctx, by.Tenant, prefix, "")
	if err != nil {
		return nil, err
	}
	for i := range page {
		if i == maxListed {
			out.More = true
			break
		}
		item, err := s.listed(ctx, &page[i])
		if err != nil {
			return nil, err
		}
		if item != nil {
			out.Items = append(out.Items, *item)
		}
	}
	return out, nil
}

// listed is a message that waits, and what holds it; nil where it was said meanwhile.
func (s *Service) listed(ctx context.Context, m *sendable) (*contract.ChannelMessage, error) {
	item := &contract.ChannelMessage{MessageID: string(m.Stream), Channel: m.channel, Thread: m.Message.Thread, Status: contract.MessageWaiting, Since: placedAt(m.document)}
	records, err := s.opts.Traces.Records(ctx, writ.RecordQuery{Tenant: m.tenant, Stream: m.Stream})
	if err != nil && !writ.IsCode(err, writ.CodeNotFound) {
		return nil, err
	}
	t := &tries{}
	for i := range records {
		f := records[i].Body.Message
		if f == nil {
			continue
		}
		t.read(&records[i].Record)
		item.Code, item.Why = f.Code, f.Message
		if last := i == len(records)-1; last && (records[i].Type == writ.RecMessageSent || records[i].Type == writ.RecMessageFailed && f.Again == 0 || records[i].Type == writ.RecMessageIndeterminate) {
			return nil, nil
		}
	}
	item.Attempt, item.Again = t.attempt, t.again
	f, err := s.frozen(ctx, m.lane)
	if err != nil {
		return nil, err
	}
	if f != nil {
		item.Code, item.Why, item.Again = writ.CodeFrozen, f.What()+" is "+f.Said(), 0
	}
	return item, nil
}

// placedAt is the time in a document's key, before its last segment.
func placedAt(document string) writ.Time {
	parts := strings.Split(document, "/")
	if len(parts) < 2 {
		return 0
	}
	nanoseconds, _ := strconv.ParseInt(parts[len(parts)-2], 10, 64) // 0 for what no key has
	return writ.Time(nanoseconds)
}

// unsentMessage is one that was given up.
type unsentMessage struct {
	unsent
	document string
	at       writ.Time
}

// givenUp calls fn with what was, oldest first, until it says false.
func (s *Service) givenUp(ctx context.Context, tenant writ.TenantID, fn func(*unsentMessage) bool) error {
	for after := ""; ; {
		docs, err := s.opts.Store.List(ctx, writ.StoreQuery{Tenant: tenant, Prefix: writ.UnsentPrefix, After: after, Limit: pageSize})
		if err != nil {
			return err
		}
		for i := range docs {
			u := &unsentMessage{document: docs[i].Key, at: placedAt(docs[i].Key)}
			if err := json.Unmarshal(docs[i].Value, &u.unsent); err != nil || docs[i].Key != writ.UnsentKey(u.at, u.Stream) {
				return writ.Errorf(writ.CodeTampered, docs[i].Key, "the document is not of what it is named after").WithFix("restore the store from a backup")
			}
			if !fn(u) {
				return nil
			}
			after = docs[i].Key
		}
		if len(docs) < pageSize {
			return nil
		}
	}
}

// found is one that was given up, and what its records say. CodeNotFound.
func (s *Service) found(ctx context.Context, tenant writ.TenantID, id string) (*unsentMessage, *tries, error) {
	var found *unsentMessage
	err := s.givenUp(ctx, tenant, func(u *unsentMessage) bool {
		if string(u.Stream) == id {
			found = u
		}
		return found == nil
	})
	if err != nil {
		return nil, nil, err
	}
	if found == nil {
		return nil, nil, writ.Errorf(writ.CodeNotFound, "message "+writ.Clip(id, maxName), "no such message was given up").WithFix("`writ channel outbox` shows those that were")
	}
	records, err := s.opts.Traces.Records(ctx, writ.RecordQuery{Tenant: tenant, Stream: found.Stream})
	if err != nil {
		return nil, nil, err
	}
	t := &tries{}
	for i := range records {
		if records[i].Body.Message != nil {
			t.read(&records[i].Record)
		}
	}
	return found, t, nil
}

// Resend is the handler of contract.ChannelResend.
func (s *Service) Resend(ctx context.Context, in *contract.ChannelResendInput) (*contract.ChannelResendOutput, error) {
	by, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, err
	}
	u, t, err := s.found(ctx, by.Tenant, in.MessageID)
	if err != nil {
		return nil, err
	}
	at := lane{by.Tenant, u.Channel}
	if _, err := s.speaker(ctx, at); err != nil {
		return nil, err
	}
	out, facts, err := s.text(ctx, by.Tenant, u.Stream)
	if err != nil {
		return nil, err
	}
	if err := s.stillAsked(ctx, by.Tenant, out); err != nil {
		return nil, err
	}
	again := *facts
	again.Reason = in.Reason
	ctx = context.WithoutCancel(ctx)
	receipt, err := s.append(ctx, &writ.Batch{Tenant: by.Tenant, Stream: u.Stream, Expect: t.seq}, func(batch *writ.Batch) error {
		record, err := queuedRecord(at, &again, out)
		if err != nil {
			return err
		}
		record.Time, record.Actor = s.opts.Clock.Now(), writ.AuditOf(by, "")
		change, err := s.document(u.Channel, facts.Key, out)
		batch.Records, batch.Changes = []writ.NewRecord{record}, []writ.Change{{Key: u.document}, change}
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := s.opts.Journal.Barrier(ctx, receipt.Position); err != nil {
		return nil, err
	}
	s.count(at, 1)
	s.given.Add(-1)
	s.stir(at)
	return &contract.ChannelResendOutput{Result: contract.Result{Status: string(contract.MessageQueued), ChangedAt: s.opts.Clock.Now()}}, nil
}

// text is what was queued first. CodeUnreplayable where it has expired.
func (s *Service) text(ctx context.Context, tenant writ.TenantID, stream writ.StreamID) (*Outgoing, *writ.MessageFacts, error) {
	records, err := s.opts.Traces.Records(ctx, writ.RecordQuery{Tenant: tenant, Stream: stream, Limit: 1})
	if err != nil {
		return nil, nil, err
	}
	tampered := writ.Errorf(writ.CodeTampered, "stream "+string(stream), "it is not of a message").WithFix("`writ trace verify` says what else is")
	if len(records) != 1 || records[0].Body.Message == nil {
		return nil, nil, tampered
	}
	ref, ok := records[0].Payload(writ.PayloadMessage)
	if !ok {
		return nil, nil, tampered
	}
	payload, err := s.opts.Traces.Payloads(ctx, tenant, stream)
	if err != nil {
		return nil, nil, err
	}
	raw, err := payload(ref)
	if err != nil {
		return nil, nil, err
	}
	out := &Outgoing{}
	if err := json.Unmarshal(raw, out); err != nil {
		return nil, nil, tampered
	}
	facts := writ.MessageFacts{Channel: records[0].Body.Message.Channel, Key: records[0].Body.Message.Key, Thread: out.Thread}
	return out, &facts, nil
}

// Drop is the handler of contract.ChannelDrop.
func (s *Service) Drop(ctx context.Context, in *contract.ChannelDropInput) (*contract.ChannelDropOutput, error) {
	by, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, err
	}
	u, t, err := s.found(ctx, by.Tenant, in.MessageID)
	if err != nil {
		return nil, err
	}
	at := s.opts.Clock.Now()
	ctx = context.WithoutCancel(ctx)
	receipt, err := s.opts.Journal.Append(ctx, &writ.Batch{
		Tenant: by.Tenant, Stream: u.Stream, Expect: t.seq,
		Records: []writ.NewRecord{{
			Type: writ.RecMessageDropped, Time: at, Actor: writ.AuditOf(by, ""),
			Body: writ.Body{Message: &writ.MessageFacts{Channel: u.Channel, Key: t.key, Thread: u.Thread, Reason: in.Reason}},
		}},
		Changes: []writ.Change{{Key: u.document}, {Key: writ.DeliveredKey(at, u.Stream), Value: []byte("{}")}},
	})
	if err != nil {
		return nil, err
	}
	if err := s.opts.Journal.Barrier(ctx, receipt.Position); err != nil {
		return nil, err
	}
	s.given.Add(-1)
	return &contract.ChannelDropOutput{Result: contract.Result{Status: string(contract.MessageDropped), ChangedAt: at}}, nil
}

// Test is the handler of contract.ChannelTest. Who asked stands in the system journal
// before anything is said, and what came of it behind.
func (s *Service) Test(ctx context.Context, in *contract.ChannelTestInput) (*contract.ChannelTestOutput, error) {
	by, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, err
	}
	at := lane{by.Tenant, in.Name}
	v, err := s.speaker(ctx, at)
	if err != nil {
		return nil, err
	}
	if err := s.admits(ctx, at); err != nil {
		return nil, err
	}
	account, err := s.account(ctx, at, v)
	if err != nil {
		return nil, err
	}
	defer clear(account.Token)
	facts := writ.SystemFacts{Subject: string(in.Name), Status: contract.ChannelTesting, Details: map[string]string{"thread": writ.Clip(in.Thread, maxKey)}}
	if err := s.record(ctx, by, facts); err != nil {
		return nil, err
	}
	out := &contract.ChannelTestOutput{Result: contract.Result{Status: string(contract.MessageSent)}}
	out.ID, err = v.Send(context.WithoutCancel(ctx), account, &Outgoing{Thread: in.Thread, Text: "This is a test of Writ. " + string(by.ID) + " asked for it, and nothing is to be done."})
	facts.Status = contract.ChannelTested
	if err != nil {
		failed := failure(err)
		out.Status, out.Code, out.Why = string(contract.MessageFailed), failed.Code, failed.Message
		if failed.Code == writ.CodeIndeterminate {
			out.Status = string(contract.MessageIndeterminate)
		}
		var e *writ.Error
		if errors.As(err, &e) {
			out.Fix = e.Fix
		}
		facts.Details["code"] = string(failed.Code)
	} else {
		facts.Details["id"] = writ.Clip(out.ID, maxID)
	}
	if err := s.record(ctx, by, facts); err != nil {
		return nil, err
	}
	out.ChangedAt = s.opts.Clock.Now()
	return out, nil
}

// Drift finds messages that were given up and about which nobody has decided.
func (s *Service) Drift(ctx context.Context, tenant writ.TenantID) ([]contract.DriftFinding, error) {
	var out []contract.DriftFinding
	err := s.givenUp(ctx, tenant, func(u *unsentMessage) bool {
		message := string(u.Channel) + ": it was not said"
		if u.Code == writ.CodeIndeterminate {
			message = string(u.Channel) + ": nobody knows whether it was said"
		}
		out = append(out, contract.DriftFinding{
			Code: contract.DriftMessageUnsent, Subject: string(u.Stream), Message: message, Since: u.at,
			Fix: "look in the thread, then: writ channel resend " + string(u.Stream) + ", or writ channel drop " + string(u.Stream),
		})
		return len(out) < maxListed
	})
	return out, err
}
