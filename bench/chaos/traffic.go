//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
	"github.com/writ-run/writ/identity"
)

// The kinds of work.
const (
	kindPure = iota // three steps without an effect; the outcome is waited for
	kindPut         // an idempotent write between two pure steps, approved
	kindPost        // the same with a write that is not
	kindBoth        // a PUT, then a POST, each approved
	kinds
)

// job is one submission. It is sent until it is acknowledged, always the same.
type job struct {
	key     string // idempotency key
	number  int
	kind    int
	methods []string // of its writes

	// What was acknowledged; guarded by traffic.mu.
	execution writ.ExecutionID
	outcome   writ.ExecutionStatus // final, or empty
}

// token is in the body of one write and in no other.
func (j *job) token(method string) string { return j.key + "-" + strings.ToLower(method) }

// draft is the plan as JSON.
func (j *job) draft() (string, error) {
	type step struct {
		Name string         `json:"name"`
		Uses string         `json:"uses"`
		With map[string]any `json:"with"`
		Need []string       `json:"needs,omitempty"`
	}
	echo := func(name string, n any, needs ...string) step {
		return step{name, "conformance/c#echo", map[string]any{"n": n}, needs}
	}
	steps := []step{echo("a", j.number)}
	if j.kind == kindPure {
		steps = append(steps, echo("b", "${{ steps.a.output.n }}"))
	}
	for _, method := range j.methods {
		before := steps[len(steps)-1].Name
		steps = append(steps, step{strings.ToLower(method), "conformance/send#run", map[string]any{
			"method": method, "url": "https://" + upstreamHost + itemsPath, "body": j.token(method),
		}, []string{before}})
	}
	steps = append(steps, echo("c", "${{ steps.a.output.n }}", steps[len(steps)-1].Name))
	raw, err := json.Marshal(map[string]any{"apiVersion": "writ/v1", "kind": "Plan", "steps": steps})
	return string(raw), err
}

// traffic is the load on a host, and the memory of what it acknowledged.
type traffic struct {
	name     string // of the scene: every job's key begins with it
	doors    doors
	approver *identity.ApproverKey
	clock    writ.Clock
	tally    *tally
	idle     time.Duration // between two jobs of one client, at most

	// mayFail: what the scene does may end work, which is then counted in failed.
	mayFail bool
	failed  int

	stop    context.CancelFunc
	clients sync.WaitGroup

	mu       sync.Mutex // guards what follows
	chance   *rand.Rand
	jobs     []*job
	approved map[writ.Digest]bool
	answers  int               // acknowledged submissions
	refusals map[writ.Code]int // by code
	last     error             // the last refusal
	lastAck  time.Time
}

func newTraffic(s *stage, name string, d doors) *traffic {
	return &traffic{
		name: name, doors: d, approver: s.model.approver, clock: time.Now, tally: s.tally, idle: 20 * time.Millisecond,
		stop: func() {}, chance: s.draw(name), approved: map[writ.Digest]bool{}, refusals: map[writ.Code]int{},
	}
}

// start lets clients and an approver loose until halt.
func (t *traffic) start(ctx context.Context, clients int) {
	ctx, t.stop = context.WithCancel(ctx)
	for range clients {
		t.clients.Go(func() { t.client(ctx) })
	}
	t.clients.Go(func() {
		for ctx.Err() == nil {
			t.approve(ctx)
			_ = pause(ctx, 20*time.Millisecond)
		}
	})
}

// halt ends the clients. What they had not heard about stays open.
func (t *traffic) halt() {
	t.stop()
	t.clients.Wait()
}

func (t *traffic) client(ctx context.Context) {
	for ctx.Err() == nil {
		j := t.next()
		for t.submit(ctx, j) != nil && ctx.Err() == nil {
			_ = pause(ctx, 10*time.Millisecond)
		}
		t.mu.Lock()
		idle := time.Duration(t.chance.Int64N(int64(t.idle)))
		t.mu.Unlock()
		_ = pause(ctx, idle)
	}
}

