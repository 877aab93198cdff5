// Package engine executes compiled plans: event-sourced, governed, durable. Its
// state is the fold of an execution's journal; what it does is in the journal
// before it happens.
//
// Lock order: execution.mu, that of an edited one before that of what it is edited
// into, then Engine.mu. Neither is held while a guest or a
// tool runs.
package engine

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// Grants finds the few grants that may matter to a decision, and counts their uses.
type Grants interface {
	// Candidates are those of the principal's grants that concern the capabilities
	// (writ.Grant.Concerns), those left out that are over or were delegated from one
	// that is. What is held by the attempt that asks is not counted against it.
	Candidates(ctx context.Context, p *writ.Principal, wanted []writ.Capability, held []writ.GrantUse) ([]writ.Grant, error)
	// Take counts one use of each grant and of those above it, in the batch that
	// write appends, and not at all where write errs. CodeConflict because of
	// writ.ErrGrantSpent where one is over by now.
	Take(ctx context.Context, taking *writ.Taking, write func([]writ.GrantUse, []writ.Change) error) error
}

// Options are what an Engine is made of. Every interface is required.
type Options struct {
	Journal   writ.Journal
	Traces    writ.Traces
	Planner   writ.Planner
	Judges    writ.Judges
	Skills    writ.Skills
	Sandbox   writ.Sandbox
	Toolbox   writ.Toolbox
	Approvals writ.ApprovalVerifier
	Grants    Grants
	Freezes   writ.Freezes
	Budgets   Budgets
	Clock     writ.Clock
	Entropy   io.Reader // of step seeds and of ids without an idempotency key

	Delegations Delegations

	Tenants  []writ.TenantID   // whose executions are resumed; empty: the default tenant
	Labels   map[string]string // of this host, for policy
	EngineID string            // of the sandbox, pinned in the journal
	Parallel int               // steps that run at once; 0: 64
	Idle     int               // executions in memory from which those without a run are let go; 0: 4096
	Logger   hclog.Logger      // nil: none
	// Observe hears of each decision of a person and each deadline that passed; nil:
	// nobody counts. It must return at once and call nothing of the engine.
	Observe func(contract.ApprovalSample)
}

// defaultParallel keeps goroutines bounded; guests themselves are capped by the
// sandbox, and most steps wait for a tool.
const defaultParallel = 64

// defaultIdle is some 20 MiB.
const defaultIdle = 4096

// idleFor is how long an execution without a run must have had no request before
// it is let go of: by then nobody is in the middle of one.
const idleFor = 10 * time.Minute

// Engine runs executions. Its methods are the handlers of the contracts.
type Engine struct {
	Options
	schemas schemas
	crew    *crew
	ctx     context.Context
	cancel  context.CancelFunc
	work    sync.WaitGroup

	mu     sync.Mutex
	live   map[writ.ExecutionID]*execution
	tidyAt int // size of live at which the idle are looked for
	closed bool
}

// New checks the options. Recover resumes what an earlier process left.
func New(opts Options) (*Engine, error) {
	for name, part := range map[string]any{
		"Journal": opts.Journal, "Traces": opts.Traces, "Planner": opts.Planner, "Judges": opts.Judges,
		"Skills": opts.Skills, "Sandbox": opts.Sandbox, "Toolbox": opts.Toolbox, "Approvals": opts.Approvals,
		"Grants": opts.Grants, "Delegations": opts.Delegations, "Freezes": opts.Freezes, "Budgets": opts.Budgets,
		"Clock": opts.Clock, "Entropy": opts.Entropy,
	} {
		if part == nil {
			return nil, writ.Errorf(writ.CodeInternal, "engine", "option %s is missing", name)
		}
	}
	if opts.Parallel <= 0 {
		opts.Parallel = defaultParallel
	}
	if opts.Idle <= 0 {
		opts.Idle = defaultIdle
	}
	if len(opts.Tenants) == 0 {
		opts.Tenants = []writ.TenantID{writ.DefaultTenant}
	}
	if opts.Logger == nil {
		opts.Logger = hclog.NewNullLogger()
	}
	ctx, cancel := context.WithCancel(context.Background())
	return &Engine{
		Options: opts, crew: newCrew(opts.Parallel), ctx: ctx, cancel: cancel,
		live: map[writ.ExecutionID]*execution{}, tidyAt: opts.Idle,
	}, nil
}

