package contract

import "github.com/writ-run/writ"

// TrustPolicySet says whose signatures a publisher's skills need together.
var TrustPolicySet = define[TrustPolicySetInput, TrustPolicySetOutput](Contract{
	Key: "controlPlane.trustpolicy.set", Kind: Command, Capability: CapSkillRegistry, Auth: Admin,
	CLI: "writ trust policy", Title: "Set a publisher's policy", Idempotent: true,
	Description: "Says whose signatures a publisher's skills need together: every member of allOf, and a threshold of anyOf, each of them somebody else. It counts at once, for what is installed too.",
	Goal:        "Keep one leaked key or one taken-over workflow from being enough.",
	Context:     "After trust.add of every member.",
	PII:         []string{"input.reason"},
	Errors:      []Failure{on(writ.CodeNotFound, "A member is not trusted to sign for the publisher, or there is no policy to remove.")},
	Examples: example(TrustPolicySetInput{Publisher: "acme", AllOf: []string{"idn_example"}, AnyOf: []string{"key_one", "key_two"}, Threshold: 1},
		TrustPolicySetOutput{Result: done("policy"), Policy: &TrustPolicy{
			Publisher: "acme", AllOf: []string{"idn_example"}, AnyOf: []string{"key_one", "key_two"}, Threshold: 1, SetAt: exTime,
		}}),
})

func exampleRoot() TrustedRoot {
	return TrustedRoot{Name: "sigstore", Digest: exDigest, Authorities: 1, TimestampAuthorities: 1, AddedAt: exTime}
}

// TrustRootImport lets the certificates of a Sigstore count.
var TrustRootImport = define[TrustRootImportInput, TrustRootOutput](Contract{
	Key: "controlPlane.trustroot.import", Kind: Command, Capability: CapSkillRegistry, Auth: Admin,
	CLI: "writ trust root import", Title: "Import a trusted root", Idempotent: true,
	Description: "Makes a trusted_root.json the root of a name. What was installed under an earlier one is still judged by that.",
	Goal:        "Say whose certificates, timestamps and logs count. No root is baked in: without one, certificates are refused.",
	Context:     "Before trust.add of an identity is of use.",
	PII:         []string{"input.reason"},
	Errors:      []Failure{on(writ.CodeConflict, "The root is revoked, is there under another name, or too many are trusted.")},
	Examples: example(TrustRootImportInput{Root: `{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}`},
		TrustRootOutput{Result: done("trusted"), Root: exampleRoot()}),
})

// TrustRootUpdate fetches a trusted root from a TUF repository.
var TrustRootUpdate = define[TrustRootUpdateInput, TrustRootOutput](Contract{
	Key: "controlPlane.trustroot.update", Kind: Command, Capability: CapSkillRegistry, Auth: Admin,
	CLI: "writ trust root update", Title: "Update a trusted root by TUF", Idempotent: true,
	Description: "Fetches a trusted root from a TUF repository and imports it. Metadata that is older than what was seen before, expired or not signed as the root.json says is refused.",
	Goal:        "Follow a Sigstore's key rotations without anybody in between being able to roll them back.",
	Context:     "From time to time; the host fetches.",
	PII:         []string{"input.reason"},
	Errors: []Failure{
		on(writ.CodeTampered, "The repository's metadata is older than what was seen, expired, or not signed as it must be."),
		on(writ.CodeConflict, "The root is revoked, is there under another name, or too many are trusted."),
	},
	Examples: example(TrustRootUpdateInput{URL: "https://tuf.example.com", TUFRoot: `{"signed":{},"signatures":[]}`},
		TrustRootOutput{Result: done("trusted"), Root: exampleRoot()}),
})

// TrustRootRevoke makes a root count no more.
var TrustRootRevoke = define[TrustRootRevokeInput, TrustRootRevokeOutput](Contract{
	Key: "controlPlane.trustroot.revoke", Kind: Command, Capability: CapSkillRegistry, Auth: Admin,
	CLI: "writ trust root revoke", Title: "Revoke a trusted root", Idempotent: true,
	Description: "Puts every root that a name has had on the deny list. Skills that were verified under them are refused when they are next loaded.",
	Goal:        "Undo trust in a Sigstore that failed.",
	Context:     "At any time; it takes effect at once.",
	PII:         []string{"input.reason"},
	Errors:      []Failure{on(writ.CodeNotFound, "The name has no root.")},
	Examples:    example(TrustRootRevokeInput{Name: "sigstore", Reason: "Its authority was compromised."}, TrustRootRevokeOutput{Result: done("revoked")}),
})
