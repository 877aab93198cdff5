package contract

import (
	"encoding/json"
	"reflect"
	"regexp"
	"testing"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/canon"
)

// records has every record type that feeds events, and some that feed none.
func records() []writ.Record {
	request := &writ.ApprovalRequest{Summary: "POST https://x", Risk: writ.RiskMedium, DecideBy: exLater}
	approval := func(s writ.ApprovalStatus, d *writ.Decision) writ.Body {
		return writ.Body{Approval: &writ.ApprovalFacts{Digest: exDigest, Status: s, Decision: d}}
	}
	call := writ.Body{Call: &writ.CalledFacts{Sequence: 1, Tool: abi.ToolHTTPRequest, Effect: abi.EffectRead, Digest: exDigest, Reasons: []writ.Reason{{Rule: "r", Message: "m"}}}}
	end := func(s writ.ExecutionStatus) writ.Body { return writ.Body{End: &writ.EndFacts{Status: s}} }
	failed := writ.Body{Ended: &writ.EndedFacts{Failure: &abi.Failure{Code: "trap", Message: "x"}, Calls: 1}}
	system := writ.Body{System: &writ.SystemFacts{Subject: "acme/notes", Version: "1.0.0", Digest: exDigest, Issues: []writ.SkillIssue{{Code: writ.IssueRollback, Message: "x"}}}}
	said := writ.Body{Message: &writ.MessageFacts{Channel: "github/acme", Key: "k", Thread: "t"}}
	frozen := &writ.Freeze{Scope: writ.FreezeSkill, Subject: "acme/notes", Mode: writ.FreezeWait, Reason: "r", By: "ada", At: exTime}
	freezing := FreezeFacts(frozen, StatusFrozen, frozen.Reason)
	over := &writ.BudgetUse{Scope: writ.BudgetPrincipal, Subject: "agent:bot", Kind: writ.BudgetCalls, Span: writ.SpanHour, Limit: 100, Amount: 1, Taken: 100, First: true}
	budgeting := BudgetFacts(&writ.BudgetLimit{Scope: writ.BudgetTenant, Host: true, Kind: writ.BudgetSteps, Span: writ.SpanDay, Count: 9}, StatusBudgetSet, "because")
	broken := BreakGlassFacts(&BreakGlass{GrantID: "grt_example", PrincipalID: "ada", Self: true, Reason: "down", EndsAt: exTime, ReviewBy: exLater})
	yes, no := &writ.Decision{By: "ada", Approved: true}, &writ.Decision{By: "ada", Note: "no"}
	return []writ.Record{
		{Type: writ.RecIntentReceived, Body: writ.Body{Intent: &writ.IntentFacts{ID: exIntent, Workspace: "w", Origin: writ.OriginHuman}}},
		{Type: writ.RecInterpreted, Body: writ.Body{Intent: &writ.IntentFacts{ID: exIntent}}},
		{Type: writ.RecPlanCompiled, Body: writ.Body{Plan: &writ.CompiledFacts{ID: exPlan, Hash: exDigest, Steps: make([]writ.PlannedStep, 2)}}},
		{Type: writ.RecPlanRejected, Body: writ.Body{Plan: &writ.CompiledFacts{Problems: []writ.Problem{{Code: "c", Message: "m"}}}}},
		{Type: writ.RecVerdict, Step: exStep, Body: writ.Body{Decided: &writ.DecidedFacts{}}},
		{Type: writ.RecApprovalOpened, Step: exStep, Body: writ.Body{Approval: &writ.ApprovalFacts{Digest: exDigest, Request: request}}},
		{Type: writ.RecApprovalDecided, Step: exStep, Body: approval(writ.ApprovalApproved, yes)},
		{Type: writ.RecApprovalDecided, Step: exStep, Body: approval(writ.ApprovalRejected, no)},
		{Type: writ.RecApprovalDecided, Step: exStep, Body: approval(writ.ApprovalPending, yes)},
		{Type: writ.RecApprovalEscalated, Step: exStep, Body: approval(writ.ApprovalEscalated, nil)},
		{Type: writ.RecApprovalExpired, Step: exStep, Body: approval(writ.ApprovalExpired, nil)},
		{Type: writ.RecRunStarted, Body: writ.Body{Run: &writ.RunFacts{ID: exRun}}},
		{Type: writ.RecStepStarted, Step: exStep, Attempt: 1, Body: writ.Body{Started: &writ.StartedFacts{}}},
		{Type: writ.RecStepCompleted, Step: exStep, Attempt: 1, Body: writ.Body{Ended: &writ.EndedFacts{Fuel: 3}}},
		{Type: writ.RecStepFailed, Step: exStep, Attempt: 1, Body: failed},
		{Type: writ.RecStepSkipped, Step: exStep, Body: writ.Body{Ended: &writ.EndedFacts{Reason: "when is false"}}},
		{Type: writ.RecStepBlocked, Step: exStep, Body: writ.Body{Ended: &writ.EndedFacts{Reasons: []writ.Reason{{Rule: "r", Message: "m"}}}}},
		{Type: writ.RecStepRejected, Step: exStep},
		{Type: writ.RecStepIndeterminate, Step: exStep},
		{Type: writ.RecRetryScheduled, Step: exStep, Body: writ.Body{Retry: &writ.RetryFacts{}}},
		{Type: writ.RecToolCalled, Step: exStep, Body: call},
		{Type: writ.RecToolReturned, Step: exStep, Body: writ.Body{Call: &writ.CalledFacts{Sequence: 1, Tool: "log", Outcome: writ.OutcomeDone}}},
		{Type: writ.RecToolDenied, Step: exStep, Body: call},
		{Type: writ.RecCallProposed, Step: exStep, Body: call},
		{Type: writ.RecCancelRequested, Body: end("")},
		{Type: writ.RecExecutionEnded, Body: end(writ.ExecCompleted)},
		{Type: writ.RecExecutionEnded, Body: end(writ.ExecFailed)},
		{Type: writ.RecRunPaused, Body: end("")},
		{Type: writ.RecRunResumed, Body: end("")},
		{Type: writ.RecRunRetried, Body: end("")},
		{Type: writ.RecRunEdited, Body: writ.Body{Edit: &writ.EditFacts{Execution: exEdited, PlanHash: exDigest, Steps: []string{"file"}, By: "ada", Reason: "r"}}},
		{Type: writ.RecStepResolved, Step: exStep, Body: writ.Body{Resolved: &writ.ResolvedFacts{Ruling: writ.RulingRetry, Sequence: 1}}},
		{Type: writ.RecExecutionEnded, Body: end(writ.ExecCancelled)},
		{Type: writ.RecExecutionEnded, Body: end(writ.ExecExpired)},
		{Type: writ.RecSealed, Body: writ.Body{Seal: &writ.SealFacts{Records: 1}}},
		{Type: writ.RecSkillInstalled, Body: system},
		{Type: writ.RecSkillRejected, Body: system},
		{Type: writ.RecPolicyActivated, Body: system},
		{Type: writ.RecTokenCreated, Body: system},
		{Type: writ.RecDriftDetected, Body: system},
		{Type: writ.RecDriftGone, Body: system},
		{Type: writ.RecStepFrozen, Step: exStep, Attempt: 1, Body: writ.Body{Frozen: frozen}},
		{Type: writ.RecStepThawed, Step: exStep, Attempt: 1},
		{Type: writ.RecFreezeChanged, Body: writ.Body{System: &freezing}},
		{Type: writ.RecBudgetChanged, Body: writ.Body{System: &budgeting}},
		{Type: writ.RecVerdict, Step: exStep, Body: writ.Body{Decided: &writ.DecidedFacts{Over: over}}},
		{Type: writ.RecGrantChanged, Body: system},
		{Type: writ.RecGrantChanged, Body: writ.Body{System: &broken}},
		{Type: writ.RecGrantChanged, Body: writ.Body{System: &writ.SystemFacts{Subject: "grt_example", Status: GrantReviewed, Reason: "as said"}}},
		{Type: writ.RecHostAccepted, Body: system},
		{Type: "something.later", Body: writ.Body{}},
		{Type: writ.RecDeliveryReceived, Body: writ.Body{Delivery: &writ.DeliveryFacts{Channel: "github/acme", Key: "k"}}},
		{Type: writ.RecDeliveryHandled, Body: writ.Body{Delivery: &writ.DeliveryFacts{Channel: "github/acme", Key: "k", Outcomes: []writ.DeliveryOutcome{{Status: writ.DeliveryIgnored}}}}},
		{Type: writ.RecDeliveryAnswered, Body: writ.Body{Delivery: &writ.DeliveryFacts{Channel: "github/acme", Key: "k", Outcomes: []writ.DeliveryOutcome{{Status: writ.DeliveryAnswered}}}}},
		{Type: writ.RecChannelChanged, Body: system},
		{Type: writ.RecMessageQueued, Body: said},
		{Type: writ.RecMessageSending, Body: said},
		{Type: writ.RecMessageSent, Body: said},
		{Type: writ.RecMessageFailed, Body: said},
		{Type: writ.RecMessageIndeterminate, Body: said},
		{Type: writ.RecMessageDropped, Body: said},
	}
}

