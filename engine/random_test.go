package engine_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/contract"
	"github.com/writ-run/writ/host/wasmtest"
)

// tier is what a kind of step is by hand: high, or medium where that much is
// declared or written, and whether its parameter is a sink, which lifts it by one.
type tier struct {
	skill string
	high  bool
	mid   bool
	sink  bool
	reads bool // what comes out is somebody else's
}

// tiers is the table that this test goes by. It is not derived from the code.
var tiers = []tier{
	{skill: "echo"},
	{skill: "look", reads: true},
	{skill: "keep", reads: true},
	{skill: "web", mid: true, reads: true},
	{skill: "pay", high: true, reads: true},
	{skill: "wipe", high: true, reads: true},
	{skill: "rule", high: true, reads: true},
	{skill: "careful", high: true},
	{skill: "asks", sink: true, reads: true},
	{skill: "tells", mid: true, sink: true, reads: true},
	{skill: "wary", mid: true, sink: true, reads: true},
}

// lot is one random plan with what the table says of it.
type lot struct {
	draft string
	who   *writ.Principal
	high  map[string]bool // by step
}

func drawLot(seed int64) *lot {
	random := rand.New(rand.NewSource(seed))
	l := &lot{who: service, high: map[string]bool{}}
	foreign := random.Intn(3) == 0 // a model wrote the draft
	if foreign {
		l.who = agent
	}
	var steps []object
	var out, gate []bool // whether an output, and what decided that it is there, are somebody else's
	for i := range 1 + random.Intn(3) {
		kind := tiers[random.Intn(len(tiers))]
		name := fmt.Sprintf("s%d", i)
		step := object{"name": name, "uses": "test/" + kind.skill + "#run"}
		value, reached, gated := "fixed", foreign, false
		if i > 0 && random.Intn(2) == 0 {
			from := random.Intn(i)
			value, reached = fmt.Sprintf("${{ string(has(steps.s%d.output)) }}", from), reached || out[from] || gate[from]
			gated = gate[from] // it waits for that step
		}
		if i > 0 && random.Intn(4) == 0 {
			from := random.Intn(i)
			step["when"] = fmt.Sprintf("has(steps.s%d.output)", from)
			gated = gated || out[from] || gate[from]
		}
		if i > 0 && random.Intn(4) == 0 {
			from := random.Intn(i)
			step["needs"], gated = []string{fmt.Sprintf("s%d", from)}, gated || gate[from]
		}
		if random.Intn(6) == 0 {
			step["forEach"] = "${{ [1] }}"
		}
		switch headers := (object{"to": value}); kind.skill {
		case "echo", "careful":
			step["with"] = object{"x": value}
		case "keep":
			step["with"] = object{"key": "k1", "value": value}
		case "look", "asks", "wary":
			step["with"] = object{"method": "GET", "url": "https://api.example.com/" + name, "headers": headers}
		default:
			step["with"] = object{"method": "POST", "url": "https://api.example.com/" + name, "headers": headers}
		}
		tainted := reached || gated || foreign
		l.high[name] = kind.high || kind.mid && kind.sink && tainted
		out, gate = append(out, tainted || kind.reads), append(gate, gated || foreign && step["when"] != nil)
		steps = append(steps, step)
	}
	raw, err := json.Marshal(object{"apiVersion": "writ/v1", "kind": "Plan", "steps": steps})
	if err != nil {
		panic(err) // strings
	}
	l.draft = string(raw)
	return l
}

func (l *lot) anyHigh() bool {
	for _, high := range l.high {
		if high {
			return true
		}
	}
	return false
}

// lottery runs random plans and counts what its own table forbids.
type lottery struct {
	*rig
	mu         sync.Mutex
	performed  map[writ.StepID]map[writ.ExecutionID]int // calls that took place
	plans      int
	highPlans  int
	highSteps  int
	ran        int // high-risk steps that ran, with two people's word
	waiting    int // executions left where people are asked
	violations []string
}

func newLottery(t *testing.T, judge writ.Judge) *lottery {
	l := &lottery{rig: newRigWith(t, &rig{judges: judges{judge}}), performed: map[writ.StepID]map[writ.ExecutionID]int{}}
	l.everybody()
	web := reads
	web.Methods = []string{"GET", "POST"}
	risk := func(tier writ.Risk) func(*abi.Action) { return func(a *abi.Action) { a.Risk = tier } }
	sink := func(a *abi.Action) { a.Sinks = []string{"headers.to"} }
	call := wasmtest.ToolCaller(abi.ToolHTTPRequest)
	l.put("wipe", call, abi.EffectIrreversible, []writ.Capability{web}, nil)
	l.put("rule", call, abi.EffectAdmin, []writ.Capability{web}, nil)
	l.put("careful", wasmtest.Echo(), abi.EffectNone, nil, risk(writ.RiskHigh))
	l.put("asks", call, abi.EffectRead, []writ.Capability{reads}, sink)
	l.put("tells", call, abi.EffectWriteExternal, []writ.Capability{web}, sink)
	l.put("wary", call, abi.EffectRead, []writ.Capability{reads}, func(a *abi.Action) { risk(writ.RiskMedium)(a); sink(a) })
	l.tools.fail = func(_ int, call *writ.ToolCall) *writ.ToolResult {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.performed[call.Step] == nil {
			l.performed[call.Step] = map[writ.ExecutionID]int{}
		}
		l.performed[call.Step][call.Execution]++
		return nil
	}
	return l
}

