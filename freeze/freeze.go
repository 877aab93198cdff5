// Package freeze is the kill switch: it keeps what is frozen and finds what holds
// a piece of work.
package freeze

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/contract"
)

// Options are what a Service works with. Store, Journal and Clock must be set.
type Options struct {
	Store   writ.Store
	Journal writ.Journal
	Clock   writ.Clock
	// Announce tells every tenant what is the host's, and lists them all; nil: the
	// default tenant is alone.
	Announce func(ctx context.Context) ([]writ.TenantID, error)

	// Changed is told after each change, once it is on disk and in force, so that
	// what waits need not ask. No lock is held. nil: nobody is.
	Changed func(ctx context.Context, tenant writ.TenantID)
}

// Service keeps freezes. It is safe for concurrent use.
type Service struct {
	opts Options

	// mu is held over a change, until it is on disk and in the cache: who asks in
	// between waits, and no epoch is answered from before it.
	mu    sync.RWMutex
	cache map[writ.TenantID][]entry // a tenant's own, as they are looked through
}

// entry is one freeze, ready to be matched.
type entry struct {
	writ.Freeze
	key   string // of its document
	skill contract.SkillRange
}

// New makes a service. CodeInvalid where an option is missing.
func New(opts Options) (*Service, error) {
	if opts.Store == nil || opts.Journal == nil || opts.Clock == nil {
		return nil, writ.Errorf(writ.CodeInvalid, "freeze", "an option is not set")
	}
	if opts.Announce == nil {
		opts.Announce = func(context.Context) ([]writ.TenantID, error) { return []writ.TenantID{writ.DefaultTenant}, nil }
	}
	return &Service{opts: opts, cache: map[writ.TenantID][]entry{}}, nil
}

var _ writ.Freezes = (*Service)(nil)

// prefix of the documents: freeze/SCOPE, or freeze/SCOPE/DIGEST of the subject. That
// of everything is the default tenant's.
const prefix = "freeze/"

func keyOf(scope writ.FreezeScope, subject string) string {
	if subject == "" {
		return prefix + string(scope)
	}
	return prefix + string(scope) + "/" + canon.SHA256([]byte(subject)).Hex()
}

// ranks order the scopes, widest first.
var ranks = map[writ.FreezeScope]int{
	writ.FreezeAll: 1, writ.FreezeTenant: 2, writ.FreezeChannel: 3, writ.FreezePrincipal: 4, writ.FreezeSkill: 5,
}

// order is that of lists: the widest first.
func order(a, b entry) int {
	return cmp.Or(cmp.Compare(ranks[a.Scope], ranks[b.Scope]), strings.Compare(a.Subject, b.Subject))
}

// Frozen implements writ.Freezes. CodeTampered where a document is not one that
// this package wrote: then nothing may begin.
func (s *Service) Frozen(ctx context.Context, tenant writ.TenantID, target *writ.FreezeTarget) (*writ.Freeze, error) {
	entries, err := s.inForce(ctx, tenant)
	if err != nil {
		return nil, err
	}
	var found *writ.Freeze
	for _, e := range entries {
		if !e.covers(target) {
			continue
		}
		if e.Mode == writ.FreezeFail {
			return &e.Freeze, nil
		}
		found = cmp.Or(found, &e.Freeze)
	}
	return found, nil
}

func (e *entry) covers(t *writ.FreezeTarget) bool {
	switch e.Scope {
	case writ.FreezeSkill:
		return slices.ContainsFunc(t.Skills, func(ref writ.SkillRef) bool { return e.skill.Has(ref.Key, ref.Version) })
	case writ.FreezePrincipal:
		return t.Principal != nil && t.Principal.ActsFor(writ.PrincipalID(e.Subject))
	case writ.FreezeChannel:
		start, anyEnding := strings.CutSuffix(e.Subject, "*")
		return t.Channel != "" && (t.Channel == e.Subject || anyEnding && strings.HasPrefix(t.Channel, start))
	}
	return !t.Named || e.Scope != writ.FreezeAll && e.Scope != writ.FreezeTenant // everything, the tenant, and what is not understood
}

// inForce is what is frozen for a tenant, by order: of everything first. What is
// returned must not be changed.
func (s *Service) inForce(ctx context.Context, tenant writ.TenantID) ([]entry, error) {
	own, err := s.own(ctx, tenant)
	if err != nil || tenant == writ.DefaultTenant {
		return own, err
	}
	host, err := s.own(ctx, writ.DefaultTenant)
	if err != nil {
		return nil, err
	}
	if i := slices.IndexFunc(host, func(e entry) bool { return e.Scope == writ.FreezeAll }); i >= 0 {
		own = append([]entry{{Freeze: *host[i].ToOthers(), key: host[i].key}}, own...)
	}
	return own, nil
}

// own is what a tenant's documents say.
func (s *Service) own(ctx context.Context, tenant writ.TenantID) ([]entry, error) {
	s.mu.RLock()
	entries, known := s.cache[tenant]
	s.mu.RUnlock()
	if known {
		return entries, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.load(ctx, tenant)
}

// load reads a tenant's documents, once. mu is held.
func (s *Service) load(ctx context.Context, tenant writ.TenantID) ([]entry, error) {
	if entries, known := s.cache[tenant]; known {
		return entries, nil
	}
	docs, err := s.opts.Store.List(ctx, writ.StoreQuery{Tenant: tenant, Prefix: prefix})
	if err != nil {
		return nil, err
	}
	entries := make([]entry, len(docs))
	for i := range docs {
		if err := entries[i].read(&docs[i]); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(entries, order)
	s.cache[tenant] = entries
	return entries, nil
}

func (e *entry) read(doc *writ.Document) error {
	tampered := func(format string, args ...any) error {
		return writ.Errorf(writ.CodeTampered, doc.Key, format, args...).WithFix("restore the store from a backup")
	}
	if err := json.Unmarshal(doc.Value, &e.Freeze); err != nil {
		return tampered("the document cannot be read: %w", err)
	}
	e.key = doc.Key
	if ranks[e.Scope] == 0 || keyOf(e.Scope, e.Subject) != doc.Key || (e.Mode != writ.FreezeWait && e.Mode != writ.FreezeFail) {
		return tampered("the document is not of what it is named after")
	}
	return e.understand()
}

// understand reads the subject of a skill.
func (e *entry) understand() (err error) {
	if e.Scope == writ.FreezeSkill {
		e.skill, err = contract.ParseSkillRange(e.Subject)
	}
	return err
}
