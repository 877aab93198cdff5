package engine

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

// execution is one execution while this process looks after it.
type execution struct {
	engine *Engine
	id     writ.ExecutionID
	tenant writ.TenantID
	ctx    context.Context // ends when the execution is cancelled or the engine closes
	stop   context.CancelFunc
	done   chan struct{} // closed once the execution has ended and is durable

	touched writ.Time // by a request; Engine.mu guards it

	mu        sync.Mutex
	state     writ.Execution
	position  writ.Position
	intent    []byte
	draft     []byte
	edits     []writ.Edit // of the draft
	inherited int         // how many of them were made before the edit that made it
	asked     []asked     // of that edit
	plan      *writ.CompiledPlan
	outputs   map[string]json.RawMessage
	labels    map[string][]writ.Label
	attempts  map[writ.StepID]*attempt
	approvals map[writ.StepID][]*writ.Approval // with the full request; the last may be open
	inputs    map[writ.StepID][]byte           // of completed steps that can be undone
	completed []writ.StepID                    // in order
	lists     map[writ.StepID]*list            // of forEach
	calls     map[callPlace]writ.StepID        // of skill.call
	callers   map[writ.StepID]*writ.Caller     // of called steps
	made      map[writ.StepID]*writ.Step       // of parts
	running   map[writ.StepID]bool
	next      *writ.Step      // that the goroutine whose step has just ended goes on with
	handing   bool            // it asks for one
	acting    *writ.Principal // whose audit fields are in acts
	acts      writ.Audit
	latest    writ.Time // what now was last
	timer     *time.Timer
	changed   chan struct{} // closed and made anew when nothing moves any more, or broke
	broken    error         // the journal refused a record: nothing more may happen here
}

// attempt is one attempt of a step with the tool calls that the journal holds.
type attempt struct {
	number  int
	input   []byte
	seed    [32]byte
	clock   writ.Time
	calls   []*call // of this attempt, in sequence
	before  []*call // writes that earlier attempts completed
	labels  []writ.Label
	trail   [][]byte        // digests of the payloads of its tool records
	earlier int             // attempts before an operator had the execution tried again
	waited  stopwatch       // for people
	ruling  writ.Ruling     // of an operator, about its last call
	engine  string          // on which it began; empty: an operator lets it go on on any
	moved   bool            // it stands because this is another engine
	grants  []writ.GrantUse // that it has taken
	// reserves: a call of it has reserved something of a budget.
	reserves bool
}

// call is one tool call as the journal holds it.
type call struct {
	facts  writ.CalledFacts
	args   []byte
	ended  bool // returned or denied
	denied bool
	// settled: what it had reserved is taken, or was given back.
	settled bool
	result  []byte
	began   writ.Time // of tool.called
	at      writ.Time // of the answer
}

func (e *Engine) newExecution(tenant writ.TenantID, id writ.ExecutionID) *execution {
	ctx, stop := context.WithCancel(e.ctx)
	return &execution{
		engine: e, id: id, tenant: tenant, ctx: ctx, stop: stop, done: make(chan struct{}),
		outputs: map[string]json.RawMessage{}, labels: map[string][]writ.Label{},
		attempts: map[writ.StepID]*attempt{}, approvals: map[writ.StepID][]*writ.Approval{},
		inputs: map[writ.StepID][]byte{}, lists: map[writ.StepID]*list{}, calls: map[callPlace]writ.StepID{}, callers: map[writ.StepID]*writ.Caller{}, made: map[writ.StepID]*writ.Step{},
		running: map[writ.StepID]bool{}, changed: make(chan struct{}),
	}
}

// audit is who acts when the engine goes on by itself: the one who asked.
func (x *execution) audit() writ.Audit {
	if x.state.Principal == nil {
		return writ.Audit{TenantID: x.tenant, WorkflowID: string(x.id)}
	}
	return x.auditOf(x.state.Principal)
}

// auditOf is kept for the last principal: most records of an execution have one
// and the same. Nobody changes a principal that acts, nor what a record points to.
func (x *execution) auditOf(p *writ.Principal) writ.Audit {
	if x.acting != p || x.acts.TraceID != x.state.TraceID || x.acts.WorkspaceID != x.state.Workspace {
		a := writ.AuditOf(p, x.state.TraceID)
		a.WorkflowID, a.WorkspaceID = string(x.id), x.state.Workspace
		x.acting, x.acts = p, a
	}
	return x.acts
}

// now is the clock's time, and never before what this execution has said. The
// caller holds mu.
func (x *execution) now() writ.Time {
	x.latest = max(x.latest, x.engine.Clock.Now(), x.state.UpdatedAt)
	return x.latest
}

// time is now for a caller that does not hold mu.
func (x *execution) time() writ.Time {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.now()
}

