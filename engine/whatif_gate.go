package engine

import (
	"context"
	"strconv"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/contract"
)

// whatIfGate answers from the journal and never from the world. Each call is
// looked for among those that are left: a read that the guest does not make any
// more is passed over, since it changed nothing; after a write that it does not
// make nothing is known. A call that is not there has no answer.
type whatIfGate struct {
	w       *whatIf
	was     *writ.StepState
	d       *dispatch
	permit  writ.Permit
	next    int          // of the recorded calls
	skipped []*call      // that the guest has passed over
	noted   bool         // a difference in calls that its outcome does not depend on
	now     writ.Time    // of the last answer
	labels  []writ.Label // of the input and of the answers
	stopped *contract.ImpactDifference
	asked   bool  // the run ended where people had been asked, or at a write that nobody knows of
	err     error // of this host
}

// Call implements writ.ToolGate.
func (g *whatIfGate) Call(_ context.Context, tool string, args []byte) (*writ.ToolReply, error) {
	digest := digestOf(tool, args)
	calls := g.d.attempt.calls
	for i := g.next; i < len(calls); i++ {
		if c := calls[i]; c.facts.Tool == tool && c.facts.Digest == digest {
			g.skipped = append(g.skipped, calls[g.next:i]...)
			g.next = i + 1
			return g.answer(c, args)
		}
	}
	if proposed, ok := g.w.recording.proposed[g.was.ID]; ok && proposed.Digest == digest && proposed.Sequence > len(calls) {
		g.asked = true
		return nil, errReplayEnds
	}
	if tool == abi.ToolLog { // it changes nothing, and its answer is always the same
		g.note(tool, args)
		return &writ.ToolReply{Body: []byte("{}"), Now: g.now}, nil
	}
	d := contract.ImpactDifference{
		Kind: contract.ImpactCall, Field: "/calls/" + strconv.Itoa(g.next), Candidate: callText(tool, args), Unknown: true,
		Message: "the call is new: there is no recorded answer",
	}
	if g.next < len(calls) {
		d.Message = "the call is another one: there is no recorded answer"
		d.Recorded = callText(calls[g.next].facts.Tool, calls[g.next].args)
		if calls[g.next].facts.Tool == tool {
			if difference := FirstDifference(calls[g.next].args, args); difference != nil {
				d.Field += difference.Field
				d.Recorded, d.Candidate = shortened([]byte(difference.Recorded)), shortened([]byte(difference.Replayed))
			}
		}
	}
	return g.stop(d)
}

func (g *whatIfGate) stop(d contract.ImpactDifference) (*writ.ToolReply, error) {
	g.stopped = &d
	return nil, errReplayEnds
}

// callText is a call for people: its target, and not its whole arguments.
func callText(tool string, args []byte) []byte {
	text := tool
	if facts, err := writ.CallFactsOf(tool, args); err == nil && facts.Target != (writ.Target{}) {
		text += " " + facts.Target.String()
	}
	return shortened(text)
}

// note says that the calls differ in what the outcome does not depend on.
func (g *whatIfGate) note(tool string, args []byte) {
	if g.noted {
		return
	}
	g.noted = true
	d := g.w.difference(g.was, contract.ImpactCall)
	d.Field, d.Candidate, d.Message = "/calls/"+strconv.Itoa(g.next), callText(tool, args), "the call is new"
	g.w.out.Differences = append(g.w.out.Differences, d)
}

// answer gives what a recorded call was answered, where that still holds.
func (g *whatIfGate) answer(c *call, args []byte) (*writ.ToolReply, error) {
	for _, before := range g.skipped {
		if before.facts.Effect.Writes() && !before.denied {
			return g.stop(contract.ImpactDifference{
				Kind: contract.ImpactCall, Field: "/calls", Recorded: callText(before.facts.Tool, before.args), Unknown: true,
				Message: "the call is not made any more: what was answered after it may not hold",
			})
		}
	}
	facts, err := writ.CallFactsOf(c.facts.Tool, args)
	covered := err == nil
	if covered {
		if _, err = g.permit.Cost(facts); err == nil {
			_, err = g.permit.Covers(facts)
		}
		covered = err == nil || writ.IsCode(err, writ.CodeApprovalNeeded)
	}
	if covered == c.denied && c.facts.Earlier == 0 && len(c.facts.Reasons) == 0 {
		return g.stop(contract.ImpactDifference{
			Kind: contract.ImpactCall, Field: "/calls/" + strconv.Itoa(c.facts.Sequence-1), Recorded: callText(c.facts.Tool, c.args), Unknown: true,
			Message: map[bool]string{true: "the call was denied and would be made", false: "the call was made and would be denied"}[covered],
		})
	}
	if !c.ended || c.facts.Outcome == writ.OutcomeUnknown && c.facts.Effect.Writes() {
		g.asked = true
		return nil, errReplayEnds
	}
	if c.facts.Tool == abi.ToolSkillCall && !c.denied && c.facts.Earlier == 0 {
		return g.called(c, args)
	}
	g.now = c.at
	g.labels = writ.JoinLabels(g.labels, c.facts.Labels)
	return c.reply(), nil
}

// called derives the step that the call made.
func (g *whatIfGate) called(c *call, args []byte) (*writ.ToolReply, error) {
	id, made := g.w.was.calls[callPlace{step: g.was.ID, attempt: g.d.attempt.number, sequence: c.facts.Sequence}]
	if !made {
		return c.reply(), nil
	}
	child := g.w.was.state.Step(string(id))
	unknown := contract.ImpactDifference{
		Kind: contract.ImpactUpstream, Recorded: callText(c.facts.Tool, c.args), Unknown: true, Message: "what the called step comes to is not known",
	}
	step, ok := g.w.now.planned(child.Name)
	if !ok {
		return g.stop(unknown)
	}
	caller, err := callerOf(args, g.d.resolved, g.labels)
	if err != nil {
		return nil, err
	}
	g.w.now.callers[step.ID] = caller
	if g.err = g.w.single(step); g.err != nil {
		return nil, errReplayEnds
	}
	result, ended := g.w.now.callResult(step)
	if g.w.unknown(child.Name) || !ended {
		return g.stop(unknown)
	}
	g.now = c.at
	g.labels = writ.JoinLabels(g.labels, result.Labels)
	return &writ.ToolReply{Body: result.Body, Failure: result.Failure, Now: c.at}, nil
}

// notMade says which recorded calls the guest does not make any more.
func (g *whatIfGate) notMade() {
	left := append(g.skipped, g.d.attempt.calls[g.next:]...)
	if len(left) == 0 || g.noted {
		return
	}
	d := g.w.difference(g.was, contract.ImpactCall)
	d.Field, d.Recorded, d.Message = "/calls/"+strconv.Itoa(left[0].facts.Sequence-1), callText(left[0].facts.Tool, left[0].args), "the call is not made any more"
	g.w.out.Differences = append(g.w.out.Differences, d)
}
