package main

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/sdk"
	"github.com/writ-run/writ/sdk/sdktest"
)

const base = "https://api.github.com/repos/octo/hello.world/issues/7"

var issue = Issue{Owner: "octo", Repo: "hello.world", Number: 7}

func failure(t *testing.T, err error) *sdk.Failure {
	t.Helper()
	var f *sdk.Failure
	if !errors.As(err, &f) {
		t.Fatalf("err = %v, want a Failure", err)
	}
	return f
}

func TestReadIssue(t *testing.T) {
	body := `{"number":7,"title":"T","body":null,"state":"open","html_url":"https://github.com/x","user":{"login":"ada"},
	  "labels":[{"name":"bug","id":1}],"more":{"is":"ignored"}}`
	host := sdktest.New(t).ReplyHTTP("GET", base, abi.HTTPResponse{Body: body})
	out, err := sdktest.Run[ReadOut](host, "read_issue", issue)
	want := ReadOut{Number: 7, Title: "T", State: "open", Author: "ada", Labels: []string{"bug"}, URL: "https://github.com/x"}
	if err != nil || !reflect.DeepEqual(out, want) {
		t.Errorf("read_issue = %+v, %v", out, err)
	}
}

func TestWhatIsSent(t *testing.T) {
	host := sdktest.New(t).
		ReplyHTTP("POST", base+"/comments", abi.HTTPResponse{Status: 201, Body: `{"id":4503599627370497,"html_url":"u"}`}).
		ReplyHTTP("POST", base+"/labels", abi.HTTPResponse{Body: `[{"name":"bug"},{"name":"docs"}]`})
	made, err := sdktest.Run[CommentOut](host, "comment", CommentIn{Issue: issue, Body: `"<b>"`})
	if err != nil || made.ID != 4503599627370497 || made.URL != "u" {
		t.Errorf("comment = %+v, %v", made, err)
	}
	labels, err := sdktest.Run[LabelsOut](host, "add_labels", LabelsIn{Issue: issue, Labels: []string{"docs"}})
	if err != nil || !reflect.DeepEqual(labels.Labels, []string{"bug", "docs"}) {
		t.Errorf("add_labels = %+v, %v", labels, err)
	}
	calls := host.Calls("")
	if len(calls) != 2 {
		t.Fatalf("%d calls, want 2", len(calls))
	}
	var sent struct{ Body string }
	if err := json.Unmarshal([]byte(calls[0].HTTP().Body), &sent); err != nil || sent.Body != `"<b>"` {
		t.Errorf("comment sent %s", calls[0].HTTP().Body)
	}
	if got := calls[1].HTTP().Body; got != `{"labels":["docs"]}` {
		t.Errorf("add_labels sent %s", got)
	}
	for _, call := range calls {
		for name := range call.HTTP().Headers {
			if strings.EqualFold(name, "authorization") {
				t.Error("the skill sets a credential itself")
			}
		}
	}
}

func TestRefusals(t *testing.T) {
	tests := []struct {
		status     int
		body, code string
	}{
		{401, `{"message":"Bad credentials"}`, "unauthorised"},
		{403, `{}`, "forbidden"},
		{429, ``, "forbidden"},
		{404, `{"message":"Not Found"}`, "not_found"},
		{410, `{}`, "gone"},
		{422, `{}`, "refused"},
		{301, ``, "github_status"},
		{502, `<html>`, "github_status"},
		{200, `<html>`, "bad_answer"},
		{200, `[]`, "bad_answer"},
	}
	for _, tt := range tests {
		host := sdktest.New(t).ReplyHTTP("GET", base, abi.HTTPResponse{Status: tt.status, Body: tt.body})
		_, err := sdktest.Run[ReadOut](host, "read_issue", issue)
		if f := failure(t, err); f.Code != tt.code {
			t.Errorf("%d %s is %v, want %s", tt.status, tt.body, f, tt.code)
		}
	}
}

func TestBadInputMakesNoCall(t *testing.T) {
	host := sdktest.New(t)
	for _, bad := range []Issue{
		{"", "r", 1},
		{"a/b", "r", 1},
		{"-a", "r", 1},
		{strings.Repeat("a", 40), "r", 1},
		{"a.b", "r", 1},
		{"o", "", 1},
		{"o", "..", 1},
		{"o", ".", 1},
		{"o", "a/b", 1},
		{"o", "a?b", 1},
		{"o", "a%2fb", 1},
		{"o", strings.Repeat("a", 101), 1},
		{"o", "r", 0},
		{"o", "r", -1},
	} {
		_, err := sdktest.Run[ReadOut](host, "read_issue", bad)
		if f := failure(t, err); f.Code != "bad_name" {
			t.Errorf("%+v is %v", bad, f)
		}
	}
	_, err := sdktest.Run[CommentOut](host, "comment", CommentIn{Issue: issue})
	if f := failure(t, err); f.Code != "empty" {
		t.Errorf("an empty comment is %v", f)
	}
	_, err = sdktest.Run[LabelsOut](host, "add_labels", LabelsIn{Issue: issue, Labels: []string{}})
	if f := failure(t, err); f.Code != "empty" {
		t.Errorf("no labels are %v", f)
	}
	if calls := host.Calls(""); len(calls) != 0 {
		t.Errorf("calls were made: %v", calls)
	}
}

// answering takes any request and remembers its URL.
type answering struct{ urls []string }

func (a *answering) Call(_ string, args []byte) ([]byte, *sdk.Failure) {
	var request abi.HTTPRequest
	if err := json.Unmarshal(args, &request); err != nil {
		return nil, &sdk.Failure{Code: abi.FailInvalid, Message: err.Error()}
	}
	a.urls = append(a.urls, request.URL)
	return []byte(`{"status":200,"headers":{},"body":"{}"}`), nil
}

// Whatever the input holds, a request stays inside what the manifest declares.
func TestRequestsStayWithinTheManifest(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		part := rapid.OneOf(rapid.StringMatching(`[A-Za-z0-9._/%?#-]{0,12}`), rapid.String())
		in := Issue{Owner: part.Draw(rt, "owner"), Repo: part.Draw(rt, "repo"), Number: rapid.Int().Draw(rt, "number")}
		host := &answering{}
		if _, err := readIssue(sdk.NewContext(host), in); err != nil && len(host.urls) > 0 {
			rt.Fatalf("%+v failed after a call: %v", in, err)
		}
		for _, url := range host.urls {
			target, err := writ.HTTPTarget("GET", url)
			if err != nil || target.Host != "api.github.com" || !writ.PatternCovers("/repos/*/*/issues/*", target.Path, "/") {
				rt.Fatalf("%+v reaches %s (%v)", in, url, err)
			}
		}
	})
}

func TestCases(t *testing.T) { sdktest.RunCases(t, "testdata/*.json") }
