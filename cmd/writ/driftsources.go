package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/mod/semver"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/contract"
	"github.com/writ-run/writ/drift"
	"github.com/writ-run/writ/shelf"
)

// wireDrift says who knows of drift. More kinds of findings are more sources.
func (h *home) wireDrift() error {
	running, err := h.config.running()
	if err != nil {
		return err
	}
	if h.baseline, err = drift.NewBaseline(h.journal, h.journal, h.clock, running); err != nil {
		return err
	}
	// The sampler asks what the service has said, and the service the sampler.
	h.sampler, err = drift.NewSampler(drift.SamplerOptions{
		Traces: h.journal, Replay: h.engine.ReplayRun, Clock: h.clock,
		Said: func(ctx context.Context, tenant writ.TenantID, code contract.DriftCode) ([]string, error) {
			return h.drift.Said(ctx, tenant, code)
		},
	})
	if err != nil {
		return err
	}
	h.drift, err = drift.New(drift.Options{
		Store: h.journal, Journal: h.journal, Clock: h.clock,
		Sources: []drift.Source{
			h.registry.SkillDrift, h.carriedDrift, h.registry.FeedDrift, h.identity.GrantDrift, h.policies.Drift(h.config.PolicyPin), h.baseline.Source,
			h.engine.ApprovalDrift, h.unsaidDrift, h.sampler.Source, h.hooks.Drift,
		},
	})
	return err
}

// withoutMeaning are settings of commands and of how a host talks: another value is no
// drift.
var withoutMeaning = map[string]bool{"server": true, "log.level": true, "log.format": true}

// running is what this host runs with: digests of settings that somebody made and that
// are not secret, and versions of contracts. A default is the binary's: with a new one
// come new contracts or a line in the changelog.
func (c *config) running() (*drift.Running, error) {
	out := &drift.Running{Settings: map[string]writ.Digest{}, Contracts: map[string]string{}}
	for _, s := range settings {
		if s.secret || withoutMeaning[s.key] || c.values == nil || c.origins[s.key] == "default" {
			continue
		}
		raw, err := canon.MarshalJSON(c.values.Get(strings.ReplaceAll(s.key, ".", keyDelimiter)))
		if err != nil {
			return nil, usage("%s: cannot be written as JSON", s.key).WithFix("write texts, numbers, lists and objects with texts as names")
		}
		out.Settings[s.key] = canon.SHA256(raw)
	}
	for _, one := range contract.All() {
		out.Contracts[one.Key] = one.Version
	}
	for _, event := range contract.Events() {
		out.Contracts[event.Key] = event.Version
	}
	return out, nil
}

// carriedDrift finds enabled skills of which this binary carries a newer version.
func (h *home) carriedDrift(ctx context.Context, tenant writ.TenantID) ([]contract.DriftFinding, error) {
	shelved, err := shelf.Open(carriedSkills)
	if err != nil || len(shelved.Entries()) == 0 {
		return nil, nil // a binary without skills, or a shelf that `skill list --available` complains of
	}
	newest := map[writ.SkillKey]string{}
	for _, e := range shelved.Entries() {
		if key := writ.SkillKey(e.Name); semver.Compare("v"+e.Version, "v"+newest[key]) > 0 || newest[key] == "" {
			newest[key] = e.Version
		}
	}
	enabled, err := h.registry.NewestEnabled(ctx, tenant)
	if err != nil {
		return nil, err
	}
	var out []contract.DriftFinding
	for key, version := range enabled {
		if have := newest[key]; have != "" && semver.Compare("v"+have, "v"+version) > 0 {
			out = append(out, contract.DriftFinding{
				Code: contract.DriftSkillSuperseded, Subject: string(key) + "@" + version, Message: "this binary carries " + have,
				Fix: "writ skill install " + string(key),
			})
		}
	}
	return out, nil
}

func (a *app) configAck() *cobra.Command {
	in := &contract.ConfigAcknowledgeInput{}
	c := &cobra.Command{
		Use: "ack", Short: "Say that the settings and contracts that the host runs with are meant", Args: cobra.NoArgs,
		Long: `Records digests of the settings and versions of the contracts with which the host
runs, and who says so. What differed before is no drift any more.`,
		Example: "  writ config ack --reason 'the proxy has another address'",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if in.Reason == "" {
				return usage("why is it meant?").WithFix("give --reason")
			}
			out, err := call(cmd.Context(), a, contract.ConfigAcknowledge, in)
			if err != nil {
				return err
			}
			return a.print(out, func(t *table) {
				t.pair("status", out.Status)
				t.pair("settings", wordsOr(out.Settings, "as before"))
				t.pair("contracts", wordsOr(out.Contracts, "as before"))
			})
		},
	}
	c.Flags().StringVar(&in.Reason, "reason", "", "why (required)")
	return c
}

func wordsOr(words []string, none string) string {
	if len(words) == 0 {
		return none
	}
	return strings.Join(words, ", ")
}
