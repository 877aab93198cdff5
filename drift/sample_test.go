package drift_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
	"github.com/writ-run/writ/drift"
)

// pool answers with completed executions, and derives them again.
type pool struct {
	writ.Traces
	n       int
	said    []string
	derived []string
	takes   time.Duration
	broken  map[string]error // nil error: comes out differently
}

func (p *pool) Executions(_ context.Context, q writ.ExecutionQuery) (*writ.ExecutionPage, error) {
	out := &writ.ExecutionPage{}
	for i := range min(p.n, q.Limit) {
		out.Items = append(out.Items, &writ.Execution{ID: writ.ExecutionID(fmt.Sprint("exe_", i)), Status: q.Status})
	}
	return out, nil
}

func (p *pool) replay(ctx context.Context, in *contract.ReplayRunInput) (*contract.ReplayRunOutput, error) {
	p.derived = append(p.derived, string(in.ExecutionID))
	select {
	case <-ctx.Done():
		return nil, writ.Errorf(writ.CodeTimeout, "replay", "took too long")
	case <-time.After(p.takes):
	}
	out := &contract.ReplayRunOutput{ExecutionID: in.ExecutionID, Identical: true}
	if err, is := p.broken[string(in.ExecutionID)]; is {
		if err != nil {
			return nil, err
		}
		out.Report = []contract.ReplayStage{
			{Stage: "plan", Identical: true},
			{Stage: "tool", StepID: "stp_1", FirstDifference: &contract.ReplayDifference{Field: "/calls/0/digest", Recorded: []byte(`"v4lue"`)}},
		}
	}
	return out, nil
}

func newSampler(t *testing.T, p *pool, now *time.Time) *drift.Sampler {
	t.Helper()
	s, err := drift.NewSampler(drift.SamplerOptions{
		Traces: p, Replay: p.replay, Clock: func() time.Time { return *now },
		Said: func(context.Context, writ.TenantID, contract.DriftCode) ([]string, error) { return p.said, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func subjects(t *testing.T, s *drift.Sampler) []string {
	t.Helper()
	found, err := s.Source(t.Context(), writ.DefaultTenant)
	if err != nil {
		t.Fatal(err)
	}
	out := []string{}
	for _, f := range found {
		if f.Code != contract.DriftReplayBroken || !strings.Contains(f.Fix, "writ replay "+f.Subject) {
			t.Errorf("%+v", f)
		}
		out = append(out, f.Subject)
	}
	return out
}

// TestASampleIsDerivedAgain: what comes out differently names stage and field, what
// was said stays until it comes out the same, and a source before the first round says
// what was said.
func TestASampleIsDerivedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		p := &pool{n: 5, said: []string{"exe_gone", "exe_old"}, broken: map[string]error{
			"exe_1": nil, "exe_2": writ.Errorf(writ.CodeTampered, "stream exe_2", "record 3 is missing"),
			"exe_3": writ.Errorf(writ.CodeUnreplayable, "exe_3", "payloads have expired"), "exe_4": writ.Errorf(writ.CodeUnavailable, "sandbox", "is full"),
			"exe_gone": writ.Errorf(writ.CodeNotFound, "exe_gone", "is not there"), "exe_old": writ.Errorf(writ.CodeUnavailable, "sandbox", "is full"),
		}}
		s := newSampler(t, p, &now)
		if got := subjects(t, s); !slices.Equal(got, p.said) {
			t.Errorf("before the first round: %v", got)
		}
		if err := s.Round(t.Context(), writ.DefaultTenant); err != nil {
			t.Fatal(err)
		}
		if got := subjects(t, s); len(got) != 3 || got[0] != "exe_old" || !slices.Contains(got, "exe_1") || !slices.Contains(got, "exe_2") {
			t.Errorf("%v", got)
		}
		found, _ := s.Source(t.Context(), writ.DefaultTenant)
		for _, f := range found {
			if want := "stage tool of step stp_1 comes out differently at /calls/0/digest"; f.Subject == "exe_1" && f.Message != want {
				t.Errorf("%q", f.Message)
			}
		}
		delete(p.broken, "exe_old")
		if err := s.Round(t.Context(), writ.DefaultTenant); err != nil || slices.Contains(subjects(t, s), "exe_old") {
			t.Errorf("%v: %v", err, subjects(t, s))
		}
		ended, end := context.WithCancel(t.Context())
		end()
		if err := s.Round(ended, writ.DefaultTenant); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// TestASampleIsBounded in number and time, and another one each round and day.
func TestASampleIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		p := &pool{n: 600}
		round := func(s *drift.Sampler) []string {
			p.derived = nil
			if err := s.Round(t.Context(), writ.DefaultTenant); err != nil {
				t.Fatal(err)
			}
			return p.derived
		}
		s := newSampler(t, p, &now)
		first, second := round(s), round(s)
		if len(first) != drift.DefaultMost || len(second) != drift.DefaultMost || slices.Equal(first, second) {
			t.Errorf("%d, %d: %v", len(first), len(second), first)
		}
		if again := round(newSampler(t, p, &now)); !slices.Equal(again, first) {
			t.Errorf("the same day and round drew %v", again)
		}
		now = now.Add(24 * time.Hour)
		if next := round(newSampler(t, p, &now)); slices.Equal(next, first) {
			t.Error("the next day drew the same")
		}
		// A replay that takes long is cut off, and what was said is not forgotten for it.
		p.takes, p.said = 3*drift.DefaultWithin/4, []string{"exe_a", "exe_b", "exe_c"}
		p.broken = map[string]error{"exe_a": nil}
		began := time.Now()
		if derived := round(s); len(derived) != 2 || time.Since(began) != drift.DefaultWithin {
			t.Errorf("%d in %s", len(derived), time.Since(began))
		}
		if got := subjects(t, s); !slices.Equal(got, p.said) {
			t.Errorf("%v", got)
		}
	})
	if _, err := drift.NewSampler(drift.SamplerOptions{}); !writ.IsCode(err, writ.CodeInvalid) {
		t.Error(err)
	}
}
