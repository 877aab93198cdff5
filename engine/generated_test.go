package engine_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/contract"
	"github.com/writ-run/writ/trace"
)

// fate is what befalls a generated execution besides what its steps do.
type fate string

const (
	fateNone     fate = "none"
	fateReject   fate = "reject"  // somebody says no to an outward call
	fateExpire   fate = "expire"  // nobody says anything
	fateCancel   fate = "cancel"  // at an approval, or before the run
	fateUnknown  fate = "unknown" // a call that is not idempotent has no known outcome
	fateBlocked  fate = "blocked" // no grant covers a step
	fateFail     fate = "fail"    // a step that cannot succeed
	fateRefusal  fate = "refusal" // the draft does not compile
	fateAssist   fate = "assist"  // the run is tightened to assist
	generatedAll      = 1000
)

var fates = []fate{
	fateNone, fateNone, fateNone, fateReject, fateExpire, fateCancel, fateUnknown, fateBlocked, fateFail, fateAssist,
}

// tale is one generated execution: a draft, and what happens to its calls.
type tale struct {
	draft   string
	last    string // the name of its last step
	who     *writ.Principal
	fate    fate
	random  *rand.Rand
	again   bool // an operator has it tried again once it has ended
	mu      sync.Mutex
	scripts map[string][]writ.ToolResult // by a marker in the arguments
}

var (
	carol   = &writ.Principal{ID: "human:carol", Kind: writ.Human, Tenant: writ.DefaultTenant, Workspace: writ.DefaultWorkspace, Strength: writ.StrengthToken, OnBehalfOf: []writ.PrincipalID{"human:dave"}}
	pauper  = &writ.Principal{ID: "agent:pauper", Kind: writ.Agent, Tenant: writ.DefaultTenant, Workspace: writ.DefaultWorkspace, Session: "ses_1", Strength: writ.StrengthToken}
	notYet  = writ.ToolResult{Outcome: writ.OutcomeNotDone, Failure: &abi.Failure{Code: abi.FailUnavailable, Message: "try again"}}
	unknown = writ.ToolResult{Outcome: writ.OutcomeUnknown}
)

func newTale(seed int64) *tale {
	g := &tale{random: rand.New(rand.NewSource(seed)), scripts: map[string][]writ.ToolResult{}}
	g.fate, g.who = fates[seed%int64(len(fates))], agent
	switch {
	case g.fate == fateBlocked:
		g.who = pauper
	case g.random.Intn(4) == 0:
		g.who = carol
	}
	g.again = g.random.Intn(3) == 0
	if g.fate == fateReject && g.random.Intn(4) == 0 {
		g.fate = fateRefusal
	}
	var b strings.Builder
	b.WriteString(head)
	n := 1 + g.random.Intn(6)
	for i := range n {
		g.step(&b, i, i == n-1)
	}
	g.draft, g.last = b.String(), fmt.Sprintf("s%d", n-1)
	return g
}

// step writes one step. The last one is such that the fate can come true.
func (g *tale) step(b *strings.Builder, i int, last bool) {
	kind := []string{"echo", "echo", "echo", "keep", "keep", "look", "look", "try", "web", "web", "put", "moody", "pay", "fail", "call", "call", "send"}[g.random.Intn(17)]
	needs := []int{}
	for j := range i {
		if g.random.Intn(3) == 0 {
			needs = append(needs, j)
		}
	}
	conditional := g.random.Intn(5) == 0
	if last {
		switch g.fate {
		case fateReject, fateExpire, fateCancel, fateUnknown, fateBlocked:
			kind = "web"
		case fateFail:
			kind = "fail"
		case fateRefusal:
			kind = "missing"
		}
		conditional = conditional && g.fate == fateNone
	}
	if !last && kind == "fail" && g.random.Intn(2) == 0 {
		kind = "echo"
	}
	skill := kind
	if kind == "put" {
		skill = "web"
	}
	fmt.Fprintf(b, "  - name: s%d\n    uses: test/%s#run\n", i, skill)
	if len(needs) > 0 {
		names := make([]string, len(needs))
		for k, j := range needs {
			names[k] = fmt.Sprintf("s%d", j)
		}
		fmt.Fprintf(b, "    needs: [%s]\n", strings.Join(names, ", "))
	}
	if conditional {
		fmt.Fprintf(b, "    when: intent.metadata.n > %d\n", []int{1, 1, 5}[g.random.Intn(3)])
	}
	if !conditional && g.random.Intn(5) == 0 && kind != "fail" && kind != "missing" {
		g.iterate(b, needs)
	}
	if g.random.Intn(2) == 0 {
		fmt.Fprintf(b, "    retry: {attempts: %d}\n", 2+g.random.Intn(2))
	}
	b.WriteString("    with: " + g.input(kind, i, last, needs) + "\n")
	if g.random.Intn(3) == 0 && kind != "missing" {
		g.undo(b, i)
	}
}

