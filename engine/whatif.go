package engine

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// Candidate is a version of a skill that might be put to use. It has been
// verified as an install verifies.
type Candidate struct {
	Skill *writ.Skill
	// Accepts reports whether the version is within a draft's range; empty is any.
	Accepts func(constraint string) bool
}

// whatIf derives an execution again with another version of a skill. There are
// two of everything: was is the recorded execution, now what it would have been.
// What people decided, what tools answered, seeds and clocks are those of was;
// nothing is performed, and what has no recorded answer is unknown.
type whatIf struct {
	e         *Engine
	ctx       context.Context
	candidate *Candidate
	was, now  *execution
	recording recording
	loader    loader
	skills    map[writ.SkillRef]*writ.Skill
	done      map[string]*derived // by name of the step
	out       *contract.ExecutionImpact
}

// derived is what a step comes to now.
type derived struct {
	unknown bool
	differs bool
}

// WhatIf derives one execution again with the candidate in place of every other
// version of its skill. CodeNotFound where there is no such execution,
// CodeConflict where it has not ended, CodeTimeout and CodeCancelled with ctx.
// That a payload has expired is in the answer.
func (e *Engine) WhatIf(ctx context.Context, tenant writ.TenantID, id writ.ExecutionID, candidate *Candidate) (*contract.ExecutionImpact, error) {
	records, err := e.Traces.Records(ctx, writ.RecordQuery{Tenant: tenant, Stream: writ.StreamID(id)})
	if err != nil {
		return nil, err
	}
	w := &whatIf{
		e: e, ctx: ctx, candidate: candidate, was: e.newExecution(tenant, id),
		skills: map[writ.SkillRef]*writ.Skill{candidate.Skill.SkillRef: candidate.Skill}, done: map[string]*derived{},
		out: &contract.ExecutionImpact{ExecutionID: id},
	}
	defer w.was.stop()
	w.loader = loader{x: w.was, ctx: ctx}
	if err := w.run(records); err != nil {
		return nil, err
	}
	return w.out, nil
}

// settled is nil for an error that says why this execution tells nothing.
func (w *whatIf) settled(err error) error {
	switch writ.CodeOf(err) {
	case writ.CodeUnreplayable, writ.CodeNotFound, writ.CodeTampered:
		w.out.Unreplayable = failureOf(err).Message
		return nil
	}
	return err
}

func (w *whatIf) run(records []writ.Stored) error {
	err := w.read(records)
	state := &w.was.state
	w.out.ReceivedAt, w.out.Versions = state.CreatedAt, versionsIn(state, &w.candidate.Skill.SkillRef)
	if err != nil || len(w.out.Versions) == 0 || w.was.plan == nil {
		return w.settled(err)
	}
	if !state.Status.Final() {
		return writ.Errorf(writ.CodeConflict, "execution "+string(w.was.id), "it has not ended").WithFix("wait, or cancel it")
	}
	compiled, err := w.compile()
	if compiled == nil || err != nil {
		return w.settled(err)
	}
	w.now = w.translated(compiled)
	defer w.now.stop()
	return w.settled(w.walk())
}

// versionsIn are the other versions of the candidate's skill that an execution
// had steps of.
func versionsIn(state *writ.Execution, candidate *writ.SkillRef) []string {
	var versions []string
	for i := range state.Steps {
		if ref := &state.Steps[i].Skill; ref.Key == candidate.Key && ref.Digest != candidate.Digest {
			versions = append(versions, ref.Version)
		}
	}
	slices.Sort(versions)
	return slices.Compact(versions)
}

// candidateCatalogue answers as it was recorded, with the candidate in place of
// the versions of its skill.
type candidateCatalogue struct {
	pinned    pinnedCatalogue
	candidate *Candidate
	refused   string // the range that does not accept it
}

// Resolve implements writ.Catalogue.
func (c *candidateCatalogue) Resolve(key writ.SkillKey, constraint string) (*writ.Release, error) {
	release := &c.candidate.Skill.Release
	switch {
	case key != release.Key:
		return c.pinned.Resolve(key, constraint)
	case c.candidate.Accepts(constraint):
		return release, nil
	}
	c.refused = constraint
	return nil, writ.Errorf(writ.CodeNotFound, "skill "+string(key), "%s does not accept %s", constraint, release.Version)
}

