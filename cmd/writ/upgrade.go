package main

import (
	"context"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
	"github.com/writ-run/writ/engine"
	"github.com/writ-run/writ/registry"
)

// installAccepted installs. An upgrade of an enabled skill that reaches further,
// does worse, or would have come to something else has to be accepted: what is to
// be accepted is in Details of the refusal, and in the answer of the install.
func (h *home) installAccepted(ctx context.Context, in *contract.SkillInstallInput) (*contract.SkillInstallOutput, error) {
	by, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, err
	}
	preview, err := h.registry.Preview(ctx, by, in)
	if err != nil {
		return nil, err
	}
	if !preview.Upgrade {
		return h.registry.Install(ctx, in) // a refusal is recorded there
	}
	upgrade, err := h.upgrade(ctx, by, preview, in.SkipImpact)
	if err != nil {
		return nil, err
	}
	if len(upgrade.Asks) > 0 && !in.AcceptChanges {
		return nil, &writ.Error{
			Code: writ.CodeSkillRefused, Op: "skill " + preview.Skill.String() + ": install", Details: upgrade,
			Message: "it is an upgrade of " + upgrade.From + " that somebody must accept",
			Fix:     "look at what changes, then install it with --accept-changes",
		}
	}
	pinned := *in // what was looked at is what is installed
	pinned.ArtifactDigest = preview.Report.Ref.Digest
	out, err := h.registry.Install(ctx, &pinned)
	if err == nil {
		out.Upgrade = upgrade
	}
	return out, err
}

func (h *home) upgrade(ctx context.Context, by *writ.Principal, preview *registry.Preview, skipImpact bool) (*contract.SkillUpgrade, error) {
	if skipImpact {
		return contract.NewSkillUpgrade(&preview.Before.Release, &preview.Skill.Release, nil), nil
	}
	query := engine.ImpactQuery{InUse: candidate(preview.Before)}
	impact, _, err := h.impact(ctx, by, preview, query)
	if err != nil {
		return nil, err
	}
	return contract.NewSkillUpgrade(&preview.Before.Release, &preview.Skill.Release, impact), nil
}

// impact shows values of traces to those alone who may replay them. The module is
// compiled before the time of the page begins; what cannot be compiled is a
// difference of every execution.
func (h *home) impact(ctx context.Context, by *writ.Principal, preview *registry.Preview, query engine.ImpactQuery) (*contract.StoredImpact, string, error) {
	query.Tenant = by.Tenant
	if err := h.prepare(ctx, preview.Skill); err != nil && !writ.IsCode(err, writ.CodeInvalid) {
		return nil, "", err
	}
	impact, next, err := h.engine.Impact(ctx, candidate(preview.Skill), query)
	if err == nil && contract.ReplayRun.Permits(by) != nil {
		impact.WithoutValues()
	}
	return impact, next, err
}

func candidate(skill *writ.Skill) *engine.Candidate {
	return &engine.Candidate{Skill: skill, Accepts: func(text string) bool { return registry.Accepts(&skill.SkillRef, text) }}
}

// skillImpact is the handler of contract.SkillImpact.
func (h *home) skillImpact(ctx context.Context, in *contract.SkillImpactInput) (*contract.SkillImpactOutput, error) {
	by, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, err
	}
	preview, err := h.registry.Preview(ctx, by, &contract.SkillInstallInput{Source: in.Source, Bundle: in.Bundle})
	if err != nil {
		return nil, err
	}
	out := &contract.SkillImpactOutput{SkillReport: preview.Contract(), Changes: preview.Changes()}
	if preview.Before != nil {
		out.From = preview.Before.Version
	}
	if preview.Skill == nil {
		out.Status = "refused"
		return out, nil
	}
	out.Impact, out.NextCursor, err = h.impact(ctx, by, preview, engine.ImpactQuery{
		Since: in.Since, Limit: in.Limit, Budget: time.Duration(in.BudgetMS) * time.Millisecond, Cursor: in.Cursor,
	})
	if err != nil {
		return nil, err
	}
	if out.Status = "same"; out.Impact.Differing > 0 {
		out.Status = "differs"
	}
	return out, nil
}

// policyImpact is the handler of contract.PolicyImpact.
func (h *home) policyImpact(ctx context.Context, in *contract.PolicyImpactInput) (*contract.PolicyImpactOutput, error) {
	by, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, err
	}
	judge, out, err := h.policies.Consider(ctx, in)
	if err != nil {
		return nil, err
	}
	impact, next, err := h.engine.PolicyImpact(ctx, judge, engine.ImpactQuery{
		Tenant: by.Tenant, Since: in.Since, Limit: in.Limit, Budget: time.Duration(in.BudgetMS) * time.Millisecond, Cursor: in.Cursor,
	})
	if err != nil {
		return nil, err
	}
	out.Impact, out.NextCursor = *impact, next
	out.Status = out.Impact.Word()
	return out, nil
}

// replayRun is the handler of contract.ReplayRun: with a skill it is a what-if.
func (h *home) replayRun(ctx context.Context, in *contract.ReplayRunInput) (*contract.ReplayRunOutput, error) {
	if in.SkillSource == "" && len(in.SkillBundle) == 0 {
		return h.engine.ReplayRun(ctx, in)
	}
	op := "replay " + string(in.ExecutionID)
	if in.PolicyDigest != "" {
		return nil, writ.Errorf(writ.CodeInvalid, op, "one what-if replaces one thing").WithFix("give a policy or a skill, and not both")
	}
	by, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, err
	}
	preview, err := h.registry.Preview(ctx, by, &contract.SkillInstallInput{Source: in.SkillSource, Bundle: in.SkillBundle})
	if err != nil {
		return nil, err
	}
	if preview.Skill == nil {
		return nil, &writ.Error{
			Code: writ.CodeSkillRefused, Op: op, Message: "the skill does not verify, and is not run", Details: preview.Report.Issues,
			Fix: "see what an install would refuse: writ skill verify FILE",
		}
	}
	x, err := h.engine.WhatIf(ctx, by.Tenant, in.ExecutionID, candidate(preview.Skill))
	if err != nil {
		return nil, err
	}
	if len(x.Versions) == 0 {
		return nil, writ.Errorf(writ.CodeInvalid, op, "no other version of %s ran in it", preview.Skill.Key).
			WithFix("writ exec get %s shows what ran", in.ExecutionID)
	}
	out := &contract.ReplayRunOutput{
		ExecutionID: in.ExecutionID, WhatIf: true, Engine: h.engine.EngineID, Report: engine.WhatIfStages(x),
	}
	out.Identical = len(out.Report) == 0
	if out.Status = "identical"; !out.Identical {
		out.Status = string(writ.CodeDiverged)
	}
	return out, nil
}
