package main

import (
	"github.com/writ-run/writ/contract"
)

// bind gives every contract its handler. Which capability and role a caller
// needs stands with the contract itself; one without a handler fails a test.
func (h *home) bind(d *contract.Dispatcher) {
	h.bindExecutions(d)
	h.bindSkills(d)
	h.bindTrust(d)
	h.bindFreezes(d)
	h.bindBudgets(d)
	h.bindChannels(d)
	h.bindLaw(d)
	contract.Bind(d, contract.HookList, h.hooks.List)
	contract.Bind(d, contract.HookTest, h.hooks.Test)
	contract.Bind(d, contract.HookRedeliver, h.hooks.Redeliver)
	contract.Bind(d, contract.HookDismiss, h.hooks.Dismiss)
	contract.Bind(d, contract.SystemStatus, h.systemStatus)
	contract.Bind(d, contract.ConfigAcknowledge, h.baseline.Acknowledge)
}

// bindExecutions is bind for intents, plans, executions and their journals.
func (h *home) bindExecutions(d *contract.Dispatcher) {
	contract.Bind(d, contract.IntentSubmit, h.engine.IntentSubmit)
	contract.Bind(d, contract.PlanCompile, h.engine.PlanCompile)
	contract.Bind(d, contract.PlanVerify, h.engine.PlanVerify)
	contract.Bind(d, contract.ExecutionStart, h.engine.ExecutionStart)
	contract.Bind(d, contract.ExecutionApprove, h.engine.ExecutionApprove)
	contract.Bind(d, contract.ExecutionReject, h.engine.ExecutionReject)
	contract.Bind(d, contract.ExecutionEdit, h.engine.ExecutionEdit)
	contract.Bind(d, contract.ExecutionCancel, h.engine.ExecutionCancel)
	contract.Bind(d, contract.ExecutionPause, h.engine.ExecutionPause)
	contract.Bind(d, contract.ExecutionResume, h.engine.ExecutionResume)
	contract.Bind(d, contract.ExecutionRetry, h.engine.ExecutionRetry)
	contract.Bind(d, contract.ExecutionResolve, h.engine.ExecutionResolve)
	contract.Bind(d, contract.ExecutionExpire, h.engine.ExecutionExpire)
	contract.Bind(d, contract.ReplayRun, h.replayRun)
	h.bindApprovals(d)

	contract.Bind(d, contract.ExecutionGet, h.journal.ExecutionGet)
	contract.Bind(d, contract.ExecutionList, h.journal.ExecutionList)
	contract.Bind(d, contract.TraceGet, h.journal.TraceGet)
	contract.Bind(d, contract.TraceList, h.journal.TraceList)
	contract.Bind(d, contract.TraceVerify, h.journal.TraceVerify)
	contract.Bind(d, contract.EvidenceExport, h.journal.EvidenceExport)
	contract.Bind(d, contract.EvidenceImport, h.journal.EvidenceImport)
}

// bindSkills is bind for what is installed.
func (h *home) bindSkills(d *contract.Dispatcher) {
	contract.Bind(d, contract.SkillInstall, h.installSkill)
	contract.Bind(d, contract.SkillVerify, h.registry.Verify)
	contract.Bind(d, contract.SkillDisable, h.registry.Disable)
	contract.Bind(d, contract.SkillEnable, h.registry.Enable)
	contract.Bind(d, contract.SkillUninstall, h.registry.Uninstall)
	contract.Bind(d, contract.SkillList, h.registry.List)
	contract.Bind(d, contract.SkillImpact, h.skillImpact)
	contract.Bind(d, contract.SkillRollback, h.registry.Rollback)
}

