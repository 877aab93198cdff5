package main

import (
	"context"
	"crypto/rand"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/contract"
	"github.com/writ-run/writ/host/wasmtest"
	"github.com/writ-run/writ/registry"
)

const looker = `apiVersion: writ/v1
name: acme/looker
version: 1.0.0
description: Looks twice.
abi: writ/v1
capabilities:
  - {tool: http.request, hosts: [api.acme.test], methods: [GET], paths: ["/**"]}
actions:
  - name: look
    description: Gets the same page twice.
    effects: [read]
    input: {type: object}
    output: {type: object}
`

const looks = `apiVersion: writ/v1
kind: Plan
steps:
  - {name: look, uses: acme/looker#look, with: {method: GET, url: "https://api.acme.test/a"}}
`

// TestARevocationWhileAStepRuns: with every part real, the server that a skill
// asks is where it is revoked; its second request never comes.
func TestARevocationWhileAStepRuns(t *testing.T) {
	var h *home
	var requests atomic.Int32
	var ctx context.Context // of the operator
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if requests.Add(1) == 1 {
			in := &contract.TrustDenyInput{DenialSubject: contract.DenialSubject{Skill: "acme/looker"}, Reason: "asks too much"}
			if _, err := h.registry.TrustDeny(ctx, in); err != nil {
				t.Error(err)
			}
		}
		w.WriteHeader(http.StatusOK)
	}))
	defer server.Close()
	h = openTestHome(t, &config{Upstreams: map[string]string{"api.acme.test": server.URL}}, time.Now)
	made, err := h.identity.Bootstrap(context.Background(), "ada", nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx = writ.WithPrincipal(context.Background(), made.Operator)
	key, err := registry.GenerateKey(registry.KeyECDSA, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	guest := wasmtest.NewGuest(1, 0)
	call := guest.Tool(abi.ToolHTTPRequest)
	module := guest.Run(guest.ReadInput(), wasmtest.I32(0), wasmtest.Get(0), wasmtest.Call(call), wasmtest.Op(wasmtest.Drop), guest.CallTool(call)).Bytes()
	if _, err := h.registry.TrustAdd(ctx, &contract.TrustAddInput{Publisher: "acme", PublicKeyPEM: string(key.Public().PEM)}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.registry.Install(ctx, &contract.SkillInstallInput{Bundle: signedBundle(t, key, []byte(looker), module)}); err != nil {
		t.Fatal(err)
	}
	submitted, err := h.engine.IntentSubmit(ctx, &contract.IntentSubmitInput{Text: "look", Draft: looks})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.engine.PlanCompile(ctx, &contract.PlanCompileInput{ExecutionID: submitted.ExecutionID}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.engine.ExecutionStart(ctx, &contract.ExecutionStartInput{ExecutionID: submitted.ExecutionID, Wait: true}); err != nil {
		t.Fatal(err)
	}
	state, err := h.journal.Execution(ctx, writ.DefaultTenant, submitted.ExecutionID)
	if err != nil {
		t.Fatal(err)
	}
	step := state.Steps[0]
	if requests.Load() != 1 || state.Status != writ.ExecFailed || step.Failure == nil || step.Failure.Code != string(writ.CodeSkillRefused) ||
		!strings.Contains(step.Failure.Message, "acme/looker was denied by human:ada at ") || !strings.Contains(step.Failure.Message, "asks too much") {
		t.Errorf("%d requests, %s: %+v", requests.Load(), state.Status, step.Failure)
	}
	report, err := h.engine.ReplayRun(ctx, &contract.ReplayRunInput{ExecutionID: submitted.ExecutionID})
	if err != nil || !report.Identical {
		t.Errorf("%v %+v", err, report)
	}
}

// openTestHome opens a new home with what the configuration leaves open, and
// closes it with the test.
func openTestHome(t *testing.T, c *config, clock writ.Clock) *home {
	t.Helper()
	c.Home, c.Sandbox, c.Payloads, c.Entries, c.FeedEvery = t.TempDir(), "writ", time.Hour, time.Hour, time.Hour
	if err := makeKeys(c.Home); err != nil {
		t.Fatal(err)
	}
	h, err := openHome(context.Background(), c, hclog.NewNullLogger(), clock)
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
