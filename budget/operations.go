package budget

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"unicode"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/contract"
)

const (
	maxSubject = 512
	maxReason  = 1024
	maxShown   = 20 // counts of one limit
)

// named finds what is meant. CodeInvalid where that is nothing, more than one
// thing, or what is no name.
func named(op string, in *contract.BudgetSubject) (*writ.BudgetLimit, error) {
	var found []writ.BudgetLimit
	add := func(scope writ.BudgetScope, subject string) {
		found = append(found, writ.BudgetLimit{Scope: scope, Subject: subject, Kind: in.Kind, Span: in.Span})
	}
	wrong := func(fix, format string, args ...any) (*writ.BudgetLimit, error) {
		return nil, writ.Errorf(writ.CodeInvalid, op, format, args...).WithFix("%s", fix)
	}
	if in.Tenant {
		add(writ.BudgetTenant, "")
	}
	if in.TenantID != "" {
		add(writ.BudgetTenant, "")
		found[len(found)-1].Host = true
	}
	for scope, subject := range map[writ.BudgetScope]string{
		writ.BudgetPrincipal: string(in.PrincipalID), writ.BudgetSkill: in.Skill, writ.BudgetSession: in.SessionID,
	} {
		if subject == "" {
			continue
		}
		if len(subject) > maxSubject || strings.ContainsFunc(subject, unicode.IsControl) || strings.TrimSpace(subject) != subject {
			return wrong("write it as `writ exec get` shows it, or a star for each", "%q is not the name of a %s", writ.Clip(subject, 80), scope)
		}
		if scope == writ.BudgetSkill && subject != writ.EachSubject && strings.Count(subject, "/") != 1 {
			return wrong("write publisher/name, without a version", "%q is not the key of a skill", writ.Clip(subject, 80))
		}
		add(scope, subject)
	}
	switch {
	case len(found) != 1:
		return wrong("name one: the tenant, a principal, a skill or a session", "%d things are named, want one", len(found))
	case !in.Kind.Valid():
		return wrong("one of steps, calls, spend, tokens", "unknown kind %q", writ.Clip(string(in.Kind), 80))
	case !in.Span.Valid():
		return wrong("one of m, h, d, total", "unknown span %q", writ.Clip(string(in.Span), 80))
	}
	return &found[0], nil
}

// of is the tenant that a caller speaks of. CodeForbidden where that is another's,
// CodeNotFound where the host has none of the name.
func (s *Service) of(ctx context.Context, op string, by *writ.Principal, id writ.TenantID) (writ.TenantID, error) {
	if id == "" {
		return by.Tenant, nil
	}
	if by.Tenant != writ.DefaultTenant {
		return "", writ.Errorf(writ.CodeForbidden, op, "only the host's own tenant speaks of others, and for the host").WithFix("leave the tenant's name out")
	}
	all, err := s.opts.Tenants(ctx)
	if err == nil && !slices.Contains(all, id) {
		err = writ.Errorf(writ.CodeNotFound, op, "there is no tenant %q", writ.Clip(string(id), 80)).WithFix("see `writ tenant list`")
	}
	return id, err
}

// asked is who wants a change, and of what.
func (s *Service) asked(ctx context.Context, op string, in *contract.BudgetSubject, reason string) (*writ.Principal, *writ.BudgetLimit, writ.TenantID, error) {
	by, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, nil, "", err
	}
	l, err := named(op, in)
	if err != nil {
		return nil, nil, "", err
	}
	if strings.TrimSpace(reason) == "" || len(reason) > maxReason {
		return nil, nil, "", writ.Errorf(writ.CodeInvalid, op, "want a reason of 1 to %d bytes", maxReason).WithFix("say why, with --reason")
	}
	id, err := s.of(ctx, op, by, in.TenantID)
	return by, l, id, err
}

