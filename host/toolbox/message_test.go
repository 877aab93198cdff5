package toolbox

import (
	"context"
	"strings"
	"testing"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
)

// messenger says what it is asked to, or errs.
type messenger struct {
	said []writ.Saying
	to   []writ.TenantID
	err  error
}

func (m *messenger) Say(_ context.Context, tenant writ.TenantID, saying *writ.Saying) (string, error) {
	if m.err != nil {
		return "", m.err
	}
	m.said, m.to = append(m.said, *saying), append(m.to, tenant)
	return "id-1", nil
}

func TestMessageSend(t *testing.T) {
	m := &messenger{}
	b := newBench(t, Options{Messenger: m}, writ.Capability{Tool: abi.ToolMessageSend, Channels: []string{"slack/acme", "github/*"}})
	result := b.do(abi.ToolMessageSend, abi.MessageSend{Channel: "github/site", Thread: "t", Text: "hello"})
	if result.Outcome != writ.OutcomeDone || string(result.Body) != `{"id":"id-1"}` || len(m.said) != 1 || m.said[0] != (writ.Saying{Channel: "github/site", Thread: "t", Text: "hello"}) || m.to[0] != testTenant {
		t.Errorf("%+v, %+v", result, m)
	}
	for _, elsewhere := range []string{"slack/other", "telegram/acme"} {
		if _, err := b.Perform(t.Context(), b.permit, b.callOf(abi.ToolMessageSend, abi.MessageSend{Channel: elsewhere, Text: "x"})); !writ.IsCode(err, writ.CodeForbidden) {
			t.Errorf("%s: %v", elsewhere, err)
		}
	}
	for _, channel := range []string{"", "slack", "slack/*", "*/acme", "a/b/c"} {
		if _, err := writ.CallFactsOf(abi.ToolMessageSend, []byte(`{"channel":"`+channel+`","text":"x"}`)); !writ.IsCode(err, writ.CodeInvalid) {
			t.Errorf("%q: %v", channel, err)
		}
	}
	for size, code := range map[int]string{maxMessage: "", maxMessage + 1: abi.FailTooLarge} {
		result := b.do(abi.ToolMessageSend, abi.MessageSend{Channel: "slack/acme", Text: strings.Repeat("x", size)})
		if got := result.Failure; (got == nil) != (code == "") || got != nil && got.Code != code {
			t.Errorf("%d bytes: %v", size, got)
		}
	}
	if len(m.said) != 2 {
		t.Errorf("%d were said", len(m.said))
	}
}

// TestWhatAChannelRefuses is not done where the channel says so, and unknown otherwise.
func TestWhatAChannelRefuses(t *testing.T) {
	m := &messenger{}
	b := newBench(t, Options{Messenger: m}, writ.Capability{Tool: abi.ToolMessageSend, Channels: []string{"**"}})
	for code, want := range map[writ.Code]string{
		writ.CodeNotFound: abi.FailNotFound, writ.CodeInvalid: abi.FailInvalid, writ.CodeForbidden: abi.FailDenied, writ.CodeUnauthenticated: abi.FailDenied,
		writ.CodeLimited: abi.FailUnavailable, writ.CodeUnavailable: abi.FailUnavailable, writ.CodeFrozen: abi.FailUnavailable,
		writ.CodeIndeterminate: "", writ.CodeTimeout: "", writ.CodeInternal: "", writ.CodeConflict: "",
	} {
		m.err = writ.Errorf(code, "provider", "words of the provider's")
		result := b.do(abi.ToolMessageSend, abi.MessageSend{Channel: "slack/acme", Text: "x"})
		if want == "" && result.Outcome != writ.OutcomeUnknown || want != "" && (result.Outcome != writ.OutcomeNotDone || result.Failure.Code != want) {
			t.Errorf("%s: %+v", code, result)
		}
		if strings.Contains(result.Failure.Message, "words") {
			t.Errorf("%s: %s", code, result.Failure.Message)
		}
	}
	silent := newBench(t, Options{}, writ.Capability{Tool: abi.ToolMessageSend, Channels: []string{"**"}})
	if result := silent.do(abi.ToolMessageSend, abi.MessageSend{Channel: "slack/acme", Text: "x"}); result.Outcome != writ.OutcomeNotDone || result.Failure.Code != abi.FailUnsupported {
		t.Errorf("%+v", result)
	}
}
