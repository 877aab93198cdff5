package engine_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/contract"
)

// facts are the members that nothing else in an execution determines: they are
// what happened, and a journal sealed again with others tells another story that
// is just as consistent. What guards them is the chain, the anchor and the
// approver's signature, not replay. 0 stands for any index, and a name for all
// that is under it.
var facts = map[string]string{
	"intent.interpreted actor.actorId":                       "who drafted, compiled and started may be another than who asked",
	"plan.compiled actor.actorId":                            "as above",
	"run.started actor.actorId":                              "as above",
	"intent.interpreted body.intent.name":                    "the draft's file name, for messages alone",
	"step.started body.started.clock":                        "what the guest's clock said",
	"step.started body.started.engine":                       "the sandbox that ran it",
	"step.started payload seed":                              "drawn at random; it shows in a guest that asks for randomness",
	"approval.decided actor.capabilitySource":                "which credential the approver used",
	"approval.decided body.approval.decision.signature":      "verified against the approver's key, not derived",
	"verdict.decided payload question grants":                "what was granted then: judged again, so that it shows where it decides",
	"verdict.decided payload question host.version":          "which host judged",
	"verdict.decided payload question time":                  "when it judged",
	"verdict.decided payload question history.stepsLastHour": "what else the principal did then: judged again, so that it shows where it decides",
}

// stageRanks order the stages as an execution passes through them.
var stageRanks = map[string]int{
	"intent": 1, "plan": 2, "run": 3, "verdict": 4, "approval": 5, "step": 6, "call": 7, "outcome": 8, "execution": 9,
}

func rankOf(record *writ.Record) int {
	switch record.Type {
	case writ.RecIntentReceived, writ.RecInterpreted:
		return stageRanks["intent"]
	case writ.RecPlanCompiled:
		return stageRanks["plan"]
	case writ.RecRunStarted, writ.RecRunEdited:
		return stageRanks["run"]
	case writ.RecVerdict:
		if record.Body.Decided.Stage == writ.StageCall {
			return stageRanks["call"]
		}
		return stageRanks["verdict"]
	case writ.RecApprovalOpened, writ.RecApprovalDecided, writ.RecApprovalEscalated:
		return stageRanks["approval"]
	case writ.RecStepExpanded, writ.RecStepStarted, writ.RecRetryScheduled:
		return stageRanks["step"]
	case writ.RecCallProposed, writ.RecToolCalled, writ.RecToolReturned, writ.RecToolDenied:
		return stageRanks["call"]
	case writ.RecExecutionEnded, writ.RecSealed:
		return stageRanks["execution"]
	}
	return stageRanks["outcome"]
}

// forgery reads a journal of which something was changed and sealed again.
type forgery struct {
	writ.Traces
	records  []writ.Stored
	payloads map[writ.Digest][]byte
}

func (f *forgery) Records(context.Context, writ.RecordQuery) ([]writ.Stored, error) {
	return slices.Clone(f.records), nil
}

func (f *forgery) Payloads(context.Context, writ.TenantID, writ.StreamID) (writ.PayloadReader, error) {
	return func(ref writ.PayloadRef) ([]byte, error) {
		if data, ok := f.payloads[ref.Digest]; ok {
			return data, nil
		}
		return nil, writ.Errorf(writ.CodeUnreplayable, "payload "+ref.Name, "is gone")
	}, nil
}

// leaf is one scalar of a JSON document.
type leaf struct {
	path  []string
	value any
	set   func(any)
}

func (l *leaf) name() string {
	parts := slices.Clone(l.path)
	for i, part := range parts {
		if _, err := strconv.Atoi(part); err == nil {
			parts[i] = "0"
		}
	}
	return strings.Join(parts, ".")
}

func leaves(path []string, v any, set func(any)) []leaf {
	var out []leaf
	switch node := v.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(node)) {
			out = append(out, leaves(append(slices.Clone(path), key), node[key], func(n any) { node[key] = n })...)
		}
	case []any:
		for i := range node {
			out = append(out, leaves(append(slices.Clone(path), strconv.Itoa(i)), node[i], func(n any) { node[i] = n })...)
		}
	case nil:
	default:
		out = append(out, leaf{path, v, set})
	}
	return out
}

