package contract

import "github.com/writ-run/writ"

func exChannel() Channel {
	return Channel{
		Name: "github/acme", Secrets: []string{"github-webhook"}, Members: []ChannelMember{{Sender: "*", PrincipalID: "agent:triage-bot"}},
		Triggers: []ChannelTrigger{{Event: "issues.opened", Draft: "apiVersion: writ/v1\nkind: Plan\nsteps: []\n"}},
	}
}

const exChannelURL = "https://writ.example.com/webhooks/github/acme"

// ChannelAdd lets a provider in.
var ChannelAdd = define[ChannelAddInput, ChannelAddOutput](Contract{
	Key: "controlPlane.channel.add", Version: "1.2.0", Kind: Command, Capability: CapChannelRuntime, Auth: Admin,
	CLI: "writ channel add", Title: "Add a channel", Idempotent: true,
	Description: "Takes what a provider signs with one of the secrets, and says which principal each sender is here and what events set off. Nothing of a sender who is no member becomes an intent. The same name again replaces what was there.",
	Goal:        "Let people and events ask from where they are, under the same law.",
	Context:     "Once the secret is set, and again whenever members, triggers or secrets change.",
	PII:         []string{"input.members.sender", "input.members.principalId", "input.reason"},
	Errors: []Failure{
		on(writ.CodeConflict, "The tenant has as many channels as are kept."),
	},
	Emits:    []string{EventChannelChanged},
	Examples: example(ChannelAddInput{Channel: exChannel()}, ChannelAddOutput{Result: done(ChannelAdded), URL: exChannelURL}),
})

// ChannelRemove lets a provider in no more.
var ChannelRemove = define[ChannelRemoveInput, ChannelRemoveOutput](Contract{
	Key: "controlPlane.channel.remove", Kind: Command, Capability: CapChannelRuntime, Auth: Admin,
	CLI: "writ channel remove", Title: "Remove a channel", Idempotent: false,
	Description: "Takes nothing of the provider any more. What was taken and not yet handled is refused when its turn comes; what was submitted goes on.",
	Goal:        "Close a door.",
	Context:     "When a channel is not used any more, or not trusted.",
	PII:         []string{"input.reason"},
	Errors:      []Failure{on(writ.CodeNotFound, "There is no such channel.")},
	Emits:       []string{EventChannelChanged},
	Examples:    example(ChannelRemoveInput{Name: "github/acme"}, ChannelRemoveOutput{Result: done(ChannelRemoved)}),
})

// ChannelList shows the doors.
var ChannelList = define[ChannelListInput, ChannelListOutput](Contract{
	Key: "controlPlane.channel.list", Version: "1.2.0", Kind: Query, Capability: CapChannelRuntime, Auth: Operator,
	CLI: "writ channel list", Title: "List channels", Idempotent: true,
	Description: "Lists the channels of the tenant by name, with the URL to give to the provider and what is wrong with them.",
	Goal:        "Know who may ask from where, and why nothing comes.",
	Context:     "At any time.",
	PII:         []string{"output.items.members.sender", "output.items.members.principalId"},
	Examples:    example(ChannelListInput{}, ChannelListOutput{Result: done("ok"), Items: []ChannelItem{{Channel: exChannel(), URL: exChannelURL}}}),
})

// ChannelSimulate tries a channel out.
var ChannelSimulate = define[ChannelSimulateInput, ChannelSimulateOutput](Contract{
	Key: "controlPlane.channel.simulate", Version: "1.1.0", Kind: Command, Capability: CapChannelRuntime, Auth: Admin,
	CLI: "writ channel simulate", Title: "Simulate a delivery", Idempotent: false,
	Description: "Signs a sample as the provider would and takes it as if the provider had sent it, through the same verification, inbox and members. What it sets off is real.",
	Goal:        "See that a channel works before the provider is told of it.",
	Context:     "After channel.add.",
	PII:         []string{"output.outcomes.sender", "output.outcomes.principal", "output.outcomes.message"},
	Errors:      []Failure{on(writ.CodeNotFound, "There is no such channel, or no such sample of its provider.")},
	Emits:       []string{EventChannelReceived, EventChannelHandled, EventChannelAnswered, EventIntentReceived},
	Examples: example(ChannelSimulateInput{Name: "github/acme", Sample: "issues.opened"},
		ChannelSimulateOutput{Result: done("handled"), HTTPStatus: 202, Outcomes: []writ.DeliveryOutcome{{
			Status: writ.DeliverySubmitted, Kind: "happened", Sender: "21031067", Principal: "agent:triage-bot", Execution: exExecution,
		}}}),
})
