package registry

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"

	"github.com/writ-run/writ"
)

// Load implements writ.Skills. The module is shared: its bytes must not be
// changed. While the files stay untouched a load costs one stat a file; the
// bytes that are run are always the ones that were verified.
func (r *Registry) Load(ctx context.Context, req writ.LoadRequest) (*writ.Skill, error) {
	doc, err := r.known(ctx, req.Tenant, &req.Ref)
	if err != nil {
		return nil, err
	}
	if doc.ref() != req.Ref {
		return nil, writ.Errorf(writ.CodeNotFound, "skill "+req.Ref.String(), "%s with module %s is wanted, %s with module %s is installed",
			req.Ref.Digest, req.Ref.Module, doc.Digest, doc.Module).WithFix("compile the plan again")
	}
	if !doc.inUse() && !req.Replaying {
		return nil, writ.Errorf(writ.CodeSkillRefused, "skill "+req.Ref.String(), "is disabled").
			WithFix("writ skill enable %s --version %s", doc.Key, doc.Version)
	}
	return r.content(ctx, req.Tenant, doc, req.Replaying)
}

// known is document from the store, or as it was read since the tenant's last
// change. It is not to be changed.
func (r *Registry) known(ctx context.Context, tenant writ.TenantID, ref *writ.SkillRef) (*installed, error) {
	name := documentKey(ref.Key, ref.Version)
	if doc := r.cache.document(tenant, name); doc != nil {
		return doc, nil
	}
	mark := r.cache.mark()
	doc, err := r.document(ctx, tenant, ref.Key, ref.Version)
	if err == nil {
		r.cache.keepDocument(tenant, name, doc, mark)
	}
	return doc, err
}

// content is an installed bundle's verified content, which stays in memory.
// CodeTampered where the bytes are not those that were installed,
// CodeSkillRefused where the trust store no longer accepts them.
func (r *Registry) content(ctx context.Context, tenant writ.TenantID, doc *installed, replay bool) (*writ.Skill, error) {
	return r.look(ctx, tenant, doc, replay, true)
}

// glimpse is content for a look that nothing follows: what is not in memory is
// verified and does not stay there.
func (r *Registry) glimpse(ctx context.Context, tenant writ.TenantID, doc *installed, replay bool) (*writ.Skill, error) {
	return r.look(ctx, tenant, doc, replay, false)
}

func (r *Registry) look(ctx context.Context, tenant writ.TenantID, doc *installed, replay, keep bool) (*writ.Skill, error) {
	dir, err := r.bundleDir(tenant, doc.Content)
	if err != nil {
		return nil, err
	}
	t, err := r.trust(ctx, tenant)
	if err != nil {
		return nil, err
	}
	if v := r.cache.content(dir); v != nil && v.trust == t && (replay || !v.replay) &&
		v.skill.SkillRef == doc.ref() && v.stands(r.opts.Clock()) {
		return v.skill, nil
	}
	if keep {
		r.cache.dropContent(dir)
	}
	began := r.opts.Clock()
	v, err := r.verifyInstalled(dir, doc, t, replay)
	if err != nil {
		return nil, err
	}
	v.seen.Store(began.UnixNano())
	if keep && v.marks.settled(r.opts.Clock()) {
		r.cache.keepContent(dir, v)
	}
	return v.skill, nil
}

// verifyInstalled reads everything again: bytes against the recorded digests,
// signatures as of the recorded install time, keys and digests against today's
// deny list.
func (r *Registry) verifyInstalled(dir string, doc *installed, t *trust, replay bool) (*verified, error) {
	ref := doc.ref()
	entries, before, err := read(dir, r.opts.Limits)
	if err != nil {
		return nil, tampered(ref, err)
	}
	if contentDigest(entries) != doc.Content {
		return nil, tampered(ref, errors.New("the files differ from the installed ones"))
	}
	l, issue := readLayout(entries, r.opts.Limits)
	if issue != nil {
		return nil, tampered(ref, errors.New(issue.Message))
	}
	report := &Report{}
	c := &court{trust: t, image: l.digest(), at: doc.InstalledAt, replay: replay}
	if ok := c.authenticate(l, report) && c.read(l, report, r.opts.Limits); !ok || !report.OK() {
		return nil, refusal("skill "+ref.String(), report.Issues)
	}
	if report.Ref != ref {
		return nil, tampered(ref, errors.New("the store speaks of other bytes than are signed"))
	}
	paths := make([]string, len(entries))
	for i, e := range entries {
		paths[i] = filepath.Join(dir, filepath.FromSlash(e.name))
	}
	skill := &writ.Skill{Release: writ.Release{SkillRef: ref, Manifest: report.Manifest}, Module: report.module}
	return &verified{skill: skill, trust: t, replay: replay, paths: paths, marks: before}, nil
}

