package engine

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// Bounds of a page of Impact.
const (
	defaultImpactLimit  = 200
	maxImpactLimit      = 1000
	defaultImpactBudget = 10 * time.Second
	maxImpactBudget     = time.Minute
)

// ImpactQuery says what Impact examines. Zero members: see contract.SkillImpactInput.
type ImpactQuery struct {
	Tenant writ.TenantID
	Since  writ.Time
	Limit  int
	Budget time.Duration
	Cursor string
	// InUse is the version that new plans get now. Where it is set, an execution of
	// an older version that would differ with it in the same way differs already.
	InUse *Candidate
}

// Impact derives the tenant's newest executions again in which another version of
// the candidate's skill ran. It ends with the limit or when the time is over,
// with the cursor of what is left; at least one execution is examined. CodeInvalid
// for a query that does not fit.
func (e *Engine) Impact(ctx context.Context, candidate *Candidate, query ImpactQuery) (*contract.StoredImpact, string, error) {
	var err error
	if query.Limit, query.Budget, err = impactBounds(query.Limit, query.Budget); err != nil {
		return nil, "", err
	}
	timed, cancel := context.WithTimeout(ctx, query.Budget)
	defer cancel()
	s := survey{e: e, ctx: ctx, timed: timed, candidate: candidate, query: query, out: &contract.StoredImpact{}}
	next, err := s.run()
	if err != nil {
		return nil, "", err
	}
	s.out.Complete = next == ""
	return s.out, next, nil
}

// impactBounds completes and checks the bounds of a page.
func impactBounds(limit int, budget time.Duration) (int, time.Duration, error) {
	const op = "impact"
	limit, budget = cmp.Or(limit, defaultImpactLimit), cmp.Or(budget, defaultImpactBudget)
	switch {
	case limit < 0 || limit > maxImpactLimit:
		return 0, 0, writ.Errorf(writ.CodeInvalid, op, "limit %d: want 1 to %d", limit, maxImpactLimit).WithFix("ask for pages")
	case budget < 0 || budget > maxImpactBudget:
		return 0, 0, writ.Errorf(writ.CodeInvalid, op, "budget %s: want at most %s", budget, maxImpactBudget).WithFix("ask for pages")
	}
	return limit, budget, nil
}

// survey is one page of Impact.
type survey struct {
	e         *Engine
	ctx       context.Context
	timed     context.Context // ends with the page's time
	candidate *Candidate
	query     ImpactQuery
	out       *contract.StoredImpact
}

// run gives the cursor of what is left, empty where nothing is.
func (s *survey) run() (string, error) {
	over := func() bool { return s.timed.Err() != nil }
	walk := writ.Survey{
		Traces: s.e.Traces, Tenant: s.query.Tenant, Since: s.query.Since, Cursor: s.query.Cursor, Over: over,
		Enough: func() bool { return s.out.Examined > 0 && (s.out.Examined >= s.query.Limit || over()) },
	}
	return walk.Run(s.ctx, s.examine)
}

// examine counts an execution in. It is false where the time was over before that
// was possible; of the first execution that says that it takes too long.
func (s *survey) examine(x *writ.Execution) (bool, error) {
	ref := &s.candidate.Skill.SkillRef
	if len(versionsIn(x, ref)) == 0 {
		return true, nil
	}
	if !x.Status.Final() {
		s.out.Open++
		return true, nil
	}
	impact, err := s.derive(x)
	switch over := s.timed.Err() != nil && s.ctx.Err() == nil; {
	case err != nil && over && s.out.Examined > 0:
		return false, nil
	case err != nil && over:
		impact = &contract.ExecutionImpact{
			ExecutionID: x.ID, ReceivedAt: x.CreatedAt, Versions: versionsIn(x, ref), Unreplayable: "deriving it again takes longer than the time that was given",
		}
	case writ.IsCode(err, writ.CodeConflict):
		s.out.Open++ // it was opened again meanwhile
		return true, nil
	case err != nil:
		return false, err
	}
	s.out.Add(impact)
	return true, nil
}

// derive leaves out in what the execution would differ with the version in use
// already.
func (s *survey) derive(x *writ.Execution) (*contract.ExecutionImpact, error) {
	impact, err := s.e.WhatIf(s.timed, s.query.Tenant, x.ID, s.candidate)
	if err != nil || len(impact.Differences) == 0 || s.query.InUse == nil {
		return impact, err
	}
	before, err := s.e.WhatIf(s.timed, s.query.Tenant, x.ID, s.query.InUse)
	if err != nil {
		return nil, err
	}
	impact.Differences = slices.DeleteFunc(impact.Differences, func(d contract.ImpactDifference) bool {
		return slices.ContainsFunc(before.Differences, func(had contract.ImpactDifference) bool {
			return had.Step == d.Step && had.Kind == d.Kind && had.Field == d.Field && bytes.Equal(had.Candidate, d.Candidate)
		})
	})
	impact.Already = len(impact.Differences) == 0
	return impact, nil
}

// WhatIfStages is an execution with another version of a skill as a replay
// reports it.
func WhatIfStages(x *contract.ExecutionImpact) []contract.ReplayStage {
	out := make([]contract.ReplayStage, 0, len(x.Differences))
	for i := range x.Differences {
		d := &x.Differences[i]
		stage := contract.ReplayStage{
			Stage: string(d.Kind), StepID: d.StepID,
			FirstDifference: &contract.ReplayDifference{Field: d.Field, Recorded: orNull(d.Recorded), Replayed: orNull(d.Candidate)},
		}
		if d.Unknown {
			stage.Unreplayable = d.Message
		}
		out = append(out, stage)
	}
	if x.Unreplayable != "" {
		out = append(out, contract.ReplayStage{Stage: stageExecution, Unreplayable: x.Unreplayable})
	}
	return out
}
