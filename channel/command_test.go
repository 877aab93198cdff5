package channel

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/writ-run/writ/intent"
)

func TestAsk(t *testing.T) {
	for _, test := range []struct {
		text      string
		addressed bool
		want      asked
	}{
		{"/writ help", false, asked{verb: verbHelp, addressed: true}},
		{"writ help", false, asked{verb: verbHelp, addressed: true}},
		{"  WRIT   Whoami. ", false, asked{verb: verbWhoami, addressed: true}},
		{"/writ@writ_bot status exe_ab12", false, asked{verb: verbStatus, execution: "exe_ab12", addressed: true}},
		{"writ cancel exe_ab12", false, asked{verb: verbCancel, execution: "exe_ab12", addressed: true}},
		{"writ cancel exe_ab12 please", false, asked{}},
		{"/writ cancel exe_ab12 please", false, asked{verb: verbCancel, addressed: true}},
		{"/writ cancel EXE_ab12", false, asked{verb: verbCancel, addressed: true}},
		{"writ cancel", true, asked{verb: verbCancel, addressed: true}},
		{"@writ cancel exe_ab12", true, asked{verb: verbCancel, execution: "exe_ab12", addressed: true}},
		{"/Status exe_ab12", true, asked{verb: verbStatus, execution: "exe_ab12", addressed: true}},
		{"status exe_ab12", false, asked{phrase: "status exe_ab12"}},
		{"@writ cancel order exe_ab12", true, asked{phrase: "cancel order exe_ab12", addressed: true}},
		{"@writ writ cancel exe_ab12", true, asked{verb: verbCancel, execution: "exe_ab12", addressed: true}},
		{"@writ help", true, asked{verb: verbHelp, addressed: true}},
		{"@writ help", false, asked{phrase: "@writ help"}},
		{"help", false, asked{phrase: "help"}},
		{"help me", true, asked{phrase: "help me", addressed: true}},
		{"/start", true, asked{verb: verbHelp, addressed: true}},
		{"@writ", true, asked{addressed: true}},
		{"/writ", false, asked{verb: verbHelp, addressed: true}},
		{"writ", false, asked{}},
		{"writ\nread the feed x", false, asked{phrase: "read the feed x"}},
		{"/writ read the feed x", false, asked{phrase: "read the feed x", addressed: true}},
		{"writing is fun", false, asked{phrase: "writing is fun"}},
		{"", true, asked{addressed: true}},
		{"help \xff", true, asked{addressed: true}},
		{"/writ help" + strings.Repeat(" ", intent.MaxText), false, asked{}},
	} {
		if got := ask(test.text, test.addressed); got != test.want {
			t.Errorf("%q, addressed %v: %+v, want %+v", test.text, test.addressed, got, test.want)
		}
	}
}

func FuzzAsk(f *testing.F) {
	for _, text := range []string{"/writ status exe_a", "@bot writ help", "writ: cancel exe_b", "\u00a0writ\u00a0help", "/WRIT@x,", "${{ intent.text }}", "writ\x00help", "?"} {
		f.Add(text, true)
		f.Add(text, false)
	}
	f.Fuzz(func(t *testing.T, text string, addressed bool) {
		a := ask(text, addressed)
		if a != ask(text, addressed) {
			t.Fatal("two readings differ")
		}
		if a.verb != "" && (a.phrase != "" || !slices.Contains(verbs, a.verb)) {
			t.Fatalf("%q is a command and a phrase: %+v", text, a)
		}
		if a.execution != "" && (a.verb != verbStatus && a.verb != verbCancel || !executionForm.MatchString(string(a.execution)) || !strings.Contains(text, string(a.execution))) {
			t.Fatalf("%q: %+v", text, a)
		}
		if !strings.Contains(text, a.phrase) || addressed && !a.addressed || len(text) > intent.MaxText && a.phrase+string(a.verb) != "" || !utf8.ValidString(a.phrase) {
			t.Fatalf("%q: %+v", text, a)
		}
		first, rest := cutWord(strings.TrimSpace(text))
		if second, _ := cutWord(rest); !addressed && prefix.MatchString(first) && slices.Contains(verbs, verb(strings.ToLower(second))) && a.phrase != "" {
			t.Fatalf("%q, a command, is looked for among phrases: %+v", text, a)
		}
	})
}

func TestAnAnswerIsBoundedAndText(t *testing.T) {
	long := answer(strings.Repeat("ä\x1b[31m\u0000line\n", 2000))
	if len(long) > maxAnswer || !utf8.ValidString(long) || strings.ContainsAny(long, "\x1b\x00") || !strings.HasSuffix(long, "...") {
		t.Errorf("%d bytes: %q", len(long), long[:40])
	}
	if got := answer("one\ttab", "two"); got != "one tab\ntwo" {
		t.Errorf("%q", got)
	}
}
