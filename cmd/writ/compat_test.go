package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/contract"
	"github.com/writ-run/writ/host/wasmtest"
	"github.com/writ-run/writ/identity"
	"github.com/writ-run/writ/registry"
)

var updateCompat = flag.Bool("update-compat", false, "record testdata/compat/v1 again: only while v1 is unreleased")

// compatDir holds traces that every later version must verify and replay.
const compatDir = "../../testdata/compat/v1"

func testHome(t *testing.T, upstreams map[string]string) *home {
	t.Helper()
	return homeOf(t, &config{Upstreams: upstreams})
}

// homeOf opens a new home with a configuration.
func homeOf(t *testing.T, c *config) *home {
	t.Helper()
	a := &app{stdio: stdio{in: bytes.NewReader(nil), out: io.Discard, err: io.Discard}, clock: time.Now}
	c.Home, c.Sandbox, c.Payloads, c.Entries, c.LogLevel = t.TempDir(), "writ", time.Hour, time.Hour, "off"
	if err := makeKeys(c.Home); err != nil {
		t.Fatal(err)
	}
	h, err := openHome(t.Context(), c, hclog.NewNullLogger(), a.clock)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return h
}

// TestOlderTracesVerifyAndReplay takes each recorded execution into a new home,
// where none of its skills is installed, and derives it again.
func TestOlderTracesVerifyAndReplay(t *testing.T) {
	if *updateCompat {
		recordCompat(t)
	}
	files, err := filepath.Glob(filepath.Join(compatDir, "*.evidence.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no recorded traces: %v", err)
	}
	key, err := os.ReadFile(filepath.Join(compatDir, "host.pub"))
	if err != nil {
		t.Fatal(err)
	}
	h := testHome(t, nil)
	auditor, err := h.identity.Bootstrap(t.Context(), "auditor", nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx := writ.WithPrincipal(t.Context(), auditor.Operator)
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			in, err := h.journal.EvidenceImport(ctx, &contract.EvidenceImportInput{Bundle: raw, PublicKeyPEM: string(key)})
			if err != nil || !in.Valid {
				t.Fatalf("import: %+v %v", in, err)
			}
			out, err := h.engine.ReplayRun(ctx, &contract.ReplayRunInput{ExecutionID: in.ExecutionID})
			if err != nil || !out.Identical {
				report, _ := json.MarshalIndent(out, "", " ")
				t.Fatalf("replay: %v\n%s", err, report)
			}
			raw[len(raw)/2] ^= 1
			if in, err := h.journal.EvidenceImport(ctx, &contract.EvidenceImportInput{Bundle: raw, PublicKeyPEM: string(key)}); err == nil && in.Valid {
				t.Error("evidence with a flipped byte was accepted")
			}
		})
	}
}

const compatDraft = `apiVersion: writ/v1
kind: Plan
steps:
  - name: say
    uses: compat/echo@^1#run
    with: {who: "${{ intent.metadata.who }}"}
  - name: never
    uses: compat/echo#run
    when: intent.text == "something else"
  - name: keep
    uses: compat/keep#run
    with: {key: last, value: "${{ string(steps.say.output.who) }}"}
  - name: send
    uses: compat/send#run
    needs: [keep]
    with: {method: POST, url: "https://api.example.com/items", body: "${{ 'for ' + string(steps.say.output.who) }}"}
`

// recordCompat runs an execution with a condition, a stored value and an
// approved outward call, and keeps its evidence.
func recordCompat(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusCreated) }))
	defer server.Close()
	h := testHome(t, map[string]string{"api.example.com": server.URL})
	action := func(effect writ.Effect) []abi.Action {
		return []abi.Action{{
			Name: "run", Description: "runs", Input: json.RawMessage(`{"type":"object"}`), Output: json.RawMessage(`{"type":"object"}`),
			Effects: []writ.Effect{effect},
		}}
	}
	draft := func(name string, module []byte, effect writ.Effect, capabilities ...writ.Capability) registry.Draft {
		return registry.Draft{Module: module, Manifest: &abi.Manifest{
			APIVersion: abi.ManifestVersion, Name: "compat/" + name, Version: "1.0.0", Description: name, ABI: abi.V1,
			Capabilities: capabilities, Actions: action(effect),
		}}
	}
	r := &rehearsal{home: h, work: &work{}}
	r.prepare(t)
	_, err := h.registry.Rehearse(t.Context(), registry.Rehearsal{By: r.author, Entropy: entropy, Drafts: []registry.Draft{
		draft("echo", wasmtest.Echo(), abi.EffectNone),
		draft("keep", wasmtest.ToolCaller(abi.ToolKVPut), abi.EffectWriteLocal, writ.Capability{Tool: abi.ToolKVPut, Prefixes: []string{"last"}}),
		draft("send", wasmtest.ToolCaller(abi.ToolHTTPRequest), abi.EffectWriteExternal, writ.Capability{
			Tool: abi.ToolHTTPRequest, Hosts: []string{"api.example.com"}, Methods: []string{"POST"}, Paths: []string{"/items"},
		}),
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx := writ.WithPrincipal(t.Context(), r.agent)
	submitted, err := h.engine.IntentSubmit(ctx, &contract.IntentSubmitInput{Text: "record", Metadata: contract.Object(`{"who":"Ada"}`), Draft: compatDraft})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.engine.PlanCompile(ctx, &contract.PlanCompileInput{ExecutionID: submitted.ExecutionID}); err != nil {
		t.Fatal(err)
	}
	x, err := r.proceed(t.Context(), submitted.ExecutionID)
	for err == nil && x.Status == writ.ExecAwaitingApproval {
		x, err = r.allow(t.Context(), x)
	}
	if err != nil || x.Status != writ.ExecCompleted {
		t.Fatalf("%+v %v", x, err)
	}
	exported, err := h.journal.EvidenceExport(writ.WithPrincipal(t.Context(), r.author), &contract.EvidenceExportInput{ExecutionID: x.ExecutionID})
	if err != nil {
		t.Fatal(err)
	}
	public, err := os.ReadFile(filepath.Join(h.config.Home, hostPublicFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(compatDir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"approved-call.evidence.json": exported.Bundle, "host.pub": public} {
		if err := os.WriteFile(filepath.Join(compatDir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// prepare makes the people of a rehearsal in an open home.
func (r *rehearsal) prepare(t *testing.T) {
	t.Helper()
	var err error
	if r.approver, err = identity.GenerateApproverKey(entropy); err == nil {
		err = r.people(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
}
