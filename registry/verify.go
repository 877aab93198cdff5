package registry

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/Masterminds/semver/v3"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
)

// Report is what verification found. It passed where Issues is empty; the
// members before tell how far it came.
type Report struct {
	Ref           writ.SkillRef // as far as signed words tell it
	Manifest      *abi.Manifest // nil where it was not reached or is not valid
	Signer        KeyID         // the key that signed, empty where a certificate did
	Signers       []string      // everyone whose good signature is on it: key ids and identities
	Provenance    *Provenance
	Signature     bool   // a trusted key signed this very bundle, in time
	Publisher     bool   // and may sign for this publisher
	Built         bool   // provenance of a trusted builder
	Compatible    bool   // with this host
	Origin        string // oci:// reference with its digest; "": not from a registry
	Issues        []writ.SkillIssue
	module        []byte
	layout        *layout
	sameInstalled bool
	older         *writ.SkillIssue // the finding that an operator may overrule
	rollback      string           // why an older version is installed
}

// OK reports whether nothing was found.
func (r *Report) OK() bool { return len(r.Issues) == 0 }

func (r *Report) find(issues ...writ.SkillIssue) { r.Issues = append(r.Issues, issues...) }

// Examine makes every check of an install. Findings are in the report, not in the
// error, which speaks of the store alone.
//
// The order is part of the security: the gate bounds what is read, digests bind
// blobs to names, and nothing beyond the signatures' own envelopes is parsed
// until a trusted key's signature over the manifest's digest holds.
func (r *Registry) Examine(ctx context.Context, tenant writ.TenantID, file []byte) (*Report, error) {
	t, err := r.trust(ctx, tenant)
	if err != nil {
		return nil, err
	}
	report := &Report{}
	l, issue := open(file, r.opts.Limits)
	if issue != nil {
		report.find(*issue)
		return report, nil
	}
	report.layout = l
	report.find(r.staleFeeds(t)...)
	c := &court{trust: t, image: l.digest(), at: r.opts.Clock.Now()}
	if !c.authenticate(l, report) {
		return report, nil
	}
	if err := r.checkFloor(ctx, tenant, t, report); err != nil {
		return nil, err
	}
	if !c.read(l, report, r.opts.Limits) {
		return report, nil
	}
	incompatible := compatibility(report.Manifest, r.opts.Versions)
	report.Compatible = len(incompatible) == 0
	report.find(incompatible...)
	report.find(withinCeiling(report.Manifest.Limits, r.opts.Ceiling)...)
	report.find(proveModule(r.opts.Inspector, report.Manifest, report.module)...)
	return report, nil
}

// authenticate checks signatures, publisher, provenance and the deny list. It is
// false where nothing more of the bundle may be read.
func (c *court) authenticate(l *layout, report *Report) bool {
	report.Ref.Digest = l.digest()
	var statements []*attestation
	failed := map[string][]writ.SkillIssue{}
	for _, r := range l.referrers {
		if r.bundle == nil {
			continue
		}
		attested, issue := c.attest(r.bundle)
		if issue == nil {
			statements = append(statements, attested...)
			continue
		}
		// The annotation is not signed; it only decides under which heading a
		// failed statement is reported.
		heading := PredicateSkill
		if r.manifest.Annotations[annotationPredicate] == PredicateProvenance {
			heading = PredicateProvenance
		}
		failed[heading] = append(failed[heading], *issue)
	}
	signer, signers, issues := c.signature(statements, failed[PredicateSkill])
	report.find(issues...)
	if signer == nil {
		return false
	}
	report.Ref.Key, report.Ref.Version, report.Signer = signer.skill, signer.version, signer.by.keyID()
	report.Signers = slices.Sorted(maps.Keys(signers))
	report.Signature = true
	report.Publisher = signer.skill.Publisher() == signer.by.publisher
	for _, i := range issues {
		report.Signature = report.Signature && i.Code != writ.IssueSignatureExpired && i.Code != writ.IssueSignatureMissing
	}
	report.Provenance, issues = c.provenance(statements, signer, failed[PredicateProvenance])
	report.Built = len(issues) == 0
	report.find(issues...)
	return !c.deniedRelease(report)
}

// deniedRelease looks for what is denied about a bundle whose signature holds:
// its publisher, its version, its digest.
func (c *court) deniedRelease(report *Report) bool {
	if c.replay {
		return false
	}
	ref, before := &report.Ref, len(report.Issues)
	if d := c.trust.publisherDenied(ref.Key.Publisher()); d != nil {
		report.find(*fixed(finding(writ.IssuePublisherRevoked, "the publisher %s %s", ref.Key.Publisher(), d.said()),
			"take the skill of another publisher"))
	}
	if d := c.trust.versionDenied(ref.Key, ref.Version); d != nil {
		report.find(*fixed(finding(writ.IssueReleaseRevoked, "%s %s", d.Subject, d.said()), "install another version"))
	}
	return c.deniedDigest(ref.Digest, report) || len(report.Issues) > before
}

