// Package drift says what is no longer as it was approved. It asks sources, which
// belong to those who know, and remembers what it has said.
package drift

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/contract"
)

// Source finds what has drifted of one kind of thing. A finding is the same one as
// long as its code and subject are; a zero Since is that nobody knows when it
// began. A finding whose fix names a command must name one that works.
type Source func(ctx context.Context, tenant writ.TenantID) ([]contract.DriftFinding, error)

// Options are what a Service works with. All must be set.
type Options struct {
	Store   writ.Store
	Journal writ.Journal
	Clock   writ.Clock
	Sources []Source
}

// Service lists drift and records each finding once. It is safe for concurrent use.
type Service struct {
	opts   Options
	mu     sync.Mutex                                   // one Check at a time: two would say the same finding twice
	found  map[writ.TenantID]map[contract.DriftCode]int // by the last Check of each
	counts atomic.Pointer[map[contract.DriftCode]int]
}

// New makes a service. CodeInvalid where an option is missing.
func New(opts Options) (*Service, error) {
	if opts.Store == nil || opts.Journal == nil || opts.Clock == nil || len(opts.Sources) == 0 {
		return nil, writ.Errorf(writ.CodeInvalid, "drift", "an option is not set")
	}
	return &Service{opts: opts, found: map[writ.TenantID]map[contract.DriftCode]int{}}, nil
}

// documents of findings that were said.
const prefix = "drift/" // + digest of code and subject

// said is a finding as it was recorded.
type said struct {
	Code    contract.DriftCode `json:"code"`
	Subject string             `json:"subject"`
	Since   writ.Time          `json:"since"`
}

func key(code contract.DriftCode, subject string) string {
	return prefix + canon.SHA256([]byte(string(code)+" "+subject)).Hex()
}

// List is the operation contract.DriftList: what the sources find now.
func (s *Service) List(ctx context.Context, in *contract.DriftListInput) (*contract.DriftListOutput, error) {
	by, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, err
	}
	found, before, err := s.compare(ctx, by.Tenant)
	if err != nil {
		return nil, err
	}
	out := &contract.DriftListOutput{Items: []contract.DriftFinding{}}
	for _, f := range found {
		if in.Code != "" && f.Code != in.Code {
			continue
		}
		if have, ok := before[key(f.Code, f.Subject)]; ok && f.Since == 0 {
			f.Since = have.Since
		}
		f.Since = cmp.Or(f.Since, s.opts.Clock.Now())
		out.Items = append(out.Items, f)
	}
	return out, nil
}

// Check records the findings that are new and forgets those that are gone, so that
// each is an event once. It returns the new ones.
func (s *Service) Check(ctx context.Context, by *writ.Principal) ([]contract.DriftFinding, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, before, err := s.compare(ctx, by.Tenant)
	if err != nil {
		return nil, err
	}
	counts := map[contract.DriftCode]int{}
	for i := range found {
		counts[found[i].Code]++
	}
	s.found[by.Tenant] = counts
	sum := map[contract.DriftCode]int{}
	for _, counts := range s.found {
		for code, n := range counts {
			sum[code] += n
		}
	}
	s.counts.Store(&sum)
	now := s.opts.Clock.Now()
	batch := &writ.Batch{Tenant: by.Tenant, Stream: writ.SystemStream, Expect: writ.AnySeq}
	add := func(kind writ.RecordType, facts writ.SystemFacts, change writ.Change) {
		batch.Records = append(batch.Records, writ.NewRecord{Type: kind, Time: now, Actor: writ.AuditOf(by, ""), Body: writ.Body{System: &facts}})
		batch.Changes = append(batch.Changes, change)
	}
	var fresh []contract.DriftFinding
	for _, f := range found {
		name := key(f.Code, f.Subject)
		if _, ok := before[name]; ok {
			delete(before, name)
			continue
		}
		f.Since = cmp.Or(f.Since, now)
		raw, err := canon.MarshalJSON(&said{f.Code, f.Subject, f.Since})
		if err != nil {
			return nil, err
		}
		add(writ.RecDriftDetected, contract.DriftFacts(&f), writ.Change{Key: name, Value: raw})
		fresh = append(fresh, f)
	}
	for _, name := range slices.Sorted(maps.Keys(before)) {
		gone := before[name]
		add(writ.RecDriftGone, writ.SystemFacts{Subject: gone.Subject, Status: string(gone.Code)}, writ.Change{Key: name})
	}
	return fresh, s.append(ctx, batch)
}

// Counts are the findings of the last Check of each tenant by code; nil before the first.
func (s *Service) Counts() map[contract.DriftCode]int {
	if counts := s.counts.Load(); counts != nil {
		return *counts
	}
	return nil
}

// Said are the subjects of a code that were said and are not gone.
func (s *Service) Said(ctx context.Context, tenant writ.TenantID, code contract.DriftCode) ([]string, error) {
	before, err := s.before(ctx, tenant)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, f := range before {
		if f.Code == code {
			out = append(out, f.Subject)
		}
	}
	slices.Sort(out)
	return out, nil
}

func (s *Service) append(ctx context.Context, batch *writ.Batch) error {
	if len(batch.Records) == 0 {
		return nil
	}
	receipt, err := s.opts.Journal.Append(ctx, batch)
	if err != nil {
		return err
	}
	return s.opts.Journal.Barrier(ctx, receipt.Position)
}

// compare gives what is found now, and by its key what was said before.
func (s *Service) compare(ctx context.Context, tenant writ.TenantID) ([]contract.DriftFinding, map[string]said, error) {
	found, err := s.find(ctx, tenant)
	if err != nil {
		return nil, nil, err
	}
	before, err := s.before(ctx, tenant)
	return found, before, err
}

// find asks all sources, and gives one finding for each code and subject.
func (s *Service) find(ctx context.Context, tenant writ.TenantID) ([]contract.DriftFinding, error) {
	var out []contract.DriftFinding
	for _, source := range s.opts.Sources {
		found, err := source(ctx, tenant)
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	slices.SortStableFunc(out, func(a, b contract.DriftFinding) int {
		return cmp.Or(strings.Compare(string(a.Code), string(b.Code)), strings.Compare(a.Subject, b.Subject))
	})
	return slices.CompactFunc(out, func(a, b contract.DriftFinding) bool { return a.Code == b.Code && a.Subject == b.Subject }), nil
}

func (s *Service) before(ctx context.Context, tenant writ.TenantID) (map[string]said, error) {
	docs, err := s.opts.Store.List(ctx, writ.StoreQuery{Tenant: tenant, Prefix: prefix})
	if err != nil {
		return nil, err
	}
	out := map[string]said{}
	for _, doc := range docs {
		var f said
		if err := json.Unmarshal(doc.Value, &f); err != nil {
			return nil, &writ.Error{Code: writ.CodeTampered, Op: doc.Key, Message: "the document cannot be read", Err: err, Fix: "restore the store from a backup"}
		}
		out[doc.Key] = f
	}
	return out, nil
}
