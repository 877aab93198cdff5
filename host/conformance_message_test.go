package host

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/host/toolbox"
)

// listener is a messenger that keeps what it is asked to say.
type listener struct {
	said []writ.Saying
	id   string
	err  error
}

// Say implements writ.Messenger.
func (l *listener) Say(_ context.Context, _ writ.TenantID, saying *writ.Saying) (string, error) {
	l.said = append(l.said, *saying)
	return l.id, l.err
}

// speaking performs calls with the real toolbox, under a permit to say something in
// channels of GitHub. As in an engine, what the permit does not cover is refused, and
// an outcome that nobody knows ends the run.
func speaking(t *testing.T, l *listener) *gate {
	t.Helper()
	box, err := toolbox.New(toolbox.Options{Messenger: l})
	if err != nil {
		t.Fatal(err)
	}
	scope := writ.PermitScope{
		Tenant: "acme", Execution: "exe_test", Step: "stp_test", Skill: writ.SkillRef{Key: "test/guest"},
		Capabilities: []writ.Capability{{Tool: abi.ToolMessageSend, Channels: []string{"github/*"}}},
	}
	permit, err := writ.MintPermit(scope, writ.PermitEvidence{Verdict: &writ.Verdict{Mode: writ.Autonomous, Risk: abi.RiskLow}})
	if err != nil {
		t.Fatal(err)
	}
	return &gate{answer: func(ctx context.Context, tool string, args []byte) (*writ.ToolReply, error) {
		facts, err := writ.CallFactsOf(tool, args)
		if err != nil {
			return refusal(abi.FailInvalid, "not the facts of a call"), nil
		}
		result, err := box.Perform(ctx, permit, &writ.ToolCall{
			CallFacts: *facts, Tenant: scope.Tenant, Skill: scope.Skill.Key, Execution: scope.Execution, Step: scope.Step, Key: "key",
		})
		switch {
		case writ.IsCode(err, writ.CodeForbidden):
			return refusal(abi.FailDenied, "not granted"), nil
		case err != nil:
			return nil, err
		case result.Outcome == writ.OutcomeUnknown:
			return nil, writ.Errorf(writ.CodeIndeterminate, "tool", "%s", result.Failure.Message)
		}
		return &writ.ToolReply{Body: result.Body, Failure: result.Failure}, nil
	}}
}

// tells is a run that says something through the gate.
func tells(t *testing.T, module []byte, g *gate, saying writ.Saying) *writ.GuestRun {
	t.Helper()
	run := actionRun(t, module, "tell", canonicalJSON(t, map[string]any{
		"channel": string(saying.Channel), "text": saying.Text, "thread": saying.Thread,
	}))
	run.Gate = g
	return run
}

// What is said in a channel is the same in every language, and so is each way in which
// it is not said.
func TestConformanceOfMessages(t *testing.T) {
	modules := conformanceModules(t)
	onEach(t, func(t *testing.T, s writ.Sandbox) {
		for language, module := range modules {
			t.Run(language, func(t *testing.T) {
				saysAlike(t, s, module)
				keepsSilentAlike(t, s, module)
				leftUnknownAlike(t, s, module)
			})
		}
	})
}

const tall = 64 << 10 // what the toolbox takes of one text

