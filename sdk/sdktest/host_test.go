package sdktest_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/sdk"
	"github.com/writ-run/writ/sdk/sdktest"
)

func code(err error) string {
	var f *sdk.Failure
	if errors.As(err, &f) {
		return f.Code
	}
	return fmt.Sprint(err)
}

func TestKV(t *testing.T) {
	host := sdktest.New(t)
	c := host.Context()
	for i := range 150 {
		if err := sdk.KVPut(c, fmt.Sprintf("n/%03d", i), "v"); err != nil {
			t.Fatal(err)
		}
	}
	host.KV["other"] = "set by the test"
	if value, found, err := sdk.KVGet(c, "other"); value != "set by the test" || !found || err != nil {
		t.Errorf("Get = %q, %v, %v", value, found, err)
	}
	if _, found, err := sdk.KVGet(c, "absent"); found || err != nil {
		t.Errorf("Get of nothing = %v, %v", found, err)
	}
	first, more, err := sdk.KVList(c, "n/", "")
	if len(first) != 100 || !more || err != nil || !slices.IsSorted(first) {
		t.Errorf("List = %d keys, %v, %v", len(first), more, err)
	}
	rest, more, err := sdk.KVList(c, "n/", first[99])
	if len(rest) != 50 || more || err != nil || rest[0] != "n/100" {
		t.Errorf("List after = %v, %v, %v", rest, more, err)
	}
	if deleted, err := sdk.KVDelete(c, "other"); !deleted || err != nil {
		t.Errorf("Delete = %v, %v", deleted, err)
	}
	if deleted, err := sdk.KVDelete(c, "other"); deleted || err != nil {
		t.Errorf("Delete again = %v, %v", deleted, err)
	}
	if calls := host.Calls(abi.ToolKVPut); len(calls) != 150 || string(calls[0].Args) != `{"key":"n/000","value":"v"}` {
		t.Errorf("%d puts, the first %s", len(calls), calls[0].Args)
	}
}

func TestFiles(t *testing.T) {
	host := sdktest.New(t)
	c := host.Context()
	binary := []byte{0xff, 0, 1}
	for path, data := range map[string][]byte{"a/b.txt": []byte("text"), "a/c.bin": binary, "a/d/e": nil, "z": nil} {
		if err := sdk.WriteFile(c, path, data); err != nil {
			t.Fatal(err)
		}
	}
	if data, err := sdk.ReadFile(c, "a/c.bin"); string(data) != string(binary) || err != nil {
		t.Errorf("Read = %v, %v", data, err)
	}
	if _, err := sdk.ReadFile(c, "nowhere"); code(err) != abi.FailNotFound {
		t.Errorf("Read of nothing = %v", err)
	}
	want := []sdk.FileEntry{{Name: "b.txt", Size: 4}, {Name: "c.bin", Size: 3}, {Name: "d", Dir: true}}
	if entries, err := sdk.ListFiles(c, "a"); !reflect.DeepEqual(entries, want) || err != nil {
		t.Errorf("List = %v, %v", entries, err)
	}
	if entries, err := sdk.ListFiles(c, "."); len(entries) != 2 || err != nil {
		t.Errorf("List of the root = %v, %v", entries, err)
	}
}

func TestHTTP(t *testing.T) {
	host := sdktest.New(t).
		ReplyHTTP("GET", "https://example.com/", abi.HTTPResponse{Body: "one"}).
		ReplyHTTP("GET", "https://example.com/", abi.HTTPResponse{Status: 503, BodyBase64: "/w=="})
	c := host.Context()
	for i, want := range []struct {
		status int
		body   string
	}{{200, "one"}, {503, "\xff"}, {503, "\xff"}} {
		response, err := sdk.HTTP(c, sdk.HTTPRequest{Method: "GET", URL: "https://example.com/", Headers: map[string]string{"accept": "text/plain"}})
		if err != nil {
			t.Fatal(err)
		}
		if body, err := sdk.Body(response); response.Status != want.status || string(body) != want.body || err != nil {
			t.Errorf("reply %d is %d %q, %v", i, response.Status, body, err)
		}
	}
	if _, err := sdk.HTTP(c, sdk.HTTPRequest{Method: "get", URL: "https://example.com/"}); code(err) != abi.FailInvalid {
		t.Errorf("a lower-case method: %v", err)
	}
	if got := host.Calls("")[0].HTTP(); got.Headers["accept"] != "text/plain" {
		t.Errorf("recorded %+v", got)
	}
}

// recorder is a testing.TB that keeps what a failing test would say.
type recorder struct {
	testing.TB
	errors []string
}

func (r *recorder) Errorf(format string, args ...any) {
	r.errors = append(r.errors, fmt.Sprintf(format, args...))
}

func TestAnUnpreparedRequestFailsTheTest(t *testing.T) {
	r := &recorder{TB: t}
	_, err := sdk.HTTP(sdktest.New(r).Context(), sdk.HTTPRequest{Method: "POST", URL: "https://example.com/x"})
	if code(err) != abi.FailUnavailable || len(r.errors) != 1 || !strings.Contains(r.errors[0], "POST https://example.com/x has no reply") {
		t.Errorf("err = %v, test errors = %v", err, r.errors)
	}
}

func TestLogAndRefusals(t *testing.T) {
	host := sdktest.New(t)
	sdk.Log(host.Context(), sdk.LevelWarn, "careful", "key", "value", "odd")
	if got := string(host.Calls(abi.ToolLog)[0].Args); got != `{"level":"warn","message":"careful","fields":{"key":"value"}}` {
		t.Errorf("logged %s", got)
	}
	if _, failure := host.Call("coffee.make", []byte(`{}`)); failure == nil || failure.Code != abi.FailUnsupported {
		t.Errorf("an unknown tool: %v", failure)
	}
	if _, failure := host.Call(abi.ToolLog, []byte(`{"level":"loud"}`)); failure == nil || failure.Code != abi.FailInvalid {
		t.Errorf("an unknown level: %v", failure)
	}
	if _, failure := host.Call(abi.ToolKVList, []byte(`{"prefix":"","limit":1001}`)); failure == nil || failure.Code != abi.FailInvalid {
		t.Errorf("a limit above the bound: %v", failure)
	}
	host.Fail(abi.ToolKVGet, abi.FailLimit)
	if _, _, err := sdk.KVGet(host.Context(), "k"); code(err) != abi.FailLimit {
		t.Errorf("a prepared refusal: %v", err)
	}
}
