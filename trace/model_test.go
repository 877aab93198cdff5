package trace_test

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/trace"
)

// drawRecord is a record that an engine could write, in no sensible order: the
// fold is total.
func drawRecord(t *rapid.T, i int) writ.NewRecord {
	records := []writ.NewRecord{
		received(i), note(i), ended(i, writ.ExecFailed), ended(i, writ.ExecCompleted),
		{
			Type: writ.RecPlanCompiled, Time: at(i), Actor: audit(),
			Body: writ.Body{Plan: &writ.CompiledFacts{ID: "pln_x", Steps: []writ.PlannedStep{{ID: "stp_x", Name: "a", Risk: writ.RiskMedium}}}},
		},
		{
			Type: writ.RecVerdict, Time: at(i), Actor: audit(), Step: "stp_x",
			Body: writ.Body{Decided: &writ.DecidedFacts{Stage: writ.StageVerify, Verdict: writ.Verdict{Mode: writ.Assist, Risk: writ.RiskHigh}}},
		},
		{Type: writ.RecStepStarted, Time: at(i), Actor: audit(), Step: "stp_x", Attempt: 1, Body: writ.Body{Started: &writ.StartedFacts{Key: "k"}}},
		{Type: writ.RecRunStarted, Time: at(i), Actor: audit(), Body: writ.Body{Run: &writ.RunFacts{ID: "run_x", Mode: writ.Autonomous}}},
		{Type: writ.RecCancelRequested, Time: at(i), Actor: audit(), Body: writ.Body{End: &writ.EndFacts{Reason: "no"}}},
	}
	return rapid.SampledFrom(records).Draw(t, "record")
}

// model is what the journal must hold.
type model struct {
	records   map[writ.StreamID][]writ.Record
	documents map[string]string
}

// Random batches over several streams, some after a barrier and some not, with
// the journal closed and opened in between: everything that was accepted is
// there, in order, and every projection is the fold of its records.
func TestRandomBatches(t *testing.T) {
	// A case opens three stores on disk, a sixth of a second.
	checks := flag.Lookup("rapid.checks")
	before := checks.Value.String()
	if before == checks.DefValue {
		if err := checks.Value.Set("12"); err != nil {
			t.Fatal(err)
		}
	}
	defer func() {
		if err := checks.Value.Set(before); err != nil {
			t.Error(err)
		}
	}()
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "writ")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		m := &model{map[writ.StreamID][]writ.Record{}, map[string]string{}}
		for range rapid.IntRange(1, 2).Draw(t, "lives") {
			j, err := trace.Open(context.Background(), options(dir))
			if err != nil {
				t.Fatal(err)
			}
			m.check(t, j)
			for i := range rapid.IntRange(1, 12).Draw(t, "batches") {
				m.step(t, j, i)
			}
			if err := j.Close(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		j, err := trace.Open(context.Background(), options(dir))
		if err != nil {
			t.Fatal(err)
		}
		m.check(t, j)
		if err := j.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
	})
}

func (m *model) step(t *rapid.T, j *trace.Journal, i int) {
	stream := execID(rapid.IntRange(0, 3).Draw(t, "stream"))
	b := batchOf(stream, uint64(len(m.records[stream])))
	for range rapid.IntRange(1, 4).Draw(t, "records") {
		b.Records = append(b.Records, drawRecord(t, i))
	}
	if rapid.Bool().Draw(t, "document") {
		key := fmt.Sprintf("kv/%d", rapid.IntRange(0, 3).Draw(t, "key"))
		change := writ.Change{Key: key}
		if delete(m.documents, key); rapid.Bool().Draw(t, "set") {
			change.Value = fmt.Appendf(nil, "%d", i)
			m.documents[key] = string(change.Value)
		}
		b.Changes = []writ.Change{change}
	}
	receipt, err := j.Append(context.Background(), b)
	if err == nil && rapid.Bool().Draw(t, "barrier") {
		err = j.Barrier(context.Background(), receipt.Position)
	}
	if err != nil {
		t.Fatal(err)
	}
	m.records[stream] = append(m.records[stream], receipt.Records...)
}

func (m *model) check(t *rapid.T, j *trace.Journal) {
	ctx := context.Background()
	m.checkLists(t, j)
	for stream, want := range m.records {
		got, err := j.Records(ctx, writ.RecordQuery{Tenant: tenant, Stream: stream})
		if err != nil || len(got) != len(want) {
			t.Fatalf("%s: %d records, want %d: %v", stream, len(got), len(want), err)
		}
		for i := range got {
			if !reflect.DeepEqual(got[i].Record, want[i]) {
				t.Fatalf("%s record %d: %+v want %+v", stream, i+1, got[i].Record, want[i])
			}
		}
		execution, err := j.Execution(ctx, tenant, writ.ExecutionID(stream))
		if err != nil || !reflect.DeepEqual(execution, trace.Fold(got)) {
			t.Fatalf("%s: %+v is not the fold: %v", stream, execution, err)
		}
	}
	documents, err := j.List(ctx, writ.StoreQuery{Tenant: tenant})
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]string{}
	for _, d := range documents {
		have[d.Key] = string(d.Value)
	}
	if !maps.Equal(have, m.documents) {
		t.Fatalf("documents %v, want %v", have, m.documents)
	}
	if report, err := j.VerifyAll(ctx, ""); err != nil || !report.Valid() {
		t.Fatalf("%+v %v", report, err)
	}
}

