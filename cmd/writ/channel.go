package main

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/api"
	"github.com/writ-run/writ/channel"
	"github.com/writ-run/writ/channel/github"
	"github.com/writ-run/writ/channel/slack"
	"github.com/writ-run/writ/channel/telegram"
	"github.com/writ-run/writ/channel/webhook"
	"github.com/writ-run/writ/channel/whatsappmeta"
	"github.com/writ-run/writ/channel/whatsapptwilio"
	"github.com/writ-run/writ/contract"
	"github.com/writ-run/writ/egress"
	"github.com/writ-run/writ/intent"
)

// adapters are the providers of this binary.
func adapters() []channel.Adapter {
	return []channel.Adapter{
		github.Adapter{}, slack.Adapter{}, telegram.Adapter{}, webhook.Adapter{}, whatsappmeta.Adapter{}, whatsapptwilio.Adapter{},
	}
}

// wireChannels lets the channels call what is bound later.
func (h *home) wireChannels() error {
	private, err := h.config.private()
	if err != nil {
		return err
	}
	h.channels, err = channel.New(channel.Options{
		Store: h.journal, Journal: h.journal, Traces: h.journal, Clock: h.clock, Caller: h.dispatcher, Principals: h.identity, Freezes: h.freezes,
		Adapters: adapters(), Secret: h.secrets.Secret, Peek: h.secrets.Peek, Tenants: h.identity.Tenants, PublicURL: h.config.PublicURL,
		Upstreams: h.config.Upstreams, Upstream: talksTo(nil), Client: talksTo(func(addr netip.Addr) bool { return egress.Reachable(addr, private) }),
		Notes: h.journal, Tip: h.journal.Last, Attest: h.identity.AttestDecision,
		Books: &intent.Books{Epoch: h.journal.Epoch, Releases: h.registry.Releases}, May: h.identity.Reaches, Log: h.log.Named("channel"),
	})
	return err
}

// bindChannels is bind for what comes from outside.
func (h *home) bindChannels(d *contract.Dispatcher) {
	contract.Bind(d, contract.ChannelAdd, h.channels.Add)
	contract.Bind(d, contract.ChannelRemove, h.channels.Remove)
	contract.Bind(d, contract.ChannelList, h.channels.List)
	contract.Bind(d, contract.ChannelSimulate, h.channels.Simulate)
	contract.Bind(d, contract.ChannelOutbox, h.channels.Outbox)
	contract.Bind(d, contract.ChannelResend, h.channels.Resend)
	contract.Bind(d, contract.ChannelDrop, h.channels.Drop)
	contract.Bind(d, contract.ChannelTest, h.channels.Test)
}

// channelRoutes is where providers call: with GET those that try the URL out first.
func (h *home) channelRoutes() []api.Route {
	return []api.Route{
		{Method: http.MethodGet, Pattern: channel.Pattern, Permission: api.BySignature, Handler: h.channels.ServeWebhook},
		{Method: http.MethodPost, Pattern: channel.Pattern, Permission: api.BySignature, Handler: h.channels.ServeWebhook},
	}
}

// hosts are the names under which the listener may be called.
func (c *config) hosts() []string {
	u, err := url.Parse(c.PublicURL)
	if err != nil || u.Host == "" {
		return c.Hosts
	}
	return append(slices.Clone(c.Hosts), u.Hostname())
}

// maxDraftFile is as much as a trigger keeps.
const maxDraftFile = 64 << 10

func (a *app) channelCommand() *cobra.Command {
	return group("channel", "Let people and events in from Slack, GitHub and others", a.channelAdd(), a.channelRemove(), a.channelList(), a.channelSimulate(),
		a.channelTest(), a.channelOutbox(), a.channelResend(), a.channelDrop())
}

func (a *app) channelAdd() *cobra.Command {
	in := &contract.ChannelAddInput{}
	var members, triggers, answers []string
	c := &cobra.Command{
		Use: "add PROVIDER/NAME --secret SECRET", Args: exactly("PROVIDER/NAME"),
		Short: "Take what a provider signs, and say who its senders are here",
		Long: `Take what a provider signs with a secret of this home, and say which principal each
sender is here and what its events set off. The same name again replaces what was
there. What to give to the provider is printed: the URL, and a verify token where the
provider asks for one.`,
		Example: `  writ secret set github-webhook < secret.txt
  writ channel add github/acme --secret github-webhook --member '*=agent:triage-bot' --on issues.opened=triage.yaml
  writ channel add slack/acme --secret slack-signing --token slack-bot --member T02ACME/U02ADA=human:ada --decide --ask-in T02ACME/C02APPROVALS`,
		RunE: func(cmd *cobra.Command, args []string) error {
			in.Name = writ.ChannelName(args[0])
			for _, text := range members {
				sender, id, ok := strings.Cut(text, "=")
				if !ok {
					return usage("--member %s: want SENDER=PRINCIPAL", text).WithFix("such as --member '*=agent:triage-bot'")
				}
				in.Members = append(in.Members, contract.ChannelMember{Sender: sender, PrincipalID: writ.PrincipalID(id)})
			}
			var err error
			if in.Triggers, err = a.readTriggers(triggers, answers); err != nil {
				return err
			}
			out, err := call(cmd.Context(), a, contract.ChannelAdd, in)
			if err != nil {
				return err
			}
			return a.print(out, func(t *table) {
				t.pair("channel", string(in.Name))
				t.pair("status", out.Status)
				t.pair("url", out.URL)
				if out.VerifyToken != "" {
					t.pair("verify token", out.VerifyToken)
				}
			})
		},
	}
	c.Flags().StringArrayVar(&in.Secrets, "secret", nil, "secret that the provider signs with; twice while one replaces the other")
	c.Flags().StringVar(&in.Token, "token", "", "secret with the token of the bot that speaks there; without it the channel only listens")
	c.Flags().BoolVar(&in.Decides, "decide", false, "let members who are people decide approvals there, below high risk")
	c.Flags().StringVar(&in.AskIn, "ask-in", "", "thread in which people are told of every approval of the tenant that waits")
	c.Flags().StringArrayVar(&members, "member", nil, "SENDER=PRINCIPAL; a star as the sender is anybody")
	c.Flags().StringArrayVar(&triggers, "on", nil, "EVENT=FILE: the draft that an event sets off; a star at the end of the event is any ending")
	c.Flags().StringArrayVar(&answers, "answer", nil, "EVENT of an --on whose thread is told what came of it")
	c.Flags().StringVar((*string)(&in.Unmapped), "unmapped", "", "refuse (default) or ignore whoever is no member")
	c.Flags().StringVar(&in.Reason, "reason", "", "why")
	return c
}