func stored(r writ.Record, seq uint64) *writ.Stored {
	r.Tenant, r.Stream, r.Seq, r.Prev, r.Time = "default", writ.StreamID(exExecution), seq, exPrev, exTime
	r.Actor = writ.Audit{ActorID: "ada", CapabilitySource: "tok_1", TraceID: "0af7651916cd43dd8448eb211c80319c"}
	return &writ.Stored{Record: r, Digest: canon.Sum(canon.DomainRecord, []byte{byte(seq)}), Position: writ.Position(seq)}
}

var traceParentForm = regexp.MustCompile(`^00-[0-9a-f]{32}-[0-9a-f]{16}-01$`)

func TestEveryEventIsDeclaredAndReached(t *testing.T) {
	exec := &writ.Execution{Steps: []writ.StepState{{PlannedStep: writ.PlannedStep{ID: exStep, Name: "file", Skill: writ.SkillRef{Key: exKey, Version: "1.2.0"}, Action: "create"}}}}
	reached, ids := map[string]bool{}, map[string]bool{}
	for i, r := range records() {
		rec := stored(r, uint64(i+1))
		list := EventsOf(rec, exec)
		if !reflect.DeepEqual(list, EventsOf(rec, exec)) {
			t.Errorf("%s: two projections differ", r.Type)
		}
		if len(EventsOf(rec, nil)) != len(list) {
			t.Errorf("%s: without the execution there are other events", r.Type)
		}
		for _, e := range list {
			declared, ok := LookupEvent(e.Type)
			if !ok {
				t.Fatalf("%s gives %s, which nobody declared", r.Type, e.Type)
			}
			if err := declared.CheckData(e.Data); err != nil {
				t.Errorf("%s: %v: %s", e.Type, err, e.Data)
			}
			if ids[e.ID] || e.SpecVersion != "1.0" || e.DataSchema != declared.SchemaURI() || e.Seq != rec.Seq ||
				e.Tenant != "default" || e.Actor != "ada" || e.PrevDigest != exPrev || e.Subject == "" ||
				e.Source == "" || !traceParentForm.MatchString(e.TraceParent) {
				t.Errorf("%s: the envelope is not whole: %+v", e.Type, e)
			}
			ids[e.ID], reached[e.Type] = true, true
			if !contains(declared.Records, r.Type) {
				t.Errorf("%s does not say that %s feeds it", e.Type, r.Type)
			}
		}
	}
	for _, e := range Events() {
		if !reached[e.Key] {
			t.Errorf("no record feeds %s", e.Key)
		}
	}
}

