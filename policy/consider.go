package policy

import (
	"context"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// Consider is the judge that would be in force with the candidate in its layer and
// the others as they are, and what contract.PolicyImpact says of it. Nothing is
// activated or kept, so the candidate need not be signed yet. CodeInvalid,
// CodeNotFound, or CodeTampered where an untrusted key signed it.
func (s *Service) Consider(ctx context.Context, in *contract.PolicyImpactInput) (writ.Judge, *contract.PolicyImpactOutput, error) {
	if _, err := s.changer(ctx, "policy impact"); err != nil {
		return nil, nil, err
	}
	layer, err := layerNamed(in.Layer)
	if err != nil {
		return nil, nil, err
	}
	given := 0
	for _, is := range []bool{in.Source != "", len(in.Bundle) > 0, in.Digest != ""} {
		if is {
			given++
		}
	}
	if given != 1 {
		return nil, nil, writ.Errorf(writ.CodeInvalid, "policy impact", "name exactly one of source, bundle and digest")
	}
	b, err := s.considered(in)
	if err != nil {
		return nil, nil, err
	}
	s.mu.Lock()
	judge := s.judges[b.digest]
	s.mu.Unlock()
	if judge == nil {
		if judge, err = Compile(ctx, b, s.deadline); err != nil {
			return nil, nil, err
		}
	}
	would, err := s.active.Load().with(layer, judge)
	if err != nil {
		return nil, nil, err
	}
	return would, &contract.PolicyImpactOutput{
		Digest: b.digest, Version: judge.ref.Version, Layer: layer, Layers: layersOf(would),
	}, nil
}

func (s *Service) considered(in *contract.PolicyImpactInput) (*Bundle, error) {
	if in.Digest != "" {
		return s.kept(in.Digest)
	}
	return s.tested(&contract.PolicyTestInput{Source: in.Source, Bundle: in.Bundle})
}

// layersOf are the bundles that a judge asks. One alone is the organisation's.
func layersOf(judge writ.Judge) []contract.PolicyLayer {
	l, ok := judge.(*law)
	if !ok {
		ref := judge.Policy()
		return []contract.PolicyLayer{{Layer: writ.LayerOrganisation, Digest: ref.Digest, Version: ref.Version}}
	}
	var out []contract.PolicyLayer
	for _, p := range l.parts {
		out = append(out, contract.PolicyLayer{Layer: p.layer, Digest: p.policy.ref.Digest, Version: p.policy.ref.Version})
	}
	return out
}