// append writes records of the execution and folds them. The caller holds mu.
func (x *execution) append(records ...writ.NewRecord) error {
	_, err := x.write(nil, records...)
	return err
}

// write appends records together with changes of the tenant's store and returns
// the records as they stand in the chain. The caller holds mu.
func (x *execution) write(changes []writ.Change, records ...writ.NewRecord) ([]writ.Record, error) {
	return x.commit(&writ.Batch{Changes: changes, Records: records})
}

// commit appends a batch of which the records, changes and epoch are given. A
// stale epoch leaves everything as it was. The caller holds mu.
func (x *execution) commit(batch *writ.Batch) ([]writ.Record, error) {
	if x.broken != nil {
		return nil, x.broken
	}
	records := batch.Records
	now := x.now()
	for i := range records {
		if records[i].Time == 0 {
			records[i].Time = now
		}
		if records[i].Actor.ActorID == "" {
			records[i].Actor = x.audit()
		}
	}
	// What has happened is recorded even while the engine closes.
	batch.Tenant, batch.Stream, batch.Expect = x.tenant, writ.StreamID(x.id), x.state.Seq
	receipt, err := x.store(batch)
	if errors.Is(err, writ.ErrStaleEpoch) {
		return nil, err
	}
	if err != nil {
		x.broken, x.position = err, max(x.position, receipt.Position)
		if !writ.IsCode(err, writ.CodeConflict) {
			x.engine.reopenLater(x)
			x.engine.Logger.Error("the journal refused a record: the execution stops here", "execution", x.id, "code", writ.CodeOf(err))
		}
		return nil, err
	}
	x.position = receipt.Position
	for i := range receipt.Records {
		x.state.Apply(&receipt.Records[i])
		x.follow(&receipt.Records[i])
	}
	return receipt.Records, nil
}

// store appends a batch, with what its records settle.
func (x *execution) store(batch *writ.Batch) (receipt writ.Receipt, err error) {
	ctx := context.WithoutCancel(x.engine.ctx)
	settled := x.settlements(batch.Records)
	if len(settled) == 0 {
		return x.engine.Journal.Append(ctx, batch)
	}
	err = x.engine.Budgets.Settle(ctx, x.tenant, settled, func(changes []writ.Change) (err error) {
		batch.Changes = append(slices.Clip(batch.Changes), changes...)
		receipt, err = x.engine.Journal.Append(ctx, batch)
		return err
	})
	return receipt, err
}

// trailDigest pins everything that the attempt's calls said.
func (a *attempt) trailDigest() writ.Digest { return canon.Sum(canon.DomainTrail, a.trail...) }

// barrier waits until everything appended so far is on disk. The caller does
// not hold mu.
func (x *execution) barrier(ctx context.Context) error {
	x.mu.Lock()
	position := x.position
	x.mu.Unlock()
	return x.engine.Journal.Barrier(ctx, position)
}

// snapshot is a copy of the state, but for its steps, that later records do not
// change.
func (x *execution) snapshot() writ.Execution {
	x.mu.Lock()
	defer x.mu.Unlock()
	state := x.state
	state.Steps, state.Templates = nil, nil
	return state
}

// compiled reports whether there is a plan that can be started.
func (x *execution) compiled() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.plan != nil
}

// approval is the open or last approval of a step, nil where there is none. The
// caller holds mu.
func (x *execution) approval(id writ.StepID) *writ.Approval {
	list := x.approvals[id]
	if len(list) == 0 {
		return nil
	}
	return list[len(list)-1]
}

// granted are the approvals that were given for a step. The caller holds mu.
func (x *execution) granted(id writ.StepID) []*writ.Approval {
	var out []*writ.Approval
	for _, a := range x.approvals[id] {
		if a.Status == writ.ApprovalApproved {
			out = append(out, a)
		}
	}
	return out
}

// enough are the approvals given for a step that meet what a verdict asks for: where
// the policy asks for more by now, people are asked again. The caller holds mu.
func (x *execution) enough(id writ.StepID, v *writ.Verdict) []*writ.Approval {
	if v == nil {
		return nil
	}
	return slices.DeleteFunc(x.granted(id), func(a *writ.Approval) bool { return !a.Satisfies(v) })
}

// scope is what the expressions of a step may read. The caller holds mu.
func (x *execution) scope(step *writ.Step, release *writ.Release) writ.Scope {
	outputs := make(map[string]json.RawMessage, len(x.outputs))
	labels := make(map[string][]writ.Label, len(x.labels))
	for name, output := range x.outputs {
		outputs[name], labels[name] = output, x.labels[name]
	}
	return writ.Scope{Intent: x.intent, Release: release, Outputs: outputs, Labels: labels, Item: x.item(step.ID), Forward: x.forward(step.ID), Caller: x.callers[step.ID]}
}