func contains(list []writ.RecordType, want writ.RecordType) bool {
	for _, t := range list {
		if t == want {
			return true
		}
	}
	return false
}

func TestEventsOfDetails(t *testing.T) {
	at := func(n int) []writ.Event { return EventsOf(stored(records()[n], 1), nil) }
	for i, r := range records() {
		silent := r.Type == writ.RecInterpreted || r.Type == writ.RecVerdict && (r.Body.Decided == nil || r.Body.Decided.Over == nil) || r.Type == writ.RecTokenCreated ||
			r.Type == writ.RecCancelRequested || r.Type == writ.RecSealed || r.Type == writ.RecCallProposed ||
			r.Type == writ.RecStepRejected || r.Type == writ.RecRunStarted || r.Type == writ.RecRetryScheduled || r.Type == writ.RecDriftGone || r.Type == writ.RecHostAccepted || r.Type == writ.RecMessageSending || r.Type == "something.later" ||
			(r.Type == writ.RecGrantChanged && r.Body.System.Status == "") ||
			(r.Body.Approval != nil && r.Body.Approval.Status == writ.ApprovalPending)
		if got := at(i); (len(got) == 0) != silent {
			t.Errorf("%s (%d) gives %d events", r.Type, i, len(got))
		}
	}
	rec := stored(records()[0], 1)
	for _, trace := range []string{"", "xyz", "00000000000000000000000000000000"} {
		rec.Actor.TraceID = trace
		if e := EventsOf(rec, nil)[0]; !traceParentForm.MatchString(e.TraceParent) {
			t.Errorf("trace %q gives %q", trace, e.TraceParent)
		}
	}
	step := stored(records()[13], 1)
	var data StepEvent
	if err := json.Unmarshal(EventsOf(step, &writ.Execution{})[0].Data, &data); err != nil || data.Name != "" || data.Fuel != 3 {
		t.Errorf("%+v, %v", data, err)
	}
}

