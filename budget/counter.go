package budget

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

// Keys of the documents: budget/limit/DIGEST of the name, budget/count/DIGEST of the
// limit's key and the subject. They end in a digest, since a name may hold a slash.
const (
	limitPrefix = "budget/limit/"
	countPrefix = "budget/count/"
)

// Bounds. Each step and each call is held against every limit: a thousand take some
// tens of microseconds, and a star stands for any number of subjects.
const (
	maxLimits  = 1000
	maxCleared = 32   // documents that one batch clears away
	firstSweep = 1024 // counts, some 200 KiB
	idleTotal  = 30 * 24 * time.Hour
)

// limit is one limit, ready to be counted.
type limit struct {
	writ.BudgetLimit
	key  string // of its document
	only string // key of its one count, empty where each subject has one
}

func newLimit(l writ.BudgetLimit) limit {
	made := limit{BudgetLimit: l, key: keyOf(&l)}
	if l.Subject != writ.EachSubject {
		made.only = countKey(made.key, l.Subject)
	}
	return made
}

func keyOf(l *writ.BudgetLimit) string {
	host := ""
	if l.Host {
		host = "host"
	}
	return limitPrefix + canon.SHA256([]byte(strings.Join([]string{string(l.Scope), l.Subject, string(l.Kind), string(l.Span), host}, "\x00"))).Hex()
}

func (l *limit) counterKey(of string) string {
	if l.only != "" {
		return l.only
	}
	return countKey(l.key, of)
}

func countKey(limit, of string) string {
	return countPrefix + canon.SHA256([]byte(limit+"\x00"+of)).Hex()
}

func (l *limit) use(of string, amount int64) writ.BudgetUse {
	return writ.BudgetUse{
		Scope: l.Scope, Subject: of, Each: l.Subject == writ.EachSubject, Kind: l.Kind, Span: l.Span, Host: l.Host,
		Since: l.Since, Limit: l.Count, Amount: amount,
	}
}

// counts reports whether the use was counted under this limit.
func (l *limit) counts(u *writ.BudgetUse) bool {
	return l.Scope == u.Scope && l.Kind == u.Kind && l.Span == u.Span && l.Host == u.Host && l.Since == u.Since &&
		(l.Subject == writ.EachSubject) == u.Each && (u.Each || l.Subject == u.Subject)
}

// counter is how much of a limit one subject has taken.
type counter struct {
	Limit    string    `json:"limit"` // key of its document
	Of       string    `json:"of,omitempty"`
	Since    writ.Time `json:"since"` // of the limit: under another nobody counts in it
	Window   writ.Time `json:"window,omitempty"`
	Used     int64     `json:"used,omitempty"`
	Reserved int64     `json:"reserved,omitempty"`
	Told     bool      `json:"told,omitempty"` // it has refused something in this span
	At       writ.Time `json:"at"`             // when it last moved
}

func (c *counter) taken() int64 { return c.Used + c.Reserved }

func (c *counter) add(kind writ.BudgetKind, n int64) {
	if kind.Reserved() {
		c.Reserved += n
	} else {
		c.Used += n
	}
}

func (c *counter) change(key string) writ.Change {
	raw, _ := json.Marshal(c) // of texts and numbers: it cannot fail
	return writ.Change{Key: key, Value: raw}
}

// tenant finds what is known of a tenant, and reads it once. CodeTampered where a
// document is not one that this package wrote: then nothing may begin.
func (s *Service) tenant(ctx context.Context, id writ.TenantID) (*tenant, error) {
	known, ok := s.tenants.Load(id)
	if !ok {
		known, _ = s.tenants.LoadOrStore(id, &tenant{id: id, counters: map[string]*counter{}, garbage: map[string]bool{}, sweepAt: firstSweep})
	}
	t := known.(*tenant)
	if t.limits.Load() != nil {
		return t, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.limits.Load() != nil {
		return t, nil
	}
	return t, s.read(ctx, id, t)
}

// read fills a tenant from its documents. mu is held.
func (s *Service) read(ctx context.Context, id writ.TenantID, t *tenant) error {
	docs, err := s.opts.Store.List(ctx, writ.StoreQuery{Tenant: id, Prefix: limitPrefix})
	if err != nil {
		return err
	}
	limits := make([]limit, len(docs))
	since := map[string]writ.Time{}
	for i, doc := range docs {
		var stored writ.BudgetLimit
		if err := json.Unmarshal(doc.Value, &stored); err != nil {
			return tampered(doc.Key, "the document cannot be read")
		}
		l := newLimit(stored)
		if limits[i] = l; !l.Kind.Valid() || !l.Span.Valid() || l.key != doc.Key || l.Count < 0 || l.Count > writ.MaxAmount || l.Since == 0 {
			return tampered(doc.Key, "the document is not of what it is named after")
		}
		since[l.key] = l.Since
	}
	slices.SortFunc(limits, order)
	if docs, err = s.opts.Store.List(ctx, writ.StoreQuery{Tenant: id, Prefix: countPrefix}); err != nil {
		return err
	}
	for _, doc := range docs {
		c := &counter{}
		if err := json.Unmarshal(doc.Value, c); err != nil || c.Used < 0 || c.Reserved < 0 {
			return tampered(doc.Key, "the count cannot be read")
		}
		switch {
		case countKey(c.Limit, c.Of) != doc.Key:
			return tampered(doc.Key, "the count is not of what it is named after")
		case since[c.Limit] != c.Since:
			t.garbage[doc.Key] = true // of a limit that was removed
		default:
			t.counters[doc.Key] = c
		}
	}
	t.sweepAt = max(firstSweep, 2*len(t.counters))
	t.limits.Store(&limits)
	return nil
}

func tampered(key, why string) error {
	return writ.Errorf(writ.CodeTampered, key, "%s", why).WithFix("restore the store from a backup")
}

// order is that of lists, and that in which limits are looked at: the host's word
// first, then the widest.
func order(a, b limit) int {
	if a.Host != b.Host {
		return map[bool]int{true: -1, false: 1}[a.Host]
	}
	rank := map[writ.BudgetScope]int{writ.BudgetTenant: 1, writ.BudgetPrincipal: 2, writ.BudgetSkill: 3, writ.BudgetSession: 4}
	if a.Scope != b.Scope {
		return rank[a.Scope] - rank[b.Scope]
	}
	return strings.Compare(a.Name(), b.Name())
}

// sweep finds counts whose span is over, when there are many: nobody asks for them
// any more, and a new one begins at nothing. It looks again when there are twice as
// many. Of a limit that never begins again only sessions end: one that has not moved
// for a month is longer gone than any lives. mu is held.
func (t *tenant) sweep(now writ.Time) {
	if len(t.counters) < t.sweepAt || now == 0 {
		return
	}
	limits := *t.limits.Load()
	byKey := make(map[string]*limit, len(limits))
	for i := range limits {
		byKey[limits[i].key] = &limits[i]
	}
	for key, c := range t.counters {
		l := byKey[c.Limit]
		over := l == nil
		if !over {
			end := l.Span.End(c.Window)
			over = end != 0 && end <= now || end == 0 && l.Scope == writ.BudgetSession && l.Subject == writ.EachSubject && c.At.Add(idleTotal) <= now
		}
		if over {
			delete(t.counters, key)
			t.garbage[key] = true
		}
	}
	t.sweepAt = max(firstSweep, 2*len(t.counters))
}
