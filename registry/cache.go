package registry

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/writ-run/writ"
)

// cache keeps what was verified, and snapshots of the store until a change of
// the tenant voids them. Everything in it can be dropped at any time.
type cache struct {
	limit int64 // bytes of modules

	mu         sync.Mutex
	generation uint64 // of all changes
	changing   int    // changes under way: nothing that is read is kept
	used       int64
	trusts     map[writ.TenantID]*trust
	catalogues map[writ.TenantID]*catalogue
	documents  map[writ.TenantID]map[string]*installed // nobody changes them
	contents   map[string]*verified                    // by directory
	order      []string                                // of contents, oldest first
}

// verified is an installed bundle whose bytes were verified and are kept.
type verified struct {
	skill  *writ.Skill
	trust  *trust   // under which it was verified: another snapshot verifies again
	replay bool     // verified without the deny list
	paths  []string // of its files
	marks  marks
	seen   atomic.Int64 // when the marks were last looked at, in nanoseconds since the epoch
}

// glance is how long a look at the marks is good for. What runs in between are
// the verified bytes in memory, whatever is on disk; a busy host would otherwise
// ask for ten files' marks thousands of times a second.
const glance = 50 * time.Millisecond

// stands reports whether the files are as they were verified.
func (v *verified) stands(now time.Time) bool {
	if age := now.UnixNano() - v.seen.Load(); age >= 0 && age < int64(glance) {
		return true
	}
	if !v.marks.hold(v.paths) {
		return false
	}
	v.seen.Store(now.UnixNano())
	return true
}

func newCache(limit int64) cache {
	return cache{
		limit: limit, trusts: map[writ.TenantID]*trust{},
		catalogues: map[writ.TenantID]*catalogue{}, documents: map[writ.TenantID]map[string]*installed{},
		contents: map[string]*verified{},
	}
}

// mark is taken before the store is read: what was read is kept only where
// nothing changed meanwhile.
func (c *cache) mark() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.generation
}

// change voids the tenant's snapshots until the returned function is called, so
// that nobody who sees that a change is recorded is answered from before it.
// Contents are judged by their own marks.
func (c *cache) change(tenant writ.TenantID) (done func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.generation++
	c.changing++
	delete(c.trusts, tenant)
	delete(c.catalogues, tenant)
	delete(c.documents, tenant)
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.generation++
		c.changing--
	}
}

func (c *cache) document(tenant writ.TenantID, name string) *installed {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.documents[tenant][name]
}

func (c *cache) keepDocument(tenant writ.TenantID, name string, doc *installed, mark uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.generation != mark || c.changing > 0 {
		return
	}
	if c.documents[tenant] == nil {
		c.documents[tenant] = map[string]*installed{}
	}
	c.documents[tenant][name] = doc
}

func (c *cache) trust(tenant writ.TenantID) *trust {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.trusts[tenant]
}

func (c *cache) keepTrust(tenant writ.TenantID, t *trust, mark uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.generation == mark && c.changing == 0 {
		c.trusts[tenant] = t
	}
}

func (c *cache) catalogue(tenant writ.TenantID) *catalogue {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.catalogues[tenant]
}

func (c *cache) keepCatalogue(tenant writ.TenantID, cat *catalogue, mark uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.generation == mark && c.changing == 0 {
		c.catalogues[tenant] = cat
	}
}

func (c *cache) content(dir string) *verified {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.contents[dir]
}

// keepContent makes room by dropping what came first.
func (c *cache) keepContent(dir string, v *verified) {
	size := int64(len(v.skill.Module))
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop(dir)
	for c.used+size > c.limit && len(c.order) > 0 {
		c.drop(c.order[0])
	}
	if size > c.limit {
		return
	}
	c.contents[dir], c.used = v, c.used+size
	c.order = append(c.order, dir)
}

func (c *cache) dropContent(dir string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop(dir)
}

func (c *cache) drop(dir string) {
	v, ok := c.contents[dir]
	if !ok {
		return
	}
	delete(c.contents, dir)
	c.used -= int64(len(v.skill.Module))
	c.order = slices.DeleteFunc(c.order, func(d string) bool { return d == dir })
}
