package freeze

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"unicode"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/contract"
)

// Bounds. Each step and each intent is held against every freeze: a thousand take
// some 50 us, and who has more to freeze means the tenant.
const (
	maxFreezes = 1000 // of channels, principals and skills, in a tenant
	maxSubject = 512
	maxReason  = 1024
)

// named finds what is meant. CodeInvalid where that is nothing, more than one
// thing, or what is no name.
func named(op string, in *contract.FreezeSubject) (entry, error) {
	var found []entry
	add := func(scope writ.FreezeScope, subject string) {
		found = append(found, entry{Freeze: writ.Freeze{Scope: scope, Subject: subject}})
	}
	wrong := func(fix, format string, args ...any) (entry, error) {
		return entry{}, writ.Errorf(writ.CodeInvalid, op, format, args...).WithFix("%s", fix)
	}
	if in.All {
		add(writ.FreezeAll, "")
	}
	if in.Tenant {
		add(writ.FreezeTenant, "")
	}
	for scope, subject := range map[writ.FreezeScope]string{writ.FreezePrincipal: string(in.PrincipalID), writ.FreezeChannel: in.ChannelKey} {
		if subject == "" {
			continue
		}
		if len(subject) > maxSubject || strings.ContainsFunc(subject, unicode.IsControl) || strings.TrimSpace(subject) != subject {
			return wrong("write it as `writ exec get` shows it", "%q is not the name of a %s", writ.Clip(subject, 80), scope)
		}
		add(scope, subject)
	}
	if in.Skill != "" {
		skill, err := contract.ParseSkillRange(in.Skill)
		if err != nil {
			return entry{}, err
		}
		add(writ.FreezeSkill, skill.String())
	}
	if len(found) != 1 {
		return wrong("name one: all, the tenant, a skill, a principal or a channel", "%d things are named, want one", len(found))
	}
	e := found[0]
	e.key = keyOf(e.Scope, e.Subject)
	return e, e.understand()
}

// asked is who wants a change, and of what. CodeForbidden where a tenant speaks
// for others.
func asked(ctx context.Context, op string, in *contract.FreezeSubject, reason string) (*writ.Principal, entry, error) {
	by, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, entry{}, err
	}
	e, err := named(op, in)
	switch {
	case err != nil:
		return nil, entry{}, err
	case strings.TrimSpace(reason) == "" || len(reason) > maxReason:
		return nil, entry{}, writ.Errorf(writ.CodeInvalid, op, "want a reason of 1 to %d bytes", maxReason).WithFix("say why, with --reason")
	case e.Scope == writ.FreezeAll && by.Tenant != writ.DefaultTenant:
		return nil, entry{}, writ.Errorf(writ.CodeForbidden, op, "only the host's own tenant freezes and unfreezes all of them").WithFix("name the tenant instead")
	}
	return by, e, nil
}

// Freeze is the operation contract.Freeze.
func (s *Service) Freeze(ctx context.Context, in *contract.FreezeInput) (*contract.FreezeOutput, error) {
	by, e, err := asked(ctx, "freeze", &in.FreezeSubject, in.Reason)
	if err != nil {
		return nil, err
	}
	e.Mode, e.Reason, e.By, e.At = cmp.Or(in.Mode, writ.FreezeWait), in.Reason, by.ID, s.opts.Clock.Now()
	if e.Mode != writ.FreezeWait && e.Mode != writ.FreezeFail {
		return nil, writ.Errorf(writ.CodeInvalid, "freeze", "unknown mode %q", writ.Clip(string(e.Mode), 80)).WithFix("one of wait, fail")
	}
	concerned, err := s.set(ctx, by, &e)
	if err != nil {
		return nil, err
	}
	s.tell(ctx, concerned)
	return &contract.FreezeOutput{
		Result: contract.Result{Status: contract.StatusFrozen, ChangedAt: e.At}, Freeze: contract.Frozen(e.Freeze),
	}, nil
}

// set records a freeze, puts it in force and gives the tenants that it concerns.
func (s *Service) set(ctx context.Context, by *writ.Principal, e *entry) ([]writ.TenantID, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	entries, err := s.load(ctx, by.Tenant)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(entries, func(have entry) bool { return have.key == e.key })
	if at >= 0 && entries[at].Mode == e.Mode && entries[at].Reason == e.Reason && entries[at].By == e.By {
		e.At = entries[at].At // said again: it is frozen since then
	}
	if at < 0 && e.Subject != "" && len(entries) >= maxFreezes {
		return nil, writ.Errorf(writ.CodeConflict, "freeze "+writ.Clip(e.Name(), 80), "%d things are frozen already, and no further one is held apart", len(entries)).
			WithFix("freeze the whole tenant: `writ freeze tenant --reason ...`")
	}
	raw, err := canon.MarshalJSON(&e.Freeze)
	if err != nil {
		return nil, err
	}
	if err := s.record(ctx, by, &e.Freeze, contract.FreezeFacts(&e.Freeze, contract.StatusFrozen, e.Reason), writ.Change{Key: e.key, Value: raw}); err != nil {
		return nil, err
	}
	changed := slices.DeleteFunc(slices.Clone(entries), func(have entry) bool { return have.key == e.key })
	changed = append(changed, *e)
	slices.SortFunc(changed, order)
	s.cache[by.Tenant] = changed
	return s.elsewhere(ctx, by, e)
}