// undo says how the step is undone: inside, outside, or not at all.
func (g *tale) undo(b *strings.Builder, i int) {
	marker := fmt.Sprintf("u%d-%d", i, g.random.Intn(1000))
	switch g.random.Intn(4) {
	case 0:
		fmt.Fprintf(b, "    compensate: {uses: test/web#run, with: {method: PUT, url: \"https://api.example.com/%s\", body: hi}}\n", marker)
	case 1:
		fmt.Fprintf(b, "    compensate: {uses: test/fail#run, with: {marker: %s}}\n", marker)
	default:
		fmt.Fprintf(b, "    compensate: {uses: test/keep#run, retry: {attempts: 2}, with: {key: \"k/%s\", value: \"${{ string(has(input.marker)) }}\"}}\n", marker)
	}
}

// iterate makes the step one of several. Its input does not depend on the
// element, so that scripts and fates go on meaning what they mean.
func (g *tale) iterate(b *strings.Builder, needs []int) {
	lists := []string{`'["a", "b"]'`, `'[1, 2, 3]'`, `'[]'`, `'intent.metadata.n > 5 ? [1] : [2, 3]'`}
	if len(needs) > 0 && g.random.Intn(2) == 0 {
		fmt.Fprintf(b, "    forEach: '[steps.s%d.output, steps.s%d.output]'\n", needs[0], needs[0])
	} else {
		fmt.Fprintf(b, "    forEach: %s\n", lists[g.random.Intn(len(lists))])
	}
	if g.random.Intn(3) == 0 {
		b.WriteString("    when: index < 1\n")
	}
}

func (g *tale) input(kind string, i int, last bool, needs []int) string {
	marker := fmt.Sprintf("m%d-%d", i, g.random.Intn(1000))
	switch {
	case kind == "call" && g.random.Intn(4) > 0:
		g.script(marker, false)
		keep := fmt.Sprintf(`{skill: test/keep, action: run, input: {key: "k/%s", value: v}}`, marker)
		if g.random.Intn(2) == 0 {
			keep = `{skill: test/pass, action: run, input: ` + keep + `}`
		}
		return keep
	case kind == "call":
		return fmt.Sprintf(`{skill: test/%s, action: run, input: {marker: %s}}`, []string{"fail", "look", "echo"}[g.random.Intn(3)], marker)
	case kind == "send":
		g.script(marker, false)
		return fmt.Sprintf(`{skill: test/web, action: run, input: {method: %s, url: "https://api.example.com/%s", body: hi}}`, []string{"PUT", "POST"}[g.random.Intn(2)], marker)
	case kind == "keep":
		g.script(marker, false)
		return fmt.Sprintf(`{key: "k/%s", value: "v%d"}`, marker, g.random.Intn(9))
	case kind == "look":
		g.script(marker, false)
		return fmt.Sprintf(`{method: GET, url: "https://api.example.com/%s"}`, marker)
	case kind == "try":
		return fmt.Sprintf(`{method: %s, url: "https://elsewhere.example.com/%s"}`, []string{"GET", "POST"}[g.random.Intn(2)], marker)
	case kind == "web", kind == "pay":
		g.script(marker, g.fate == fateUnknown && last)
		return fmt.Sprintf(`{method: POST, url: "https://api.example.com/%s", body: "hi"}`, marker)
	case kind == "put":
		g.script(marker, false)
		return fmt.Sprintf(`{method: PUT, url: "https://api.example.com/%s", body: "hi"}`, marker)
	case kind == "echo" && len(needs) > 0:
		return fmt.Sprintf(`{marker: %s, seen: "${{ steps.s%d.output }}"}`, marker, needs[g.random.Intn(len(needs))])
	case kind == "echo":
		return fmt.Sprintf(`{marker: %s, name: "${{ intent.metadata.name }}", n: %d}`, marker, g.random.Intn(100))
	}
	return fmt.Sprintf(`{marker: %s}`, marker)
}

