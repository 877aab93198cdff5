package registry

import (
	"context"
	"slices"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
	"github.com/writ-run/writ/registry/feed"
)

// trustOfCaller is the caller with the trust store of its tenant.
func (r *Registry) trustOfCaller(ctx context.Context) (*writ.Principal, *trust, error) {
	by, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, nil, err
	}
	t, err := r.trust(ctx, by.Tenant)
	return by, t, err
}

// FeedAdd is the operation contract.FeedAdd: a feed that has never been read
// protects from nothing, so it is read first.
func (r *Registry) FeedAdd(ctx context.Context, in *contract.FeedAddInput) (*contract.FeedAddOutput, error) {
	by, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, err
	}
	op := "feed " + clip(in.Name)
	if !publisherPattern.MatchString(in.Name) {
		return nil, writ.Errorf(writ.CodeInvalid, op, "not the name of a feed").WithFix("use lower-case letters, digits and dashes, such as acme")
	}
	if err := feed.CheckURL(in.URL); err != nil {
		return nil, err
	}
	if err := feed.CheckRoot(in.Root); err != nil {
		return nil, err
	}
	r.feeding.Lock()
	defer r.feeding.Unlock()
	t, err := r.trust(ctx, by.Tenant)
	if err != nil {
		return nil, err
	}
	if i := slices.IndexFunc(t.feeds, func(f *followed) bool { return f.Name == in.Name }); i >= 0 {
		return nil, writ.Errorf(writ.CodeConflict, op, "there is a feed of this name, from %s", t.feeds[i].URL).
			WithFix("choose another name, or writ trust feed remove %s first", in.Name)
	}
	if len(t.feeds) >= maxFeeds {
		return nil, writ.Errorf(writ.CodeConflict, op, "there are %d feeds, the most there may be", maxFeeds).WithFix("remove one: writ trust feed remove NAME")
	}
	update, err := feed.Fetch(ctx, in.URL, &feed.State{Root: in.Root}, r.opts.Clock)
	if err != nil {
		return nil, err
	}
	if err := understood(in.Name, update.List); err != nil {
		return nil, err
	}
	now := r.opts.Clock.Now()
	f := &followed{Name: in.Name, URL: in.URL, AddedAt: now, AddedBy: by.ID}
	f.take(update, now)
	r.change.Lock()
	defer r.change.Unlock()
	values := map[string]any{trustFeeds + f.Name: f, feedStates + f.Name: &update.State}
	if err := r.appendTrust(ctx, by, "feed-added", in.Reason, values); err != nil {
		return nil, err
	}
	return &contract.FeedAddOutput{Result: contract.Result{Status: "added", ChangedAt: now}, Feed: f.contract(now)}, nil
}

// FeedUpdate is the operation contract.FeedUpdate.
func (r *Registry) FeedUpdate(ctx context.Context, in *contract.FeedUpdateInput) (*contract.FeedUpdateOutput, error) {
	r.feeding.Lock()
	defer r.feeding.Unlock()
	by, t, err := r.trustOfCaller(ctx)
	if err != nil {
		return nil, err
	}
	out := &contract.FeedUpdateOutput{Result: r.result("ok"), Items: []contract.Feed{}}
	for _, f := range t.feeds {
		if in.Name != "" && f.Name != in.Name {
			continue
		}
		next, err := r.refresh(ctx, by, f)
		if err != nil {
			return nil, err
		}
		if next.Failure != nil {
			out.Status = "failed"
		}
		out.Items = append(out.Items, next.contract(r.opts.Clock.Now()))
	}
	if in.Name != "" && len(out.Items) == 0 {
		return nil, noFeed(in.Name)
	}
	return out, nil
}

func noFeed(name string) error {
	return writ.Errorf(writ.CodeNotFound, "feed "+clip(name), "is not followed here").WithFix("writ trust feed list shows what is")
}

// FeedRemove is the operation contract.FeedRemove.
func (r *Registry) FeedRemove(ctx context.Context, in *contract.FeedRemoveInput) (*contract.FeedRemoveOutput, error) {
	r.change.Lock()
	defer r.change.Unlock()
	by, t, err := r.trustOfCaller(ctx)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(t.feeds, func(f *followed) bool { return f.Name == in.Name }) {
		return nil, noFeed(in.Name)
	}
	values := map[string]any{trustFeeds + in.Name: nil, feedStates + in.Name: nil}
	if err := r.appendTrust(ctx, by, "feed-removed", in.Reason, values); err != nil {
		return nil, err
	}
	return &contract.FeedRemoveOutput{Result: r.result("removed")}, nil
}

// FeedList is the operation contract.FeedList.
func (r *Registry) FeedList(ctx context.Context, _ *contract.FeedListInput) (*contract.FeedListOutput, error) {
	_, t, err := r.trustOfCaller(ctx)
	if err != nil {
		return nil, err
	}
	out := &contract.FeedListOutput{Result: r.result("ok"), Items: []contract.Feed{}}
	for _, f := range t.feeds {
		out.Items = append(out.Items, f.contract(r.opts.Clock.Now()))
	}
	return out, nil
}
