package policy

import (
	"context"
	"strings"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// Rollback is contract.PolicyRollback: what was active in the layer before is so
// again. Its signature was verified when it was activated, and its digest proves
// that it is the same; it is not asked anew, since a way back that can be refused
// is none. Errors: CodeInvalid without a reason, CodeConflict where there is
// nothing to go back to, CodeNotFound and CodeTampered of the kept bundle.
func (s *Service) Rollback(ctx context.Context, in *contract.PolicyRollbackInput) (*contract.PolicyRollbackOutput, error) {
	const op = "policy rollback"
	who, err := s.changer(ctx, op)
	if err != nil {
		return nil, err
	}
	layer, err := layerNamed(in.Layer)
	if err != nil {
		return nil, err
	}
	if strings.TrimSpace(in.Reason) == "" {
		return nil, writ.Errorf(writ.CodeInvalid, op, "why? a reason is recorded").WithFix("give --reason")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	current, err := s.current(ctx, layer)
	if err != nil {
		return nil, err
	}
	if current == nil || current.Depth == 0 {
		return nil, writ.Errorf(writ.CodeConflict, op, "nothing was active in the layer %s before what is now", layer).
			WithFix("`writ policy list` shows what is kept; `writ policy activate --digest` makes one of it active")
	}
	t := &turn{who: who, layer: layer, before: current.Digest, reason: in.Reason, rolledBack: true}
	if err := s.pop(ctx, t, current.Depth-1); err != nil {
		return nil, err
	}
	inForce, err := s.turn(ctx, t)
	if err != nil {
		return nil, err
	}
	out := &contract.PolicyRollbackOutput{
		Result: contract.Result{Status: writ.PolicyRolledBack, ChangedAt: s.clock.Now()}, Layer: layer, Previous: t.before, InForce: inForce.ref.Digest,
	}
	if t.to != nil {
		out.Digest, out.Version = t.to.ref.Digest, t.to.ref.Version
	}
	return out, nil
}

// pop finds what is under what is active now. The caller holds mu.
func (s *Service) pop(ctx context.Context, t *turn, depth int) error {
	key := historyKey(t.layer, depth)
	var err error
	if t.now, err = s.activationAt(ctx, key); err != nil {
		return err
	}
	if t.now == nil && depth > 0 {
		return writ.Errorf(writ.CodeTampered, "policy rollback", "the document of what was active before is gone")
	}
	if t.now != nil {
		t.now.At, t.now.By, t.now.Depth = s.clock.Now(), t.who.ID, depth
		t.changes = append(t.changes, writ.Change{Key: key})
	}
	t.to, err = s.judgeIn(ctx, t.layer, t.now)
	return err
}
