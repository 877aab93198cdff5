package registry

import (
	"cmp"
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/writ-run/writ"
)

// OCIScheme begins the references of bundles that are in a registry.
const OCIScheme = "oci://"

// Piece is one blob or manifest of an artifact: Data is what its descriptor names.
type Piece struct {
	ocispec.Descriptor
	Data []byte
}

// Artifact is a bundle as a registry of artifacts stores it: pieces in the order
// in which they are pushed, each manifest after what it names.
type Artifact struct {
	Name       string    // of the bundle in its index, which is its version
	Image      []Piece   // config, module, image manifest
	Signatures [][]Piece // of each: config, Sigstore bundle, manifest
}

// Manifest is the image manifest, whose digest is the bundle's.
func (a *Artifact) Manifest() Piece { return a.Image[len(a.Image)-1] }

// Unpack takes a .skill file apart after the strict gate. Whose it is is not judged.
// CodeSkillRefused with []writ.SkillIssue in Details where it is not an intact bundle.
func Unpack(file []byte, limits Limits) (*Artifact, error) {
	const op = "skill bundle"
	limits = limits.orDefaults()
	l, issue := open(file, limits)
	if issue != nil {
		return nil, refusal(op, []writ.SkillIssue{*issue})
	}
	if _, issue := l.readImage(limits); issue != nil {
		return nil, refusal(op, []writ.SkillIssue{*issue})
	}
	var m ocispec.Manifest
	if issue := readSigned("manifest", l.blobs[l.digest()], &m); issue != nil {
		return nil, refusal(op, []writ.SkillIssue{*issue})
	}
	image := ocispec.Descriptor{MediaType: l.image.MediaType, Digest: l.image.Digest, Size: l.image.Size}
	a := &Artifact{Name: l.image.Annotations[ocispec.AnnotationRefName], Image: l.pieces(m.Config, m.Layers[0], image)}
	for _, r := range l.referrers {
		if r.bundle == nil || l.blobs[writ.Digest(r.manifest.Config.Digest)] == nil {
			continue // what else is attached is of no use to an install
		}
		a.Signatures = append(a.Signatures, l.pieces(r.manifest.Config, r.manifest.Layers[0], r.descriptor))
	}
	return a, nil
}

func (l *layout) pieces(descriptors ...ocispec.Descriptor) []Piece {
	out := make([]Piece, len(descriptors))
	for i, d := range descriptors {
		out[i] = Piece{d, l.blobs[writ.Digest(d.Digest)]}
	}
	return out
}

// File packs the pieces as a .skill file: the same pieces give the same bytes, in
// whatever order a registry listed them, and those of Unpack the file that Sign made.
func (a *Artifact) File() ([]byte, error) {
	l := &layout{blobs: map[writ.Digest][]byte{}}
	take := func(pieces []Piece) ocispec.Descriptor {
		for _, p := range pieces {
			l.blobs[writ.Digest(p.Digest)] = p.Data
		}
		last := pieces[len(pieces)-1].Descriptor
		return ocispec.Descriptor{MediaType: last.MediaType, Digest: last.Digest, Size: last.Size}
	}
	l.image = take(a.Image)
	l.image.Annotations = map[string]string{ocispec.AnnotationRefName: a.Name}
	for _, pieces := range a.Signatures {
		r := referrer{descriptor: take(pieces)}
		r.descriptor.ArtifactType = mediaSigstore
		if issue := readJSON("manifest", pieces[len(pieces)-1].Data, &r.manifest); issue != nil {
			return nil, refusal("skill bundle", []writ.SkillIssue{*issue})
		}
		l.referrers = append(l.referrers, r)
	}
	slices.SortFunc(l.referrers, bySigning)
	return l.tar()
}

// bySigning is the order in which Sign attaches.
func bySigning(a, b referrer) int {
	x, y := a.manifest.Annotations, b.manifest.Annotations
	rank := func(annotations map[string]string) int {
		if annotations[annotationPredicate] == PredicateSkill {
			return 0
		}
		return 1
	}
	return cmp.Or(
		cmp.Compare(x[ocispec.AnnotationCreated], y[ocispec.AnnotationCreated]), cmp.Compare(rank(x), rank(y)),
		cmp.Compare(a.descriptor.Digest, b.descriptor.Digest),
	)
}

