package policy

import (
	"cmp"
	"context"
	"slices"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// builtinSigner stands in records for the bundle that came with the binary.
const builtinSigner = "binary"

// Activate is contract.PolicyActivate. The bundle's signature is verified and its
// tests run first; the record is durable before the first decision under it.
// Errors: CodeInvalid, CodeTampered, CodeNotFound, CodeConflict with the failing
// tests in Details.
func (s *Service) Activate(ctx context.Context, in *contract.PolicyActivateInput) (*contract.PolicyActivateOutput, error) {
	who, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, err
	}
	if who.Tenant != s.tenant {
		return nil, writ.Errorf(writ.CodeForbidden, "policy activate", "%s is of another tenant", who.ID).
			WithFix("the policy is the host's: ask an admin of the tenant %s", s.tenant)
	}
	b, signer, err := s.candidate(ctx, in)
	if err != nil {
		return nil, err
	}
	judge, err := Compile(ctx, b, s.deadline)
	if err != nil {
		return nil, err
	}
	if err := passes(ctx, b); err != nil {
		return nil, err
	}
	if err := s.keep(b); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	previous := s.active.Load().ref.Digest
	ref := b.Ref()
	a := activation{Digest: ref.Digest, Version: ref.Version, At: s.clock.Now(), By: who.ID, Signer: signer}
	s.switching.Lock()
	defer s.switching.Unlock()
	if err := s.record(ctx, who, a, in.Reason); err != nil {
		return nil, err
	}
	s.judges[ref.Digest] = judge
	s.active.Store(judge)
	return &contract.PolicyActivateOutput{
		Result: contract.Result{Status: "active", ChangedAt: a.At},
		Digest: ref.Digest, Version: ref.Version, Previous: previous,
	}, nil
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
		before, err := s.activatedAs(ctx, in.Digest)
		if err == nil {
			return b, before.Signer, nil
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

// Test is contract.PolicyTest. Nothing is activated, so a bundle need not be
// signed yet; one that is signed by a key that is not trusted is CodeTampered.
func (s *Service) Test(ctx context.Context, in *contract.PolicyTestInput) (*contract.PolicyTestOutput, error) {
	if in.Source != "" && len(in.Bundle) > 0 {
		return nil, writ.Errorf(writ.CodeInvalid, "policy test", "name one of source and bundle")
	}
	b, err := s.tested(in)
	if err != nil {
		return nil, err
	}
	report, err := RunTests(ctx, b)
	if err != nil {
		return nil, err
	}
	status := "passed"
	if report.Failed() > 0 || len(report.Cases) == 0 {
		status = "failed"
	}
	ref := b.Ref()
	return &contract.PolicyTestOutput{
		Result: contract.Result{Status: status, ChangedAt: s.clock.Now()},
		Digest: ref.Digest, Version: ref.Version,
		Passed: len(report.Cases) - report.Failed(), Failed: report.Failed(),
		Coverage: report.Coverage, Results: casesOf(report.Cases),
	}, nil
}

func (s *Service) tested(in *contract.PolicyTestInput) (*Bundle, error) {
	if in.Source == "" && len(in.Bundle) == 0 {
		return s.kept(s.active.Load().ref.Digest)
	}
	b, err := open(in.Source, in.Bundle)
	if err != nil {
		return nil, err
	}
	if _, signed := b.files[signatureFile]; signed {
		_, err = b.Verify(s.keys)
	}
	return b, err
}

func casesOf(cases []TestCase) []contract.PolicyTestCase {
	out := make([]contract.PolicyTestCase, 0, len(cases))
	for _, c := range cases {
		out = append(out, contract.PolicyTestCase(c))
	}
	return out
}

// List is contract.PolicyList: the bundles that were active once and the one of
// the binary, the active one first, then the latest.
func (s *Service) List(ctx context.Context, _ *contract.PolicyListInput) (*contract.PolicyListOutput, error) {
	documents, err := s.store.List(ctx, writ.StoreQuery{Tenant: s.tenant, Prefix: bundlePrefix})
	if err != nil {
		return nil, err
	}
	active := s.active.Load().ref.Digest
	items := []contract.PolicyBundle{}
	for _, document := range documents {
		a, err := decodeActivation(document.Value)
		if err != nil {
			return nil, err
		}
		items = append(items, contract.PolicyBundle{Digest: a.Digest, Version: a.Version, Active: a.Digest == active, ActivatedAt: a.At})
	}
	own := s.builtin.Ref()
	if !slices.ContainsFunc(items, func(b contract.PolicyBundle) bool { return b.Digest == own.Digest }) {
		items = append(items, contract.PolicyBundle{Digest: own.Digest, Version: own.Version, Active: own.Digest == active})
	}
	slices.SortFunc(items, func(a, b contract.PolicyBundle) int {
		if a.Active != b.Active {
			return map[bool]int{true: -1, false: 1}[a.Active]
		}
		return cmp.Or(cmp.Compare(b.ActivatedAt, a.ActivatedAt), cmp.Compare(a.Digest, b.Digest))
	})
	return &contract.PolicyListOutput{Result: contract.Result{Status: "ok", ChangedAt: s.clock.Now()}, Items: items}, nil
}

func (s *Service) activatedAs(ctx context.Context, digest writ.Digest) (*activation, error) {
	raw, err := s.store.Get(ctx, s.tenant, bundlePrefix+digest.Hex())
	if err != nil {
		return nil, err
	}
	return decodeActivation(raw)
}
