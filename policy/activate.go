package policy

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/contract"
)

// builtinSigner stands in records for the bundle that came with the binary.
const builtinSigner = "binary"

// Activate is contract.PolicyActivate. The bundle's signature is verified, its
// tests run and it is asked about the floor first; the record is durable before
// the first decision under it. Errors: CodeInvalid, CodeTampered, CodeNotFound,
// CodeConflict with the failing tests, or the question, in Details.
func (s *Service) Activate(ctx context.Context, in *contract.PolicyActivateInput) (*contract.PolicyActivateOutput, error) {
	who, err := s.changer(ctx, "policy activate")
	if err != nil {
		return nil, err
	}
	layer, err := layerNamed(in.Layer)
	if err != nil {
		return nil, err
	}
	b, signer, err := s.candidate(ctx, in)
	if err != nil {
		return nil, err
	}
	judge, err := s.fit(ctx, b)
	if err != nil {
		return nil, err
	}
	if err := s.keep(b); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.judges[b.digest], s.proved[b.digest] = judge, true
	current, err := s.current(ctx, layer)
	if err != nil {
		return nil, err
	}
	t := &turn{who: who, layer: layer, to: judge, reason: in.Reason}
	t.now = &activation{Digest: b.digest, Version: judge.ref.Version, At: s.clock.Now(), By: who.ID, Signer: signer}
	if err := s.push(t, current); err != nil {
		return nil, err
	}
	inForce, err := s.turn(ctx, t)
	if err != nil {
		return nil, err
	}
	return &contract.PolicyActivateOutput{
		Result: contract.Result{Status: "active", ChangedAt: t.now.At},
		Digest: b.digest, Version: judge.ref.Version, Previous: t.before,
		Layer: layer, InForce: inForce.ref.Digest,
	}, nil
}

// changer is who may change the law of the host, or ask what a change would do.
func (s *Service) changer(ctx context.Context, op string) (*writ.Principal, error) {
	who, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, err
	}
	if who.Tenant != s.tenant {
		return nil, writ.Errorf(writ.CodeForbidden, op, "%s is of another tenant", who.ID).
			WithFix("the policy is the host's: ask an admin of the tenant %s", s.tenant)
	}
	return who, nil
}

// layerNamed reads the layer of an input; absent is the organisation's.
func layerNamed(layer writ.Layer) (writ.Layer, error) {
	switch layer {
	case "", writ.LayerOrganisation:
		return writ.LayerOrganisation, nil
	case writ.LayerTenant:
		return layer, nil
	case writ.LayerFloor:
		return "", writ.Errorf(writ.CodeInvalid, "policy layer", "the floor is code: no bundle is activated there").
			WithFix("name organisation or tenant; either can be stricter than the floor")
	}
	return "", writ.Errorf(writ.CodeInvalid, "policy layer", "%q is not a layer", string(layer)).WithFix("name organisation or tenant")
}

// fit compiles a bundle that may decide: its tests pass, and none of its own
// answers is looser than the floor. What the same bytes came to once is known.
func (s *Service) fit(ctx context.Context, b *Bundle) (*Policy, error) {
	s.mu.Lock()
	judge, known := s.judges[b.digest], s.proved[b.digest]
	s.mu.Unlock()
	if known {
		return judge, nil
	}
	judge, err := Compile(ctx, b, s.deadline)
	if err != nil {
		return nil, err
	}
	if err := passes(ctx, b); err != nil {
		return nil, err
	}
	return judge, judge.keepsFloor(ctx)
}

// candidate finds the bundle and who answers for it. One that was activated
// before has been verified then; its digest proves that it is the same.
func (s *Service) candidate(ctx context.Context, in *contract.PolicyActivateInput) (*Bundle, string, error) {
	const op = "policy activate"
	given := 0
	for _, is := range []bool{in.Source != "", len(in.Bundle) > 0, in.Digest != ""} {
		if is {
			given++
		}
	}
	if given != 1 {
		return nil, "", writ.Errorf(writ.CodeInvalid, op, "name exactly one of source, bundle and digest")
	}
	if in.Digest != "" {
		b, err := s.kept(in.Digest)
		if err != nil {
			return nil, "", err
		}
		if b.digest == s.builtin.digest {
			return b, builtinSigner, nil
		}
		// Kept files alone prove nothing: an older binary's own bundle is kept too.
		for _, layer := range bundleLayers {
			before, err := s.activationAt(ctx, keyIn(bundlePrefix+in.Digest.Hex(), layer))
			if err == nil && before != nil {
				return b, before.Signer, nil
			}
		}
		signer, err := b.Verify(s.keys)
		return b, signer, err
	}
	b, err := open(in.Source, in.Bundle)
	if err != nil {
		return nil, "", err
	}
	if b.digest == s.builtin.digest {
		return b, builtinSigner, nil
	}
	signer, err := b.Verify(s.keys)
	return b, signer, err
}

func open(source string, archive []byte) (*Bundle, error) {
	if source != "" {
		return LoadBundle(source)
	}
	return ReadBundle(archive)
}