// others are values that might stand in a leaf's place, the plainest first.
func others(v any) []any {
	switch value := v.(type) {
	case bool:
		return []any{!value}
	case json.Number:
		n, _ := value.Int64()
		return []any{json.Number(strconv.FormatInt(n+1, 10))}
	case string:
		if at, err := time.Parse(time.RFC3339Nano, value); err == nil {
			return []any{at.Add(time.Second).UTC().Format("2006-01-02T15:04:05.000000000Z")}
		}
		if span, err := time.ParseDuration(value); err == nil {
			return []any{(span + time.Second).String()}
		}
		return []any{value + "x", "QUJD" + value}
	}
	return nil
}

func decoded(t *testing.T, raw []byte) any {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var v any
	if err := decoder.Decode(&v); err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	return v
}

const rich = head + `
  - name: keep
    uses: test/keep#run
    with: {key: "k1", value: "v"}
    compensate: {uses: test/keep#run, with: {key: "k2", value: "w"}}
  - name: look
    uses: test/look#run
    needs: [keep]
    retry: {attempts: 2, backoff: 1ms}
    with: {method: GET, url: "https://api.example.com/x"}
  - name: try
    uses: test/try#run
    needs: [look]
    with: {method: GET, url: "https://elsewhere.example.com/x"}
  - name: never
    uses: test/echo#run
    needs: [look]
    when: intent.metadata.n > 5
  - name: send
    uses: test/web#run
    needs: [try]
    with: {method: POST, url: "https://api.example.com/a", body: "${{ string(steps.look.output.status) }}"}
  - name: also
    uses: test/web#run
    needs: [send]
    with: {method: PUT, url: "https://api.example.com/b", body: "two"}
  - name: each
    uses: test/echo#run
    needs: [keep]
    forEach: '["x", steps.keep.output]'
    when: index < 1
    with: {name: "${{ item }}"}
`

// richRun is an execution in which nearly everything happens.
func richRun(t *testing.T, r *rig) writ.ExecutionID {
	t.Helper()
	r.tools.fail = func(n int, call *writ.ToolCall) *writ.ToolResult {
		if n == 2 {
			return &writ.ToolResult{Outcome: writ.OutcomeNotDone, Failure: &abi.Failure{Code: abi.FailUnavailable, Message: "try again"}}
		}
		return nil
	}
	id := r.begin(agent, rich)
	for r.state(id).Status == writ.ExecRunning { // the backoff
		r.start(agent, id)
	}
	r.expect(id, writ.ExecAwaitingApproval)
	r.approve(approver, id)
	r.approve(second, id)
	r.expect(id, writ.ExecCompleted)
	for kind, want := range map[writ.RecordType]int{
		writ.RecToolDenied: 1, writ.RecCallProposed: 2, writ.RecRetryScheduled: 1, writ.RecStepSkipped: 2, writ.RecToolReturned: 5, writ.RecStepExpanded: 1,
	} {
		if got := r.countRecords(id, kind); got != want {
			t.Fatalf("%d records of %s, want %d", got, kind, want)
		}
	}
	return id
}

// TestAlteringOneStageIsNamed changes each scalar of each record and payload of
// an execution, one at a time, as somebody could who holds the host's key: replay
// names the stage and the field.
func TestAlteringOneStageIsNamed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := alterAll(t, r, richRun(t, r), 1000)
	for _, name := range slices.Sorted(maps.Keys(facts)) {
		if !a.free[name] {
			t.Errorf("%s is listed as a fact and replay derives it", name)
		}
	}
}

// TestAlteringCallsIsNamed does the same for steps that call others.
func TestAlteringCallsIsNamed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.begin(agent, outwardCall)
	r.approve(approver, id)
	r.expect(id, writ.ExecCompleted)
	alterAll(t, r, id, 300)
}