// script decides what the first calls of a step come to.
func (g *tale) script(marker string, lost bool) {
	switch {
	case lost:
		g.scripts[marker] = []writ.ToolResult{unknown}
	case g.random.Intn(4) == 0:
		g.scripts[marker] = slices.Repeat([]writ.ToolResult{notYet}, 1+g.random.Intn(2))
	}
}

// answer plays the scripts.
func (g *tale) answer(_ int, call *writ.ToolCall) *writ.ToolResult {
	g.mu.Lock()
	defer g.mu.Unlock()
	for marker, results := range g.scripts {
		if len(results) > 0 && bytes.Contains(call.Arguments, []byte(marker+`"`)) {
			g.scripts[marker] = results[1:]
			return &results[0]
		}
	}
	return nil
}

// workshop runs tales on one journal.
type workshop struct {
	*rig
	offset  atomic.Int64 // of the clock
	reboots int
	froze   bool // the tenant, while it was last moved
}

// tell takes an execution to its end.
func (w *workshop) tell(g *tale) writ.ExecutionID {
	w.t.Helper()
	w.tools.mu.Lock()
	w.tools.fail = g.answer
	w.tools.mu.Unlock()
	id := w.submit(g.who, g.draft)
	_, err := w.engine.PlanCompile(as(g.who), &contract.PlanCompileInput{ExecutionID: id})
	if g.fate == fateRefusal {
		if !writ.IsCode(err, writ.CodePlanRejected) {
			w.t.Fatalf("compile: %v", err)
		}
		return id
	}
	if err != nil {
		w.t.Fatalf("compile: %v\n%s", err, g.draft)
	}
	if g.fate == fateCancel && g.random.Intn(4) == 0 {
		w.cancel(g, id)
		return id
	}
	w.move(g, id)
	for range 60 {
		if w.froze {
			w.froze = false
			w.unfreeze(theTenant)
		}
		switch state := w.state(id); {
		case state.Status == writ.ExecIndeterminate:
			ruling := []writ.Ruling{writ.RulingRetry, writ.RulingDone, writ.RulingFail}[g.random.Intn(3)]
			w.do(w.rule(id, ruling))
		case state.Status == writ.ExecPaused:
			w.do(w.resume(id))
		case !state.Status.Final():
			w.word(g, id)
			continue
		case !g.again || state.RunID == "" || state.Status == writ.ExecCompleted:
			return id
		default:
			g.again = false
			if err := w.retry(id); writ.IsCode(err, writ.CodeConflict) {
				return id // an outcome is not known and never will be
			} else if err != nil {
				w.t.Fatal(err)
			}
		}
		w.move(g, id)
	}
	w.t.Fatalf("the execution does not end: %+v", w.state(id))
	return id
}

