package contract

import "github.com/writ-run/writ"

// Identity says which certificates are meant.
type Identity struct {
	Issuer            string `json:"issuer" jsonschema:"Issuer of the OIDC token, exactly."`
	SAN               string `json:"san,omitempty" jsonschema:"Subject alternative name, exactly: an e-mail address or a workflow's URL."`
	SANPattern        string `json:"sanPattern,omitempty" jsonschema:"Go regular expression of the whole name, in place of san."`
	SourceRepository  string `json:"sourceRepository,omitempty" jsonschema:"URL that the certificate must name. Needed with a pattern and with a name that is a web address."`
	SourceRef         string `json:"sourceRef,omitempty" jsonschema:"Such as refs/heads/main. Absent: any."`
	RunnerEnvironment string `json:"runnerEnvironment,omitempty" jsonschema:"Such as github-hosted. Absent: any."`
}

// TrustedIdentity is one identity of a publisher.
type TrustedIdentity struct {
	Publisher  string         `json:"publisher"`
	IdentityID string         `json:"identityId"`
	Identity   Identity       `json:"identity"`
	Purposes   []TrustPurpose `json:"purposes"`
	Builders   []string       `json:"builders,omitempty"`
	BuildTypes []string       `json:"buildTypes,omitempty"`
	ValidFrom  writ.Time      `json:"validFrom,omitempty"`
	ValidUntil writ.Time      `json:"validUntil,omitempty"`
	RevokedAt  writ.Time      `json:"revokedAt,omitempty"`
	Reason     string         `json:"reason,omitempty"`
}

// TrustPolicy says whose signatures a publisher's skills need together.
type TrustPolicy struct {
	Publisher string    `json:"publisher"`
	AllOf     []string  `json:"allOf,omitempty" jsonschema:"Key ids and identity ids that must all have signed."`
	AnyOf     []string  `json:"anyOf,omitempty" jsonschema:"Key ids and identity ids of which threshold must have signed."`
	Threshold int       `json:"threshold,omitempty"`
	Reason    string    `json:"reason,omitempty"`
	SetAt     writ.Time `json:"setAt,omitempty"`
}

// TrustPolicySetInput is the input of TrustPolicySet.
type TrustPolicySetInput struct {
	Publisher string   `json:"publisher"`
	AllOf     []string `json:"allOf,omitempty" jsonschema:"Ids or fingerprints of trusted keys, ids of trusted identities."`
	AnyOf     []string `json:"anyOf,omitempty" jsonschema:"As allOf."`
	Threshold int      `json:"threshold,omitempty" jsonschema:"How many of anyOf must have signed, each of them somebody else. Absent: 1."`
	Remove    bool     `json:"remove,omitempty" jsonschema:"Any one trusted signer is enough again; comes without members."`
	Reason    string   `json:"reason,omitempty"`
}

// TrustPolicySetOutput is the output of TrustPolicySet.
type TrustPolicySetOutput struct {
	Result
	Policy *TrustPolicy `json:"policy,omitempty" jsonschema:"Absent where it was removed."`
}

// TrustedRoot is a Sigstore trusted root.
type TrustedRoot struct {
	Name                 string      `json:"name"`
	Digest               writ.Digest `json:"digest"`
	Source               string      `json:"source,omitempty" jsonschema:"TUF repository. Absent: it was imported from a file."`
	Authorities          int         `json:"authorities" jsonschema:"Certificate authorities that it names."`
	TimestampAuthorities int         `json:"timestampAuthorities"`
	Logs                 int         `json:"logs" jsonschema:"Where there are any, a signature must be in one."`
	CertificateLogs      int         `json:"certificateLogs" jsonschema:"Where there are any, a certificate must be in one."`
	AddedAt              writ.Time   `json:"addedAt,omitempty"`
	RevokedAt            writ.Time   `json:"revokedAt,omitempty"`
	Reason               string      `json:"reason,omitempty"`
}

// TrustRootImportInput is the input of TrustRootImport.
type TrustRootImportInput struct {
	Name   string `json:"name,omitempty" jsonschema:"Absent: sigstore. The name's next root takes the place of the one before."`
	Root   string `json:"root" jsonschema:"trusted_root.json, as text."`
	Reason string `json:"reason,omitempty"`
}

// TrustRootUpdateInput is the input of TrustRootUpdate.
type TrustRootUpdateInput struct {
	Name    string `json:"name,omitempty" jsonschema:"Absent: sigstore."`
	URL     string `json:"url" jsonschema:"TUF repository."`
	TUFRoot string `json:"tufRoot" jsonschema:"root.json that the repository's metadata is judged by, as text; the one that the first update was made with."`
	Target  string `json:"target,omitempty" jsonschema:"Absent: trusted_root.json."`
	Reason  string `json:"reason,omitempty"`
}

// TrustRootOutput is the output of TrustRootImport and TrustRootUpdate.
type TrustRootOutput struct {
	Result
	Root TrustedRoot `json:"root"`
}

// TrustRootRevokeInput is the input of TrustRootRevoke.
type TrustRootRevokeInput struct {
	Name   string `json:"name"`
	Reason string `json:"reason,omitempty"`
}

// TrustRootRevokeOutput is the output of TrustRootRevoke.
type TrustRootRevokeOutput struct {
	Result
}
