package engine

import (
	"encoding/json"
	"errors"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

// compilation compiles the draft again against what the catalogue answered.
func (r *replayer) compilation(record *writ.Record) error {
	if r.x.state.Draft == nil {
		r.member(stagePlan, "", "draft", nil, "a draft")
		return nil
	}
	facts := record.Body.Plan
	noting := &notedCatalogue{Catalogue: &pinnedCatalogue{
		ctx: r.ctx, skills: r.e.Skills, tenant: r.x.tenant, resolutions: facts.Resolutions,
	}}
	req, err := r.x.compileAgain(r.ctx, noting, r.storedPlan())
	if err != nil {
		r.member(stagePlan, "", "law", r.storedPlan().Law, nil)
		return err
	}
	compiled, err := r.e.Planner.Compile(req)
	r.member(stagePlan, "", "resolutions", facts.Resolutions, noting.resolutions)
	if record.Type == writ.RecPlanRejected {
		return r.rejection(facts, err)
	}
	stored := r.loader.named(record, writ.PayloadPlan)
	if r.loader.err != nil {
		return r.loader.err
	}
	if err != nil {
		if code := writ.CodeOf(err); code == writ.CodeUnreplayable || code == writ.CodeTampered {
			return err
		}
		r.member(stagePlan, "", "error", nil, failureOf(err).Message)
		compiled, err = decodePlan(stored, facts.ID, canon.Sum(canon.DomainPlan, stored))
		r.x.plan = compiled
		return err
	}
	r.compare(stagePlan, "", stored, compiled.Bytes)
	r.compare(stagePlan, "", writ.CompiledFacts{ID: facts.ID, Hash: facts.Hash, Steps: facts.Steps, Templates: facts.Templates, Law: facts.Law},
		writ.CompiledFacts{ID: compiled.ID, Hash: compiled.Hash, Steps: plannedSteps(compiled.Plan), Templates: plannedTemplates(compiled.Plan), Law: compiled.Plan.Law})
	r.x.plan = compiled
	derived := *facts
	derived.Steps, derived.Templates = plannedSteps(compiled.Plan), plannedTemplates(compiled.Plan)
	record.Body.Plan = &derived // the fold goes on with what the plan says
	return nil
}

func (r *replayer) rejection(facts *writ.CompiledFacts, err error) error {
	var problems []writ.Problem
	var e *writ.Error
	if errors.As(err, &e) {
		problems, _ = e.Details.([]writ.Problem)
	}
	r.member(stagePlan, "", "problems", facts.Problems, problems)
	return nil
}

// storedPlan is the last plan of the journal, of which only that is read by which it was
// compiled: its rules and its law. nil where there is none.
func (r *replayer) storedPlan() *writ.Plan {
	if r.sought {
		return r.stored
	}
	r.sought = true
	for i := len(r.records) - 1; i >= 0; i-- {
		record := &r.records[i].Record
		if record.Type != writ.RecPlanCompiled {
			continue
		}
		var plan struct {
			Rules int         `json:"rules"`
			Law   writ.Digest `json:"law"`
		}
		before := r.loader.err // a plan that is missing shows in its own stage
		raw := r.loader.named(record, writ.PayloadPlan)
		r.loader.err = before
		if json.Unmarshal(raw, &plan) != nil {
			return nil
		}
		r.stored = &writ.Plan{Rules: plan.Rules, Law: plan.Law}
		break
	}
	return r.stored
}
