package main

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/host"
)

// maxBenchRuns is what a person waits for: a million runs of 10 us each.
const maxBenchRuns = 1_000_000

// benchmark is what an action costs. Times are in nanoseconds.
type benchmark struct {
	Action  string        `json:"action"`
	Module  writ.Digest   `json:"module"`
	Bytes   int           `json:"bytes"`
	Engine  string        `json:"engine"`
	Compile time.Duration `json:"compileNs"`  // with nothing in the cache
	First   time.Duration `json:"firstRunNs"` // of a compiled module in this process
	Fresh   quantiles     `json:"fresh"`      // each run in an instance of its own
	Reused  quantiles     `json:"reused"`     // as a host runs it
	Fuel    uint64        `json:"fuel"`
	Memory  uint64        `json:"memory"`
	Calls   int           `json:"calls"`
}

type quantiles struct {
	Runs int           `json:"runs"`
	P50  time.Duration `json:"p50Ns"`
	P95  time.Duration `json:"p95Ns"`
	P99  time.Duration `json:"p99Ns"`
}

func quantilesOf(times []time.Duration) quantiles {
	slices.Sort(times)
	at := func(percent int) time.Duration { return times[min(len(times)-1, len(times)*percent/100)] }
	return quantiles{Runs: len(times), P50: at(50), P95: at(95), P99: at(99)}
}

func (a *app) skillBench() *cobra.Command {
	o := &runOptions{}
	runs := 200
	c := &cobra.Command{
		Use: "bench ACTION [INPUT]", Short: "Measure what an action of your own work costs", Args: cobra.RangeArgs(1, 2),
		Long: `Runs one action as writ skill run does, and then again and again under the same
permit, with the recorded answers of its tools: what is measured is the skill and not the
world. Fresh runs each get an instance of their own, reused ones what a host gives them.`,
		Example: "  writ skill bench greet '{\"name\":\"Ada\"}'\n  writ skill bench greet '{\"name\":\"Ada\"}' --runs 5000 -o json",
		RunE: func(cmd *cobra.Command, args []string) error {
			if runs < 1 || runs > maxBenchRuns {
				return usage("--runs %d: want 1 to %d", runs, maxBenchRuns)
			}
			input, err := a.actionInput(args)
			if err != nil {
				return err
			}
			w, err := a.buildFor(cmd.Context(), o, args[0])
			if err != nil {
				return err
			}
			out, err := a.bench(cmd.Context(), w, benchRequest{action: args[0], given: rehearsed{input, o.approve}, runs: runs})
			if err != nil {
				return err
			}
			return a.print(out, func(t *table) { benchTable(t, out) })
		},
	}
	c.Flags().StringVar(&o.dir, "dir", ".", "directory of the skill")
	c.Flags().StringVar(&o.module, "module", "", "a ready WebAssembly module instead of the source")
	c.Flags().BoolVar(&o.approve, "approve", false, "approve what the action proposes to do: it is done once")
	c.Flags().IntVar(&runs, "runs", runs, "how often, fresh and reused each")
	return c
}

func benchTable(t *table, b *benchmark) {
	t.pair("action", b.Action)
	t.pair("module", fmt.Sprintf("%s  (%d bytes)", shortDigest(b.Module), b.Bytes))
	t.pair("engine", b.Engine)
	t.pair("fuel", fmt.Sprint(b.Fuel))
	t.pair("memory", fmt.Sprintf("%d bytes", b.Memory))
	t.pair("tool calls", fmt.Sprint(b.Calls))
	t.pair("cold compile", b.Compile.Round(time.Microsecond).String())
	t.pair("first run", b.First.Round(time.Microsecond).String())
	t.flush()
	t.head("instances", "runs", "p50", "p95", "p99")
	for _, q := range []struct {
		name string
		quantiles
	}{{"fresh", b.Fresh}, {"reused", b.Reused}} {
		t.row(q.name, fmt.Sprint(q.Runs), q.P50.String(), q.P95.String(), q.P99.String())
	}
}

type benchRequest struct {
	action string
	given  rehearsed
	runs   int
}