// checkLists wants each execution in the lists of its status and risk, and in no
// other.
func (m *model) checkLists(t *rapid.T, j *trace.Journal) {
	want, got := map[string]int{}, map[string]int{}
	for _, records := range m.records {
		e := &writ.Execution{}
		for i := range records {
			e.Apply(&records[i])
		}
		if e.ID != "" {
			for _, list := range []string{"", string(e.Status), "risk " + string(e.Risk)} {
				want[list+" "+string(e.ID)]++
			}
		}
	}
	list := func(name string, query writ.ExecutionQuery) {
		query.Tenant, query.Limit = tenant, 2
		for _, e := range pages(t, j, query) {
			got[name+" "+string(e.ID)]++
		}
	}
	list("", writ.ExecutionQuery{})
	for _, status := range []writ.ExecutionStatus{writ.ExecReceived, writ.ExecCompiled, writ.ExecRunning, writ.ExecCompleted, writ.ExecFailed} {
		list(string(status), writ.ExecutionQuery{Status: status})
	}
	for _, risk := range []writ.Risk{writ.RiskLow, writ.RiskMedium, writ.RiskHigh} {
		list("risk "+string(risk), writ.ExecutionQuery{Risk: risk})
	}
	maps.DeleteFunc(want, func(name string, _ int) bool { return strings.HasPrefix(name, "risk  ") }) // none yet
	if !maps.Equal(got, want) {
		t.Fatalf("lists %v, want %v", got, want)
	}
}

// Everything at once, for the race detector: appends, barriers, readers, feeds,
// verification, sweeps, checkpoints and exports.
func TestHammer(t *testing.T) {
	opts := options(t.TempDir())
	opts.AnchorEvery = time.Millisecond
	// Payloads are swept as soon as an execution has ended, records are kept.
	opts.Clock = func() time.Time { return at(0).Std().Add(91 * day) }
	j := open(t, opts)
	ctx, cancel := context.WithCancel(context.Background())
	const writers, each = 6, 40
	var writing, others sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			for i := range each {
				number := w*each + i
				receipt, err := j.Append(ctx, batchOf(execID(number), 0, received(number), note(1)))
				if err == nil {
					receipt, err = j.Append(ctx, batchOf(execID(number), receipt.Seq, ended(number, writ.ExecCompleted)))
				}
				if err == nil && i%3 == 0 {
					err = j.Barrier(ctx, receipt.Position)
				}
				if err != nil {
					t.Error(err)
					cancel()
					return
				}
			}
		})
	}
	fed := make(chan []writ.Position, 2)
	for range 2 {
		others.Go(func() {
			var seen []writ.Position
			if err := j.Feed(ctx, tenant, 0, func(s *writ.Stored) error {
				if seen = append(seen, s.Position); len(seen) == writers*each*3 {
					fed <- seen
				}
				return nil
			}); err != nil {
				t.Error(err)
			}
		})
	}
	for _, read := range []func() error{
		func() error { _, err := j.Executions(ctx, writ.ExecutionQuery{Tenant: tenant, Limit: 20}); return err },
		func() error { _, err := j.Checkpoint(ctx); return err },
		func() error { _, err := j.Sweep(ctx); return err },
		func() error {
			report, err := j.VerifyAll(ctx, "")
			if err == nil && !report.Valid() {
				err = fmt.Errorf("%+v", report)
			}
			return err
		},
	} {
		others.Go(func() {
			for ctx.Err() == nil {
				if err := read(); err != nil && ctx.Err() == nil {
					t.Error(err)
					cancel()
				}
			}
		})
	}
	writing.Wait()
	for range 2 {
		var seen []writ.Position
		select {
		case seen = <-fed:
		case <-ctx.Done():
			t.Fatal("something failed before the feed was complete")
		}
		if !slices.IsSorted(seen) || seen[len(seen)-1] != writers*each*3 {
			t.Errorf("the feed gave %d records, the last at %d", len(seen), seen[len(seen)-1])
		}
	}
	cancel()
	others.Wait()
}

// More open streams than the writer keeps in mind, each with two batches on
// their way at once.
func TestManyOpenStreams(t *testing.T) {
	j := open(t, options(""))
	const streams = 2500
	var last writ.Receipt
	for i := range streams {
		for seq, record := range []writ.NewRecord{received(i), note(1)} {
			var err error
			if last, err = j.Append(context.Background(), batchOf(execID(i), uint64(seq), record)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := j.Barrier(context.Background(), last.Position); err != nil {
		t.Fatal(err)
	}
	must(t, j, batchOf(execID(0), 2, ended(0, writ.ExecCompleted)))
	report, err := j.VerifyAll(context.Background(), tenant)
	if err != nil || !report.Valid() || report.Records != 2*streams+1 {
		t.Fatalf("%+v %v", report, err)
	}
}
