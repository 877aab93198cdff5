// Package budget limits how much may be taken across calls and executions: it
// keeps the limits and what is counted of them, and moves a count only together
// with the record that it counts.
package budget

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/writ-run/writ"
)

// Options are what a Service works with. Store, Journal and Clock must be set.
type Options struct {
	Store   writ.Store
	Journal writ.Journal
	Clock   writ.Clock
	// Tenants are those of the host, at each moment; nil: the default tenant alone.
	Tenants func(ctx context.Context) ([]writ.TenantID, error)
	// Refused hears of each refusal, once it is recorded. It must return at once. nil:
	// nobody does.
	Refused func(refused writ.BudgetUse)
}

// Service keeps budgets. It is safe for concurrent use. Locks: a principal's hour,
// then its tenant's mu; the journal's come after.
type Service struct {
	opts    Options
	tenants sync.Map // tenantID: *tenant
	hours   sync.Map // tenantID NUL principalID: *hour
}

// tenant is what one tenant may take, and has taken.
type tenant struct {
	id writ.TenantID

	// limits are nil until they have been read. A slice is never changed.
	limits atomic.Pointer[[]limit]

	mu       sync.Mutex
	counters map[countID]*counter
	sweepAt  int             // of counters: when there are as many, those that are over are looked for
	garbage  map[string]bool // keys of documents that nobody counts in any more
}

// New makes a service. CodeInvalid where an option is missing.
func New(opts Options) (*Service, error) {
	if opts.Store == nil || opts.Journal == nil || opts.Clock == nil {
		return nil, writ.Errorf(writ.CodeInvalid, "budget", "an option is not set")
	}
	if opts.Tenants == nil {
		opts.Tenants = func(context.Context) ([]writ.TenantID, error) { return []writ.TenantID{writ.DefaultTenant}, nil }
	}
	if opts.Refused == nil {
		opts.Refused = func(writ.BudgetUse) {}
	}
	return &Service{opts: opts}, nil
}

// Take moves the counts of every limit that covers what is wanted, in the batch
// that write appends, and not at all where write errs. The time that write is given
// is that of the record: what is counted lies in the span around it. CodeConflict
// because of writ.ErrBudgetSpent where a limit has no room; nothing is written then.
func (s *Service) Take(ctx context.Context, want *writ.BudgetWant, write func([]writ.BudgetUse, []writ.Change, writ.Time) error) error {
	if want.Steps == 0 {
		return s.take(ctx, want, write)
	}
	h, err := s.hourOf(ctx, want.Principal)
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return s.take(ctx, want, func(uses []writ.BudgetUse, changes []writ.Change, at writ.Time) error {
		next := h.after(at, want.Steps)
		if err := write(uses, append(changes, next.change(h.key)), at); err != nil {
			return err
		}
		h.minutes = next
		return nil
	})
}

