package trace_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
	"github.com/writ-run/writ/trace"
)

func public() ed25519.PublicKey {
	key, _ := hostKey().Public().(ed25519.PublicKey)
	return key
}

func export(t testing.TB, j *trace.Journal, i int) []byte {
	t.Helper()
	var bundle bytes.Buffer
	err := j.Export(context.Background(), trace.ExportRequest{
		Tenant: tenant, Execution: writ.ExecutionID(execID(i)), Attachments: map[string][]byte{"skills/a": []byte("bytes")},
	}, &bundle)
	if err != nil {
		t.Fatal(err)
	}
	return bundle.Bytes()
}

func verified(t testing.TB, bundle []byte, keys ...ed25519.PublicKey) *trace.Evidence {
	t.Helper()
	e, err := trace.VerifyEvidence(bytes.NewReader(bundle), keys)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestEvidenceTravels(t *testing.T) {
	j := open(t, options(""))
	for i := range 5 {
		begin(t, j, i, 3)
	}
	ctx := context.Background()
	bundle := export(t, j, 2)
	e := verified(t, bundle, public())
	if len(e.Records) != 5 || string(e.Attachments["skills/a"]) != "bytes" || e.Execution != writ.ExecutionID(execID(2)) {
		t.Fatalf("%+v", e)
	}
	data, err := e.Payload(e.Records[0].Payloads[0])
	if err != nil || string(data) != `{"text":"intent 2"}` {
		t.Fatalf("%q %v", data, err)
	}

	dir := t.TempDir()
	away := options(dir)
	away.Signer, away.Origin = ed25519.NewKeyFromSeed(make([]byte, 32)), "away.example"
	other := open(t, away)
	for range 2 { // the second changes nothing
		if err := other.Import(ctx, "acme", e); err != nil {
			t.Fatal(err)
		}
	}
	check := func(other *trace.Journal) {
		t.Helper()
		records, err := other.Records(ctx, writ.RecordQuery{Tenant: "acme", Stream: execID(2)})
		if err != nil || !reflect.DeepEqual(records, e.Records) {
			t.Fatalf("%v %v", records, err)
		}
		if _, err := payloadOf(t, other, "acme", records[0].Stream)(records[0].Payloads[0]); err != nil {
			t.Fatal(err)
		}
		execution, err := other.Execution(ctx, "acme", e.Execution)
		if err != nil || execution.Tenant != "acme" || execution.Status != writ.ExecCompleted {
			t.Fatalf("%+v %v", execution, err)
		}
		list, err := other.Executions(ctx, writ.ExecutionQuery{Tenant: "acme"})
		if err != nil || len(list.Items) != 1 {
			t.Fatalf("%+v %v", list, err)
		}
		for _, verify := range []func() (*trace.Report, error){
			func() (*trace.Report, error) { return other.Verify(ctx, "acme", execID(2)) },
			func() (*trace.Report, error) { return other.VerifyAll(ctx, "") },
		} {
			if report, err := verify(); err != nil || !report.Valid() {
				t.Fatalf("%+v %v", report, err)
			}
		}
		var again bytes.Buffer
		if err := other.Export(ctx, trace.ExportRequest{Tenant: "acme", Execution: e.Execution}, &again); err != nil || !bytes.Equal(again.Bytes(), bundle) {
			t.Fatal("what was imported is not given out as it came", err)
		}
		system, err := other.Records(ctx, writ.RecordQuery{Tenant: "acme", Stream: writ.SystemStream})
		if err != nil || len(system) != 1 || system[0].Type != writ.RecEvidenceImported {
			t.Fatalf("%+v %v", system, err)
		}
		_, err = other.Append(ctx, &writ.Batch{Tenant: "acme", Stream: execID(2), Expect: 5, Records: []writ.NewRecord{note(1)}})
		wantCode(t, err, writ.CodeConflict)
	}
	check(other)
	closeJournal(t, other)
	check(open(t, away))
}

func TestImportRefuses(t *testing.T) {
	j := open(t, options(""))
	ctx := context.Background()
	begin(t, j, 1, 1)
	must(t, j, batchOf(execID(2), 0, received(2)))
	running := verified(t, export(t, j, 2), public())
	ended := verified(t, export(t, j, 1), public())

	other := open(t, options(""))
	wantCode(t, other.Import(ctx, tenant, running), writ.CodeConflict)
	wantCode(t, other.Import(ctx, tenant, &trace.Evidence{}), writ.CodeInvalid)
	wantCode(t, other.Import(ctx, "", ended), writ.CodeInvalid)
	begin(t, other, 1, 2)
	wantCode(t, other.Import(ctx, tenant, ended), writ.CodeConflict)
	if err := j.Import(ctx, tenant, ended); err != nil {
		t.Fatal("its own execution is here already:", err)
	}
}

func TestEvidenceWithoutPayloads(t *testing.T) {
	j := open(t, options(""))
	begin(t, j, 1, 1)
	var bundle bytes.Buffer
	if err := j.Export(context.Background(), trace.ExportRequest{Tenant: tenant, Execution: writ.ExecutionID(execID(1)), ExcludePayloads: true}, &bundle); err != nil {
		t.Fatal(err)
	}
	e := verified(t, bundle.Bytes(), public())
	_, err := e.Payload(e.Records[0].Payloads[0])
	wantCode(t, err, writ.CodeUnreplayable)
	other := open(t, options(""))
	if err := other.Import(context.Background(), tenant, e); err != nil {
		t.Fatal(err)
	}
	_, err = payloadOf(t, other, tenant, e.Records[0].Stream)(e.Records[0].Payloads[0])
	wantCode(t, err, writ.CodeUnreplayable)
	// Payloads that are here stay, whoever calls them missing.
	if err := j.Import(context.Background(), tenant, e); err != nil {
		t.Fatal(err)
	}
	if _, err := payloadOf(t, j, tenant, e.Records[0].Stream)(e.Records[0].Payloads[0]); err != nil {
		t.Fatal(err)
	}
}

func TestEvidenceAnyFlippedBit(t *testing.T) {
	j := open(t, options(""))
	begin(t, j, 1, 2)
	bundle := export(t, j, 1)
	rapid.Check(t, func(t *rapid.T) {
		changed := bytes.Clone(bundle)
		at := rapid.IntRange(0, len(bundle)-1).Draw(t, "at")
		changed[at] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		if _, err := trace.VerifyEvidence(bytes.NewReader(changed), []ed25519.PublicKey{public()}); !writ.IsCode(err, writ.CodeTampered) {
			t.Fatalf("byte %d: %v", at, err)
		}
	})
}

// endless gives as many bytes as are asked for.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestEvidenceRefuses(t *testing.T) {
	j := open(t, options(""))
	begin(t, j, 1, 2)
	bundle := export(t, j, 1)
	stranger, _ := ed25519.NewKeyFromSeed(make([]byte, 32)).Public().(ed25519.PublicKey)
	_, err := trace.VerifyEvidence(bytes.NewReader(bundle), nil)
	wantCode(t, err, writ.CodeInvalid)
	_, err = trace.VerifyEvidence(bytes.NewReader(bundle), []ed25519.PublicKey{{1, 2}})
	wantCode(t, err, writ.CodeInvalid)
	_, err = trace.VerifyEvidence(bytes.NewReader(bundle), []ed25519.PublicKey{stranger})
	wantCode(t, err, writ.CodeTampered)
	_, err = trace.VerifyEvidence(bytes.NewReader(append(bytes.Clone(bundle), '\n')), []ed25519.PublicKey{public()})
	wantCode(t, err, writ.CodeTampered)
	_, err = trace.VerifyEvidence(endless{}, []ed25519.PublicKey{public()})
	wantCode(t, err, writ.CodeTooLarge)
	verified(t, bundle, stranger, public())
}

