package registry

import (
	"encoding/json"
	"slices"
	"strings"

	digest "github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

// Media types: the CNCF form of a WebAssembly artifact, and a Sigstore bundle
// attached as cosign v3 does.
const (
	mediaConfig   = "application/vnd.wasm.config.v0+json"
	mediaModule   = "application/wasm"
	mediaSigstore = "application/vnd.dev.sigstore.bundle.v0.3+json"

	annotationContent   = "dev.sigstore.bundle.content"
	annotationPredicate = "dev.sigstore.bundle.predicateType"
)

// layout is an OCI image layout whose blobs match their digests. Nothing in it
// is trusted: only what a verified signature's digest leads to may be believed.
type layout struct {
	image     ocispec.Descriptor // of the image manifest: what signatures are about
	blobs     map[writ.Digest][]byte
	referrers []referrer
}

// referrer is a manifest attached to the image.
type referrer struct {
	descriptor ocispec.Descriptor
	manifest   ocispec.Manifest
	bundle     []byte // Sigstore bundle JSON; nil where something else is attached
}

func (l *layout) digest() writ.Digest { return writ.Digest(l.image.Digest) }

// readLayout checks digests and structure, in that order.
func readLayout(entries []entry, lim Limits) (*layout, *writ.SkillIssue) {
	l := &layout{blobs: map[writ.Digest][]byte{}}
	files := map[string][]byte{}
	for _, e := range entries {
		hex, isBlob := strings.CutPrefix(e.name, blobPrefix)
		if !isBlob {
			files[e.name] = e.data
			continue
		}
		name := writ.Digest("sha256:" + hex)
		if got := canon.SHA256(e.data); got != name {
			return nil, broken("blob %s: its bytes have the digest %s", name, got)
		}
		l.blobs[name] = e.data
	}
	var mark ocispec.ImageLayout
	if issue := readJSON("oci-layout", files[layoutFile], &mark); issue != nil {
		return nil, issue
	}
	if mark.Version != ocispec.ImageLayoutVersion {
		return nil, broken("oci-layout: version %q, want %s", clip(mark.Version), ocispec.ImageLayoutVersion)
	}
	var index ocispec.Index
	if issue := readJSON("index.json", files[indexFile], &index); issue != nil {
		return nil, issue
	}
	if issue := l.readIndex(&index, lim); issue != nil {
		return nil, issue
	}
	return l, nil
}

// readJSON reads a document that nobody has signed. Two readings of it would do
// no harm: all that it can do is point at what digests and signatures hold.
func readJSON(name string, raw []byte, into any) *writ.SkillIssue {
	if raw == nil {
		return broken("%s is missing", name)
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return broken("%s: %s", name, clip(err.Error()))
	}
	return nil
}

// readSigned reads a signed document, which must have one reading alone: no
// duplicate keys, large integers or broken Unicode.
func readSigned(name string, raw []byte, into any) *writ.SkillIssue {
	if err := canon.CheckJSON(raw); err != nil {
		return broken("%s: %s", name, clip(err.Error()))
	}
	return readJSON(name, raw, into)
}

// readIndex finds the image, which alone carries a reference name, and what is
// attached to it.
func (l *layout) readIndex(index *ocispec.Index, lim Limits) *writ.SkillIssue {
	if len(index.Manifests) > lim.Referrers+1 {
		return tooLarge("more than %d signatures and other documents are attached", lim.Referrers)
	}
	images := 0
	for _, d := range index.Manifests {
		if d.Annotations[ocispec.AnnotationRefName] != "" {
			l.image = d
			images++
		}
	}
	if images != 1 {
		return broken("index.json: want exactly one named manifest, have %d", images)
	}
	if _, issue := l.fetch(l.image, ocispec.MediaTypeImageManifest, lim.Document); issue != nil {
		return issue
	}
	for _, d := range index.Manifests {
		if d.Digest == l.image.Digest && d.Annotations[ocispec.AnnotationRefName] != "" {
			continue
		}
		r, issue := l.readReferrer(d, lim)
		if issue != nil {
			return issue
		}
		l.referrers = append(l.referrers, *r)
	}
	return nil
}

func (l *layout) readReferrer(d ocispec.Descriptor, lim Limits) (*referrer, *writ.SkillIssue) {
	raw, issue := l.fetch(d, ocispec.MediaTypeImageManifest, lim.Document)
	if issue != nil {
		return nil, issue
	}
	r := &referrer{descriptor: d}
	if issue := readJSON("manifest "+d.Digest.String(), raw, &r.manifest); issue != nil {
		return nil, issue
	}
	m := &r.manifest
	if m.Subject == nil || m.Subject.Digest != l.image.Digest {
		return nil, broken("manifest %s is not about this bundle", d.Digest)
	}
	// The artifact type in the index is a hint that registries fill differently.
	if m.ArtifactType != mediaSigstore || len(m.Layers) != 1 {
		return r, nil
	}
	if r.bundle, issue = l.fetch(m.Layers[0], mediaSigstore, lim.Document); issue != nil {
		return nil, issue
	}
	return r, nil
}

// fetch is the blob of a descriptor, which must agree with it in everything.
func (l *layout) fetch(d ocispec.Descriptor, mediaType string, limit int64) ([]byte, *writ.SkillIssue) {
	if d.MediaType != mediaType {
		return nil, broken("blob %s is %q where %q is wanted", clip(d.Digest.String()), clip(d.MediaType), mediaType)
	}
	blob, ok := l.blobs[writ.Digest(d.Digest)]
	if !ok {
		return nil, broken("blob %s is missing", clip(d.Digest.String()))
	}
	if int64(len(blob)) != d.Size {
		return nil, broken("blob %s has %d bytes where %d are declared", d.Digest, len(blob), d.Size)
	}
	if d.Size > limit {
		return nil, tooLarge("blob %s (%s) has more than %d bytes", d.Digest, mediaType, limit)
	}
	return blob, nil
}

// wasmConfig is the CNCF config with the skill's manifest as one more member, so
// that one digest covers manifest and module.
type wasmConfig struct {
	Created      string          `json:"created"`
	Architecture string          `json:"architecture"`
	OS           string          `json:"os"`
	LayerDigests []string        `json:"layerDigests"`
	Skill        json.RawMessage `json:"skill"`
}

// image is what the image manifest leads to. It is read only after a signature
// over the manifest's digest has been verified.
type image struct {
	manifest []byte // the skill's manifest, JSON as it was signed, with one reading
	module   []byte
	digest   writ.Digest // of module
}

func (l *layout) readImage(lim Limits) (*image, *writ.SkillIssue) {
	var m ocispec.Manifest
	if issue := readSigned("manifest", l.blobs[l.digest()], &m); issue != nil {
		return nil, issue
	}
	if m.MediaType != ocispec.MediaTypeImageManifest || m.Subject != nil || len(m.Layers) != 1 {
		return nil, broken("the manifest is not an image manifest with exactly one layer")
	}
	raw, issue := l.fetch(m.Config, mediaConfig, lim.Document)
	if issue != nil {
		return nil, issue
	}
	var config wasmConfig
	if issue := readSigned("config", raw, &config); issue != nil {
		return nil, issue
	}
	module, issue := l.fetch(m.Layers[0], mediaModule, lim.Module)
	if issue != nil {
		return nil, issue
	}
	name := m.Layers[0].Digest.String()
	if config.Architecture != "wasm" || config.OS != "wasip1" || !slices.Equal(config.LayerDigests, []string{name}) {
		return nil, broken("the config does not describe this module")
	}
	if issue := l.stray(&m); issue != nil {
		return nil, issue
	}
	return &image{manifest: config.Skill, module: module, digest: writ.Digest(name)}, nil
}

// stray finds a blob that nothing names.
func (l *layout) stray(m *ocispec.Manifest) *writ.SkillIssue {
	named := map[digest.Digest]bool{l.image.Digest: true, m.Config.Digest: true, m.Layers[0].Digest: true}
	for _, r := range l.referrers {
		named[r.descriptor.Digest], named[r.manifest.Config.Digest] = true, true
		for _, layer := range r.manifest.Layers {
			named[layer.Digest] = true
		}
	}
	for d := range l.blobs {
		if !named[digest.Digest(d)] {
			return broken("blob %s is named by nothing", d)
		}
	}
	return nil
}

// add keeps a blob and returns its descriptor.
func (l *layout) add(mediaType string, data []byte) ocispec.Descriptor {
	d := canon.SHA256(data)
	l.blobs[d] = data
	return ocispec.Descriptor{MediaType: mediaType, Digest: digest.Digest(d), Size: int64(len(data))}
}

func (l *layout) addManifest(m *ocispec.Manifest) (ocispec.Descriptor, error) {
	m.Versioned, m.MediaType = specs.Versioned{SchemaVersion: 2}, ocispec.MediaTypeImageManifest
	raw, err := json.Marshal(m)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	return l.add(ocispec.MediaTypeImageManifest, raw), nil
}

// entries is the layout in its deterministic order: mark, index, blobs by digest.
func (l *layout) entries() ([]entry, error) {
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex}
	index.Manifests = append(index.Manifests, l.image)
	for _, r := range l.referrers {
		index.Manifests = append(index.Manifests, r.descriptor)
	}
	mark, err := json.Marshal(ocispec.ImageLayout{Version: ocispec.ImageLayoutVersion})
	if err != nil {
		return nil, err
	}
	list, err := json.Marshal(index)
	if err != nil {
		return nil, err
	}
	out := []entry{{layoutFile, mark}, {indexFile, list}}
	names := make([]string, 0, len(l.blobs))
	for d := range l.blobs {
		names = append(names, d.Hex())
	}
	slices.Sort(names)
	for _, hex := range names {
		out = append(out, entry{blobPrefix + hex, l.blobs[writ.Digest("sha256:"+hex)]})
	}
	return out, nil
}

func (l *layout) tar() ([]byte, error) {
	entries, err := l.entries()
	if err != nil {
		return nil, err
	}
	return writeTar(entries)
}
