package main

import (
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/budget"
	"github.com/writ-run/writ/contract"
)

func (h *home) wireBudgets() (err error) {
	h.budgets, err = budget.New(budget.Options{
		Store: h.journal, Journal: h.journal, Clock: h.clock, Tenants: h.identity.Tenants,
		Refused: func(use writ.BudgetUse) {
			if count := h.refused.Load(); count != nil {
				(*count)(use)
			}
		},
	})
	return err
}

// bindBudgets is bind for what is limited across calls.
func (h *home) bindBudgets(d *contract.Dispatcher) {
	contract.Bind(d, contract.BudgetSet, h.budgets.BudgetSet)
	contract.Bind(d, contract.BudgetRemove, h.budgets.BudgetRemove)
	contract.Bind(d, contract.BudgetList, h.budgets.BudgetList)
}

func (a *app) budgetCommand() *cobra.Command {
	c := &cobra.Command{Use: "budget", Short: "Limit what may be done and spent in a minute, an hour, a day or in all"}
	c.AddCommand(a.budgetSet(), a.budgetRemove(), a.budgetList())
	return c
}

const budgetScopes = `OF is one of:
  --principal ID     what it asks for, and whoever acts on its behalf
  --skill KEY        steps of a skill
  --session ID       what one session asks for
  --tenant           everything of your tenant
  --tenant-id NAME   everything of a tenant, as the host's word: its own admins
                     do not change that
A star as ID or KEY gives each principal, skill or session a count of its own.`

// budgetFlags are what both set and remove name a budget by.
type budgetFlags struct {
	steps, calls, spend, tokens string
}

func (f *budgetFlags) add(c *cobra.Command, in *contract.BudgetSubject, what string) {
	flags := c.Flags()
	flags.StringVar((*string)(&in.PrincipalID), "principal", "", "of this principal, and whoever acts on its behalf; '*': of each")
	flags.StringVar(&in.Skill, "skill", "", "of this skill; '*': of each")
	flags.StringVar(&in.SessionID, "session", "", "of this session; '*': of each")
	flags.BoolVar(&in.Tenant, "tenant", false, "of your tenant")
	flags.StringVar((*string)(&in.TenantID), "tenant-id", "", "of a tenant, as the host's word")
	flags.StringVar(&f.steps, "steps", "", "attempts of steps: "+what)
	flags.StringVar(&f.calls, "calls", "", "tool calls: "+what)
	flags.StringVar(&f.spend, "spend", "", "units of the currency that calls cost: "+what)
	flags.StringVar(&f.tokens, "tokens", "", "tokens of models: "+what)
}

// one is the kind that is named, and what stands behind it.
func (f *budgetFlags) one() (writ.BudgetKind, string, error) {
	var kind writ.BudgetKind
	var text string
	given := 0
	for name, value := range map[writ.BudgetKind]string{
		writ.BudgetSteps: f.steps, writ.BudgetCalls: f.calls, writ.BudgetSpend: f.spend, writ.BudgetTokens: f.tokens,
	} {
		if value != "" {
			kind, text, given = name, value, given+1
		}
	}
	if given != 1 {
		return "", "", usage("%d of --steps, --calls, --spend and --tokens are given, want one", given).WithFix("set one budget at a time")
	}
	return kind, text, nil
}

// budgetCount reads "100/h", and of spend "12.50/d", as count and span.
func budgetCount(kind writ.BudgetKind, text string) (int64, writ.BudgetSpan, error) {
	number, span, ok := strings.Cut(text, "/")
	wrong := func() (int64, writ.BudgetSpan, error) {
		return 0, "", usage("--%s %q is no budget", kind, text).WithFix("write a number and a span: 100/m, 100/h, 100/d or 100/total")
	}
	if !ok || !writ.BudgetSpan(span).Valid() {
		return wrong()
	}
	whole, fraction, _ := strings.Cut(number, ".")
	const digits = 6 // a unit has a million micro-units
	if kind == writ.BudgetSpend && len(fraction) <= digits {
		number = whole + fraction + strings.Repeat("0", digits-len(fraction))
	}
	if whole == "" || strings.ContainsFunc(number, func(r rune) bool { return r < '0' || r > '9' }) {
		return wrong()
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n > writ.MaxAmount {
		return 0, "", usage("--%s %q is more than can be counted", kind, text).WithFix("leave the budget out where there is no limit")
	}
	return n, writ.BudgetSpan(span), nil
}

func (a *app) budgetSet() *cobra.Command {
	in, flags := &contract.BudgetSetInput{}, &budgetFlags{}
	c := &cobra.Command{
		Use: "set OF --calls COUNT/SPAN --reason WHY", Args: cobra.NoArgs, Short: "Set a budget, or another count of one that is set",
		Long: `Set a budget: how many steps or tool calls may begin in a span, or what calls may
spend. What is over it is denied, and the reason says when there is room again.

` + budgetScopes + `

SPAN is m, h or d, a minute, hour or day of UTC, or total. Of all budgets that cover
something each must have room. One that is set again keeps what was counted.`,
		Example: `  writ budget set --principal agent:bot --calls 100/h --reason 'one person checks it'
  writ budget set --principal '*' --steps 1000/d --reason 'nobody needs more'
  writ budget set --skill acme/pay --spend 250.00/d --reason 'the limit of our card'
  writ budget set --tenant-id acme --calls 100000/d --reason 'what they pay for'`,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			var text string
			if in.Kind, text, err = flags.one(); err != nil {
				return err
			}
			if in.Count, in.Span, err = budgetCount(in.Kind, text); err != nil {
				return err
			}
			out, err := call(cmd.Context(), a, contract.BudgetSet, in)
			if err != nil {
				return err
			}
			return a.print(out, func(t *table) {
				t.pair("budget", whatIsLimited(&out.Budget))
				t.pair("limit", limitText(&out.Budget))
				t.pair("since", out.Budget.At.String())
			})
		},
	}
	flags.add(c, &in.BudgetSubject, "COUNT/SPAN")
	c.Flags().StringVar(&in.Reason, "reason", "", "why (needed)")
	return c
}

