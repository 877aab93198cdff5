package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/api"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/contract"
	"github.com/writ-run/writ/hook"
	"github.com/writ-run/writ/host/wasmtest"
	"github.com/writ-run/writ/registry"
	"github.com/writ-run/writ/registry/feed/feedtest"
	"github.com/writ-run/writ/registry/keyless/keylesstest"
)

// things are the ids of one tenant, or others of the same form that are nobody's.
type things struct {
	Execution, Waiting          writ.ExecutionID
	Intent                      writ.IntentID
	Plan                        writ.PlanID
	Step                        writ.StepID
	Digest, Artifact            writ.Digest
	Token, Grant, Secret, KeyID string
	Principal                   writ.PrincipalID
	Workspace                   writ.WorkspaceID
	Skill                       writ.SkillKey
	Publisher, Feed, Root       string
	Deputy                      writ.PrincipalID
	Delegation, Glass, Channel  string
	Hook                        string
	Door                        writ.ChannelName
}

// all are the ids, those that are part of others last.
func (x *things) all() []string {
	out := []string{
		string(x.Execution), string(x.Waiting), string(x.Intent), string(x.Plan), string(x.Step), string(x.Digest), string(x.Artifact),
		x.Token, x.Grant, x.Secret, x.KeyID, string(x.Principal), string(x.Workspace), string(x.Skill), x.Publisher, x.Feed, x.Root,
		string(x.Deputy), x.Delegation, x.Glass, x.Channel, x.Hook, string(x.Door),
	}
	for _, one := range out {
		if one == "" {
			panic(fmt.Sprintf("an id is missing: %+v", x))
		}
	}
	return out
}

// forged are of the same form and of nobody.
func (x *things) forged() *things {
	turn := func(s string) string {
		return strings.Map(func(c rune) rune {
			switch {
			case c >= 'a' && c < 'f':
				return c + 1
			case c == 'f':
				return 'a'
			case c >= '2' && c < '7':
				return c + 1
			}
			return c
		}, s)
	}
	rest := func(s, prefix string) string { return prefix + turn(strings.TrimPrefix(s, prefix)) }
	return &things{
		Execution: writ.ExecutionID(rest(string(x.Execution), "exe_")), Waiting: writ.ExecutionID(rest(string(x.Waiting), "exe_")),
		Intent: writ.IntentID(rest(string(x.Intent), "int_")), Plan: writ.PlanID(rest(string(x.Plan), "pln_")), Step: writ.StepID(rest(string(x.Step), "stp_")),
		Digest: writ.Digest(rest(string(x.Digest), "sha256:")), Artifact: writ.Digest(rest(string(x.Artifact), "sha256:")),
		Token: turn(x.Token), Grant: rest(x.Grant, "grant_"), Secret: turn(x.Secret), KeyID: turn(x.KeyID),
		Principal: writ.PrincipalID(rest(string(x.Principal), "agent:")), Workspace: writ.WorkspaceID(turn(string(x.Workspace))),
		Skill: "fictional/nothing", Publisher: "fictional", Feed: turn(x.Feed), Root: turn(x.Root),
		Deputy: writ.PrincipalID(rest(string(x.Deputy), "human:")), Delegation: rest(x.Delegation, "dlg_"), Glass: rest(x.Glass, "grant_"), Channel: turn(x.Channel), Hook: turn(x.Hook),
		Door: writ.ChannelName(rest(string(x.Door), "github/")),
	}
}

