//go:build linux

package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/trace"
)

// grown is a store that holds a number of small executions.
type grown struct {
	dir     string
	key     ed25519.PrivateKey
	journal *trace.Journal
	size    int
}

func runGrowth(ctx context.Context, o options) error {
	stop, err := profiling(o.profile)
	if err != nil {
		return err
	}
	defer stop()
	rows, err := growth(ctx, o.growth, o.span)
	if err != nil {
		return err
	}
	return errors.Join(write(o.out, "growth.json", rows), show(rows))
}

// growth measures stores of each size, and holds the others to the first, which
// stays until the end for that.
func growth(ctx context.Context, sizes []int, span time.Duration) (rows []row, err error) {
	stores := make([]*grown, len(sizes))
	defer func() {
		for _, g := range stores {
			err = errors.Join(err, g.remove(ctx))
		}
	}()
	for i, size := range sizes {
		g := &grown{size: size}
		stores[i] = g
		more, err := g.measure(ctx, span)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			ratios, err := g.over(ctx, stores[0], span)
			if err != nil {
				return nil, err
			}
			more = append(more, ratios...)
			if err := g.remove(ctx); err != nil {
				return nil, err
			}
		}
		for _, r := range more {
			fmt.Fprintf(os.Stderr, "  %s: %.3g %s\n", r.Name, r.Value, r.Unit)
		}
		rows = append(rows, more...)
		if err := stores[0].shut(ctx); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// measure fills a new store and leaves it open.
func (g *grown) measure(ctx context.Context, span time.Duration) (rows []row, err error) {
	if g.dir, err = os.MkdirTemp("", "writ-growth-"); err != nil {
		return nil, err
	}
	if _, g.key, err = ed25519.GenerateKey(rand.Reader); err != nil {
		return nil, err
	}
	if err := g.open(ctx); err != nil {
		return nil, err
	}
	began := time.Now()
	if err := g.fill(ctx); err != nil {
		return nil, err
	}
	filled := float64(g.size) / time.Since(began).Seconds()
	if err := g.shut(ctx); err != nil {
		return nil, err
	}
	debug.FreeOSMemory()
	began = time.Now()
	if err := g.open(ctx); err != nil {
		return nil, err
	}
	opened := time.Since(began)
	name := func(what string) string { return thousands(g.size) + " executions: " + what }
	for _, read := range g.reads() {
		took, err := sample(ctx, span/8, read.op)
		if err != nil {
			return nil, err
		}
		rows = append(rows, row{name(read.name + ", p50"), microseconds(quantile(took, 0.5)), "us", 0, "lower"})
	}
	disk, err := tables(g.dir)
	if err != nil {
		return nil, err
	}
	debug.FreeOSMemory()
	return append(rows,
		row{name("open"), milliseconds(opened), "ms", 300, "lower"},
		row{name("fill, 3 batches each"), filled, "/s", 0, "higher"},
		row{name("on disk, each"), float64(disk) / float64(g.size), "B", 0, "lower"},
		row{name("memory of the process"), residentMiB(), "MiB", 0, "lower"},
	), nil
}

// over reads this store and a smaller one in turns, so that whatever else the
// machine does meets both, and gives the ratios of the medians.
func (g *grown) over(ctx context.Context, small *grown, span time.Duration) ([]row, error) {
	if err := small.open(ctx); err != nil {
		return nil, err
	}
	var rows []row
	fewer := small.reads()
	for i, read := range g.reads() {
		took, err := rotation(ctx, span/4, read.op, fewer[i].op)
		if err != nil {
			return nil, err
		}
		ratio := float64(quantile(took[0], 0.5)) / float64(quantile(took[1], 0.5))
		rows = append(rows, row{fmt.Sprintf("%s at %s executions over %s", read.name, thousands(g.size), thousands(small.size)), ratio, "x", 2, "lower"})
	}
	return rows, nil
}

// thousands is a number for people.
func thousands(n int) string {
	if n < 1000 {
		return strconv.Itoa(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}

// shut closes the journal where it is open.
func (g *grown) shut(ctx context.Context) error {
	if g.journal == nil {
		return nil
	}
	err := g.journal.Close(ctx)
	g.journal = nil
	return err
}

// remove leaves nothing of the store. Again it does nothing.
func (g *grown) remove(ctx context.Context) error {
	if g == nil || g.dir == "" {
		return nil
	}
	err := errors.Join(g.shut(ctx), os.RemoveAll(g.dir))
	g.dir = ""
	return err
}

func (g *grown) open(ctx context.Context) (err error) {
	g.journal, err = trace.Open(ctx, trace.Options{Dir: g.dir, Clock: time.Now, Signer: g.key, Ballast: -1})
	return err
}

// id is in no order, as a real one.
func (g *grown) id(i int) writ.ExecutionID {
	return writ.ExecutionID(canon.ID("exe", canon.DomainExecution, strconv.AppendInt(nil, int64(i), 10)))
}

// fill writes every execution in three batches, so that each stands in three lists
// one after the other. A few stay open. Nobody waits for a single batch: what holds
// the fill up is the store alone, which merges its tables meanwhile. Fewer writers
// leave more of two cores to that, and fill groups as well.
func (g *grown) fill(ctx context.Context) error {
	const writers = 32
	var next atomic.Int64
	return repeat(ctx, g.size, writers, func(ctx context.Context) error {
		i := int(next.Add(1)) - 1
		last, err := g.execution(ctx, i)
		// Each writer waits at every 64th: what is not written yet stays some MiB.
		if err == nil && (i/writers%64 == 0 || i >= g.size-writers) {
			err = g.journal.Barrier(ctx, last)
		}
		return err
	})
}

// execution appends one and returns the position of its last record.
func (g *grown) execution(ctx context.Context, i int) (last writ.Position, err error) {
	at, seq := writ.Time(1_700_000_000_000_000_000+int64(i)*1000), uint64(0)
	workspace := writ.WorkspaceID(fmt.Sprintf("team-%d", i%10))
	actor := writ.Audit{ActorID: "ada", ActorType: writ.Human, TenantID: writ.DefaultTenant, WorkspaceID: workspace, TraceID: "00"}
	put := func(records ...writ.NewRecord) error {
		for k := range records {
			records[k].Time, records[k].Actor = at+writ.Time(k), actor
		}
		receipt, err := g.journal.Append(ctx, &writ.Batch{
			Tenant: writ.DefaultTenant, Stream: writ.StreamID(g.id(i)), Expect: seq, Records: records,
		})
		seq, last = receipt.Seq, receipt.Position
		return err
	}
	risk := []writ.Risk{writ.RiskLow, writ.RiskLow, writ.RiskMedium, writ.RiskHigh}[i%4]
	err = put(writ.NewRecord{
		Type: writ.RecIntentReceived,
		Body: writ.Body{Intent: &writ.IntentFacts{ID: "int_x", Workspace: workspace, Origin: writ.OriginHuman}},
	}, writ.NewRecord{
		Type: writ.RecPlanCompiled,
		Body: writ.Body{Plan: &writ.CompiledFacts{ID: "pln_x", Steps: []writ.PlannedStep{{ID: "stp_x", Name: "a", Action: "echo", Risk: risk}}}},
	})
	if err != nil {
		return last, err
	}
	started := []writ.NewRecord{{Type: writ.RecRunStarted, Body: writ.Body{Run: &writ.RunFacts{ID: "run_x", Mode: writ.Autonomous}}}}
	if i%1000 == 7 {
		started = append(started, writ.NewRecord{
			Type: writ.RecApprovalOpened, Step: "stp_x",
			Body: writ.Body{Approval: &writ.ApprovalFacts{Status: writ.ApprovalPending, Request: &writ.ApprovalRequest{Step: "stp_x"}}},
		})
	}
	if err := put(started...); err != nil || i%1000 == 7 || i%1000 == 8 {
		return last, err
	}
	err = put(
		writ.NewRecord{Type: writ.RecStepStarted, Step: "stp_x", Attempt: 1, Body: writ.Body{Started: &writ.StartedFacts{Key: "k"}}},
		writ.NewRecord{Type: writ.RecStepCompleted, Step: "stp_x", Attempt: 1, Body: writ.Body{Ended: &writ.EndedFacts{}}},
		writ.NewRecord{Type: writ.RecExecutionEnded, Body: writ.Body{End: &writ.EndFacts{Status: writ.ExecCompleted}}},
	)
	return last, err
}

// read is something that people do with a store.
type read struct {
	name string
	op   func(context.Context) error
}

func (g *grown) reads() []read {
	random := mathrand.New(mathrand.NewPCG(1, 2))
	any := func() int { return random.IntN(g.size) }
	list := func(q writ.ExecutionQuery) func(context.Context) error {
		q.Tenant = writ.DefaultTenant
		return func(ctx context.Context) error {
			_, err := g.journal.Executions(ctx, q)
			return err
		}
	}
	return []read{
		{"get", func(ctx context.Context) error {
			_, err := g.journal.Execution(ctx, writ.DefaultTenant, g.id(any()))
			return err
		}},
		{"records of one", func(ctx context.Context) error {
			_, err := g.journal.Records(ctx, writ.RecordQuery{Tenant: writ.DefaultTenant, Stream: writ.StreamID(g.id(any()))})
			return err
		}},
		{"list, first 50", list(writ.ExecutionQuery{})},
		{"list, completed", list(writ.ExecutionQuery{Status: writ.ExecCompleted})},
		{"list, high risk in a workspace", list(writ.ExecutionQuery{Workspace: "team-7", Risk: writ.RiskHigh})},
		{"list, awaiting approval, 1", list(writ.ExecutionQuery{Status: writ.ExecAwaitingApproval, Limit: 1})},
		{"list, running, 1", list(writ.ExecutionQuery{Status: writ.ExecRunning, Limit: 1})},
	}
}

// residentMiB is the anonymous memory of this process; 0 where it is not known.
func residentMiB() float64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		var kib float64
		if n, _ := fmt.Sscanf(line, "RssAnon: %f kB", &kib); n == 1 {
			return kib / 1024
		}
	}
	return 0
}