func (c *court) deniedDigest(digest writ.Digest, report *Report) bool {
	d := c.trust.digestDenied(digest)
	if d == nil || c.replay {
		return false
	}
	report.find(*fixed(finding(writ.IssueReleaseRevoked, "%s %s", digest, d.said()), "install another version"))
	return true
}

// read parses what the signature covers and holds it against the signed words.
func (c *court) read(l *layout, report *Report, limits Limits) bool {
	img, issue := l.readImage(limits)
	if issue != nil {
		report.find(*issue)
		return false
	}
	report.Ref.Module, report.module = img.digest, img.module
	if c.deniedDigest(img.digest, report) {
		return false
	}
	m, found := readChecked(img.manifest)
	if len(found) > 0 {
		report.find(found.issues()...)
		return false
	}
	report.Manifest = m
	name := writ.SkillKey(m.Name)
	if name.Publisher() != report.Ref.Key.Publisher() {
		report.Publisher = false
		report.find(*fixed(finding(writ.IssuePublisherUntrusted, "the manifest is of %s, the signature of %s", name.Publisher(), report.Ref.Key.Publisher()),
			"only a key that is trusted for %s may sign its skills", name.Publisher()))
		return false
	}
	if name != report.Ref.Key || m.Version != report.Ref.Version {
		report.find(*fixed(finding(writ.IssueManifestInvalid, "the manifest is of %s@%s, the signature of %s", name, m.Version, report.Ref),
			"sign the bundle again with writ skill sign"))
		return false
	}
	return true
}

// checkFloor holds the version against the highest one and the digests that this
// tenant has ever installed: an older release is validly signed too.
func (r *Registry) checkFloor(ctx context.Context, tenant writ.TenantID, t *trust, report *Report) error {
	f, err := r.floor(ctx, tenant, report.Ref.Key)
	if err != nil {
		return err
	}
	ref := &report.Ref
	version, err := semver.StrictNewVersion(ref.Version)
	if err != nil {
		report.find(*fixed(finding(writ.IssueManifestInvalid, "%q is not a semantic version", clip(ref.Version)),
			"sign the bundle again with writ skill sign"))
		return nil
	}
	if m := t.minimum[ref.Key]; m != nil && version.LessThan(m.version) {
		report.find(*fixed(finding(writ.IssueRollback, "%s is older than %s, the least that the feed %s lets in: %s", ref, m.version, m.feed, clip(m.Reason)),
			"install %s or newer", m.version))
	}
	have, err := r.document(ctx, tenant, ref.Key, ref.Version)
	if err != nil && !writ.IsCode(err, writ.CodeNotFound) {
		return err
	}
	seen, known := f.Versions[ref.Version]
	if known && seen != ref.Digest {
		report.find(*fixed(finding(writ.IssueVersionExists, "%s was %s when it was first installed; this bundle is %s", ref, seen, ref.Digest),
			"a released version never changes: ask the publisher for a new version number"))
		return nil
	}
	if report.sameInstalled = have != nil && have.Digest == ref.Digest; report.sameInstalled {
		return nil
	}
	highest, err := semver.StrictNewVersion(f.Highest)
	if f.Highest != "" && err == nil && version.LessThan(highest) {
		report.older = fixed(finding(writ.IssueRollback, "%s is older than %s, which was installed here before", ref, f.Highest),
			"install %s or newer; where an older one is meant: writ skill install --allow-rollback REASON", f.Highest)
		report.find(*report.older)
	}
	return nil
}

// permitRollback takes back the finding that something newer was here. The word
// of a feed and other bytes under a known version are not the operator's to overrule.
func (r *Report) permitRollback(reason string) {
	if r.older == nil || reason == "" {
		return
	}
	r.Issues = slices.DeleteFunc(r.Issues, func(i writ.SkillIssue) bool { return i == *r.older })
	r.rollback = reason
}

// tampered is the error of installed bytes that are not what was verified.
func tampered(ref writ.SkillRef, cause error) error {
	var e *writ.Error
	message := "the installed bytes are not what was signed"
	if errors.As(cause, &e) {
		message += ": " + e.Message
	}
	return &writ.Error{
		Code: writ.CodeTampered, Op: "skill " + ref.String(), Message: message, Err: cause,
		Fix: "find out who changed the skill directory, then uninstall the skill and install it again from its publisher",
	}
}
