package policy

import (
	"context"
	"encoding/json"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// Explain is contract.PolicyExplain: the last verdict of the step, or the
// strictest of the steps' last ones, judged again from its stored question.
// Errors: CodeNotFound, CodeConflict before the plan is verified,
// CodeUnreplayable where the question has expired, CodeDiverged where the stored
// verdict is looser than what its bundle answers to its question.
func (s *Service) Explain(ctx context.Context, in *contract.PolicyExplainInput) (*contract.PolicyExplainOutput, error) {
	who, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, err
	}
	op := "execution " + string(in.ExecutionID) + ": policy explain"
	if s.traces == nil {
		return nil, writ.Errorf(writ.CodeUnavailable, op, "this host keeps no traces")
	}
	records, err := s.traces.Records(ctx, writ.RecordQuery{Tenant: who.Tenant, Stream: writ.StreamID(in.ExecutionID)})
	if err != nil {
		return nil, err
	}
	last, err := lastVerdict(op, records, in.StepID)
	if err != nil {
		return nil, err
	}
	question, err := s.question(ctx, who.Tenant, op, last)
	if err != nil {
		return nil, err
	}
	stored := &last.Body.Decided.Verdict
	judge, err := s.ByDigest(ctx, stored.PolicyDigest)
	if err != nil {
		return nil, err
	}
	if err := agree(ctx, op, judge, question, stored); err != nil {
		return nil, err
	}
	by := contract.DecidedBy(stored)
	out := &contract.PolicyExplainOutput{
		Result:  contract.Result{Status: "ok", ChangedAt: last.Time},
		Verdict: stored.Mode, RiskTier: stored.Risk,
		Reasons: contract.ReasonsFrom(last.Step, stored.Reasons), Clamps: contract.ClampsFrom(stored.Clamps),
		PolicyVersion: stored.PolicyVersion, PolicyDigest: stored.PolicyDigest, Input: question,
		StepID: last.Step, Stage: last.Body.Decided.Stage, DecidedBy: &by, Layers: layersOf(judge),
	}
	if stored.Mode == writ.Assist {
		out.Approvals = contract.ApprovalsFrom(&stored.Approvals)
	}
	if stored.Budget != nil {
		out.Calls = stored.Budget.Calls
	}
	return out, nil
}

// lastVerdict of a step; of all steps the one whose last verdict is strictest.
func lastVerdict(op string, records []writ.Stored, step writ.StepID) (*writ.Stored, error) {
	last := map[writ.StepID]*writ.Stored{}
	order := []writ.StepID{}
	planned := false
	for i := range records {
		r := &records[i]
		if r.Type == writ.RecPlanCompiled && r.Body.Plan != nil {
			for _, s := range r.Body.Plan.Steps {
				planned = planned || s.ID == step
			}
		}
		if r.Type != writ.RecVerdict || r.Body.Decided == nil {
			continue
		}
		if last[r.Step] == nil {
			order = append(order, r.Step)
		}
		last[r.Step] = r
	}
	if step != "" {
		order = []writ.StepID{step}
	}
	var strictest *writ.Stored
	for _, id := range order {
		r := last[id]
		if r != nil && (strictest == nil || stricter(&r.Body.Decided.Verdict, &strictest.Body.Decided.Verdict)) {
			strictest = r
		}
	}
	switch {
	case strictest != nil:
		return strictest, nil
	case step != "" && !planned && len(last) > 0:
		return nil, writ.Errorf(writ.CodeNotFound, op, "there is no step %s", step)
	}
	return nil, writ.Errorf(writ.CodeConflict, op, "nothing is judged yet").WithFix("verify the plan first: `writ plan verify`")
}

func stricter(a, b *writ.Verdict) bool {
	if a.Mode.Rank() != b.Mode.Rank() {
		return a.Mode.Rank() < b.Mode.Rank()
	}
	return a.Risk.Rank() > b.Risk.Rank()
}

func (s *Service) question(ctx context.Context, tenant writ.TenantID, op string, r *writ.Stored) ([]byte, error) {
	ref, ok := r.Payload(writ.PayloadQuestion)
	if !ok {
		return nil, writ.Errorf(writ.CodeUnreplayable, op, "the question is not stored")
	}
	read, err := s.traces.Payloads(ctx, tenant, r.Stream)
	if err != nil {
		return nil, err
	}
	return read(ref)
}

// agree judges the question again under the policy that the verdict names. What
// was recorded may be stricter, since a run can tighten a verdict, and never looser.
func agree(ctx context.Context, op string, judge writ.Judge, question []byte, stored *writ.Verdict) error {
	var q writ.Question
	if err := json.Unmarshal(question, &q); err != nil {
		return writ.Errorf(writ.CodeTampered, op, "the stored question does not decode: %w", err)
	}
	again, err := judge.Judge(ctx, &q)
	if err != nil {
		return err
	}
	if stored.Mode.Rank() > again.Mode.Rank() || stored.Risk.Rank() < again.Risk.Rank() {
		return writ.Errorf(writ.CodeDiverged, op, "the recorded verdict is %s at %s risk, and its bundle answers %s at %s",
			stored.Mode, stored.Risk, again.Mode, again.Risk).WithFix("find what changed with `writ replay`")
	}
	return nil
}
