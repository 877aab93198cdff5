package engine

import (
	"context"
	"slices"
	"strconv"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/canon"
)

// maxResends bounds how often an idempotent write whose outcome is unknown is
// sent again under its key before people are asked.
const maxResends = 2

// gate is the way of a guest's tool calls to the world: answered from the
// journal where the journal knows the call, otherwise authorised, journaled,
// performed and journaled. A guest calls one tool at a time.
type gate struct {
	x        *execution
	d        *dispatch
	permit   writ.Permit
	sequence int
	seen     map[writ.Digest]int // occurrences in this run
	proposed bool                // the run ended at a call that people must approve
	// superseded: the run ended at a call whose step was judged in another epoch.
	superseded bool
	held       bool // the run ended at a call that would have begun in a pause
}

func newGate(x *execution, d *dispatch, permit writ.Permit) *gate {
	return &gate{x: x, d: d, permit: permit, seen: map[writ.Digest]int{}}
}

// errProposed ends a run whose next call waits for a human.
var errProposed = &writ.Error{Code: writ.CodeApprovalNeeded, Op: "tool", Message: "the call waits for approval"}

// Call implements writ.ToolGate.
func (g *gate) Call(ctx context.Context, tool string, args []byte) (*writ.ToolReply, error) {
	g.sequence++
	facts, factsErr := writ.CallFactsOf(tool, args)
	if factsErr != nil {
		facts = &writ.CallFacts{Tool: tool, Arguments: args}
		facts.Digest = facts.ArgumentsDigest()
	}
	facts.Sequence = g.sequence
	g.seen[facts.Digest]++
	occurrence := g.seen[facts.Digest]
	if len(g.d.attempt.calls) >= g.sequence {
		return g.recorded(ctx, facts, g.d.attempt.calls[g.sequence-1])
	}
	if g.isHeld() {
		g.held = true
		return nil, errHeld
	}
	if factsErr != nil {
		return g.deny(facts, occurrence, failureOf(factsErr), nil)
	}
	if err := g.x.ctx.Err(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if reply, err := g.fromEarlierAttempt(facts, occurrence); reply != nil || err != nil {
		return reply, err
	}
	return g.live(ctx, facts, occurrence)
}

// errHeld ends a run at a call that would begin while the execution is paused.
var errHeld = &writ.Error{Code: writ.CodeConflict, Op: "tool", Message: "the execution is paused"}

func (g *gate) isHeld() bool {
	g.x.mu.Lock()
	defer g.x.mu.Unlock()
	return g.x.state.Paused
}

// unfinished reports whether the guest ended before calls that are recorded.
func (g *gate) unfinished() bool { return g.sequence < len(g.d.attempt.calls) }

// recorded answers a call of this attempt that the journal holds.
func (g *gate) recorded(ctx context.Context, facts *writ.CallFacts, c *call) (*writ.ToolReply, error) {
	if c.facts.Tool != facts.Tool || c.facts.Digest != facts.Digest {
		return nil, writ.Errorf(writ.CodeDiverged, "step "+g.d.step.Name, "call %d is not the one that the journal holds", facts.Sequence)
	}
	if c.answered() {
		return c.reply(), nil
	}
	if c.facts.Effect.Writes() && c.facts.Tool != abi.ToolSkillCall && !c.resendable(g.x.time()) {
		return nil, g.indeterminate(&c.facts)
	}
	// What has been revoked since it began is not sent again either.
	if err := g.current(ctx); err != nil {
		return nil, err
	}
	return g.perform(ctx, facts, &c.facts)
}

// current is an error where the tenant's epoch is no longer the one that the step
// was loaded and judged under.
func (g *gate) current(ctx context.Context) error {
	epoch, err := g.x.engine.Journal.Epoch(ctx, g.x.tenant)
	if err != nil {
		return err
	}
	if epoch != g.d.epoch {
		g.superseded = true
		return errSuperseded
	}
	return nil
}

func (c *call) reply() *writ.ToolReply {
	return &writ.ToolReply{Body: c.result, Failure: c.facts.Failure, Now: c.at}
}

// fromEarlierAttempt answers a write that an earlier attempt has completed. A
// write that differs from those is not sent: what happened cannot be unsaid.
func (g *gate) fromEarlierAttempt(facts *writ.CallFacts, occurrence int) (*writ.ToolReply, error) {
	if !calledEffect(g.d.step, facts).Writes() {
		return nil, nil
	}
	pending := false
	for _, c := range g.d.attempt.before {
		if c.facts.Tool == facts.Tool && c.facts.Digest == facts.Digest && c.facts.Occurrence == occurrence {
			return g.repeat(c)
		}
		pending = pending || !g.d.attempt.repeats(c)
	}
	if pending {
		return nil, writ.Errorf(writ.CodeIndeterminate, "step "+g.d.step.Name,
			"an earlier attempt completed another write than the one that this attempt wants").WithFix("look at the trace, then decide with `writ exec resolve`")
	}
	return nil, nil
}

// repeat records that this attempt was given the answer of an earlier one.
func (g *gate) repeat(earlier *call) (*writ.ToolReply, error) {
	facts := earlier.facts
	facts.Sequence, facts.Earlier, facts.Budgets = g.sequence, max(g.d.attempt.number-1, 1), nil
	record := g.record(writ.RecToolReturned, &facts,
		writ.Payload{Name: writ.PayloadArguments, Data: earlier.args}, writ.Payload{Name: writ.PayloadResult, Data: earlier.result})
	at, err := g.append(nil, record)
	if err != nil {
		return nil, err
	}
	c := &call{facts: facts, args: earlier.args, ended: true, result: earlier.result, at: at}
	g.d.attempt.calls = append(g.d.attempt.calls, c)
	g.d.attempt.labels = writ.JoinLabels(g.d.attempt.labels, facts.Labels)
	return c.reply(), nil
}

// errSuperseded ends a run whose step must be judged again before its next call.
var errSuperseded = &writ.Error{Code: writ.CodeConflict, Op: "tool", Message: "what the step was judged under has changed"}

// live authorises a call, and performs it where it may happen now.
func (g *gate) live(ctx context.Context, facts *writ.CallFacts, occurrence int) (*writ.ToolReply, error) {
	if err := g.current(ctx); err != nil {
		return nil, err
	}
	question, err := g.x.callQuestion(ctx, g.d, facts)
	if err != nil {
		return nil, err
	}
	answer, err := g.x.engine.Judges.Active().Judge(ctx, question)
	if err != nil {
		return nil, err
	}
	decision, err := verdictRecord(writ.StageCall, g.d.step.ID, question, answer)
	if err != nil {
		return nil, err
	}
	decision.Attempt = g.d.attempt.number
	if answer.Mode == writ.Blocked {
		return g.deny(facts, occurrence, deniedBy(answer.Reasons), &decision)
	}
	if g.overBudget(answer) {
		return g.deny(facts, occurrence, usedUp(), &decision)
	}
	cost, err := g.costs(facts)
	if err != nil {
		return g.deny(facts, occurrence, deniedOutside(err), &decision)
	}
	if reply, err := g.refuse(facts, occurrence, cost, &decision); reply != nil || err != nil {
		return reply, err
	}
	_, err = g.permit.Covers(facts)
	switch {
	case writ.IsCode(err, writ.CodeApprovalNeeded), err == nil && answer.Mode == writ.Assist && !g.approved(question, answer):
		g.proposed = true
		g.x.propose(g.d, &proposal{facts: facts, decision: &decision})
		return nil, errProposed
	case err != nil:
		return g.deny(facts, occurrence, deniedOutside(err), &decision)
	}
	called := g.called(facts, occurrence)
	called.Epoch, called.Cost = g.d.epoch, cost
	if err := g.begin(ctx, called, facts, &decision); err != nil {
		return nil, err
	}
	return g.perform(ctx, facts, called)
}

func (g *gate) overBudget(v *writ.Verdict) bool {
	return v.Budget != nil && v.Budget.Calls > 0 && g.sequence > v.Budget.Calls
}

// approved reports whether people have approved exactly this call, as many as
// its verdict asks for. A compensation that was approved before its values were
// known is no approval of what nobody has seen.
func (g *gate) approved(q *writ.Question, answer *writ.Verdict) bool {
	if g.d.covered && !q.Lethal() {
		return true
	}
	g.x.mu.Lock()
	defer g.x.mu.Unlock()
	return slices.ContainsFunc(g.x.enough(g.d.step.ID, g.d.verdict), func(a *writ.Approval) bool {
		return a.Request.Call != nil && a.Request.Call.Digest == q.Call.Digest &&
			a.Satisfies(answer) && string(a.Request.Input) == string(g.d.resolved.Input)
	})
}

func (g *gate) called(facts *writ.CallFacts, occurrence int) *writ.CalledFacts {
	key := stepKey(g.x.id, g.d.step.ID)
	return &writ.CalledFacts{
		Sequence: facts.Sequence, Tool: facts.Tool, Effect: calledEffect(g.d.step, facts), Idempotent: facts.Idempotent,
		Digest: facts.Digest, Occurrence: occurrence, Summary: facts.Target.String(),
		Key: canon.ID("key", canon.DomainCallKey, []byte(key), []byte(facts.Tool), []byte(facts.Digest), []byte(strconv.Itoa(occurrence))),
	}
}

// begin records that the call is about to be made, and waits for the disk where
// it may change something.
func (g *gate) begin(ctx context.Context, called *writ.CalledFacts, facts *writ.CallFacts, decision *writ.NewRecord) error {
	capability, err := g.permit.Covers(facts)
	if err != nil {
		return err
	}
	called.Idempotent = called.Idempotent || capability.Idempotent
	record := g.record(writ.RecToolCalled, called, writ.Payload{Name: writ.PayloadArguments, Data: facts.Arguments})
	began, err := g.call(&writ.Batch{Records: []writ.NewRecord{*decision, record}, Epoch: called.Epoch}, called)
	if err != nil {
		return err
	}
	g.d.attempt.calls = append(g.d.attempt.calls, &call{facts: *called, args: facts.Arguments, began: began})
	g.d.attempt.reserve(called)
	if called.Effect.Writes() {
		// From here on the call is made, whoever cancels: a record without an
		// answer would leave its outcome unknown.
		return g.x.barrier(context.WithoutCancel(ctx))
	}
	return nil
}

// call appends the record that begins a call, unless the execution was paused or
// cancelled, the tenant's epoch has moved since the call was judged, or a budget was
// used up.
func (g *gate) call(batch *writ.Batch, called *writ.CalledFacts) (writ.Time, error) {
	g.x.mu.Lock()
	defer g.x.mu.Unlock()
	if g.x.state.Paused {
		g.held = true
		return 0, errHeld
	}
	if err := g.x.ctx.Err(); err != nil {
		return 0, err
	}
	stored, err := g.take(batch, called.Cost)
	if outOfDate(err) {
		g.superseded = true
		return 0, errSuperseded
	}
	if err != nil {
		return 0, err
	}
	began := &stored[len(stored)-1]
	called.Budgets = began.Body.Call.Budgets
	return began.Time, nil
}

func (g *gate) record(kind writ.RecordType, facts *writ.CalledFacts, payloads ...writ.Payload) writ.NewRecord {
	copied := *facts
	if kind != writ.RecToolCalled {
		copied.Budgets = nil // they stand where they were moved
	}
	return writ.NewRecord{
		Type: kind, Step: g.d.step.ID, Attempt: g.d.attempt.number,
		Body: writ.Body{Call: &copied}, Payloads: payloads,
	}
}

// append returns the time of the last record.
func (g *gate) append(changes []writ.Change, records ...writ.NewRecord) (writ.Time, error) {
	g.x.mu.Lock()
	defer g.x.mu.Unlock()
	stored, err := g.x.write(changes, records...)
	if err != nil {
		return 0, err
	}
	return stored[len(stored)-1].Time, nil
}

// perform makes the call and records what came of it. A cancellation does not
// interrupt a write in flight: its outcome is waited for.
func (g *gate) perform(ctx context.Context, facts *writ.CallFacts, called *writ.CalledFacts) (*writ.ToolReply, error) {
	if called.Tool == abi.ToolSkillCall {
		result, err := g.callSkill(facts, called)
		if err != nil {
			return nil, err
		}
		return g.returned(called, result)
	}
	deadline, _ := ctx.Deadline()
	toolCall := &writ.ToolCall{
		CallFacts: *facts, Tenant: g.x.tenant, Skill: g.d.step.Skill.Key, Execution: g.x.id,
		Step: g.d.step.ID, Key: called.Key, Deadline: deadline,
		Labels: g.d.seen(), Sensitivity: g.d.action.Sensitivity,
	}
	toolCtx := ctx
	if called.Effect.Writes() {
		toolCtx = context.WithoutCancel(ctx)
	}
	result, err := g.x.engine.Toolbox.Perform(toolCtx, g.permit, toolCall)
	for resent := 0; err == nil && result.Outcome == writ.OutcomeUnknown && called.Idempotent && resent < maxResends; resent++ {
		result, err = g.x.engine.Toolbox.Perform(toolCtx, g.permit, toolCall)
	}
	if err != nil {
		return nil, err
	}
	return g.returned(called, result)
}

func (g *gate) returned(called *writ.CalledFacts, result *writ.ToolResult) (*writ.ToolReply, error) {
	called.Outcome, called.Failure, called.Labels, called.Spent = result.Outcome, result.Failure, result.Labels, result.Spent
	record := g.record(writ.RecToolReturned, called, writ.Payload{Name: writ.PayloadResult, Data: result.Body})
	at, err := g.append(result.Changes, record)
	if err != nil {
		return nil, err
	}
	if result.Outcome == writ.OutcomeUnknown && called.Effect.Writes() {
		return nil, g.indeterminate(called)
	}
	g.d.attempt.labels = writ.JoinLabels(g.d.attempt.labels, result.Labels)
	for _, c := range g.d.attempt.calls {
		if c.facts.Sequence == called.Sequence {
			c.facts, c.ended, c.result, c.at = *called, true, result.Body, at
		}
	}
	return &writ.ToolReply{Body: result.Body, Failure: result.Failure, Now: at}, nil
}

func (g *gate) indeterminate(called *writ.CalledFacts) error {
	return unknownOutcome(g.d.step.Name, called)
}

func unknownOutcome(step string, called *writ.CalledFacts) error {
	return writ.Errorf(writ.CodeIndeterminate, "step "+step, "%s began and its outcome is not known", called.Summary).
		WithFix("find out whether it happened, then say so with `writ exec resolve`")
}
