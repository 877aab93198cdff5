package contract

import "github.com/writ-run/writ"

// PolicyExplain shows why a verdict came out as it did.
var PolicyExplain = define[PolicyExplainInput, PolicyExplainOutput](Contract{
	Key: "controlPlane.policy.explain", Kind: Query, Capability: CapAudit, Auth: User,
	CLI: "writ policy explain", Title: "Explain a verdict", Idempotent: true,
	Description: "Shows the verdict of a step, or the strictest of all, with the rules that spoke and the complete question that they answered.",
	Goal:        "Understand a denial and find the narrowest change that would alter it.",
	Context:     "After plan.verify.",
	PII:         []string{"output.input"},
	Errors: []Failure{
		on(writ.CodeNotFound, "The execution or the step does not exist."),
		on(writ.CodeConflict, "The plan is not verified yet."),
		on(writ.CodeUnreplayable, "The stored question has expired."),
	},
	Examples: example(PolicyExplainInput{ExecutionID: exExecution, StepID: exStep},
		PolicyExplainOutput{
			Result: done("ok"), Verdict: writ.Assist, RiskTier: writ.RiskMedium, PolicyVersion: "1.0.0",
			Reasons: []Reason{{Rule: "effect.write-external", Message: "The step writes outside the host.", Fix: "Grant http.request for api.example.com."}},
		}),
})

// PolicyTest runs the tests of a bundle.
var PolicyTest = define[PolicyTestInput, PolicyTestOutput](Contract{
	Key: "controlPlane.policy.test", Kind: Query, Capability: CapAudit, Auth: User,
	CLI: "writ policy test", Title: "Test a policy bundle", Idempotent: true,
	Description: "Runs the tests that a bundle carries. Nothing is activated.",
	Goal:        "Know that a bundle does what its author meant.",
	Context:     "Before policy.activate, which refuses a bundle whose tests fail.",
	Errors: []Failure{
		on(writ.CodeNotFound, "The source does not exist."),
		on(writ.CodeTampered, "The bundle's signature does not verify."),
	},
	Examples: example(PolicyTestInput{Source: "policy/"},
		PolicyTestOutput{Result: done("ok"), Digest: exDigest, Version: "1.1.0", Passed: 1, Results: []PolicyTestCase{{Name: "data.writ.test_default_blocks", Passed: true}}}),
})

// PolicyActivate makes a bundle the one that decides.
var PolicyActivate = define[PolicyActivateInput, PolicyActivateOutput](Contract{
	Key: "controlPlane.policy.activate", Kind: Command, Capability: CapCore, Auth: Admin,
	CLI: "writ policy activate", Title: "Activate a policy bundle", Idempotent: true,
	Description: "Makes a bundle the one that decides from now on. Older verdicts stay what they were and name their bundle.",
	Goal:        "Change the law, on the record.",
	Context:     "After policy.test. Steps that are dispatched later are judged by the new bundle.",
	PII:         []string{"input.reason"},
	Errors: []Failure{
		on(writ.CodeNotFound, "The source or the digest does not exist."),
		on(writ.CodeTampered, "The bundle's signature does not verify."),
		on(writ.CodeConflict, "The bundle's own tests fail."),
	},
	Emits: []string{"controlPlane.policy.activated"},
	Examples: example(PolicyActivateInput{Digest: exDigest, Reason: "Allow the note skill."},
		PolicyActivateOutput{Result: done("active"), Digest: exDigest, Version: "1.1.0", Previous: exPrev}),
})

// PolicyList shows the bundles that are kept.
var PolicyList = define[PolicyListInput, PolicyListOutput](Contract{
	Key: "controlPlane.policy.list", Kind: Query, Capability: CapAudit, Auth: User,
	CLI: "writ policy list", Title: "List policy bundles", Idempotent: true,
	Description: "Lists the bundles that this host keeps, the active one first.",
	Goal:        "Find a bundle to replay against or to go back to.",
	Context:     "At any time.",
	Examples: example(PolicyListInput{},
		PolicyListOutput{Result: done("ok"), Items: []PolicyBundle{{Digest: exDigest, Version: "1.1.0", Active: true, ActivatedAt: exTime}}}),
})
