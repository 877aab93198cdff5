package main

import (
	"strings"
	"testing"

	"github.com/writ-run/writ/sdk/sdktest"
)

func TestCases(t *testing.T) { sdktest.RunCases(t, "testdata/*.json") }

// Whatever the Markdown holds, the HTML has no element and no link that runs a
// script.
func FuzzHTMLIsSafe(f *testing.F) {
	for _, seed := range []string{
		"<script>x</script>", "[a](javascript:alert(1))", "![a](vbscript:x)", "<img src=x onerror=y>", "[a]: javascript:x\n[a]",
		"<a href='javascript:x'>b</a>", "[x](data:text/html;base64,eA==)", "`<script>`", "<javascript:alert(1)>", "[a](jAvAsCrIpT:x)", "[a](&#106;avascript:x)",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, markdown string) {
		out, err := toHTML(nil, In{Markdown: markdown})
		if err != nil {
			t.Fatal(err)
		}
		html := strings.ToLower(out.HTML)
		for _, bad := range []string{"<script", "<img src=x", "<iframe", "<style", `href="javascript:`, `src="javascript:`, `href="vbscript:`, `src="vbscript:`, `href="data:text`, " onerror=y>"} {
			if strings.Contains(html, bad) {
				t.Errorf("%q gives %q", markdown, out.HTML)
			}
		}
	})
}