// one runs the plan of a seed: to its end or to the people, then with one
// person's word, then with the other's where the seed says so.
func (l *lottery) one(seed int64) error {
	plan := drawLot(seed)
	out, err := l.engine.IntentSubmit(as(plan.who), &contract.IntentSubmitInput{Text: "do it", Draft: plan.draft, DraftFormat: "json", Run: true, Wait: true})
	if err != nil {
		return fmt.Errorf("seed %d: %w\n%s", seed, err, plan.draft)
	}
	id := out.ExecutionID
	if err := l.check(seed, id, plan); err != nil {
		return err
	}
	words := map[int64]int{0: 2, 1: 1}[seed%8] // of people for each request; most are left waiting
	for round := 0; words > 0 && round < 8; round++ {
		list, err := l.engine.ApprovalList(as(approver), &contract.ApprovalListInput{ExecutionID: id})
		if err != nil || len(list.Items) == 0 {
			break
		}
		for _, item := range list.Items {
			for i, p := range []*writ.Principal{approver, second}[:words] {
				if i < item.Required-item.Granted {
					_ = l.word(p, id, item) // who has spoken already is refused
				}
			}
		}
		if _, err := l.engine.ExecutionStart(as(plan.who), &contract.ExecutionStartInput{ExecutionID: id, Wait: true}); err != nil {
			return err
		}
		if err := l.check(seed, id, plan); err != nil {
			return err
		}
	}
	return l.count(id, plan)
}

// check holds every step that did something against the people who let it.
func (l *lottery) check(seed int64, id writ.ExecutionID, plan *lot) error {
	state, err := l.journal.Execution(context.Background(), writ.DefaultTenant, id)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range state.Steps {
		s := &state.Steps[i]
		name, _, _ := strings.Cut(s.Name, "/")
		if !plan.high[name] || !acted(state, s) && l.performed[s.ID][id] == 0 {
			continue
		}
		people := map[writ.PrincipalID]bool{}
		if s.Approval != nil && s.Approval.Status == writ.ApprovalApproved {
			for _, d := range s.Approval.Decisions {
				if d.Approved && d.By != plan.who.ID {
					people[d.By] = true
				}
			}
		}
		if len(people) < 2 {
			l.violations = append(l.violations, fmt.Sprintf("seed %d: %s ran with %d approvals", seed, s.Name, len(people)))
		}
	}
	return nil
}

// acted reports whether a guest of the step has come to its end. A step with
// forEach has none: its iterations act.
func acted(state *writ.Execution, s *writ.StepState) bool {
	return s.Status == writ.StepCompleted && !slices.ContainsFunc(state.Steps, func(part writ.StepState) bool {
		return part.Parent == s.ID && part.Kind == writ.KindIteration
	})
}

func (l *lottery) count(id writ.ExecutionID, plan *lot) error {
	state, err := l.journal.Execution(context.Background(), writ.DefaultTenant, id)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.plans++
	if plan.anyHigh() {
		l.highPlans++
	}
	for _, high := range plan.high {
		if high {
			l.highSteps++
		}
	}
	if state.Status == writ.ExecAwaitingApproval {
		l.waiting++
	}
	for i := range state.Steps {
		if name, _, _ := strings.Cut(state.Steps[i].Name, "/"); plan.high[name] && acted(state, &state.Steps[i]) {
			l.ran++
		}
	}
	return nil
}

// draw runs plans on as many goroutines as there are processors to be used.
func (l *lottery) draw(plans int) {
	l.t.Helper()
	seeds := make(chan int64)
	failed := make(chan error, 1)
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			for seed := range seeds {
				if err := l.one(seed); err != nil {
					select {
					case failed <- err:
					default:
					}
				}
			}
		})
	}
	for seed := range int64(plans) {
		seeds <- seed
	}
	close(seeds)
	workers.Wait()
	select {
	case err := <-failed:
		l.t.Fatal(err)
	default:
	}
}

const randomPlans = 10_000

// TestNoHighRiskStepRunsWithoutTwoPeople compiles, judges and runs random plans
// under a bundle that allows everything by itself at the least risk.
func TestNoHighRiskStepRunsWithoutTwoPeople(t *testing.T) {
	began := time.Now()
	l := newLottery(t, alwaysJudge(t))
	l.draw(randomPlans)
	for _, v := range l.violations {
		t.Error(v)
	}
	if l.plans != randomPlans || l.highPlans < 3000 || l.ran < 300 {
		t.Errorf("%d plans, %d of high risk, %d high-risk steps ran: too few to say anything", l.plans, l.highPlans, l.ran)
	}
	t.Logf("%d random plans in %s, %d with high risk (%d steps of it): %d such steps ran, each with two people's word; %d ran without; %d executions still wait",
		l.plans, time.Since(began).Round(time.Second), l.highPlans, l.highSteps, l.ran, len(l.violations), l.waiting)
}

// unclamped is what the same bundle says without the law above it.
type unclamped struct{ of writ.Judge }

func (u unclamped) Judge(context.Context, *writ.Question) (*writ.Verdict, error) {
	return &writ.Verdict{
		Mode: writ.Autonomous, Risk: writ.RiskLow, Reasons: []writ.Reason{{Rule: "yes", Message: "always"}},
		PolicyDigest: u.Policy().Digest, PolicyVersion: u.Policy().Version,
	}, nil
}

func (u unclamped) Policy() writ.PolicyRef { return u.of.Policy() }

// TestWithoutTheClampHighRiskRuns proves that the assertion above catches it.
func TestWithoutTheClampHighRiskRuns(t *testing.T) {
	l := newLottery(t, unclamped{alwaysJudge(t)})
	l.draw(300)
	if len(l.violations) < l.highSteps/3 {
		t.Errorf("%d violations among %d steps of high risk: the harness does not see them", len(l.violations), l.highSteps)
	}
	t.Logf("without the clamp %d of %d plans' high-risk steps were caught running alone (%d such steps)", len(l.violations), l.plans, l.highSteps)
}
