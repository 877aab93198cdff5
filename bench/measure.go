package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

const oneStep = "apiVersion: writ/v1\nkind: Plan\nsteps:\n  - {name: a, uses: bench/echo#echo, with: {n: 1}}\n"

const threeSteps = oneStep + `
  - {name: b, uses: bench/echo#echo, with: {n: "${{ steps.a.output }}"}}
  - {name: c, uses: bench/echo#echo, with: {n: "${{ steps.b.output }}"}}
`

// sync is the floor: what the disk takes for one small durable write.
func (l *lab) sync(ctx context.Context, span time.Duration) ([]row, error) {
	f, err := os.Create(filepath.Join(l.dir, "floor"))
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	block := make([]byte, 1024)
	took, err := sample(ctx, span/3, func(context.Context) error {
		if _, err := f.Write(block); err != nil {
			return err
		}
		return f.Sync()
	})
	if err != nil {
		return nil, err
	}
	return []row{{"floor: 1 KiB write and fsync, p50", milliseconds(quantile(took, 0.5)), "ms", 0, "lower"}}, nil
}

// steps measures a verified one-step execution from start to its durable end.
func (l *lab) steps(ctx context.Context, span time.Duration) ([]row, error) {
	const most = 4000
	ids := make([]writ.ExecutionID, most)
	for i := range ids {
		var err error
		if ids[i], err = l.ready(ctx, oneStep); err != nil {
			return nil, err
		}
		if i > 200 && time.Duration(i)*2*time.Millisecond > span {
			ids = ids[:i]
			break
		}
	}
	next := 0
	var took []time.Duration
	for ; next < len(ids); next++ {
		began := time.Now()
		if err := l.start(ctx, ids[next]); err != nil {
			return nil, err
		}
		if next > 20 {
			took = append(took, time.Since(began))
		}
	}
	sortDurations(took)
	return []row{
		{"bare step, durable, 1 client, p50", milliseconds(quantile(took, 0.5)), "ms", 3, "lower"},
		{"bare step, durable, 1 client, p95", milliseconds(quantile(took, 0.95)), "ms", 0, "lower"},
	}, nil
}

// chains measures everything from the intent to the durable end of three steps.
func (l *lab) chains(ctx context.Context, span time.Duration) ([]row, error) {
	whole := func(ctx context.Context) error { return l.whole(ctx, threeSteps) }
	before := processTime()
	took, err := sample(ctx, span, whole)
	if err != nil {
		return nil, err
	}
	each := float64((processTime()-before)/time.Duration(len(took))) / float64(time.Microsecond)
	rate, err := parallel(ctx, span, 32, whole)
	if err != nil {
		return nil, err
	}
	return []row{
		{"3 steps, one request in process; 1 client, p50", milliseconds(quantile(took, 0.5)), "ms", 0, "lower"},
		{"3 steps, one request in process; CPU", each, "us", 0, "lower"},
		{"3 steps, one request in process; 32 clients", rate, "/s", 0, "higher"},
	}, nil
}

// processTime is the processor time of this process so far: unlike what a clock
// says, it does not grow because others work too.
func processTime() time.Duration {
	var usage syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func parallel(ctx context.Context, span time.Duration, clients int, op func(context.Context) error) (float64, error) {
	var done atomic.Int64
	var first error
	var once sync.Once
	var group sync.WaitGroup
	began := time.Now()
	for range clients {
		group.Go(func() {
			for time.Since(began) < span {
				if err := op(ctx); err != nil {
					once.Do(func() { first = err })
					return
				}
				done.Add(1)
			}
		})
	}
	group.Wait()
	return float64(done.Load()) / time.Since(began).Seconds(), first
}

// decisions measures the default policy on the question of a stored verdict.
func (l *lab) decisions(ctx context.Context, span time.Duration) ([]row, error) {
	id, err := l.ready(ctx, oneStep)
	if err != nil {
		return nil, err
	}
	records, err := l.journal.Records(ctx, writ.RecordQuery{Tenant: l.caller.Tenant, Stream: writ.StreamID(id)})
	if err != nil {
		return nil, err
	}
	var question writ.Question
	for i := range records {
		ref, ok := records[i].Payload(writ.PayloadQuestion)
		if !ok {
			continue
		}
		read, err := l.journal.Payloads(ctx, l.caller.Tenant, writ.StreamID(id))
		if err != nil {
			return nil, err
		}
		raw, err := read(ref)
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(raw, &question); err != nil {
			return nil, err
		}
	}
	judge := l.policies.Active()
	took, err := sample(ctx, span/3, func(ctx context.Context) error {
		_, err := judge.Judge(ctx, &question)
		return err
	})
	if err != nil {
		return nil, err
	}
	return []row{{"policy decision, default bundle, p50", milliseconds(quantile(took, 0.5)) * 1000, "us", 40, "lower"}}, nil
}

// guests measures a run of the bare sandbox: a fresh instance each time.
func (l *lab) guests(ctx context.Context, span time.Duration) ([]row, error) {
	verdict := &writ.Verdict{Mode: writ.Autonomous, Risk: writ.RiskLow}
	input := []byte(`{"n":1}`)
	scope := writ.PermitScope{Tenant: l.caller.Tenant, Skill: l.skill.SkillRef}
	took, err := sample(ctx, span/3, func(ctx context.Context) error {
		permit, err := writ.MintPermit(scope, writ.PermitEvidence{Verdict: verdict, Input: input})
		if err != nil {
			return err
		}
		defer permit.Close()
		result, err := l.sandbox.Run(ctx, &writ.GuestRun{
			Permit: permit, Module: l.skill.Module, Digest: l.skill.SkillRef.Module, ABI: l.skill.Manifest.ABI,
			Action: "echo", Input: input, Start: 1, Manifest: l.skill.Manifest, Gate: noTools{},
		})
		if err == nil && result.Failure != nil {
			err = result.Failure
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return []row{{"bare sandbox run, fresh instance, p50", milliseconds(quantile(took, 0.5)) * 1000, "us", 0, "lower"}}, nil
}

// noTools is the gate of a guest that calls none.
type noTools struct{}

func (noTools) Call(context.Context, string, []byte) (*writ.ToolReply, error) {
	return nil, writ.Errorf(writ.CodeForbidden, "bench", "no tool is expected")
}

// replays measures how often a stored three-step execution is derived again.
func (l *lab) replays(ctx context.Context, span time.Duration) ([]row, error) {
	id, err := l.ready(ctx, threeSteps)
	if err != nil {
		return nil, err
	}
	if err := l.start(ctx, id); err != nil {
		return nil, err
	}
	ctx = writ.WithPrincipal(ctx, l.caller)
	took, err := sample(ctx, span/2, func(ctx context.Context) error {
		out, err := l.engine.ReplayRun(ctx, &contract.ReplayRunInput{ExecutionID: id})
		if err == nil && !out.Identical {
			err = fmt.Errorf("the replay differs: %+v", out.Report)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return []row{{"replay of 3 steps, running the code", 1 / quantile(took, 0.5).Seconds(), "/s", 0, "higher"}}, nil
}