func TestApprovalFromShowsOnlyWhatTheDigestNames(t *testing.T) {
	request := writ.ApprovalRequest{Execution: exExecution, Step: exStep, Input: json.RawMessage(`{"a":1}`), Risk: writ.RiskLow}
	digest, err := request.Digest()
	if err != nil {
		t.Fatal(err)
	}
	whole, err := ApprovalFrom(&writ.Approval{Digest: digest, Status: writ.ApprovalPending, Request: request})
	if err != nil || canon.Sum(canon.DomainApproval, whole.Request) != digest || whole.Required != 1 {
		t.Errorf("%+v, %v", whole, err)
	}
	request.Input = nil
	folded, err := ApprovalFrom(&writ.Approval{Digest: digest, Status: writ.ApprovalPending, Request: request})
	if err != nil || folded.Request != nil || folded.Digest != digest {
		t.Errorf("%+v, %v", folded, err)
	}
}

func TestExecutionFrom(t *testing.T) {
	e := &writ.Execution{
		ID: exExecution, Workspace: "w", Status: writ.ExecRejected, Principal: &writ.Principal{ID: "ada"},
		Problems: []writ.Problem{{Code: "c", Message: "m"}}, CreatedAt: exTime, UpdatedAt: exTime,
		Steps: []writ.StepState{{
			PlannedStep: writ.PlannedStep{ID: exStep, Name: "file", Skill: writ.SkillRef{Key: exKey, Version: "1.2.0"}, Effect: abi.EffectRead, Risk: writ.RiskLow},
			Status:      writ.StepFailed, Verdict: &writ.Verdict{Mode: writ.Assist, Risk: writ.RiskMedium},
			Approval: &writ.Approval{Digest: exDigest, Status: writ.ApprovalPending}, Failure: &abi.Failure{Code: "trap", Message: "x"},
		}},
	}
	out, err := ExecutionFrom(e)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(ExecutionGetOutput{Result: done("rejected"), Execution: *out})
	if err != nil {
		t.Fatal(err)
	}
	if err := ExecutionGet.CheckOutput(raw); err != nil {
		t.Error(err)
	}
	if s := out.Steps[0]; s.RiskTier != writ.RiskMedium || s.Mode != writ.Assist || s.Failure.Code != "trap" || s.Approval.Digest != exDigest {
		t.Errorf("%+v", s)
	}
}

func TestRunMode(t *testing.T) {
	for m, want := range map[RunMode]writ.Mode{"": writ.Autonomous, RunAutonomous: writ.Autonomous, RunAssist: writ.Assist, RunDry: writ.Blocked, "odd": writ.Blocked} {
		if got := m.Mode(); got != want {
			t.Errorf("%q is %s, want %s", m, got, want)
		}
	}
}
