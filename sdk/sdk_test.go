package sdk_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/sdk"
	"github.com/writ-run/writ/sdk/sdktest"
)

type in struct {
	How string `json:"how"`
}

type out struct {
	Items []string `json:"items"`
}

func end(c *sdk.Context, in in) (out, error) {
	switch in.How {
	case "fail":
		return out{}, sdk.Fail("quota_exceeded", "no more today")
	case "wrap":
		return out{}, fmt.Errorf("page 2: %w", &sdk.Failure{Code: "gone", Message: "it left", Fix: "come back"})
	case "error":
		return out{}, errors.New("plain")
	case "long":
		return out{}, errors.New(strings.Repeat("é", 1<<10))
	case "panic":
		panic("a secret place")
	case "index":
		return out{Items: make([]string, 0)[:len(in.How)]}, nil
	case "denied":
		_, err := sdk.HTTP(c, sdk.HTTPRequest{Method: "GET", URL: "https://example.com/"})
		return out{}, err
	}
	return out{}, nil
}

var _ = sdk.Action("end", end)

func TestHowAnActionEnds(t *testing.T) {
	tests := []struct {
		how, code, message, fix string
	}{
		{"fail", "quota_exceeded", "no more today", ""},
		{"wrap", "gone", "page 2: gone: it left", "come back"},
		{"error", sdk.CodeFailed, "plain", ""},
		{"panic", sdk.CodePanic, "a secret place", ""},
		{"index", sdk.CodePanic, "runtime error: slice bounds out of range [:5] with capacity 0", ""},
		{"denied", abi.FailDenied, "http.request failed as the test asked", ""},
	}
	for _, tt := range tests {
		t.Run(tt.how, func(t *testing.T) {
			host := sdktest.New(t).Fail(abi.ToolHTTPRequest, abi.FailDenied)
			_, err := sdktest.Run[out](host, "end", in{How: tt.how})
			var f *sdk.Failure
			if !errors.As(err, &f) || f.Code != tt.code || f.Message != tt.message || f.Fix != tt.fix {
				t.Errorf("ended with %+v, want %+v", err, tt)
			}
		})
	}
}

func TestNothingIsNull(t *testing.T) {
	raw, failure := sdk.Run(sdk.NewContext(nil), "end", []byte(`{"how":"well"}`))
	if failure != nil || string(raw) != `{"items":[]}` {
		t.Errorf("Run = %s, %v", raw, failure)
	}
}

func TestALongMessageIsCut(t *testing.T) {
	_, failure := sdk.Run(sdk.NewContext(nil), "end", []byte(`{"how":"long"}`))
	if failure == nil || len(failure.Message) != 1<<10+3 || !strings.HasSuffix(failure.Message, "é...") {
		t.Errorf("failure has %d bytes", len(failure.Message))
	}
}

func TestRunRefuses(t *testing.T) {
	tests := []struct{ action, input, code, message string }{
		{"start", `{}`, sdk.CodeUnknownAction, `no action "start"`},
		{"end", `{}`, abi.FailInvalid, "input: /how: is missing"},
		{"end", `nonsense`, abi.FailInvalid, "input: is not JSON"},
	}
	for _, tt := range tests {
		_, failure := sdk.Run(sdk.NewContext(nil), tt.action, []byte(tt.input))
		if failure == nil || failure.Code != tt.code || !strings.Contains(failure.Message, tt.message) {
			t.Errorf("Run(%s, %s) = %v, want %s: %s", tt.action, tt.input, failure, tt.code, tt.message)
		}
	}
}

func TestActionRefuses(t *testing.T) {
	for _, name := range []string{"", "End", "2nd", "_x", "a-b", "end", "é"} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if cause := fmt.Sprint(recover()); !strings.Contains(cause, fmt.Sprintf("sdk: action %q", name)) {
					t.Errorf("Action(%q) panicked with %v", name, cause)
				}
			}()
			sdk.Action(name, end)
		})
	}
}

func TestDescribeIsDescription(t *testing.T) {
	raw, err := json.Marshal(sdk.Describe())
	if err != nil {
		t.Fatal(err)
	}
	var d abi.Description
	if err := json.Unmarshal(raw, &d); err != nil {
		t.Fatal(err)
	}
	i := len(d.Actions) - 1
	for ; i >= 0 && d.Actions[i].Name != "end"; i-- {
	}
	if i < 0 || d.Actions[i].Input["type"] != "object" || d.Actions[i].Output["type"] != "object" {
		t.Errorf("Describe = %s", raw)
	}
}

// Without a host every tool says so; nothing panics and nothing is pretended.
func TestNoHost(t *testing.T) {
	c := sdk.NewContext(nil)
	sdk.Log(c, sdk.LevelInfo, "into the void")
	_, errHTTP := sdk.HTTP(c, sdk.HTTPRequest{})
	_, _, errGet := sdk.KVGet(c, "k")
	_, errRead := sdk.ReadFile(c, "f")
	for _, err := range []error{errHTTP, errGet, sdk.KVPut(c, "k", "v"), errRead, sdk.WriteFile(c, "f", nil)} {
		var f *sdk.Failure
		if !errors.As(err, &f) || f.Code != abi.FailUnsupported || f.Fix == "" {
			t.Errorf("without a host: %v, want %s", err, abi.FailUnsupported)
		}
	}
}

type badHost string

func (b badHost) Call(string, []byte) ([]byte, *sdk.Failure) { return []byte(b), nil }

func TestAHostThatAnswersNonsense(t *testing.T) {
	for _, answer := range []string{"", "[]", `{"found":"yes"}`, `{"text":1}`} {
		if _, _, err := sdk.KVGet(sdk.NewContext(badHost(answer)), "k"); err == nil && answer != `{"text":1}` {
			t.Errorf("kv.get took %q", answer)
		}
	}
	if _, err := sdk.ReadFile(sdk.NewContext(badHost(`{"base64":"*"}`)), "f"); err == nil {
		t.Error("file.read took base64 that is none")
	}
}
