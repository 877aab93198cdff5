package contract

import "github.com/writ-run/writ"

// PolicyExplain shows why a verdict came out as it did.
var PolicyExplain = define[PolicyExplainInput, PolicyExplainOutput](Contract{
	Key: "controlPlane.policy.explain", Version: "1.1.0", Kind: Query, Capability: CapAudit, Auth: User,
	CLI: "writ policy explain", Title: "Explain a verdict", Idempotent: true,
	Description: "Shows the verdict of a step, or the strictest of all, with what decided it, the rules that spoke, the layers that were asked and the complete question that they answered.",
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
			StepID:  exStep, Stage: writ.StageVerify, DecidedBy: &Deciding{Layer: writ.LayerOrganisation, Rule: "effect.write-external", Message: "The step writes outside the host."},
			Layers: []PolicyLayer{{Layer: writ.LayerOrganisation, Digest: exDigest, Version: "1.0.0"}}, Approvals: &Approvals{Count: 1, Roles: []string{"approver"}},
		}),
})

// PolicyTest runs the tests of a bundle.
var PolicyTest = define[PolicyTestInput, PolicyTestOutput](Contract{
	Key: "controlPlane.policy.test", Version: "1.1.0", Kind: Query, Capability: CapAudit, Auth: User,
	CLI: "writ policy test", Title: "Test a policy bundle", Idempotent: true,
	Description: "Runs the tests that a bundle carries, says which lines of its rules they do not reach, and asks the rules about the floor. Nothing is activated.",
	Goal:        "Know that a bundle does what its author meant.",
	Context:     "Before policy.activate, which refuses a bundle whose tests fail or that weakens the floor.",
	Errors: []Failure{
		on(writ.CodeNotFound, "The source does not exist."),
		on(writ.CodeTampered, "The bundle's signature does not verify."),
	},
	Examples: example(PolicyTestInput{Source: "policy/"},
		PolicyTestOutput{Result: done("ok"), Digest: exDigest, Version: "1.1.0", Passed: 1, Results: []PolicyTestCase{{Name: "data.writ.test_default_blocks", Passed: true}}, Files: []PolicyFileCoverage{{File: "step.rego", Lines: 40, Coverage: 97.5, Uncovered: []string{"12"}}}}),
})

// PolicyActivate makes a bundle the one that decides.
var PolicyActivate = define[PolicyActivateInput, PolicyActivateOutput](Contract{
	Key: "controlPlane.policy.activate", Version: "1.1.0", Kind: Command, Capability: CapCore, Auth: Admin,
	CLI: "writ policy activate", Title: "Activate a policy bundle", Idempotent: true,
	Description: "Makes a bundle the one that decides in a layer from now on. Below the floor, which is code, come the organisation's layer and the tenant's: the strictest of what they answer counts, so a lower one can only tighten. Older verdicts stay what they were and name what decided.",
	Goal:        "Change the law, on the record.",
	Context:     "After policy.test and policy.impact. Steps that are dispatched later are judged by the new bundle.",
	PII:         []string{"input.reason"},
	Errors: []Failure{
		on(writ.CodeNotFound, "The source or the digest does not exist."),
		on(writ.CodeTampered, "The bundle's signature does not verify."),
		on(writ.CodeConflict, "The bundle's own tests fail, or one of its answers is looser than the floor: details has the question."),
	},
	Emits: []string{"controlPlane.policy.activated"},
	Examples: example(PolicyActivateInput{Digest: exDigest, Reason: "Allow the note skill."},
		PolicyActivateOutput{Result: done("active"), Digest: exDigest, Version: "1.1.0", Previous: exPrev, Layer: writ.LayerOrganisation, InForce: exDigest}),
})

// PolicyRollback goes back to what was active before.
var PolicyRollback = define[PolicyRollbackInput, PolicyRollbackOutput](Contract{
	Key: "controlPlane.policy.rollback", Kind: Command, Capability: CapCore, Auth: Admin,
	CLI: "writ policy rollback", Title: "Roll a policy back", Idempotent: false,
	Description: "Makes active in a layer what was active there before: for the tenant's layer that may be nothing. Its signature was verified when it was activated. Another call goes one further back.",
	Goal:        "Undo a change of the law with one call.",
	Context:     "After policy.activate. Steps that are dispatched later are judged by what is active again.",
	PII:         []string{"input.reason"},
	Errors: []Failure{
		on(writ.CodeConflict, "Nothing was active in the layer before."),
		on(writ.CodeNotFound, "The bundle is not kept any more."),
		on(writ.CodeTampered, "The kept files are not the ones of the digest."),
	},
	Emits: []string{"controlPlane.policy.activated"},
	Examples: example(PolicyRollbackInput{Layer: writ.LayerOrganisation, Reason: "Blocks the night run."},
		PolicyRollbackOutput{Result: done(writ.PolicyRolledBack), Layer: writ.LayerOrganisation, Digest: exPrev, Version: "1.0.0", Previous: exDigest, InForce: exPrev}),
})

// PolicyImpact says what stored verdicts would have been with another bundle.
var PolicyImpact = define[PolicyImpactInput, PolicyImpactOutput](Contract{
	Key: "controlPlane.policy.impact", Kind: Query, Capability: CapAudit, Auth: User,
	CLI: "writ policy impact", Title: "See what a policy would change", Idempotent: true,
	Description: "Asks a candidate bundle every stored verdict's recorded question again, with the other layers as they are active. Lists what would flip, by the rule that decides in the candidate. Nothing is activated and nothing is performed. What can no longer be judged is counted apart, never as the same.",
	Goal:        "Know what a change of the law does before it is made.",
	Context:     "Before policy.activate. The candidate need not be signed yet.",
	Errors: []Failure{
		on(writ.CodeNotFound, "The source or the digest does not exist."),
		on(writ.CodeTampered, "The bundle is signed by a key that is not trusted."),
	},
	Examples: example(PolicyImpactInput{Source: "policy/"}, PolicyImpactOutput{
		Result: done("differs"), Digest: exDigest, Version: "1.1.0", Layer: writ.LayerOrganisation,
		Layers: []PolicyLayer{{Layer: writ.LayerOrganisation, Digest: exDigest, Version: "1.1.0"}},
		Impact: exampleVerdicts(),
	}),
})

func exampleVerdicts() StoredVerdicts {
	v := StoredVerdicts{Executions: 2, Verdicts: 4, Same: 3, Oldest: exTime, Complete: true}
	v.Flip(&VerdictFlip{
		ExecutionID: exExecution, StepID: exStep, Step: "save", Stage: writ.StageVerify, From: writ.Autonomous, To: writ.Assist,
		Layer: writ.LayerOrganisation, Rule: "night", Message: "nothing runs by itself at night",
	}, true)
	return v
}

// PolicyList shows the bundles that are kept.
var PolicyList = define[PolicyListInput, PolicyListOutput](Contract{
	Key: "controlPlane.policy.list", Version: "1.1.0", Kind: Query, Capability: CapAudit, Auth: User,
	CLI: "writ policy list", Title: "List policy bundles", Idempotent: true,
	Description: "Lists the bundles that this host keeps by layer, the active one first, with who signed and who activated them.",
	Goal:        "Find a bundle to replay against or to go back to.",
	Context:     "At any time.",
	Examples: example(PolicyListInput{},
		PolicyListOutput{Result: done("ok"), InForce: exDigest, Version: "1.1.0", Items: []PolicyBundle{{
			Layer: writ.LayerOrganisation, Digest: exDigest, Version: "1.1.0", Active: true, ActivatedAt: exTime, Signer: "ops", ActivatedBy: "human:ada",
		}}}),
})
