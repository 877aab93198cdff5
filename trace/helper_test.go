package trace_test

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"testing"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/trace"
)

// hostKey is the same in every run, so that a store of one process opens in
// another.
func hostKey() ed25519.PrivateKey {
	seed := sha256.Sum256([]byte("test host"))
	return ed25519.NewKeyFromSeed(seed[:])
}

func options(dir string) trace.Options {
	return trace.Options{Dir: dir, InMemory: dir == "", Clock: time.Now, Signer: hostKey(), Ballast: -1}
}

func open(t testing.TB, opts trace.Options) *trace.Journal {
	t.Helper()
	j, err := trace.Open(context.Background(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeJournal(t, j) })
	return j
}

func closeJournal(t testing.TB, j *trace.Journal) {
	t.Helper()
	if err := j.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
}

const tenant = writ.DefaultTenant

func execID(i int) writ.StreamID { return writ.StreamID(fmt.Sprintf("exe_%05d", i)) }

func at(i int) writ.Time { return writ.Time(1_700_000_000_000_000_000 + int64(i)) }

func audit() writ.Audit {
	return writ.Audit{
		ActorID: "ada", ActorType: writ.Human, TenantID: tenant, WorkspaceID: "default",
		CapabilityGrants: []string{}, CapabilitySource: "test", TraceID: "00", OnBehalfOf: []writ.PrincipalID{},
	}
}

func received(i int) writ.NewRecord {
	return writ.NewRecord{
		Type: writ.RecIntentReceived, Time: at(i), Actor: audit(),
		Body: writ.Body{Intent: &writ.IntentFacts{
			ID: "int_x", Workspace: "default", Origin: writ.OriginHuman,
			Principal: &writ.Principal{ID: "ada", Kind: writ.Human, Tenant: tenant, Workspace: "default"},
		}},
		Payloads: []writ.Payload{{Name: writ.PayloadIntent, Data: fmt.Appendf(nil, `{"text":"intent %d"}`, i)}},
	}
}

func ended(i int, status writ.ExecutionStatus) writ.NewRecord {
	return writ.NewRecord{
		Type: writ.RecExecutionEnded, Time: at(i), Actor: audit(),
		Body: writ.Body{End: &writ.EndFacts{Status: status, Reason: "test"}},
	}
}

func note(i int) writ.NewRecord {
	return writ.NewRecord{
		Type: writ.RecToolReturned, Time: at(i), Actor: audit(), Step: "stp_x", Attempt: 1,
		Body:     writ.Body{Call: &writ.CalledFacts{Sequence: i, Tool: "http.request", Effect: "read", Outcome: writ.OutcomeDone}},
		Payloads: []writ.Payload{{Name: writ.PayloadResult, Data: fmt.Appendf(nil, `{"result":%d}`, i)}},
	}
}

// must appends and waits until it is durable.
func must(t testing.TB, j *trace.Journal, b *writ.Batch) writ.Receipt {
	t.Helper()
	receipt, err := j.Append(context.Background(), b)
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Barrier(context.Background(), receipt.Position); err != nil {
		t.Fatal(err)
	}
	return receipt
}

func batchOf(stream writ.StreamID, expect uint64, records ...writ.NewRecord) *writ.Batch {
	return &writ.Batch{Tenant: tenant, Stream: stream, Expect: expect, Records: records}
}

// begin makes an execution of 1 + notes + 1 records that has completed.
func begin(t testing.TB, j *trace.Journal, i, notes int) writ.Receipt {
	t.Helper()
	records := []writ.NewRecord{received(i)}
	for n := range notes {
		records = append(records, note(n+1))
	}
	return must(t, j, batchOf(execID(i), 0, append(records, ended(i, writ.ExecCompleted))...))
}

// payloadOf reads the payloads of a stream.
func payloadOf(t testing.TB, j *trace.Journal, tenant writ.TenantID, stream writ.StreamID) writ.PayloadReader {
	t.Helper()
	read, err := j.Payloads(context.Background(), tenant, stream)
	if err != nil {
		t.Fatal(err)
	}
	return read
}

func wantCode(t testing.TB, err error, code writ.Code) {
	t.Helper()
	if !writ.IsCode(err, code) {
		t.Fatalf("got %v (%s), want %s", err, writ.CodeOf(err), code)
	}
}
