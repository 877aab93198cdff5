package registry

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"time"

	intoto "github.com/in-toto/attestation/go/v1"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
	"github.com/writ-run/writ/registry/keyless"
)

// attestation is a statement about the bundle whose signature holds.
type attestation struct {
	by            *voucher
	predicateType string
	skill         writ.SkillKey // of the subject's name
	version       string
	predicate     []byte // JSON
}

// voucher stands behind a statement: a trusted key, or a certificate that a
// trusted identity covers.
type voucher struct {
	signer               string // tells signers apart: a key's id, a certificate's identity
	member               string // id in the trust store, which policies name
	publisher            string
	purposes             []contract.TrustPurpose
	builders, buildTypes []string
	claims               *keyless.Claims // nil: a key, and only the statement speaks
}

func (k *trusted) voucher() *voucher {
	return &voucher{
		signer: string(k.KeyID), member: string(k.KeyID), publisher: k.Publisher, purposes: k.Purposes,
		builders: orElse(k.Builders, LocalBuilder), buildTypes: orElse(k.BuildTypes, BuildType),
	}
}

func (i *TrustedIdentity) voucher(c *keyless.Claims) *voucher {
	builder := LocalBuilder
	if c.BuildSigner != "" { // the certificate says which workflow ran
		builder = c.BuildSigner
	}
	return &voucher{
		signer: c.Signer(), member: i.ID, publisher: i.Publisher, purposes: i.Purposes,
		builders: orElse(i.Builders, builder), buildTypes: orElse(i.BuildTypes, BuildType), claims: c,
	}
}

func (v *voucher) may(p contract.TrustPurpose) bool { return slices.Contains(v.purposes, p) }

// keyID is empty where a certificate signed.
func (v *voucher) keyID() KeyID {
	if v.claims != nil {
		return ""
	}
	return KeyID(v.member)
}

func (v *voucher) identity() string {
	if v.claims == nil {
		return ""
	}
	return v.signer
}

// String is the voucher in messages.
func (v *voucher) String() string {
	if v.claims != nil {
		return "the identity " + writ.Clip(v.signer, longestName)
	}
	return "the key " + v.signer
}

// court judges the statements of one bundle as of one time.
type court struct {
	trust  *trust
	image  writ.Digest
	at     writ.Time
	replay bool // the deny list and policies do not count: nothing live can be reached
}

