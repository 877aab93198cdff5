package contract

import "github.com/writ-run/writ"

// SkillInstallInput is the input of SkillInstall. Either Source or Bundle names
// what is to be installed; the other members, where set, must agree with it.
type SkillInstallInput struct {
	Source         string        `json:"source,omitempty" jsonschema:"Path on the server, an OCI reference, or binary: and the name of a skill that the server's binary carries."`
	Bundle         []byte        `json:"bundle,omitempty" jsonschema:"The bundle itself, base64."`
	SkillKey       writ.SkillKey `json:"skillKey,omitempty"`
	Version        string        `json:"version,omitempty"`
	ArtifactDigest writ.Digest   `json:"artifactDigest,omitempty" jsonschema:"Digest of the OCI manifest that the caller expects."`
	Manifest       Object        `json:"manifest,omitempty" jsonschema:"The skill manifest that the caller expects."`
	Metadata       Object        `json:"metadata,omitempty"`
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
	Issues                []SkillIssue  `json:"issues,omitempty"`
}

// Provenance says where and how a skill was built (SLSA v1).
type Provenance struct {
	BuilderID  string `json:"builderId,omitempty"`
	BuildType  string `json:"buildType,omitempty"`
	Repository string `json:"repository,omitempty"`
	Revision   string `json:"revision,omitempty"`
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
	Publisher string `json:"publisher"`
	KeyID     string `json:"keyId"`
}

// TrustRevokeInput is the input of TrustRevoke.
type TrustRevokeInput struct {
	Publisher string `json:"publisher"`
	KeyID     string `json:"keyId,omitempty" jsonschema:"Absent: every key of the publisher."`
	Reason    string `json:"reason,omitempty"`
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
	Items []TrustedKey `json:"items"`
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
}
