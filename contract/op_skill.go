package contract

import "github.com/writ-run/writ"

// SkillInstall verifies a skill and installs it.
var SkillInstall = define[SkillInstallInput, SkillInstallOutput](Contract{
	Key: "controlPlane.skill.install", Version: "1.1.0", Kind: Command, Capability: CapSkillRegistry, Auth: Operator,
	CLI: "writ skill install", Title: "Install a skill", Idempotent: true,
	Description: "Verifies signature, publisher, provenance, compatibility and imports, then installs. A refusal is recorded with every issue. An upgrade of an enabled skill that reaches further, does worse, or would have come to something else in stored executions is installed only with acceptChanges. The older version stays.",
	Goal:        "Let plans use a skill, knowing whose it is and what it can reach.",
	Context:     "After trust.add. Every load verifies the bytes again.",
	Errors: []Failure{
		on(writ.CodeNotFound, "The source does not exist."),
		on(writ.CodeSkillRefused, "Verification found issues, which are in details; or it is an upgrade that must be accepted, and details is a SkillUpgrade."),
		on(writ.CodeConflict, "The version is installed with other bytes."),
	},
	Emits: []string{"controlPlane.skill.installed", "controlPlane.skill.rejected"},
	Examples: example(SkillInstallInput{Source: "notes-1.2.0.skill", ArtifactDigest: exDigest},
		SkillInstallOutput{Result: done("enabled"), InstallationID: "ins_example", SkillReport: exampleReport()}),
})

// SkillVerify makes the checks of SkillInstall and installs nothing.
var SkillVerify = define[SkillVerifyInput, SkillVerifyOutput](Contract{
	Key: "controlPlane.skill.verify", Version: "1.1.0", Kind: Query, Capability: CapSkillRegistry, Auth: User,
	CLI: "writ skill verify", Title: "Verify a skill", Idempotent: true,
	Description: "Makes every check of skill.install and installs nothing. Issues are in the answer, not an error.",
	Goal:        "Know whether a skill would be accepted, and why not.",
	Context:     "Before skill.install.",
	Errors:      []Failure{on(writ.CodeNotFound, "The source does not exist.")},
	Examples: example(SkillVerifyInput{Source: "notes-1.2.0.skill"},
		SkillVerifyOutput{Result: done("ok"), SkillReport: SkillReport{
			SkillKey: exKey, Version: "1.2.0",
			Issues: []SkillIssue{{Code: writ.IssuePublisherUntrusted, Message: "acme is not in the trust store", Fix: "writ trust add acme"}},
		}}),
})

// SkillImpact says what stored executions would have come to with another version.
var SkillImpact = define[SkillImpactInput, SkillImpactOutput](Contract{
	Key: "controlPlane.skill.impact", Version: "1.0.1", Kind: Query, Capability: CapSkillRegistry, Auth: Operator,
	CLI: "writ skill impact", Title: "See what a version would change", Idempotent: true,
	Description: "Verifies a version as an install would, then derives stored executions again in which another version of the skill ran, with the new one in its place. Lists every step whose outcome would differ. Nothing is installed, no effect is performed, and a version that does not verify is not run. Recorded values are shown to those who hold control-plane.audit.",
	Goal:        "Know what an upgrade does before it does it.",
	Context:     "Before skill.install. A tool call without a recorded answer makes the outcome unknown, never the same.",
	PII:         []string{"output.impact.items.recorded", "output.impact.items.candidate", "output.impact.groups.examples.recorded", "output.impact.groups.examples.candidate"},
	Errors:      []Failure{on(writ.CodeNotFound, "The source does not exist.")},
	Examples: example(SkillImpactInput{Source: "notes-1.3.0.skill"}, SkillImpactOutput{
		Result: done("differs"), SkillReport: exampleReport(), From: "1.1.0", Changes: []SkillChange{},
		Impact: exampleImpact(),
	}),
})

// SkillRollback goes back to the version that was in use before.
var SkillRollback = define[SkillRollbackInput, SkillRollbackOutput](Contract{
	Key: "controlPlane.skill.rollback", Kind: Command, Capability: CapSkillRegistry, Auth: Operator,
	CLI: "writ skill rollback", Title: "Roll a skill back", Idempotent: false,
	Description: "Verifies an older installed version again, and disables every newer one that is enabled. Plans that have pinned a newer one finish with it, unless stop is set.",
	Goal:        "Undo an upgrade with one call.",
	Context:     "After skill.install. A version that is revoked or denied is never gone back to; what may be installed does not change.",
	PII:         []string{"input.reason"},
	Errors: []Failure{
		on(writ.CodeNotFound, "The skill or the version is not installed."),
		on(writ.CodeConflict, "There is no older version to go back to."),
		on(writ.CodeSkillRefused, "The older version does not verify any more."),
	},
	Examples: example(SkillRollbackInput{SkillKey: exKey, Reason: "Files duplicates."},
		SkillRollbackOutput{Result: done("rolled back"), SkillKey: exKey, Version: "1.1.0", Disabled: []string{"1.2.0"}}),
})

// SkillDisable takes a skill out of use.
var SkillDisable = define[SkillDisableInput, SkillDisableOutput](Contract{
	Key: "controlPlane.skill.disable", Kind: Command, Capability: CapSkillRegistry, Auth: Operator,
	CLI: "writ skill disable", Title: "Disable a skill", Idempotent: true,
	Description: "Takes a skill, or one version of it, out of use. Replays still find it.",
	Goal:        "Stop a skill at once without losing what its traces need.",
	Context:     "At any time; steps that are dispatched later are refused.",
	PII:         []string{"input.disabledBy", "input.reason"},
	Errors:      []Failure{on(writ.CodeNotFound, "The skill or the version is not installed.")},
	Examples: example(SkillDisableInput{SkillKey: exKey, Version: "1.2.0", Reason: "Files duplicates."},
		SkillDisableOutput{Result: done("disabled")}),
})

