package trace

import (
	"context"
	"slices"
	"strings"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/writ-run/writ"
)

// sweepDeliveries goes through deliveries that were handled longer ago than the shortest
// retention, and messages that were said or given up, as their documents list them: a
// prefix, nanoseconds, stream.
func (j *Journal) sweepDeliveries(ctx context.Context, total *Swept, of sweepOf) error {
	before := of.now.Add(-min(j.opts.Retention.Payloads, j.opts.Retention.Entries))
	if err := j.sweepListed(ctx, total, of, writ.DeliveredKey(before, "")); err != nil {
		return err
	}
	return j.sweepListed(ctx, total, of, writ.UnsentKey(before, ""))
}

// sweepListed goes through the documents of a prefix up to the first young one.
func (j *Journal) sweepListed(ctx context.Context, total *Swept, of sweepOf, young string) error {
	first, _, _ := strings.Cut(young, "/")
	prefix := first + "/"
	for after := ""; ; {
		docs, err := j.List(ctx, writ.StoreQuery{Tenant: of.tenant, Prefix: prefix, After: after, Limit: sweepPage})
		if err != nil || len(docs) == 0 || docs[0].Key >= young {
			return err
		}
		after = docs[len(docs)-1].Key
		var done Swept // the writer's until do succeeds: it may outlast ctx
		err = j.do(ctx, func() error {
			for _, doc := range docs {
				_, stream, _ := strings.Cut(strings.TrimPrefix(doc.Key, prefix), "/")
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

// ends are the records behind which nothing comes by itself.
var ends = []writ.RecordType{
	writ.RecDeliveryHandled, writ.RecDeliveryAnswered, writ.RecMessageSent, writ.RecMessageFailed, writ.RecMessageIndeterminate, writ.RecMessageDropped,
}

// handled is ended for a delivery or a message.
func (s *sweeper) handled(txn *badger.Txn) (lists [][]byte, at writ.Time, err error) {
	h, err := existingHead(txn, s.tenant, s.stream)
	if err != nil {
		return nil, 0, err
	}
	last, err := readRecords(txn, &writ.RecordQuery{Tenant: s.tenant, Stream: s.stream, After: h.Seq - 1})
	if err != nil || len(last) == 0 || !slices.Contains(ends, last[len(last)-1].Type) {
		return nil, 0, err
	}
	end := &last[len(last)-1]
	return [][]byte{documentKey(s.tenant, s.delivered)}, end.Time, nil
}
