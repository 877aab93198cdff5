// Command markdown is the skill writ/markdown: Markdown as HTML, as text and as an
// outline. It uses no tool.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	east "github.com/yuin/goldmark/extension/ast"
	"github.com/yuin/goldmark/text"
	"go.yaml.in/yaml/v3"

	"github.com/writ-run/writ/sdk"
)

// markdown is CommonMark with GitHub's tables, task lists, strikethrough and links.
// Without its option unsafe it writes no HTML that stands in the text and no link
// that could run a script, so what comes out is safe to show.
var markdown = goldmark.New(goldmark.WithExtensions(extension.GFM))

// In is the input of the actions.
type In struct {
	Markdown string `json:"markdown"`
}

// HTMLOut is the output of to_html.
type HTMLOut struct {
	HTML string `json:"html" doc:"Without any HTML that stood in the Markdown"`
}

func toHTML(_ *sdk.Context, in In) (HTMLOut, error) {
	var b bytes.Buffer
	err := markdown.Convert([]byte(in.Markdown), &b)
	return HTMLOut{HTML: b.String()}, err
}

// TextOut is the output of to_text.
type TextOut struct {
	Text string `json:"text"`
}

func toText(_ *sdk.Context, in In) (TextOut, error) {
	source := []byte(in.Markdown)
	w := writer{source: source}
	err := ast.Walk(markdown.Parser().Parse(text.NewReader(source)), w.visit)
	return TextOut{Text: strings.TrimSpace(w.out.String())}, err
}

// writer collects the words of a document, blocks apart by an empty line.
type writer struct {
	source []byte
	out    strings.Builder
}

func (w *writer) visit(n ast.Node, entering bool) (ast.WalkStatus, error) {
	switch n := n.(type) {
	case *ast.RawHTML, *ast.HTMLBlock:
		return ast.WalkSkipChildren, nil
	case *ast.Text:
		if entering {
			w.out.Write(n.Value(w.source))
			if n.SoftLineBreak() || n.HardLineBreak() {
				w.out.WriteByte('\n')
			}
		}
	case *ast.String:
		if entering {
			w.out.Write(n.Value)
		}
	case *ast.AutoLink:
		if entering {
			w.out.Write(n.Label(w.source))
		}
	case *ast.CodeBlock, *ast.FencedCodeBlock:
		if entering {
			w.out.Write(n.Lines().Value(w.source))
		} else {
			w.out.WriteByte('\n')
		}
	case *ast.ListItem, *east.TableHeader, *east.TableRow:
		w.line(entering)
	case *east.TableCell:
		if !entering && n.NextSibling() != nil {
			w.out.WriteByte('\t')
		}
	default:
		if !entering && n.Type() == ast.TypeBlock && n.Kind() != ast.KindTextBlock {
			w.blank()
		}
	}
	return ast.WalkContinue, nil
}

// line ends the line at the end of an item.
func (w *writer) line(entering bool) {
	if !entering && !strings.HasSuffix(w.out.String(), "\n") {
		w.out.WriteByte('\n')
	}
}

// blank ends a block.
func (w *writer) blank() {
	for !strings.HasSuffix(w.out.String(), "\n\n") && w.out.Len() > 0 {
		w.out.WriteByte('\n')
	}
}

// Heading is a heading.
type Heading struct {
	Level int    `json:"level"`
	Text  string `json:"text"`
}

// HeadingsOut is the output of headings.
type HeadingsOut struct {
	Headings []Heading `json:"headings"`
}

func headings(_ *sdk.Context, in In) (HeadingsOut, error) {
	source := []byte(in.Markdown)
	out := HeadingsOut{Headings: []Heading{}}
	err := ast.Walk(markdown.Parser().Parse(text.NewReader(source)), func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		heading, ok := n.(*ast.Heading)
		if !ok || !entering {
			return ast.WalkContinue, nil
		}
		w := writer{source: source}
		err := ast.Walk(heading, w.visit)
		out.Headings = append(out.Headings, Heading{Level: heading.Level, Text: strings.TrimSpace(w.out.String())})
		return ast.WalkSkipChildren, err
	})
	return out, err
}

// FrontOut is the output of front_matter.
type FrontOut struct {
	Found bool           `json:"found" doc:"Whether the document begins with front matter"`
	Data  map[string]any `json:"data"`
	Body  string         `json:"body" doc:"The document without it"`
}

// frontMatter reads YAML between two lines of three dashes, the first of which is
// the first line.
func frontMatter(_ *sdk.Context, in In) (FrontOut, error) {
	body := strings.ReplaceAll(strings.TrimPrefix(in.Markdown, "\ufeff"), "\r\n", "\n")
	rest, ok := strings.CutPrefix(body, "---\n")
	matter, after, closed := strings.Cut("\n"+rest, "\n---\n")
	if end, atEnd := strings.CutSuffix("\n"+rest, "\n---"); !closed && atEnd {
		matter, after, closed = end, "", true
	}
	out := FrontOut{Data: map[string]any{}, Body: body}
	if !ok || !closed {
		return out, nil
	}
	var data map[string]any
	if err := yaml.Unmarshal([]byte(matter), &data); err != nil {
		return FrontOut{}, sdk.Fail("bad_front_matter", err.Error())
	}
	raw, err := json.Marshal(plain(data)) // YAML has numbers that JSON has not
	if err != nil {
		return FrontOut{}, sdk.Fail("bad_front_matter", err.Error())
	}
	if err := json.Unmarshal(raw, &out.Data); err != nil {
		return FrontOut{}, sdk.Fail("bad_front_matter", err.Error())
	}
	if out.Data == nil {
		out.Data = map[string]any{}
	}
	out.Found, out.Body = true, after
	return out, nil
}

// plain writes keys that are no text as text: YAML has numbers for keys, JSON has not.
func plain(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for name, member := range v {
			v[name] = plain(member)
		}
	case map[any]any:
		out := make(map[string]any, len(v))
		for key, member := range v {
			out[fmt.Sprint(key)] = plain(member)
		}
		return out
	case []any:
		for i, item := range v {
			v[i] = plain(item)
		}
	}
	return value
}

var (
	_ = sdk.Action("to_html", toHTML)
	_ = sdk.Action("to_text", toText)
	_ = sdk.Action("headings", headings)
	_ = sdk.Action("front_matter", frontMatter)
)

func main() {} // a skill is entered through its actions
