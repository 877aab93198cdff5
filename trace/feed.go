package trace

import (
	"context"
	"strconv"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/writ-run/writ"
)

func uitoa(n uint64) string { return strconv.FormatUint(n, 10) }

// feedPage is how many records a feed reads at once: nothing of the store is
// held while the consumer works on them.
const feedPage = 128

// Feed implements writ.Traces. It returns nil when ctx ends and fn's error when
// fn errs. Records whose retention has passed are left out.
func (j *Journal) Feed(ctx context.Context, tenant writ.TenantID, after writ.Position, fn func(*writ.Stored) error) error {
	if !validName(string(tenant)) {
		return writ.Errorf(writ.CodeInvalid, "feed", "no tenant is named")
	}
	for {
		// Taken before the read, so that no commit in between is missed.
		changed, err := j.changed()
		if err != nil {
			return err
		}
		page, last, err := j.feedPage(tenant, after)
		if err != nil {
			return err
		}
		for i := range page {
			if ctx.Err() != nil {
				return nil
			}
			if err := fn(&page[i]); err != nil {
				return err
			}
		}
		if last > after {
			after = last
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		case <-j.stop:
			return writ.Errorf(writ.CodeUnavailable, "feed", "the journal is closed")
		}
	}
}

// changed is closed at the next commit.
func (j *Journal) changed() (<-chan struct{}, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.failed != nil {
		return nil, poisoned("feed", j.failed)
	}
	return j.committed, nil
}

// feedPage reads the next records and the position of the last place seen.
func (j *Journal) feedPage(tenant writ.TenantID, after writ.Position) (page []writ.Stored, last writ.Position, err error) {
	err = j.view(func(txn *badger.Txn) error {
		of := &segments{txn: txn}
		return scan(txn, tenantKey(spacePosition, tenant), positionKey(tenant, after+1), func(item *badger.Item) (bool, error) {
			runs, err := readRuns(item)
			if err != nil {
				return false, err
			}
			for i := 0; i < len(runs) && len(page) < feedPage; i++ {
				if runs[i].last() <= after {
					continue
				}
				last = runs[i].last()
				if runs[i].stream == "" {
					continue
				}
				records, err := runs[i].records(of)
				if err != nil {
					return false, err
				}
				for k := range records {
					if records[k].Position > after {
						page = append(page, records[k])
					}
				}
			}
			return len(page) < feedPage, nil
		})
	})
	return page, last, err
}

// Last is the position of the tenant's last record that a Feed would have come to; 0
// where there is none.
func (j *Journal) Last(tenant writ.TenantID) (last writ.Position, err error) {
	if !validName(string(tenant)) {
		return 0, writ.Errorf(writ.CodeInvalid, "feed", "no tenant is named")
	}
	err = j.view(func(txn *badger.Txn) error {
		opts := badger.DefaultIteratorOptions
		opts.Reverse, opts.PrefetchValues, opts.Prefix = true, false, tenantKey(spacePosition, tenant)
		it := txn.NewIterator(opts)
		defer it.Close()
		it.Seek(positionKey(tenant, ^writ.Position(0)))
		if !it.Valid() {
			return nil
		}
		var ok bool
		if _, last, ok = splitPositionKey(it.Item().Key()); !ok {
			return noIndex()
		}
		return nil
	})
	return last, err
}
