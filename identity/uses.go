package identity

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/writ-run/writ"
)

// held is a grant with those that it was delegated from, nearest first. A grant
// is never changed but for its uses, so it can be kept until it is revoked.
type held struct {
	grant writ.Grant
	above []writ.Grant
}

// used is the stored count of a grant.
type used struct {
	Uses int `json:"uses"`
}

// Candidates are the principal's live grants that reach one of the capabilities, and
// those for every tool: what a decision needs to see, and no more. One is left out that
// is over, and one that was delegated from a grant that is over or used up. An attempt
// that asks is not counted against itself.
func (s *Service) Candidates(ctx context.Context, p *writ.Principal, wanted []writ.Capability, mine []writ.GrantUse) ([]writ.Grant, error) {
	holding, err := s.grantsOf(ctx, p.Tenant, p.ID)
	if err != nil {
		return nil, err
	}
	now := s.opts.Clock.Now()
	found := holding.concern(wanted)
	out := make([]writ.Grant, 0, len(found))
	for _, i := range found {
		h := &holding.all[i]
		g := h.grant
		g.Uses = s.count(&g, mine)
		if !g.Expired(now) && s.overAbove(h, now, mine) == "" {
			out = append(out, g)
		}
	}
	return out, nil
}

// over says why nothing may be done under a grant any more; empty: something may.
func (s *Service) over(h *held, now writ.Time) string {
	g := h.grant
	g.Uses = s.count(&g, nil)
	switch {
	case g.Expired(now):
		return "it expired at " + g.Expires.String()
	case g.Spent():
		return "its uses are used up"
	}
	return s.overAbove(h, now, nil)
}

func (s *Service) overAbove(h *held, now writ.Time, mine []writ.GrantUse) string {
	for i := range h.above {
		above := h.above[i]
		above.Uses = s.count(&above, mine)
		switch {
		case above.Expired(now):
			return above.ID + ", which it was delegated from, expired at " + above.Expires.String()
		case above.Spent():
			return "the uses of " + above.ID + ", which it was delegated from, are used up"
		}
	}
	return ""
}

func countKey(g *writ.Grant) string { return string(g.Tenant) + "\x00" + g.ID }

// count is how often a grant was used by others than the one who asks. It is known
// of each that grantsOf returns.
func (s *Service) count(g *writ.Grant, mine []writ.GrantUse) int {
	if g.MaxUses == 0 {
		return 0
	}
	n, ok := s.counts.Load(countKey(g))
	if !ok {
		return g.MaxUses // nobody has counted: none is left
	}
	if slices.ContainsFunc(mine, func(u writ.GrantUse) bool { return u.ID == g.ID }) {
		return max(n.(int)-1, 0)
	}
	return n.(int)
}

// countIn reads a count once; from then on it is kept, since the journal may have
// accepted uses that the store does not show yet.
func (s *Service) countIn(ctx context.Context, g *writ.Grant) error {
	if g.MaxUses == 0 {
		return nil
	}
	if n, ok := s.counts.Load(countKey(g)); ok {
		g.Uses = n.(int)
		return nil
	}
	var stored used
	if err := s.get(ctx, g.Tenant, usePrefix+g.ID, &stored); err != nil && !writ.IsCode(err, writ.CodeNotFound) {
		return err
	}
	// Another may have counted on meanwhile: its number stands.
	n, _ := s.counts.LoadOrStore(countKey(g), stored.Uses)
	g.Uses = n.(int)
	return nil
}

func (s *Service) grantsOf(ctx context.Context, tenant writ.TenantID, id writ.PrincipalID) (*holding, error) {
	if cached, ok := s.grants.Load(string(tenant) + "\x00" + string(id)); ok {
		return cached.(*holding), nil
	}
	// Under mu, so that a revocation cannot slip between reading and keeping.
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.readGrants(ctx, tenant, id)
}

// readGrants is grantsOf for a caller that holds mu.
func (s *Service) readGrants(ctx context.Context, tenant writ.TenantID, id writ.PrincipalID) (*holding, error) {
	key := string(tenant) + "\x00" + string(id)
	if cached, ok := s.grants.Load(key); ok {
		return cached.(*holding), nil
	}
	own, err := s.allGrants(ctx, tenant, id)
	if err != nil {
		return nil, err
	}
	var all []writ.Grant // of everybody, where one was delegated
	if slices.ContainsFunc(own, func(g writ.Grant) bool { return g.Parent != "" }) {
		if all, err = s.allGrants(ctx, tenant, ""); err != nil {
			return nil, err
		}
	}
	found := make([]held, 0, len(own))
	for _, g := range own {
		h, err := s.withAbove(ctx, g, all)
		if err != nil {
			return nil, err
		}
		found = append(found, *h)
	}
	out := newHolding(found)
	s.grants.Store(key, out)
	return out, nil
}