// trespasses are calls of every operation with the ids of another tenant. An
// operation that is missing here fails the test.
func trespasses(x *things) map[string][]any {
	deny := contract.TrustUndenyInput{Reason: "r"}
	deny.Skill = string(x.Skill) + " <9.0.0"
	return map[string][]any{
		contract.IntentSubmit.Key: {contract.IntentSubmitInput{WorkspaceID: x.Workspace, Text: "t"}, contract.IntentSubmitInput{Text: "t", ActorID: x.Principal}},
		contract.PlanCompile.Key:  {contract.PlanCompileInput{ExecutionID: x.Execution, IntentID: x.Intent, Draft: compatDraft}},
		contract.PlanVerify.Key:   {contract.PlanVerifyInput{ExecutionID: x.Execution, PlanID: x.Plan}},
		contract.ExecutionStart.Key: {
			contract.ExecutionStartInput{ExecutionID: x.Execution, PlanID: x.Plan}, contract.ExecutionStartInput{ExecutionID: x.Waiting, PlanID: x.Plan},
		},
		contract.ExecutionApprove.Key: {contract.ExecutionApproveInput{ExecutionID: x.Waiting, StepID: x.Step, ApprovalDigest: x.Digest, Signature: []byte("{}")}},
		contract.ExecutionReject.Key:  {contract.ExecutionRejectInput{ExecutionID: x.Waiting, StepID: x.Step, Reason: "r"}},
		contract.ExecutionEdit.Key: {
			contract.ExecutionEditInput{ExecutionID: x.Waiting, Reason: "r", Steps: []contract.StepEdit{{StepID: x.Step, Input: contract.Object(`{}`)}}},
			contract.ExecutionEditInput{ExecutionID: x.Waiting, Reason: "r", For: x.Deputy, Steps: []contract.StepEdit{{StepID: "put", Input: contract.Object(`{}`)}}},
		},
		contract.ExecutionCancel.Key:  {contract.ExecutionCancelInput{ExecutionID: x.Waiting}},
		contract.ExecutionPause.Key:   {contract.ExecutionPauseInput{ExecutionID: x.Waiting}},
		contract.ExecutionResume.Key:  {contract.ExecutionResumeInput{ExecutionID: x.Waiting}},
		contract.ExecutionRetry.Key:   {contract.ExecutionRetryInput{ExecutionID: x.Waiting}},
		contract.ExecutionResolve.Key: {contract.ExecutionResolveInput{ExecutionID: x.Waiting, StepID: x.Step, Ruling: writ.RulingRetry, Reason: "r"}},
		contract.ExecutionExpire.Key:  {contract.ExecutionExpireInput{ExecutionID: x.Waiting, StepID: x.Step, ApprovalDigest: x.Digest}},
		contract.ExecutionGet.Key:     {contract.ExecutionGetInput{ExecutionID: x.Execution, IncludeOutputs: true}, contract.ExecutionGetInput{ExecutionID: x.Waiting}},
		contract.ExecutionList.Key:    {contract.ExecutionListInput{}, contract.ExecutionListInput{WorkspaceID: x.Workspace}},
		contract.ApprovalList.Key:     {contract.ApprovalListInput{}, contract.ApprovalListInput{ExecutionID: x.Waiting}},
		contract.ApprovalApprove.Key: {contract.ApprovalApproveInput{
			Template: string(x.Skill) + "#run", Rules: []string{"floor"},
			Items: []contract.ApprovalItem{{ExecutionID: x.Waiting, StepID: x.Step, ApprovalDigest: x.Digest, Signature: []byte("{}")}},
		}},
		contract.ApprovalStats.Key:       {contract.ApprovalStatsInput{}},
		contract.ApprovalDelegate.Key:    {contract.ApprovalDelegateInput{To: x.Deputy, Until: canon.TimeOf(time.Now().Add(time.Hour)), Reason: "r"}},
		contract.ApprovalUndelegate.Key:  {contract.ApprovalUndelegateInput{DelegationID: x.Delegation, Reason: "r"}},
		contract.ApprovalDelegations.Key: {contract.ApprovalDelegationsInput{IncludePast: true}, contract.ApprovalDelegationsInput{PrincipalID: x.Deputy}},
		contract.Freeze.Key:              {contract.FreezeInput{FreezeSubject: contract.FreezeSubject{Skill: string(x.Skill)}, Reason: "r"}},
		contract.Unfreeze.Key: {
			contract.UnfreezeInput{FreezeSubject: contract.FreezeSubject{Skill: string(x.Skill)}, Reason: "r"},
			contract.UnfreezeInput{FreezeSubject: contract.FreezeSubject{ChannelKey: x.Channel}, Reason: "r"},
		},
		contract.FreezeList.Key: {contract.FreezeListInput{}},
		contract.BudgetSet.Key: {
			contract.BudgetSetInput{BudgetSubject: budgetOf(x), Count: 9, Reason: "r"},
			contract.BudgetSetInput{BudgetSubject: contract.BudgetSubject{TenantID: "nowhere", Kind: writ.BudgetCalls, Span: writ.SpanDay}, Count: 9, Reason: "r"},
		},
		contract.BudgetRemove.Key: {
			contract.BudgetRemoveInput{BudgetSubject: budgetOf(x), Reason: "r"}, contract.BudgetRemoveInput{BudgetSubject: budgetOf(x), Reason: "r"},
		},
		contract.BudgetList.Key: {contract.BudgetListInput{}},
		contract.ChannelAdd.Key: {
			contract.ChannelAddInput{Channel: contract.Channel{Name: x.Door, Secrets: []string{x.Secret}}},
			contract.ChannelAddInput{Channel: contract.Channel{Name: "github/own", Secrets: []string{"own"}, Members: []contract.ChannelMember{{Sender: "*", PrincipalID: x.Principal}}}},
		},
		contract.ChannelRemove.Key:   {contract.ChannelRemoveInput{Name: x.Door}},
		contract.ChannelList.Key:     {contract.ChannelListInput{}},
		contract.ChannelSimulate.Key: {contract.ChannelSimulateInput{Name: x.Door, Sample: "ping"}},
		contract.ChannelOutbox.Key:   {contract.ChannelOutboxInput{}, contract.ChannelOutboxInput{Name: x.Door}},
		contract.ChannelResend.Key:   {contract.ChannelResendInput{MessageID: "msg_of_the_other"}},
		contract.ChannelDrop.Key:     {contract.ChannelDropInput{MessageID: "msg_of_the_other"}},
		contract.ChannelTest.Key:     {contract.ChannelTestInput{Name: x.Door, Thread: "t"}},
		contract.PolicyExplain.Key:   {contract.PolicyExplainInput{ExecutionID: x.Execution}, contract.PolicyExplainInput{ExecutionID: x.Waiting, StepID: x.Step}},
		contract.PolicyTest.Key:      {contract.PolicyTestInput{}},
		contract.PolicyActivate.Key:  {contract.PolicyActivateInput{Digest: x.Digest}},
		contract.PolicyRollback.Key:  {contract.PolicyRollbackInput{Reason: "r", Layer: writ.LayerTenant}},
		contract.PolicyImpact.Key:    {contract.PolicyImpactInput{Digest: x.Digest}},
		contract.PolicyList.Key:      {contract.PolicyListInput{}},
		contract.TraceGet.Key:        {contract.TraceGetInput{ExecutionID: x.Execution, IncludePayloads: true}},
		contract.TraceList.Key:       {contract.TraceListInput{}, contract.TraceListInput{WorkspaceID: x.Workspace}},
		contract.TraceVerify.Key:     {contract.TraceVerifyInput{ExecutionID: x.Execution}},
		contract.EvidenceExport.Key:  {contract.EvidenceExportInput{ExecutionID: x.Execution}},
		contract.EvidenceImport.Key:  {contract.EvidenceImportInput{Bundle: []byte(`{"executionId":"` + x.Execution + `"}`)}},
		contract.ReplayRun.Key:       {contract.ReplayRunInput{ExecutionID: x.Execution}, contract.ReplayRunInput{ExecutionID: x.Execution, PolicyDigest: x.Digest}},
		contract.SkillInstall.Key:    {contract.SkillInstallInput{SkillKey: x.Skill, Version: "1.0.0", ArtifactDigest: x.Artifact, Source: "/nowhere"}},
		contract.SkillVerify.Key:     {contract.SkillVerifyInput{SkillKey: x.Skill, Version: "1.0.0", ArtifactDigest: x.Artifact, Source: "/nowhere"}},
		contract.SkillDisable.Key:    {contract.SkillDisableInput{SkillKey: x.Skill}, contract.SkillDisableInput{SkillKey: x.Skill, Version: "1.0.0"}},
		contract.SkillEnable.Key:     {contract.SkillEnableInput{SkillKey: x.Skill, Version: "1.0.0"}},
		contract.SkillUninstall.Key:  {contract.SkillUninstallInput{SkillKey: x.Skill, Version: "1.0.0"}},
		contract.SkillList.Key:       {contract.SkillListInput{IncludeDisabled: true}},
		contract.SkillImpact.Key:     {contract.SkillImpactInput{Source: "/nowhere"}},
		contract.SkillRollback.Key:   {contract.SkillRollbackInput{SkillKey: x.Skill}},
		contract.TrustAdd.Key:        {contract.TrustAddInput{Publisher: x.Publisher, PublicKeyPEM: "none"}},
		contract.TrustRevoke.Key:     {contract.TrustRevokeInput{Publisher: x.Publisher}, contract.TrustRevokeInput{Publisher: x.Publisher, KeyID: x.KeyID}},
		contract.TrustDeny.Key:       {contract.TrustDenyInput{DenialSubject: deny.DenialSubject, Reason: "r"}},
		contract.TrustUndeny.Key:     {deny, deny},
		contract.TrustList.Key:       {contract.TrustListInput{}, contract.TrustListInput{Publisher: x.Publisher}},
		contract.FeedAdd.Key:         {contract.FeedAddInput{Name: x.Feed, URL: "https://127.0.0.1:1", Root: []byte("none")}},
		contract.FeedUpdate.Key:      {contract.FeedUpdateInput{}, contract.FeedUpdateInput{Name: x.Feed}},
		contract.FeedRemove.Key:      {contract.FeedRemoveInput{Name: x.Feed}},
		contract.FeedList.Key:        {contract.FeedListInput{}},
		contract.DriftList.Key:       {contract.DriftListInput{}},
		contract.TrustPolicySet.Key:  {contract.TrustPolicySetInput{Publisher: x.Publisher, AllOf: []string{x.KeyID}}, contract.TrustPolicySetInput{Publisher: x.Publisher, Remove: true}},
		contract.TrustRootImport.Key: {contract.TrustRootImportInput{Name: x.Root, Root: "none"}},
		contract.TrustRootUpdate.Key: {contract.TrustRootUpdateInput{Name: x.Root, URL: "https://127.0.0.1:1", TUFRoot: "none"}},
		contract.TrustRootRevoke.Key: {contract.TrustRootRevokeInput{Name: x.Root}},
		contract.SecretSet.Key:       {contract.SecretSetInput{Name: x.Secret, Value: "another value"}},
		contract.SecretRotate.Key:    {contract.SecretRotateInput{Name: x.Secret, Value: "another value"}},
		contract.SecretRemove.Key:    {contract.SecretRemoveInput{Name: x.Secret}, contract.SecretRemoveInput{Name: x.Secret}},
		contract.SecretList.Key:      {contract.SecretListInput{}},
		contract.TokenCreate.Key: {
			contract.TokenCreateInput{PrincipalID: x.Principal}, contract.TokenCreateInput{PrincipalID: x.Principal, Kind: writ.Human},
		},
		contract.TokenRotate.Key: {contract.TokenRotateInput{TokenID: x.Token}},
		contract.TokenRevoke.Key: {contract.TokenRevokeInput{TokenID: x.Token}},
		contract.TokenList.Key:   {contract.TokenListInput{IncludeRevoked: true}, contract.TokenListInput{PrincipalID: x.Principal}},
		contract.SessionEnd.Key:  {contract.SessionEndInput{}},
		contract.GrantCreate.Key: {
			contract.GrantCreateInput{PrincipalID: x.Principal, Capability: writ.Capability{Tool: "*"}},
			contract.GrantCreateInput{PrincipalID: "human:other", Capability: writ.Capability{Tool: "*"}, Parent: x.Grant},
		},
		contract.GrantRevoke.Key: {contract.GrantRevokeInput{GrantID: x.Grant}},
		contract.GrantList.Key:   {contract.GrantListInput{}, contract.GrantListInput{PrincipalID: x.Principal}},
		contract.GrantWhy.Key:    {contract.GrantWhyInput{PrincipalID: x.Principal, Capability: writ.Capability{Tool: "log"}}},
		contract.GrantBreakGlass.Key: {contract.GrantBreakGlassInput{
			PrincipalID: x.Principal, Capability: writ.Capability{Tool: "*"}, For: abi.Duration(time.Minute), Reason: "r",
		}},
		contract.GrantReview.Key:       {contract.GrantReviewInput{GrantID: x.Glass, Note: "n"}},
		contract.ConfigAcknowledge.Key: {contract.ConfigAcknowledgeInput{Reason: "r"}},
		contract.SystemStatus.Key:      {contract.SystemStatusInput{}},
		// Refused before they look; who looks after the host sees names of tenants and of their makers.
		contract.TenantCreate.Key: {contract.TenantCreateInput{TenantID: "A", Operator: "x"}},
		contract.TenantList.Key:   {contract.TenantListInput{}},

		contract.HookList.Key:      {contract.HookListInput{}, contract.HookListInput{Name: x.Hook}},
		contract.HookTest.Key:      {contract.HookTestInput{Name: x.Hook}},
		contract.HookRedeliver.Key: {contract.HookRedeliverInput{Name: x.Hook, From: 1}},
		contract.HookDismiss.Key:   {contract.HookDismissInput{Name: x.Hook}},
	}
}