// bindLaw is bind for policies, who people are, what they may do, and secrets.
func (h *home) bindLaw(d *contract.Dispatcher) {
	contract.Bind(d, contract.PolicyExplain, h.policies.Explain)
	contract.Bind(d, contract.PolicyTest, h.policies.Test)
	contract.Bind(d, contract.PolicyActivate, h.activatePolicy)
	contract.Bind(d, contract.PolicyRollback, h.rollBackPolicy)
	contract.Bind(d, contract.PolicyImpact, h.policyImpact)
	contract.Bind(d, contract.PolicyList, h.policies.List)

	h.bindAccess(d)

	contract.Bind(d, contract.SecretSet, h.secrets.SecretSet)
	contract.Bind(d, contract.SecretRotate, h.secrets.SecretRotate)
	contract.Bind(d, contract.SecretRemove, h.secrets.SecretRemove)
	contract.Bind(d, contract.SecretList, h.secrets.SecretList)
}

// bindApprovals is bind for the queue of approvals and who decides in it.
func (h *home) bindApprovals(d *contract.Dispatcher) {
	contract.Bind(d, contract.ApprovalList, h.engine.ApprovalList)
	contract.Bind(d, contract.ApprovalApprove, h.engine.ApprovalApprove)
	contract.Bind(d, contract.ApprovalStats, h.engine.ApprovalStats)
	contract.Bind(d, contract.ApprovalDelegate, h.identity.ApprovalDelegate)
	contract.Bind(d, contract.ApprovalUndelegate, h.identity.ApprovalUndelegate)
	contract.Bind(d, contract.ApprovalDelegations, h.identity.ApprovalDelegations)
}

// bindTrust is bind for whose skills count and what has been taken back.
func (h *home) bindTrust(d *contract.Dispatcher) {
	contract.Bind(d, contract.TrustAdd, h.registry.TrustAdd)
	contract.Bind(d, contract.TrustRevoke, h.registry.TrustRevoke)
	contract.Bind(d, contract.TrustDeny, h.registry.TrustDeny)
	contract.Bind(d, contract.TrustUndeny, h.registry.TrustUndeny)
	contract.Bind(d, contract.TrustList, h.registry.TrustList)
	contract.Bind(d, contract.FeedAdd, h.registry.FeedAdd)
	contract.Bind(d, contract.FeedUpdate, h.registry.FeedUpdate)
	contract.Bind(d, contract.FeedRemove, h.registry.FeedRemove)
	contract.Bind(d, contract.FeedList, h.registry.FeedList)
	contract.Bind(d, contract.DriftList, h.drift.List)
	contract.Bind(d, contract.TrustPolicySet, h.registry.TrustPolicySet)
	contract.Bind(d, contract.TrustRootImport, h.registry.TrustRootImport)
	contract.Bind(d, contract.TrustRootUpdate, h.registry.TrustRootUpdate)
	contract.Bind(d, contract.TrustRootRevoke, h.registry.TrustRootRevoke)
}

// bindAccess is bind for who calls, and what their steps may reach.
func (h *home) bindAccess(d *contract.Dispatcher) {
	contract.Bind(d, contract.TokenCreate, h.identity.TokenCreate)
	contract.Bind(d, contract.TokenRotate, h.identity.TokenRotate)
	contract.Bind(d, contract.TokenRevoke, h.identity.TokenRevoke)
	contract.Bind(d, contract.TokenList, h.identity.TokenList)
	contract.Bind(d, contract.TenantCreate, h.identity.TenantCreate)
	contract.Bind(d, contract.TenantList, h.identity.TenantList)
	contract.Bind(d, contract.SessionEnd, h.identity.SessionEnd)
	contract.Bind(d, contract.GrantCreate, h.identity.GrantCreate)
	contract.Bind(d, contract.GrantRevoke, h.identity.GrantRevoke)
	contract.Bind(d, contract.GrantList, h.identity.GrantList)
	contract.Bind(d, contract.GrantWhy, h.identity.GrantWhy)
	contract.Bind(d, contract.GrantBreakGlass, h.identity.GrantBreakGlass)
	contract.Bind(d, contract.GrantReview, h.identity.GrantReview)
}