// TestAlteringWhatARunAddsIsNamed does the same for iterations and compensations.
func TestAlteringWhatARunAddsIsNamed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.begin(agent, strings.Replace(eachSaga, `'["one", "two"]'`, `'["one"]'`, 1))
	r.expect(id, writ.ExecFailed)
	alterAll(t, r, id, 300)
}

// TestAlteringEditsIsNamed does the same for an execution that was edited, and for the
// one that goes on in its place.
func TestAlteringEditsIsNamed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.begin(agent, post)
	out, err := r.edit(approver, id, "k", input("send", edited))
	r.do(err)
	r.approve(second, out.ExecutionID)
	old := alterThese(t, r, alteration{id: id, least: 300, facts: ofEdits})
	made := alterThese(t, r, alteration{id: out.ExecutionID, least: 500, facts: ofEdits})
	for _, name := range slices.Sorted(maps.Keys(ofEdits)) {
		if !old.free[name] && !made.free[name] {
			t.Errorf("%s is listed as a fact and replay derives it", name)
		}
	}
}

// ofEdits are facts beside those of every execution: the other execution is not
// looked at, so that each replays where the other is not.
var ofEdits = map[string]string{
	"run.edited body.edit.planHash":        "of the other one's plan",
	"run.edited body.edit.reason":          "what the editor said",
	"run.edited actor.capabilitySource":    "which credential the editor used",
	"intent.received body.edit.planHash":   "of the other one's plan",
	"intent.received body.edit.reason":     "what the editor said",
	"plan.compiled actor.capabilitySource": "who compiled and started may be another than who asked",
	"plan.compiled actor.actorType":        "as above",
	"run.started actor.capabilitySource":   "as above",
	"run.started actor.actorType":          "as above",
}

// ofBudgets are facts beside those of every execution: what others took is not looked
// at.
var ofBudgets = map[string]string{
	"step.started body.started.budgets.0.limit": "what the tenant's budget was",
	"step.started body.started.budgets.0.taken": "how much of it others had taken",
	"step.started body.started.budgets.0.since": "when it was set",
	"tool.called body.call.budgets.0.since":     "as above",
	"verdict.decided body.decided.over.since":   "as above",
	"tool.called body.call.budgets.0.limit":     "as above",
	"tool.called body.call.budgets.0.taken":     "as above",
	"tool.called body.call.budgets.0.each":      "whether others had one of their own",
	"verdict.decided body.decided.over.first":   "whether others had been refused before",
}

func alterAll(t *testing.T, r *rig, id writ.ExecutionID, least int) *alterations {
	t.Helper()
	return alterThese(t, r, alteration{id: id, least: least})
}

// alteration is what is altered, and how often at least.
type alteration struct {
	id    writ.ExecutionID
	least int
	facts map[string]string // beside those of every execution
}

func alterThese(t *testing.T, r *rig, what alteration) *alterations {
	t.Helper()
	id, least := what.id, what.least
	f := &forgery{Traces: r.journal, records: r.records(id), payloads: map[writ.Digest][]byte{}}
	read := r.payloads(id)
	for i := range f.records {
		for _, ref := range f.records[i].Payloads {
			data, err := read(ref)
			if err != nil {
				t.Fatal(err)
			}
			f.payloads[ref.Digest] = data
		}
	}
	r.traces = f
	r.reboot()
	r.identical(id)
	a := &alterations{t: t, r: r, f: f, id: id, free: map[string]bool{}, facts: maps.Clone(facts)}
	maps.Copy(a.facts, what.facts)
	for i := range f.records {
		a.record(i)
		for k := range f.records[i].Payloads {
			a.payload(i, k)
		}
	}
	t.Logf("%d alterations in %d records", a.count, len(f.records))
	if a.count < least {
		t.Errorf("only %d alterations", a.count)
	}
	return a
}

