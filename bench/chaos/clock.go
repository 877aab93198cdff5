//go:build linux

package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// setClock is a clock that is set by hand.
type setClock struct{ offset atomic.Int64 }

func (c *setClock) now() time.Time { return time.Now().Add(time.Duration(c.offset.Load())) }

func (c *setClock) jump(d time.Duration) { c.offset.Add(int64(d)) }

// playClock sets the clock back and forth while steps run, wait and are retried.
func (s *stage) playClock(ctx context.Context) error {
	const name = "clock"
	before := s.tally.soFar()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	clock := &setClock{}
	n, err := openNode(ctx, nodeOptions{home: filepath.Join(s.dir, name), clock: clock.now, key: key, ledger: s.ledger})
	if err != nil {
		return err
	}
	defer func() { _ = n.close(ctx) }()
	c, err := n.settle(ctx)
	if err != nil {
		return err
	}
	d, aim := c.doors()
	aim(n)
	t := newTraffic(s, name, d)
	t.approver, t.clock, t.mayFail = c.approver, clock.now, true
	if err := t.deadlines(ctx, s.ledger, clock); err != nil {
		return err
	}
	t.start(ctx, clients)
	jumps, err := s.jump(ctx, clock)
	t.halt()
	if err != nil {
		return err
	}
	s.tally.atLeast(name, "jumps under load, back by an hour or on by days", jumps, maxJumps)
	err = s.settleAndCheck(ctx, t)
	s.tally.count(name, "executions that failed or expired by the clock", t.failed)
	s.tally.close(name, before)
	return err
}

// maxJumps keeps the whole way on far below the validity of tokens.
const maxJumps = 24

func (s *stage) jump(ctx context.Context, clock *setClock) (int, error) {
	chance := s.draw("jumps")
	for n := range maxJumps {
		if err := pause(ctx, 100*time.Millisecond+time.Duration(chance.Int64N(int64(200*time.Millisecond)))); err != nil {
			return n, err
		}
		switch chance.IntN(3) {
		case 0:
			clock.jump(-time.Hour)
		case 1:
			clock.jump(time.Duration(1+chance.IntN(3)) * 24 * time.Hour)
		default:
			clock.jump(time.Duration(chance.Int64N(int64(2*time.Minute))) - time.Minute)
		}
	}
	return maxJumps, nil
}

// deadlines holds one by one what the clock decides and what it does not.
func (t *traffic) deadlines(ctx context.Context, l *ledger, clock *setClock) error {
	for _, c := range []struct {
		name string
		jump time.Duration
		want writ.ExecutionStatus
	}{
		{"an approval that waits while the clock goes back by an hour", -time.Hour, writ.ExecCompleted},
		{"an approval that waits while the clock goes on by 9 days", 9 * 24 * time.Hour, writ.ExecExpired},
	} {
		j := t.jobOf(kindPost)
		if err := t.submit(ctx, j); err != nil {
			return err
		}
		if err := t.await(ctx, j, writ.ExecAwaitingApproval); err != nil {
			return err
		}
		clock.jump(c.jump)
		t.approve(ctx)
		if err := t.await(ctx, j, c.want); err != nil {
			t.tally.breakPromise(t.name, "%s: %v", c.name, err)
			continue
		}
		if sent := l.has(j.token("POST")); sent != (c.want == writ.ExecCompleted) {
			t.tally.breakPromise(t.name, "%s: sent: %v", c.name, sent)
		}
	}
	return t.retries(ctx, clock)
}

// retries sets the clock back while a step waits for its next attempt.
func (t *traffic) retries(ctx context.Context, clock *setClock) error {
	const draft = `{"apiVersion":"writ/v1","kind":"Plan","steps":[{"name":"a","uses":"conformance/fail#fail","with":{},"retry":{"attempts":3,"backoff":"1s"}}]}`
	out, err := call(ctx, t.doors.agent, contract.IntentSubmit, &contract.IntentSubmitInput{
		WorkspaceID: writ.DefaultWorkspace, Text: "chaos", IdempotencyKey: t.name + "-retry", Draft: draft, DraftFormat: "json", Run: true,
	})
	if err != nil {
		return err
	}
	j := &job{key: t.name + "-retry", execution: out.ExecutionID}
	t.jobs = append(t.jobs, j)
	if err := pause(ctx, 200*time.Millisecond); err != nil {
		return err
	}
	clock.jump(-time.Hour)
	if err := t.await(ctx, j, writ.ExecFailed); err != nil {
		t.tally.breakPromise(t.name, "a retry that waits while the clock goes back by an hour: %v", err)
	}
	return nil
}

// await returns when the execution has the status.
func (t *traffic) await(ctx context.Context, j *job, want writ.ExecutionStatus) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		out, err := call(ctx, t.doors.operator, contract.ExecutionGet, &contract.ExecutionGetInput{ExecutionID: j.execution})
		if err != nil {
			return err
		}
		if out.Execution.Status == want {
			return nil
		}
		if pause(ctx, 10*time.Millisecond) != nil {
			return fmt.Errorf("%s is %s, not %s", j.execution, out.Execution.Status, want)
		}
	}
}
