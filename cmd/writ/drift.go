package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

func (a *app) driftCommand() *cobra.Command {
	in := &contract.DriftListInput{}
	list := &cobra.Command{
		Use: "list", Short: "List what is no longer as it was approved", Args: cobra.NoArgs,
		Example: "  writ drift list                     exit 3 where there is something\n  writ drift list --code SKILL_REVOKED",
		RunE: func(cmd *cobra.Command, _ []string) error {
			out, err := call(cmd.Context(), a, contract.DriftList, in)
			if err != nil {
				return err
			}
			err = a.print(out, func(t *table) {
				if len(out.Items) == 0 {
					t.line("nothing has drifted")
					return
				}
				for i := range out.Items {
					f := &out.Items[i]
					t.row(string(f.Code), f.Subject, "since "+f.Since.String())
					t.flush()
					t.line("  %s", clean(f.Message))
					t.line("  fix: %s", clean(f.Fix))
				}
			})
			if err == nil && len(out.Items) > 0 {
				return exitError(exitDenied)
			}
			return err
		},
	}
	list.Flags().StringVar((*string)(&in.Code), "code", "", "only findings of this code, such as FEED_STALE")
	return group("drift", "See what is no longer as it was approved", list)
}

// driftEvery is how often the daemon looks for drift: a look reads
// each skill that is not in memory.
const driftEvery = 10 * time.Minute

// itself is the host where nobody asked: its background work.
func itself(tenant writ.TenantID) *writ.Principal {
	return &writ.Principal{
		ID: writ.HostPrincipal, Kind: writ.Service, Name: "the host itself", Tenant: tenant, Workspace: writ.DefaultWorkspace,
		Roles: []string{contract.RoleSystem}, Capabilities: []string{contract.CapSkillRegistry, contract.CapAudit}, Source: "host",
	}
}

// watchTrust reads the feeds and looks for drift, in every tenant, until ctx ends.
func (h *home) watchTrust(ctx context.Context) {
	feeds, looks := time.NewTicker(h.config.FeedEvery), time.NewTicker(driftEvery)
	defer feeds.Stop()
	defer looks.Stop()
	h.inEveryTenant(ctx, h.readFeeds)
	for {
		h.inEveryTenant(ctx, h.lookForDrift)
		select {
		case <-ctx.Done():
			return
		case <-feeds.C:
			h.inEveryTenant(ctx, h.readFeeds)
		case <-looks.C:
			h.inEveryTenant(ctx, h.deriveASample)
		}
	}
}

func (h *home) inEveryTenant(ctx context.Context, do func(context.Context)) {
	tenants, err := h.identity.Tenants(ctx)
	if err != nil && ctx.Err() == nil {
		h.log.Error("the tenants could not be listed", "code", writ.CodeOf(err))
	}
	for _, tenant := range tenants {
		do(writ.WithPrincipal(ctx, itself(tenant)))
	}
}

func (h *home) readFeeds(ctx context.Context) {
	out, err := h.registry.FeedUpdate(ctx, &contract.FeedUpdateInput{})
	switch {
	case ctx.Err() != nil:
	case err != nil:
		h.log.Error("feeds could not be read", "code", writ.CodeOf(err))
	default:
		for _, f := range out.Items {
			if f.Failure != nil {
				h.log.Warn("a feed of revocations could not be read", "feed", f.Name, "code", f.Failure.Code, "stale", f.Stale)
			}
		}
	}
}

// deriveASample is not for the first look: a daemon starts to serve.
func (h *home) deriveASample(ctx context.Context) {
	host, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return
	}
	if err := h.sampler.Round(ctx, host.Tenant); err != nil && ctx.Err() == nil {
		h.log.Error("a sample of executions could not be derived again", "tenant", host.Tenant, "code", writ.CodeOf(err))
	}
}

func (h *home) lookForDrift(ctx context.Context) {
	host, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return
	}
	fresh, err := h.drift.Check(ctx, host)
	if err != nil && ctx.Err() == nil {
		h.log.Error("drift could not be looked for", "tenant", host.Tenant, "code", writ.CodeOf(err))
	}
	for _, f := range fresh {
		h.log.Warn("drift", "tenant", host.Tenant, "code", f.Code, "subject", f.Subject)
	}
}
