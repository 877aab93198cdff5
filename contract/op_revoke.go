package contract

import "github.com/writ-run/writ"

var exDenial = TrustDenyInput{DenialSubject: DenialSubject{Skill: "acme/notes <1.2.0"}, Reason: "Files notes of others."}

// TrustDeny puts something on the deny list.
var TrustDeny = define[TrustDenyInput, TrustDenyOutput](Contract{
	Key: "controlPlane.trust.deny", Kind: Command, Capability: CapSkillRegistry, Auth: Admin,
	CLI: "writ trust deny", Title: "Deny a publisher, key, identity, digest or skill", Idempotent: true,
	Description: "Puts a publisher, a key, a keyless identity, a digest or a range of a skill's versions on the deny list. What is installed of it is refused when it is next loaded, and a running step of it begins no further tool call.",
	Goal:        "Stop what is harmful at once, whoever signed it.",
	Context:     "At any time; it takes effect at once, and can be undone by trust.undeny.",
	PII:         []string{"input.reason", "input.san", "output.subject"},
	Examples: example(exDenial,
		TrustDenyOutput{Result: done("denied"), Kind: DeniedSkill, Subject: "acme/notes <1.2.0"}),
})

// TrustUndeny takes a local denial back.
var TrustUndeny = define[TrustUndenyInput, TrustUndenyOutput](Contract{
	Key: "controlPlane.trust.undeny", Kind: Command, Capability: CapSkillRegistry, Auth: Admin,
	CLI: "writ trust undeny", Title: "Take a denial back", Idempotent: false,
	Description: "Takes back what trust.deny put on the deny list. Keys that were revoked stay so, and what a feed denies is the feed's.",
	Goal:        "Undo a denial that was a mistake or is over.",
	Context:     "After trust.deny.",
	PII:         []string{"input.reason", "input.san", "output.subject"},
	Errors: []Failure{
		on(writ.CodeNotFound, "Nothing of this name is denied here."),
		on(writ.CodeConflict, "The key was revoked for good, or a feed denies it."),
	},
	Examples: example(TrustUndenyInput(exDenial),
		TrustUndenyOutput{Result: done("lifted"), Kind: DeniedSkill, Subject: "acme/notes <1.2.0"}),
})

func exFeed() Feed {
	return Feed{Name: "acme", URL: "https://trust.example.com/tuf", Version: 7, Entries: 3, UpdatedAt: exTime, ExpiresAt: exLater}
}

// FeedAdd follows a signed feed of revocations.
var FeedAdd = define[FeedAddInput, FeedAddOutput](Contract{
	Key: "controlPlane.feed.add", Kind: Command, Capability: CapSkillRegistry, Auth: Admin,
	CLI: "writ trust feed add", Title: "Follow a feed of revocations", Idempotent: true,
	Description: "Follows a TUF repository whose target revocations.json lists revoked keys, publishers, identities, digests and skill versions, and minimum versions. It is read once before it is added. A feed can only tighten: it never makes anything trusted.",
	Goal:        "Hear of what a publisher or a security team takes back.",
	Context:     "After comparing the root with its publisher. The daemon reads it again every trust.feedEvery.",
	PII:         []string{"input.reason"},
	Errors: []Failure{
		on(writ.CodeConflict, "There is another feed of this name, or too many."),
		on(writ.CodeTampered, "What the server has is not signed as the root demands, or is older than what was known."),
		on(writ.CodeExpired, "What the server has is past its signed time."),
	},
	Examples: example(FeedAddInput{Name: "acme", URL: "https://trust.example.com/tuf", Root: []byte(`{"signed":{}}`)},
		FeedAddOutput{Result: done("added"), Feed: exFeed()}),
})

// FeedUpdate reads feeds now.
var FeedUpdate = define[FeedUpdateInput, FeedUpdateOutput](Contract{
	Key: "controlPlane.feed.update", Kind: Command, Capability: CapSkillRegistry, Auth: Operator,
	CLI: "writ trust feed update", Title: "Read feeds of revocations", Idempotent: true,
	Description: "Reads one feed, or all, now. Where one cannot be read or verified, what was known of it stays in force and the answer says why.",
	Goal:        "Have a revocation count before the next update.",
	Context:     "At any time.",
	Errors:      []Failure{on(writ.CodeNotFound, "There is no such feed.")},
	Examples:    example(FeedUpdateInput{Name: "acme"}, FeedUpdateOutput{Result: done("ok"), Items: []Feed{exFeed()}}),
})

// FeedRemove follows a feed no longer.
var FeedRemove = define[FeedRemoveInput, FeedRemoveOutput](Contract{
	Key: "controlPlane.feed.remove", Kind: Command, Capability: CapSkillRegistry, Auth: Admin,
	CLI: "writ trust feed remove", Title: "Follow a feed no longer", Idempotent: false,
	Description: "Follows a feed no longer. What it alone denied counts again.",
	Goal:        "Be rid of a feed that is not maintained, or not agreed with.",
	Context:     "At any time.",
	PII:         []string{"input.reason"},
	Errors:      []Failure{on(writ.CodeNotFound, "There is no such feed.")},
	Examples:    example(FeedRemoveInput{Name: "acme"}, FeedRemoveOutput{Result: done("removed")}),
})

// FeedList shows the feeds.
var FeedList = define[FeedListInput, FeedListOutput](Contract{
	Key: "controlPlane.feed.list", Kind: Query, Capability: CapSkillRegistry, Auth: User,
	CLI: "writ trust feed list", Title: "List feeds of revocations", Idempotent: true,
	Description: "Lists the feeds with what is in force, until when that is vouched for and why the last update failed.",
	Goal:        "Know whose revocations are heard, and whether they still come.",
	Context:     "At any time.",
	Examples:    example(FeedListInput{}, FeedListOutput{Result: done("ok"), Items: []Feed{exFeed()}}),
})

// DriftList shows what is no longer as it was approved.
var DriftList = define[DriftListInput, DriftListOutput](Contract{
	Key: "controlPlane.drift.list", Version: "1.0.2", Kind: Query, Capability: CapAudit, Auth: User,
	CLI: "writ drift list", Title: "List drift", Idempotent: true,
	Description: "Lists what is no longer as it was approved: skills that were revoked, changed on disk, fell below a minimum, no longer fit this host or are superseded; feeds that are stale or fail; a policy that is not the pinned or recorded one; settings and contracts that were not acknowledged; approvals that are overdue; completed executions that no longer replay.",
	Goal:        "See what needs an operator before a step fails on it.",
	Context:     "At any time. The daemon looks every ten minutes and emits controlPlane.drift.detected once for each finding.",
	Examples: example(DriftListInput{}, DriftListOutput{
		Result: done("ok"),
		Items: []DriftFinding{{
			Code: DriftSkillRevoked, Subject: "acme/notes@1.1.0", Message: "RELEASE_REVOKED: acme/notes <1.2.0 was denied by ada",
			Since: exTime, Fix: "install another version, then: writ skill uninstall acme/notes --version 1.1.0",
		}},
	}),
})