// move lets the engine go on until nothing moves, with a restart at a random
// boundary between two steps in some of the tales.
func (w *workshop) move(g *tale, id writ.ExecutionID) {
	w.t.Helper()
	boundary := make(chan struct{})
	if g.random.Intn(3) == 0 {
		left := 1 + g.random.Intn(3)
		w.line.mu.Lock()
		w.line.before = func(b *writ.Batch) bool {
			for i := range b.Records {
				if strings.HasPrefix(string(b.Records[i].Type), "step.") {
					if left--; left == 0 {
						close(boundary)
					}
				}
			}
			return true
		}
		w.line.mu.Unlock()
	}
	mode := contract.RunAutonomous
	if g.fate == fateAssist {
		mode = contract.RunAssist
	}
	_, err := w.engine.ExecutionStart(as(g.who), &contract.ExecutionStartInput{ExecutionID: id, Mode: mode})
	if err != nil && !writ.IsCode(err, writ.CodeBlocked) {
		w.t.Fatal(err)
	}
	if g.random.Intn(5) == 0 {
		if err := w.pause(id); err != nil && !writ.IsCode(err, writ.CodeConflict) {
			w.t.Fatal(err)
		}
	}
	if g.random.Intn(5) == 0 {
		w.freeze(theTenant, []writ.FreezeMode{writ.FreezeWait, writ.FreezeWait, writ.FreezeFail}[g.random.Intn(3)])
		w.froze = true
	}
	rested := make(chan struct{})
	go func(e interface{ Rest(context.Context) error }) {
		_ = e.Rest(context.Background())
		close(rested)
	}(w.engine)
	select {
	case <-boundary:
		w.reboots++
		w.reboot()
	case <-rested:
		w.line.mu.Lock()
		w.line.before = nil
		w.line.mu.Unlock()
	}
	<-rested
	w.start(g.who, id)
}

// word is what a person does at a pending approval.
func (w *workshop) word(g *tale, id writ.ExecutionID) {
	w.t.Helper()
	out, err := w.engine.ApprovalList(as(approver), &contract.ApprovalListInput{ExecutionID: id})
	if err != nil {
		w.t.Fatal(err)
	}
	if len(out.Items) == 0 {
		w.t.Fatalf("nothing moves and nothing is pending: %+v\n%s", w.state(id), g.draft)
	}
	if g.random.Intn(6) == 0 {
		w.reboots++
		w.reboot()
	}
	item := out.Items[g.random.Intn(len(out.Items))]
	last := strings.HasPrefix(w.state(id).Step(string(item.StepID)).Name, g.last)
	switch {
	case g.fate == fateReject && (last || g.random.Intn(2) == 0):
		_, err = w.engine.ExecutionReject(as(approver), &contract.ExecutionRejectInput{ExecutionID: id, StepID: item.StepID, Reason: "no"})
	case g.fate == fateExpire && (last || g.random.Intn(2) == 0):
		w.offset.Add(int64(25 * time.Hour))
		_, err = w.engine.ExecutionExpire(as(approver), &contract.ExecutionExpireInput{ExecutionID: id})
	case g.fate == fateCancel:
		w.cancel(g, id)
	default:
		err = w.consent(id, &item)
	}
	if err != nil {
		w.t.Fatalf("%s: %v\n%s\n%+v", item.StepID, err, g.draft, w.state(id).Steps)
	}
	w.move(g, id)
}

func (w *workshop) consent(id writ.ExecutionID, item *contract.Approval) error {
	people := []*writ.Principal{approver, second}
	for _, p := range people[:max(1, w.state(id).Step(string(item.StepID)).Approval.Request.Requirement.Count)] {
		if _, err := w.engine.ExecutionApprove(as(p), &contract.ExecutionApproveInput{
			ExecutionID: id, StepID: item.StepID, ApprovalDigest: item.Digest, Signature: []byte("signed"), Note: "fine",
		}); err != nil {
			return err
		}
	}
	return nil
}

func (w *workshop) cancel(g *tale, id writ.ExecutionID) {
	w.t.Helper()
	if _, err := w.engine.ExecutionCancel(as(g.who), &contract.ExecutionCancelInput{ExecutionID: id, Reason: "enough"}); err != nil {
		w.t.Fatal(err)
	}
}

