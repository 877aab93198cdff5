package trace_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/trace"
)

const day = 24 * time.Hour

func TestSweep(t *testing.T) {
	dir := t.TempDir()
	opts := options(dir)
	now := at(0).Std()
	opts.Clock = func() time.Time { return now }
	j := open(t, opts)
	ctx := context.Background()
	old := received(1)
	old.Payloads = append(old.Payloads, writ.Payload{Name: "large", Data: make([]byte, 2<<20)})
	first := must(t, j, batchOf(execID(1), 0, old, ended(1, writ.ExecFailed)))
	running := must(t, j, batchOf(execID(2), 0, received(2)))
	sweep := func(want trace.Swept) {
		t.Helper()
		got, err := j.Sweep(ctx)
		if err != nil || got != want {
			t.Fatalf("got %+v want %+v: %v", got, want, err)
		}
		report, err := j.VerifyAll(ctx, "")
		if err != nil || !report.Valid() {
			t.Fatalf("%+v %v", report, err)
		}
	}
	now = at(0).Std().Add(90 * day)
	sweep(trace.Swept{})
	now = now.Add(day)
	sweep(trace.Swept{Payloads: 2})
	sweep(trace.Swept{})
	for _, ref := range first.Records[0].Payloads {
		_, err := payloadOf(t, j, tenant, execID(1))(ref)
		wantCode(t, err, writ.CodeUnreplayable)
		if !strings.Contains(err.Error(), "2024-02-13") {
			t.Fatalf("when it was removed is not said: %v", err)
		}
	}
	if records, err := j.Records(ctx, writ.RecordQuery{Tenant: tenant, Stream: execID(1)}); err != nil || len(records) != 2 {
		t.Fatal(records, err)
	}
	if _, err := payloadOf(t, j, tenant, execID(2))(running.Records[0].Payloads[0]); err != nil {
		t.Fatal("what runs was swept:", err)
	}
	swept := verified(t, export(t, j, 1), public())
	if len(swept.Missing) != 2 {
		t.Fatalf("%+v", swept.Missing)
	}
	now = now.Add(310 * day)
	sweep(trace.Swept{Executions: 1})
	sweep(trace.Swept{})
	_, err := j.Records(ctx, writ.RecordQuery{Tenant: tenant, Stream: execID(1)})
	wantCode(t, err, writ.CodeNotFound)
	if !strings.Contains(err.Error(), string(first.Digest)) {
		t.Fatalf("the last digest is not said: %v", err)
	}
	_, err = j.Append(ctx, batchOf(execID(1), 0, received(1)))
	wantCode(t, err, writ.CodeConflict)
	list, err := j.Executions(ctx, writ.ExecutionQuery{Tenant: tenant})
	if err != nil || len(list.Items) != 1 {
		t.Fatalf("%+v %v", list, err)
	}
	feed, cancel := context.WithCancel(ctx)
	if err := j.Feed(feed, tenant, 0, func(s *writ.Stored) error {
		if s.Stream != execID(2) {
			return errors.New("an expired record was fed")
		}
		cancel()
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	closeJournal(t, j)
	j = open(t, opts)
	sweep(trace.Swept{})
}

func TestSweepOfAnImport(t *testing.T) {
	source := open(t, options(""))
	begin(t, source, 1, 1)
	e := verified(t, export(t, source, 1), public())
	opts := options("")
	now := at(0).Std()
	opts.Clock = func() time.Time { return now }
	j := open(t, opts)
	ctx := context.Background()
	if err := j.Import(ctx, tenant, e); err != nil {
		t.Fatal(err)
	}
	now = now.Add(401 * day)
	if got, err := j.Sweep(ctx); err != nil || got.Executions != 1 {
		t.Fatalf("%+v %v", got, err)
	}
	_, err := j.Execution(ctx, tenant, e.Execution)
	wantCode(t, err, writ.CodeNotFound)
	if report, err := j.VerifyAll(ctx, ""); err != nil || !report.Valid() {
		t.Fatalf("%+v %v", report, err)
	}
}

func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	var free atomic.Uint64
	free.Store(1 << 30)
	opts := options(dir)
	opts.Ballast, opts.MinFree = 4096, 1<<20
	opts.AnchorEvery = time.Nanosecond
	opts.Free = func(string) (uint64, error) { return free.Load(), nil }
	j := open(t, opts)
	ctx := context.Background()
	first := must(t, j, batchOf(execID(1), 0, received(1)))
	free.Store(1<<20 - 1)
	must(t, j, batchOf(execID(1), first.Seq, note(1))) // notices; what runs goes on
	_, err := j.Append(ctx, batchOf(execID(2), 0, received(2)))
	wantCode(t, err, writ.CodeUnavailable)
	must(t, j, batchOf(execID(1), 2, note(2)))
	free.Store(1 << 18)
	_, err = j.Append(ctx, batchOf(execID(1), 3, note(3)))
	wantCode(t, err, writ.CodeUnavailable)
	if _, err := os.Stat(filepath.Join(dir, "ballast")); !errors.Is(err, os.ErrNotExist) {
		t.Fatal("the ballast was not given up", err)
	}
	free.Store(1 << 30)
	must(t, j, batchOf(execID(1), 3, note(3)))
	must(t, j, batchOf(execID(2), 0, received(2)))
}

func TestOpenRefuses(t *testing.T) {
	ctx := context.Background()
	for name, opts := range map[string]trace.Options{
		"nothing":      {},
		"no clock":     {InMemory: true},
		"no directory": {Clock: time.Now},
		"both":         {Clock: time.Now, InMemory: true, Dir: t.TempDir()},
		"no key":       {Clock: time.Now, Dir: t.TempDir()},
		"bad origin":   {Clock: time.Now, InMemory: true, Origin: "a b"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := trace.Open(ctx, opts)
			wantCode(t, err, writ.CodeInvalid)
		})
	}
}

