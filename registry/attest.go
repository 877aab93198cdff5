package registry

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"time"

	provenancev1 "github.com/in-toto/attestation/go/predicates/provenance/v1"
	intoto "github.com/in-toto/attestation/go/v1"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// attestation is a statement about the bundle whose signature holds.
type attestation struct {
	key           *trusted
	predicateType string
	skill         writ.SkillKey // of the subject's name
	version       string
	predicate     []byte // JSON
}

// court judges the statements of one bundle as of one time.
type court struct {
	trust  *trust
	image  writ.Digest
	at     writ.Time
	replay bool // the deny list does not count: nothing live can be reached
}

// attest verifies one Sigstore bundle: the key is looked up by the hint among
// trusted keys, and only what that very key signed about this very digest passes.
func (c *court) attest(raw []byte) (*attestation, *writ.SkillIssue) {
	var b bundle.Bundle
	if err := b.UnmarshalJSON(raw); err != nil {
		return nil, badSignature("not a Sigstore bundle: %s", clip(err.Error()))
	}
	if b.GetMediaType() != mediaSigstore || b.GetDsseEnvelope().GetPayloadType() != payloadType {
		return nil, badSignature("want a Sigstore bundle v0.3 with an in-toto statement")
	}
	id := KeyID(b.GetVerificationMaterial().GetPublicKey().GetHint())
	if id == "" {
		return nil, fixed(finding(writ.IssueKeyUntrusted, "the bundle is signed with a certificate or names no key; only keys can be trusted here"),
			"ask the publisher for a bundle that is signed with a key")
	}
	key, issue := c.key(id)
	if issue != nil {
		return nil, issue
	}
	// Windows are checked by court.key with an injected clock.
	material := root.NewTrustedPublicKeyMaterialFromMapping(map[string]*root.ExpiringKey{
		string(id): root.NewExpiringKey(key.public.verifier, time.Time{}, time.Time{}),
	})
	verifier, err := verify.NewVerifier(material, verify.WithNoObserverTimestamps())
	if err != nil {
		return nil, badSignature("%s", clip(err.Error()))
	}
	result, err := verifier.Verify(&b, verify.NewPolicy(verify.WithArtifactDigest("sha256", c.image.Bytes()), verify.WithKey()))
	if err != nil {
		return nil, badSignature("key %s: %s", id, clip(err.Error()))
	}
	return c.statement(key, result.Statement)
}

func badSignature(format string, args ...any) *writ.SkillIssue {
	return fixed(finding(writ.IssueSignatureInvalid, format, args...), "ask the publisher to sign the bundle again")
}

// key finds a trusted key and judges it.
func (c *court) key(id KeyID) (*trusted, *writ.SkillIssue) {
	if d := c.trust.keyDenied(id); d != nil && !c.replay {
		return nil, fixed(finding(writ.IssueKeyRevoked, "the key %s %s", id, d.said()),
			"ask the publisher for a bundle that is signed with another key")
	}
	key := c.trust.keys[id]
	if key == nil {
		return nil, fixed(finding(writ.IssueKeyUntrusted, "the key %q is not in the trust store", clip(string(id))),
			"compare its fingerprint with the publisher's, then: writ trust add PUBLISHER --key KEY.pub")
	}
	if !key.covers(c.at) {
		return nil, fixed(finding(writ.IssueKeyUntrusted, "the key %s of %s is trusted from %s to %s alone, it is %s",
			id, key.Publisher, key.ValidFrom, key.ValidUntil, c.at), "ask the publisher for a bundle that is signed with a current key")
	}
	return key, nil
}

// statement checks what sigstore-go does not: the statement's version, that the
// bundle is its only subject, and the subject's name.
func (c *court) statement(key *trusted, s *intoto.Statement) (*attestation, *writ.SkillIssue) {
	if s.GetType() != statementType || len(s.GetSubject()) != 1 {
		return nil, badSignature("key %s: want an in-toto statement v1 with one subject", key.KeyID)
	}
	about := s.GetSubject()[0]
	if len(about.GetDigest()) != 1 || about.GetDigest()["sha256"] != c.image.Hex() {
		return nil, badSignature("key %s: the statement is about another bundle", key.KeyID)
	}
	name, version, ok := strings.Cut(about.GetName(), "@")
	if !ok || !namePattern.MatchString(name) {
		return nil, badSignature("key %s: the subject %q is not publisher/name@version", key.KeyID, clip(about.GetName()))
	}
	predicate, err := protojson.Marshal(s.GetPredicate())
	if err != nil {
		return nil, badSignature("key %s: the predicate cannot be read", key.KeyID)
	}
	return &attestation{key, s.GetPredicateType(), writ.SkillKey(name), version, predicate}, nil
}

// signature picks the statement that signs the skill. Where none is without
// fault, the issues are of the one that comes nearest, or of all that failed.
func (c *court) signature(all []*attestation, failed []writ.SkillIssue) (*attestation, []writ.SkillIssue) {
	var best *attestation
	var issues []writ.SkillIssue
	for _, a := range all {
		if a.predicateType != PredicateSkill {
			continue
		}
		if !a.key.may(contract.TrustSignature) {
			failed = append(failed, *fixed(finding(writ.IssueKeyUntrusted, "the key %s of %s is trusted for provenance alone", a.key.KeyID, a.key.Publisher),
				"sign with a key that is trusted for signatures"))
			continue
		}
		found, ok := c.signed(a)
		if !ok {
			failed = append(failed, found...)
			continue
		}
		if best == nil || len(found) < len(issues) {
			best, issues = a, found
		}
	}
	if best != nil {
		return best, issues
	}
	if len(failed) == 0 {
		failed = []writ.SkillIssue{*fixed(finding(writ.IssueSignatureMissing, "the bundle is not signed"), "sign it: writ skill sign FILE")}
	}
	return nil, dedupe(failed)
}