// SkillEnable puts a disabled skill back to use.
var SkillEnable = define[SkillEnableInput, SkillEnableOutput](Contract{
	Key: "controlPlane.skill.enable", Kind: Command, Capability: CapSkillRegistry, Auth: Operator,
	CLI: "writ skill enable", Title: "Enable a skill", Idempotent: true,
	Description: "Puts a disabled skill, or one version of it, back to use, after verifying it again.",
	Goal:        "Undo skill.disable.",
	Context:     "After skill.disable.",
	PII:         []string{"input.reason"},
	Errors: []Failure{
		on(writ.CodeNotFound, "The skill or the version is not installed."),
		on(writ.CodeSkillRefused, "It does not verify any more."),
	},
	Examples: example(SkillEnableInput{SkillKey: exKey}, SkillEnableOutput{Result: done("enabled")}),
})

// SkillUninstall removes a skill.
var SkillUninstall = define[SkillUninstallInput, SkillUninstallOutput](Contract{
	Key: "controlPlane.skill.uninstall", Kind: Command, Capability: CapSkillRegistry, Auth: Operator,
	CLI: "writ skill uninstall", Title: "Uninstall a skill", Idempotent: true,
	Description: "Removes a skill, or one version of it. The highest version seen is kept, so an older one cannot come back unseen.",
	Goal:        "Be rid of a skill for good.",
	Context:     "At any time. Traces that name the skill may become unreplayable here.",
	PII:         []string{"input.reason"},
	Errors:      []Failure{on(writ.CodeNotFound, "The skill or the version is not installed.")},
	Examples: example(SkillUninstallInput{SkillKey: exKey, Version: "1.1.0"},
		SkillUninstallOutput{Result: done("uninstalled")}),
})

// SkillList shows the installed skills.
var SkillList = define[SkillListInput, SkillListOutput](Contract{
	Key: "controlPlane.skill.list", Version: "1.1.0", Kind: Query, Capability: CapSkillRegistry, Auth: User,
	CLI: "writ skill list", Title: "List skills", Idempotent: true,
	Description: "Lists the installed skills by key and version, with their actions.",
	Goal:        "See what plans can use.",
	Context:     "At any time.",
	Examples: example(SkillListInput{}, SkillListOutput{
		Result: done("ok"),
		Items:  []InstalledSkill{{SkillKey: exKey, Version: "1.2.0", Digest: exDigest, Status: writ.SkillEnabled, Verified: true, Publisher: "acme", InstalledAt: exTime}},
	}),
})

// TrustAdd lets a publisher's key count.
var TrustAdd = define[TrustAddInput, TrustAddOutput](Contract{
	Key: "controlPlane.trust.add", Version: "1.1.0", Kind: Command, Capability: CapSkillRegistry, Auth: Admin,
	CLI: "writ trust add", Title: "Trust a key or an identity", Idempotent: true,
	Description: "Adds a publisher's key, or an identity that certificates name, to the trust store, for signatures, provenance or both.",
	Goal:        "Say whose skills may be installed. An empty store refuses all.",
	Context:     "Before the first skill of a publisher is installed.",
	PII:         []string{"input.reason"},
	Errors:      []Failure{on(writ.CodeConflict, "The key or the identity is revoked, or the key belongs to another publisher.")},
	Examples: example(TrustAddInput{Publisher: "acme", PublicKeyPEM: exPEM, Purposes: []TrustPurpose{TrustSignature}},
		TrustAddOutput{Result: done("trusted"), Publisher: "acme", KeyID: "key_example"}),
})

// TrustRevoke makes a publisher's key count no more.
var TrustRevoke = define[TrustRevokeInput, TrustRevokeOutput](Contract{
	Key: "controlPlane.trust.revoke", Version: "1.1.0", Kind: Command, Capability: CapSkillRegistry, Auth: Admin,
	CLI: "writ trust revoke", Title: "Revoke a key or an identity", Idempotent: true,
	Description: "Puts a key or an identity, or all of a publisher, on the deny list. Skills that it signed are refused when they are next loaded.",
	Goal:        "Undo trust in a key that leaked or a publisher who failed.",
	Context:     "At any time; it takes effect at once.",
	PII:         []string{"input.reason"},
	Errors:      []Failure{on(writ.CodeNotFound, "The publisher, the key or the identity is not in the store.")},
	Examples: example(TrustRevokeInput{Publisher: "acme", KeyID: "key_example", Reason: "Leaked."},
		TrustRevokeOutput{Result: done("revoked")}),
})

// TrustList shows whose keys count.
var TrustList = define[TrustListInput, TrustListOutput](Contract{
	Key: "controlPlane.trust.list", Version: "1.1.0", Kind: Query, Capability: CapSkillRegistry, Auth: User,
	CLI: "writ trust list", Title: "List who is trusted", Idempotent: true,
	Description: "Lists the keys, identities, policies and roots of the trust store, revoked ones included, and the deny lists.",
	Goal:        "See whose skills may be installed.",
	Context:     "At any time.",
	Examples: example(TrustListInput{}, TrustListOutput{
		Result: done("ok"),
		Items:  []TrustedKey{{Publisher: "acme", KeyID: "key_example", Purposes: []TrustPurpose{TrustSignature}, ValidFrom: exTime}},
	}),
})