// mutes are what an answer may hold that is of the moment, or of the calls before.
var mutes = regexp.MustCompile(`\d{4}-\d\d-\d\dT[0-9:.]+Z|"(changedAt|startedAt)":"[^"]*"|"remaining":\[[^\]]*\]|urn:writ:request:[0-9a-f]+|(exe|int|pln|rep)_[a-z2-7]{26}`)

// answered is what a caller sees of a call.
func answered(t *testing.T, caller contract.Caller, key string, in any) string {
	t.Helper()
	raw, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	out, err := caller.Call(t.Context(), key, raw)
	if err == nil {
		return string(out)
	}
	var e *writ.Error
	if !errors.As(err, &e) {
		t.Fatalf("%s: %v", key, err)
	}
	details, err := json.Marshal(e.Details)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%s|%s|%s|%s|%s|%s", e.Code, e.Op, e.Message, e.Fix, e.Place, details)
}

// plain leaves of an answer what does not depend on which ids were asked for.
func plain(answer string, x *things) string {
	for i, id := range x.all() {
		answer = strings.ReplaceAll(answer, id, fmt.Sprintf("<%d>", i))
	}
	return mutes.ReplaceAllString(answer, "<>")
}

func TestTenantsSeeNothingOfEachOther(t *testing.T) {
	if len(trespasses(&things{})) != len(contract.All()) {
		for _, c := range contract.All() {
			if trespasses(&things{})[c.Key] == nil {
				t.Errorf("%s is not tried against another tenant", c.Key)
			}
		}
	}
	for name, owner := range map[string]writ.TenantID{"acme from default": "acme", "default from acme": writ.DefaultTenant} {
		t.Run(name, func(t *testing.T) { testTwoTenants(t, owner) })
	}
}