// signed judges the predicate of a signature; not ok is a statement that says
// something else than its subject.
func (c *court) signed(a *attestation) (issues []writ.SkillIssue, ok bool) {
	var p skillPredicate
	decoder := json.NewDecoder(bytes.NewReader(a.predicate))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&p); err != nil || p.APIVersion != "writ/v1" || p.Skill != string(a.skill) || p.Version != a.version {
		return []writ.SkillIssue{*badSignature("key %s: the predicate does not fit its subject", a.key.KeyID)}, false
	}
	if p.Expires != 0 && c.at > p.Expires {
		issues = append(issues, *fixed(finding(writ.IssueSignatureExpired, "the signature of key %s expired at %s", a.key.KeyID, p.Expires),
			"ask the publisher to sign the bundle again"))
	}
	if a.skill.Publisher() != a.key.Publisher {
		issues = append(issues, *fixed(finding(writ.IssuePublisherUntrusted, "%s is signed with a key of %s", a.skill, a.key.Publisher),
			"only a key that is trusted for %s may sign its skills", a.skill.Publisher()))
	}
	return issues, true
}

// Provenance says where and how a skill was built.
type Provenance struct {
	BuilderID  string `json:"builderId"`
	BuildType  string `json:"buildType"`
	Repository string `json:"repository,omitempty"`
	Revision   string `json:"revision,omitempty"`
	KeyID      KeyID  `json:"keyId"`
}

const sourcePrefix = "git+"

// provenance picks the first statement that passes.
func (c *court) provenance(all []*attestation, signer *attestation, failed []writ.SkillIssue) (*Provenance, []writ.SkillIssue) {
	for _, a := range all {
		if a.predicateType != PredicateProvenance {
			continue
		}
		p, issue := a.built(signer)
		if issue == nil {
			return p, nil
		}
		failed = append(failed, *issue)
	}
	if len(failed) == 0 {
		return nil, []writ.SkillIssue{*fixed(finding(writ.IssueProvenanceMissing, "nothing says how the bundle was built"),
			"ask the publisher to attach SLSA v1 provenance; writ skill sign does")}
	}
	for i := range failed {
		if failed[i].Code != writ.IssueKeyRevoked {
			failed[i].Code, failed[i].Message = writ.IssueProvenanceUntrusted, "provenance: "+failed[i].Message
		}
	}
	return nil, dedupe(failed)
}

// built judges a provenance predicate. With a key, only the predicate speaks:
// trust is that of the builder's key, for the builders that it may name.
func (a *attestation) built(signer *attestation) (*Provenance, *writ.SkillIssue) {
	lies := func(format string, args ...any) *writ.SkillIssue {
		return fixed(finding(writ.IssueProvenanceUntrusted, format, args...), "ask the publisher for provenance of a builder that you trust")
	}
	if !a.key.may(contract.TrustProvenance) || a.key.Publisher != signer.skill.Publisher() {
		return nil, lies("the key %s of %s is not trusted for provenance of %s", a.key.KeyID, a.key.Publisher, signer.skill)
	}
	if a.skill != signer.skill || a.version != signer.version {
		return nil, lies("it is about %s@%s", a.skill, clip(a.version))
	}
	p := &provenancev1.Provenance{}
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(a.predicate, p); err != nil {
		return nil, lies("not SLSA v1: %s", clip(err.Error()))
	}
	if err := p.Validate(); err != nil {
		return nil, lies("not SLSA v1: %s", clip(err.Error()))
	}
	definition := p.GetBuildDefinition()
	out := &Provenance{BuilderID: p.GetRunDetails().GetBuilder().GetId(), BuildType: definition.GetBuildType(), KeyID: a.key.KeyID}
	if !slices.Contains(orElse(a.key.Builders, LocalBuilder), out.BuilderID) {
		return nil, lies("the builder %q is not one that the key may name", clip(out.BuilderID))
	}
	if !slices.Contains(orElse(a.key.BuildTypes, BuildType), out.BuildType) {
		return nil, lies("the build type %q is not one that the key may name", clip(out.BuildType))
	}
	parameters := definition.GetExternalParameters().GetFields()
	if out.BuildType == BuildType && (parameters["skill"].GetStringValue() != string(a.skill) || parameters["version"].GetStringValue() != a.version) {
		return nil, lies("it is of the build of another skill")
	}
	for _, d := range definition.GetResolvedDependencies() {
		if repository, ok := strings.CutPrefix(d.GetUri(), sourcePrefix); ok {
			out.Repository, out.Revision = repository, d.GetDigest()["gitCommit"]
			break
		}
	}
	return out, nil
}

func orElse(list []string, fallback string) []string {
	if len(list) == 0 {
		return []string{fallback}
	}
	return list
}

// dedupe keeps one issue of each code and message.
func dedupe(issues []writ.SkillIssue) []writ.SkillIssue {
	out := issues[:0]
	for _, i := range issues {
		if !slices.Contains(out, i) {
			out = append(out, i)
		}
	}
	return out
}
