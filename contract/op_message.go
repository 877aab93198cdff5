package contract

import "github.com/writ-run/writ"

const exMessage = "msg_example"

var unsentFailures = []Failure{
	on(writ.CodeNotFound, "No message of this id was given up."),
	on(writ.CodeConflict, "Somebody has decided about it meanwhile."),
}

// ChannelOutbox shows what is to be said.
var ChannelOutbox = define[ChannelOutboxInput, ChannelOutboxOutput](Contract{
	Key: "controlPlane.channel.outbox", Version: "1.0.1", Kind: Query, Capability: CapChannelRuntime, Auth: Operator,
	CLI: "writ channel outbox", Title: "Show an outbox", Idempotent: true,
	Description: "Lists the messages that wait to be said in channels, and those that were given up: nobody took them, or nobody knows whether they were said. Those are never sent again by themselves.",
	Goal:        "See what people were not told, and why.",
	Context:     "At any time; where drift says MESSAGE_UNSENT.",
	PII:         []string{"output.items.thread", "output.items.why"},
	Examples: example(ChannelOutboxInput{}, ChannelOutboxOutput{Result: done("ok"), Items: []ChannelMessage{{
		MessageID: exMessage, Channel: "github/acme", Thread: "acme/site#12", Status: MessageIndeterminate, Attempt: 1,
		Code: writ.CodeIndeterminate, Why: "github: the request was sent and no answer came", Since: exTime,
	}}}),
})

// ChannelResend says once more what was given up.
var ChannelResend = define[ChannelResendInput, ChannelResendOutput](Contract{
	Key: "controlPlane.channel.resend", Version: "1.0.1", Kind: Command, Capability: CapChannelRuntime, Auth: Operator,
	CLI: "writ channel resend", Title: "Send a message again", Idempotent: false,
	Description: "Queues a message again that was given up, behind all that waits. One whose outcome is not known may then be said twice: who sends it again has looked.",
	Goal:        "Tell people what they were not told.",
	Context:     "Once what was in the way is gone.",
	PII:         []string{"input.reason"},
	Errors: append([]Failure{on(writ.CodeUnreplayable, "Its text is no longer kept.")}, []Failure{
		unsentFailures[0],
		on(writ.CodeConflict, "Somebody has decided about it meanwhile, or nobody can decide any more what it asks."),
	}...),
	Emits:    []string{EventMessageQueued},
	Examples: example(ChannelResendInput{MessageID: exMessage, Reason: "it is not in the issue"}, ChannelResendOutput{Result: done(string(MessageQueued))}),
})

// ChannelDrop ends what was given up.
var ChannelDrop = define[ChannelDropInput, ChannelDropOutput](Contract{
	Key: "controlPlane.channel.drop", Kind: Command, Capability: CapChannelRuntime, Auth: Operator,
	CLI: "writ channel drop", Title: "Drop a message", Idempotent: false,
	Description: "Ends a message that was given up: it is not said, or it was and somebody has seen it.",
	Goal:        "Keep the outbox to what needs somebody.",
	Context:     "After somebody has looked.",
	PII:         []string{"input.reason"},
	Errors:      unsentFailures,
	Emits:       []string{EventMessageDropped},
	Examples:    example(ChannelDropInput{MessageID: exMessage, Reason: "it was said after all"}, ChannelDropOutput{Result: done(string(MessageDropped))}),
})

// ChannelTest says something harmless.
var ChannelTest = define[ChannelTestInput, ChannelTestOutput](Contract{
	Key: "controlPlane.channel.test", Version: "1.1.0", Kind: Command, Capability: CapChannelRuntime, Auth: Admin,
	CLI: "writ channel test", Title: "Test a channel", Idempotent: false,
	Description: "Says in a thread that it is a test and who asked for it, at once and once, and tells what the provider answered. Both stand in the journal.",
	Goal:        "See that a channel's token and its permissions are right.",
	Context:     "After channel.add with a token.",
	PII:         []string{"input.thread", "output.why"},
	Errors:      []Failure{on(writ.CodeNotFound, "There is no such channel."), on(writ.CodeFrozen, "The channel, the tenant or everything is frozen.")},
	Emits:       []string{EventChannelChanged},
	Examples:    example(ChannelTestInput{Name: "github/acme", Thread: "acme/site#12"}, ChannelTestOutput{Result: done(string(MessageSent)), ID: "1234567"}),
})