func testTwoTenants(t *testing.T, owner writ.TenantID) {
	h := homeOf(t, &config{Hooks: []hookSetting{tenantsHook(writ.DefaultTenant), tenantsHook("acme")}})
	r := &rehearsal{home: h, work: &work{}}
	r.prepare(t)
	tokens := map[writ.TenantID]string{}
	made, err := h.identity.TenantCreate(writ.WithPrincipal(t.Context(), r.author), &contract.TenantCreateInput{TenantID: "acme", Operator: "other"})
	if err != nil {
		t.Fatal(err)
	}
	tokens["acme"] = made.Token
	admin, err := h.identity.TokenCreate(writ.WithPrincipal(t.Context(), r.author), &contract.TokenCreateInput{PrincipalID: r.author.ID})
	if err != nil {
		t.Fatal(err)
	}
	tokens[writ.DefaultTenant] = admin.Token
	for tenant, token := range tokens {
		if p, err := h.identity.Token(t.Context(), token); err != nil || p.Tenant != tenant || strings.Contains(token, "acme") != (tenant == "acme") {
			t.Fatalf("the token of %s is of %+v, %v", tenant, p, err)
		}
	}
	stranger := writ.TenantID("acme")
	if owner == "acme" {
		stranger = writ.DefaultTenant
	}
	mine, err := h.identity.Token(t.Context(), tokens[owner])
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := h.identity.Token(t.Context(), tokens[stranger])
	if err != nil {
		t.Fatal(err)
	}
	real := populate(t, h, mine)
	false_ := real.forged()
	before := inventory(t, &direct{home: h, principal: mine}, real)

	server := httptest.NewServer(api.NewServer(api.Options{Caller: h.dispatcher, Auth: h.identity, Traces: h.journal, Hooks: h.hooks.Meters}))
	defer server.Close()
	client, err := api.NewClient(api.ClientOptions{URL: server.URL, Token: tokens[stranger]})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for door, caller := range map[string]contract.Caller{"dispatcher": &direct{home: h, principal: theirs}, "HTTP": client} {
		for _, c := range contract.All() {
			genuine, invented := trespasses(real)[c.Key], trespasses(false_)[c.Key]
			for i := range genuine {
				got, want := answered(t, caller, c.Key, genuine[i]), answered(t, caller, c.Key, invented[i])
				if plain(got, real) != plain(want, false_) {
					t.Errorf("%s, %s, call %d: what is another tenant's is not as what is nobody's:\n%s\n%s", door, c.Key, i, got, want)
				}
				asked, err := json.Marshal(genuine[i])
				if err != nil {
					t.Fatal(err)
				}
				for _, id := range real.all() {
					if strings.Contains(got, id) && !strings.Contains(string(asked), id) {
						t.Errorf("%s, %s, call %d: shows %s: %s", door, c.Key, i, id, got)
					}
				}
			}
		}
	}
	if after := inventory(t, &direct{home: h, principal: mine}, real); after != before {
		t.Errorf("a stranger changed what is there:\n%s\n%s", before, after)
	}
	readsNothing(t, client, server.URL, tokens[stranger], real)
}

