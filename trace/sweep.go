package trace

import (
	"cmp"
	"context"
	"slices"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

// Swept says what a sweep removed.
type Swept struct {
	Payloads   int // of executions and deliveries that stay
	Executions int
	Deliveries int
}

// sweepPage is how many executions are looked at before the writer is asked, so
// that appends wait for one page at most.
const sweepPage = 64

// Sweep removes what the retention no longer keeps, of executions that have
// ended and of deliveries that were handled: first payloads, whose chain still
// verifies, then all of them, which leaves a tombstone with the last digest. The
// system journal stays.
func (j *Journal) Sweep(ctx context.Context) (Swept, error) {
	var total Swept
	now := j.opts.Clock.Now()
	tenants, err := j.tenants()
	if err != nil {
		return total, err
	}
	for _, tenant := range tenants {
		for _, status := range listStatuses {
			if !status.Final() {
				continue
			}
			if err := j.sweepList(ctx, &total, sweepOf{tenant: tenant, status: indexOf(listStatuses, status), now: now}); err != nil {
				return total, err
			}
		}
		if err := j.sweepDeliveries(ctx, &total, sweepOf{tenant: tenant, now: now}); err != nil {
			return total, err
		}
	}
	return total, nil
}

func (j *Journal) tenants() (tenants []writ.TenantID, err error) {
	err = j.view(func(txn *badger.Txn) error {
		tenants, err = tenantsOf(txn)
		return err
	})
	return tenants, err
}

// sweepOf is a sweep of one tenant's executions of one status.
type sweepOf struct {
	tenant writ.TenantID
	status byte
	now    writ.Time
}

func (j *Journal) sweepList(ctx context.Context, total *Swept, of sweepOf) error {
	var after []byte
	for {
		page, err := j.oldest(&of, after)
		if err != nil || len(page) == 0 {
			return err
		}
		after = page[len(page)-1]
		var done Swept // the writer's until do succeeds: it may outlast ctx
		if err := j.do(ctx, func() error { return j.sweepPage(&done, &of, page) }); err != nil {
			return err
		}
		total.add(&done)
	}
}

func (s *Swept) add(more *Swept) {
	s.Payloads += more.Payloads
	s.Executions += more.Executions
	s.Deliveries += more.Deliveries
}

// oldest pages through executions that began before the shortest retention.
func (j *Journal) oldest(of *sweepOf, after []byte) (page [][]byte, err error) {
	keep := min(j.opts.Retention.Payloads, j.opts.Retention.Entries)
	if after == nil {
		after = listSuffix(of.now.Add(-keep), "")
	}
	var lists [][]byte
	for risk := range listRisks {
		lists = append(lists, listPrefix(of.tenant, "", of.status, byte(risk)))
	}
	err = j.view(func(txn *badger.Txn) error {
		m := newMerge(txn, tenantKey(spaceList, of.tenant), lists)
		defer m.it.Close()
		for m.start(after); m.Len() > 0 && len(page) < sweepPage; {
			page = append(page, m.pop())
		}
		return nil
	})
	return page, err
}

// sweepPage runs in the writer.
func (j *Journal) sweepPage(total *Swept, of *sweepOf, page [][]byte) error {
	for _, suffix := range page {
		stream := writ.StreamID(suffix[8:])
		s := &sweeper{sweepOf: *of, stream: stream, name: streamName(of.tenant, stream)}
		if err := j.sweepStream(total, s); err != nil {
			return err
		}
	}
	return nil
}

// sweepStream keeps batches of the stream away while it removes from it.
func (j *Journal) sweepStream(total *Swept, s *sweeper) error {
	defer j.lockStreams(s.name)()
	if err := j.view(s.plan(&j.opts.Retention)); err != nil {
		return err
	}
	if len(s.writes) == 0 || !j.releaseStream(s.name) {
		return nil
	}
	if err := j.putAll(s.writes); err != nil {
		j.poison(err)
		return poisoned("sweep", err)
	}
	total.Payloads += s.payloads
	switch {
	case s.whole && s.delivered != "":
		total.Deliveries++
	case s.whole:
		total.Executions++
	}
	return nil
}

// releaseStream drops what is cached of a stream; false where a batch for it is
// on its way.
func (j *Journal) releaseStream(name string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if h, ok := j.heads[name]; ok && h.Position > j.durable {
		return false
	}
	delete(j.heads, name)
	delete(j.tracks, name)
	return true
}

// sweeper plans what is removed of one execution, delivery or message.
type sweeper struct {
	sweepOf
	stream    writ.StreamID
	name      string
	delivered string // the document that lists a delivery or a message; empty: an execution
	whole     bool
	payloads  int
	writes    []write
}

func (s *sweeper) plan(retention *Retention) func(*badger.Txn) error {
	return func(txn *badger.Txn) error {
		h, err := existingHead(txn, s.tenant, s.stream)
		if err != nil {
			return err
		}
		lists, ended, err := s.ended(txn)
		if err != nil || ended == 0 {
			return err
		}
		age := s.now.Std().Sub(ended.Std())
		s.whole = age > retention.Entries
		if !s.whole && (age <= retention.Payloads || h.SweepDone) {
			return nil
		}
		records, err := readRecords(txn, &writ.RecordQuery{Tenant: s.tenant, Stream: s.stream})
		if err != nil {
			return err
		}
		// The head says so before the first payload is gone and after the last.
		if !s.whole {
			h.Swept = orDefault(h.Swept, s.now)
			if err := s.writeHead(h); err != nil {
				return err
			}
		}
		if err := s.removePacks(txn, records); err != nil {
			return err
		}
		if s.whole {
			return s.removeRecords(txn, h, lists, records)
		}
		h.SweepDone = true
		return s.writeHead(h)
	}
}

// ended is when an execution was last heard of, and where it is listed; zero where
// it goes on.
func (s *sweeper) ended(txn *badger.Txn) (lists [][]byte, at writ.Time, err error) {
	if s.delivered != "" {
		return s.handled(txn)
	}
	execution, _, err := readExecution(txn, s.tenant, s.stream)
	if err != nil || !execution.Status.Final() {
		return nil, 0, err
	}
	listed := listEntryOf(execution)
	return listed.keys(s.tenant), execution.UpdatedAt, nil
}

func (s *sweeper) writeHead(h *head) error {
	encoded, err := canon.MarshalCBOR(h)
	s.writes = append(s.writes, write{streamPrefix(spaceHead, s.name), encoded})
	return err
}

// removePacks leaves what says that they were there, or nothing where the records
// go too. What the packs do not hold is removed by itself.
func (s *sweeper) removePacks(txn *badger.Txn, records []writ.Stored) error {
	packed := map[string]bool{}
	prefix := numberedPrefix(spacePack, s.name)
	err := scan(txn, prefix, prefix, func(item *badger.Item) (bool, error) {
		value, err := item.ValueCopy(nil)
		if err != nil {
			return false, unreadable(err)
		}
		p, err := readPack(value)
		if err != nil {
			return false, tampered("payload", "of %s: %w", s.stream, err)
		}
		for i := 0; i < len(p.tags); i += tagSize {
			packed[string(p.tags[i:i+tagSize])] = true
		}
		switch {
		case s.whole:
			s.writes = append(s.writes, write{key: item.KeyCopy(nil)})
		case p.form == packKept:
			s.writes = append(s.writes, write{item.KeyCopy(nil), p.expired(s.now)})
			s.payloads += len(p.tags) / tagSize
		}
		return true, nil
	})
	if err != nil {
		return err
	}
	for i := range records {
		for _, ref := range records[i].Payloads {
			if !ref.Digest.Valid() || packed[string(tagOf(ref.Digest))] {
				continue
			}
			if err := s.removeLarge(txn, ref); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *sweeper) removeLarge(txn *badger.Txn, ref writ.PayloadRef) error {
	key := payloadKey(s.tenant, ref.Digest)
	value, err := get(txn, key)
	if err != nil || len(value) == 0 {
		return err
	}
	if !s.whole && value[0] == payloadExpired {
		return nil
	}
	if value[0] == payloadPieces {
		if err := s.removePrefix(txn, key, append(append([]byte{}, key...), 0)); err != nil {
			return err
		}
	}
	var mark []byte
	if !s.whole {
		mark = expiredMark(s.now)
		s.payloads++
	}
	s.writes = append(s.writes, write{key, mark})
	return nil
}

func (s *sweeper) removePrefix(txn *badger.Txn, prefix, start []byte) error {
	return scan(txn, prefix, start, func(item *badger.Item) (bool, error) {
		s.writes = append(s.writes, write{key: item.KeyCopy(nil)})
		return true, nil
	})
}

// removeRecords keeps the digests in the index of positions: the chain over the
// store still verifies.
func (s *sweeper) removeRecords(txn *badger.Txn, h *head, lists [][]byte, records []writ.Stored) error {
	stone, err := canon.MarshalCBOR(&tombstone{Head: *h, At: s.now})
	if err != nil {
		return err
	}
	// The tombstone is first: a crash in between leaves no journal that is
	// neither whole nor gone, for a head without records would be one.
	first := []write{
		{streamPrefix(spaceGone, s.name), stone},
		{key: streamPrefix(spaceHead, s.name)},
		{key: streamPrefix(spaceProject, s.name)},
	}
	for _, key := range lists {
		first = append(first, write{key: key})
	}
	s.writes = append(first, s.writes...)
	if h.imported() {
		evidence := numberedPrefix(spaceEvidence, s.name)
		if err := s.removePrefix(txn, evidence, evidence); err != nil {
			return err
		}
	}
	if h.imported() {
		foreign := numberedPrefix(spaceForeign, s.name)
		return s.removePrefix(txn, foreign, foreign)
	}
	// In this order a crash in between leaves no place without its record.
	if err := s.leavePlaces(txn, records); err != nil {
		return err
	}
	prefix := numberedPrefix(spaceRecord, s.name)
	return s.removePrefix(txn, prefix, prefix)
}

// leavePlaces takes the stream's name out of the index of positions.
func (s *sweeper) leavePlaces(txn *badger.Txn, records []writ.Stored) error {
	places := index{txn: txn, tenant: s.tenant}
	for i := 0; i < len(records); {
		if at, err := places.at(records[i].Position); at == nil || err != nil {
			return cmp.Or(err, noIndex())
		}
		end := places.runs[len(places.runs)-1].last()
		kept := slices.Clone(places.runs)
		for k := range kept {
			if kept[k].stream == s.stream {
				kept[k].stream, kept[k].seq = "", 0
			}
		}
		s.writes = append(s.writes, write{positionKey(s.tenant, end), sealRuns(kept)})
		for i < len(records) && records[i].Position <= end {
			i++
		}
	}
	return nil
}