// BudgetSet is the operation contract.BudgetSet.
func (s *Service) BudgetSet(ctx context.Context, in *contract.BudgetSetInput) (*contract.BudgetSetOutput, error) {
	const op = "budget"
	by, l, id, err := s.asked(ctx, op, &in.BudgetSubject, in.Reason)
	if err != nil {
		return nil, err
	}
	if in.Count < 0 || in.Count > writ.MaxAmount {
		return nil, writ.Errorf(writ.CodeInvalid, op, "%d is not a count", in.Count).WithFix("write a whole number from 0 to %d", int64(writ.MaxAmount))
	}
	t, err := s.tenant(ctx, id)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	limits := *t.limits.Load()
	set := newLimit(*l)
	set.Count, set.Reason, set.By, set.At = in.Count, in.Reason, by.ID, s.opts.Clock.Now()
	if set.Host && id != writ.DefaultTenant { // its own journal alone says who of the host, and why
		set.Reason, set.By = "", writ.HostPrincipal
	}
	set.Since = set.At
	if at := slices.IndexFunc(limits, func(have limit) bool { return have.key == set.key }); at >= 0 {
		if set.Since = limits[at].Since; limits[at].Count == set.Count && limits[at].Reason == set.Reason && limits[at].By == set.By {
			set.At = limits[at].At // said again: it is set since then
		}
	} else if len(limits) >= maxLimits {
		return nil, writ.Errorf(writ.CodeConflict, op, "%d budgets are set already, and no further one is counted", len(limits)).
			WithFix("set one for each principal, skill or session with a star, or remove one")
	}
	raw, err := canon.MarshalJSON(&set.BudgetLimit)
	if err != nil {
		return nil, err
	}
	facts := contract.BudgetFacts(&set.BudgetLimit, contract.StatusBudgetSet, in.Reason)
	if err := s.change(ctx, t, facts, writ.Change{Key: set.key, Value: raw}); err != nil {
		return nil, err
	}
	changed := append(slices.DeleteFunc(slices.Clone(limits), func(have limit) bool { return have.key == set.key }), set)
	slices.SortFunc(changed, order)
	t.limits.Store(&changed)
	return &contract.BudgetSetOutput{
		Result: contract.Result{Status: contract.StatusBudgetSet, ChangedAt: set.At}, Budget: t.shown(&set, s.opts.Clock.Now()),
	}, nil
}

// BudgetRemove is the operation contract.BudgetRemove.
func (s *Service) BudgetRemove(ctx context.Context, in *contract.BudgetRemoveInput) (*contract.BudgetRemoveOutput, error) {
	_, l, id, err := s.asked(ctx, "budget", &in.BudgetSubject, in.Reason)
	if err != nil {
		return nil, err
	}
	t, err := s.tenant(ctx, id)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	limits, key := *t.limits.Load(), keyOf(l)
	at := slices.IndexFunc(limits, func(have limit) bool { return have.key == key })
	if at < 0 {
		return nil, writ.Errorf(writ.CodeNotFound, "budget of "+writ.Clip(l.Name(), 80), "it is not set under this name").WithFix("`writ budget list` shows what is")
	}
	now := s.opts.Clock.Now()
	was := t.shown(&limits[at], now)
	facts := contract.BudgetFacts(&limits[at].BudgetLimit, contract.StatusBudgetRemoved, in.Reason)
	if err := s.change(ctx, t, facts, writ.Change{Key: key}); err != nil {
		return nil, err
	}
	for id, c := range t.counters {
		if c.limit == key {
			delete(t.counters, id)
			t.garbage[c.key] = true
		}
	}
	changed := slices.Delete(slices.Clone(limits), at, at+1)
	t.limits.Store(&changed)
	return &contract.BudgetRemoveOutput{
		Result: contract.Result{Status: contract.StatusBudgetRemoved, ChangedAt: now}, Budget: was,
	}, nil
}

