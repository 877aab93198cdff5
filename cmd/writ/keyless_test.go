package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/writ-run/writ/registry/keyless/keylesstest"
)

// scriptT lets a script be what a test Sigstore reports to.
type scriptT struct{ *testscript.TestScript }

func (scriptT) Helper() {}

func (s scriptT) Fatal(args ...any) { s.Fatalf("%s", fmt.Sprint(args...)) }

// scriptSigstore is `sigstore`: a Fulcio and a timestamp authority under $FULCIO and
// $TSA, trusted_root.json, release.token of a workflow, ada.token of a person, and a
// TUF repository under $TUF with its root.json.
func scriptSigstore(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 0 {
		ts.Fatalf("usage: sigstore")
	}
	const issuer, source = "https://issuer.test", "https://github.com/acme/echo"
	deployment := keylesstest.New(scriptT{ts}, time.Now().Truncate(time.Second))
	server := deployment.Serve()
	ts.Defer(server.Close)
	ts.Setenv("FULCIO", server.URL)
	ts.Setenv("TSA", server.URL+keylesstest.TimestampPath)
	dir := ts.MkAbs("tuf")
	ts.Check(os.Mkdir(dir, 0o755))
	repository := keylesstest.NewRepository(scriptT{ts}, dir)
	root := deployment.Root(keylesstest.Trusted{})
	repository.Publish(1, "trusted_root.json", root, time.Hour)
	mirror := httptest.NewServer(http.FileServer(http.Dir(dir)))
	ts.Defer(mirror.Close)
	ts.Setenv("TUF", mirror.URL)
	workflow := source + "/.github/workflows/release.yml@refs/tags/v1.0.0"
	for name, data := range map[string]string{
		"trusted_root.json": string(root),
		"root.json":         string(repository.Root),
		"release.token": keylesstest.Token(keylesstest.Subject{
			SAN: workflow, Issuer: issuer, Repository: source, Ref: "refs/tags/v1.0.0", Digest: strings.Repeat("a", 40), Runner: "github-hosted", Signer: workflow,
		}),
		"ada.token": keylesstest.Token(keylesstest.Subject{SAN: "ada@example.com", Issuer: issuer}),
	} {
		ts.Check(os.WriteFile(ts.MkAbs(name), []byte(data), 0o600))
	}
}
