//go:build linux

package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
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
	rows, err := growth(ctx, o.growth, o.span)
	if err != nil {
		return err
	}
	return errors.Join(write(o.out, "growth.json", rows), show(rows))
}

// growth measures stores of each size, and holds the times of the others to
// those of the first.
func growth(ctx context.Context, sizes []int, span time.Duration) ([]row, error) {
	var rows, first []row
	for _, size := range sizes {
		more, err := measureGrown(ctx, size, span)
		if err != nil {
			return nil, err
		}
		for i := range more {
			if first != nil && more[i].Better == "lower" && i < timed {
				more[i].Target = 2 * first[i].Value
			}
			fmt.Fprintf(os.Stderr, "  %s: %.3g %s\n", more[i].Name, more[i].Value, more[i].Unit)
		}
		if first == nil {
			first = more
		}
		rows = append(rows, more...)
	}
	return rows, nil
}

func measureGrown(ctx context.Context, size int, span time.Duration) (rows []row, err error) {
	g := &grown{size: size}
	if g.dir, err = os.MkdirTemp("", "writ-growth-"); err != nil {
		return nil, err
	}
	defer func() {
		if g.journal != nil {
			err = errors.Join(err, g.journal.Close(ctx))
		}
		err = errors.Join(err, os.RemoveAll(g.dir))
	}()
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
	filled := float64(size) / time.Since(began).Seconds()
	if err := g.journal.Close(ctx); err != nil {
		return nil, err
	}
	g.journal = nil
	debug.FreeOSMemory()
	began = time.Now()
	if err := g.open(ctx); err != nil {
		return nil, err
	}
	opened := time.Since(began)
	if rows, err = g.reads(ctx, span); err != nil {
		return nil, err
	}
	disk, err := diskUse(g.dir)
	if err != nil {
		return nil, err
	}
	debug.FreeOSMemory()
	name := func(what string) string { return fmt.Sprintf("%d executions: %s", size, what) }
	return append(rows,
		row{name("open"), milliseconds(opened), "ms", 300, "lower"},
		row{name("fill, 3 durable batches each"), filled, "/s", 0, "higher"},
		row{name("on disk, each"), float64(disk) / float64(size), "B", 0, "lower"},
		row{name("memory of the process"), residentMiB(), "MiB", 0, "lower"},
	), nil
}

func (g *grown) open(ctx context.Context) (err error) {
	g.journal, err = trace.Open(ctx, trace.Options{Dir: g.dir, Clock: time.Now, Signer: g.key, Ballast: -1})
	return err
}

// id is in no order, as a real one.
func (g *grown) id(i int) writ.ExecutionID {
	return writ.ExecutionID(canon.ID("exe", canon.DomainExecution, strconv.AppendInt(nil, int64(i), 10)))
}

// fill writes every execution in three durable batches, so that each stands in
// three lists one after the other. A few stay open.
func (g *grown) fill(ctx context.Context) error {
	const writers = 256
	var next atomic.Int64
	var first error
	var once sync.Once
	var group sync.WaitGroup
	for range writers {
		group.Go(func() {
			for i := int(next.Add(1)) - 1; i < g.size; i = int(next.Add(1)) - 1 {
				if err := g.execution(ctx, i); err != nil {
					once.Do(func() { first = err })
					return
				}
			}
		})
	}
	group.Wait()
	return first
}

func (g *grown) execution(ctx context.Context, i int) error {
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
		if err != nil {
			return err
		}
		seq = receipt.Seq
		return g.journal.Barrier(ctx, receipt.Position)
	}
	risk := []writ.Risk{writ.RiskLow, writ.RiskLow, writ.RiskMedium, writ.RiskHigh}[i%4]
	err := put(writ.NewRecord{
		Type: writ.RecIntentReceived,
		Body: writ.Body{Intent: &writ.IntentFacts{ID: "int_x", Workspace: workspace, Origin: writ.OriginHuman}},
	}, writ.NewRecord{
		Type: writ.RecPlanCompiled,
		Body: writ.Body{Plan: &writ.CompiledFacts{ID: "pln_x", Steps: []writ.PlannedStep{{ID: "stp_x", Name: "a", Action: "echo", Risk: risk}}}},
	})
	if err != nil {
		return err
	}
	started := []writ.NewRecord{{Type: writ.RecRunStarted, Body: writ.Body{Run: &writ.RunFacts{ID: "run_x", Mode: writ.Autonomous}}}}
	if i%1000 == 7 {
		started = append(started, writ.NewRecord{
			Type: writ.RecApprovalOpened, Step: "stp_x",
			Body: writ.Body{Approval: &writ.ApprovalFacts{Status: writ.ApprovalPending, Request: &writ.ApprovalRequest{Step: "stp_x"}}},
		})
	}
	if err := put(started...); err != nil || i%1000 == 7 || i%1000 == 8 {
		return err
	}
	return put(
		writ.NewRecord{Type: writ.RecStepStarted, Step: "stp_x", Attempt: 1, Body: writ.Body{Started: &writ.StartedFacts{Key: "k"}}},
		writ.NewRecord{Type: writ.RecStepCompleted, Step: "stp_x", Attempt: 1, Body: writ.Body{Ended: &writ.EndedFacts{}}},
		writ.NewRecord{Type: writ.RecExecutionEnded, Body: writ.Body{End: &writ.EndFacts{Status: writ.ExecCompleted}}},
	)
}

// timed is how many of the rows of a size are times of reads.
const timed = 7

func (g *grown) reads(ctx context.Context, span time.Duration) ([]row, error) {
	random := mathrand.New(mathrand.NewPCG(1, 2))
	any := func() int { return random.IntN(g.size) }
	list := func(q writ.ExecutionQuery) func(context.Context) error {
		q.Tenant = writ.DefaultTenant
		return func(ctx context.Context) error {
			_, err := g.journal.Executions(ctx, q)
			return err
		}
	}
	var rows []row
	for _, read := range []struct {
		name string
		op   func(context.Context) error
	}{
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
	} {
		took, err := sample(ctx, span/8, read.op)
		if err != nil {
			return nil, err
		}
		rows = append(rows, row{
			fmt.Sprintf("%d executions: %s, p50", g.size, read.name),
			float64(quantile(took, 0.5)) / float64(time.Microsecond), "us", 0, "lower",
		})
	}
	return rows, nil
}

func diskUse(dir string) (bytes int64, err error) {
	err = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasSuffix(path, ".mem") || strings.HasSuffix(path, ".vlog") {
			return err // logs are preallocated and bounded
		}
		info, err := entry.Info()
		if err == nil {
			bytes += info.Size()
		}
		return err
	})
	return bytes, err
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