// attest verifies one Sigstore bundle: only what a trusted key, or whom a trusted
// identity covers, signed about this very digest passes. A certificate that
// several identities cover is an attestation by each.
func (c *court) attest(raw []byte) ([]*attestation, *writ.SkillIssue) {
	var b bundle.Bundle
	if err := b.UnmarshalJSON(raw); err != nil {
		return nil, badSignature("not a Sigstore bundle: %s", clip(err.Error()))
	}
	if b.GetMediaType() != mediaSigstore || b.GetDsseEnvelope().GetPayloadType() != payloadType {
		return nil, badSignature("want a Sigstore bundle v0.3 with an in-toto statement")
	}
	if b.GetVerificationMaterial().GetPublicKey() == nil {
		return c.attestKeyless(&b)
	}
	id := KeyID(b.GetVerificationMaterial().GetPublicKey().GetHint())
	if id == "" {
		return nil, fixed(finding(writ.IssueKeyUntrusted, "the bundle names no key"), "ask the publisher for a bundle that names the key it is signed with")
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
	a, issue := c.statement(key.voucher(), result.Statement)
	return []*attestation{a}, issue
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
func (c *court) statement(by *voucher, s *intoto.Statement) (*attestation, *writ.SkillIssue) {
	if s.GetType() != statementType || len(s.GetSubject()) != 1 {
		return nil, badSignature("%s: want an in-toto statement v1 with one subject", by)
	}
	about := s.GetSubject()[0]
	if len(about.GetDigest()) != 1 || about.GetDigest()["sha256"] != c.image.Hex() {
		return nil, badSignature("%s: the statement is about another bundle", by)
	}
	name, version, ok := strings.Cut(about.GetName(), "@")
	if !ok || !namePattern.MatchString(name) {
		return nil, badSignature("%s: the subject %q is not publisher/name@version", by, clip(about.GetName()))
	}
	predicate, err := protojson.Marshal(s.GetPredicate())
	if err != nil {
		return nil, badSignature("%s: the predicate cannot be read", by)
	}
	return &attestation{by, s.GetPredicateType(), writ.SkillKey(name), version, predicate}, nil
}

// signature picks the statement that signs the skill. Where none is without
// fault, the issues are of the one that comes nearest, or of all that failed. It
// comes with who signed the same release without fault, and what covers them.
func (c *court) signature(all []*attestation, failed []writ.SkillIssue) (*attestation, map[string][]string, []writ.SkillIssue) {
	var best *attestation
	var issues []writ.SkillIssue
	var good []*attestation
	for _, a := range all {
		if a.predicateType != PredicateSkill {
			continue
		}
		if !a.by.may(contract.TrustSignature) {
			failed = append(failed, *fixed(finding(writ.IssueKeyUntrusted, "%s of %s is trusted for provenance alone", a.by, a.by.publisher),
				"sign with a key that is trusted for signatures"))
			continue
		}
		found, ok := c.signed(a)
		if !ok {
			failed = append(failed, found...)
			continue
		}
		if len(found) == 0 {
			good = append(good, a)
		}
		if best == nil || len(found) < len(issues) {
			best, issues = a, found
		}
	}
	if best != nil {
		signers := map[string][]string{}
		for _, a := range good {
			if a.skill == best.skill && a.version == best.version {
				signers[a.by.signer] = append(signers[a.by.signer], a.by.member)
			}
		}
		return best, signers, append(issues, c.together(best.skill.Publisher(), signers, failed)...)
	}
	if len(failed) == 0 {
		failed = []writ.SkillIssue{*fixed(finding(writ.IssueSignatureMissing, "the bundle is not signed"), "sign it: writ skill sign FILE")}
	}
	return nil, nil, dedupe(failed)
}

// together holds all good signatures of a release against its publisher's policy.
// What else failed is said where the policy is not met: it may be why.
func (c *court) together(publisher string, signers map[string][]string, failed []writ.SkillIssue) []writ.SkillIssue {
	policy := c.trust.policies[publisher]
	if policy == nil || c.replay {
		return nil
	}
	lack := policy.lacks(signers)
	if lack == "" {
		return nil
	}
	issue := fixed(finding(writ.IssueSignatureMissing, "the policy of %s asks for other signatures: %s", publisher, lack),
		"have the others sign the bundle too: writ skill sign FILE")
	return dedupe(append([]writ.SkillIssue{*issue}, failed...))
}

// signed judges the predicate of a signature; not ok is a statement that says
// something else than its subject.
func (c *court) signed(a *attestation) (issues []writ.SkillIssue, ok bool) {
	var p skillPredicate
	decoder := json.NewDecoder(bytes.NewReader(a.predicate))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&p); err != nil || p.APIVersion != "writ/v1" || p.Skill != string(a.skill) || p.Version != a.version {
		return []writ.SkillIssue{*badSignature("%s: the predicate does not fit its subject", a.by)}, false
	}
	if p.Expires != 0 && c.at > p.Expires {
		issues = append(issues, *fixed(finding(writ.IssueSignatureExpired, "the signature of %s expired at %s", a.by, p.Expires),
			"ask the publisher to sign the bundle again"))
	}
	if a.skill.Publisher() != a.by.publisher {
		issues = append(issues, *fixed(finding(writ.IssuePublisherUntrusted, "%s is signed by %s of %s", a.skill, a.by, a.by.publisher),
			"only a key or an identity that is trusted for %s may sign its skills", a.skill.Publisher()))
	}
	return issues, true
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