// populate fills a tenant with one of everything that has an id.
func populate(t *testing.T, h *home, admin *writ.Principal) *things {
	t.Helper()
	ctx := writ.WithPrincipal(t.Context(), admin)
	x := &things{Skill: "compat/send", Publisher: "compat", Secret: "api-credential", Feed: "advisories", Root: "cafe-sigstore", Principal: "agent:filer", Workspace: "depot"}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	action := []abi.Action{{
		Name: "run", Description: "runs", Input: json.RawMessage(`{"type":"object"}`), Output: json.RawMessage(`{"type":"object"}`), Effects: []writ.Effect{abi.EffectWriteExternal},
	}}
	refs, err := h.registry.Rehearse(ctx, registry.Rehearsal{By: admin, Entropy: entropy, Drafts: []registry.Draft{{
		Module: wasmtest.ToolCaller(abi.ToolHTTPRequest), Manifest: &abi.Manifest{
			APIVersion: abi.ManifestVersion, Name: string(x.Skill), Version: "1.0.0", Description: "sends", ABI: abi.V1, Actions: action,
			Capabilities: []writ.Capability{{Tool: abi.ToolHTTPRequest, Hosts: []string{"api.example.com"}, Methods: []string{"POST"}, Paths: []string{"/items"}}},
		},
	}}})
	check(err)
	x.Artifact = refs[0].Digest
	trusted, err := h.registry.TrustList(ctx, &contract.TrustListInput{})
	check(err)
	x.KeyID = trusted.Items[0].KeyID
	token, err := h.identity.TokenCreate(ctx, &contract.TokenCreateInput{PrincipalID: x.Principal, Kind: writ.Agent, WorkspaceID: x.Workspace})
	check(err)
	x.Token = token.TokenID
	grant, err := h.identity.GrantCreate(ctx, &contract.GrantCreateInput{PrincipalID: x.Principal, Capability: writ.Capability{Tool: "*"}, MaxRisk: writ.RiskHigh})
	check(err)
	x.Grant = grant.GrantID
	_, err = h.secrets.SecretSet(ctx, &contract.SecretSetInput{Name: x.Secret, Value: "value of the secret"})
	check(err)
	follow(t, h, ctx, x.Feed)
	_, err = h.registry.TrustRootImport(ctx, &contract.TrustRootImportInput{Name: x.Root, Root: string(keylesstest.New(t, time.Now()).Root(keylesstest.Trusted{}))})
	check(err)
	deny := contract.TrustDenyInput{Reason: "r"}
	deny.Skill = string(x.Skill) + " <0.5.0"
	_, err = h.registry.TrustDeny(ctx, &deny)
	check(err)

	agent, err := h.identity.Token(ctx, token.Token)
	check(err)
	asAgent := writ.WithPrincipal(t.Context(), agent)
	draft := "apiVersion: writ/v1\nkind: Plan\nsteps:\n  - name: send\n    uses: compat/send#run\n    with: {method: POST, url: \"https://api.example.com/items\", body: x}\n"
	submit := func(text string) *contract.IntentSubmitOutput {
		out, err := h.engine.IntentSubmit(asAgent, &contract.IntentSubmitInput{Text: text, Draft: draft, WorkspaceID: x.Workspace})
		check(err)
		compiled, err := h.engine.PlanCompile(asAgent, &contract.PlanCompileInput{ExecutionID: out.ExecutionID})
		check(err)
		x.Plan = compiled.PlanID
		_, err = h.engine.ExecutionStart(asAgent, &contract.ExecutionStartInput{ExecutionID: out.ExecutionID, Wait: true})
		check(err)
		return out
	}
	ended := submit("to be ended")
	x.Execution, x.Intent = ended.ExecutionID, ended.IntentID
	_, err = h.engine.ExecutionCancel(asAgent, &contract.ExecutionCancelInput{ExecutionID: x.Execution})
	check(err)
	x.Waiting = submit("to wait").ExecutionID
	waits, err := h.engine.ApprovalList(ctx, &contract.ApprovalListInput{ExecutionID: x.Waiting})
	check(err)
	if len(waits.Items) != 1 {
		t.Fatalf("%d approvals", len(waits.Items))
	}
	x.Step, x.Digest = waits.Items[0].StepID, waits.Items[0].Digest
	h.entrust(t, ctx, x)
	return x
}