func FuzzEvidence(f *testing.F) {
	j := open(f, options(""))
	begin(f, j, 1, 1)
	signed := export(f, j, 1)
	f.Add(signed)
	f.Add([]byte(`{"payload":"","payloadType":"application/vnd.in-toto+json","signatures":[]}`))
	f.Fuzz(func(t *testing.T, bundle []byte) {
		_, err := trace.VerifyEvidence(bytes.NewReader(bundle), []ed25519.PublicKey{public()})
		if err == nil && !bytes.Equal(bundle, signed) {
			t.Fatal("a bundle that nobody signed was accepted")
		}
		if err != nil && !writ.IsCode(err, writ.CodeTampered) {
			t.Fatal(err)
		}
	})
}

func operator() context.Context {
	return writ.WithPrincipal(context.Background(), &writ.Principal{ID: "ada", Kind: writ.Human, Tenant: tenant, Workspace: "default"})
}

func TestHandlers(t *testing.T) {
	opts := options("")
	opts.Attach = func(context.Context, writ.TenantID, []writ.SkillRef, []writ.Digest) (map[string][]byte, error) {
		return map[string][]byte{"policy/x": {1}}, nil
	}
	j := open(t, opts)
	last := begin(t, j, 1, 2)
	id := writ.ExecutionID(execID(1))
	ctx := operator()
	got, err := j.ExecutionGet(ctx, &contract.ExecutionGetInput{ExecutionID: id})
	if err != nil || got.Execution.Status != writ.ExecCompleted {
		t.Fatalf("%+v %v", got, err)
	}
	stranger := writ.WithPrincipal(ctx, &writ.Principal{ID: "human:eve", Kind: writ.Human, Tenant: tenant, Workspace: "default", Strength: writ.StrengthChannel})
	if _, err := j.ExecutionGet(stranger, &contract.ExecutionGetInput{ExecutionID: id}); !writ.IsCode(err, writ.CodeNotFound) {
		t.Errorf("a sender of a channel sees another's: %v", err)
	}
	list, err := j.ExecutionList(ctx, &contract.ExecutionListInput{Status: writ.ExecCompleted})
	if err != nil || len(list.Items) != 1 {
		t.Fatalf("%+v %v", list, err)
	}
	entries, err := j.TraceGet(ctx, &contract.TraceGetInput{ExecutionID: id, IncludePayloads: true})
	if err != nil || len(entries.Entries) != 4 || string(entries.Entries[0].Payloads[0].Data) != `{"text":"intent 1"}` {
		t.Fatalf("%+v %v", entries, err)
	}
	if e := entries.Entries[3]; e.Stage != "execution" || e.Status != "ended" || e.Digest != last.Digest {
		t.Fatalf("%+v", e)
	}
	traces, err := j.TraceList(ctx, &contract.TraceListInput{})
	if err != nil || len(traces.Items) != 1 || traces.Items[0].Records != 4 || traces.Items[0].Head != last.Digest {
		t.Fatalf("%+v %v", traces, err)
	}
	for _, in := range []contract.TraceVerifyInput{{}, {ExecutionID: id}} {
		report, err := j.TraceVerify(ctx, &in)
		if err != nil || !report.Valid || report.Records != 4 {
			t.Fatalf("%+v %v", report, err)
		}
	}
	bundle, err := j.EvidenceExport(ctx, &contract.EvidenceExportInput{ExecutionID: id})
	if err != nil || bundle.Records != 4 || verified(t, bundle.Bundle, public()).Attachments["policy/x"] == nil {
		t.Fatalf("%+v %v", bundle, err)
	}
	checkImportHandler(t, bundle.Bundle)
	_, err = j.ExecutionGet(context.Background(), &contract.ExecutionGetInput{ExecutionID: id})
	wantCode(t, err, writ.CodeUnauthenticated)
	_, err = j.TraceGet(ctx, &contract.TraceGetInput{ExecutionID: "exe_none"})
	wantCode(t, err, writ.CodeNotFound)
	_, err = j.TraceVerify(ctx, &contract.TraceVerifyInput{ExecutionID: "exe_none"})
	wantCode(t, err, writ.CodeNotFound)
}

