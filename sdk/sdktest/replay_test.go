package sdktest_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/sdk"
	"github.com/writ-run/writ/sdk/sdktest"
)

const recording = `{"recorded": "by hand", "calls": [
  {"tool": "kv.get", "arguments": {"key": "visits"}, "result": {"found": true, "value": "3"}},
  {"tool": "log", "arguments": {"level": "info", "message": "counted"}},
  {"tool": "http.request", "arguments": {"url": "https://example.com/", "method": "GET"}, "failure": {"code": "timeout", "message": "too slow"}},
  {"tool": "kv.put"}
]}`

func recorded(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "calls.json")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// asRecorded makes the calls of the recording.
func asRecorded(c *sdk.Context) string {
	value, found, err := sdk.KVGet(c, "visits")
	said := fmt.Sprint(value, found, err)
	sdk.Log(c, sdk.LevelWarn, "not written down")
	sdk.Log(c, sdk.LevelInfo, "counted")
	_, err = sdk.HTTP(c, sdk.HTTPRequest{Method: "GET", URL: "https://example.com/"})
	return fmt.Sprint(said, " ", err, " ", sdk.KVPut(c, "visits", "4"))
}

func TestReplayFile(t *testing.T) {
	host := sdktest.New(t).ReplayFile(recorded(t, recording))
	if said, want := asRecorded(host.Context()), "3true <nil> timeout: too slow <nil>"; said != want {
		t.Errorf("said %q, want %q", said, want)
	}
	if calls := host.Calls(""); len(calls) != 5 {
		t.Errorf("%d calls were made", len(calls))
	}
}

// failing is a test that keeps its errors and ends when it is told to.
type failing struct {
	recorder
	ends []func()
}

func (f *failing) Cleanup(end func()) { f.ends = append(f.ends, end) }

func (f *failing) Fatalf(format string, args ...any) {
	f.Errorf(format, args...)
	panic("the test is over")
}

func TestReplayHoldsTheSkillToTheRecording(t *testing.T) {
	calls := []sdktest.Recorded{{Tool: abi.ToolKVGet, Arguments: []byte(`{"key":"a"}`)}, {Tool: abi.ToolKVPut}}
	for _, c := range []struct {
		what string
		do   func(c *sdk.Context)
		want string
	}{
		{"as recorded", func(c *sdk.Context) { _, _, _ = sdk.KVGet(c, "a"); _ = sdk.KVPut(c, "b", "") }, ""},
		{"other arguments", func(c *sdk.Context) { _, _, _ = sdk.KVGet(c, "b") }, `call 1 is kv.get {"key":"b"}, want kv.get {"key":"a"}`},
		{"another order", func(c *sdk.Context) { _ = sdk.KVPut(c, "b", "") }, `call 1 is kv.put {"key":"b","value":""}, want kv.get`},
		{"fewer", func(c *sdk.Context) { _, _, _ = sdk.KVGet(c, "a") }, "call 2 was not made: kv.put"},
		{"more", func(c *sdk.Context) {
			_, _, _ = sdk.KVGet(c, "a")
			_ = sdk.KVPut(c, "b", "")
			_, _ = sdk.KVDelete(c, "a")
		}, "call 3 is kv.delete {\"key\":\"a\"}, want no further one"},
	} {
		f := &failing{recorder: recorder{TB: t}}
		c.do(sdktest.New(f).Replay(calls).Context())
		for _, end := range f.ends {
			end()
		}
		if got := strings.Join(f.errors, "|"); got != c.want && (c.want == "" || !strings.Contains(got, c.want) || len(f.errors) != 1) {
			t.Errorf("%s: %q, want %q", c.what, got, c.want)
		}
	}
}

func TestReplayFileRefusesWhatIsNone(t *testing.T) {
	for _, text := range []string{``, `[]`, `{}`, `{"calls": {}}`, `{"calls": [1]}`} {
		f := &failing{recorder: recorder{TB: t}}
		func() {
			defer func() { _ = recover() }()
			sdktest.New(f).ReplayFile(recorded(t, text))
		}()
		if len(f.errors) != 1 || !strings.Contains(f.errors[0], "holds no recorded calls") {
			t.Errorf("%s: %q", text, f.errors)
		}
	}
}

type visit struct {
	Name string `json:"name"`
}

type visits struct {
	Count string `json:"count"`
}

// count is registered for the recordings.
var _ = sdk.Action("count", func(c *sdk.Context, in visit) (visits, error) {
	value, _, err := sdk.KVGet(c, "visits/"+in.Name)
	return visits{Count: value}, err
})

func TestRunRecordings(t *testing.T) { sdktest.RunRecordings(t, "testdata/recorded/*.json") }
