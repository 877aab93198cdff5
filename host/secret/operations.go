package secret

import (
	"cmp"
	"context"
	"errors"
	"strconv"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// Statuses of the records of a secret, and of the operations' outputs.
const (
	statusSet     = "set"
	statusRotated = "rotated"
	statusRemoved = "removed"
	statusFailed  = "failed"
)

// SecretSet is the handler of contract.SecretSet.
func (s *Store) SecretSet(ctx context.Context, in *contract.SecretSetInput) (*contract.SecretSetOutput, error) {
	value := []byte(in.Value)
	defer clear(value)
	c := &change{value: value, keep: s.keepOld()}
	at, err := s.operate(ctx, operation{name: in.Name, status: statusSet}, c, s.set)
	if err != nil {
		return nil, err
	}
	return &contract.SecretSetOutput{Result: contract.Result{Status: statusSet, ChangedAt: at}, Version: c.version}, nil
}

// SecretRotate is the handler of contract.SecretRotate.
func (s *Store) SecretRotate(ctx context.Context, in *contract.SecretRotateInput) (*contract.SecretRotateOutput, error) {
	value := []byte(in.Value)
	defer clear(value)
	c := &change{value: value, keep: cmp.Or(in.KeepOld.Std(), s.keepOld())}
	at, err := s.operate(ctx, operation{name: in.Name, status: statusRotated, reason: in.Reason}, c, s.rotate)
	if err != nil {
		return nil, err
	}
	return &contract.SecretRotateOutput{
		Result: contract.Result{Status: statusRotated, ChangedAt: at}, Version: c.version, OldUntil: c.oldUntil,
	}, nil
}

// SecretRemove is the handler of contract.SecretRemove.
func (s *Store) SecretRemove(ctx context.Context, in *contract.SecretRemoveInput) (*contract.SecretRemoveOutput, error) {
	at, err := s.operate(ctx, operation{name: in.Name, status: statusRemoved, reason: in.Reason}, &change{}, s.remove)
	if err != nil {
		return nil, err
	}
	return &contract.SecretRemoveOutput{Result: contract.Result{Status: statusRemoved, ChangedAt: at}}, nil
}

// SecretList is the handler of contract.SecretList.
func (s *Store) SecretList(ctx context.Context, in *contract.SecretListInput) (*contract.SecretListOutput, error) {
	p, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, err
	}
	found, err := s.List(ctx, p.Tenant, in.Check)
	if err != nil {
		return nil, err
	}
	out := &contract.SecretListOutput{Items: []contract.SecretName{}}
	for i := range found {
		f := &found[i]
		item := contract.SecretName{
			Name: f.Name, Provider: f.Provider, Version: f.Version, UpdatedAt: f.UpdatedAt, LastUsedAt: f.LastUsedAt,
			OldUntil: f.OldUntil, Shadowed: f.Shadowed,
		}
		var e *writ.Error
		if errors.As(f.Failure, &e) {
			item.Failure = &contract.SecretFailure{Code: e.Code, Message: e.Message, Fix: e.Fix}
		}
		out.Items = append(out.Items, item)
	}
	return out, nil
}

// operation is what a record says of a change: never the value.
type operation struct{ name, status, reason string }

// operate makes a change for the caller. The record is durable before the file
// is replaced, so no change goes without one; where the replacement fails, a
// second record says so.
func (s *Store) operate(ctx context.Context, op operation, c *change, perform func(context.Context, *change) error) (writ.Time, error) {
	p, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return 0, err
	}
	if s.opts.Journal == nil {
		return 0, writ.Errorf(writ.CodeUnavailable, opFile, "there is no journal to record the change in")
	}
	at, recorded := s.opts.Clock.Now(), false
	c.entryKey = entryKey{p.Tenant, op.name}
	c.before = func() error {
		err := s.record(ctx, p, factsOf(op, c), at)
		recorded = err == nil
		return err
	}
	err = perform(ctx, c)
	if err != nil && recorded {
		failed := operation{name: op.name, status: statusFailed, reason: op.status}
		err = errors.Join(err, s.record(context.WithoutCancel(ctx), p, factsOf(failed, c), s.opts.Clock.Now()))
	}
	return at, err
}

func factsOf(op operation, c *change) *writ.SystemFacts {
	facts := &writ.SystemFacts{Subject: op.name, Version: strconv.Itoa(c.version), Status: op.status, Reason: op.reason}
	if c.oldUntil != 0 {
		facts.Details = map[string]string{"oldUntil": c.oldUntil.String()}
	}
	return facts
}

func (s *Store) record(ctx context.Context, p *writ.Principal, facts *writ.SystemFacts, at writ.Time) error {
	receipt, err := s.opts.Journal.Append(ctx, &writ.Batch{
		Tenant: p.Tenant, Stream: writ.SystemStream, Expect: writ.AnySeq,
		Records: []writ.NewRecord{{
			Type: writ.RecSecretChanged, Time: at, Actor: writ.AuditOf(p, ""),
			Body: writ.Body{System: facts},
		}},
	})
	if err != nil {
		return err
	}
	return s.opts.Journal.Barrier(ctx, receipt.Position)
}