// readTriggers reads EVENT=FILE of each, and marks those of the events whose thread is
// told what came of them.
func (a *app) readTriggers(texts, answers []string) ([]contract.ChannelTrigger, error) {
	var triggers []contract.ChannelTrigger
	for _, text := range texts {
		event, file, ok := strings.Cut(text, "=")
		if !ok {
			return nil, usage("--on %s: want EVENT=FILE", text).WithFix("such as --on issues.opened=triage.yaml")
		}
		draft, err := a.readInput(file, maxDraftFile)
		if err != nil {
			return nil, err
		}
		triggers = append(triggers, contract.ChannelTrigger{Event: event, Draft: string(draft), Answer: slices.Contains(answers, event)})
	}
	for _, event := range answers {
		if !slices.ContainsFunc(triggers, func(t contract.ChannelTrigger) bool { return t.Event == event }) {
			return nil, usage("--answer %s: there is no --on of this event", event).WithFix("name the event as --on does")
		}
	}
	return triggers, nil
}

func (a *app) channelRemove() *cobra.Command {
	in := &contract.ChannelRemoveInput{}
	c := &cobra.Command{
		Use: "remove PROVIDER/NAME", Short: "Take nothing of a provider any more", Args: exactly("PROVIDER/NAME"),
		Example: "  writ channel remove github/acme --reason 'the repository has moved'",
		RunE: func(cmd *cobra.Command, args []string) error {
			in.Name = writ.ChannelName(args[0])
			out, err := call(cmd.Context(), a, contract.ChannelRemove, in)
			if err != nil {
				return err
			}
			return a.print(out, func(t *table) {
				t.pair("channel", string(in.Name))
				t.pair("status", out.Status)
			})
		},
	}
	c.Flags().StringVar(&in.Reason, "reason", "", "why")
	return c
}

func (a *app) channelList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the channels, where they are reached and what is wrong with them", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			out, err := call(cmd.Context(), a, contract.ChannelList, &contract.ChannelListInput{})
			if err != nil {
				return err
			}
			return a.print(out, func(t *table) {
				if len(out.Items) == 0 {
					t.line("there are no channels: see `writ channel add --help`")
					return
				}
				t.head("channel", "url", "members", "triggers", "approvals", "problem")
				for _, c := range out.Items {
					events := make([]string, len(c.Triggers))
					for i := range c.Triggers {
						events[i] = c.Triggers[i].Event
					}
					t.row(string(c.Name), c.URL, fmt.Sprint(len(c.Members)), strings.Join(events, " "), approvalsIn(&c.Channel), c.Problem)
				}
			})
		},
	}
}

// approvalsIn says what becomes of approvals in a channel: "decided, asked in T1/C1".
func approvalsIn(c *contract.Channel) string {
	var words []string
	if c.Decides {
		words = append(words, "decided")
	}
	if c.AskIn != "" {
		words = append(words, "asked in "+c.AskIn)
	}
	return strings.Join(words, ", ")
}

func (a *app) channelSimulate() *cobra.Command {
	in := &contract.ChannelSimulateInput{}
	return &cobra.Command{
		Use: "simulate PROVIDER/NAME SAMPLE", Short: "Take a signed sample as if the provider had sent it", Args: exactly("PROVIDER/NAME", "SAMPLE"),
		Long: `Sign a sample as the provider would and take it as if the provider had sent it. What
it sets off is real. The name of a sample that does not exist lists those that do.`,
		Example: "  writ channel simulate github/acme issues.opened",
		RunE: func(cmd *cobra.Command, args []string) error {
			in.Name, in.Sample = writ.ChannelName(args[0]), args[1]
			out, err := call(cmd.Context(), a, contract.ChannelSimulate, in)
			if err != nil {
				return err
			}
			return a.print(out, func(t *table) {
				t.pair("answered", fmt.Sprintf("%d %s", out.HTTPStatus, http.StatusText(out.HTTPStatus)))
				t.pair("status", out.Status)
				if len(out.Outcomes) == 0 {
					return
				}
				t.flush()
				t.head("message", "sender", "principal", "outcome", "execution", "why")
				for _, o := range out.Outcomes {
					t.row(o.Kind, o.Sender, string(o.Principal), string(o.Status), string(o.Execution), o.Message)
				}
				t.flush()
				for _, o := range out.Outcomes {
					if o.Answer != "" {
						t.line("answer:")
						for line := range strings.SplitSeq(o.Answer, "\n") {
							t.line("  %s", clean(line))
						}
					}
				}
			})
		},
	}
}
