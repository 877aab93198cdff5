package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

func (a *app) hookCommand() *cobra.Command {
	return group("hook", "See and mend who outside is told of events", a.hookList(), a.hookTest(), a.hookRedeliver(), a.hookDismiss())
}

func (a *app) hookList() *cobra.Command {
	return &cobra.Command{
		Use: "list [NAME]", Short: "List the notification hooks and how far each has come", Args: cobra.MaximumNArgs(1),
		Long: `Lists the hooks of the configuration: how far each has come, why the last attempt
failed and when the next is made, and which events were given up.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			in := &contract.HookListInput{}
			if len(args) > 0 {
				in.Name = args[0]
			}
			out, err := call(cmd.Context(), a, contract.HookList, in)
			if err != nil {
				return err
			}
			return a.print(out, func(t *table) {
				if len(out.Items) == 0 {
					t.line("there are no hooks: write %s", hooksForm)
					return
				}
				t.head("hook", "state", "to", "delivered", "last", "behind", "given up", "next attempt")
				for i := range out.Items {
					h := &out.Items[i]
					t.row(h.Name, string(h.State), h.Target, fmt.Sprint(h.Delivered), a.ago(h.DeliveredAt), fmt.Sprint(h.Behind), fmt.Sprint(h.DeadTotal), a.until(h.NextAttemptAt))
				}
				t.flush()
				for i := range out.Items {
					hookTroubles(t, &out.Items[i])
				}
			})
		},
	}
}

// hookTroubles says what is not as it should be.
func hookTroubles(t *table, h *contract.Hook) {
	if p := h.Pending; p != nil {
		t.line("%s: %s (position %d) was tried %d time(s) since %s", h.Name, p.Type, p.Position, p.Attempts, p.Since)
	}
	if f := h.Failure; f != nil {
		t.line("%s: %s  what to do: %s", h.Name, clean(f.Message), clean(f.Fix))
	}
	for _, l := range h.DeadLetters {
		event := l.Type
		if l.ExecutionID != "" {
			event += " of " + string(l.ExecutionID)
		}
		t.line("%s: given up after %d attempt(s): %s (position %d): %s", h.Name, l.Attempts, event, l.Position, clean(l.Failure.Message))
	}
}

// until is a moment that is still to come.
func (a *app) until(at writ.Time) string {
	if at == 0 {
		return ""
	}
	d := at.Std().Sub(a.clock()).Round(time.Second)
	if d <= 0 {
		return "now"
	}
	return "in " + d.String()
}

func (a *app) hookTest() *cobra.Command {
	return &cobra.Command{
		Use: "test NAME", Short: "Send a signed sample and say what came back", Args: exactly("NAME"),
		Long: `Sends one signed sample to the hook's receiver, once, and says what came back. It
exits with 1 where the receiver did not take it. Where the hook stands does not
change.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			out, err := call(cmd.Context(), a, contract.HookTest, &contract.HookTestInput{Name: args[0]})
			if err != nil {
				return err
			}
			err = a.print(out, func(t *table) {
				t.pair("status", out.Status)
				t.pair("webhook-id", out.EventID)
				if out.StatusCode != 0 {
					t.pair("answer", fmt.Sprint(out.StatusCode))
				}
				t.pair("signatures", fmt.Sprint(out.Signatures))
				t.pair("took", out.Took.Std().Round(time.Millisecond).String())
				if f := out.Failure; f != nil {
					t.line("%s", clean(f.Message))
					t.line("what to do: %s", clean(f.Fix))
				}
			})
			if err == nil && !out.Delivered {
				return exitError(exitFailed)
			}
			return err
		},
	}
}

func (a *app) hookRedeliver() *cobra.Command {
	in := &contract.HookRedeliverInput{}
	c := &cobra.Command{
		Use: "redeliver NAME", Short: "Send again what was given up, or from a position on", Args: exactly("NAME"),
		Long: `Goes back to the oldest event that was given up, or to a position, and sends all
that the hook is for from there on again, in order, each event under the
webhook-id that it had. A hook that was disabled is active again.`,
		Example: "  writ hook redeliver pager --reason 'its receiver is mended'\n  writ hook redeliver pager --from 977",
		RunE: func(cmd *cobra.Command, args []string) error {
			in.Name = args[0]
			out, err := call(cmd.Context(), a, contract.HookRedeliver, in)
			if err != nil {
				return err
			}
			return a.print(out, func(t *table) {
				t.pair("status", out.Status)
				t.pair("cursor", fmt.Sprint(out.Cursor))
			})
		},
	}
	c.Flags().Uint64Var((*uint64)(&in.From), "from", 0, "first position to send again, as `writ hook list` shows it")
	c.Flags().StringVar(&in.Reason, "reason", "", "why")
	return c
}

func (a *app) hookDismiss() *cobra.Command {
	in := &contract.HookDismissInput{}
	c := &cobra.Command{
		Use: "dismiss NAME", Short: "Let go of events that were given up", Args: exactly("NAME"),
		Long: "Takes the events that were given up from the hook's list. They stay in the journals.",
		RunE: func(cmd *cobra.Command, args []string) error {
			in.Name = args[0]
			out, err := call(cmd.Context(), a, contract.HookDismiss, in)
			if err != nil {
				return err
			}
			return a.print(out, func(t *table) {
				t.pair("status", out.Status)
				t.pair("events", fmt.Sprint(out.Dismissed))
			})
		},
	}
	c.Flags().StringVar(&in.Reason, "reason", "", "why")
	return c
}
