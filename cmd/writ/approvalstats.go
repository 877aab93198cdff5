package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/contract"
)

func (a *app) approvalStats() *cobra.Command {
	var since string
	c := &cobra.Command{
		Use: "stats", Short: "Show how people decide, and where it looks as if nobody reads", Args: cobra.NoArgs,
		Example: "  writ approval stats --since 30d",
		RunE: func(cmd *cobra.Command, _ []string) error {
			back, err := spanOf(since)
			if err != nil {
				return err
			}
			out, err := call(cmd.Context(), a, contract.ApprovalStats, &contract.ApprovalStatsInput{Since: abi.Duration(back)})
			if err != nil {
				return err
			}
			return a.print(out, func(t *table) {
				if len(out.Items) == 0 {
					t.line("nobody has decided anything since %s", out.Since)
					return
				}
				t.head("rule", "risk", "approved", "rejected", "edited", "expired", "approve rate", "edit rate", "median", "under 3s")
				for _, s := range out.Items {
					t.row(s.Rule, string(s.RiskTier), fmt.Sprint(s.Approved), fmt.Sprint(s.Rejected), fmt.Sprint(s.Edited), fmt.Sprint(s.Expired),
						fmt.Sprintf("%.0f %%", s.ApproveRate*100), fmt.Sprintf("%.0f %%", s.EditRate*100), shortDuration(s.Median.Std().Seconds()), fmt.Sprint(s.Fast))
				}
				for _, s := range out.Items {
					if s.Hint != "" {
						t.line("%s: %s", clean(s.Rule), s.Hint)
					}
				}
				if !out.Complete {
					t.line("there are more executions than were looked at: ask for less with --since, or see /metrics")
				}
			})
		},
	}
	c.Flags().StringVar(&since, "since", "30d", "how far back, such as 30d or 12h; at most 365d")
	return c
}

// spanOf reads a span in days as well as in the units of Go.
func spanOf(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil && n > 0 {
			return time.Duration(n) * 24 * time.Hour, nil
		}
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, usage("--since: %q is no span", clean(text)).WithFix("write 30d or 12h")
	}
	return d, nil
}
