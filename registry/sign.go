package registry

import (
	"context"
	"regexp"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/sign"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/registry/keyless"
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
	Ref        string // of the source, such as refs/tags/v1.2.0
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
	builder := req.ProvenanceKey
	if builder == nil {
		builder = req.Key
	}
	return signWith(file, &req, []pen{
		{string(req.Key.Public().ID), PredicateSkill, req.Key.bundle},
		{string(builder.Public().ID), PredicateProvenance, builder.bundle},
	})
}

// SignKeyless is Sign with a certificate: what of the provenance the request
// leaves empty is what the certificate says. ProvenanceKey, where it is set, signs
// the provenance; Key is ignored.
func SignKeyless(ctx context.Context, file []byte, signer *keyless.Signer, req SignRequest) ([]byte, error) {
	if signer == nil || req.Clock == nil {
		return nil, writ.Errorf(writ.CodeInvalid, "skill bundle: sign", "a signer and a clock are needed")
	}
	claims := signer.Claims()
	req.Provenance.complete(claims)
	certified := func(text []byte) ([]byte, error) { return signer.Sign(ctx, payloadType, text) }
	pens := []pen{{claims.Signer(), PredicateSkill, certified}, {claims.Signer(), PredicateProvenance, certified}}
	if key := req.ProvenanceKey; key != nil {
		pens[1] = pen{string(key.Public().ID), PredicateProvenance, key.bundle}
	}
	return signWith(file, &req, pens)
}

// complete fills what is empty with what the certificate vouches for.
func (in *ProvenanceInput) complete(c *keyless.Claims) {
	for _, pair := range []struct {
		into *string
		from string
	}{{&in.Repository, c.SourceRepository}, {&in.Ref, c.SourceRef}, {&in.Revision, c.SourceDigest}, {&in.Builder, c.BuildSigner}} {
		if *pair.into == "" {
			*pair.into = pair.from
		}
	}
}

// pen signs one of the two statements.
type pen struct {
	signer        string // whose earlier statement of the same kind is replaced
	predicateType string
	sign          func(statement []byte) ([]byte, error)
}

func (in *ProvenanceInput) check() error {
	const op = "skill bundle: sign"
	if revision := in.Revision; revision != "" && !commitForm.MatchString(revision) {
		return writ.Errorf(writ.CodeInvalid, op, "revision %q is not a git commit", clip(revision)).
			WithFix("give all 40 or 64 hexadecimal digits, as `git rev-parse HEAD` prints them")
	}
	if ref := in.Ref; ref != "" && (!strings.HasPrefix(ref, "refs/") || in.Repository == "") {
		return writ.Errorf(writ.CodeInvalid, op, "ref %q: want a full ref of a repository", clip(ref)).
			WithFix("write refs/tags/v1.2.0 or refs/heads/main, and name the repository too")
	}
	return nil
}

func signWith(file []byte, req *SignRequest, pens []pen) ([]byte, error) {
	const op = "skill bundle: sign"
	if err := req.Provenance.check(); err != nil {
		return nil, err
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
	now := req.Clock.Now()
	statements := about.statements(req, now)
	for _, p := range pens {
		l.drop(p.signer, p.predicateType)
	}
	if len(l.referrers)+len(pens) > limits.Referrers {
		return nil, writ.Errorf(writ.CodeTooLarge, op, "at most %d documents may be attached", limits.Referrers)
	}
	for _, p := range pens {
		if err := l.attach(p.sign, now, statements[p.predicateType]); err != nil {
			return nil, err
		}
	}
	return l.tar()
}

// statements are what a signer says of a bundle, by predicate type.
func (i *Inspection) statements(req *SignRequest, now writ.Time) map[string]*statement {
	out := map[string]*statement{}
	for predicateType, predicate := range map[string]any{
		PredicateSkill:      skillPredicate{"writ/v1", string(i.Ref.Key), i.Ref.Version, now, req.Expires},
		PredicateProvenance: provenancePredicate(i, &req.Provenance, now),
	} {
		out[predicateType] = &statement{Type: statementType, PredicateType: predicateType, Subject: i.subject(), Predicate: predicate}
	}
	return out
}

func (i *Inspection) subject() []subject {
	return []subject{{i.Ref.String(), map[string]string{"sha256": i.Ref.Digest.Hex()}}}
}

// bundle signs a statement with the key, as a Sigstore bundle.
func (k *Key) bundle(text []byte) ([]byte, error) {
	data := &sign.DSSEData{Data: text, PayloadType: payloadType}
	signed, err := sign.Bundle(data, keypair{k}, sign.BundleOptions{})
	if err != nil {
		return nil, &writ.Error{Code: writ.CodeInternal, Op: "skill bundle: sign", Message: "the signature cannot be made", Err: err}
	}
	return protojson.Marshal(signed)
}

// attach signs a statement and keeps it as a referrer, as cosign v3 does.
func (l *layout) attach(by func([]byte) ([]byte, error), now writ.Time, s *statement) error {
	s.Type = statementType
	text, err := canon.MarshalJSON(s)
	if err != nil {
		return err
	}
	raw, err := by(text)
	if err != nil {
		return err
	}
	return l.keep(raw, s.PredicateType, now)
}

// keep makes a Sigstore bundle a referrer of the image.
func (l *layout) keep(raw []byte, predicateType string, now writ.Time) error {
	image := ocispec.Descriptor{MediaType: l.image.MediaType, Digest: l.image.Digest, Size: l.image.Size}
	empty := l.add(ocispec.MediaTypeEmptyJSON, []byte("{}"))
	manifest := ocispec.Manifest{
		ArtifactType: mediaSigstore, Config: empty, Subject: &image,
		Layers: []ocispec.Descriptor{l.add(mediaSigstore, raw)},
		Annotations: map[string]string{
			ocispec.AnnotationCreated: now.String(),
			annotationContent:         "dsse-envelope",
			annotationPredicate:       predicateType,
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

// drop removes what a signer attached earlier.
func (l *layout) drop(signer, predicateType string) {
	l.referrers = slices.DeleteFunc(l.referrers, func(r referrer) bool {
		id, identity := unverifiedSigner(r.bundle)
		if (string(id) != signer && identity != signer) || r.manifest.Annotations[annotationPredicate] != predicateType {
			return false
		}
		delete(l.blobs, writ.Digest(r.descriptor.Digest))
		delete(l.blobs, writ.Digest(r.manifest.Layers[0].Digest))
		return true
	})
}

// unverifiedSigner is the key that a Sigstore bundle names, or the identity of its
// certificate. Neither may be believed.
func unverifiedSigner(raw []byte) (id KeyID, identity string) {
	var b bundle.Bundle
	if raw == nil || b.UnmarshalJSON(raw) != nil {
		return "", ""
	}
	if claims := keyless.Unverified(&b); claims != nil {
		return "", claims.Signer()
	}
	return KeyID(b.GetVerificationMaterial().GetPublicKey().GetHint()), ""
}

// signers are the keys and the identities that the attached bundles name, each
// once and in order.
func (l *layout) signers() (ids []KeyID, identities []string) {
	ids, identities = []KeyID{}, []string{}
	for _, r := range l.referrers {
		id, identity := unverifiedSigner(r.bundle)
		if id != "" && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
		if identity != "" && !slices.Contains(identities, identity) {
			identities = append(identities, identity)
		}
	}
	return ids, identities
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
		if in.Ref != "" {
			source["uri"] = sourcePrefix + in.Repository + "@" + in.Ref
		}
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
