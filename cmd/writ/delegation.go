package main

import (
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/contract"
)

func (a *app) approvalDelegate() *cobra.Command {
	in := &contract.ApprovalDelegateInput{}
	var to, from, until string
	c := &cobra.Command{
		Use: "delegate", Short: "Let another person decide while you are away", Args: cobra.NoArgs,
		Example: `  writ approval delegate --to human:bob --until 2026-12-31 --reason "on leave"
  writ approval delegate --to human:bob --from 2026-12-24T12:00:00Z --until 2027-01-02 --role security --reason "on leave"`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			in.To = writ.PrincipalID(to)
			if from != "" {
				if in.From, err = moment("--from", from, 0); err != nil {
					return err
				}
			}
			if in.Until, err = moment("--until", until, 1); err != nil {
				return err
			}
			out, err := call(cmd.Context(), a, contract.ApprovalDelegate, in)
			if err != nil {
				return err
			}
			return a.print(out, func(t *table) {
				a.delegationHead(t)
				a.delegationRow(t, &out.Delegation)
				t.line("%s decides with --for %s in that time; you still may, and the two of you count as one.", clean(string(out.Delegation.To)), clean(string(out.Delegation.By)))
			})
		},
	}
	c.Flags().StringVar(&to, "to", "", "the person who decides meanwhile (required)")
	c.Flags().StringVar(&from, "from", "", "first `day` or moment, such as 2026-12-24 or 2026-12-24T12:00:00Z (default: now)")
	c.Flags().StringVar(&until, "until", "", "last `day`, or the moment at which it ends (required)")
	c.Flags().StringSliceVar(&in.Roles, "role", nil, "only in this role of yours, repeatable (default: all of them)")
	c.Flags().StringVar(&in.Reason, "reason", "", "why (required)")
	return c
}

// moment reads a day, in the zone of this machine, or a moment of RFC 3339. A day
// counts from its start and so many days on.
func moment(flag, text string, days int) (writ.Time, error) {
	if day, err := time.ParseInLocation(time.DateOnly, text, time.Local); err == nil {
		return canon.TimeOf(day.AddDate(0, 0, days)), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return 0, usage("%s: %q is no day and no moment", flag, clean(text)).WithFix("write 2026-12-24, or 2026-12-24T12:00:00Z")
	}
	return canon.TimeOf(at), nil
}

func (a *app) delegationHead(t *table) {
	t.head("delegation", "by", "to", "roles", "from", "until", "reason")
}

func (a *app) delegationRow(t *table, d *contract.Delegation) {
	t.row(d.DelegationID, string(d.By), string(d.To), strings.Join(d.Roles, ","), minute(d.From), minute(d.Until), d.Reason)
}

// minute is a moment for people, in the zone of this machine.
func minute(at writ.Time) string { return at.Std().Local().Format("2006-01-02 15:04 MST") }

func (a *app) approvalUndelegate() *cobra.Command {
	in := &contract.ApprovalUndelegateInput{}
	c := &cobra.Command{
		Use: "undelegate DELEGATION", Short: "End a delegation at once", Args: exactly("DELEGATION"),
		RunE: func(cmd *cobra.Command, args []string) error {
			in.DelegationID = args[0]
			out, err := call(cmd.Context(), a, contract.ApprovalUndelegate, in)
			if err != nil {
				return err
			}
			return a.printResult(out, out.Result, "delegation", args[0])
		},
	}
	c.Flags().StringVar(&in.Reason, "reason", "", "why")
	return c
}

func (a *app) approvalDelegations() *cobra.Command {
	in := &contract.ApprovalDelegationsInput{}
	var principal string
	c := &cobra.Command{
		Use: "delegations", Short: "List who may decide for whom", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			in.PrincipalID = writ.PrincipalID(principal)
			out, err := call(cmd.Context(), a, contract.ApprovalDelegations, in)
			if err != nil {
				return err
			}
			return a.print(out, func(t *table) {
				if len(out.Items) == 0 {
					t.line("nobody decides for anybody")
					return
				}
				a.delegationHead(t)
				for i := range out.Items {
					a.delegationRow(t, &out.Items[i])
				}
			})
		},
	}
	c.Flags().StringVar(&principal, "principal", "", "only those by or to this person")
	c.Flags().BoolVar(&in.IncludePast, "past", false, "with those that have run out")
	return c
}
