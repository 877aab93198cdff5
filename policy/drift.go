package policy

import (
	"cmp"
	"context"
	"sync"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// recorded is the newest activation that the system journal holds. It is read on from
// where it was read to: records do not change.
type recorded struct {
	mu     sync.Mutex
	after  uint64
	digest writ.Digest // "" where nothing was ever activated
}

// recordPage is how many records are read at a time.
const recordPage = 500

func (r *recorded) newest(ctx context.Context, traces writ.Traces, tenant writ.TenantID) (writ.Digest, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		page, err := traces.Records(ctx, writ.RecordQuery{Tenant: tenant, Stream: writ.SystemStream, After: r.after, Limit: recordPage})
		if writ.IsCode(err, writ.CodeNotFound) {
			return r.digest, nil
		}
		if err != nil {
			return "", err
		}
		for i := range page {
			r.after = page[i].Seq
			if page[i].Type == writ.RecPolicyActivated && page[i].Body.System != nil {
				// With several layers, what is in force is none of the bundles.
				f := page[i].Body.System
				r.digest = cmp.Or(writ.Digest(f.Details["inForce"]), f.Digest)
			}
		}
		if len(page) < recordPage {
			return r.digest, nil
		}
	}
}

// Drift finds that another bundle decides than the newest activation on record says, or
// than pin does. An empty pin pins nothing.
func (s *Service) Drift(pin writ.Digest) func(context.Context, writ.TenantID) ([]contract.DriftFinding, error) {
	return func(ctx context.Context, tenant writ.TenantID) ([]contract.DriftFinding, error) {
		if tenant != s.tenant {
			return nil, nil
		}
		approved, err := s.recorded.newest(ctx, s.traces, tenant)
		if err != nil {
			return nil, err
		}
		active := s.Active().Policy().Digest
		var out []contract.DriftFinding
		if approved != "" && approved != active {
			out = append(out, contract.DriftFinding{
				Code: contract.DriftPolicyUnapproved, Subject: string(active), Message: "decides, and the newest activation on record is of " + string(approved),
				Fix: "find out who wrote to the store, then: writ policy activate --digest " + string(approved),
			})
		}
		if pin != "" && pin != active {
			out = append(out, contract.DriftFinding{
				Code: contract.DriftPolicyNotPinned, Subject: string(active), Message: "decides, and policy.pin says " + string(pin),
				Fix: "writ policy activate --digest " + string(pin) + "; where the other is meant, change policy.pin and start again",
			})
		}
		return out, nil
	}
}
