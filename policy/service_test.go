package policy

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/contract"
	"github.com/writ-run/writ/trace"
	"github.com/writ-run/writ/trace/tracetest"
)

func clock() time.Time { return time.Unix(1_767_225_600, 0) }

// rig is a service over a real journal in memory.
type rig struct {
	*Service
	journal *trace.Journal
	options Options
	private []byte // signs bundles
}

func newRig(t *testing.T) *rig {
	t.Helper()
	journal := tracetest.Memory(t, clock)
	public, private := keyPair(t)
	r := &rig{journal: journal, private: private, options: Options{
		Dir: filepath.Join(t.TempDir(), "policy"), Store: journal, Journal: journal, Traces: journal, Clock: clock,
		Keys: map[string]string{"ops": string(public)},
	}}
	r.open(t)
	return r
}

func (r *rig) open(t *testing.T) {
	t.Helper()
	s, err := Open(t.Context(), r.options)
	if err != nil {
		t.Fatal(err)
	}
	r.Service = s
}

func keyPair(t testing.TB) (public, private []byte) {
	t.Helper()
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	pubDER, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: pubDER}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
}

func admin(t *testing.T) context.Context {
	return writ.WithPrincipal(t.Context(), &writ.Principal{
		ID: "root", Kind: writ.Human, Tenant: writ.DefaultTenant, Workspace: writ.DefaultWorkspace, Roles: []string{"admin"},
	})
}

// strictFiles block everything, and say so in a test.
func strictFiles() map[string][]byte {
	return map[string][]byte{
		manifestFile: []byte(`{"revision":"2.0.0","roots":["writ"]}`),
		"p.rego": []byte("package writ\n\nanswer := {\"mode\": \"blocked\", \"risk\": \"blocked\", \"reasons\": [{\"rule\": \"closed\", \"message\": \"closed\"}]}\n\n" +
			"step := answer\n\ncall := answer\n"),
		"p_test.rego": []byte("package writ.p_test\n\nimport data.writ\n\ntest_closed if writ.step.mode == \"blocked\"\n"),
	}
}

