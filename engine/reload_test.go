package engine_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"testing"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/contract"
	"github.com/writ-run/writ/host"
	"github.com/writ-run/writ/host/wasmtest"
	"github.com/writ-run/writ/registry"
	"github.com/writ-run/writ/trace"
)

// released is a rig whose skills come from a real registry.
type released struct {
	*rig
	registry *registry.Registry
	key      *registry.Key
}

func newReleased(t *testing.T) *released {
	t.Helper()
	journal, err := trace.Open(context.Background(), trace.Options{InMemory: true, Clock: time.Now, AnchorEvery: 24 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	skills, err := registry.New(registry.Options{Dir: t.TempDir(), Store: journal, Journal: journal, Inspector: host.NewInspector(), Clock: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	key, err := registry.GenerateKey(registry.KeyECDSA, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := skills.Trust(as(operator), operator, registry.TrustedKey{
		Publisher: "test", PEM: string(key.Public().PEM), Purposes: []contract.TrustPurpose{contract.TrustSignature, contract.TrustProvenance},
	}); err != nil {
		t.Fatal(err)
	}
	return &released{rig: newRigWith(t, &rig{journal: journal, library: skills}), registry: skills, key: key}
}

// release installs a version of a skill that makes the HTTP request which it is
// given, and says so in another way than other versions.
func (r *released) release(version string) {
	r.t.Helper()
	g := wasmtest.NewGuest(1, 0)
	call := g.Tool(abi.ToolHTTPRequest)
	g.Data(8192, []byte(version)) // makes the module another one
	m := &abi.Manifest{
		APIVersion: abi.ManifestVersion, Name: "test/post", Version: version, Description: "Posts.", ABI: abi.V1,
		Capabilities: []writ.Capability{{Tool: abi.ToolHTTPRequest, Hosts: []string{"api.example.com"}, Methods: []string{"POST"}, Paths: []string{"/**"}}},
		Actions: []abi.Action{{
			Name: "run", Description: "Posts.", Effects: []writ.Effect{abi.EffectWriteExternal},
			Input: json.RawMessage(anyObject), Output: json.RawMessage(anyObject),
		}},
	}
	bundle, err := registry.Pack(m, g.Run(g.CallTool(call)).Bytes())
	if err != nil {
		r.t.Fatal(err)
	}
	if bundle, err = registry.Sign(bundle, registry.SignRequest{Key: r.key, Clock: time.Now}); err != nil {
		r.t.Fatal(err)
	}
	if _, _, err := r.registry.InstallBundle(as(operator), operator, bundle, nil); err != nil {
		r.t.Fatal(err)
	}
}

func (r *released) rollback(in contract.SkillRollbackInput) {
	r.t.Helper()
	in.SkillKey = "test/post"
	if _, err := r.registry.Rollback(as(operator), &in); err != nil {
		r.t.Fatal(err)
	}
}

func (r *released) disable(version string) {
	r.t.Helper()
	if _, err := r.registry.Disable(as(operator), &contract.SkillDisableInput{SkillKey: "test/post", Version: version}); err != nil {
		r.t.Fatal(err)
	}
}

// What a plan has pinned is what it runs with, whatever new plans get by then;
// only what stops a version stops the plans that have pinned it.
func TestPlansFinishWithWhatTheyPinned(t *testing.T) {
	for name, test := range map[string]struct {
		versions []string // before the plan
		change   func(r *released)
		status   writ.ExecutionStatus
		ran, now string // the version that the plan pinned, and the one that new plans get
	}{
		"upgraded":                      {[]string{"1.0.0"}, func(r *released) { r.release("2.0.0") }, writ.ExecCompleted, "1.0.0", "2.0.0"},
		"rolled back":                   {[]string{"1.0.0", "2.0.0"}, func(r *released) { r.rollback(contract.SkillRollbackInput{}) }, writ.ExecCompleted, "2.0.0", "1.0.0"},
		"rolled back and stopped":       {[]string{"1.0.0", "2.0.0"}, func(r *released) { r.rollback(contract.SkillRollbackInput{Stop: true}) }, writ.ExecFailed, "2.0.0", "1.0.0"},
		"disabled":                      {[]string{"1.0.0", "2.0.0"}, func(r *released) { r.disable("2.0.0") }, writ.ExecFailed, "2.0.0", "1.0.0"},
		"upgraded, the older disabled":  {[]string{"1.0.0"}, func(r *released) { r.release("2.0.0"); r.disable("1.0.0") }, writ.ExecFailed, "1.0.0", "2.0.0"},
		"rolled back and then disabled": {[]string{"1.0.0", "2.0.0"}, func(r *released) { r.rollback(contract.SkillRollbackInput{}); r.disable("2.0.0") }, writ.ExecFailed, "2.0.0", "1.0.0"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newReleased(t)
			for _, version := range test.versions {
				r.release(version)
			}
			draft := head + "  - {name: one, uses: test/post#run, with: {method: POST, url: \"https://api.example.com/a\"}}\n"
			id := r.begin(agent, draft)
			r.expect(id, writ.ExecAwaitingApproval)
			test.change(r)
			r.approve(approver, id)
			state := r.expect(id, test.status)
			if got := state.Steps[0].Skill.Version; got != test.ran {
				t.Errorf("it ran %s, want %s", got, test.ran)
			}
			if done := len(r.tools.done); (done == 1) != (test.status == writ.ExecCompleted) {
				t.Errorf("%d effects", done)
			}
			if f := state.Steps[0].Failure; test.status == writ.ExecFailed && (f == nil || f.Code != string(writ.CodeSkillRefused)) {
				t.Errorf("%+v", f)
			}
			next := r.submit(agent, draft)
			r.compile(agent, next)
			if got := r.state(next).Steps[0].Skill.Version; got != test.now {
				t.Errorf("a new plan gets %s, want %s", got, test.now)
			}
			r.identical(id)
		})
	}
}