func TestAppendRefuses(t *testing.T) {
	j := open(t, options(""))
	big := received(1)
	big.Payloads = []writ.Payload{{Name: "output", Data: make([]byte, 64<<20+1)}}
	noFacts := received(1)
	noFacts.Body.Intent = nil
	slash := received(1)
	slash.Body.Intent = &writ.IntentFacts{Workspace: "a/b"}
	with := func(change writ.Change) *writ.Batch {
		b := batchOf(execID(1), 0, received(1))
		b.Changes = []writ.Change{change}
		return b
	}
	for name, c := range map[string]struct {
		batch *writ.Batch
		code  writ.Code
	}{
		"no records":      {batchOf(execID(1), 0), writ.CodeInvalid},
		"no stream":       {batchOf("", 0, received(1)), writ.CodeInvalid},
		"stream with NUL": {batchOf("a\x00b", 0, received(1)), writ.CodeInvalid},
		"no tenant":       {&writ.Batch{Stream: execID(1), Records: []writ.NewRecord{received(1)}}, writ.CodeInvalid},
		"no type":         {batchOf(execID(1), 0, writ.NewRecord{}), writ.CodeInvalid},
		"no facts":        {batchOf(execID(1), 0, noFacts), writ.CodeInvalid},
		"workspace":       {batchOf(execID(1), 0, slash), writ.CodeInvalid},
		"gap":             {batchOf(execID(1), 1, received(1)), writ.CodeConflict},
		"payload":         {batchOf(execID(1), 0, big), writ.CodeTooLarge},
		"no key":          {with(writ.Change{}), writ.CodeInvalid},
		"long key":        {with(writ.Change{Key: strings.Repeat("k", 1025)}), writ.CodeInvalid},
		"large document":  {with(writ.Change{Key: "k", Value: make([]byte, 1<<20)}), writ.CodeTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := j.Append(context.Background(), c.batch)
			wantCode(t, err, c.code)
		})
	}
	begin(t, j, 1, 1) // nothing of all that has left a mark
	atLimit := with(writ.Change{Key: strings.Repeat("k", 1024), Value: make([]byte, 1<<20-8<<10)})
	atLimit.Stream = execID(2)
	must(t, j, atLimit)
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := j.Append(cancelled, batchOf(execID(3), 0, received(1)))
	wantCode(t, err, writ.CodeCancelled)
}

