package identity

import (
	"bytes"
	"context"

	"github.com/writ-run/writ"
)

// Announce tells each tenant what is the host's and was not told to it yet, and
// lists them all. It does nothing where everybody knows, so it is called after each
// such change, and at each start for what a crash left untold. The tenants are
// looked up after the change: whoever is made later is told by TenantCreate.
func (s *Service) Announce(ctx context.Context) ([]writ.TenantID, error) {
	ctx = context.WithoutCancel(ctx) // it is in force by now
	s.telling.Lock()
	defer s.telling.Unlock()
	tenants, err := s.Tenants(ctx)
	if err != nil {
		return nil, err
	}
	notices, err := s.notices(ctx, writ.DefaultTenant)
	if err != nil {
		return nil, err
	}
	for _, tenant := range tenants {
		if err := s.tell(ctx, tenant, notices); err != nil {
			return nil, err
		}
	}
	return tenants, nil
}

// welcome is Announce for one tenant.
func (s *Service) welcome(ctx context.Context, tenant writ.TenantID) error {
	s.telling.Lock()
	defer s.telling.Unlock()
	notices, err := s.notices(ctx, writ.DefaultTenant)
	if err != nil {
		return err
	}
	return s.tell(ctx, tenant, notices)
}

func (s *Service) notices(ctx context.Context, tenant writ.TenantID) ([]writ.Document, error) {
	return s.opts.Store.List(ctx, writ.StoreQuery{Tenant: tenant, Prefix: writ.NoticePrefix})
}

// tell appends what the tenant has not been told. The default tenant's own journal
// has the record of who did it. telling is held.
func (s *Service) tell(ctx context.Context, tenant writ.TenantID, notices []writ.Document) error {
	if tenant == writ.DefaultTenant || len(notices) == 0 {
		return nil
	}
	told, err := s.notices(ctx, tenant)
	if err != nil {
		return err
	}
	known := map[string][]byte{}
	for _, doc := range told {
		known[doc.Key] = doc.Value
	}
	batch := &writ.Batch{Tenant: tenant, Stream: writ.SystemStream, Expect: writ.AnySeq}
	for i := range notices {
		doc := &notices[i]
		if bytes.Equal(known[doc.Key], doc.Value) {
			continue
		}
		n, err := writ.NoticeFrom(doc)
		if err != nil {
			return err
		}
		batch.Records = append(batch.Records, writ.NewRecord{
			Type: n.Type, Time: s.opts.Clock.Now(), Actor: writ.AuditOf(writ.TheHost(tenant), ""), Body: writ.Body{System: &n.Facts},
		})
		batch.Changes = append(batch.Changes, writ.Change{Key: doc.Key, Value: doc.Value})
	}
	if len(batch.Records) == 0 {
		return nil
	}
	receipt, err := s.opts.Journal.Append(ctx, batch)
	if err != nil {
		return err
	}
	return s.opts.Journal.Barrier(ctx, receipt.Position)
}