func checkImportHandler(t *testing.T, bundle []byte) {
	t.Helper()
	ctx := operator()
	opts := options("")
	opts.Signer = ed25519.NewKeyFromSeed(make([]byte, 32))
	other := open(t, opts)
	_, err := other.EvidenceImport(ctx, &contract.EvidenceImportInput{Bundle: bundle})
	wantCode(t, err, writ.CodeTampered) // the key is not known
	_, err = other.EvidenceImport(ctx, &contract.EvidenceImportInput{Bundle: bundle, PublicKeyPEM: "x"})
	wantCode(t, err, writ.CodeInvalid)
	der, err := x509.MarshalPKIXPublicKey(public())
	if err != nil {
		t.Fatal(err)
	}
	text := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	out, err := other.EvidenceImport(ctx, &contract.EvidenceImportInput{Bundle: bundle, PublicKeyPEM: text})
	if err != nil || !out.Valid || out.Records != 4 || out.Status != "imported" {
		t.Fatalf("%+v %v", out, err)
	}
	report, err := other.TraceVerify(ctx, &contract.TraceVerifyInput{ExecutionID: out.ExecutionID})
	if err != nil || !report.Valid {
		t.Fatalf("%+v %v", report, err)
	}
	again, err := other.EvidenceExport(ctx, &contract.EvidenceExportInput{ExecutionID: out.ExecutionID})
	if err != nil || !bytes.Equal(again.Bundle, bundle) {
		t.Fatalf("%+v %v", again, err)
	}
}
