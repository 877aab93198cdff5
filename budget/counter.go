package budget

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
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
	key string // of its document
}

func newLimit(l writ.BudgetLimit) limit { return limit{BudgetLimit: l, key: keyOf(&l)} }

func keyOf(l *writ.BudgetLimit) string {
	host := ""
	if l.Host {
		host = "host"
	}
	return limitPrefix + canon.SHA256([]byte(strings.Join([]string{string(l.Scope), l.Subject, string(l.Kind), string(l.Span), host}, "\x00"))).Hex()
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

// countID names a count in memory.
type countID struct{ limit, of string }

// counter is how much of a limit one subject has taken.
type counter struct {
	countID
	key  string // of its document
	head []byte // of its document: what does not change

	since    writ.Time // of the limit: under another nobody counts in it
	window   writ.Time
	used     int64
	reserved int64
	told     bool      // it has refused something in this span
	at       writ.Time // when it last moved
}

// stored is the document. Times are nanoseconds: it is written with each call.
type stored struct {
	Limit    string `json:"limit"` // key of its document
	Of       string `json:"of"`
	Since    int64  `json:"since"`
	Window   int64  `json:"window"`
	Used     int64  `json:"used"`
	Reserved int64  `json:"reserved"`
	Told     bool   `json:"told"`
	At       int64  `json:"at"`
}

func newCounter(id countID, since writ.Time) counter {
	limit, _ := json.Marshal(id.limit) // a text cannot fail
	of, _ := json.Marshal(id.of)
	head := fmt.Appendf(nil, `{"limit":%s,"of":%s,"since":%d,"window":`, limit, of, int64(since))
	return counter{countID: id, key: countKey(id.limit, id.of), head: head, since: since}
}

func (c *counter) taken() int64 { return c.used + c.reserved }

func (c *counter) add(kind writ.BudgetKind, n int64) {
	if kind.Reserved() {
		c.reserved += n
	} else {
		c.used += n
	}
}

// change is the document, written by hand.
func (c *counter) change() writ.Change {
	raw := append(make([]byte, 0, len(c.head)+128), c.head...)
	raw = strconv.AppendInt(raw, int64(c.window), 10)
	raw = strconv.AppendInt(append(raw, `,"used":`...), c.used, 10)
	raw = strconv.AppendInt(append(raw, `,"reserved":`...), c.reserved, 10)
	raw = strconv.AppendBool(append(raw, `,"told":`...), c.told)
	raw = strconv.AppendInt(append(raw, `,"at":`...), int64(c.at), 10)
	return writ.Change{Key: c.key, Value: append(raw, '}')}
}

// tenant finds what is known of a tenant, and reads it once. CodeTampered where a
// document is not one that this package wrote: then nothing may begin.
func (s *Service) tenant(ctx context.Context, id writ.TenantID) (*tenant, error) {
	known, ok := s.tenants.Load(id)
	if !ok {
		known, _ = s.tenants.LoadOrStore(id, &tenant{id: id, counters: map[countID]*counter{}, garbage: map[string]bool{}, sweepAt: firstSweep})
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
		var d stored
		if err := json.Unmarshal(doc.Value, &d); err != nil || d.Used < 0 || d.Reserved < 0 {
			return tampered(doc.Key, "the count cannot be read")
		}
		c := newCounter(countID{d.Limit, d.Of}, writ.Time(d.Since))
		c.window, c.used, c.reserved, c.told, c.at = writ.Time(d.Window), d.Used, d.Reserved, d.Told, writ.Time(d.At)
		switch {
		case c.key != doc.Key:
			return tampered(doc.Key, "the count is not of what it is named after")
		case since[c.limit] != c.since:
			t.garbage[doc.Key] = true // of a limit that was removed
		default:
			t.counters[c.countID] = &c
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
	for id, c := range t.counters {
		l := byKey[c.limit]
		over := l == nil
		if !over {
			end := l.Span.End(c.window)
			over = end != 0 && end <= now || end == 0 && l.Scope == writ.BudgetSession && l.Subject == writ.EachSubject && c.at.Add(idleTotal) <= now
		}
		if over {
			delete(t.counters, id)
			t.garbage[c.key] = true
		}
	}
	t.sweepAt = max(firstSweep, 2*len(t.counters))
}
