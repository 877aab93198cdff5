package registry

import (
	"context"
	"fmt"

	"github.com/Masterminds/semver/v3"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// SkillDrift finds installed skills that are no longer as they were approved.
// Since is zero where nothing says when it began.
func (r *Registry) SkillDrift(ctx context.Context, tenant writ.TenantID) ([]contract.DriftFinding, error) {
	docs, err := r.documents(ctx, tenant, "")
	if err != nil {
		return nil, err
	}
	t, err := r.trust(ctx, tenant)
	if err != nil {
		return nil, err
	}
	newest := newestEnabled(docs)
	var out []contract.DriftFinding
	for _, doc := range docs {
		d := drifting{doc: doc, trust: t}
		skill, err := r.glimpse(ctx, tenant, doc, !doc.inUse())
		if doc.inUse() && writ.IsCode(err, writ.CodeSkillRefused) {
			d.revoked(err)
			skill, err = r.glimpse(ctx, tenant, doc, true) // what it was, without today's deny list
		}
		switch {
		case writ.IsCode(err, writ.CodeTampered):
			d.find(contract.DriftSkillChanged, err.Error(), 0,
				"find out who changed it, then install it again from its publisher, or: "+d.uninstall())
		case err != nil && !writ.IsCode(err, writ.CodeSkillRefused):
			return nil, err
		case doc.Status == writ.SkillEnabled:
			d.outdated(newest[doc.Key])
			if skill != nil {
				issues := append(compatibility(skill.Manifest, r.opts.Versions), withinCeiling(skill.Manifest.Limits, r.opts.Ceiling)...)
				d.incompatible(issues)
			}
		}
		out = append(out, d.found...)
	}
	return out, nil
}

// NewestEnabled is the newest enabled version of each skill.
func (r *Registry) NewestEnabled(ctx context.Context, tenant writ.TenantID) (map[writ.SkillKey]string, error) {
	docs, err := r.documents(ctx, tenant, "")
	if err != nil {
		return nil, err
	}
	out := map[writ.SkillKey]string{}
	for key, doc := range newestEnabled(docs) {
		out[key] = doc.Version
	}
	return out, nil
}

func newestEnabled(docs []*installed) map[writ.SkillKey]*installed {
	out := map[writ.SkillKey]*installed{}
	for _, doc := range docs {
		if doc.Status == writ.SkillEnabled && (out[doc.Key] == nil || byKeyAndVersion(out[doc.Key], doc) < 0) {
			out[doc.Key] = doc
		}
	}
	return out
}

// drifting collects what is found about one installed version.
type drifting struct {
	doc   *installed
	trust *trust
	found []contract.DriftFinding
}

func (d *drifting) find(code contract.DriftCode, message string, since writ.Time, fix string) {
	d.found = append(d.found, contract.DriftFinding{
		Code: code, Subject: string(d.doc.Key) + "@" + d.doc.Version, Message: message, Since: since, Fix: fix,
	})
}

func (d *drifting) uninstall() string {
	return fmt.Sprintf("writ skill uninstall %s --version %s", d.doc.Key, d.doc.Version)
}

// revoked says why it does not load any more.
func (d *drifting) revoked(refusal error) {
	d.find(contract.DriftSkillRevoked, refusal.Error(), d.deniedAt(), "install another version, then: "+d.uninstall())
}

// deniedAt is when the first denial of what the store says of it came.
func (d *drifting) deniedAt() writ.Time {
	first := writ.Time(0)
	for _, denial := range []*Denial{
		d.trust.keyDenied(d.doc.Signer), d.trust.publisherDenied(d.doc.Key.Publisher()), d.trust.versionDenied(d.doc.Key, d.doc.Version),
		d.trust.digestDenied(d.doc.Digest), d.trust.digestDenied(d.doc.Module),
	} {
		if denial != nil && (first == 0 || denial.At < first) {
			first = denial.At
		}
	}
	return first
}

// outdated compares with a feed's minimum and with the newest that is enabled.
func (d *drifting) outdated(newest *installed) {
	version, err := semver.StrictNewVersion(d.doc.Version)
	if m := d.trust.minimum[d.doc.Key]; err == nil && m != nil && version.LessThan(m.version) {
		d.find(contract.DriftSkillBelowMinimum, "the feed "+m.feed+" lets in "+m.version.String()+" and newer: "+clip(m.Reason), m.At,
			"install "+m.version.String()+" or newer, then: "+d.uninstall())
	}
	if newest != nil && newest.Version != d.doc.Version {
		d.find(contract.DriftSkillSuperseded, newest.Version+" is enabled beside it", max(newest.ChangedAt, d.doc.ChangedAt),
			fmt.Sprintf("where no plan needs it any more: writ skill disable %s --version %s", d.doc.Key, d.doc.Version))
	}
}

func (d *drifting) incompatible(issues []writ.SkillIssue) {
	if len(issues) > 0 {
		d.find(contract.DriftSkillIncompatible, describe(issues), 0, issues[0].Fix)
	}
}

// FeedDrift finds feeds whose revocations may be kept back.
func (r *Registry) FeedDrift(ctx context.Context, tenant writ.TenantID) ([]contract.DriftFinding, error) {
	t, err := r.trust(ctx, tenant)
	if err != nil {
		return nil, err
	}
	var out []contract.DriftFinding
	for _, f := range t.feeds {
		if f.stale(r.opts.Clock.Now()) {
			out = append(out, contract.DriftFinding{
				Code: contract.DriftFeedStale, Subject: f.Name, Since: f.ExpiresAt,
				Message: "it vouches for nothing after " + f.ExpiresAt.String() + ": newer revocations may be kept back",
				Fix:     "writ trust feed update " + f.Name + "; where that does not help, ask who publishes it",
			})
		}
		if f.Failure != nil {
			out = append(out, contract.DriftFinding{
				Code: contract.DriftFeedFailing, Subject: f.Name, Since: f.Failure.Since,
				Message: string(f.Failure.Code) + ": " + f.Failure.Message, Fix: f.Failure.Fix,
			})
		}
	}
	return out, nil
}
