package engine

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/contract"
)

// Bounds of looking back for statistics.
const (
	defaultSince = 30 * 24 * time.Hour
	maxSince     = 365 * 24 * time.Hour
	// longestWait is the longest deadline that a policy can give: what was opened
	// before it cannot have been decided since.
	longestWait = 90 * 24 * time.Hour
	// maxLookedAt is some hundred megabytes read; a busier host asks its metrics.
	maxLookedAt = 20_000
)

// When approvals look as if nobody read them.
const (
	fastDecision    = 3 * time.Second
	fatigueMedian   = 5 * time.Second
	fatigueRate     = 0.95
	fatigueAtLeast  = 20
	fatigueQuestion = "nearly all are approved, and faster than they can be read: let the policy ask less often, or show less at once"
)

// When so many requests are edited that what asks should ask for something else.
const (
	editedRate     = 0.2
	editedQuestion = "one in five or more is edited before it is approved: let whoever writes the drafts know what people change, see `writ exec list --status rejected`"
)

// sampleOf is what is counted of a decision, or of a deadline that passed.
func sampleOf(r *writ.ApprovalRequest, d *writ.Decision, at writ.Time) contract.ApprovalSample {
	s := contract.ApprovalSample{Rules: r.Rules(), Risk: r.Risk, Outcome: writ.ApprovalExpired, Took: max(0, at.Std().Sub(r.OpenedAt.Std()))}
	switch {
	case d != nil && d.Approved:
		s.Outcome = writ.ApprovalApproved
	case d != nil:
		s.Outcome, s.Edited = writ.ApprovalRejected, d.Edited != ""
	}
	return s
}

// counts leaves out what ended because another step was edited: nobody said a word
// about it.
func counts(x *writ.Execution, r *writ.ApprovalRequest, d *writ.Decision) bool {
	return d == nil || d.Edited == "" || x.EditedInto != nil && slices.Contains(x.EditedInto.Steps, r.StepName)
}

// observe tells whoever counts. The caller holds mu.
func (x *execution) observe(a *writ.Approval, d *writ.Decision, at writ.Time) {
	if x.engine.Observe != nil && counts(&x.state, &a.Request, d) {
		x.engine.Observe(sampleOf(&a.Request, d, at))
	}
}

// tally collects the samples of one rule and risk.
type tally struct {
	stat contract.ApprovalStat
	took []time.Duration
}

// ApprovalStats is the handler of contract.ApprovalStats: how people decided, by
// rule and risk, from the journals themselves.
func (e *Engine) ApprovalStats(ctx context.Context, in *contract.ApprovalStatsInput) (*contract.ApprovalStatsOutput, error) {
	p, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, err
	}
	back := cmp.Or(in.Since.Std(), defaultSince)
	if back < 0 || back > maxSince {
		return nil, &writ.Error{Code: writ.CodeInvalid, Op: "approval stats", Place: "since", Message: "must be a span of at most 365 days", Fix: "give a span such as 720h"}
	}
	out := &contract.ApprovalStatsOutput{Since: e.Clock.Now().Add(-back), Complete: true, Items: []contract.ApprovalStat{}}
	tallies := map[[2]string]*tally{}
	query := writ.ExecutionQuery{Tenant: p.Tenant, Limit: maxPage}
	for looked := 0; ; {
		page, err := e.Traces.Executions(ctx, query)
		if err != nil {
			return nil, err
		}
		for _, x := range page.Items {
			if x.CreatedAt < out.Since.Add(-longestWait) || looked == maxLookedAt {
				out.Complete = looked < maxLookedAt
				page.Next = ""
				break
			}
			looked++
			if err := e.tallyOf(ctx, x, out.Since, tallies); err != nil {
				return nil, err
			}
		}
		if query.Cursor = page.Next; query.Cursor == "" {
			break
		}
	}
	for _, t := range tallies {
		out.Items = append(out.Items, t.sum())
	}
	slices.SortFunc(out.Items, func(a, b contract.ApprovalStat) int {
		return cmp.Or(cmp.Compare(b.RiskTier.Rank(), a.RiskTier.Rank()), cmp.Compare(a.Rule, b.Rule))
	})
	return out, nil
}

// tallyOf adds what was decided in one execution since a moment.
func (e *Engine) tallyOf(ctx context.Context, x *writ.Execution, since writ.Time, tallies map[[2]string]*tally) error {
	// A retry takes what was asked before out of the state, and not out of the journal.
	asked := slices.ContainsFunc(x.Steps, func(s writ.StepState) bool { return s.Approval != nil || s.Earlier > 0 })
	if !asked || x.UpdatedAt < since {
		return nil
	}
	records, err := e.Traces.Records(ctx, writ.RecordQuery{Tenant: x.Tenant, Stream: writ.StreamID(x.ID)})
	if err != nil {
		return err
	}
	requests := map[writ.Digest]*writ.ApprovalRequest{}
	for i := range records {
		r := &records[i]
		f := r.Body.Approval
		if f == nil {
			continue
		}
		if r.Type == writ.RecApprovalOpened {
			requests[f.Digest] = f.Request
		}
		request := requests[f.Digest]
		if request == nil || r.Time < since || r.Type != writ.RecApprovalDecided && r.Type != writ.RecApprovalExpired {
			continue
		}
		if !counts(x, request, f.Decision) {
			continue
		}
		s := sampleOf(request, f.Decision, r.Time)
		for _, rule := range s.Rules {
			key := [2]string{rule, string(s.Risk)}
			if tallies[key] == nil {
				tallies[key] = &tally{stat: contract.ApprovalStat{Rule: rule, RiskTier: s.Risk}}
			}
			tallies[key].add(&s)
		}
	}
	return nil
}

func (t *tally) add(s *contract.ApprovalSample) {
	switch {
	case s.Outcome == writ.ApprovalExpired:
		t.stat.Expired++
		return
	case s.Outcome == writ.ApprovalApproved:
		t.stat.Approved++
	case s.Edited:
		t.stat.Edited++
	default:
		t.stat.Rejected++
	}
	if t.took = append(t.took, s.Took); s.Took < fastDecision {
		t.stat.Fast++
	}
}

// sum is the tally with its median, and whether it looks like fatigue.
func (t *tally) sum() contract.ApprovalStat {
	s := t.stat
	decided := s.Approved + s.Rejected + s.Edited
	if decided == 0 {
		return s
	}
	slices.Sort(t.took)
	middle := t.took[(len(t.took)-1)/2]
	s.ApproveRate, s.EditRate, s.Median = float64(s.Approved)/float64(decided), float64(s.Edited)/float64(decided), abi.Duration(middle)
	if decided >= fatigueAtLeast && s.EditRate >= editedRate {
		s.Hint = editedQuestion
	}
	if decided >= fatigueAtLeast && s.ApproveRate > fatigueRate && middle < fatigueMedian {
		s.Hint = fatigueQuestion
	}
	return s
}