// Unfreeze is the operation contract.Unfreeze. It takes back the one freeze that
// it names.
func (s *Service) Unfreeze(ctx context.Context, in *contract.UnfreezeInput) (*contract.UnfreezeOutput, error) {
	by, e, err := asked(ctx, "unfreeze", &in.FreezeSubject, in.Reason)
	if err != nil {
		return nil, err
	}
	at := s.opts.Clock.Now()
	concerned, err := s.lift(ctx, by, &e, in.Reason)
	if err != nil {
		return nil, err
	}
	s.tell(ctx, concerned)
	remaining, err := s.list(ctx, by.Tenant)
	if err != nil {
		return nil, err
	}
	return &contract.UnfreezeOutput{
		Result: contract.Result{Status: contract.StatusUnfrozen, ChangedAt: at}, Scope: e.Scope, Subject: e.Subject, Remaining: remaining,
	}, nil
}

// lift takes a freeze back and gives the tenants that it concerned.
func (s *Service) lift(ctx context.Context, by *writ.Principal, e *entry, reason string) ([]writ.TenantID, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	entries, err := s.load(ctx, by.Tenant)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(entries, func(have entry) bool { return have.key == e.key })
	if at < 0 {
		return nil, writ.Errorf(writ.CodeNotFound, "unfreeze "+writ.Clip(e.Name(), 80), "is not frozen under this name").WithFix("`writ freeze list` shows what is")
	}
	facts := contract.FreezeFacts(&entries[at].Freeze, contract.StatusUnfrozen, reason)
	if err := s.record(ctx, by, &entries[at].Freeze, facts, writ.Change{Key: e.key}); err != nil {
		return nil, err
	}
	s.cache[by.Tenant] = slices.Delete(slices.Clone(entries), at, at+1)
	return s.elsewhere(ctx, by, e)
}

// record appends a change to the caller's system journal and waits for the disk,
// even if the caller is gone. What concerns every tenant is a notice in the same
// batch. mu is held.
func (s *Service) record(ctx context.Context, by *writ.Principal, f *writ.Freeze, facts writ.SystemFacts, change writ.Change) error {
	now := s.opts.Clock.Now()
	batch := &writ.Batch{
		Tenant: by.Tenant, Stream: writ.SystemStream, Expect: writ.AnySeq, Changes: []writ.Change{change},
		Records: []writ.NewRecord{{Type: writ.RecFreezeChanged, Time: now, Actor: writ.AuditOf(by, ""), Body: writ.Body{System: &facts}}},
	}
	if f.Scope == writ.FreezeAll {
		notice := writ.Notice{Type: writ.RecFreezeChanged, Time: now, Facts: contract.FreezeFacts(f.ToOthers(), facts.Status, "")}
		told, err := notice.Change()
		if err != nil {
			return err
		}
		batch.Changes = append(batch.Changes, told)
	}
	ctx = context.WithoutCancel(ctx)
	receipt, err := s.opts.Journal.Append(ctx, batch)
	if err != nil {
		return err
	}
	return s.opts.Journal.Barrier(ctx, receipt.Position)
}

// elsewhere moves the epochs of the other tenants where everything is meant, so
// that what was judged there before makes no further call. mu is held.
func (s *Service) elsewhere(ctx context.Context, by *writ.Principal, e *entry) ([]writ.TenantID, error) {
	if e.Scope != writ.FreezeAll {
		return []writ.TenantID{by.Tenant}, nil
	}
	return s.opts.Announce(context.WithoutCancel(ctx))
}

// tell says that something has changed, when nothing is locked.
func (s *Service) tell(ctx context.Context, concerned []writ.TenantID) {
	if s.opts.Changed == nil {
		return
	}
	ctx = context.WithoutCancel(ctx)
	for _, tenant := range concerned {
		s.opts.Changed(ctx, tenant)
	}
}

// FreezeList is the operation contract.FreezeList.
func (s *Service) FreezeList(ctx context.Context, _ *contract.FreezeListInput) (*contract.FreezeListOutput, error) {
	p, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, err
	}
	items, err := s.list(ctx, p.Tenant)
	if err != nil {
		return nil, err
	}
	return &contract.FreezeListOutput{Items: items}, nil
}

func (s *Service) list(ctx context.Context, tenant writ.TenantID) ([]contract.Frozen, error) {
	entries, err := s.inForce(ctx, tenant)
	if err != nil {
		return nil, err
	}
	out := make([]contract.Frozen, len(entries))
	for i := range entries {
		out[i] = contract.Frozen(entries[i].Freeze)
	}
	return out, nil
}
