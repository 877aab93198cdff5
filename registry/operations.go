package registry

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/contract"
)

// Install is the operation contract.SkillInstall.
func (r *Registry) Install(ctx context.Context, in *contract.SkillInstallInput) (*contract.SkillInstallOutput, error) {
	by, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, err
	}
	file, origin, err := r.source(ctx, in)
	if err != nil {
		return nil, err
	}
	report, id, err := r.InstallBundle(ctx, by, file, func(report *Report) {
		report.Origin = origin
		expect(in, report)
	})
	if err != nil {
		return nil, err
	}
	doc, err := r.document(ctx, by.Tenant, report.Ref.Key, report.Ref.Version)
	if err != nil {
		return nil, err
	}
	return &contract.SkillInstallOutput{
		Result:         contract.Result{Status: string(doc.Status), ChangedAt: doc.ChangedAt},
		InstallationID: id, SkillReport: report.contract(),
	}, nil
}

// Verify is the operation contract.SkillVerify: nothing is installed or
// recorded, and findings are the answer.
func (r *Registry) Verify(ctx context.Context, in *contract.SkillVerifyInput) (*contract.SkillVerifyOutput, error) {
	by, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, err
	}
	wanted := contract.SkillInstallInput(*in)
	file, _, err := r.source(ctx, &wanted)
	if err != nil {
		return nil, err
	}
	report, err := r.Examine(ctx, by.Tenant, file)
	if err != nil {
		return nil, err
	}
	expect(&wanted, report)
	return &contract.SkillVerifyOutput{SkillReport: report.contract()}, nil
}

// source reads what is to be installed: at most one byte more than is allowed,
// so that the gate can say that it is too large. origin is where in a registry it
// came from.
func (r *Registry) source(ctx context.Context, in *contract.SkillInstallInput) (file []byte, origin string, err error) {
	const op = "skill bundle"
	if in.AllowRollback != "" {
		if err := reasonGiven(op+": allowRollback", in.AllowRollback); err != nil {
			return nil, "", err
		}
	}
	if (in.Source == "") == (len(in.Bundle) == 0) {
		return nil, "", writ.Errorf(writ.CodeInvalid, op, "want either source or bundle").WithFix("name a .skill file or an oci:// reference in source, or send the bytes in bundle")
	}
	if in.Source == "" {
		return in.Bundle, "", nil
	}
	if isOCI(in.Source) {
		if r.opts.Fetcher == nil {
			return nil, "", writ.Errorf(writ.CodeInvalid, op, "this host fetches from no registry").WithFix("fetch it first: writ skill pull REFERENCE")
		}
		return r.opts.Fetcher.Fetch(ctx, in.Source)
	}
	if name, ok := strings.CutPrefix(in.Source, CarriedSource); ok {
		file, err = r.carried(name)
		return file, "", err
	}
	file, err = r.sourceFile(in.Source)
	return file, "", err
}

func (r *Registry) sourceFile(path string) ([]byte, error) {
	const op = "skill bundle"
	file, err := readBounded(path, r.opts.Limits.Bundle)
	switch {
	case err == nil:
		return file, nil
	case errors.Is(err, errTooLarge):
		return nil, refusal(op, []writ.SkillIssue{*tooLarge("the file has more than %d bytes", r.opts.Limits.Bundle)})
	case errors.Is(err, fs.ErrNotExist):
		return nil, writ.Errorf(writ.CodeNotFound, op, "%s does not exist here", clip(path)).
			WithFix("give the path of a .skill file on this server, or a reference such as oci://registry.example/acme/mailer:1.2.0")
	}
	return nil, &writ.Error{Code: writ.CodeInvalid, Op: op, Message: clip(path) + " cannot be read", Err: err}
}

// CarriedSource begins a source that names a skill of the host's binary.
const CarriedSource = "binary:"

func (r *Registry) carried(name string) ([]byte, error) {
	if r.opts.Carried == nil {
		return nil, writ.Errorf(writ.CodeNotFound, "skill "+clip(name), "this host carries no skills").WithFix("give the path of a .skill file on this server")
	}
	return r.opts.Carried(name)
}

// expect adds findings where the caller expects something else.
func expect(in *contract.SkillInstallInput, report *Report) {
	report.permitRollback(in.AllowRollback)
	ref := report.Ref
	if in.ArtifactDigest != "" && ref.Digest != "" && in.ArtifactDigest != ref.Digest {
		report.find(*fixed(finding(writ.IssueArtifactDigest, "the bundle is %s, %s is expected", ref.Digest, clip(string(in.ArtifactDigest))),
			"find out where the bundle comes from"))
	}
	if ref.Key != "" && ((in.SkillKey != "" && in.SkillKey != ref.Key) || (in.Version != "" && in.Version != ref.Version)) {
		report.find(*fixed(finding(writ.IssueManifestInvalid, "the bundle is %s, %s@%s is expected", ref, clip(string(in.SkillKey)), clip(in.Version)),
			"name what the bundle holds, or take another bundle"))
	}
	if len(in.Manifest) == 0 || report.Manifest == nil {
		return
	}
	have, err := canon.MarshalJSON(report.Manifest)
	want, wrong := canon.JSON(in.Manifest)
	if err != nil || wrong != nil || !bytes.Equal(have, want) {
		report.find(*fixed(finding(writ.IssueManifestInvalid, "the signed manifest differs from the expected one"),
			"compare them: writ skill inspect shows the signed one"))
	}
}

