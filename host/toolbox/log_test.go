package toolbox

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode"

	"github.com/hashicorp/go-hclog"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
)

func logBench(t *testing.T) (*bench, *bytes.Buffer) {
	var out bytes.Buffer
	logger := hclog.New(&hclog.LoggerOptions{Output: &out, JSONFormat: true, Level: hclog.Info})
	return newBench(t, Options{Logger: logger}, writ.Capability{Tool: abi.ToolLog}), &out
}

func TestLogLine(t *testing.T) {
	b, out := logBench(t)
	result := b.do(abi.ToolLog, abi.LogArgs{
		Level: "warn", Message: "line\nforged \x1b[2J \u202eevil \u2028",
		Fields: map[string]string{"tenant": "spoofed", "n": "1\r2"},
	})
	if string(result.Body) != "{}" || result.Outcome != writ.OutcomeDone {
		t.Errorf("result %+v", result)
	}
	var line map[string]string
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("%v in %q", err, out)
	}
	want := map[string]string{
		"@level": "warn", "@message": `line\u{a}forged \u{1b}[2J \u{202e}evil \u{2028}`,
		"tenant": "default", "skill": "pub/skill", "execution": "exe_1", "step": "stp_1",
		"guest.tenant": "spoofed", "guest.n": `1\u{d}2`,
	}
	for name, value := range want {
		if line[name] != value {
			t.Errorf("%s is %q, want %q", name, line[name], value)
		}
	}
}

func TestLogIsFilteredAndCut(t *testing.T) {
	b, out := logBench(t)
	b.do(abi.ToolLog, abi.LogArgs{Level: "debug", Message: "hidden"})
	if out.Len() != 0 {
		t.Errorf("logged %q", out)
	}
	b.do(abi.ToolLog, abi.LogArgs{Level: "info", Message: strings.Repeat("m", 1<<20), Fields: map[string]string{"f": strings.Repeat("f", 1<<20)}})
	if out.Len() > maxLogMessage+maxLogValue+1024 {
		t.Errorf("the line has %d bytes", out.Len())
	}
	if strings.Count(out.String(), cutMark) != 2 {
		t.Errorf("the cuts are not marked: %q", out)
	}
}

func TestPlainText(t *testing.T) {
	for limit := range 8 {
		got := plainText("aä€😀", limit)
		if !strings.HasSuffix(got, cutMark) || strings.ContainsRune(got, unicode.ReplacementChar) {
			t.Errorf("cut at %d: %q", limit, got)
		}
	}
	if got := plainText("aä€😀", 10); got != "aä€😀" {
		t.Errorf("at the limit: %q", got)
	}
}
