package contract

// Keys of the capabilities.
const (
	CapCore           = "control-plane.core"
	CapApproval       = "control-plane.approval"
	CapAudit          = "control-plane.audit"
	CapSkillRegistry  = "control-plane.skill-registry"
	CapChannelRuntime = "control-plane.channel-runtime"
)

// The operations.
var (
	IntentSubmit     = define[IntentSubmitInput, IntentSubmitOutput](Contract{Key: "controlPlane.intent.submit", Kind: Command, Capability: CapCore, Auth: User, CLI: "writ intent submit"})
	PlanCompile      = define[PlanCompileInput, PlanCompileOutput](Contract{Key: "controlPlane.plan.compile", Kind: Command, Capability: CapCore, Auth: User, CLI: "writ plan compile"})
	PlanVerify       = define[PlanVerifyInput, PlanVerifyOutput](Contract{Key: "controlPlane.plan.verify", Kind: Command, Capability: CapAudit, Auth: User, CLI: "writ plan verify"})
	ExecutionStart   = define[ExecutionStartInput, ExecutionStartOutput](Contract{Key: "controlPlane.execution.start", Kind: Command, Capability: CapCore, Auth: User, CLI: "writ exec start"})
	ExecutionApprove = define[ExecutionApproveInput, ExecutionApproveOutput](Contract{Key: "controlPlane.execution.approve", Kind: Command, Capability: CapApproval, Auth: User, CLI: "writ exec approve"})
	ExecutionReject  = define[ExecutionRejectInput, ExecutionRejectOutput](Contract{Key: "controlPlane.execution.reject", Kind: Command, Capability: CapApproval, Auth: User, CLI: "writ exec reject"})
	ExecutionCancel  = define[ExecutionCancelInput, ExecutionCancelOutput](Contract{Key: "controlPlane.execution.cancel", Kind: Command, Capability: CapCore, Auth: User, CLI: "writ exec cancel"})
	ExecutionExpire  = define[ExecutionExpireInput, ExecutionExpireOutput](Contract{Key: "controlPlane.execution.expire", Kind: Command, Capability: CapApproval, Auth: System})
	ExecutionGet     = define[ExecutionGetInput, ExecutionGetOutput](Contract{Key: "controlPlane.execution.get", Kind: Query, Capability: CapCore, Auth: User, CLI: "writ exec get"})
	ExecutionList    = define[ExecutionListInput, ExecutionListOutput](Contract{Key: "controlPlane.execution.list", Kind: Query, Capability: CapCore, Auth: User, CLI: "writ exec list"})
	ApprovalList     = define[ApprovalListInput, ApprovalListOutput](Contract{Key: "controlPlane.approval.list", Kind: Query, Capability: CapApproval, Auth: User, CLI: "writ approval list"})
	PolicyExplain    = define[PolicyExplainInput, PolicyExplainOutput](Contract{Key: "controlPlane.policy.explain", Kind: Query, Capability: CapAudit, Auth: User, CLI: "writ policy explain"})
	TraceGet         = define[TraceGetInput, TraceGetOutput](Contract{Key: "controlPlane.trace.get", Kind: Query, Capability: CapAudit, Auth: User, CLI: "writ trace get"})
	TraceList        = define[TraceListInput, TraceListOutput](Contract{Key: "controlPlane.trace.list", Kind: Query, Capability: CapAudit, Auth: User, CLI: "writ trace list"})
	TraceVerify      = define[TraceVerifyInput, TraceVerifyOutput](Contract{Key: "controlPlane.trace.verify", Kind: Query, Capability: CapAudit, Auth: User, CLI: "writ trace verify"})
	EvidenceExport   = define[EvidenceExportInput, EvidenceExportOutput](Contract{Key: "controlPlane.evidence.export", Kind: Command, Capability: CapAudit, Auth: User, CLI: "writ trace export"})
	EvidenceImport   = define[EvidenceImportInput, EvidenceImportOutput](Contract{Key: "controlPlane.evidence.import", Kind: Command, Capability: CapAudit, Auth: Operator, CLI: "writ trace import"})
	ReplayRun        = define[ReplayRunInput, ReplayRunOutput](Contract{Key: "controlPlane.replay.run", Kind: Query, Capability: CapAudit, Auth: User, CLI: "writ replay"})
	SkillInstall     = define[SkillInstallInput, SkillInstallOutput](Contract{Key: "controlPlane.skill.install", Kind: Command, Capability: CapSkillRegistry, Auth: Operator, CLI: "writ skill install"})
	SkillVerify      = define[SkillVerifyInput, SkillVerifyOutput](Contract{Key: "controlPlane.skill.verify", Kind: Query, Capability: CapSkillRegistry, Auth: User, CLI: "writ skill verify"})
	SkillDisable     = define[SkillDisableInput, SkillDisableOutput](Contract{Key: "controlPlane.skill.disable", Kind: Command, Capability: CapSkillRegistry, Auth: Operator, CLI: "writ skill disable"})
	SkillEnable      = define[SkillEnableInput, SkillEnableOutput](Contract{Key: "controlPlane.skill.enable", Kind: Command, Capability: CapSkillRegistry, Auth: Operator, CLI: "writ skill enable"})
	SkillUninstall   = define[SkillUninstallInput, SkillUninstallOutput](Contract{Key: "controlPlane.skill.uninstall", Kind: Command, Capability: CapSkillRegistry, Auth: Operator, CLI: "writ skill uninstall"})
	SkillList        = define[SkillListInput, SkillListOutput](Contract{Key: "controlPlane.skill.list", Kind: Query, Capability: CapSkillRegistry, Auth: User, CLI: "writ skill list"})
	TrustAdd         = define[TrustAddInput, TrustAddOutput](Contract{Key: "controlPlane.trust.add", Kind: Command, Capability: CapSkillRegistry, Auth: Admin, CLI: "writ trust add"})
	TrustRevoke      = define[TrustRevokeInput, TrustRevokeOutput](Contract{Key: "controlPlane.trust.revoke", Kind: Command, Capability: CapSkillRegistry, Auth: Admin, CLI: "writ trust revoke"})
	TrustList        = define[TrustListInput, TrustListOutput](Contract{Key: "controlPlane.trust.list", Kind: Query, Capability: CapSkillRegistry, Auth: User, CLI: "writ trust list"})
	SecretSet        = define[SecretSetInput, SecretSetOutput](Contract{Key: "controlPlane.secret.set", Kind: Command, Capability: CapCore, Auth: Admin, CLI: "writ secret set"})
	SecretRemove     = define[SecretRemoveInput, SecretRemoveOutput](Contract{Key: "controlPlane.secret.remove", Kind: Command, Capability: CapCore, Auth: Admin, CLI: "writ secret remove"})
	SecretList       = define[SecretListInput, SecretListOutput](Contract{Key: "controlPlane.secret.list", Kind: Query, Capability: CapCore, Auth: Operator, CLI: "writ secret list"})
	TokenCreate      = define[TokenCreateInput, TokenCreateOutput](Contract{Key: "controlPlane.token.create", Kind: Command, Capability: CapCore, Auth: Admin, CLI: "writ token create"})
	TokenRevoke      = define[TokenRevokeInput, TokenRevokeOutput](Contract{Key: "controlPlane.token.revoke", Kind: Command, Capability: CapCore, Auth: Admin, CLI: "writ token revoke"})
	TokenList        = define[TokenListInput, TokenListOutput](Contract{Key: "controlPlane.token.list", Kind: Query, Capability: CapCore, Auth: Operator, CLI: "writ token list"})
	GrantCreate      = define[GrantCreateInput, GrantCreateOutput](Contract{Key: "controlPlane.grant.create", Kind: Command, Capability: CapCore, Auth: Operator, CLI: "writ grant create"})
	GrantRevoke      = define[GrantRevokeInput, GrantRevokeOutput](Contract{Key: "controlPlane.grant.revoke", Kind: Command, Capability: CapCore, Auth: Operator, CLI: "writ grant revoke"})
	GrantList        = define[GrantListInput, GrantListOutput](Contract{Key: "controlPlane.grant.list", Kind: Query, Capability: CapCore, Auth: User, CLI: "writ grant list"})
	PolicyTest       = define[PolicyTestInput, PolicyTestOutput](Contract{Key: "controlPlane.policy.test", Kind: Query, Capability: CapAudit, Auth: User, CLI: "writ policy test"})
	PolicyActivate   = define[PolicyActivateInput, PolicyActivateOutput](Contract{Key: "controlPlane.policy.activate", Kind: Command, Capability: CapCore, Auth: Admin, CLI: "writ policy activate"})
	PolicyList       = define[PolicyListInput, PolicyListOutput](Contract{Key: "controlPlane.policy.list", Kind: Query, Capability: CapAudit, Auth: User, CLI: "writ policy list"})
	SystemStatus     = define[SystemStatusInput, SystemStatusOutput](Contract{Key: "controlPlane.system.status", Kind: Query, Capability: CapCore, Auth: User, CLI: "writ status"})
)

// All lists the contracts, in the order in which the documents show them.
func All() []*Contract {
	return []*Contract{
		IntentSubmit.Contract, PlanCompile.Contract, PlanVerify.Contract,
		ExecutionStart.Contract, ExecutionApprove.Contract, ExecutionReject.Contract,
		ExecutionCancel.Contract, ExecutionExpire.Contract, ExecutionGet.Contract, ExecutionList.Contract,
		ApprovalList.Contract, PolicyExplain.Contract, PolicyTest.Contract, PolicyActivate.Contract, PolicyList.Contract,
		TraceGet.Contract, TraceList.Contract, TraceVerify.Contract,
		EvidenceExport.Contract, EvidenceImport.Contract, ReplayRun.Contract,
		SkillInstall.Contract, SkillVerify.Contract, SkillDisable.Contract, SkillEnable.Contract,
		SkillUninstall.Contract, SkillList.Contract,
		TrustAdd.Contract, TrustRevoke.Contract, TrustList.Contract,
		SecretSet.Contract, SecretRemove.Contract, SecretList.Contract,
		TokenCreate.Contract, TokenRevoke.Contract, TokenList.Contract,
		GrantCreate.Contract, GrantRevoke.Contract, GrantList.Contract,
		SystemStatus.Contract,
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
