package registry

import (
	"context"
	"os"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

// InstallBundle verifies a .skill file and installs it for the caller's tenant;
// expect, where not nil, adds findings of what the caller expects. The same
// bundle again changes nothing. A refusal is CodeSkillRefused with
// []writ.SkillIssue in Details, leaves no file behind and is recorded.
func (r *Registry) InstallBundle(ctx context.Context, by *writ.Principal, file []byte, expect func(*Report)) (*Report, string, error) {
	r.change.Lock()
	defer r.change.Unlock()
	report, err := r.Examine(ctx, by.Tenant, file)
	if err != nil {
		return nil, "", err
	}
	if expect != nil {
		expect(report)
	}
	if !report.OK() {
		return report, "", r.reject(ctx, by, file, report)
	}
	entries, issue := readTar(file, r.opts.Limits) // has passed before
	if issue != nil {
		return nil, "", refusal("skill bundle", []writ.SkillIssue{*issue})
	}
	slices.SortFunc(entries, func(a, b entry) int { return compareEntries(a.name, b.name) })
	id, err := r.keep(ctx, by, entries, report)
	return report, id, err
}

// reject records the refusal and returns it.
func (r *Registry) reject(ctx context.Context, by *writ.Principal, file []byte, report *Report) error {
	op := "skill bundle"
	if report.Ref.Key != "" {
		op = "skill " + report.Ref.String()
	}
	refused := refusal(op+": install", report.Issues)
	err := r.append(ctx, &change{
		by: by, kind: writ.RecSkillRejected,
		facts: writ.SystemFacts{
			Subject: string(report.Ref.Key), Version: report.Ref.Version, Digest: report.Ref.Digest,
			Status: "rejected", Issues: report.Issues, Details: map[string]string{"file": string(canon.SHA256(file))},
		},
	})
	if err != nil {
		return err
	}
	return refused
}

// keep puts the files in place and records the installation.
func (r *Registry) keep(ctx context.Context, by *writ.Principal, entries []entry, report *Report) (string, error) {
	content := contentDigest(entries)
	dir, err := r.bundleDir(by.Tenant, content)
	if err != nil {
		return "", err
	}
	doc := r.newDocument(by, content, report)
	var before *installed
	if report.sameInstalled {
		if before, err = r.document(ctx, by.Tenant, doc.Key, doc.Version); err != nil {
			return "", err
		}
		if before.Content == content {
			if _, err := r.content(ctx, by.Tenant, before, true); err == nil {
				return before.ID, nil
			}
		}
		doc.Status, doc.Pinned = before.Status, before.Pinned // installing again does not enable
	}
	floor, err := r.raised(ctx, by.Tenant, &report.Ref)
	if err != nil {
		return "", err
	}
	if err := settle(dir, entries); err != nil {
		return "", &writ.Error{
			Code: writ.CodeUnavailable, Op: "skill " + doc.ref().String() + ": install", Message: "the bundle cannot be written", Err: err,
			Fix: "check the free space and the permissions of the skill directory",
		}
	}
	if err := r.append(ctx, installation(by, doc, floor, report.rollback)); err != nil {
		if before == nil || before.Content != content {
			_ = os.RemoveAll(dir) // the error that is returned matters more
		}
		return "", err
	}
	if before != nil && before.Content != content {
		return doc.ID, r.removeContent(by.Tenant, before)
	}
	return doc.ID, nil
}

func (r *Registry) newDocument(by *writ.Principal, content writ.Digest, report *Report) *installed {
	now, ref := r.opts.Clock.Now(), report.Ref
	return &installed{
		ID:  canon.ID("ins", canon.DomainInstallation, []byte(by.Tenant), []byte(ref.String()), []byte(content), []byte(now.String())),
		Key: ref.Key, Version: ref.Version, Digest: ref.Digest, Module: ref.Module, Content: content,
		Status: writ.SkillEnabled, Signer: report.Signer, Signers: report.Signers, Provenance: report.Provenance, Origin: report.Origin,
		InstalledAt: now, InstalledBy: by.ID, ChangedAt: now,
	}
}

// raised is the floor with this release.
func (r *Registry) raised(ctx context.Context, tenant writ.TenantID, ref *writ.SkillRef) (*floor, error) {
	f, err := r.floor(ctx, tenant, ref.Key)
	if err != nil {
		return nil, err
	}
	f.Versions[ref.Version] = ref.Digest
	version, err := semver.StrictNewVersion(ref.Version)
	if err != nil {
		return nil, err
	}
	if highest, err := semver.StrictNewVersion(f.Highest); err != nil || version.GreaterThan(highest) {
		f.Highest = ref.Version
	}
	return f, nil
}

// installation is the record; rollback is why an older version than the floor's
// comes back.
func installation(by *writ.Principal, doc *installed, f *floor, rollback string) *change {
	details := map[string]string{"installation": doc.ID, "module": string(doc.Module), "signer": strings.Join(doc.Signers, ", ")}
	if rollback != "" {
		details["olderThan"] = f.Highest
	}
	if doc.Origin != "" {
		details["origin"] = doc.Origin
	}
	return &change{
		by: by, kind: writ.RecSkillInstalled,
		facts: writ.SystemFacts{
			Subject: string(doc.Key), Version: doc.Version, Digest: doc.Digest, Status: string(doc.Status), Reason: rollback,
			Details: details,
		},
		values: map[string]any{documentKey(doc.Key, doc.Version): doc, floorPrefix + string(doc.Key): f},
	}
}

func (r *Registry) removeContent(tenant writ.TenantID, doc *installed) error {
	dir, err := r.bundleDir(tenant, doc.Content)
	if err != nil {
		return err
	}
	r.cache.dropContent(dir)
	return os.RemoveAll(dir)
}

// versions are the installed ones of a skill: all, or the named one.
func (r *Registry) versions(ctx context.Context, tenant writ.TenantID, key writ.SkillKey, version string) ([]*installed, error) {
	if !namePattern.MatchString(string(key)) {
		return nil, writ.Errorf(writ.CodeInvalid, "skill "+clip(string(key)), "not publisher/name")
	}
	if version != "" {
		doc, err := r.document(ctx, tenant, key, version)
		return []*installed{doc}, err
	}
	docs, err := r.documents(ctx, tenant, key)
	if err == nil && len(docs) == 0 {
		err = writ.Errorf(writ.CodeNotFound, "skill "+string(key), "is not installed").WithFix("writ skill list shows what is")
	}
	return docs, err
}

// setStatus enables or disables versions. What is enabled is verified first.
func (r *Registry) setStatus(ctx context.Context, by *writ.Principal, docs []*installed, to writ.SkillStatus, reason string) error {
	var changes []*change
	for _, doc := range docs {
		if doc.Status == to && !doc.Pinned {
			continue
		}
		if to == writ.SkillEnabled {
			if _, err := r.content(ctx, by.Tenant, doc, false); err != nil {
				return err
			}
		}
		changes = append(changes, r.restatus(by, doc, to, reason))
	}
	return r.append(ctx, changes...)
}

// restatus changes doc, and is the change that records it.
func (r *Registry) restatus(by *writ.Principal, doc *installed, to writ.SkillStatus, reason string) *change {
	doc.Status, doc.Pinned, doc.ChangedAt = to, false, r.opts.Clock.Now()
	return &change{
		by: by, kind: writ.RecSkillStatus,
		facts:  writ.SystemFacts{Subject: string(doc.Key), Version: doc.Version, Digest: doc.Digest, Status: string(to), Reason: reason},
		values: map[string]any{documentKey(doc.Key, doc.Version): doc},
	}
}

// uninstall removes versions; floors stay.
func (r *Registry) uninstall(ctx context.Context, by *writ.Principal, docs []*installed, reason string) error {
	var changes []*change
	for _, doc := range docs {
		changes = append(changes, &change{
			by: by, kind: writ.RecSkillUninstalled,
			facts:  writ.SystemFacts{Subject: string(doc.Key), Version: doc.Version, Digest: doc.Digest, Status: "uninstalled", Reason: reason},
			values: map[string]any{documentKey(doc.Key, doc.Version): nil},
		})
	}
	if err := r.append(ctx, changes...); err != nil {
		return err
	}
	for _, doc := range docs {
		if err := r.removeContent(by.Tenant, doc); err != nil {
			return &writ.Error{
				Code: writ.CodeUnavailable, Op: "skill " + doc.ref().String() + ": uninstall", Message: "its files cannot be removed", Err: err,
				Fix: "the skill is out of use; remove its directory by hand",
			}
		}
	}
	return nil
}
