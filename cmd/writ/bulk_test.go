package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/contract"
)

// TestOutliers: what differs from most others in shape, size or target is found, and
// nothing else.
func TestOutliers(t *testing.T) {
	call := func(arguments string) contract.Approval {
		raw, err := json.Marshal(&writ.ApprovalRequest{Call: &writ.ProposedCall{Tool: abi.ToolHTTPRequest, Arguments: json.RawMessage(arguments)}})
		if err != nil {
			t.Fatal(err)
		}
		return contract.Approval{Request: raw}
	}
	to := func(host, body string) string {
		return fmt.Sprintf(`{"body":%q,"method":"POST","url":"https://%s/a"}`, body, host)
	}
	usual := []contract.Approval{call(to("a.test", "one")), call(to("a.test", "two!")), call(to("a.test", "three"))}
	for name, test := range map[string]struct {
		odd  string
		want string
	}{
		"like the rest":     {to("a.test", "four"), ""},
		"another path":      {`{"body":"x","method":"POST","url":"https://a.test/b"}`, ""},
		"another host":      {to("b.test", "one"), "target"},
		"another method":    {strings.Replace(to("a.test", "one"), "POST", "PUT", 1), "target"},
		"a long one":        {to("a.test", strings.Repeat("x", 400)), "size"},
		"a member more":     {strings.Replace(to("a.test", "one"), `{"body"`, `{"headers":{"x":"y"},"body"`, 1), "shape"},
		"no request at all": {`[]`, "shape, size, target"},
	} {
		items := append(append([]contract.Approval{}, usual...), call(test.odd))
		got := outliers(items)
		if got[3] != test.want || len(got) > 1 || test.want == "" && len(got) > 0 {
			t.Errorf("%s: %v, want %q of the last", name, got, test.want)
		}
	}
	if got := outliers(usual[:1]); len(got) != 0 {
		t.Errorf("one alone stands out: %v", got)
	}
}