// source writes the files, signed where a key is given, into a directory.
func source(t *testing.T, files map[string][]byte, key []byte) string {
	t.Helper()
	b, err := newBundle(files)
	if err != nil {
		t.Fatal(err)
	}
	if key != nil {
		if files[signatureFile], err = b.Sign("ops", key); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestActivate(t *testing.T) {
	r := newRig(t)
	before := r.Active().Policy()
	out, err := r.Activate(admin(t), &contract.PolicyActivateInput{Source: source(t, strictFiles(), r.private), Reason: "night"})
	if err != nil {
		t.Fatal(err)
	}
	if out.Previous != before.Digest || out.Version != "2.0.0" || r.Active().Policy().Digest != out.Digest {
		t.Errorf("got %+v", out)
	}
	v, err := r.Active().Judge(t.Context(), stepQuestion())
	if err != nil || v.Mode != writ.Blocked || v.PolicyDigest != out.Digest {
		t.Errorf("got %+v, %v", v, err)
	}
	records, err := r.journal.Records(t.Context(), writ.RecordQuery{Tenant: writ.DefaultTenant, Stream: writ.SystemStream})
	if err != nil || len(records) != 1 || records[0].Type != writ.RecPolicyActivated {
		t.Fatalf("got %+v, %v", records, err)
	}
	if f := records[0].Body.System; f.Digest != out.Digest || f.Reason != "night" || f.Details["signer"] != "ops" || records[0].Actor.ActorID != "root" {
		t.Errorf("the record says %+v", f)
	}

	r.open(t) // a restart finds the active bundle by its digest
	if r.Active().Policy().Digest != out.Digest {
		t.Errorf("after a restart %v decides", r.Active().Policy())
	}
	if old, err := r.ByDigest(t.Context(), before.Digest); err != nil || old.Policy() != before {
		t.Errorf("the bundle before is gone: %v", err)
	}
	back, err := r.Activate(admin(t), &contract.PolicyActivateInput{Digest: before.Digest})
	if err != nil || back.Digest != before.Digest || back.Previous != out.Digest {
		t.Errorf("going back: %+v, %v", back, err)
	}
	again, err := r.Activate(admin(t), &contract.PolicyActivateInput{Digest: out.Digest})
	if err != nil || again.Digest != out.Digest {
		t.Errorf("and forth by digest: %+v, %v", again, err)
	}
	list, err := r.List(admin(t), &contract.PolicyListInput{})
	if err != nil || len(list.Items) != 2 || !list.Items[0].Active || list.Items[0].Digest != out.Digest || list.Items[1].Active {
		t.Errorf("got %+v, %v", list, err)
	}
}

func TestActivateRefuses(t *testing.T) {
	r := newRig(t)
	_, foreign := keyPair(t)
	failing := strictFiles()
	failing["p_test.rego"] = []byte("package writ.p_test\n\nimport data.writ\n\ntest_open if writ.step.mode == \"autonomous\"\n")
	untested := strictFiles()
	delete(untested, "p_test.rego")
	changed := source(t, strictFiles(), r.private)
	write(t, filepath.Join(changed, "p.rego"), string(strictFiles()["p.rego"])+"\n# added\n")
	added := source(t, strictFiles(), r.private)
	write(t, filepath.Join(added, "more.rego"), "package writ.more\n")
	removed := source(t, strictFiles(), r.private)
	if err := os.Remove(filepath.Join(removed, "p_test.rego")); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		in   contract.PolicyActivateInput
		code writ.Code
	}{
		{"nothing", contract.PolicyActivateInput{}, writ.CodeInvalid},
		{"two sources", contract.PolicyActivateInput{Source: "x", Digest: "y"}, writ.CodeInvalid},
		{"not signed", contract.PolicyActivateInput{Source: source(t, strictFiles(), nil)}, writ.CodeTampered},
		{"another key", contract.PolicyActivateInput{Source: source(t, strictFiles(), foreign)}, writ.CodeTampered},
		{"changed after signing", contract.PolicyActivateInput{Source: changed}, writ.CodeTampered},
		{"file added", contract.PolicyActivateInput{Source: added}, writ.CodeTampered},
		{"file removed", contract.PolicyActivateInput{Source: removed}, writ.CodeTampered},
		{"failing tests", contract.PolicyActivateInput{Source: source(t, failing, r.private)}, writ.CodeConflict},
		{"no tests", contract.PolicyActivateInput{Source: source(t, untested, r.private)}, writ.CodeConflict},
		{"unknown digest", contract.PolicyActivateInput{Digest: canon.SHA256([]byte("x"))}, writ.CodeNotFound},
		{"digest that is a path", contract.PolicyActivateInput{Digest: "../../etc"}, writ.CodeNotFound},
	}
	active := r.Active().Policy()
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if _, err := r.Activate(admin(t), &test.in); writ.CodeOf(err) != test.code {
				t.Errorf("got %v; want %s", err, test.code)
			}
			if r.Active().Policy() != active {
				t.Errorf("%v decides now", r.Active().Policy())
			}
		})
	}
	if _, err := r.Activate(t.Context(), &contract.PolicyActivateInput{Digest: active.Digest}); !writ.IsCode(err, writ.CodeUnauthenticated) {
		t.Errorf("without a caller: %v", err)
	}
	r.options.Keys = nil
	r.open(t)
	if _, err := r.Activate(admin(t), &contract.PolicyActivateInput{Source: source(t, strictFiles(), r.private)}); !writ.IsCode(err, writ.CodeTampered) {
		t.Errorf("without keys: %v", err)
	}
}

func write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestKeptBundlesAreProved(t *testing.T) {
	r := newRig(t)
	out, err := r.Activate(admin(t), &contract.PolicyActivateInput{Source: source(t, strictFiles(), r.private)})
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(r.options.Dir, out.Digest.Hex())
	write(t, filepath.Join(dir, "p.rego"), strings.Replace(string(strictFiles()["p.rego"]), "closed", "closes", 1))
	if _, err := Open(t.Context(), r.options); !writ.IsCode(err, writ.CodeTampered) {
		t.Errorf("a changed byte: %v", err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), r.options); !writ.IsCode(err, writ.CodeNotFound) {
		t.Errorf("the active bundle is gone and something else decides: %v", err)
	}
}

func TestTestHandler(t *testing.T) {
	r := newRig(t)
	out, err := r.Test(admin(t), &contract.PolicyTestInput{})
	if err != nil || out.Status != "passed" || out.Failed != 0 || out.Digest != r.Active().Policy().Digest {
		t.Errorf("got %+v, %v", out, err)
	}
	files := strictFiles()
	files["p_test.rego"] = []byte("package writ.p_test\n\nimport data.writ\n\ntest_open if writ.step.mode == \"autonomous\"\n")
	out, err = r.Test(admin(t), &contract.PolicyTestInput{Source: source(t, files, nil)})
	if err != nil || out.Status != "failed" || out.Failed != 1 || out.Results[0].Message == "" {
		t.Errorf("got %+v, %v", out, err)
	}
	if out, err = r.Test(admin(t), &contract.PolicyTestInput{Bundle: defaultArchive(t)}); err != nil || out.Status != "passed" {
		t.Errorf("got %+v, %v", out, err)
	}
}