type alterations struct {
	t     *testing.T
	r     *rig
	f     *forgery
	id    writ.ExecutionID
	count int
	free  map[string]bool
	facts map[string]string
}

// record changes each member of a record's body, its actor, step and attempt.
func (a *alterations) record(i int) {
	original := a.f.records[i]
	defer func() { a.f.records[i] = original }()
	raw, err := json.Marshal(original.Record)
	if err != nil {
		a.t.Fatal(err)
	}
	document, _ := decoded(a.t, raw).(map[string]any)
	for _, member := range []string{"body", "actor", "step", "attempt"} {
		value, ok := document[member]
		if !ok {
			continue
		}
		for _, l := range leaves([]string{member}, value, func(n any) { document[member] = n }) {
			changed := false
			for _, other := range others(l.value) {
				l.set(other)
				if record, ok := recordOf(document, raw); ok {
					changed = true
					a.f.records[i].Record = record
					a.replay(&original.Record, string(original.Type)+" "+l.name(), fmt.Sprintf("%d: %v, now %v", original.Seq, l.value, other))
					break
				}
			}
			if !changed {
				a.t.Errorf("%s %s: no other value than %v found", original.Type, l.name(), l.value)
			}
			l.set(l.value)
		}
	}
}

// recordOf is the changed document as a record, where it is one and differs.
func recordOf(document map[string]any, before []byte) (writ.Record, bool) {
	var record writ.Record
	raw, err := json.Marshal(document)
	if err != nil || json.Unmarshal(raw, &record) != nil {
		return record, false
	}
	again, err := json.Marshal(record)
	return record, err == nil && !bytes.Equal(again, before)
}

// payload changes each scalar of a payload that is JSON, or a byte of another.
func (a *alterations) payload(i, k int) {
	original := a.f.records[i]
	ref := original.Payloads[k]
	data := a.f.payloads[ref.Digest]
	where := string(original.Type) + " payload " + ref.Name
	put := func(name, note string, changed []byte) {
		record := original
		record.Payloads = slices.Clone(original.Payloads)
		record.Payloads[k].Digest = "sha256:" + writ.Digest(strings.Repeat("ab", 32))
		record.Payloads[k].Size = int64(len(changed))
		a.f.payloads[record.Payloads[k].Digest] = changed
		a.f.records[i] = record
		a.replay(&original.Record, name, note)
		a.f.records[i] = original
	}
	if !json.Valid(data) || ref.Name == writ.PayloadSeed {
		changed := append(slices.Clone(data), ' ')
		changed[len(data)/2] ^= 1
		put(where, strconv.FormatUint(original.Seq, 10), changed)
		return
	}
	document := decoded(a.t, data)
	for _, l := range leaves(nil, document, func(n any) { document = n }) {
		other := others(l.value)[0]
		l.set(other)
		changed, err := json.Marshal(document)
		if err != nil {
			a.t.Fatal(err)
		}
		put(where+" "+l.name(), fmt.Sprintf("%d: %v, now %v", original.Seq, l.value, other), changed)
		l.set(l.value)
	}
}

// replay wants the alteration to be named, unless it is of a fact.
func (a *alterations) replay(before *writ.Record, name, note string) {
	a.t.Helper()
	a.count++
	out, err := a.r.engine.ReplayRun(as(approver), &contract.ReplayRunInput{ExecutionID: a.id})
	if err != nil {
		a.t.Errorf("%s (%s): replay fails: %v", name, note, err)
		return
	}
	for fact := range a.facts {
		if name == fact || strings.HasPrefix(name, fact+".") {
			a.free[fact] = a.free[fact] || out.Identical
			return
		}
	}
	if out.Identical {
		a.t.Errorf("%s (%s): replay is identical", name, note)
		return
	}
	for _, s := range out.Report {
		if !s.Identical && s.FirstDifference != nil && s.FirstDifference.Field != "" && stageRanks[s.Stage] <= rankOf(before) {
			return
		}
	}
	a.t.Errorf("%s (%s): replay names\n%s", name, note, differences(out))
}