// TestSweepOfDeliveries: what was handled goes as executions do, and what waits
// stays.
func TestSweepOfDeliveries(t *testing.T) {
	opts := options(t.TempDir())
	now := at(0).Std()
	opts.Clock = func() time.Time { return now }
	j := open(t, opts)
	ctx := context.Background()
	facts := writ.Body{Delivery: &writ.DeliveryFacts{Channel: "github/acme", Key: "k"}}
	received := func() writ.NewRecord {
		return writ.NewRecord{Type: writ.RecDeliveryReceived, Time: writ.Time(now.UnixNano()), Body: facts, Payloads: []writ.Payload{{Name: writ.PayloadBody, Data: []byte("private words")}}}
	}
	first := must(t, j, &writ.Batch{Tenant: tenant, Stream: "dlv_1", Records: []writ.NewRecord{received()}})
	must(t, j, &writ.Batch{Tenant: tenant, Stream: "dlv_2", Records: []writ.NewRecord{received()}})
	must(t, j, &writ.Batch{
		Tenant: tenant, Stream: "dlv_1", Expect: 1, Records: []writ.NewRecord{{Type: writ.RecDeliveryHandled, Time: writ.Time(now.UnixNano()), Body: facts}},
		Changes: []writ.Change{{Key: writ.DeliveredKey(writ.Time(now.UnixNano()), "dlv_1"), Value: []byte("{}")}},
	})
	// Its thread was told afterwards how it went.
	must(t, j, &writ.Batch{Tenant: tenant, Stream: "dlv_1", Expect: 2, Records: []writ.NewRecord{{Type: writ.RecDeliveryAnswered, Time: writ.Time(now.UnixNano()), Body: facts}}})
	for _, step := range []struct {
		after time.Duration
		want  trace.Swept
	}{{90 * day, trace.Swept{}}, {time.Second, trace.Swept{Payloads: 1}}, {time.Second, trace.Swept{}}, {310 * day, trace.Swept{Deliveries: 1}}, {day, trace.Swept{}}} {
		now = now.Add(step.after)
		if got, err := j.Sweep(ctx); err != nil || got != step.want {
			t.Fatalf("got %+v want %+v: %v", got, step.want, err)
		}
		if report, err := j.VerifyAll(ctx, ""); err != nil || !report.Valid() {
			t.Fatalf("%+v %v", report, err)
		}
		_, err := payloadOf(t, j, tenant, "dlv_2")(mustRecords(t, j, "dlv_2")[0].Payloads[0])
		if err != nil {
			t.Fatal("what waits was swept:", err)
		}
	}
	if _, err := payloadOf(t, j, tenant, "dlv_1")(first.Records[0].Payloads[0]); err == nil {
		t.Error("the words are still there")
	}
	docs, err := j.List(ctx, writ.StoreQuery{Tenant: tenant, Prefix: writ.DeliveredPrefix})
	if err != nil || len(docs) != 0 {
		t.Errorf("%d documents, %v", len(docs), err)
	}
}

// TestSweepOfMessages: those that were said and those that were given up go alike, and
// one that is tried again stays.
func TestSweepOfMessages(t *testing.T) {
	opts := options(t.TempDir())
	now := at(0).Std()
	opts.Clock = func() time.Time { return now }
	j := open(t, opts)
	facts := writ.Body{Message: &writ.MessageFacts{Channel: "github/acme", Key: "k"}}
	stamp := writ.Time(now.UnixNano())
	for stream, last := range map[writ.StreamID]struct {
		kind writ.RecordType
		list string
	}{
		"msg_1": {writ.RecMessageSent, writ.DeliveredKey(stamp, "msg_1")}, "msg_2": {writ.RecMessageFailed, writ.UnsentKey(stamp, "msg_2")},
		"msg_3": {writ.RecMessageIndeterminate, writ.UnsentKey(stamp, "msg_3")}, "msg_4": {writ.RecMessageDropped, writ.DeliveredKey(stamp, "msg_4")},
		"msg_5": {writ.RecMessageQueued, "outbox/github/acme/1/msg_5"},
	} {
		must(t, j, &writ.Batch{
			Tenant: tenant, Stream: stream, Changes: []writ.Change{{Key: last.list, Value: []byte("{}")}},
			Records: []writ.NewRecord{
				{Type: writ.RecMessageQueued, Time: stamp, Body: facts, Payloads: []writ.Payload{{Name: writ.PayloadMessage, Data: []byte("words")}}},
				{Type: last.kind, Time: stamp, Body: facts},
			},
		})
	}
	for _, step := range []struct {
		after time.Duration
		want  trace.Swept
	}{{90 * day, trace.Swept{}}, {time.Second, trace.Swept{Payloads: 4}}, {311 * day, trace.Swept{Deliveries: 4}}, {day, trace.Swept{}}} {
		now = now.Add(step.after)
		if got, err := j.Sweep(t.Context()); err != nil || got != step.want {
			t.Fatalf("got %+v want %+v: %v", got, step.want, err)
		}
	}
	if records := mustRecords(t, j, "msg_5"); len(records) != 2 {
		t.Errorf("%d records of what waits", len(records))
	}
	if docs, err := j.List(t.Context(), writ.StoreQuery{Tenant: tenant}); err != nil || len(docs) != 1 {
		t.Errorf("%d documents, %v", len(docs), err)
	}
}

func mustRecords(t *testing.T, j *trace.Journal, stream writ.StreamID) []writ.Stored {
	t.Helper()
	records, err := j.Records(context.Background(), writ.RecordQuery{Tenant: tenant, Stream: stream})
	if err != nil {
		t.Fatal(err)
	}
	return records
}
