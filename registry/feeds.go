package registry

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
	"github.com/writ-run/writ/registry/feed"
)

// feedStates keeps what TUF must not forget, in the store rather than in a cache
// directory: an older copy of it would let older revocations pass for the newest.
const feedStates = "tuf/" // + name

// maxFeeds bounds how many lists each snapshot of trust holds.
const maxFeeds = 16

// followed is a feed with the list that is in force.
type followed struct {
	Name      string           `json:"name"`
	URL       string           `json:"url"`
	AddedAt   writ.Time        `json:"addedAt"`
	AddedBy   writ.PrincipalID `json:"addedBy"`
	Version   int64            `json:"version"`
	Digest    writ.Digest      `json:"digest"` // of the signed list
	UpdatedAt writ.Time        `json:"updatedAt"`
	ExpiresAt writ.Time        `json:"expiresAt"`
	List      json.RawMessage  `json:"list"`
	// Failure is why the last update did not succeed.
	Failure *contract.FeedFailure `json:"failure,omitempty"`

	list *feed.Revocations
}

func (f *followed) stale(now writ.Time) bool { return now > f.ExpiresAt }

func decodeFollowed(doc *writ.Document) (*followed, error) {
	f := &followed{}
	if err := json.Unmarshal(doc.Value, f); err != nil {
		return f, err
	}
	var err error
	if f.list, err = feed.Parse(f.List); err != nil {
		return f, err
	}
	if doc.Key != trustFeeds+f.Name {
		return f, writ.Errorf(writ.CodeTampered, doc.Key, "the document is of the feed %s", clip(f.Name))
	}
	return f, nil
}

// contract is the feed for callers.
func (f *followed) contract(now writ.Time) contract.Feed {
	return contract.Feed{
		Name: f.Name, URL: f.URL, Version: f.Version, Entries: f.list.Entries(), UpdatedAt: f.UpdatedAt,
		ExpiresAt: f.ExpiresAt, Stale: f.stale(now), Failure: f.Failure,
	}
}

