package secret

import (
	"context"
	"errors"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// Statuses of the records of a secret, and of the operations' outputs.
const (
	statusSet     = "set"
	statusRemoved = "removed"
	statusFailed  = "failed"
)

// SecretSet is the handler of contract.SecretSet.
func (s *Store) SecretSet(ctx context.Context, in *contract.SecretSetInput) (*contract.SecretSetOutput, error) {
	value := []byte(in.Value)
	defer clear(value)
	at, err := s.operate(ctx, operation{name: in.Name, status: statusSet}, func(key entryKey, before announce) error {
		return s.set(ctx, key, value, before)
	})
	if err != nil {
		return nil, err
	}
	return &contract.SecretSetOutput{Result: contract.Result{Status: statusSet, ChangedAt: at}}, nil
}

// SecretRemove is the handler of contract.SecretRemove.
func (s *Store) SecretRemove(ctx context.Context, in *contract.SecretRemoveInput) (*contract.SecretRemoveOutput, error) {
	at, err := s.operate(ctx, operation{name: in.Name, status: statusRemoved, reason: in.Reason}, func(key entryKey, before announce) error {
		return s.remove(ctx, key, before)
	})
	if err != nil {
		return nil, err
	}
	return &contract.SecretRemoveOutput{Result: contract.Result{Status: statusRemoved, ChangedAt: at}}, nil
}

// SecretList is the handler of contract.SecretList.
func (s *Store) SecretList(ctx context.Context, _ *contract.SecretListInput) (*contract.SecretListOutput, error) {
	p, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, err
	}
	found, err := s.List(ctx, p.Tenant)
	if err != nil {
		return nil, err
	}
	out := &contract.SecretListOutput{Items: []contract.SecretName{}}
	for _, info := range found {
		out.Items = append(out.Items, contract.SecretName{Name: info.Name, UpdatedAt: info.UpdatedAt})
	}
	return out, nil
}

// operation is what a record says of a change: never the value.
type operation struct{ name, status, reason string }

// operate makes a change for the caller. The record is durable before the file
// is replaced, so no change goes without one; where the replacement fails, a
// second record says so.
func (s *Store) operate(ctx context.Context, op operation, change func(entryKey, announce) error) (writ.Time, error) {
	p, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return 0, err
	}
	if s.opts.Journal == nil {
		return 0, writ.Errorf(writ.CodeUnavailable, opFile, "there is no journal to record the change in")
	}
	at, recorded := s.opts.Clock.Now(), false
	err = change(entryKey{p.Tenant, op.name}, func() error {
		err := s.record(ctx, p, &op, at)
		recorded = err == nil
		return err
	})
	if err != nil && recorded {
		failed := operation{name: op.name, status: statusFailed, reason: op.status}
		err = errors.Join(err, s.record(context.WithoutCancel(ctx), p, &failed, s.opts.Clock.Now()))
	}
	return at, err
}

func (s *Store) record(ctx context.Context, p *writ.Principal, op *operation, at writ.Time) error {
	receipt, err := s.opts.Journal.Append(ctx, &writ.Batch{
		Tenant: p.Tenant, Stream: writ.SystemStream, Expect: writ.AnySeq,
		Records: []writ.NewRecord{{
			Type: writ.RecSecretChanged, Time: at, Actor: writ.AuditOf(p, ""),
			Body: writ.Body{System: &writ.SystemFacts{Subject: op.name, Status: op.status, Reason: op.reason}},
		}},
	})
	if err != nil {
		return err
	}
	return s.opts.Journal.Barrier(ctx, receipt.Position)
}
