package registry

import (
	"slices"
	"strings"

	provenancev1 "github.com/in-toto/attestation/go/predicates/provenance/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
	"github.com/writ-run/writ/registry/keyless"
)

// Provenance says where and how a skill was built.
type Provenance struct {
	BuilderID  string `json:"builderId"`
	BuildType  string `json:"buildType"`
	Repository string `json:"repository,omitempty"`
	Revision   string `json:"revision,omitempty"`
	KeyID      KeyID  `json:"keyId,omitempty"`
	Ref        string `json:"ref,omitempty"`
	Identity   string `json:"identity,omitempty"` // of the certificate, where no key signed it
}

const (
	sourcePrefix = "git+"
	refMark      = "@refs/"
	// githubRunner with the certificate's runner environment is how GitHub's own
	// attestations name their builder.
	githubRunner = "https://github.com/actions/runner/"
)

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

func lies(format string, args ...any) *writ.SkillIssue {
	return fixed(finding(writ.IssueProvenanceUntrusted, format, args...), "ask the publisher for provenance of a builder that you trust")
}

// built judges a provenance predicate. With a key, only the predicate speaks:
// trust is that of the builder's key, for the builders that it may name. A
// certificate's claims must be the predicate's.
func (a *attestation) built(signer *attestation) (*Provenance, *writ.SkillIssue) {
	if !a.by.may(contract.TrustProvenance) || a.by.publisher != signer.skill.Publisher() {
		return nil, lies("%s of %s is not trusted for provenance of %s", a.by, a.by.publisher, signer.skill)
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
	out := sourceOf(definition)
	out.BuilderID, out.BuildType = p.GetRunDetails().GetBuilder().GetId(), definition.GetBuildType()
	out.KeyID, out.Identity = a.by.keyID(), a.by.identity()
	if !nameable(a.by.builders, out.BuilderID) {
		return nil, lies("the builder %q is not one that %s may name", clip(out.BuilderID), a.by)
	}
	if !slices.Contains(a.by.buildTypes, out.BuildType) {
		return nil, lies("the build type %q is not one that %s may name", clip(out.BuildType), a.by)
	}
	parameters := definition.GetExternalParameters().GetFields()
	if out.BuildType == BuildType && (parameters["skill"].GetStringValue() != string(a.skill) || parameters["version"].GetStringValue() != a.version) {
		return nil, lies("it is of the build of another skill")
	}
	if a.by.claims == nil {
		return out, nil
	}
	workflow := parameters["workflow"].GetStructValue().GetFields()
	return out, out.against(a.by.claims, map[string]string{
		"repository": workflow["repository"].GetStringValue(), "ref": workflow["ref"].GetStringValue(),
	})
}

// nameable reports whether a list names a builder; one that ends in @ may have any
// ref behind it.
func nameable(list []string, builder string) bool {
	return slices.ContainsFunc(list, func(have string) bool {
		return have == builder || (strings.HasSuffix(have, "@") && strings.HasPrefix(builder, have))
	})
}

// sourceOf reads the first source among what the build used: git+REPOSITORY@REF.
func sourceOf(definition *provenancev1.BuildDefinition) *Provenance {
	out := &Provenance{}
	for _, d := range definition.GetResolvedDependencies() {
		source, ok := strings.CutPrefix(d.GetUri(), sourcePrefix)
		if !ok {
			continue
		}
		out.Repository, out.Revision = source, d.GetDigest()["gitCommit"]
		if at := strings.LastIndex(source, refMark); at >= 0 {
			out.Repository, out.Ref = source[:at], source[at+1:]
		}
		break
	}
	return out
}

// against compares what the predicate says with what the certificate's authority
// vouches for. What the certificate says and the predicate leaves out is a lie too:
// the reader of one would be told less than is known.
func (p *Provenance) against(c *keyless.Claims, workflow map[string]string) *writ.SkillIssue {
	for _, pair := range []struct{ what, said, known string }{
		{"source repository", p.Repository, c.SourceRepository},
		{"source ref", p.Ref, c.SourceRef},
		{"source commit", p.Revision, c.SourceDigest},
	} {
		if pair.known != "" && pair.said != pair.known {
			return lies("the %s is %q in the provenance and %q in the certificate", pair.what, clip(pair.said), clip(pair.known))
		}
	}
	for what, known := range map[string]string{"repository": c.SourceRepository, "ref": c.SourceRef} {
		if said := workflow[what]; said != "" && known != "" && said != known {
			return lies("the workflow's %s is %q in the provenance and %q in the certificate", what, clip(said), clip(known))
		}
	}
	runner := githubRunner + c.RunnerEnvironment
	if c.BuildSigner != "" && p.BuilderID != c.BuildSigner && (c.RunnerEnvironment == "" || p.BuilderID != runner) {
		return lies("the builder is %q in the provenance and %q in the certificate", clip(p.BuilderID), clip(c.BuildSigner))
	}
	return nil
}
