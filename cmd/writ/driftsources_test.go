package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/contract"
	"github.com/writ-run/writ/drift"
	"github.com/writ-run/writ/host/wasmtest"
	"github.com/writ-run/writ/registry"
	"github.com/writ-run/writ/shelf"
)

// TestACarriedVersionSupersedes what is installed, where it is newer.
func TestACarriedVersionSupersedes(t *testing.T) {
	before := carriedSkills
	defer func() { carriedSkills = before }()
	h := openTestHome(t, &config{}, time.Now)
	ctx := writ.WithPrincipal(context.Background(), itself(writ.DefaultTenant))
	h.followsAFeed(t, ctx) // installs acme/echo 1.0.0
	for version, want := range map[string]int{"0.9.0": 0, "1.0.0": 0, "1.0.1-rc.1": 1, "1.1.0": 1} {
		packed, err := shelf.Pack([]shelf.Item{
			{Entry: shelf.Entry{Name: "acme/echo", Version: version}, Bundle: []byte("x")},
			{Entry: shelf.Entry{Name: "acme/echo", Version: "0.1.0"}, Bundle: []byte("y")},
			{Entry: shelf.Entry{Name: "acme/other", Version: "9.0.0"}, Bundle: []byte("z")},
		})
		if err != nil {
			t.Fatal(err)
		}
		carriedSkills = packed
		out, err := h.drift.List(ctx, &contract.DriftListInput{Code: contract.DriftSkillSuperseded})
		if err != nil || len(out.Items) != want {
			t.Errorf("%s: %v, %+v", version, err, out)
		}
		if want == 1 && len(out.Items) == 1 && (out.Items[0].Subject != "acme/echo@1.0.0" || out.Items[0].Fix != "writ skill install acme/echo") {
			t.Errorf("%+v", out.Items[0])
		}
	}
}

// TestASampleOfRealExecutions replays; one that comes out differently is a finding.
func TestASampleOfRealExecutions(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }))
	defer server.Close()
	h := openTestHome(t, &config{Upstreams: map[string]string{"api.acme.test": server.URL}}, time.Now)
	made, err := h.identity.Bootstrap(context.Background(), "ada", nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx := writ.WithPrincipal(context.Background(), made.Operator)
	key, err := registry.GenerateKey(registry.KeyECDSA, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.registry.TrustAdd(ctx, &contract.TrustAddInput{Publisher: "acme", PublicKeyPEM: string(key.Public().PEM)}); err != nil {
		t.Fatal(err)
	}
	bundle := signedBundle(t, key, []byte(looker), wasmtest.ToolCaller(abi.ToolHTTPRequest))
	if _, err := h.registry.Install(ctx, &contract.SkillInstallInput{Bundle: bundle}); err != nil {
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
	found := func() []contract.DriftFinding {
		t.Helper()
		if err := h.sampler.Round(writ.WithPrincipal(context.Background(), itself(writ.DefaultTenant)), writ.DefaultTenant); err != nil {
			t.Fatal(err)
		}
		out, err := h.drift.List(ctx, &contract.DriftListInput{Code: contract.DriftReplayBroken})
		if err != nil {
			t.Fatal(err)
		}
		return out.Items
	}
	if state, err := h.journal.Execution(ctx, writ.DefaultTenant, submitted.ExecutionID); err != nil || state.Status != writ.ExecCompleted {
		t.Fatalf("%v %+v", err, state)
	}
	if got := found(); len(got) != 0 {
		t.Errorf("%+v", got)
	}
	// Derived with a module that says something else, it comes out differently.
	other := signedBundle(t, key, bytes.Replace([]byte(looker), []byte("1.0.0"), []byte("1.0.1"), 1), sayModule(`{"status":204}`))
	sampler, err := drift.NewSampler(drift.SamplerOptions{
		Traces: h.journal, Said: h.drift.Said, Clock: h.clock, Within: time.Minute,
		Replay: func(ctx context.Context, in *contract.ReplayRunInput) (*contract.ReplayRunOutput, error) {
			in.SkillBundle = other
			return h.replayRun(ctx, in)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := sampler.Round(ctx, writ.DefaultTenant); err != nil {
		t.Fatal(err)
	}
	broken, err := sampler.Source(ctx, writ.DefaultTenant)
	if err != nil || len(broken) != 1 || broken[0].Subject != string(submitted.ExecutionID) || !strings.HasPrefix(broken[0].Message, "stage ") || !strings.Contains(broken[0].Message, " differently at /") {
		t.Errorf("%v, %+v", err, broken)
	}
}