func (a *app) budgetRemove() *cobra.Command {
	in, flags := &contract.BudgetRemoveInput{}, &budgetFlags{}
	c := &cobra.Command{
		Use: "remove OF --calls SPAN --reason WHY", Args: cobra.NoArgs, Short: "Remove a budget and what was counted of it",
		Long:    "Remove a budget, named as it was set, and what was counted of it.\n\n" + budgetScopes,
		Example: `  writ budget remove --principal agent:bot --calls h --reason 'it was reviewed'`,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			var text string
			if in.Kind, text, err = flags.one(); err != nil {
				return err
			}
			if _, span, ok := strings.Cut(text, "/"); ok { // as it was set
				text = span
			}
			if !writ.BudgetSpan(text).Valid() {
				return usage("--%s %q is no span", in.Kind, text).WithFix("write m, h, d or total")
			}
			in.Span = writ.BudgetSpan(text)
			out, err := call(cmd.Context(), a, contract.BudgetRemove, in)
			if err != nil {
				return err
			}
			return a.print(out, func(t *table) {
				t.pair("removed", whatIsLimited(&out.Budget)+", "+limitText(&out.Budget))
			})
		},
	}
	flags.add(c, &in.BudgetSubject, "SPAN")
	c.Flags().StringVar(&in.Reason, "reason", "", "why (needed)")
	return c
}

func (a *app) budgetList() *cobra.Command {
	in := &contract.BudgetListInput{}
	c := &cobra.Command{
		Use: "list", Short: "List budgets: what is used, reserved and left, and when they begin again", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			out, err := call(cmd.Context(), a, contract.BudgetList, in)
			if err != nil {
				return err
			}
			return a.print(out, func(t *table) {
				if len(out.Items) == 0 {
					t.line("no budget is set")
					return
				}
				t.head("budget", "limit", "who", "used", "reserved", "left", "free at", "by", "reason")
				for i := range out.Items {
					budgetRows(t, &out.Items[i])
				}
			})
		},
	}
	c.Flags().StringVar((*string)(&in.TenantID), "tenant-id", "", "what the host has set of another tenant; for its admins")
	return c
}

func budgetRows(t *table, b *contract.Budget) {
	amount := func(n int64) string {
		if b.Kind == writ.BudgetSpend {
			return writ.MicroText(n)
		}
		return strconv.FormatInt(n, 10)
	}
	for _, taken := range b.Taken {
		free := "never"
		if taken.FreeAt != 0 {
			free = taken.FreeAt.String()
		}
		t.row(whatIsLimited(b), limitText(b), taken.Subject, amount(taken.Used), amount(taken.Reserved), amount(taken.Left), free, string(b.By), b.Reason)
	}
	if len(b.Taken) == 0 {
		t.row(whatIsLimited(b), limitText(b), "nobody yet", "0", "0", amount(b.Count), "", string(b.By), b.Reason)
	}
	if b.More > 0 {
		t.row(whatIsLimited(b), limitText(b), strconv.Itoa(b.More)+" more", "", "", "", "", "", "")
	}
}

// whatIsLimited is a budget's scope and subject for people.
func whatIsLimited(b *contract.Budget) string {
	text := string(b.Scope)
	if b.Subject != "" {
		text += " " + b.Subject
	}
	if b.Host {
		text += " (host)"
	}
	return text
}

func limitText(b *contract.Budget) string {
	count := strconv.FormatInt(b.Count, 10)
	if b.Kind == writ.BudgetSpend {
		count = writ.MicroText(b.Count)
	}
	return count + " " + string(b.Kind) + "/" + string(b.Span)
}