// entrust is populate for what people give each other for a time, and take away.
func (h *home) entrust(t *testing.T, ctx context.Context, x *things) {
	t.Helper()
	by, err := writ.PrincipalFrom(ctx)
	if err != nil {
		t.Fatal(err)
	}
	x.Deputy, x.Channel, x.Hook = "human:deputy", "mail:desk", tenantsHook(by.Tenant).Name
	_, err = h.identity.TokenCreate(ctx, &contract.TokenCreateInput{PrincipalID: x.Deputy, Kind: writ.Human})
	if err != nil {
		t.Fatal(err)
	}
	absence, err := h.identity.ApprovalDelegate(ctx, &contract.ApprovalDelegateInput{To: x.Deputy, Until: canon.TimeOf(time.Now().Add(time.Hour)), Reason: "away"})
	if err != nil {
		t.Fatal(err)
	}
	x.Delegation = absence.Delegation.DelegationID
	glass, err := h.identity.GrantBreakGlass(ctx, &contract.GrantBreakGlassInput{
		PrincipalID: x.Principal, Capability: writ.Capability{Tool: "*"}, For: abi.Duration(time.Hour), Reason: "down",
	})
	if err != nil {
		t.Fatal(err)
	}
	x.Glass = glass.GrantID
	if _, err := h.freezes.Freeze(ctx, &contract.FreezeInput{FreezeSubject: contract.FreezeSubject{ChannelKey: x.Channel}, Reason: "odd mails"}); err != nil {
		t.Fatal(err)
	}
	x.Door = writ.ChannelName("github/door-" + string(by.Tenant))
	if _, err := h.channels.Add(ctx, &contract.ChannelAddInput{Channel: contract.Channel{
		Name: x.Door, Secrets: []string{x.Secret}, Members: []contract.ChannelMember{{Sender: "*", PrincipalID: x.Principal}},
	}}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.budgets.BudgetSet(ctx, &contract.BudgetSetInput{BudgetSubject: budgetOf(x), Count: 100, Reason: "enough"}); err != nil {
		t.Fatal(err)
	}
}

func budgetOf(x *things) contract.BudgetSubject {
	return contract.BudgetSubject{Skill: string(x.Skill), Kind: writ.BudgetCalls, Span: writ.SpanDay}
}

// tenantsHook is the hook of a tenant.
func tenantsHook(tenant writ.TenantID) hookSetting {
	return hookSetting{Hook: hook.Hook{
		Name: "pager-of-" + string(tenant), Tenant: tenant, URL: "https://127.0.0.1:1", Events: []string{contract.EventApprovalRequested}, Secret: "hook-key",
	}}
}

func follow(t *testing.T, h *home, ctx context.Context, name string) {
	t.Helper()
	repository, err := feedtest.New(time.Now, 1)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(repository)
	t.Cleanup(server.Close)
	if err := repository.Publish(feedtest.Edition{List: `{"apiVersion": "writ/v1", "kind": "Revocations"}`}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.registry.FeedAdd(ctx, &contract.FeedAddInput{Name: name, URL: server.URL, Root: repository.Root()}); err != nil {
		t.Fatal(err)
	}
}

// inventory is what the owner sees of its own.
func inventory(t *testing.T, caller contract.Caller, x *things) string {
	t.Helper()
	var out strings.Builder
	for _, q := range []struct {
		key string
		in  any
	}{
		{contract.ExecutionGet.Key, contract.ExecutionGetInput{ExecutionID: x.Execution}},
		{contract.ExecutionGet.Key, contract.ExecutionGetInput{ExecutionID: x.Waiting}},
		{contract.ExecutionList.Key, contract.ExecutionListInput{}},
		{contract.ApprovalList.Key, contract.ApprovalListInput{}},
		{contract.TraceGet.Key, contract.TraceGetInput{ExecutionID: x.Waiting}},
		{contract.SkillList.Key, contract.SkillListInput{IncludeDisabled: true}},
		{contract.TrustList.Key, contract.TrustListInput{}},
		{contract.FeedList.Key, contract.FeedListInput{}},
		{contract.SecretList.Key, contract.SecretListInput{}},
		{contract.TokenList.Key, contract.TokenListInput{IncludeRevoked: true}},
		{contract.GrantList.Key, contract.GrantListInput{}},
		{contract.PolicyList.Key, contract.PolicyListInput{}},
		{contract.ApprovalDelegations.Key, contract.ApprovalDelegationsInput{IncludePast: true}},
		{contract.FreezeList.Key, contract.FreezeListInput{}},
		{contract.HookList.Key, contract.HookListInput{}},
		{contract.BudgetList.Key, contract.BudgetListInput{}},
		{contract.ChannelList.Key, contract.ChannelListInput{}},
	} {
		answer := answered(t, caller, q.key, q.in)
		if !strings.HasPrefix(answer, "{") {
			t.Fatalf("%s: %s", q.key, answer)
		}
		var members map[string]json.RawMessage
		if err := json.Unmarshal([]byte(answer), &members); err != nil {
			t.Fatal(err)
		}
		delete(members, "changedAt") // the moment of a list
		out.Write(mustJSON(members))
		out.WriteByte('\n')
	}
	for _, id := range x.all() {
		if !strings.Contains(out.String(), id) && id != string(x.Intent) {
			t.Errorf("the owner does not see %s: the test would not either", id)
		}
	}
	return out.String()
}

// acme makes a tenant of this name and gives its first person.
func (h *home) acme(t *testing.T, ctx context.Context) *writ.Principal {
	t.Helper()
	made, err := h.identity.TenantCreate(ctx, &contract.TenantCreateInput{TenantID: "acme", Operator: "other"})
	if err != nil {
		t.Fatal(err)
	}
	other, err := h.identity.Token(ctx, made.Token)
	if err != nil {
		t.Fatal(err)
	}
	return other
}

// A freeze of everything counts in a tenant that was made after the start, from its
// record in that tenant's journal on.
func TestAFreezeOfEverythingIsInEveryJournal(t *testing.T) {
	h := testHome(t, nil)
	r := &rehearsal{home: h, work: &work{}}
	r.prepare(t)
	ctx := writ.WithPrincipal(t.Context(), r.author)
	other := h.acme(t, ctx)
	submit := func() error {
		_, err := h.engine.IntentSubmit(writ.WithPrincipal(ctx, other), &contract.IntentSubmitInput{Text: "t"})
		return err
	}
	before, err := h.journal.Epoch(ctx, "acme")
	if err != nil {
		t.Fatal(err)
	}
	everything := contract.FreezeSubject{All: true}
	if _, err := h.freezes.Freeze(ctx, &contract.FreezeInput{FreezeSubject: everything, Reason: "harm"}); err != nil {
		t.Fatal(err)
	}
	if after, err := h.journal.Epoch(ctx, "acme"); err != nil || after != before+1 {
		t.Errorf("the epoch of acme is %d, was %d: %v", after, before, err)
	}
	if err := submit(); !writ.IsCode(err, writ.CodeFrozen) {
		t.Errorf("acme submits: %v", err)
	}
	if _, err := h.freezes.Unfreeze(writ.WithPrincipal(ctx, other), &contract.UnfreezeInput{FreezeSubject: everything, Reason: "mine"}); !writ.IsCode(err, writ.CodeForbidden) {
		t.Errorf("acme unfreezes everybody: %v", err)
	}
	if _, err := h.freezes.Unfreeze(ctx, &contract.UnfreezeInput{FreezeSubject: everything, Reason: "over"}); err != nil {
		t.Fatal(err)
	}
	if after, err := h.journal.Epoch(ctx, "acme"); err != nil || after != before+2 || submit() != nil {
		t.Errorf("the epoch of acme is %d, was %d: %v, %v", after, before, err, submit())
	}
}

// A policy that is activated counts in every tenant from its record there on.
func TestAnActivationIsInEveryJournal(t *testing.T) {
	h := testHome(t, nil)
	r := &rehearsal{home: h, work: &work{}}
	r.prepare(t)
	ctx := writ.WithPrincipal(t.Context(), r.author)
	made, err := h.identity.TenantCreate(ctx, &contract.TenantCreateInput{TenantID: "acme", Operator: "other"})
	if err != nil {
		t.Fatal(err)
	}
	before, err := h.journal.Epoch(ctx, "acme")
	if err != nil {
		t.Fatal(err)
	}
	active := h.policies.Active().Policy().Digest
	if _, err := h.activatePolicy(ctx, &contract.PolicyActivateInput{Digest: active, Reason: "theirs is not told"}); err != nil {
		t.Fatal(err)
	}
	if after, err := h.journal.Epoch(ctx, "acme"); err != nil || after != before+1 {
		t.Errorf("the epoch of acme is %d, was %d: %v", after, before, err)
	}
	records, err := h.journal.Records(ctx, writ.RecordQuery{Tenant: "acme", Stream: writ.SystemStream})
	if err != nil {
		t.Fatal(err)
	}
	last := records[len(records)-1].Record
	if f := last.Body.System; last.Type != writ.RecPolicyActivated || f.Digest != active || f.Reason != "" || last.Actor.ActorID != "service:host" {
		t.Errorf("got %+v %+v", last, f)
	}
	// So does one that is gone back from, which leaves nothing in its layer.
	if _, err := h.activatePolicy(ctx, &contract.PolicyActivateInput{Digest: active, Layer: writ.LayerTenant}); err != nil {
		t.Fatal(err)
	}
	out, err := h.rollBackPolicy(ctx, &contract.PolicyRollbackInput{Layer: writ.LayerTenant, Reason: "nor is this"})
	if err != nil {
		t.Fatal(err)
	}
	if after, err := h.journal.Epoch(ctx, "acme"); err != nil || after != before+3 {
		t.Errorf("the epoch of acme is %d, was %d: %v", after, before, err)
	}
	if records, err = h.journal.Records(ctx, writ.RecordQuery{Tenant: "acme", Stream: writ.SystemStream}); err != nil {
		t.Fatal(err)
	}
	f := records[len(records)-1].Body.System
	if f.Status != writ.PolicyRolledBack || f.Digest != out.InForce || f.Details["layer"] != "tenant" || f.Details["inForce"] != string(out.InForce) || f.Reason != "" {
		t.Errorf("got %+v", f)
	}
	other, err := h.identity.Token(ctx, made.Token)
	if err != nil {
		t.Fatal(err)
	}
	asOther := writ.WithPrincipal(ctx, other)
	for name, try := range map[string]func() error{
		"activates": func() error {
			_, err := h.activatePolicy(asOther, &contract.PolicyActivateInput{Digest: active})
			return err
		},
		"rolls back": func() error {
			_, err := h.rollBackPolicy(asOther, &contract.PolicyRollbackInput{Reason: "r"})
			return err
		},
		"asks for the impact": func() error {
			_, err := h.policyImpact(asOther, &contract.PolicyImpactInput{Digest: active})
			return err
		},
		"acknowledges the configuration": func() error {
			_, err := h.baseline.Acknowledge(asOther, &contract.ConfigAcknowledgeInput{Reason: "r"})
			return err
		},
	} {
		if err := try(); !writ.IsCode(err, writ.CodeForbidden) {
			t.Errorf("an admin of acme %s: %v", name, err)
		}
	}
}

// What was under way in any tenant is taken up by the next start.
func TestEveryTenantIsTakenUp(t *testing.T) {
	h := testHome(t, nil)
	r := &rehearsal{home: h, work: &work{}}
	r.prepare(t)
	if _, err := h.identity.TenantCreate(writ.WithPrincipal(t.Context(), r.author), &contract.TenantCreateInput{TenantID: "acme", Operator: "other"}); err != nil {
		t.Fatal(err)
	}
	if err := h.wireIdentity(t.Context(), &homeKeys{}); err != nil || !slices.Equal(h.engineOptions(nil).Tenants, []writ.TenantID{writ.DefaultTenant, "acme"}) {
		t.Errorf("got %v, %v", h.tenants, err)
	}
}

// readsNothing looks at what is pushed, and at the numbers.
func readsNothing(t *testing.T, client *api.Client, base, token string, x *things) {
	t.Helper()
	out, err := contract.Invoke(t.Context(), client, contract.IntentSubmit, &contract.IntentSubmitInput{Text: "the last one"})
	if err != nil {
		t.Fatal(err)
	}
	enough, seen := errors.New("enough"), 0
	err = client.Follow(t.Context(), api.FollowRequest{}, func(_ writ.Position, e *writ.Event) error {
		seen++
		for _, id := range x.all() {
			if strings.Contains(string(mustJSON(e)), id) && !slices.Contains([]string{string(x.Skill), x.Publisher, x.Feed, x.Secret, x.Root}, id) {
				t.Errorf("an event of another tenant arrived: %s", mustJSON(e))
			}
		}
		if e.Subject == string(out.ExecutionID) {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || seen == 0 {
		t.Errorf("the stream ended after %d events: %v", seen, err)
	}
	for _, path := range []string{"/v1/events?executionId=" + string(x.Waiting), "/metrics"} {
		ctx, cancel := context.WithCancel(t.Context())
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if path == "/metrics" {
			raw, err := io.ReadAll(resp.Body)
			if err != nil || resp.StatusCode != http.StatusOK || len(raw) == 0 {
				t.Errorf("%s: %d, %v", path, resp.StatusCode, err)
			}
			for _, id := range append(x.all(), "acme", "tenant=") {
				if strings.Contains(string(raw), id) {
					t.Errorf("%s shows %s", path, id)
				}
			}
		}
		cancel()
		_ = resp.Body.Close() // the stream has no end to read to
	}
}
