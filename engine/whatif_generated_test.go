package engine_test

import (
	"testing"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/host/wasmtest"
	"github.com/writ-run/writ/trace"
)

// TestGeneratedExecutionsWithTheSameModule: a version that only has another number
// would have come to the same, whatever happened to the execution; and one that
// always fails would not, wherever its skill completed.
func TestGeneratedExecutionsWithTheSameModule(t *testing.T) {
	t.Parallel()
	const tales = 200
	w := &workshop{rig: &rig{}}
	w.now = func() time.Time { return time.Now().Add(time.Duration(w.offset.Load())) }
	w.journal = openJournal(t, trace.Options{InMemory: true, Clock: w.now, AnchorEvery: 24 * time.Hour})
	newRigWith(t, w.rig)
	w.grants = append(w.grants, w.grants[0])
	w.grants[1].ID, w.grants[1].Principal = "grant_carol", carol.ID
	same, unreplayable, differing := 0, 0, 0
	for i := range tales {
		g := newTale(int64(i))
		id := w.tell(g)
		state := w.state(id)
		if !state.Status.Final() {
			continue
		}
		completed := map[writ.SkillKey]bool{}
		for s := range state.Steps {
			step := &state.Steps[s]
			completed[step.Skill.Key] = completed[step.Skill.Key] || step.Status == writ.StepCompleted && step.Attempt > 0
		}
		for key, ran := range completed {
			out := w.whatIf(id, w.candidate(key, nil, nil))
			if len(out.Differences) > 0 {
				t.Fatalf("tale %d (%s): the same module of %s differs:\n%s\n%s", i, g.fate, key, lines(out), g.draft)
			}
			if same++; out.Unreplayable != "" {
				unreplayable++
			}
			out = w.whatIf(id, w.candidate(key, wasmtest.Fail("otherwise"), nil))
			if ran && len(out.Differences) == 0 && out.Unreplayable == "" {
				t.Fatalf("tale %d (%s): %s that fails is the same\n%s", i, g.fate, key, g.draft)
			}
			if len(out.Differences) > 0 {
				differing++
			}
		}
	}
	t.Logf("%d the same, %d of them unreplayable, %d would differ", same, unreplayable, differing)
	if same < 2*tales || unreplayable > same/5 || differing < tales {
		t.Error("that proves little")
	}
}