// compile is nil where the draft does not compile with the candidate, which is
// then a difference.
func (w *whatIf) compile() (*writ.CompiledPlan, error) {
	catalogue := &candidateCatalogue{candidate: w.candidate, pinned: pinnedCatalogue{
		ctx: w.ctx, skills: w.e.Skills, tenant: w.was.tenant, resolutions: w.recording.resolutions,
	}}
	req, err := w.was.compileAgain(w.ctx, catalogue, w.was.plan.Plan)
	if err != nil {
		return nil, err
	}
	compiled, err := w.e.Planner.Compile(req)
	if err == nil {
		return compiled, nil
	}
	if catalogue.refused != "" {
		d := w.difference(w.first(), contract.ImpactConstraint)
		d.Message = "the draft wants " + catalogue.refused + ": it stays on an older version as long as one is enabled"
		w.out.Differences = append(w.out.Differences, d)
		return nil, nil
	}
	var e *writ.Error
	if !errors.As(err, &e) || e.Code != writ.CodePlanRejected {
		return nil, err
	}
	d := w.difference(w.first(), contract.ImpactPlan)
	if problems, _ := e.Details.([]writ.Problem); len(problems) > 0 {
		p := &problems[0]
		d.Field, d.Message = p.File+":"+strconv.Itoa(p.Line)+":"+strconv.Itoa(p.Column), p.Code+": "+p.Message
	} else {
		d.Message = e.Message
	}
	w.out.Differences = append(w.out.Differences, d)
	return nil, nil
}

// first is the first step of the skill, which stands for the plan.
func (w *whatIf) first() *writ.StepState {
	i := slices.IndexFunc(w.was.state.Steps, func(s writ.StepState) bool { return s.Skill.Key == w.candidate.Skill.Key })
	return &w.was.state.Steps[i]
}

func (w *whatIf) difference(s *writ.StepState, kind contract.ImpactKind) contract.ImpactDifference {
	return contract.ImpactDifference{
		ExecutionID: w.was.id, StepID: s.ID, Step: s.Name, Action: string(s.Skill.Key) + "#" + s.Action, Version: s.Skill.Version, Kind: kind,
	}
}

// shown is how much of a value a difference holds: enough to know it again.
const shown = 240

// shortened is a value as JSON; a long one is the text of its beginning.
func shortened(v any) json.RawMessage {
	raw, isBytes := v.([]byte)
	if !isBytes {
		raw = encoded(v)
	}
	if len(raw) <= shown && json.Valid(raw) {
		return raw
	}
	return encoded(strings.ToValidUTF8(string(raw[:min(len(raw), shown)]), "") + "...")
}

// differ notes that a step comes to something else; the values may be nil.
func (w *whatIf) differ(s *writ.StepState, d contract.ImpactDifference) {
	name := s.Name
	one := w.difference(s, d.Kind)
	one.Field, one.Recorded, one.Candidate, one.Message, one.Unknown = d.Field, d.Recorded, d.Candidate, d.Message, d.Unknown
	one.Because = w.because(s)
	w.out.Differences = append(w.out.Differences, one)
	now := w.at(name)
	now.differs = true
	now.unknown = now.unknown || d.Unknown
}

// at is what is known of a step that has been derived.
func (w *whatIf) at(name string) *derived {
	if w.done[name] == nil {
		w.done[name] = &derived{}
	}
	return w.done[name]
}

// because is a step that this one needs and that comes to something else.
func (w *whatIf) because(s *writ.StepState) string {
	needs := s.Needs
	if s.Kind == writ.KindIteration {
		if of := w.was.state.Step(string(s.Parent)); of != nil {
			needs = of.Needs
		}
	}
	for _, name := range needs {
		if d := w.done[name]; d != nil && d.differs {
			return name
		}
	}
	return ""
}
