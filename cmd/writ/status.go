package main

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/contract"
	"github.com/writ-run/writ/engine"
	"github.com/writ-run/writ/host"
	"github.com/writ-run/writ/host/toolbox"
)

// systemStatus is the handler of contract.SystemStatus: what the whole house
// says of itself.
func (h *home) systemStatus(ctx context.Context, _ *contract.SystemStatusInput) (*contract.SystemStatusOutput, error) {
	p, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, err
	}
	policy := h.policies.Active().Policy()
	out := &contract.SystemStatusOutput{
		Version: writ.Version, ABIVersion: abi.ABIVersion, ContractsVersion: abi.ContractsVersion, Engine: h.engineID(),
		PolicyDigest: policy.Digest, PolicyVersion: policy.Version, Executions: map[string]int{}, StartedAt: h.started,
		Caller: p.ID,
	}
	skills, err := h.registry.List(ctx, &contract.SkillListInput{Page: contract.Page{Limit: 500}})
	if err != nil {
		return nil, err
	}
	out.Skills = len(skills.Items)
	frozen, err := h.freezes.FreezeList(ctx, &contract.FreezeListInput{})
	if err != nil {
		return nil, err
	}
	out.Frozen = frozen.Items
	for _, status := range []writ.ExecutionStatus{writ.ExecRunning, writ.ExecAwaitingApproval, writ.ExecIndeterminate} {
		page, err := h.journal.Executions(ctx, writ.ExecutionQuery{Tenant: p.Tenant, Status: status, Limit: 500})
		if err != nil {
			return nil, err
		}
		out.Executions[string(status)] = len(page.Items)
	}
	out.PendingApprovals = out.Executions[string(writ.ExecAwaitingApproval)]
	if out.BreakGlass, err = h.identity.Emergencies(ctx, p.Tenant); err != nil {
		return nil, err
	}
	return out, h.check(ctx, p.Tenant, skills, out)
}

// check looks at everything that may be wrong, and sums it up.
func (h *home) check(ctx context.Context, tenant writ.TenantID, skills *contract.SkillListOutput, out *contract.SystemStatusOutput) error {
	hooks, err := h.hooks.Checks(ctx, tenant)
	if err != nil {
		return err
	}
	serious, err := h.drift.Serious(ctx, tenant)
	if err != nil {
		return err
	}
	out.Checks = slices.Concat(h.checks(skills), reviews(out.BreakGlass), hooks, held(out.Frozen))
	for _, code := range slices.Sorted(maps.Keys(serious)) {
		out.Checks = append(out.Checks, contract.SystemCheck{
			Name: "drift " + string(code), Message: strconv.Itoa(serious[code]) + " found at the last look", Fix: "see `writ drift list`",
		})
	}
	out.Status = statusOK
	if slices.ContainsFunc(out.Checks, func(c contract.SystemCheck) bool { return !c.OK }) {
		out.Status = statusDegraded
	}
	return nil
}

// Statuses of a host: degraded where a check fails.
const (
	statusOK       = "ok"
	statusDegraded = "degraded"
)

// journalCheck says how the journal is; the error would name a directory.
func journalCheck(err error) contract.SystemCheck {
	if err != nil {
		return contract.SystemCheck{
			Name: "journal", Message: "it takes no new work: the disk is almost full, or a commit has failed",
			Fix: "make room on the disk; where a commit has failed, start the daemon again",
		}
	}
	return contract.SystemCheck{Name: "journal", OK: true, Message: "open"}
}

// held are freezes that stop a whole tenant: what is narrower is work as usual.
func held(frozen []contract.Frozen) []contract.SystemCheck {
	var checks []contract.SystemCheck
	for i := range frozen {
		if f := &frozen[i]; f.Scope == writ.FreezeAll || f.Scope == writ.FreezeTenant {
			checks = append(checks, contract.SystemCheck{
				Name: "frozen " + string(f.Scope), Message: whatIsFrozen(f) + " is " + (*writ.Freeze)(f).Said(), Fix: "see `writ freeze list`",
			})
		}
	}
	return checks
}

func (h *home) checks(skills *contract.SkillListOutput) []contract.SystemCheck {
	checks := []contract.SystemCheck{journalCheck(h.journal.Accepting())}
	for i := range skills.Items {
		s := &skills.Items[i]
		if s.Status == writ.SkillEnabled && !s.Verified {
			checks = append(checks, contract.SystemCheck{
				Name: "skill " + string(s.SkillKey) + "@" + s.Version, Message: "is no longer what was signed, or its key is revoked",
				Fix: "see `writ drift list`, then install it again or uninstall it",
			})
		}
	}
	if info, err := os.Stat(filepath.Join(h.config.Home, "keys")); err == nil && info.Mode().Perm()&0o077 != 0 {
		checks = append(checks, contract.SystemCheck{Name: "keys", Message: "others may read them", Fix: "chmod 700 the keys directory of the home"})
	}
	return checks
}

// reviews are what people owe: an emergency is not over before another has looked.
func reviews(open []contract.BreakGlass) []contract.SystemCheck {
	var checks []contract.SystemCheck
	for i := range open {
		if g := &open[i]; g.Status == contract.GlassOverdue {
			checks = append(checks, contract.SystemCheck{
				Name: "break-glass " + g.GrantID, Message: "nobody has reviewed it in time",
				Fix: "have another person say `writ grant review " + g.GrantID + " --note ...`",
			})
		}
	}
	return checks
}

func (h *home) engineID() string {
	if h.config.Sandbox == "extism" {
		return host.ExtismEngineID()
	}
	return host.EngineID()
}

// maxCall bounds the input of an operation. Evidence is the largest: it carries
// the modules of the skills, a few MiB each from Go, in base64 twice.
const maxCall = 64 << 20

func (h *home) wireEngine(tools *toolbox.Toolbox) error {
	var err error
	if h.engine, err = engine.New(h.engineOptions(tools)); err != nil {
		return err
	}
	h.dispatcher = contract.NewDispatcher(contract.DispatcherOptions{Clock: h.clock, MaxInput: maxCall})
	return nil
}

func (h *home) engineOptions(tools writ.Toolbox) engine.Options {
	return engine.Options{
		Journal: h.journal, Traces: h.journal, Planner: h.planner, Judges: h.policies, Skills: h.skills(),
		Sandbox: h.sandbox, Toolbox: tools, Approvals: h.identity, Grants: h.identity, Delegations: h.identity, Freezes: h.freezes, Budgets: h.budgets, Clock: h.clock, Entropy: entropy, Tenants: h.tenants,
		Observe: h.observe,
		Labels:  h.config.Labels, EngineID: h.engineID(), Logger: h.log.Named("engine"),
	}
}

// systemStatusOf asks whoever serves the home.
func (a *app) systemStatusOf(ctx context.Context) (*contract.SystemStatusOutput, error) {
	return call(ctx, a, contract.SystemStatus, &contract.SystemStatusInput{})
}

// whoami is the caller's principal as the host knows it.
func (a *app) whoami() (writ.PrincipalID, error) {
	status, err := a.systemStatusOf(context.Background())
	if err != nil {
		return "", err
	}
	return status.Caller, nil
}