// passes refuses a bundle whose tests fail, and one that has none: it proves
// nothing of what its author meant.
func passes(ctx context.Context, b *Bundle) error {
	op := "policy " + string(b.digest)
	report, err := RunTests(ctx, b)
	if err != nil {
		return err
	}
	if len(report.Cases) == 0 {
		return writ.Errorf(writ.CodeConflict, op, "has no tests").
			WithFix("add rules named test_... to a package ending in _test, in a file NAME_test.rego")
	}
	if failed := report.Failed(); failed > 0 {
		broken := slices.DeleteFunc(slices.Clone(report.Cases), func(c TestCase) bool { return c.Passed })
		return &writ.Error{
			Code: writ.CodeConflict, Op: op, Details: casesOf(broken),
			Message: "its own tests fail: " + broken[0].Name + ": " + broken[0].Message,
			Fix:     "`writ policy test` lists them all",
		}
	}
	return nil
}

// turn is a change of what is active in a layer.
type turn struct {
	who        *writ.Principal
	layer      writ.Layer
	now        *activation // nil: nothing is active there any more
	to         *Policy     // of now; of the organisation the binary's own where now is nil
	before     writ.Digest // what was active in the layer; empty: nothing
	reason     string
	rolledBack bool
	changes    []writ.Change // of the history
}

func historyKey(layer writ.Layer, depth int) string {
	return fmt.Sprintf("%s%s/%08d", historyPrefix, layer, depth)
}

// push keeps what is active now for a rollback. The same bundle once more is no
// step that could be gone back. The caller holds mu.
func (s *Service) push(t *turn, current *activation) error {
	if was := s.active.Load().in(t.layer); was != nil {
		t.before = was.ref.Digest
	}
	if current != nil {
		t.now.Depth = current.Depth
	}
	if t.before == t.now.Digest {
		return nil
	}
	t.now.Depth++
	if current == nil {
		return nil // the bottom: the binary's own, or nothing
	}
	value, err := canon.MarshalJSON(current)
	if err != nil {
		return writ.Errorf(writ.CodeInternal, "policy activate", "%w", err)
	}
	t.changes = append(t.changes, writ.Change{Key: historyKey(t.layer, current.Depth), Value: value})
	return nil
}

// turn makes the change durable before anything decides under it. The caller
// holds mu.
func (s *Service) turn(ctx context.Context, t *turn) (*law, error) {
	inForce, err := s.active.Load().with(t.layer, t.to)
	if err != nil {
		return nil, err
	}
	if err := s.keepLaw(inForce); err != nil {
		return nil, err
	}
	s.switching.Lock()
	defer s.switching.Unlock()
	if err := s.record(ctx, t, inForce); err != nil {
		return nil, err
	}
	if len(inForce.parts) > 1 {
		s.laws[inForce.ref.Digest] = inForce
	}
	s.active.Store(inForce)
	return inForce, nil
}

func (s *Service) record(ctx context.Context, t *turn, inForce *law) error {
	details := map[string]string{"layer": string(t.layer), "inForce": string(inForce.ref.Digest)}
	facts := &writ.SystemFacts{Subject: "policy", Digest: inForce.ref.Digest, Version: inForce.ref.Version, Status: "active", Reason: t.reason, Details: details}
	if t.to != nil {
		facts.Digest, facts.Version, details["signer"] = t.to.ref.Digest, t.to.ref.Version, builtinSigner
	}
	if t.to != nil && len(t.to.declassifies) > 0 {
		var names []string
		for i := range t.to.declassifies {
			names = append(names, t.to.declassifies[i].Name)
		}
		details["declassifies"] = strings.Join(names, ", ")
	}
	if t.before != "" {
		details["previous"] = string(t.before)
	}
	at := s.clock.Now()
	active := writ.Change{Key: keyIn(activePrefix, t.layer)}
	if t.now != nil {
		value, err := canon.MarshalJSON(t.now)
		if err != nil {
			return writ.Errorf(writ.CodeInternal, "policy activate", "%w", err)
		}
		at, active.Value, details["signer"] = t.now.At, value, t.now.Signer
		t.changes = append(t.changes, writ.Change{Key: keyIn(bundlePrefix+t.now.Digest.Hex(), t.layer), Value: value})
	}
	if t.rolledBack {
		facts.Status = writ.PolicyRolledBack
	}
	told, err := noticeOf(facts, at)
	if err != nil {
		return err
	}
	receipt, err := s.journal.Append(ctx, &writ.Batch{
		Tenant: s.tenant, Stream: writ.SystemStream, Expect: writ.AnySeq,
		Records: []writ.NewRecord{{
			Type: writ.RecPolicyActivated, Time: at, Actor: writ.AuditOf(t.who, ""), Body: writ.Body{System: facts},
		}},
		Changes: append(t.changes, active, told),
	})
	if err != nil {
		return err
	}
	// What is accepted is waited for, even if the caller is gone: nobody may read
	// and keep the state before it.
	return s.journal.Barrier(context.WithoutCancel(ctx), receipt.Position)
}

// noticeOf is what other tenants are told of an activation: which law it is, and
// neither who nor why.
func noticeOf(facts *writ.SystemFacts, at writ.Time) (writ.Change, error) {
	notice := writ.Notice{Type: writ.RecPolicyActivated, Time: at, Facts: writ.SystemFacts{
		Subject: facts.Subject, Digest: facts.Digest, Version: facts.Version, Status: facts.Status,
		Details: map[string]string{"layer": facts.Details["layer"], "inForce": facts.Details["inForce"]},
	}}
	return notice.Change()
}
