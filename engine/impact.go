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

// impactPage is how many executions are listed at once. Most of them do not have
// the skill.
const impactPage = 100

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
	const op = "impact"
	query.Limit, query.Budget = cmp.Or(query.Limit, defaultImpactLimit), cmp.Or(query.Budget, defaultImpactBudget)
	switch {
	case query.Limit < 0 || query.Limit > maxImpactLimit:
		return nil, "", writ.Errorf(writ.CodeInvalid, op, "limit %d: want 1 to %d", query.Limit, maxImpactLimit).WithFix("ask for pages")
	case query.Budget < 0 || query.Budget > maxImpactBudget:
		return nil, "", writ.Errorf(writ.CodeInvalid, op, "budget %s: want at most %s", query.Budget, maxImpactBudget).WithFix("ask for pages")
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
	query := writ.ExecutionQuery{Tenant: s.query.Tenant, Limit: impactPage, Cursor: s.query.Cursor}
	for {
		page, err := s.e.Traces.Executions(s.ctx, query)
		if err != nil {
			return "", err
		}
		for i, x := range page.Items {
			if x.CreatedAt < s.query.Since {
				return "", nil
			}
			if s.out.Examined > 0 && (s.out.Examined >= s.query.Limit || s.timed.Err() != nil) {
				return s.before(query, i)
			}
			done, err := s.examine(x)
			if err != nil {
				return "", err
			}
			if !done {
				return s.before(query, i)
			}
		}
		if query.Cursor = page.Next; page.Next == "" || s.timed.Err() != nil {
			return page.Next, nil
		}
	}
}

// before is the cursor with which the list goes on at the page's item i.
func (s *survey) before(query writ.ExecutionQuery, i int) (string, error) {
	if i == 0 {
		return query.Cursor, nil
	}
	query.Limit = i
	page, err := s.e.Traces.Executions(s.ctx, query)
	if err != nil {
		return "", err
	}
	return page.Next, nil
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