func (t *traffic) next() *job {
	t.mu.Lock()
	kind := t.chance.IntN(kinds)
	t.mu.Unlock()
	return t.jobOf(kind)
}

func (t *traffic) jobOf(kind int) *job {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(t.jobs)
	j := &job{key: fmt.Sprintf("%s-%05d", t.name, n), number: n, kind: kind}
	j.methods = [kinds][]string{nil, {"PUT"}, {"POST"}, {"PUT", "POST"}}[j.kind]
	t.jobs = append(t.jobs, j)
	return j
}

// submit sends a job and notes the answer.
func (t *traffic) submit(ctx context.Context, j *job) error {
	draft, err := j.draft()
	if err != nil {
		return err
	}
	out, err := call(ctx, t.doors.agent, contract.IntentSubmit, &contract.IntentSubmitInput{
		WorkspaceID: writ.DefaultWorkspace, Text: "chaos", IdempotencyKey: j.key, Draft: draft, DraftFormat: "json",
		Run: true, Wait: j.kind == kindPure,
	})
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil {
		t.refused(ctx, "submit", err)
		return err
	}
	if j.execution != "" && j.execution != out.ExecutionID {
		t.tally.breakPromise(t.name, "submission %s was %s and is %s", j.key, j.execution, out.ExecutionID)
	}
	j.execution = out.ExecutionID
	if status := writ.ExecutionStatus(out.Status); status.Final() {
		if j.outcome != "" && j.outcome != status {
			t.tally.breakPromise(t.name, "%s was %s and is %s", j.execution, j.outcome, status)
		}
		j.outcome = status
	}
	t.answers++
	t.lastAck = time.Now()
	return nil
}

// passing says whether an error is one that a host gives while it dies, starts or
// has no room.
func passing(err error) bool {
	return slices.Contains([]writ.Code{writ.CodeUnavailable, writ.CodeTimeout, writ.CodeCancelled}, writ.CodeOf(err))
}

// refused counts an error. Only those that a dying host gives are expected. The
// caller holds mu.
func (t *traffic) refused(ctx context.Context, what string, err error) {
	if ctx.Err() != nil {
		return
	}
	code := writ.CodeOf(err)
	t.refusals[code]++
	t.last = err
	if passing(err) {
		return
	}
	if t.refusals[code] <= 3 {
		t.tally.breakPromise(t.name, "%s was answered with %s: %v", what, code, err)
	}
}

// approve signs what waits for a person. Nothing that was approved may wait again.
func (t *traffic) approve(ctx context.Context) {
	list, err := call(ctx, t.doors.operator, contract.ApprovalList, &contract.ApprovalListInput{Page: contract.Page{Limit: 500}})
	if err != nil {
		t.mu.Lock()
		t.refused(ctx, "approval list", err)
		t.mu.Unlock()
		return
	}
	for i := range list.Items {
		if ctx.Err() != nil || t.approveOne(ctx, &list.Items[i]) != nil {
			return
		}
	}
}

func (t *traffic) approveOne(ctx context.Context, item *contract.Approval) error {
	t.mu.Lock()
	again := t.approved[item.Digest]
	t.mu.Unlock()
	if again {
		t.tally.breakPromise(t.name, "step %s of %s waits again, its approval was acknowledged", item.StepID, item.ExecutionID)
	}
	signature, err := t.approver.SignApproval(ctx, "human:"+operatorName, writ.Word{Digest: item.Digest}, t.clock.Now())
	if err != nil {
		return err
	}
	_, err = call(ctx, t.doors.operator, contract.ExecutionApprove, &contract.ExecutionApproveInput{
		ExecutionID: item.ExecutionID, StepID: item.StepID, ApprovalDigest: item.Digest, Signature: signature,
	})
	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil {
		t.approved[item.Digest] = true
		return nil
	}
	switch {
	case writ.IsCode(err, writ.CodeConflict): // an earlier request did it, and its answer was lost
		return nil
	case t.mayFail && writ.IsCode(err, writ.CodeExpired):
		return nil
	}
	t.refused(ctx, "approve", err)
	return err
}