// withAbove finds what a grant was delegated from, and counts. CodeTampered where
// that is not there: a revocation takes everything below along.
func (s *Service) withAbove(ctx context.Context, g writ.Grant, all []writ.Grant) (*held, error) {
	h := &held{grant: g}
	if err := s.countIn(ctx, &h.grant); err != nil {
		return nil, err
	}
	for id := g.Parent; id != ""; {
		above, err := grantIn(all, id)
		if err != nil || len(h.above) == maxDelegation {
			return nil, writ.Errorf(writ.CodeTampered, "grant "+g.ID, "%s, which it was delegated from, is not there", id).WithFix("revoke it with `writ grant revoke %s`", g.ID)
		}
		if err := s.countIn(ctx, above); err != nil {
			return nil, err
		}
		h.above = append(h.above, *above)
		id = above.Parent
	}
	return h, nil
}

// forgetGrants comes before a change is recorded: who then asks waits for mu and
// reads what was recorded, so that no epoch is answered from before it.
func (s *Service) forgetGrants(tenant writ.TenantID, id writ.PrincipalID) {
	s.grants.Delete(string(tenant) + "\x00" + string(id))
}

// Take counts one use of each grant and of each above it that counts, with the
// records that write appends: the numbers are compared and changed under mu, and
// are on disk in the transaction of those records. An attempt takes one use of a
// grant, however often it needs it. CodeConflict because of writ.ErrGrantSpent
// where a grant is over by now; nothing is written then.
func (s *Service) Take(ctx context.Context, taking *writ.Taking, write func([]writ.GrantUse, []writ.Change) error) error {
	all, err := s.grantsOf(ctx, taking.Principal.Tenant, taking.Principal.ID)
	if err != nil {
		return err
	}
	if !anyCounts(all, taking.Grants) { // nothing to be compared: nobody waits for a lock
		return s.takeFrom(all, taking, write)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if all, err = s.readGrants(ctx, taking.Principal.Tenant, taking.Principal.ID); err != nil {
		return err
	}
	return s.takeFrom(all, taking, write)
}

func anyCounts(all *holding, ids []string) bool {
	counts := func(g writ.Grant) bool { return g.MaxUses != 0 }
	return slices.ContainsFunc(ids, func(id string) bool {
		h := all.grant(id)
		return h != nil && (counts(h.grant) || slices.ContainsFunc(h.above, counts))
	})
}

func (s *Service) takeFrom(all *holding, taking *writ.Taking, write func([]writ.GrantUse, []writ.Change) error) error {
	t := taker{s: s, now: s.opts.Clock.Now(), mine: taking.Held, counts: map[string]int{}}
	var chains []*held
	for _, id := range taking.Grants {
		h := all.grant(id)
		if h == nil {
			return spent(id, "it was revoked")
		}
		chains = append(chains, h)
		if err := t.take(&h.grant, ""); err != nil {
			return err
		}
	}
	for _, h := range chains {
		for i := range h.above {
			if err := t.take(&h.above[i], h.grant.ID); err != nil {
				return err
			}
		}
	}
	if err := write(t.uses, t.changes); err != nil {
		return err
	}
	for key, n := range t.counts {
		s.counts.Store(key, n)
	}
	return nil
}

// taker adds up what one attempt takes.
type taker struct {
	s       *Service
	now     writ.Time
	mine    []writ.GrantUse
	uses    []writ.GrantUse
	changes []writ.Change
	counts  map[string]int
}

// take adds a grant, or one above it for the sake of another. What does not count
// stands in the record only where it was needed itself.
func (t *taker) take(g *writ.Grant, forID string) error {
	if g.Expired(t.now) {
		return spent(g.ID, "it expired")
	}
	use := writ.GrantUse{ID: g.ID, For: forID, BreakGlass: g.BreakGlass}
	if g.MaxUses == 0 {
		if forID == "" {
			t.uses = append(t.uses, use)
		}
		return nil
	}
	for _, before := range slices.Concat(t.mine, t.uses) {
		if before.ID != g.ID {
			continue
		}
		if use.Use = before.Use; forID == "" { // it was above another, and now is needed itself
			t.uses = append(t.uses, use)
		}
		return nil
	}
	if use.Use = t.s.count(g, nil) + 1; use.Use > g.MaxUses {
		return spent(g.ID, "its uses are used up")
	}
	raw, err := json.Marshal(used{use.Use})
	if err != nil {
		return writ.Errorf(writ.CodeInternal, "grant "+g.ID, "its count cannot be encoded: %w", err)
	}
	t.uses = append(t.uses, use)
	t.changes = append(t.changes, writ.Change{Key: usePrefix + g.ID, Value: raw})
	t.counts[countKey(g)] = use.Use
	return nil
}

func spent(id, why string) error {
	e := writ.Errorf(writ.CodeConflict, "grant "+id, "%s", why)
	e.Err = writ.ErrGrantSpent
	return e.WithFix("see `writ grant list`")
}
