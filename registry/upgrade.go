package registry

import (
	"context"
	"slices"

	"github.com/Masterminds/semver/v3"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// Preview is a version that somebody might install: verified as an install
// verifies, with nothing installed and nothing recorded.
type Preview struct {
	Report *Report
	Skill  *writ.Skill // to be run; nil where the report has issues
	Before *writ.Skill // the newest enabled other version; nil where there is none
	// Upgrade says that installing it puts it in the place of Before: it is newer, and
	// not installed already.
	Upgrade bool
}

// Preview verifies what in names. CodeNotFound and CodeInvalid where it cannot be
// read; what verification finds is in the report.
func (r *Registry) Preview(ctx context.Context, by *writ.Principal, in *contract.SkillInstallInput) (*Preview, error) {
	file, _, err := r.source(ctx, in)
	if err != nil {
		return nil, err
	}
	report, err := r.Examine(ctx, by.Tenant, file)
	if err != nil {
		return nil, err
	}
	expect(in, report)
	p := &Preview{Report: report}
	if report.Manifest == nil {
		return p, nil
	}
	if report.OK() {
		p.Skill = &writ.Skill{Release: writ.Release{SkillRef: report.Ref, Manifest: report.Manifest}, Module: report.module}
	}
	return p, r.before(ctx, by.Tenant, p)
}

// before finds what new plans use now.
func (r *Registry) before(ctx context.Context, tenant writ.TenantID, p *Preview) error {
	enabled, err := r.enabled(ctx, tenant, p.Report.Ref.Key)
	if err != nil {
		return err
	}
	enabled = slices.DeleteFunc(enabled, func(d *installed) bool { return d.Version == p.Report.Ref.Version })
	if len(enabled) == 0 {
		return nil
	}
	newest := enabled[len(enabled)-1]
	if p.Before, err = r.content(ctx, tenant, newest, true); err != nil {
		return err
	}
	p.Upgrade = p.Skill != nil && !p.Report.sameInstalled && versionOf(p.Report.Ref.Version).GreaterThan(versionOf(newest.Version))
	return nil
}

// enabled are the enabled versions of a skill, oldest first.
func (r *Registry) enabled(ctx context.Context, tenant writ.TenantID, key writ.SkillKey) ([]*installed, error) {
	docs, err := r.documents(ctx, tenant, key)
	if err != nil {
		return nil, err
	}
	docs = slices.DeleteFunc(docs, func(d *installed) bool { return d.Status != writ.SkillEnabled })
	slices.SortFunc(docs, byKeyAndVersion)
	return docs, nil
}

// versionOf is the version, or 0.0.0 for what is none: manifests are checked.
func versionOf(text string) *semver.Version {
	version, err := semver.StrictNewVersion(text)
	if err != nil {
		return semver.New(0, 0, 0, "", "")
	}
	return version
}

// Accepts reports whether a draft's range takes the version, as a catalogue does.
func Accepts(ref *writ.SkillRef, text string) bool {
	ranges, err := constraint(text)
	return err == nil && (ranges == nil || ranges.Check(versionOf(ref.Version)))
}

// Contract is the report for callers.
func (p *Preview) Contract() contract.SkillReport { return p.Report.contract() }

// Changes are what the manifest says otherwise than that of Before.
func (p *Preview) Changes() []contract.SkillChange {
	if p.Before == nil || p.Report.Manifest == nil {
		return []contract.SkillChange{}
	}
	return contract.SkillChanges(p.Before.Manifest, p.Report.Manifest)
}
