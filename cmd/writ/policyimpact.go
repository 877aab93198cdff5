package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

func (a *app) policyImpact() *cobra.Command {
	in := &contract.PolicyImpactInput{}
	var since, layer string
	var bounds impactBounds
	c := &cobra.Command{
		Use: "impact CANDIDATE", Short: "See which stored verdicts a bundle would have made otherwise", Args: exactly("CANDIDATE"),
		Long: `Asks the candidate every stored verdict's recorded question again, with the other layers
as they are active, and lists what would have come out in another mode, by the rule
that decides in the candidate. Nothing is activated and nothing is performed. A verdict
whose question has expired is counted apart: nobody can tell. CANDIDATE is a directory,
an archive, or the digest of a kept bundle; it need not be signed yet.`,
		Example: "  writ policy impact ./my-policy\n  writ policy impact team.tar.gz --layer tenant --since 7d -o json",
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if in.Since, err = a.since(since); err != nil {
				return err
			}
			in.Layer = writ.Layer(layer)
			if digest := writ.Digest(args[0]); digest.Valid() {
				in.Digest = digest
			} else {
				in.Source = absolute(args[0])
			}
			out, err := a.policyImpactPages(cmd.Context(), in, bounds)
			if err != nil {
				return err
			}
			return a.print(out, func(t *table) { policyImpactTable(t, out) })
		},
	}
	c.Flags().StringVar(&since, "since", "30d", "executions of this last span, such as 30d or 12h; 0: all that are kept")
	c.Flags().StringVar(&layer, "layer", string(writ.LayerOrganisation), "organisation or tenant: where it would be active")
	c.Flags().IntVar(&bounds.most, "limit", 10000, "at most so many executions, newest first")
	c.Flags().DurationVar(&bounds.within, "within", time.Minute, "begin no further page of 2 seconds after this")
	return c
}

// policyImpactPages puts the pages together.
func (a *app) policyImpactPages(ctx context.Context, in *contract.PolicyImpactInput, bounds impactBounds) (*contract.PolicyImpactOutput, error) {
	var whole *contract.PolicyImpactOutput
	err := a.eachPage(ctx, bounds, func(caller contract.Caller, left int) (int, bool, error) {
		in.Limit, in.BudgetMS = min(left, 1000), int(impactPageTime.Milliseconds())
		page, err := contract.Invoke(ctx, caller, contract.PolicyImpact, in)
		if err != nil {
			return 0, false, err
		}
		in.Cursor = page.NextCursor
		if whole == nil {
			whole = page
		} else {
			whole.Impact.Merge(&page.Impact)
			whole.NextCursor = page.NextCursor
		}
		a.progress("%d executions examined, %d verdicts would flip ...", whole.Impact.Executions, whole.Impact.Flipped)
		return whole.Impact.Executions, in.Cursor != "", nil
	})
	if err != nil {
		return nil, err
	}
	whole.Status = whole.Impact.Word()
	return whole, nil
}

func policyImpactTable(t *table, out *contract.PolicyImpactOutput) {
	i := &out.Impact
	t.pair("candidate", string(out.Digest))
	t.pair("version", out.Version)
	for _, l := range out.Layers {
		t.pair("layer "+string(l.Layer), l.Version+"  "+shortDigest(l.Digest))
	}
	t.line("%d verdicts of %d executions: %d flip, %d the same, %d in the same mode with other people, risk or budget", i.Verdicts, i.Executions, i.Flipped, i.Same, i.Changed)
	if i.Already > 0 {
		t.line("%d would flip with what is active now, too", i.Already)
	}
	if i.Unjudged > 0 {
		t.line("%d could not be judged", i.Unjudged)
	}
	if !i.Complete {
		t.line("older executions were not examined: the limit was reached or the time was over")
	}
	if len(i.Groups) > 0 {
		t.head("rule", "verdicts", "executions", "from -> to")
		for n := range i.Groups {
			g := &i.Groups[n]
			t.row(decidedBy(g.Layer, g.Rule), fmt.Sprint(g.Count), fmt.Sprint(g.Executions), modeChanges(g.Changes))
		}
		t.flush()
		t.head("for example", "step", "judged at", "from", "to", "message")
		for n := range i.Groups {
			for k := range i.Groups[n].Examples {
				f := &i.Groups[n].Examples[k]
				t.row(string(f.ExecutionID), f.Step, stageText(f), string(f.From), string(f.To), f.Message)
			}
		}
		t.flush()
	}
	for _, gap := range i.Gaps {
		t.line("  %s not judged: %s", gap.ExecutionID, clean(gap.Message))
	}
}

func modeChanges(changes []contract.ModeChange) string {
	parts := make([]string, len(changes))
	for n, c := range changes {
		parts[n] = fmt.Sprintf("%s -> %s: %d", c.From, c.To, c.Count)
	}
	return strings.Join(parts, ", ")
}

func stageText(f *contract.VerdictFlip) string {
	if f.Sequence > 0 {
		return fmt.Sprintf("%s %d", f.Stage, f.Sequence)
	}
	return f.Stage
}
