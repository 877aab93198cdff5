package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// speaking lets tools say something in channels, which are wired after them.
type speaking struct{ h *home }

var _ writ.Messenger = speaking{}

// Say implements writ.Messenger.
func (s speaking) Say(ctx context.Context, tenant writ.TenantID, saying *writ.Saying) (string, error) {
	return s.h.channels.Say(ctx, tenant, saying)
}

// unsaidDrift asks the channels, which are wired later.
func (h *home) unsaidDrift(ctx context.Context, tenant writ.TenantID) ([]contract.DriftFinding, error) {
	return h.channels.Drift(ctx, tenant)
}

// threadForms are how threads are written, by provider.
var threadForms = map[string]string{
	"github":          "OWNER/REPOSITORY#NUMBER",
	"slack":           "TEAM/CHANNEL, or TEAM/CHANNEL/TS with the time stamp of the message that the thread began with",
	"telegram":        "CHAT, or CHAT/TOPIC for a topic of a forum, both numbers",
	"whatsapp-meta":   "NUMBER/PERSON: the id of the business's phone number, and the number of the person",
	"whatsapp-twilio": "whatsapp:+NUMBER/whatsapp:+PERSON, both escaped as in a URL's path",
}

// threadFix says how to name a thread of a channel.
func threadFix(name string) string {
	provider, _, _ := strings.Cut(name, "/")
	if form := threadForms[provider]; form != "" {
		return "give --thread " + form
	}
	return "give --thread: docs/channels.md says how each provider's threads are written"
}

func (a *app) channelTest() *cobra.Command {
	in := &contract.ChannelTestInput{}
	c := &cobra.Command{
		Use: "test PROVIDER/NAME --thread THREAD", Short: "Say something harmless in a thread, and show what came back", Args: exactly("PROVIDER/NAME"),
		Long: `Say in a thread that it is a test and who asked for it, and show what the provider
answered. It is said once, whatever comes back.`,
		Example: "  writ channel test github/acme --thread acme/site#12",
		RunE: func(cmd *cobra.Command, args []string) error {
			if in.Thread == "" {
				return usage("where is it to be said?").WithFix("%s", threadFix(args[0]))
			}
			in.Name = writ.ChannelName(args[0])
			out, err := call(cmd.Context(), a, contract.ChannelTest, in)
			if err != nil {
				return err
			}
			err = a.print(out, func(t *table) {
				t.pair("status", out.Status)
				if out.ID != "" {
					t.pair("id", out.ID)
				}
				if out.Why != "" {
					t.pair("why", out.Why)
				}
			})
			if err != nil || out.Code == "" {
				return err
			}
			came := "the test was not said"
			if out.Code == writ.CodeIndeterminate {
				came = "nobody knows whether the test was said"
			}
			return writ.Errorf(out.Code, "channel "+string(in.Name), "%s", came).WithFix("%s", out.Fix)
		},
	}
	c.Flags().StringVar(&in.Thread, "thread", "", "where, as messages of the channel name their thread (required)")
	return c
}

func (a *app) channelOutbox() *cobra.Command {
	in := &contract.ChannelOutboxInput{}
	return &cobra.Command{
		Use: "outbox [PROVIDER/NAME]", Short: "List what waits to be said, and what was given up", Args: cobra.MaximumNArgs(1),
		Long: `List the messages that wait to be said in channels, and those that were given up:
failed ones nobody took, of indeterminate ones nobody knows whether they were said. They
are never sent again by themselves. Look in the thread, then use writ channel resend or
writ channel drop.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				in.Name = writ.ChannelName(args[0])
			}
			out, err := call(cmd.Context(), a, contract.ChannelOutbox, in)
			if err != nil {
				return err
			}
			return a.print(out, func(t *table) {
				if len(out.Items) == 0 {
					t.line("nothing waits to be said")
					return
				}
				t.head("message", "channel", "thread", "status", "attempts", "since", "again", "why")
				for _, m := range out.Items {
					again := ""
					if m.Again != 0 {
						again = m.Again.String()
					}
					t.row(m.MessageID, string(m.Channel), m.Thread, string(m.Status), fmt.Sprint(m.Attempt), m.Since.String(), again, m.Why)
				}
				if out.More {
					t.flush()
					t.line("there are more")
				}
			})
		},
	}
}

// printMessage says how a message that was given up is now.
func (a *app) printMessage(out any, id, status string) error {
	return a.print(out, func(t *table) {
		t.pair("message", id)
		t.pair("status", status)
	})
}

func (a *app) channelResend() *cobra.Command {
	in := &contract.ChannelResendInput{}
	c := &cobra.Command{
		Use: "resend MESSAGE", Short: "Send a message again that was given up", Args: exactly("MESSAGE"),
		Long: `Queue a message again that was given up. One that is indeterminate may have been said:
look in its thread first, or it may be said twice.`,
		Example: "  writ channel resend msg_mfrggzdfmztwq2lk --reason 'it is not in the issue'",
		RunE: func(cmd *cobra.Command, args []string) error {
			in.MessageID = args[0]
			out, err := call(cmd.Context(), a, contract.ChannelResend, in)
			if err != nil {
				return err
			}
			return a.printMessage(out, in.MessageID, out.Status)
		},
	}
	c.Flags().StringVar(&in.Reason, "reason", "", "why")
	return c
}

func (a *app) channelDrop() *cobra.Command {
	in := &contract.ChannelDropInput{}
	c := &cobra.Command{
		Use: "drop MESSAGE", Short: "End a message that was given up, without saying it", Args: exactly("MESSAGE"),
		Example: "  writ channel drop msg_mfrggzdfmztwq2lk --reason 'it was said after all'",
		RunE: func(cmd *cobra.Command, args []string) error {
			in.MessageID = args[0]
			out, err := call(cmd.Context(), a, contract.ChannelDrop, in)
			if err != nil {
				return err
			}
			return a.printMessage(out, in.MessageID, out.Status)
		},
	}
	c.Flags().StringVar(&in.Reason, "reason", "", "why")
	return c
}