// catalogue is a snapshot of one tenant's skills.
type catalogue struct {
	skills map[writ.SkillKey][]candidate // highest version first
}

type candidate struct {
	version *semver.Version
	status  writ.SkillStatus
	release *writ.Release
	err     error // why an enabled version cannot be used
}

// Catalogue implements writ.Skills. Every release in it has been verified when
// the snapshot was made.
func (r *Registry) Catalogue(ctx context.Context, tenant writ.TenantID) (writ.Catalogue, error) {
	if cat := r.cache.catalogue(tenant); cat != nil {
		return cat, nil
	}
	generation := r.cache.mark()
	docs, err := r.documents(ctx, tenant, "")
	if err != nil {
		return nil, err
	}
	cat, whole := &catalogue{skills: map[writ.SkillKey][]candidate{}}, true
	for _, doc := range docs {
		version, err := semver.StrictNewVersion(doc.Version)
		if err != nil {
			return nil, unreadable(documentKey(doc.Key, doc.Version), err)
		}
		c := candidate{version: version, status: doc.Status}
		if doc.Status == writ.SkillEnabled {
			skill, err := r.content(ctx, tenant, doc, false)
			if c.err, whole = err, whole && err == nil; err == nil {
				c.release = &skill.Release
			}
		}
		cat.skills[doc.Key] = append(cat.skills[doc.Key], c)
	}
	for _, list := range cat.skills {
		slices.SortFunc(list, func(a, b candidate) int { return b.version.Compare(a.version) })
	}
	if whole { // a fault may be gone the next time
		r.cache.keepCatalogue(tenant, cat, generation)
	}
	return cat, nil
}

// Resolve implements writ.Catalogue. CodeInvalid where the constraint cannot be
// read; the error of Load where the version that fits cannot be used.
func (c *catalogue) Resolve(key writ.SkillKey, text string) (*writ.Release, error) {
	op := "skill " + clip(string(key))
	ranges, err := constraint(text)
	if err != nil {
		return nil, writ.Errorf(writ.CodeInvalid, op, "%q is not a version range", clip(text)).
			WithFix(`write a semver range such as "1.2.0", "^1.2" or ">=1.0.0 <2.0.0"`)
	}
	list := c.skills[key]
	if len(list) == 0 {
		return nil, writ.Errorf(writ.CodeNotFound, op, "is not installed; installed: %s", c.names()).
			WithFix("writ skill install FILE.skill, or use one of the installed skills")
	}
	have := make([]string, 0, len(list))
	for _, candidate := range list {
		fits := ranges == nil || ranges.Check(candidate.version)
		if fits && candidate.status == writ.SkillEnabled {
			return candidate.release, candidate.err
		}
		word := candidate.version.Original()
		if candidate.status != writ.SkillEnabled {
			word += " (disabled)"
		}
		have = append(have, word)
	}
	if text == "" {
		text = "any version"
	}
	return nil, writ.Errorf(writ.CodeNotFound, op, "no enabled version fits %s; installed: %s", clip(text), strings.Join(have, ", ")).
		WithFix("change the version range, enable a version, or install one that fits")
}

func (c *catalogue) names() string {
	if len(c.skills) == 0 {
		return "no skill"
	}
	const most = 20
	names := make([]string, 0, len(c.skills))
	for key := range c.skills {
		names = append(names, string(key))
	}
	slices.Sort(names)
	if len(names) > most {
		return strings.Join(names[:most], ", ") + " and " + itoa(len(names)-most) + " more"
	}
	return strings.Join(names, ", ")
}