// Recover resumes every execution that was under way. It returns when they are
// loaded, not when they end.
func (e *Engine) Recover(ctx context.Context) error {
	for _, tenant := range e.Tenants {
		for _, status := range openStatuses {
			if err := e.recoverStatus(ctx, tenant, status, nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// recoverStatus resumes the executions of a status that are wanted; nil: all.
func (e *Engine) recoverStatus(ctx context.Context, tenant writ.TenantID, status writ.ExecutionStatus, wanted func(*writ.Execution) bool) error {
	query := writ.ExecutionQuery{Tenant: tenant, Status: status, Limit: 500}
	var ids []writ.ExecutionID
	for {
		page, err := e.Traces.Executions(ctx, query)
		if err != nil {
			return err
		}
		for _, item := range page.Items {
			if wanted == nil || wanted(item) {
				ids = append(ids, item.ID)
			}
		}
		if query.Cursor = page.Next; query.Cursor == "" {
			break
		}
	}
	for _, id := range ids {
		x, err := e.open(ctx, tenant, id)
		if err != nil {
			return err
		}
		x.mu.Lock()
		x.advance()
		x.mu.Unlock()
	}
	return nil
}

// Close stops running guests at their next tool call or deadline and waits for
// them. What was under way is resumed by the next process.
func (e *Engine) Close(ctx context.Context) error {
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	e.cancel()
	e.crew.close()
	for _, x := range e.alive() {
		x.mu.Lock()
		x.disarm()
		x.mu.Unlock()
	}
	done := make(chan struct{})
	go func() { e.crew.wait(); e.work.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return writ.Errorf(writ.CodeTimeout, "engine", "steps were still running when the time for shutting down was up")
	}
}

// open finds the live execution or folds it from the journal.
func (e *Engine) open(ctx context.Context, tenant writ.TenantID, id writ.ExecutionID) (*execution, error) {
	e.mu.Lock()
	x, ok := e.live[id]
	if ok && x.tenant == tenant {
		x.touched = e.Clock.Now()
		e.mu.Unlock()
		return x, nil
	}
	e.mu.Unlock()
	loaded, err := e.load(ctx, tenant, id)
	if err != nil {
		return nil, err
	}
	if loaded.state.Status.Final() { // nothing to look after
		loaded.stop()
		return loaded, nil
	}
	return e.adopt(loaded)
}

// adopt looks after an execution from now on; where it is looked after already,
// the answer is that one.
func (e *Engine) adopt(x *execution) (*execution, error) {
	e.tidy()
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, errClosing
	}
	if known, ok := e.live[x.id]; ok && known.tenant == x.tenant {
		x.stop()
		return known, nil
	}
	x.touched = e.Clock.Now()
	e.live[x.id] = x
	return x, nil
}

// tidy lets go of executions that were compiled and never started, when there are
// many: they can be folded again. It looks again when there are twice as many.
func (e *Engine) tidy() {
	e.mu.Lock()
	if len(e.live) < e.tidyAt {
		e.mu.Unlock()
		return
	}
	before := e.Clock.Now().Add(-idleFor)
	var old []*execution
	for _, x := range e.live {
		if x.touched < before {
			old = append(old, x)
		}
	}
	e.mu.Unlock()
	for _, x := range old {
		if e.letGo(x, before) {
			x.stop()
			e.forget(x)
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.tidyAt = max(e.Idle, 2*len(e.live))
}

// letGo takes an execution out of memory where nothing is under way in it and
// nobody has asked for it since: whoever asks from now on folds another.
func (e *Engine) letGo(x *execution, before writ.Time) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.state.RunID != "" || len(x.running) > 0 || x.broken != nil {
		return false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if x.touched >= before || e.live[x.id] != x {
		return false
	}
	delete(e.live, x.id)
	return true
}

var errClosing = &writ.Error{
	Code: writ.CodeUnavailable, Op: "engine", Message: "the host is shutting down",
	Fix: "send the request again when it has started",
}

// spawn runs a step unless the engine is closing.
func (e *Engine) spawn(fn func(ctx context.Context)) bool {
	return e.crew.run(func() { fn(e.ctx) })
}

// forget lets go of an execution that has ended.
func (e *Engine) forget(x *execution) {
	e.mu.Lock()
	if e.live[x.id] == x {
		delete(e.live, x.id)
	}
	e.mu.Unlock()
	if tools, ok := e.Toolbox.(interface{ Forget(writ.ExecutionID) }); ok {
		tools.Forget(x.id)
	}
}

// reopenAfter is how long an execution rests whose record the journal refused:
// a disk does not get room within a second, and a person does not notice one.
const reopenAfter = time.Second

// reopenLater takes an execution up again from what is on disk, as the next
// process would. What refuses for good, a poisoned journal, ends the process.
func (e *Engine) reopenLater(x *execution) {
	time.AfterFunc(reopenAfter, func() {
		if e.ctx.Err() != nil {
			return
		}
		x.mu.Lock()
		busy, position := len(x.running) > 0, x.position
		x.mu.Unlock()
		if busy || e.Journal.Barrier(e.ctx, position) != nil {
			e.reopenLater(x)
			return
		}
		e.forget(x)
		fresh, err := e.open(e.ctx, x.tenant, x.id)
		if err != nil {
			if !writ.IsCode(err, writ.CodeNotFound) { // its first record was refused: nobody was told that it is there
				e.Logger.Error("an execution cannot be taken up again", "execution", x.id, "code", writ.CodeOf(err))
			}
			return
		}
		fresh.mu.Lock()
		defer fresh.mu.Unlock()
		fresh.advance()
	})
}

// draw reads random bytes from the injected source.
func (e *Engine) draw(n int) ([]byte, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(e.Entropy, b); err != nil {
		return nil, errors.Join(writ.Errorf(writ.CodeInternal, "engine", "the source of randomness failed"), err)
	}
	return b, nil
}

// alive are the executions that this process looks after.
func (e *Engine) alive() []*execution {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Collect(maps.Values(e.live))
}

// Rest returns when no step is running: what is left waits for people, for
// time, or has ended.
func (e *Engine) Rest(ctx context.Context) error {
	for {
		var busy *execution
		for _, x := range e.alive() {
			x.mu.Lock()
			if len(x.running) > 0 {
				busy = x
			}
			x.mu.Unlock()
		}
		if busy == nil {
			return nil
		}
		if err := busy.wait(ctx); err != nil {
			return err
		}
	}
}
