package github_test

import (
	"bytes"
	"encoding/json"
	"html"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	hard "github.com/yuin/goldmark/renderer/html"
	"github.com/yuin/goldmark/text"
	"pgregory.net/rapid"

	"github.com/writ-run/writ/channel"
	"github.com/writ-run/writ/channel/github"
)

// gfm is Markdown as GitHub has it in comments, where a line ends as it was written.
var gfm = goldmark.New(goldmark.WithExtensions(extension.GFM), goldmark.WithRendererOptions(hard.WithHardWraps()))

// inert are the kinds of what an answer may be made of. Emphasis is ours: it is bold, and
// begins a line.
var inert = map[string]bool{"Document": true, "Paragraph": true, "TextBlock": true, "Text": true, "String": true, "List": true, "ListItem": true, "Emphasis": true}

var (
	tags    = regexp.MustCompile(`<[^>]*>`)
	calling = regexp.MustCompile(`(?i)@[a-z0-9]|#[0-9]|gh-[0-9]`)
)

// rendered is the text that people see of Markdown. There is nothing else in it.
func rendered(t interface{ Errorf(string, ...any) }, source string) string {
	tree := gfm.Parser().Parse(text.NewReader([]byte(source)))
	_ = ast.Walk(tree, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		emphasis, ok := n.(*ast.Emphasis)
		if entering && (!inert[n.Kind().String()] || ok && (emphasis.Level != 2 || emphasis.PreviousSibling() != nil)) {
			t.Errorf("%s in %.300q", n.Kind(), source)
		}
		return ast.WalkContinue, nil
	})
	var out bytes.Buffer
	if err := gfm.Convert([]byte(source), &out); err != nil {
		t.Errorf("%v", err)
	}
	seen := html.UnescapeString(tags.ReplaceAllString(strings.TrimSuffix(out.String(), "\n"), ""))
	if call := calling.FindString(seen); call != "" {
		t.Errorf("%q is in %.300q", call, seen)
	}
	return seen
}

// comment is the body that is sent.
func comment(t *testing.T, out *channel.Outgoing) string {
	t.Helper()
	var in struct{ Body string }
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			t.Error(err)
		}
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write([]byte(`{"id":1}`))
	}))
	defer server.Close()
	out.Thread = "acme/site#1"
	if _, err := (github.Adapter{}).Send(t.Context(), &channel.Account{Token: []byte("x"), Base: server.URL}, out); err != nil {
		t.Fatal(err)
	}
	return in.Body
}

// TestLayout is a bold heading, a list and the text, in which a command can be copied.
func TestLayout(t *testing.T) {
	for want, out := range map[string]*channel.Outgoing{
		"**Approval**\n\n- **Skill**: acme/mail\n- **Input**: \\{\n  &nbsp;&nbsp;\\\"a\\\"\\: 1\n  \\}\n\nWrite /approve apr_x_1a or /reject apr_x_1a and why": {
			Heading: "Approval", Facts: []channel.Fact{{Name: "Skill", Value: "acme/mail"}, {Name: "Input", Value: "{\n  \"a\": 1\n}"}},
			Text: "Write /approve apr_x_1a or /reject apr_x_1a and why",
		},
		"**a b**\n\n- : \n- **x y**: z":                                    {Heading: " a\n b ", Facts: []channel.Fact{{}, {Name: "x\r\ny", Value: "z"}}},
		"\\_a\\_ \\_\\_b a\\_\\_b c_d":                                     {Text: "_a_ __b a__b c_d"},
		"GH\\-\u20601 x\\-1":                                               {Text: "GH-1 x-1"},
		"100000\u206000 a5c378\u20605d8d6a\u206035868b c0ffee apr_1234567": {Text: "10000000 a5c3785d8d6a35868b c0ffee apr_1234567"},
		"a &nbsp;&nbsp;b &nbsp;":                                           {Text: "a   b  "},
		"- **a**: b\n  &nbsp;c\n  \n  d\n\n\ne":                            {Facts: []channel.Fact{{Name: "a", Value: "b\r c\r\n\rd"}}, Text: "\re"},
	} {
		if got := comment(t, out); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestNothingIsMarkdown of what is said, whatever it is, and all of it is seen.
func TestNothingIsMarkdown(t *testing.T) {
	pieces := rapid.SliceOfN(rapid.OneOf(rapid.StringN(0, 8, 32), rapid.SampledFrom([]string{
		"\n", "\r", "\n\n", "    ", "\t", "- ", "1. ", "> ", "# ", "---", "===", "```", "~~~", "**", "_", "`", "[x](y)", "![x](y)", "<b>", "&amp;", "|a|b|\n|-|-|\n", "- [ ] ", "www.a.example", "https://a.example", "ada@a.example",
		"@ada", "#1", "GH-1", "a/b#1", "\\", "$x$", ":a:", "[^1]", "<!-- ", "  \n",
	})), 0, 12)
	said := rapid.Custom(func(t *rapid.T) string { return strings.ToValidUTF8(strings.Join(pieces.Draw(t, "text"), ""), "") })
	rapid.Check(t, func(rt *rapid.T) {
		out := &channel.Outgoing{Heading: said.Draw(rt, "heading"), Text: said.Draw(rt, "said")}
		for range rapid.IntRange(0, 3).Draw(rt, "facts") {
			out.Facts = append(out.Facts, channel.Fact{Name: said.Draw(rt, "name"), Value: said.Draw(rt, "value")})
		}
		if got, want := solid(rendered(rt, comment(t, out))), solid(out.Plain()); got != want {
			rt.Fatalf("it reads %q, want %q", got, want)
		}
	})
}

// solid is text without white space and joiners, and with NUL as Markdown shows it.
func solid(text string) string {
	text = strings.NewReplacer("\u2060", "", "\x00", "\ufffd").Replace(text)
	return strings.Join(strings.Fields(text), "")
}
