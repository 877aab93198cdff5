package registry

import (
	"regexp"
	"slices"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/sign"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

const (
	payloadType   = "application/vnd.in-toto+json"
	statementType = "https://in-toto.io/Statement/v1"

	// PredicateSkill is the predicate type of a skill's signature. cosign takes
	// any statement of a key for its signature; this registry asks for this one.
	PredicateSkill = "https://writ.dev/attestations/skill/v1"
	// PredicateProvenance is SLSA provenance v1.
	PredicateProvenance = "https://slsa.dev/provenance/v1"
	// BuildType is that of provenance that Sign makes.
	BuildType = "https://writ.dev/build-types/skill/v1"
	// LocalBuilder is the builder where ProvenanceInput names none.
	LocalBuilder = "https://writ.dev/builders/local/v1"
)

// commitForm is a full git object id, SHA-1 or SHA-256.
var commitForm = regexp.MustCompile(`^(?:[0-9a-f]{40}|[0-9a-f]{64})$`)

// SignRequest is what Sign attaches.
type SignRequest struct {
	Key           *Key
	ProvenanceKey *Key // nil: Key
	Provenance    ProvenanceInput
	Expires       writ.Time // last moment at which it may be installed; zero: none
	Clock         writ.Clock
}

// ProvenanceInput is what the author knows of the build. All members are optional.
type ProvenanceInput struct {
	Builder    string // URI; "": LocalBuilder
	Repository string // source, such as https://github.com/acme/mailer
	Revision   string // git commit, 40 or 64 hexadecimal digits
	Invocation string // id of the build
	Started    writ.Time
	Finished   writ.Time
}

// statement is an in-toto Statement v1.
type statement struct {
	Type          string    `json:"_type"`
	Subject       []subject `json:"subject"`
	PredicateType string    `json:"predicateType"`
	Predicate     any       `json:"predicate"`
}

type subject struct {
	Name   string            `json:"name"`
	Digest map[string]string `json:"digest"`
}

// skillPredicate repeats name and version, so that publisher and rollback are
// judged on signed words before the manifest is read. Expires is signed: editing
// it cannot revive a signature.
type skillPredicate struct {
	APIVersion string    `json:"apiVersion"`
	Skill      string    `json:"skill"`
	Version    string    `json:"version"`
	SignedAt   writ.Time `json:"signedAt"`
	Expires    writ.Time `json:"expires"`
}

// Sign attaches a signature and a provenance statement. A signature of another
// key is kept, an older one of the same key is replaced. CodeSkillRefused where
// the file is not an intact bundle, CodeInvalid where Key or Clock is missing.
func Sign(file []byte, req SignRequest) ([]byte, error) {
	const op = "skill bundle: sign"
	if req.Key == nil || req.Clock == nil {
		return nil, writ.Errorf(writ.CodeInvalid, op, "a key and a clock are needed")
	}
	if revision := req.Provenance.Revision; revision != "" && !commitForm.MatchString(revision) {
		return nil, writ.Errorf(writ.CodeInvalid, op, "revision %q is not a git commit", clip(revision)).
			WithFix("give all 40 or 64 hexadecimal digits, as `git rev-parse HEAD` prints them")
	}
	about, err := Inspect(file)
	if err != nil {
		return nil, err
	}
	limits := Limits{}.orDefaults()
	l, issue := open(file, limits)
	if issue != nil {
		return nil, refusal(op, []writ.SkillIssue{*issue})
	}
	builder := req.ProvenanceKey
	if builder == nil {
		builder = req.Key
	}
	l.drop(req.Key.Public().ID, PredicateSkill)
	l.drop(builder.Public().ID, PredicateProvenance)
	if len(l.referrers)+2 > limits.Referrers {
		return nil, writ.Errorf(writ.CodeTooLarge, op, "at most %d documents may be attached", limits.Referrers)
	}
	now := req.Clock.Now()
	err = l.attach(req.Key, now, &statement{
		PredicateType: PredicateSkill, Subject: about.subject(),
		Predicate: skillPredicate{"writ/v1", string(about.Ref.Key), about.Ref.Version, now, req.Expires},
	})
	if err != nil {
		return nil, err
	}
	err = l.attach(builder, now, &statement{
		PredicateType: PredicateProvenance, Subject: about.subject(), Predicate: provenancePredicate(about, &req.Provenance, now),
	})
	if err != nil {
		return nil, err
	}
	return l.tar()
}

func (i *Inspection) subject() []subject {
	return []subject{{i.Ref.String(), map[string]string{"sha256": i.Ref.Digest.Hex()}}}
}

// attach signs a statement and keeps it as a referrer, as cosign v3 does.
func (l *layout) attach(key *Key, now writ.Time, s *statement) error {
	s.Type = statementType
	text, err := canon.MarshalJSON(s)
	if err != nil {
		return err
	}
	data := &sign.DSSEData{Data: text, PayloadType: payloadType}
	signed, err := sign.Bundle(data, keypair{key}, sign.BundleOptions{})
	if err != nil {
		return &writ.Error{Code: writ.CodeInternal, Op: "skill bundle: sign", Message: "the signature cannot be made", Err: err}
	}
	raw, err := protojson.Marshal(signed)
	if err != nil {
		return err
	}
	image := ocispec.Descriptor{MediaType: l.image.MediaType, Digest: l.image.Digest, Size: l.image.Size}
	empty := l.add(ocispec.MediaTypeEmptyJSON, []byte("{}"))
	manifest := ocispec.Manifest{
		ArtifactType: mediaSigstore, Config: empty, Subject: &image,
		Layers: []ocispec.Descriptor{l.add(mediaSigstore, raw)},
		Annotations: map[string]string{
			ocispec.AnnotationCreated: now.String(),
			annotationContent:         "dsse-envelope",
			annotationPredicate:       s.PredicateType,
		},
	}
	d, err := l.addManifest(&manifest)
	if err != nil {
		return err
	}
	d.ArtifactType = mediaSigstore
	l.referrers = append(l.referrers, referrer{descriptor: d, manifest: manifest, bundle: raw})
	return nil
}

// drop removes what a key attached earlier.
func (l *layout) drop(id KeyID, predicateType string) {
	l.referrers = slices.DeleteFunc(l.referrers, func(r referrer) bool {
		if hintOf(r.bundle) != id || r.manifest.Annotations[annotationPredicate] != predicateType {
			return false
		}
		delete(l.blobs, writ.Digest(r.descriptor.Digest))
		delete(l.blobs, writ.Digest(r.manifest.Layers[0].Digest))
		return true
	})
}

// hintOf is the key that a Sigstore bundle names, unverified.
func hintOf(raw []byte) KeyID {
	var b bundle.Bundle
	if raw == nil || b.UnmarshalJSON(raw) != nil {
		return ""
	}
	return KeyID(b.GetVerificationMaterial().GetPublicKey().GetHint())
}

func (l *layout) keyIDs() []KeyID {
	ids := []KeyID{}
	for _, r := range l.referrers {
		if id := hintOf(r.bundle); id != "" && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// provenancePredicate is an SLSA v1 predicate.
func provenancePredicate(about *Inspection, in *ProvenanceInput, now writ.Time) map[string]any {
	type object = map[string]any
	definition := object{
		"buildType":          BuildType,
		"externalParameters": object{"skill": about.Ref.Key, "version": about.Ref.Version},
	}
	if in.Repository != "" {
		source := object{"uri": sourcePrefix + in.Repository}
		if in.Revision != "" {
			source["digest"] = object{"gitCommit": in.Revision}
		}
		definition["resolvedDependencies"] = []object{source}
	}
	metadata := object{"finishedOn": now}
	if in.Finished != 0 {
		metadata["finishedOn"] = in.Finished
	}
	if in.Started != 0 {
		metadata["startedOn"] = in.Started
	}
	if in.Invocation != "" {
		metadata["invocationId"] = in.Invocation
	}
	builder := in.Builder
	if builder == "" {
		builder = LocalBuilder
	}
	return object{
		"buildDefinition": definition,
		"runDetails":      object{"builder": object{"id": builder}, "metadata": metadata},
	}
}
