package drift

import (
	"context"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// serious are findings because of which a host is degraded: what runs, or decides, is
// not what somebody approved, or does not come out as it did. The others are about
// what is old, late or to be looked at.
var serious = map[contract.DriftCode]bool{
	contract.DriftSkillRevoked: true, contract.DriftSkillChanged: true, contract.DriftPolicyUnapproved: true,
	contract.DriftPolicyNotPinned: true, contract.DriftReplayBroken: true,
}

// Serious counts, by code, the tenant's serious findings of the last look.
func (s *Service) Serious(ctx context.Context, tenant writ.TenantID) (map[contract.DriftCode]int, error) {
	said, err := s.before(ctx, tenant)
	if err != nil {
		return nil, err
	}
	out := map[contract.DriftCode]int{}
	for _, f := range said {
		if serious[f.Code] {
			out[f.Code]++
		}
	}
	return out, nil
}