func TestExplain(t *testing.T) {
	r := newRig(t)
	ctx := admin(t)
	if _, err := r.Explain(ctx, &contract.PolicyExplainInput{ExecutionID: "exe_none"}); !writ.IsCode(err, writ.CodeNotFound) {
		t.Errorf("got %v", err)
	}
	blocked := stepQuestion()
	blocked.Grants = nil
	r.judged(t, "exe_a", 0, map[writ.StepID]*writ.Question{"stp_a": stepQuestion(), "stp_b": blocked}, func(*writ.Verdict) {})
	out, err := r.Explain(ctx, &contract.PolicyExplainInput{ExecutionID: "exe_a"})
	if err != nil || out.Verdict != writ.Blocked || out.Reasons[0].StepID != "stp_b" || out.Reasons[0].Fix == "" || len(out.Input) == 0 {
		t.Errorf("got %+v, %v", out, err)
	}
	out, err = r.Explain(ctx, &contract.PolicyExplainInput{ExecutionID: "exe_a", StepID: "stp_a"})
	if err != nil || out.Verdict != writ.Autonomous || out.PolicyDigest != r.Active().Policy().Digest {
		t.Errorf("got %+v, %v", out, err)
	}
	if _, err := r.Explain(ctx, &contract.PolicyExplainInput{ExecutionID: "exe_a", StepID: "stp_x"}); !writ.IsCode(err, writ.CodeNotFound) {
		t.Errorf("got %v", err)
	}
	r.judged(t, "exe_b", 0, map[writ.StepID]*writ.Question{"stp_a": blocked}, func(v *writ.Verdict) { v.Mode, v.Risk = writ.Autonomous, writ.RiskLow })
	if _, err := r.Explain(ctx, &contract.PolicyExplainInput{ExecutionID: "exe_b"}); !writ.IsCode(err, writ.CodeDiverged) {
		t.Errorf("a verdict that nobody gave is explained: %v", err)
	}
	r.judged(t, "exe_c", 0, map[writ.StepID]*writ.Question{"stp_a": stepQuestion()}, func(v *writ.Verdict) { v.Mode = writ.Assist })
	if out, err := r.Explain(ctx, &contract.PolicyExplainInput{ExecutionID: "exe_c"}); err != nil || out.Verdict != writ.Assist {
		t.Errorf("a verdict that the run tightened: %+v, %v", out, err)
	}
}

// judged appends verdicts as the engine does.
func (r *rig) judged(t *testing.T, stream writ.StreamID, expect uint64, asked map[writ.StepID]*writ.Question, change func(*writ.Verdict)) {
	t.Helper()
	batch := &writ.Batch{Tenant: writ.DefaultTenant, Stream: stream, Expect: expect}
	for id, q := range asked {
		v, err := r.Active().Judge(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		change(v)
		raw, err := canon.MarshalJSON(q)
		if err != nil {
			t.Fatal(err)
		}
		who, _ := writ.PrincipalFrom(admin(t))
		batch.Records = append(batch.Records, writ.NewRecord{
			Type: writ.RecVerdict, Time: 1, Step: id, Actor: writ.AuditOf(who, "0"),
			Body:     writ.Body{Decided: &writ.DecidedFacts{Stage: writ.StageVerify, Verdict: *v}},
			Payloads: []writ.Payload{{Name: writ.PayloadQuestion, Data: raw}},
		})
	}
	receipt, err := r.journal.Append(t.Context(), batch)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.journal.Barrier(t.Context(), receipt.Position); err != nil {
		t.Fatal(err)
	}
}

func TestActivationsAndDecisionsTogether(t *testing.T) {
	r := newRig(t)
	strict, err := r.Activate(admin(t), &contract.PolicyActivateInput{Source: source(t, strictFiles(), r.private)})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 6 {
			digest := []writ.Digest{strict.Previous, strict.Digest}[i%2]
			if _, err := r.Activate(admin(t), &contract.PolicyActivateInput{Digest: digest}); err != nil {
				t.Error(err)
			}
		}
	}()
	for {
		v, err := r.Active().Judge(t.Context(), stepQuestion())
		if err != nil {
			t.Fatal(err)
		}
		if want := map[writ.Digest]writ.Mode{strict.Previous: writ.Autonomous, strict.Digest: writ.Blocked}[v.PolicyDigest]; v.Mode != want {
			t.Fatalf("%s answers %s", v.PolicyVersion, v.Mode)
		}
		select {
		case <-done:
			return
		default:
		}
	}
}
