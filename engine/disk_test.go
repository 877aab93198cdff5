package engine_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// TestAnExecutionGoesOnWhenThereIsRoomAgain: each of its records in turn is
// refused for a while, as on a full disk.
func TestAnExecutionGoesOnWhenThereIsRoomAgain(t *testing.T) {
	judge := defaultJudge(t)
	for _, kind := range []writ.RecordType{writ.RecStepStarted, writ.RecToolCalled, writ.RecToolReturned, writ.RecStepCompleted} {
		synctest.Test(t, func(t *testing.T) {
			r := newRigWith(t, &rig{judges: judges{judge}})
			id := r.submit(agent, head+`
  - name: keep
    uses: test/keep#run
    with: {key: "k1", value: "v"}
  - name: note
    uses: test/echo#run
    needs: [keep]
    with: {a: 1}
`)
			r.compile(agent, id)
			full, refused := time.Now().Add(3*time.Second), 0
			r.line.refuse = func(b *writ.Batch) bool {
				for i := range b.Records {
					if b.Records[i].Type == kind && time.Now().Before(full) {
						refused++
						return true
					}
				}
				return false
			}
			_, err := r.engine.ExecutionStart(as(agent), &contract.ExecutionStartInput{ExecutionID: id, Wait: true})
			if !writ.IsCode(err, writ.CodeUnavailable) {
				t.Errorf("%s refused: who waits is told %v", kind, err)
			}
			pass(r, 10*time.Second)
			r.expect(id, writ.ExecCompleted)
			if refused < 2 {
				t.Errorf("%s was refused %d times: it is not tried again", kind, refused)
			}
			r.identical(id)
		})
	}
}

// TestWhoWaitsHearsThatTheDiskFailed: not after minutes, and not that it is done.
func TestWhoWaitsHearsThatTheDiskFailed(t *testing.T) {
	judge := defaultJudge(t)
	synctest.Test(t, func(t *testing.T) {
		r := newRigWith(t, &rig{judges: judges{judge}})
		id := r.submit(agent, head+`
  - name: note
    uses: test/echo#run
    with: {a: 1}
`)
		r.compile(agent, id)
		r.line.mu.Lock()
		r.line.failed = true
		r.line.mu.Unlock()
		began := time.Now()
		_, err := r.engine.ExecutionStart(as(agent), &contract.ExecutionStartInput{ExecutionID: id, Wait: true})
		if !writ.IsCode(err, writ.CodeUnavailable) || time.Since(began) > time.Second {
			t.Errorf("%v, after %s", err, time.Since(began))
		}
		r.line.mu.Lock()
		r.line.failed = false
		r.line.mu.Unlock()
	})
}