func saysAlike(t *testing.T, s writ.Sandbox, module []byte) {
	t.Helper()
	for _, c := range []struct {
		saying     writ.Saying
		id, called string
	}{
		{writ.Saying{Channel: "github/acme", Thread: "acme/site#12", Text: "The build is done, @ada."}, "77", `{"channel":"github/acme","text":"The build is done, @ada.","thread":"acme/site#12"}`},
		{writ.Saying{Channel: "github/é", Thread: "\"t\"\\\n", Text: "hé\n\"x\"\\ \u0001 😀\u2028/<>"}, "é\"\n😀", `{"channel":"github/é","text":"hé\n\"x\"\\ \u0001 😀` + "\u2028" + `/<>","thread":"\"t\"\\\n"}`},
		{writ.Saying{Channel: "github/acme", Text: "in no thread"}, "", `{"channel":"github/acme","text":"in no thread"}`},
		{writ.Saying{Channel: "github/acme", Text: strings.Repeat("\n", tall)}, "1", `{"channel":"github/acme","text":"` + strings.Repeat(`\n`, tall) + `"}`},
	} {
		l := &listener{id: c.id}
		g := speaking(t, l)
		wants(t, s, tells(t, module, g, c.saying), canonicalJSON(t, map[string]any{"id": c.id}))
		if !slices.Equal(l.said, []writ.Saying{c.saying}) {
			t.Errorf("said %.200q", l.said)
		}
		if want := []string{abi.ToolMessageSend + " " + c.called}; !slices.Equal(g.calls, want) {
			t.Errorf("called %.200q", g.calls)
		}
	}
}

// keepsSilentAlike is about what the host does not say, and what a channel refuses.
func keepsSilentAlike(t *testing.T, s writ.Sandbox, module []byte) {
	t.Helper()
	hello := writ.Saying{Channel: "github/acme", Text: "hello"}
	for want, saying := range map[string]writ.Saying{
		"! denied: not granted":              {Channel: "slack/acme", Thread: "t", Text: "hello"},
		"! invalid: not the facts of a call": {Channel: "github/*", Text: "hello"},
		`! invalid: the arguments of message.send: member "text" does not fit: want plain text of at most 64 KiB`: {Channel: "github/acme"},
		"! too_large: the text: larger than 65536 bytes":                                                          {Channel: "github/acme", Text: strings.Repeat("x", tall+1)},
	} {
		l := &listener{id: "77"}
		wants(t, s, tells(t, module, speaking(t, l), saying), want)
		if len(l.said) > 0 {
			t.Errorf("said in %s: %.200q", saying.Channel, l.said)
		}
	}
	for code, want := range map[writ.Code]string{
		writ.CodeNotFound: "! not_found: there is no such channel", writ.CodeInvalid: "! invalid: the channel cannot say this",
		writ.CodeForbidden: "! denied: the channel's provider", writ.CodeUnavailable: "! unavailable: the channel's provider",
	} {
		l := &listener{err: writ.Errorf(code, "github", "words of the provider's")}
		if got := outcomeOf(t, s, tells(t, module, speaking(t, l), hello)); !strings.HasPrefix(got, want) || len(l.said) != 1 {
			t.Errorf("%s: %s, want %s; %d were asked for", code, got, want, len(l.said))
		}
	}
	for _, code := range []string{
		abi.FailDenied, abi.FailInvalid, abi.FailNotFound, abi.FailTooLarge, abi.FailUnavailable,
		abi.FailTimeout, abi.FailLimit, abi.FailSecretLeak, abi.FailUnsupported,
	} {
		refuses := &gate{answer: func(context.Context, string, []byte) (*writ.ToolReply, error) {
			return refusal(code, `as the "test" says`), nil
		}}
		wants(t, s, tells(t, module, refuses, hello), "! "+code+`: as the "test" says`)
	}
}

// leftUnknownAlike: nobody knows whether it was said, so the guest is told nothing.
func leftUnknownAlike(t *testing.T, s writ.Sandbox, module []byte) {
	t.Helper()
	for _, code := range []writ.Code{writ.CodeIndeterminate, writ.CodeTimeout} {
		l := &listener{err: writ.Errorf(code, "github", "no answer")}
		run := tells(t, module, speaking(t, l), writ.Saying{Channel: "github/acme", Text: "hello"})
		if result, err := s.Run(t.Context(), run); result != nil || !writ.IsCode(err, writ.CodeIndeterminate) || len(l.said) != 1 {
			t.Errorf("%s: %v, %v; %d were asked for", code, result, err, len(l.said))
		}
	}
}
