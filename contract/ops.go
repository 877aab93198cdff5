package contract

import "strings"

// All lists the contracts, in the order in which the documents show them.
func All() []*Contract {
	return []*Contract{
		IntentSubmit.Contract, PlanCompile.Contract, PlanVerify.Contract,
		ExecutionStart.Contract, ExecutionApprove.Contract, ExecutionReject.Contract, ExecutionEdit.Contract,
		ExecutionCancel.Contract, ExecutionPause.Contract, ExecutionResume.Contract, ExecutionRetry.Contract,
		ExecutionResolve.Contract, ExecutionExpire.Contract, ExecutionGet.Contract, ExecutionList.Contract,
		ApprovalList.Contract, ApprovalApprove.Contract, ApprovalStats.Contract,
		ApprovalDelegate.Contract, ApprovalUndelegate.Contract, ApprovalDelegations.Contract, PolicyExplain.Contract, PolicyTest.Contract, PolicyActivate.Contract,
		PolicyRollback.Contract, PolicyImpact.Contract, PolicyList.Contract,
		TraceGet.Contract, TraceList.Contract, TraceVerify.Contract,
		EvidenceExport.Contract, EvidenceImport.Contract, ReplayRun.Contract,
		SkillInstall.Contract, SkillVerify.Contract, SkillDisable.Contract, SkillEnable.Contract,
		SkillUninstall.Contract, SkillList.Contract, SkillImpact.Contract, SkillRollback.Contract,
		TrustAdd.Contract, TrustRevoke.Contract, TrustDeny.Contract, TrustUndeny.Contract, TrustList.Contract,
		FeedAdd.Contract, FeedUpdate.Contract, FeedRemove.Contract, FeedList.Contract, DriftList.Contract,
		TrustPolicySet.Contract, TrustRootImport.Contract, TrustRootUpdate.Contract, TrustRootRevoke.Contract,
		Freeze.Contract, Unfreeze.Contract, FreezeList.Contract,
		BudgetSet.Contract, BudgetRemove.Contract, BudgetList.Contract,
		ChannelAdd.Contract, ChannelRemove.Contract, ChannelList.Contract, ChannelSimulate.Contract,
		ChannelTest.Contract, ChannelOutbox.Contract, ChannelResend.Contract, ChannelDrop.Contract,
		SecretSet.Contract, SecretRotate.Contract, SecretRemove.Contract, SecretList.Contract,
		TokenCreate.Contract, TokenRotate.Contract, TokenRevoke.Contract, TokenList.Contract, SessionEnd.Contract,
		GrantCreate.Contract, GrantRevoke.Contract, GrantList.Contract, GrantWhy.Contract, GrantBreakGlass.Contract, GrantReview.Contract,
		TenantCreate.Contract, TenantList.Contract,
		HookList.Contract, HookTest.Contract, HookRedeliver.Contract, HookDismiss.Contract,
		SystemStatus.Contract, ConfigAcknowledge.Contract,
	}
}

// Lookup finds a contract by key.
func Lookup(key string) (*Contract, bool) {
	for _, c := range All() {
		if c.Key == key {
			return c, true
		}
	}
	return nil, false
}

// Keys lists the keys of All.
func Keys() []string {
	var keys []string
	for _, c := range All() {
		keys = append(keys, c.Key)
	}
	return keys
}

// Noun is the middle of the key: "intent" of controlPlane.intent.submit.
func (c *Contract) Noun() string { return nounOf(c.Key) }

func nounOf(key string) string {
	parts := strings.Split(key, ".")
	if len(parts) < 2 {
		return key
	}
	return parts[1]
}
