package intent

import (
	"context"
	"sync"

	"github.com/writ-run/writ"
)

// Books has the book of each tenant, made anew when something there has changed. It is
// safe for concurrent use.
type Books struct {
	// Epoch counts a tenant's changes, as writ.Journal says.
	Epoch func(ctx context.Context, tenant writ.TenantID) (uint64, error)
	// Releases are the tenant's enabled skills, of each one release. They are not whole
	// where one could not be read now.
	Releases func(ctx context.Context, tenant writ.TenantID) (releases []*writ.Release, whole bool, err error)

	mu   sync.Mutex
	kept map[writ.TenantID]keptBook
}

type keptBook struct {
	epoch uint64
	book  *Book
}

// maxBooks are kept: a book has some 100 KiB for each ten skills.
const maxBooks = 64

// Book is of the tenant's skills as they are now.
func (b *Books) Book(ctx context.Context, tenant writ.TenantID) (*Book, error) {
	epoch, err := b.Epoch(ctx, tenant) // before the releases: what changes meanwhile is of a later one
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	have, ok := b.kept[tenant]
	b.mu.Unlock()
	if ok && have.epoch == epoch {
		return have.book, nil
	}
	releases, whole, err := b.Releases(ctx, tenant)
	if err != nil {
		return nil, err
	}
	book := NewBook(releases)
	if whole {
		b.keep(tenant, keptBook{epoch, book})
	}
	return book, nil
}

func (b *Books) keep(tenant writ.TenantID, k keptBook) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.kept == nil {
		b.kept = map[writ.TenantID]keptBook{}
	}
	for other := range b.kept {
		if len(b.kept) < maxBooks {
			break
		}
		delete(b.kept, other) // any: it is made again when it is asked for
	}
	b.kept[tenant] = k
}
