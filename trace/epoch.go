package trace

import (
	"context"

	"github.com/writ-run/writ"
)

// Epoch implements writ.Journal. It is the length of the tenant's system journal
// and one: whatever is revoked, granted, installed or activated is a record
// there. It waits until those records are on disk, so that what is read after it
// is not older than what it counts.
func (j *Journal) Epoch(ctx context.Context, tenant writ.TenantID) (uint64, error) {
	j.mu.Lock()
	h, err := j.headNow(streamName(tenant, writ.SystemStream))
	if err != nil {
		j.mu.Unlock()
		return 0, err
	}
	seq, position := h.Seq, h.Position
	j.mu.Unlock()
	return seq + 1, j.Barrier(ctx, position)
}

// checkEpoch refuses a batch whose decision is older than the tenant's last
// change, one that is accepted and not yet durable included. mu is held.
func (j *Journal) checkEpoch(in *writ.Batch) error {
	if in.Epoch == 0 {
		return nil
	}
	h, err := j.headNow(streamName(in.Tenant, writ.SystemStream))
	if err != nil || h.Seq+1 == in.Epoch {
		return err
	}
	stale := writ.Errorf(writ.CodeConflict, "stream "+string(in.Stream), "it was decided in epoch %d, and now is %d", in.Epoch, h.Seq+1)
	stale.Err = writ.ErrStaleEpoch
	return stale.WithFix("decide again")
}
