package trace

import (
	"context"
	"strings"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/writ-run/writ"
)

// sweepDeliveries goes through what was handled longer ago than the shortest
// retention, as its documents list it: writ.DeliveredPrefix, nanoseconds, stream.
func (j *Journal) sweepDeliveries(ctx context.Context, total *Swept, of sweepOf) error {
	keep := min(j.opts.Retention.Payloads, j.opts.Retention.Entries)
	young := writ.DeliveredKey(of.now.Add(-keep), "")
	for after := ""; ; {
		docs, err := j.List(ctx, writ.StoreQuery{Tenant: of.tenant, Prefix: writ.DeliveredPrefix, After: after, Limit: sweepPage})
		if err != nil || len(docs) == 0 || docs[0].Key >= young {
			return err
		}
		after = docs[len(docs)-1].Key
		var done Swept // the writer's until do succeeds: it may outlast ctx
		err = j.do(ctx, func() error {
			for _, doc := range docs {
				_, stream, _ := strings.Cut(strings.TrimPrefix(doc.Key, writ.DeliveredPrefix), "/")
				if doc.Key >= young || stream == "" {
					continue
				}
				s := &sweeper{sweepOf: of, stream: writ.StreamID(stream), name: streamName(of.tenant, writ.StreamID(stream)), delivered: doc.Key}
				if err := j.sweepStream(&done, s); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		total.add(&done)
	}
}

// handled is ended for a delivery.
func (s *sweeper) handled(txn *badger.Txn) (lists [][]byte, at writ.Time, err error) {
	h, err := existingHead(txn, s.tenant, s.stream)
	if err != nil {
		return nil, 0, err
	}
	last, err := readRecords(txn, &writ.RecordQuery{Tenant: s.tenant, Stream: s.stream, After: h.Seq - 1})
	if err != nil || len(last) == 0 {
		return nil, 0, err
	}
	end := &last[len(last)-1]
	if end.Type != writ.RecDeliveryHandled && end.Type != writ.RecDeliveryAnswered {
		return nil, 0, nil
	}
	return [][]byte{documentKey(s.tenant, s.delivered)}, end.Time, nil
}
