package contract

import "github.com/writ-run/writ"

// SkillInstallInput is the input of SkillInstall. Either Source or Bundle names
// what is to be installed; the other members, where set, must agree with it.
type SkillInstallInput struct {
	Source         string        `json:"source,omitempty" jsonschema:"Path on the server, an OCI reference (oci://HOST/REPOSITORY:TAG or @sha256:...), or binary: and the name of a skill that the server's binary carries."`
	Bundle         []byte        `json:"bundle,omitempty" jsonschema:"The bundle itself, base64."`
	SkillKey       writ.SkillKey `json:"skillKey,omitempty"`
	Version        string        `json:"version,omitempty"`
	ArtifactDigest writ.Digest   `json:"artifactDigest,omitempty" jsonschema:"Digest of the OCI manifest that the caller expects."`
	Manifest       Object        `json:"manifest,omitempty" jsonschema:"The skill manifest that the caller expects."`
	Metadata       Object        `json:"metadata,omitempty"`
	AllowRollback  string        `json:"allowRollback,omitempty" jsonschema:"Why a version older than what was here may be installed; it is recorded. Absent: it may not."`
	// Of an upgrade; a verification passes over them.
	AcceptChanges bool `json:"acceptChanges,omitempty" jsonschema:"Install an upgrade that widens, raises or differs. Without it such an upgrade is refused, and details says what there is to accept."`
	SkipImpact    bool `json:"skipImpact,omitempty" jsonschema:"Do not derive stored executions again."`
}

// SkillReport is what verification found.
type SkillReport struct {
	SkillKey              writ.SkillKey `json:"skillKey,omitempty"`
	Version               string        `json:"version,omitempty"`
	Publisher             string        `json:"publisher,omitempty"`
	Verified              bool          `json:"verified" jsonschema:"All of the checks passed."`
	SignatureVerified     bool          `json:"signatureVerified"`
	PublisherTrusted      bool          `json:"publisherTrusted"`
	ProvenanceVerified    bool          `json:"provenanceVerified"`
	CompatibilityVerified bool          `json:"compatibilityVerified"`
	ManifestDigest        writ.Digest   `json:"manifestDigest,omitempty"`
	Provenance            *Provenance   `json:"provenance,omitempty"`
	Signers               []string      `json:"signers,omitempty" jsonschema:"Everyone whose good signature is on it: key ids, and identities of certificates."`
	Issues                []SkillIssue  `json:"issues,omitempty"`
}

// Provenance says where and how a skill was built (SLSA v1).
type Provenance struct {
	BuilderID  string `json:"builderId,omitempty"`
	BuildType  string `json:"buildType,omitempty"`
	Repository string `json:"repository,omitempty"`
	Revision   string `json:"revision,omitempty"`
	Ref        string `json:"ref,omitempty"`
}

// SkillIssue is one finding of verification.
type SkillIssue struct {
	Code    writ.IssueCode `json:"code"`
	Message string         `json:"message"`
	Fix     string         `json:"fix,omitempty"`
}

// SkillIssuesFrom converts the findings of a verification.
func SkillIssuesFrom(issues []writ.SkillIssue) []SkillIssue {
	out := make([]SkillIssue, 0, len(issues))
	for _, i := range issues {
		out = append(out, SkillIssue(i))
	}
	return out
}

// SkillInstallOutput is the output of SkillInstall.
type SkillInstallOutput struct {
	Result
	InstallationID string `json:"installationId"`
	SkillReport
	Upgrade *SkillUpgrade `json:"upgrade,omitempty" jsonschema:"What changed, where an older version was enabled."`
}

// SkillVerifyInput is the input of SkillVerify: that of SkillInstall.
type SkillVerifyInput SkillInstallInput

// SkillVerifyOutput is the output of SkillVerify.
type SkillVerifyOutput struct {
	Result
	SkillReport
}

// SkillDisableInput is the input of SkillDisable.
type SkillDisableInput struct {
	SkillKey   writ.SkillKey    `json:"skillKey"`
	Version    string           `json:"version,omitempty" jsonschema:"Absent: every version."`
	DisabledBy writ.PrincipalID `json:"disabledBy,omitempty" jsonschema:"Must equal the caller."`
	Reason     string           `json:"reason,omitempty"`
}

// SkillDisableOutput is the output of SkillDisable.
type SkillDisableOutput struct {
	Result
}

// SkillEnableInput is the input of SkillEnable.
type SkillEnableInput struct {
	SkillKey writ.SkillKey `json:"skillKey"`
	Version  string        `json:"version,omitempty" jsonschema:"Absent: every version."`
	Reason   string        `json:"reason,omitempty"`
}

// SkillEnableOutput is the output of SkillEnable.
type SkillEnableOutput struct {
	Result
}

// SkillUninstallInput is the input of SkillUninstall. Rollback floors stay.
type SkillUninstallInput struct {
	SkillKey writ.SkillKey `json:"skillKey"`
	Version  string        `json:"version,omitempty" jsonschema:"Absent: every version."`
	Reason   string        `json:"reason,omitempty"`
}

// SkillUninstallOutput is the output of SkillUninstall.
type SkillUninstallOutput struct {
	Result
}

// SkillRollbackInput is the input of SkillRollback.
type SkillRollbackInput struct {
	SkillKey writ.SkillKey `json:"skillKey"`
	To       string        `json:"to,omitempty" jsonschema:"Version. Absent: the newest enabled one below the newest enabled."`
	Stop     bool          `json:"stop,omitempty" jsonschema:"Plans that have pinned a newer version are stopped too, instead of finishing with it."`
	Reason   string        `json:"reason,omitempty"`
}