// follow adds what a feed takes out. CodeInvalid where an entry cannot be read.
func (t *trust) follow(f *followed) error {
	add := func(why feed.Why, subject contract.DenialSubject) error {
		n, err := nameDenial("feed: "+f.Name, &subject)
		if err != nil {
			return err
		}
		return t.put(n.key, &Denial{Subject: n.subject, Reason: why.Reason, At: why.At, feed: f.Name})
	}
	var errs []error
	for _, e := range f.list.Keys {
		errs = append(errs, add(e.Why, contract.DenialSubject{KeyID: e.KeyID}))
	}
	for _, e := range f.list.Publishers {
		errs = append(errs, add(e.Why, contract.DenialSubject{Publisher: e.Publisher}))
	}
	for _, e := range f.list.Identities {
		errs = append(errs, add(e.Why, contract.DenialSubject{Issuer: e.Issuer, SAN: e.SAN}))
	}
	for _, e := range f.list.Digests {
		errs = append(errs, add(e.Why, contract.DenialSubject{Digest: e.Digest}))
	}
	for _, e := range f.list.Skills {
		errs = append(errs, add(e.Why, contract.DenialSubject{Skill: strings.TrimSpace(string(e.Skill) + " " + e.Versions)}))
	}
	for _, e := range f.list.Minimums {
		errs = append(errs, t.raise(f, e))
	}
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// raise makes a feed's minimum count where no other is higher.
func (t *trust) raise(f *followed, e feed.Minimum) error {
	version, err := semver.StrictNewVersion(e.Version)
	if err != nil {
		return writ.Errorf(writ.CodeInvalid, "feed "+f.Name, "the minimum of %s: %q is not a semantic version", e.Skill, clip(e.Version))
	}
	if have := t.minimum[e.Skill]; have == nil || version.GreaterThan(have.version) {
		t.minimum[e.Skill] = &minimum{version, &Denial{Reason: e.Reason, At: e.At, feed: f.Name}}
	}
	return nil
}

// understood is an error where the registry could not apply a list.
func understood(name string, list *feed.Revocations) error {
	t := &trust{denials: newDenials()}
	err := t.follow(&followed{Name: name, list: list})
	if err == nil {
		return nil
	}
	return &writ.Error{
		Code: writ.CodeInvalid, Op: "feed " + name, Message: err.Error(), Err: err,
		Fix: "tell who publishes the feed; what was known of it stays in force",
	}
}

// staleFeeds are findings of an install where the operator wants them.
func (r *Registry) staleFeeds(t *trust) []writ.SkillIssue {
	var issues []writ.SkillIssue
	for _, f := range t.feeds {
		if r.opts.RefuseStale && f.stale(r.opts.Clock.Now()) {
			issues = append(issues, *fixed(finding(writ.IssueRevocationStale, "the feed %s vouches for nothing after %s: newer revocations may be kept back", f.Name, f.ExpiresAt),
				"writ trust feed update %s", f.Name))
		}
	}
	return issues
}

// refresh reads a feed from its server and records what changed. The error is of
// this host; what is wrong with the feed is its Failure.
func (r *Registry) refresh(ctx context.Context, by *writ.Principal, f *followed) (*followed, error) {
	known, err := r.feedState(ctx, by.Tenant, f.Name)
	if err != nil {
		return nil, err
	}
	update, failed := feed.Fetch(ctx, f.URL, known, r.opts.Clock)
	if failed == nil {
		failed = understood(f.Name, update.List)
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	r.change.Lock()
	defer r.change.Unlock()
	t, err := r.trust(ctx, by.Tenant)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(t.feeds, func(have *followed) bool { return have.Name == f.Name && have.AddedAt == f.AddedAt })
	if i < 0 {
		return nil, writ.Errorf(writ.CodeConflict, "feed "+f.Name, "was removed while it was read")
	}
	next := *t.feeds[i]
	if failed != nil {
		return &next, r.keepFailure(ctx, by, &next, failed)
	}
	return &next, r.keepUpdate(ctx, by, &next, known, update)
}

// keepFailure records a failure once, not at each attempt: every record has
// running steps judged again.
func (r *Registry) keepFailure(ctx context.Context, by *writ.Principal, f *followed, failed error) error {
	failure := &contract.FeedFailure{Code: writ.CodeOf(failed), Message: failed.Error(), Since: r.opts.Clock.Now()}
	if e, ok := failed.(*writ.Error); ok {
		failure.Fix = e.Fix
	}
	before := f.Failure
	f.Failure = failure
	if before != nil && before.Code == failure.Code {
		failure.Since = before.Since
		return nil
	}
	return r.appendTrust(ctx, by, "feed-failed", failure.Message, map[string]any{trustFeeds + f.Name: f})
}

func (r *Registry) keepUpdate(ctx context.Context, by *writ.Principal, f *followed, known *feed.State, update *feed.Update) error {
	same := sameState(known, &update.State)
	if same && f.Failure == nil {
		return nil
	}
	f.Failure = nil
	values := map[string]any{trustFeeds + f.Name: f}
	if !same {
		f.take(update, r.opts.Clock.Now())
		values[feedStates+f.Name] = &update.State
	}
	return r.appendTrust(ctx, by, "feed-updated", "", values)
}

func (f *followed) take(update *feed.Update, now writ.Time) {
	f.Version, f.Digest, f.ExpiresAt, f.UpdatedAt = update.Version, update.Digest, update.ExpiresAt, now
	f.List, f.list = update.Raw, update.List
}

func sameState(a, b *feed.State) bool {
	return string(a.Root) == string(b.Root) && string(a.Timestamp) == string(b.Timestamp) &&
		string(a.Snapshot) == string(b.Snapshot) && string(a.Targets) == string(b.Targets)
}

func (r *Registry) feedState(ctx context.Context, tenant writ.TenantID, name string) (*feed.State, error) {
	raw, err := r.opts.Store.Get(ctx, tenant, feedStates+name)
	if err != nil {
		return nil, err
	}
	state := &feed.State{}
	if err := json.Unmarshal(raw, state); err != nil {
		return nil, unreadable(feedStates+name, err)
	}
	return state, nil
}