// bench compiles in an empty home, runs the action once through everything, and
// measures from inside that run.
func (a *app) bench(ctx context.Context, w *work, request benchRequest) (*benchmark, error) {
	r, err := a.rehearse(ctx, w)
	if err != nil {
		return nil, err
	}
	defer r.close(ctx)
	fresh, err := r.freshSandbox()
	if err != nil {
		return nil, err
	}
	defer func() { _ = fresh.Close(context.WithoutCancel(ctx)) }()
	m := &measuring{Sandbox: r.home.sandbox, fresh: fresh, runs: request.runs, out: &benchmark{
		Action: w.manifest.Name + "#" + request.action, Bytes: len(w.module), Engine: r.home.engineID(),
	}}
	if m.out.Compile, err = coldCompile(ctx, r.home.sandbox, w.module, w.manifest.Limits); err != nil {
		return nil, err
	}
	tools, err := r.home.toolbox()
	if err != nil {
		return nil, err
	}
	options := r.home.engineOptions(tools)
	options.Sandbox = m
	if err := r.useEngine(ctx, options); err != nil {
		return nil, err
	}
	x, err := a.rehearseAction(ctx, r, request.action, request.given)
	if err != nil {
		return nil, err
	}
	if m.err != nil {
		return nil, m.err
	}
	if m.out.Reused.Runs == 0 {
		return nil, r.failed(request.action, x)
	}
	return m.out, nil
}

// freshSandbox shares the home's compiled modules and keeps no instances.
func (r *rehearsal) freshSandbox() (writ.Sandbox, error) {
	keys, err := readKeys(r.dir)
	if err != nil {
		return nil, err
	}
	options, err := sandboxOptions(filepath.Join(r.dir, "cache"), keys.cache, r.home.config.CompilerWrapper)
	if err != nil {
		return nil, err
	}
	options.FreshInstances = true
	return newSandbox(r.home.config, options)
}

func coldCompile(ctx context.Context, sandbox writ.Sandbox, module []byte, limits abi.Limits) (time.Duration, error) {
	preparer, able := sandbox.(host.Preparer)
	if !able {
		return 0, writ.Errorf(writ.CodeInternal, "skill bench", "the sandbox does not compile ahead")
	}
	began := time.Now()
	err := preparer.Prepare(ctx, module, limits)
	return time.Since(began), err
}

// measuring is a sandbox that, once a run has completed, makes it again and again.
type measuring struct {
	writ.Sandbox
	fresh writ.Sandbox
	runs  int
	out   *benchmark
	err   error
}

// Run implements writ.Sandbox.
func (m *measuring) Run(ctx context.Context, run *writ.GuestRun) (*writ.GuestResult, error) {
	answers := &answers{gate: run.Gate}
	first := *run
	first.Gate = answers
	began := time.Now()
	result, err := m.Sandbox.Run(ctx, &first)
	if took := time.Since(began) - answers.took; m.out.First == 0 {
		m.out.First = took // people may be asked after it, and then it runs again
	}
	if err != nil || result.Failure != nil {
		return result, err
	}
	m.out.Module, m.out.Fuel, m.out.Memory, m.out.Calls = run.Digest, result.Fuel, result.Memory, result.Calls
	if m.out.Fresh, err = m.again(ctx, m.fresh, run, repeated{answers, result.Output}); err == nil {
		m.out.Reused, err = m.again(ctx, m.Sandbox, run, repeated{answers, result.Output})
	}
	m.err = err
	return result, nil
}

// repeated is what a run is held against.
type repeated struct {
	answers *answers
	output  []byte
}

func (m *measuring) again(ctx context.Context, sandbox writ.Sandbox, run *writ.GuestRun, first repeated) (quantiles, error) {
	times := make([]time.Duration, 0, m.runs)
	for n := range m.runs + 1 {
		same := *run
		same.Gate = &answers{replies: first.answers.replies, replaying: true}
		began := time.Now()
		result, err := sandbox.Run(ctx, &same)
		took := time.Since(began)
		switch {
		case err != nil:
			return quantiles{}, err
		case result.Failure != nil || !bytes.Equal(result.Output, first.output):
			return quantiles{}, writ.Errorf(writ.CodeDiverged, "skill bench", "a run came to something else than the one before")
		case n > 0: // the first of a sandbox loads the module and takes its snapshot
			times = append(times, took)
		}
	}
	return quantilesOf(times), nil
}

// answers is a gate that keeps what was answered, or gives it again.
type answers struct {
	gate      writ.ToolGate
	replies   []*writ.ToolReply
	replaying bool
	next      int
	took      time.Duration // by the tools
}

// Call implements writ.ToolGate.
func (g *answers) Call(ctx context.Context, tool string, args []byte) (*writ.ToolReply, error) {
	if g.replaying {
		if g.next == len(g.replies) {
			return nil, writ.Errorf(writ.CodeDiverged, "skill bench", "a run makes a call that the one before did not make: %s", tool)
		}
		g.next++
		return g.replies[g.next-1], nil
	}
	began := time.Now()
	reply, err := g.gate.Call(ctx, tool, args)
	g.took += time.Since(began)
	g.replies = append(g.replies, reply)
	return reply, err
}
