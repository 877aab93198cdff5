package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
	"github.com/writ-run/writ/freeze"
)

// wireFreezes lets the engine and the channels, which are made later, hear of each change.
func (h *home) wireFreezes() (err error) {
	h.freezes, err = freeze.New(freeze.Options{
		Store: h.journal, Journal: h.journal, Clock: h.clock, Announce: h.identity.Announce,
		Changed: func(ctx context.Context, tenant writ.TenantID) {
			h.engine.FreezesChanged(ctx, tenant)
			h.channels.FreezesChanged(tenant)
		},
	})
	return err
}

// bindFreezes is bind for the kill switch.
func (h *home) bindFreezes(d *contract.Dispatcher) {
	contract.Bind(d, contract.Freeze, h.freezes.Freeze)
	contract.Bind(d, contract.Unfreeze, h.freezes.Unfreeze)
	contract.Bind(d, contract.FreezeList, h.freezes.FreezeList)
}

const freezeScopes = `SCOPE is one of:
  all                         everything on this host
  tenant                      everything of your tenant
  skill KEY [RANGE]           a skill, or versions of it: skill acme/mail '<1.4.2'
  principal ID                what it asks for, and whoever acts on its behalf
  channel KEY                 what comes by a channel and is said there; a star at the end is any ending`

func (a *app) freezeCommand() *cobra.Command {
	in := &contract.FreezeInput{}
	c := &cobra.Command{
		Use: "freeze SCOPE --reason WHY", Args: scoped,
		Short: "Stop work at once: no step of it begins, a running one makes no further call",
		Long: `Stop work at once. No step of it begins, a running one makes no further tool call,
and no intent of it is taken. A call under way is waited for and its answer kept.

` + freezeScopes + `

What is frozen waits, and goes on by itself when nothing freezes it any more; with
--mode fail its steps fail. Deadlines of approvals go on. It outlasts restarts.`,
		Example: `  writ freeze all --reason 'mails go out twice'
  writ freeze principal agent:bot --reason 'it does not stop' --mode fail
  writ freeze skill acme/mail '<1.4.2' --reason 'sends to everybody'
  writ freeze channel 'slack:*' --reason 'the workspace was taken over'`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := subjectOf(args, &in.FreezeSubject); err != nil {
				return err
			}
			out, err := call(cmd.Context(), a, contract.Freeze, in)
			if err != nil {
				return err
			}
			return a.print(out, func(t *table) {
				t.pair("frozen", whatIsFrozen(&out.Freeze))
				t.pair("mode", string(out.Freeze.Mode))
				t.pair("since", out.Freeze.At.String())
				t.pair("undo", "writ unfreeze "+strings.Join(quoted(args), " ")+" --reason WHY")
			})
		},
	}
	c.Flags().StringVar(&in.Reason, "reason", "", "why (needed): whoever is held sees it; of all, the host's own tenant alone")
	c.Flags().StringVar((*string)(&in.Mode), "mode", "", "wait: it goes on by itself later (default); fail: its steps fail")
	c.AddCommand(a.freezeList())
	return c
}

func (a *app) unfreezeCommand() *cobra.Command {
	in := &contract.UnfreezeInput{}
	c := &cobra.Command{
		Use: "unfreeze SCOPE --reason WHY", Args: scoped, Short: "Take one freeze back: what nothing else freezes goes on",
		Long: `Take one freeze back, named as it was frozen. What nothing else freezes goes on by
itself, from where it was held.

` + freezeScopes,
		Example: "  writ unfreeze principal agent:bot --reason 'its prompt is mended'",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := subjectOf(args, &in.FreezeSubject); err != nil {
				return err
			}
			out, err := call(cmd.Context(), a, contract.Unfreeze, in)
			if err != nil {
				return err
			}
			return a.print(out, func(t *table) {
				t.pair("unfrozen", whatIsFrozen(&contract.Frozen{Scope: out.Scope, Subject: out.Subject}))
				t.flush()
				a.frozenBanner(t, out.Remaining)
			})
		},
	}
	c.Flags().StringVar(&in.Reason, "reason", "", "why (needed)")
	return c
}

func (a *app) freezeList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List what is frozen, by whom and why", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			out, err := call(cmd.Context(), a, contract.FreezeList, &contract.FreezeListInput{})
			if err != nil {
				return err
			}
			return a.print(out, func(t *table) {
				if len(out.Items) == 0 {
					t.line("nothing is frozen")
					return
				}
				t.head("frozen", "subject", "mode", "by", "since", "reason")
				for _, f := range out.Items {
					t.row(string(f.Scope), f.Subject, string(f.Mode), string(f.By), f.At.String(), f.Reason)
				}
			})
		},
	}
}

// scoped wants the name of a scope with as many words as it takes.
func scoped(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return usage("say what: SCOPE is missing").WithFix("see `%s --help`", cmd.CommandPath())
	}
	return subjectOf(args, &contract.FreezeSubject{})
}

// subjectOf reads SCOPE as a person writes it.
func subjectOf(args []string, subject *contract.FreezeSubject) error {
	scope, rest := args[0], args[1:]
	want := map[string][2]int{"all": {0, 0}, "tenant": {0, 0}, "skill": {1, 2}, "principal": {1, 1}, "channel": {1, 1}}
	takes, known := want[scope]
	switch {
	case !known:
		return usage("%q is nothing that can be frozen", scope).WithFix("one of all, tenant, skill KEY [RANGE], principal ID, channel KEY")
	case len(rest) < takes[0] || len(rest) > takes[1]:
		return usage("%s takes another number of words", scope).WithFix("quote what has spaces or a star: skill acme/mail '<1.4.2', channel 'slack:*'")
	}
	switch scope {
	case "all":
		subject.All = true
	case "tenant":
		subject.Tenant = true
	case "skill":
		subject.Skill = strings.Join(rest, " ")
	case "principal":
		subject.PrincipalID = writ.PrincipalID(rest[0])
	case "channel":
		subject.ChannelKey = rest[0]
	}
	return nil
}

// quoted are arguments as a shell takes them.
func quoted(args []string) []string {
	out := make([]string, len(args))
	for i, arg := range args {
		if out[i] = arg; strings.ContainsAny(arg, " *<>=~^!|&;()'\"$`\\#?[]{}") {
			out[i] = "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
		}
	}
	return out
}

func whatIsFrozen(f *contract.Frozen) string { return (*writ.Freeze)(f).What() }

// frozenBanner says loudly what is frozen.
func (a *app) frozenBanner(t *table, frozen []contract.Frozen) {
	for i := range frozen {
		f := &frozen[i]
		why := (*writ.Freeze)(f)
		text := "FROZEN: " + whatIsFrozen(f) + ", by " + why.Who() + " " + a.ago(f.At) + " (" + string(f.Mode) + ")" + why.Why()
		t.line("%s", a.paint(bold+";"+red, writ.Clip(clean(text), maxBanner)))
	}
}

// maxBanner is a line or two: the whole reason is in the list.
const maxBanner = 300
