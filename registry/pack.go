package registry

import (
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/canon"
)

// packedAt stands where the artifact form wants a time: the same sources give
// the same bytes. When a bundle was made is in its signature and provenance.
const packedAt = "1970-01-01T00:00:00Z"

// Pack makes an unsigned bundle: the same manifest and module give the same
// bytes. CodeInvalid with []writ.Problem in Details where the manifest is not
// complete and correct, CodeTooLarge where the default limits are passed.
func Pack(m *abi.Manifest, module []byte) ([]byte, error) {
	op := "skill " + m.Name + ": pack"
	manifest, err := canon.MarshalJSON(m)
	if err != nil {
		return nil, &writ.Error{Code: writ.CodeInvalid, Op: op, Message: err.Error(), Err: err}
	}
	if _, findings := readManifest(manifest); len(findings) > 0 {
		return nil, &writ.Error{
			Code: writ.CodeInvalid, Op: op, Message: findings[0].message,
			Fix: findings[0].fix, Details: problems("skill.yaml", nil, findings),
		}
	}
	if limits := (Limits{}).orDefaults(); int64(len(module)) > limits.Module {
		return nil, writ.Errorf(writ.CodeTooLarge, op, "the module has %d bytes, at most %d are allowed", len(module), limits.Module)
	}
	l := &layout{blobs: map[writ.Digest][]byte{}}
	layer := l.add(mediaModule, module)
	config, err := canon.MarshalJSON(wasmConfig{
		Created: packedAt, Architecture: "wasm", OS: "wasip1",
		LayerDigests: []string{layer.Digest.String()}, Skill: manifest,
	})
	if err != nil {
		return nil, err
	}
	l.image, err = l.addManifest(&ocispec.Manifest{
		Config: l.add(mediaConfig, config), Layers: []ocispec.Descriptor{layer},
		Annotations: map[string]string{ocispec.AnnotationCreated: packedAt},
	})
	if err != nil {
		return nil, err
	}
	l.image.Annotations = map[string]string{ocispec.AnnotationRefName: m.Version}
	return l.tar()
}

// FileName is NAME-VERSION.skill, without the publisher.
func FileName(m *abi.Manifest) string {
	_, name, _ := strings.Cut(m.Name, "/")
	return name + "-" + m.Version + ".skill"
}

// Inspection is what a bundle says of itself. Its digests fit together; nothing
// else of it has been verified.
type Inspection struct {
	Ref      writ.SkillRef
	Manifest *abi.Manifest
	Module   []byte
	KeyIDs   []KeyID // that the signatures name, in order
	// Identities of certificates, in order.
	Identities []string
	// Bytes of the OCI manifest, which signatures are about, and the Sigstore
	// bundles that are attached to it: what other tools verify.
	ImageManifest []byte
	Attached      []Attached
}

// Attached is one Sigstore bundle, and what kind of statement it is said to hold.
type Attached struct {
	PredicateType string
	Bundle        []byte // JSON
}

// Inspect reads a bundle without judging whom it comes from. CodeSkillRefused
// with []writ.SkillIssue in Details where it is not an intact bundle.
func Inspect(bundle []byte) (*Inspection, error) {
	limits := Limits{}.orDefaults()
	l, issue := open(bundle, limits)
	if issue != nil {
		return nil, refusal("skill bundle", []writ.SkillIssue{*issue})
	}
	img, issue := l.readImage(limits)
	if issue != nil {
		return nil, refusal("skill bundle", []writ.SkillIssue{*issue})
	}
	m, findings := readChecked(img.manifest)
	if len(findings) > 0 {
		return nil, refusal("skill bundle", findings.issues())
	}
	about := &Inspection{
		Ref:      writ.SkillRef{Key: writ.SkillKey(m.Name), Version: m.Version, Digest: l.digest(), Module: img.digest},
		Manifest: m, Module: img.module, ImageManifest: l.blobs[l.digest()],
	}
	about.KeyIDs, about.Identities = l.signers()
	for _, r := range l.referrers {
		if r.bundle != nil {
			about.Attached = append(about.Attached, Attached{r.manifest.Annotations[annotationPredicate], r.bundle})
		}
	}
	return about, nil
}

// open passes a file through the gate.
func open(raw []byte, limits Limits) (*layout, *writ.SkillIssue) {
	entries, issue := readTar(raw, limits)
	if issue != nil {
		return nil, issue
	}
	return readLayout(entries, limits)
}

// refusal is the error of a bundle that did not pass.
func refusal(op string, issues []writ.SkillIssue) *writ.Error {
	return &writ.Error{
		Code: writ.CodeSkillRefused, Op: op, Message: describe(issues),
		Fix: issues[0].Fix, Details: issues,
	}
}
