package toolbox

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/writ-run/writ"
)

var update = flag.Bool("update", false, "write the generated documentation")

const docsFile = "../../docs/tools.md"

// TestDocs keeps docs/tools.md what the schemas say.
func TestDocs(t *testing.T) {
	want := toolDocs(t)
	if *update {
		if err := os.WriteFile(docsFile, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if have, err := os.ReadFile(docsFile); err != nil || !bytes.Equal(have, want) {
		t.Errorf("docs/tools.md is not what the schemas say (%v): go test ./host/toolbox -run TestDocs -update", err)
	}
}

func toolDocs(t *testing.T) []byte {
	schemas, err := Schemas()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	out.WriteString(`# Tools

Generated from host/toolbox/schema; do not edit. A guest calls a tool with one JSON
object. Unknown members are refused, and so is everything outside of what its step
was granted. A tool answers its result or a failure {code, message, fix}.

| code | meaning |
|---|---|
| denied | the step has no permit for this, or the address is not public |
| invalid | the arguments do not fit, or a secret is not set |
| not_found | the named thing does not exist |
| too_large | a size cap was passed |
| unavailable | the other side cannot be reached |
| timeout | the other side took too long |
| limit | the step's number of calls is used up |
| secret_leaked | the answer held a secret and was withheld, or the request did and was not sent |
| unsupported | this host does not have the tool |
`)
	for _, s := range schemas {
		spec, _ := writ.LookupTool(s.Tool)
		scope := strings.Join(spec.Scope, ", ")
		if scope == "" {
			scope = "none"
		}
		fmt.Fprintf(&out, "\n## %s\n%s. Worst effect: %s. Scope: %s.\n", s.Tool, s.Title, s.Effect, scope)
		writeSchema(t, &out, "Arguments", s.Arguments)
		writeSchema(t, &out, "Result", s.Result)
	}
	return out.Bytes()
}

func writeSchema(t *testing.T, out *bytes.Buffer, name string, schema json.RawMessage) {
	t.Helper()
	fmt.Fprintf(out, "\n%s:\n```json\n", name)
	if err := json.Indent(out, schema, "", "  "); err != nil {
		t.Fatal(err)
	}
	out.WriteString("\n```\n")
}