// change records what is set or removed, in the system journal of the tenant whose
// budget it is. Of the host's word that journal does not say who and why: the host's
// own does, before it is in force. mu is held.
func (s *Service) change(ctx context.Context, t *tenant, facts writ.SystemFacts, change writ.Change) error {
	by, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	if facts.Details[contract.BudgetOfHost] != "" && t.id != writ.DefaultTenant {
		told := facts
		told.Details = maps.Clone(facts.Details)
		told.Details[contract.BudgetOfTenant] = string(t.id)
		if err := s.record(ctx, writ.DefaultTenant, by, told); err != nil {
			return err
		}
		by, facts.Reason = writ.TheHost(t.id), ""
	}
	return t.with(&draw{}, []writ.Change{change}, func(changes []writ.Change) error {
		return s.record(ctx, t.id, by, facts, changes...)
	})
}

// record appends to a system journal and waits for the disk.
func (s *Service) record(ctx context.Context, tenant writ.TenantID, by *writ.Principal, facts writ.SystemFacts, changes ...writ.Change) error {
	receipt, err := s.opts.Journal.Append(ctx, &writ.Batch{
		Tenant: tenant, Stream: writ.SystemStream, Expect: writ.AnySeq, Changes: changes,
		Records: []writ.NewRecord{{
			Type: writ.RecBudgetChanged, Time: s.opts.Clock.Now(), Actor: writ.AuditOf(by, ""), Body: writ.Body{System: &facts},
		}},
	})
	if err != nil {
		return err
	}
	return s.opts.Journal.Barrier(ctx, receipt.Position)
}

// BudgetList is the operation contract.BudgetList.
func (s *Service) BudgetList(ctx context.Context, in *contract.BudgetListInput) (*contract.BudgetListOutput, error) {
	by, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, err
	}
	if in.TenantID != "" && !slices.Contains(by.Roles, contract.RoleAdmin) {
		return nil, writ.Errorf(writ.CodeForbidden, "budget", "%s has not the role admin, which another tenant's budgets need", by.ID).WithFix("leave the tenant's name out")
	}
	id, err := s.of(ctx, "budget", by, in.TenantID)
	if err != nil {
		return nil, err
	}
	t, err := s.tenant(ctx, id)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	limits, now := *t.limits.Load(), s.opts.Clock.Now()
	out := &contract.BudgetListOutput{Items: []contract.Budget{}}
	for i := range limits {
		if id == by.Tenant || limits[i].Host { // of another tenant its own are nobody else's
			out.Items = append(out.Items, t.shown(&limits[i], now))
		}
	}
	return out, nil
}

// shown is a limit with what is taken of it now. mu is held.
func (t *tenant) shown(l *limit, now writ.Time) contract.Budget {
	out := contract.Budget{
		Scope: l.Scope, Subject: l.Subject, Host: l.Host, Kind: l.Kind, Span: l.Span, Count: l.Count,
		Reason: l.Reason, By: l.By, At: l.At, Taken: []contract.BudgetTaken{},
	}
	taken := func(c counter) {
		if window := max(l.Span.Start(now), c.window); c.window != window {
			c = counter{countID: c.countID, window: window}
		}
		out.Taken = append(out.Taken, contract.BudgetTaken{
			Subject: c.of, Used: c.used, Reserved: c.reserved, Left: max(l.Count-c.taken(), 0), FreeAt: l.Span.End(c.window),
		})
	}
	if l.Subject != writ.EachSubject {
		c := counter{countID: countID{l.key, l.Subject}}
		if have := t.counters[c.countID]; have != nil {
			c = *have
		}
		taken(c)
		return out
	}
	for _, c := range t.counters {
		if c.limit == l.key && (c.window == 0 || c.window >= l.Span.Start(now)) {
			taken(*c)
		}
	}
	slices.SortFunc(out.Taken, func(a, b contract.BudgetTaken) int {
		return cmp.Or(cmp.Compare(a.Left, b.Left), strings.Compare(a.Subject, b.Subject))
	})
	out.More = max(len(out.Taken)-maxShown, 0)
	out.Taken = out.Taken[:min(len(out.Taken), maxShown)]
	return out
}