// SkillRollbackOutput is the output of SkillRollback.
type SkillRollbackOutput struct {
	Result
	SkillKey writ.SkillKey `json:"skillKey"`
	Version  string        `json:"version" jsonschema:"That new plans get now."`
	Disabled []string      `json:"disabled" jsonschema:"Newer versions that were enabled."`
}

// SkillListInput is the input of SkillList.
type SkillListInput struct {
	IncludeDisabled bool `json:"includeDisabled,omitempty"`
	Page
}

// SkillListOutput is the output of SkillList, by key and version.
type SkillListOutput struct {
	Result
	Items      []InstalledSkill `json:"items"`
	NextCursor string           `json:"nextCursor,omitempty"`
}

// InstalledSkill is one installed version.
type InstalledSkill struct {
	SkillKey    writ.SkillKey    `json:"skillKey"`
	Version     string           `json:"version"`
	Digest      writ.Digest      `json:"digest"`
	Status      writ.SkillStatus `json:"status"`
	Verified    bool             `json:"verified"`
	Publisher   string           `json:"publisher"`
	Description string           `json:"description,omitempty"`
	Provenance  *Provenance      `json:"provenance,omitempty"`
	Origin      string           `json:"origin,omitempty" jsonschema:"OCI reference with its digest; absent: it came as a file."`
	Actions     []SkillAction    `json:"actions,omitempty"`
	InstalledAt writ.Time        `json:"installedAt"`
}

// SkillAction is one thing that an installed skill can do.
type SkillAction struct {
	Name        string        `json:"name"`
	Title       string        `json:"title,omitempty"`
	Description string        `json:"description,omitempty"`
	Effects     []writ.Effect `json:"effects,omitempty"`
	Risk        writ.Risk     `json:"risk,omitempty"`
	Input       Object        `json:"input,omitempty" jsonschema:"JSON Schema 2020-12."`
	Output      Object        `json:"output,omitempty" jsonschema:"JSON Schema 2020-12."`
}

// TrustAddInput is the input of TrustAdd.
type TrustAddInput struct {
	Publisher    string         `json:"publisher"`
	PublicKeyPEM string         `json:"publicKeyPem,omitempty" jsonschema:"PKIX public key, ECDSA P-256 or Ed25519."`
	FirstParty   bool           `json:"firstParty,omitempty" jsonschema:"The key that this binary carries, for publisher writ; comes without publicKeyPem."`
	ValidFrom    writ.Time      `json:"validFrom,omitempty" jsonschema:"Absent: now."`
	ValidUntil   writ.Time      `json:"validUntil,omitempty" jsonschema:"Absent: until it is revoked."`
	Purposes     []TrustPurpose `json:"purposes,omitempty" jsonschema:"Absent: both."`
	Reason       string         `json:"reason,omitempty"`
	Identity     *Identity      `json:"identity,omitempty" jsonschema:"Certificates of this identity count, in place of a key."`
	Builders     []string       `json:"builders,omitempty" jsonschema:"Builder ids that its provenance may name; one that ends in @ may have any ref behind it. Absent: the workflow that the certificate names, else the local builder."`
	BuildTypes   []string       `json:"buildTypes,omitempty" jsonschema:"Build types that its provenance may name. Absent: that of writ skill sign."`
}

// TrustPurpose is what a key may vouch for.
type TrustPurpose string

// The purposes.
const (
	TrustSignature  TrustPurpose = "signature"
	TrustProvenance TrustPurpose = "provenance"
)

// TrustAddOutput is the output of TrustAdd.
type TrustAddOutput struct {
	Result
	Publisher  string `json:"publisher"`
	KeyID      string `json:"keyId"`
	IdentityID string `json:"identityId,omitempty"`
}

// TrustRevokeInput is the input of TrustRevoke.
type TrustRevokeInput struct {
	Publisher  string `json:"publisher"`
	KeyID      string `json:"keyId,omitempty" jsonschema:"Absent, and identityId too: every key and identity of the publisher."`
	Reason     string `json:"reason,omitempty"`
	IdentityID string `json:"identityId,omitempty" jsonschema:"Whatever else is trusted, certificates that this identity covers are refused."`
}

// TrustRevokeOutput is the output of TrustRevoke.
type TrustRevokeOutput struct {
	Result
}

// TrustListInput is the input of TrustList.
type TrustListInput struct {
	Publisher string `json:"publisher,omitempty"`
}

// TrustListOutput is the output of TrustList.
type TrustListOutput struct {
	Result
	Items      []TrustedKey      `json:"items"`
	Identities []TrustedIdentity `json:"identities,omitempty"`
	Policies   []TrustPolicy     `json:"policies,omitempty"`
	Roots      []TrustedRoot     `json:"roots,omitempty"`
	Denied     []TrustDenial     `json:"denied,omitempty" jsonschema:"What is taken out, by kind and subject."`
}

// TrustedKey is one key of a publisher.
type TrustedKey struct {
	Publisher  string         `json:"publisher"`
	KeyID      string         `json:"keyId"`
	FirstParty bool           `json:"firstParty,omitempty"`
	Purposes   []TrustPurpose `json:"purposes"`
	ValidFrom  writ.Time      `json:"validFrom,omitempty"`
	ValidUntil writ.Time      `json:"validUntil,omitempty"`
	RevokedAt  writ.Time      `json:"revokedAt,omitempty"`
	Reason     string         `json:"reason,omitempty"`
	Builders   []string       `json:"builders,omitempty"`
	BuildTypes []string       `json:"buildTypes,omitempty"`
}
