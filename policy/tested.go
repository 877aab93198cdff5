package policy

import (
	"context"
	"slices"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// Test is contract.PolicyTest. Nothing is activated, so a bundle need not be
// signed yet; one that is signed by a key that is not trusted is CodeTampered.
// What is asked about the floor counts as one more test.
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
	if len(report.Cases) == 0 {
		status = "failed"
	}
	judge, err := Compile(ctx, b, s.deadline)
	if err != nil {
		return nil, err
	}
	floor, err := judge.floorTest(ctx)
	if err != nil {
		return nil, err
	}
	report.Cases = append(report.Cases, floor)
	if report.Failed() > 0 {
		status = "failed"
	}
	ref := b.Ref()
	return &contract.PolicyTestOutput{
		Result: contract.Result{Status: status, ChangedAt: s.clock.Now()},
		Digest: ref.Digest, Version: ref.Version,
		Passed: len(report.Cases) - report.Failed(), Failed: report.Failed(),
		Coverage: report.Coverage, Files: slices.Clone(report.Files), Results: casesOf(report.Cases),
	}, nil
}

// tested is the named bundle, or what is active for the organisation.
func (s *Service) tested(in *contract.PolicyTestInput) (*Bundle, error) {
	if in.Source == "" && len(in.Bundle) == 0 {
		return s.kept(s.active.Load().in(writ.LayerOrganisation).ref.Digest)
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