func (s *Service) take(ctx context.Context, want *writ.BudgetWant, write func([]writ.BudgetUse, []writ.Change, writ.Time) error) error {
	t, covered, err := s.covering(ctx, want)
	if err != nil {
		return err
	}
	if !covered { // nothing is compared: nobody waits for a lock
		return write(nil, nil, want.Time)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	d := t.draw(want)
	if d.refused != nil {
		e := writ.Errorf(writ.CodeConflict, "budget", "%s", d.refused.Refusal().Message)
		e.Err = writ.ErrBudgetSpent
		return e.WithFix("see `writ budget list`")
	}
	uses := make([]writ.BudgetUse, len(d.charges))
	changes := make([]writ.Change, len(d.charges), len(d.charges)+1)
	for i := range d.charges {
		c := &d.charges[i]
		c.after.add(c.use.Kind, c.use.Amount)
		c.use.Taken = c.after.taken()
		uses[i], changes[i] = c.use, c.after.change()
	}
	return t.with(d, changes, func(changes []writ.Change) error { return write(uses, changes, d.at) })
}

// Refuse calls write with the first limit that has no room for what is wanted, and
// reports whether there is one. That it has refused in this span is kept in the
// batch that write appends.
func (s *Service) Refuse(ctx context.Context, want *writ.BudgetWant, write func(*writ.BudgetUse, []writ.Change, writ.Time) error) (bool, error) {
	t, covered, err := s.covering(ctx, want)
	if err != nil || !covered {
		return false, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	d := t.draw(want)
	if d.refused == nil {
		return false, nil
	}
	c := d.charges[len(d.charges)-1]
	c.use.First = !c.after.told
	var changes []writ.Change
	if d.charges = nil; c.use.First {
		c.after.told = true
		d.charges, changes = append(d.charges, c), append(changes, c.after.change())
	}
	if err := t.with(d, changes, func(changes []writ.Change) error { return write(&c.use, changes, d.at) }); err != nil {
		return true, err
	}
	s.opts.Refused(c.use)
	return true, nil
}

// Settle says what reservations came to, in the batch that write appends. One whose
// span is over has nothing left to be settled.
func (s *Service) Settle(ctx context.Context, id writ.TenantID, settled []writ.BudgetSettlement, write func([]writ.Change) error) error {
	t, err := s.tenant(ctx, id)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	limits := *t.limits.Load()
	d := &draw{}
	var changes []writ.Change
	for i := range settled {
		u := &settled[i].Use
		at := slices.IndexFunc(limits, func(l limit) bool { return l.counts(u) })
		if at < 0 {
			continue
		}
		id := countID{limits[at].key, u.Subject}
		before := t.counters[id]
		if before == nil || before.window != u.Window {
			continue
		}
		after := *before
		if k := slices.IndexFunc(d.charges, func(c charge) bool { return c.after.countID == id }); k >= 0 {
			after = d.charges[k].after
			d.charges = slices.Delete(d.charges, k, k+1)
			changes = slices.Delete(changes, k, k+1)
		}
		after.reserved = max(after.reserved-u.Amount, 0)
		after.used += settled[i].Amount
		d.charges = append(d.charges, charge{use: *u, after: after})
		changes = append(changes, after.change())
	}
	return t.with(d, changes, write)
}

// covering finds out whether any limit covers what is wanted, without a lock.
func (s *Service) covering(ctx context.Context, want *writ.BudgetWant) (*tenant, bool, error) {
	t, err := s.tenant(ctx, want.Tenant)
	if err != nil {
		return nil, false, err
	}
	limits := *t.limits.Load()
	for i := range limits {
		if want.Of(limits[i].Kind) > 0 && len(limits[i].Subjects(want.Principal, want.Skill)) > 0 {
			return t, true, nil
		}
	}
	return t, false, nil
}

// charge is one count that is about to move.
type charge struct {
	use   writ.BudgetUse
	after counter
}

// draw is all that one record moves.
type draw struct {
	at      writ.Time
	charges []charge
	refused *writ.BudgetUse // of the last of charges, which are no more then
}

// draw looks at every count that what is wanted moves. The record's time is that of
// the latest span that has begun: a clock that is behind counts in no span that is
// over. mu is held.
func (t *tenant) draw(want *writ.BudgetWant) *draw {
	d := &draw{at: want.Time}
	limits := *t.limits.Load()
	for i := range limits {
		l := &limits[i]
		amount := want.Of(l.Kind)
		if amount <= 0 {
			continue
		}
		for _, of := range l.Subjects(want.Principal, want.Skill) {
			c := charge{use: l.use(of, amount)}
			if have := t.counters[countID{l.key, of}]; have != nil {
				c.after = *have
				d.at = max(d.at, have.window)
			} else {
				c.after = newCounter(countID{l.key, of}, l.Since)
			}
			d.charges = append(d.charges, c)
		}
	}
	for i := range d.charges {
		c := &d.charges[i]
		c.after.at = d.at
		if window := c.use.Span.Start(d.at); c.after.window != window {
			c.after.window, c.after.used, c.after.reserved, c.after.told = window, 0, 0, false
		}
		c.use.Window, c.use.Taken = c.after.window, c.after.taken()
		if c.use.Refuses() {
			d.refused, d.charges = &c.use, d.charges[:i+1]
			break
		}
	}
	return d
}

// with has write append changes together with what is to be cleared away, and then
// keeps the counts as they are on disk from now on. mu is held.
func (t *tenant) with(d *draw, changes []writ.Change, write func([]writ.Change) error) error {
	t.sweep(d.at)
	for i := range d.charges {
		delete(t.garbage, d.charges[i].after.key)
	}
	cleared := 0
	for key := range t.garbage {
		if cleared == maxCleared {
			break
		}
		changes = append(changes, writ.Change{Key: key})
		cleared++
	}
	if err := write(changes); err != nil {
		return err
	}
	for _, change := range changes[len(changes)-cleared:] {
		delete(t.garbage, change.Key)
	}
	for i := range d.charges {
		after := d.charges[i].after
		t.counters[after.countID] = &after
	}
	return nil
}