// ReadImageManifest finds config and module in an image manifest and holds their
// sizes against the limits, so that nothing too large is asked for. Nothing of it is
// trusted. CodeSkillRefused with []writ.SkillIssue in Details.
func ReadImageManifest(raw []byte, limits Limits) (config, module ocispec.Descriptor, err error) {
	var m ocispec.Manifest
	limits = limits.orDefaults()
	issue := readJSON("manifest", raw, &m)
	switch {
	case issue != nil:
	case len(m.Layers) != 1 || m.Config.MediaType != mediaConfig || m.Layers[0].MediaType != mediaModule:
		issue = fixed(finding(writ.IssueArtifactDigest, "the artifact is no skill: want the config %s and one layer %s", mediaConfig, mediaModule),
			"check the reference: it is of something else")
	case m.Config.Size > limits.Document:
		issue = tooLarge("the config has %d bytes, at most %d are allowed", m.Config.Size, limits.Document)
	case m.Layers[0].Size > limits.Module:
		issue = tooLarge("the module has %d bytes, at most %d are allowed", m.Layers[0].Size, limits.Module)
	case m.Config.Size < 0 || m.Layers[0].Size < 0 || !writ.Digest(m.Config.Digest).Valid() || !writ.Digest(m.Layers[0].Digest).Valid():
		issue = broken("the manifest names no blobs of a known form")
	}
	if issue != nil {
		return config, module, refusal("skill bundle", []writ.SkillIssue{*issue})
	}
	return m.Config, m.Layers[0], nil
}

// ReadSignatureManifest finds config and Sigstore bundle in a manifest that is
// attached to image; ok is false where it is about something else, holds something
// else, or more than the limits allow.
func ReadSignatureManifest(raw []byte, image ocispec.Descriptor, limits Limits) (config, bundle ocispec.Descriptor, ok bool) {
	var m ocispec.Manifest
	limits = limits.orDefaults()
	if readJSON("manifest", raw, &m) != nil || m.Subject == nil || m.Subject.Digest != image.Digest || m.ArtifactType != mediaSigstore ||
		len(m.Layers) != 1 || m.Layers[0].MediaType != mediaSigstore {
		return config, bundle, false
	}
	for _, d := range []ocispec.Descriptor{m.Config, m.Layers[0]} {
		if d.Size < 0 || d.Size > limits.Document || !writ.Digest(d.Digest).Valid() {
			return config, bundle, false
		}
	}
	return m.Config, m.Layers[0], true
}

var versionForm = regexp.MustCompile(`^[0-9A-Za-z_][0-9A-Za-z._-]{0,127}$`)

// ReadConfigName is what a config calls its skill; empty where it says nothing of
// the usual form. Nobody has verified it.
func ReadConfigName(raw []byte) (key writ.SkillKey, version string) {
	var config struct {
		Skill struct {
			Name    string `json:"name"`
			Version string `json:"version"`
		} `json:"skill"`
	}
	if json.Unmarshal(raw, &config) != nil || !namePattern.MatchString(config.Skill.Name) || !versionForm.MatchString(config.Skill.Version) {
		return "", ""
	}
	return writ.SkillKey(config.Skill.Name), config.Skill.Version
}

// Mismatch is the error of bytes from elsewhere that are not what was asked for.
func Mismatch(op, format string, args ...any) error {
	issue := fixed(finding(writ.IssueArtifactDigest, format, args...), "ask the publisher which digest is right, and find out who changed the registry")
	return refusal(op, []writ.SkillIssue{*issue})
}

// TooLarge is the error of something from elsewhere that passes a limit.
func TooLarge(op, format string, args ...any) error {
	return refusal(op, []writ.SkillIssue{*tooLarge(format, args...)})
}

// Clip keeps text of strangers short and on one line.
func Clip(s string) string { return clip(s) }

// WithDefaults are the limits with every zero member filled.
func (l Limits) WithDefaults() Limits { return l.orDefaults() }

// isOCI reports whether a source is a reference into a registry.
func isOCI(source string) bool { return strings.HasPrefix(source, OCIScheme) }
