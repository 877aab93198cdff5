package toolbox

import (
	"context"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
)

// maxMessage is more than most providers show of one message, in bytes.
const maxMessage = 64 << 10

// messageSend performs message.send. It is unknown wherever the channel does not say
// that nothing was said: no provider would know a second request from a first.
func (t *Toolbox) messageSend(ctx context.Context, inv *invocation) *writ.ToolResult {
	if t.opts.Messenger == nil {
		return notDone(failUnsupported("this host says nothing in channels"))
	}
	args, failure := decode[abi.MessageSend](inv.Arguments)
	if failure != nil {
		return notDone(failure)
	}
	if len(args.Text) > maxMessage {
		return notDone(failTooLarge("the text", maxMessage))
	}
	ctx, cancel := t.limitTime(ctx, inv.Deadline, 0)
	defer cancel()
	e := &exchange{tools: t, permit: inv.permit, call: inv.ToolCall}
	defer e.guard.wipe()
	if failure := e.watch(ctx); failure != nil {
		return notDone(failure)
	}
	if e.guard.found([]byte(args.Text)) || e.guard.found([]byte(args.Thread)) {
		return notDone(&abi.Failure{Code: abi.FailSecretLeak, Message: "the message holds a secret of this host; nothing was said", Fix: "leave it out"})
	}
	id, err := t.opts.Messenger.Say(ctx, inv.Tenant, &writ.Saying{Channel: writ.ChannelName(args.Channel), Thread: args.Thread, Text: args.Text})
	if err != nil {
		return unsaid(writ.CodeOf(err))
	}
	return done(&abi.MessageSent{ID: id}, writ.LabelHTTP)
}

// unsaid is what a refusal of a channel means for a guest.
func unsaid(code writ.Code) *writ.ToolResult {
	switch code {
	case writ.CodeNotFound:
		return notDone(&abi.Failure{Code: abi.FailNotFound, Message: "there is no such channel, or its provider knows no such thread", Fix: "`writ channel list` shows the channels"})
	case writ.CodeInvalid:
		return notDone(failInvalid("the channel cannot say this", "`writ channel test` tells what its provider says"))
	case writ.CodeForbidden, writ.CodeUnauthenticated:
		return notDone(failDenied("the channel's provider does not let its token say this", "`writ channel test` tells what its provider says"))
	case writ.CodeLimited:
		return notDone(failUnavailable("the channel's provider takes no more for now"))
	case writ.CodeFrozen:
		return notDone(failUnavailable("the channel is frozen"))
	case writ.CodeUnavailable:
		return notDone(failUnavailable("the channel's provider cannot be reached"))
	}
	return unknown(failUnavailable("nobody knows whether it was said"))
}