// TestGeneratedExecutionsReplayElsewhere: whatever happened to an execution, a
// host that has nothing but its evidence derives it again, byte for byte.
func TestGeneratedExecutionsReplayElsewhere(t *testing.T) {
	t.Parallel()
	seed := bytes.Repeat([]byte{7}, ed25519.SeedSize)
	key := ed25519.NewKeyFromSeed(seed)
	public, _ := key.Public().(ed25519.PublicKey)
	w := &workshop{rig: &rig{}}
	w.now = func() time.Time { return time.Now().Add(time.Duration(w.offset.Load())) }
	w.journal = openJournal(t, trace.Options{InMemory: true, Clock: w.now, Signer: key})
	newRigWith(t, w.rig)
	w.grants = append(w.grants, w.grants[0])
	w.grants[1].ID, w.grants[1].Principal = "grant_carol", carol.ID
	elsewhere := newRigWith(t, &rig{
		sandbox: w.sandbox, judges: w.judges,
		journal: openJournal(t, trace.Options{InMemory: true, Clock: w.now, Hosts: []ed25519.PublicKey{public}}),
	})
	counts, features := map[writ.ExecutionStatus]int{}, map[writ.RecordType]int{}
	for i := range generatedAll {
		g := newTale(int64(i))
		id := w.tell(g)
		carry(t, w.rig, elsewhere, id, public)
		out := elsewhere.replay(id)
		if !out.Identical || len(out.Report) == 0 {
			t.Fatalf("tale %d (%s) differs elsewhere:\n%s\n%s", i, g.fate, differences(out), g.draft)
		}
		counts[w.state(id).Status]++
		seen := map[writ.RecordType]bool{}
		for _, record := range elsewhere.records(id) {
			seen[record.Type] = true
		}
		for kind := range seen {
			features[kind]++
		}
	}
	t.Logf("%d executions: %v; %d restarts; with %v", generatedAll, counts, w.reboots, features)
	for _, status := range []writ.ExecutionStatus{
		writ.ExecCompleted, writ.ExecFailed, writ.ExecRejected, writ.ExecExpired, writ.ExecCancelled, writ.ExecBlocked,
	} {
		if counts[status] < 20 {
			t.Errorf("only %d executions ended %s", counts[status], status)
		}
	}
	for _, kind := range []writ.RecordType{
		writ.RecPlanRejected, writ.RecToolDenied, writ.RecCallProposed, writ.RecRetryScheduled, writ.RecStepSkipped,
		writ.RecRunPaused, writ.RecRunResumed, writ.RecRunRetried, writ.RecStepIndeterminate, writ.RecStepResolved,
		writ.RecStepFrozen, writ.RecStepThawed, writ.RecStepCancelled, writ.RecStepExpanded, writ.RecApprovalDecided, writ.RecApprovalExpired, writ.RecToolReturned,
	} {
		if features[kind] < 20 {
			t.Errorf("only %d executions hold %s", features[kind], kind)
		}
	}
	if w.reboots < 20 {
		t.Errorf("%d restarts", w.reboots)
	}
	if elsewhere.tools.count() != 0 {
		t.Error("a tool was called elsewhere")
	}
}

func openJournal(t *testing.T, opts trace.Options) *trace.Journal {
	t.Helper()
	journal, err := trace.Open(context.Background(), opts)
	if err != nil {
		t.Fatal(err)
	}
	return journal
}

// carry takes an execution's evidence from one host to another.
func carry(t *testing.T, from, to *rig, id writ.ExecutionID, key ed25519.PublicKey) {
	t.Helper()
	var bundle bytes.Buffer
	if err := from.journal.Export(context.Background(), trace.ExportRequest{Tenant: writ.DefaultTenant, Execution: id}, &bundle); err != nil {
		t.Fatal(err)
	}
	evidence, err := trace.VerifyEvidence(&bundle, []ed25519.PublicKey{key})
	if err != nil {
		t.Fatal(err)
	}
	if err := to.journal.Import(as(approver), writ.DefaultTenant, evidence); err != nil {
		t.Fatal(err)
	}
}

// differences lists the stages that are not identical.
func differences(out *contract.ReplayRunOutput) string {
	var b strings.Builder
	for _, s := range out.Report {
		if s.Identical {
			continue
		}
		fmt.Fprintf(&b, "%s %s %s", s.Stage, s.StepID, s.Unreplayable)
		if d := s.FirstDifference; d != nil {
			fmt.Fprintf(&b, " %s: %s, now %s", d.Field, d.Recorded, d.Replayed)
		}
		b.WriteByte('\n')
	}
	return b.String()
}