// contract is the report for callers.
func (r *Report) contract() contract.SkillReport {
	return contract.SkillReport{
		SkillKey: r.Ref.Key, Version: r.Ref.Version, Publisher: r.Ref.Key.Publisher(), Verified: r.OK(),
		SignatureVerified: r.Signature, PublisherTrusted: r.Signature && r.Publisher,
		ProvenanceVerified: r.Built, CompatibilityVerified: r.Compatible,
		ManifestDigest: r.Ref.Digest, Provenance: r.Provenance.contract(), Signers: r.Signers, Issues: contract.SkillIssuesFrom(r.Issues),
	}
}

func (p *Provenance) contract() *contract.Provenance {
	if p == nil {
		return nil
	}
	return &contract.Provenance{BuilderID: p.BuilderID, BuildType: p.BuildType, Repository: p.Repository, Revision: p.Revision, Ref: p.Ref}
}

// Disable is the operation contract.SkillDisable.
func (r *Registry) Disable(ctx context.Context, in *contract.SkillDisableInput) (*contract.SkillDisableOutput, error) {
	by, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := by.Claim("disabledBy", in.DisabledBy); err != nil {
		return nil, err
	}
	err = r.changeVersions(ctx, by, in.SkillKey, in.Version, func(docs []*installed) error {
		return r.setStatus(ctx, by, docs, writ.SkillDisabled, in.Reason)
	})
	return &contract.SkillDisableOutput{Result: r.result(string(writ.SkillDisabled))}, err
}

// Enable is the operation contract.SkillEnable.
func (r *Registry) Enable(ctx context.Context, in *contract.SkillEnableInput) (*contract.SkillEnableOutput, error) {
	by, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, err
	}
	err = r.changeVersions(ctx, by, in.SkillKey, in.Version, func(docs []*installed) error {
		return r.setStatus(ctx, by, docs, writ.SkillEnabled, in.Reason)
	})
	return &contract.SkillEnableOutput{Result: r.result(string(writ.SkillEnabled))}, err
}

// Uninstall is the operation contract.SkillUninstall.
func (r *Registry) Uninstall(ctx context.Context, in *contract.SkillUninstallInput) (*contract.SkillUninstallOutput, error) {
	by, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, err
	}
	err = r.changeVersions(ctx, by, in.SkillKey, in.Version, func(docs []*installed) error {
		return r.uninstall(ctx, by, docs, in.Reason)
	})
	return &contract.SkillUninstallOutput{Result: r.result("uninstalled")}, err
}

func (r *Registry) result(status string) contract.Result {
	return contract.Result{Status: status, ChangedAt: r.opts.Clock.Now()}
}

func (r *Registry) changeVersions(ctx context.Context, by *writ.Principal, key writ.SkillKey, version string, do func([]*installed) error) error {
	r.change.Lock()
	defer r.change.Unlock()
	docs, err := r.versions(ctx, by.Tenant, key, version)
	if err != nil {
		return err
	}
	return do(docs)
}

// List is the operation contract.SkillList.
func (r *Registry) List(ctx context.Context, in *contract.SkillListInput) (*contract.SkillListOutput, error) {
	by, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, err
	}
	docs, err := r.documents(ctx, by.Tenant, "")
	if err != nil {
		return nil, err
	}
	docs = slices.DeleteFunc(docs, func(d *installed) bool { return d.Status != writ.SkillEnabled && !in.IncludeDisabled })
	slices.SortFunc(docs, byKeyAndVersion)
	out := &contract.SkillListOutput{Result: r.result("ok"), Items: []contract.InstalledSkill{}}
	limit := in.Limit
	if limit <= 0 {
		limit = 50
	}
	limit = min(limit, 500)
	start := 0
	if in.Cursor != "" {
		after := slices.IndexFunc(docs, func(d *installed) bool { return d.ref().String() == in.Cursor })
		if after < 0 {
			return nil, writ.Errorf(writ.CodeInvalid, "cursor", "is of no page of this list any more").WithFix("list again without a cursor")
		}
		start = after + 1
	}
	for i := start; i < len(docs) && len(out.Items) < limit; i++ {
		out.Items = append(out.Items, r.item(ctx, by.Tenant, docs[i]))
	}
	if end := start + len(out.Items); end < len(docs) {
		out.NextCursor = docs[end-1].ref().String()
	}
	return out, nil
}

func byKeyAndVersion(a, b *installed) int {
	return cmp.Or(cmp.Compare(a.Key, b.Key), compareVersions(a.Version, b.Version))
}

func compareVersions(a, b string) int {
	x, errX := semver.StrictNewVersion(a)
	y, errY := semver.StrictNewVersion(b)
	if errX != nil || errY != nil {
		return strings.Compare(a, b)
	}
	return x.Compare(y)
}

// item describes an installed version. What no longer verifies is said so; its
// description comes from its bytes while they are intact.
func (r *Registry) item(ctx context.Context, tenant writ.TenantID, doc *installed) contract.InstalledSkill {
	item := contract.InstalledSkill{
		SkillKey: doc.Key, Version: doc.Version, Digest: doc.Digest, Status: doc.Status,
		Publisher: doc.Key.Publisher(), Provenance: doc.Provenance.contract(), Origin: doc.Origin, InstalledAt: doc.InstalledAt,
	}
	skill, err := r.content(ctx, tenant, doc, false)
	item.Verified = err == nil
	if err != nil {
		if skill, err = r.content(ctx, tenant, doc, true); err != nil {
			return item
		}
	}
	item.Description = skill.Manifest.Description
	for i := range skill.Manifest.Actions {
		item.Actions = append(item.Actions, actionItem(&skill.Manifest.Actions[i]))
	}
	return item
}

func actionItem(a *abi.Action) contract.SkillAction {
	return contract.SkillAction{
		Name: a.Name, Title: a.Title, Description: a.Description, Effects: a.Effects, Risk: a.Risk,
		Input: contract.Object(a.Input), Output: contract.Object(a.Output),
	}
}
