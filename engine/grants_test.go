package engine_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/contract"
	"github.com/writ-run/writ/engine"
	"github.com/writ-run/writ/identity"
	"github.com/writ-run/writ/trace"
)

// grantList are grants that nobody counts.
type grantList struct{ r *rig }

func (g grantList) Candidates(_ context.Context, _ *writ.Principal, wanted []writ.Capability, _ []writ.GrantUse) ([]writ.Grant, error) {
	return slices.DeleteFunc(slices.Clone(g.r.grants), func(held writ.Grant) bool { return !held.Concerns(wanted) }), nil
}

func (g grantList) Take(_ context.Context, taking *writ.Taking, write func([]writ.GrantUse, []writ.Change) error) error {
	var uses []writ.GrantUse
	for _, id := range taking.Grants {
		uses = append(uses, writ.GrantUse{ID: id})
	}
	return write(uses, nil)
}

func (r *rig) granting() engine.Grants {
	if r.granted != nil {
		return r.granted
	}
	return grantList{r}
}

// counted is a rig whose grants are those of an identity service.
type counted struct {
	*rig
	people *identity.Service
	ada    *writ.Principal
	bot    *writ.Principal
}

func newCounted(t *testing.T, r *rig) *counted {
	t.Helper()
	if r.now == nil {
		r.now = time.Now
	}
	var err error
	if r.journal, err = trace.Open(context.Background(), trace.Options{InMemory: true, Clock: r.clock, AnchorEvery: 24 * time.Hour}); err != nil {
		t.Fatal(err)
	}
	c := &counted{}
	c.identify(t, r)
	made, err := c.people.Bootstrap(context.Background(), "root", nil)
	if err != nil {
		t.Fatal(err)
	}
	c.ada = made.Operator
	if _, err := c.people.TokenCreate(as(c.ada), &contract.TokenCreateInput{PrincipalID: agent.ID, Kind: writ.Agent}); err != nil {
		t.Fatal(err)
	}
	c.bot = agent
	c.rig = newRigWith(t, r)
	return c
}

// identify makes the service that a process would, with nothing in memory.
func (c *counted) identify(t *testing.T, r *rig) {
	t.Helper()
	var err error
	if c.people, err = identity.New(identity.Options{Store: r.journal, Journal: r.journal, Clock: r.clock, Entropy: rand.Reader}); err != nil {
		t.Fatal(err)
	}
	r.granted = c.people
}

var puts = writ.Capability{Tool: abi.ToolKVPut, Prefixes: []string{"k"}}

// grant gives the agent one, of the tool kv.put where in says nothing.
func (c *counted) grant(t testing.TB, in contract.GrantCreateInput) string {
	t.Helper()
	in.PrincipalID = c.bot.ID
	if in.Capability.Tool == "" {
		in.Capability = puts
	}
	out, err := c.people.GrantCreate(as(c.ada), &in)
	if err != nil {
		t.Fatal(err)
	}
	return out.GrantID
}

func (c *counted) uses(t testing.TB, id string) int {
	t.Helper()
	list, err := c.people.GrantList(as(c.ada), &contract.GrantListInput{})
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range list.Items {
		if g.GrantID == id {
			return g.Uses
		}
	}
	t.Fatalf("there is no grant %s", id)
	return 0
}

// taken are the uses that stand in the records which start attempts.
func (c *counted) taken(id writ.ExecutionID) []writ.GrantUse {
	var uses []writ.GrantUse
	for _, record := range c.records(id) {
		switch {
		case record.Type == writ.RecStepStarted:
			uses = append(uses, record.Body.Started.Grants...)
		case record.Type == writ.RecVerdict:
			uses = append(uses, record.Body.Decided.Grants...)
		}
	}
	return uses
}

const keeping = head + `
  - name: keep
    uses: test/keep#run
    with: {key: k1, value: v}
`

// attempt begins an execution that may be blocked at once.
func (c *counted) attempt(p *writ.Principal, draft string) writ.ExecutionID {
	c.t.Helper()
	id := c.submit(p, draft)
	c.compile(p, id)
	if _, err := c.engine.ExecutionStart(as(p), &contract.ExecutionStartInput{ExecutionID: id, Wait: true}); err != nil && !writ.IsCode(err, writ.CodeBlocked) {
		c.t.Fatal(err)
	}
	return id
}

func TestAGrantIsUsedAsOftenAsItSays(t *testing.T) {
	c := newCounted(t, &rig{})
	id := c.grant(t, contract.GrantCreateInput{MaxUses: 2})
	var all []writ.ExecutionID
	for n := 1; n <= 2; n++ {
		exec := c.attempt(agent, keeping)
		c.expect(exec, writ.ExecCompleted)
		if got := c.taken(exec); !slices.Equal(got, []writ.GrantUse{{ID: id, Use: n}}) {
			t.Errorf("attempt %d took %+v", n, got)
		}
		all = append(all, exec)
	}
	third := c.attempt(agent, keeping)
	c.expect(third, writ.ExecBlocked)
	if n := c.uses(t, id); n != 2 {
		t.Errorf("%d uses, want 2", n)
	}
	for _, exec := range append(all, third) {
		c.identical(exec)
	}
	c.identify(t, c.rig) // another process counts on from what is on disk
	c.reboot()
	c.expect(c.attempt(agent, keeping), writ.ExecBlocked)
	if n := c.uses(t, id); n != 2 {
		t.Errorf("%d uses after a restart, want 2", n)
	}
}

func TestAnAttemptThatGoesOnIsNotCountedAgain(t *testing.T) {
	c := newCounted(t, &rig{})
	web := writ.Capability{Tool: abi.ToolHTTPRequest, Hosts: []string{"api.example.com"}, Methods: []string{"GET", "POST", "PUT"}, Paths: []string{"/**"}}
	id := c.grant(t, contract.GrantCreateInput{Capability: web, MaxRisk: writ.RiskHigh, MaxUses: 1})
	exec := c.attempt(agent, post)
	c.expect(exec, writ.ExecAwaitingApproval)
	c.identify(t, c.rig)
	c.reboot()
	c.approve(approver, exec)
	c.expect(exec, writ.ExecCompleted)
	if got := c.taken(exec); len(got) != 1 || c.uses(t, id) != 1 {
		t.Errorf("it took %+v", got)
	}
	c.identical(exec)
	c.expect(c.attempt(agent, post), writ.ExecBlocked)
}

const trying = head + `
  - name: look
    uses: test/look#run
    with: {method: GET, url: "https://api.example.com/x"}
    retry: {attempts: 3}
`

// TestEachAttemptIsAUse: also one that did nothing, since a limit bounds what may
// be tried.
func TestEachAttemptIsAUse(t *testing.T) {
	c := newCounted(t, &rig{})
	get := writ.Capability{Tool: abi.ToolHTTPRequest, Hosts: []string{"api.example.com"}, Methods: []string{"GET"}, Paths: []string{"/**"}}
	id := c.grant(t, contract.GrantCreateInput{Capability: get, MaxUses: 2})
	c.tools.fail = func(int, *writ.ToolCall) *writ.ToolResult {
		return &writ.ToolResult{Outcome: writ.OutcomeNotDone, Failure: &abi.Failure{Code: "unavailable", Message: "down"}}
	}
	exec := c.attempt(agent, trying)
	state := c.expect(exec, writ.ExecBlocked)
	if state.Steps[0].Attempt != 2 || c.tools.count() != 2 || c.uses(t, id) != 2 {
		t.Errorf("attempt %d, %d calls, %d uses; want 2 of each", state.Steps[0].Attempt, c.tools.count(), c.uses(t, id))
	}
	c.identical(exec)
}

// TestAnotherGrantInTheMiddleIsCounted: what goes on under another grant than it
// began with takes a use of that.
func TestAnotherGrantInTheMiddleIsCounted(t *testing.T) {
	c := newCounted(t, &rig{})
	web := writ.Capability{Tool: abi.ToolHTTPRequest, Hosts: []string{"api.example.com"}, Methods: []string{"GET", "POST", "PUT"}, Paths: []string{"/**"}}
	first := c.grant(t, contract.GrantCreateInput{Capability: web, MaxRisk: writ.RiskHigh, MaxUses: 5})
	exec := c.attempt(agent, post)
	wider := web
	wider.Hosts = []string{"**.example.com"}
	next := c.grant(t, contract.GrantCreateInput{Capability: wider, MaxRisk: writ.RiskHigh, MaxUses: 1})
	if _, err := c.people.GrantRevoke(as(c.ada), &contract.GrantRevokeInput{GrantID: first}); err != nil {
		t.Fatal(err)
	}
	c.approve(approver, exec)
	c.expect(exec, writ.ExecCompleted)
	if got := c.taken(exec); !slices.Equal(got, []writ.GrantUse{{ID: first, Use: 1}, {ID: next, Use: 1}}) {
		t.Errorf("it took %+v", got)
	}
	c.identical(exec)
}

// TestWhatAnAttemptHoldsIsEnough: a narrower grant that comes while people decide is
// not used for what has begun.
func TestWhatAnAttemptHoldsIsEnough(t *testing.T) {
	c := newCounted(t, &rig{})
	web := writ.Capability{Tool: abi.ToolHTTPRequest, Hosts: []string{"api.example.com"}, Methods: []string{"GET", "POST", "PUT"}, Paths: []string{"/**"}}
	c.grant(t, contract.GrantCreateInput{Capability: web, MaxRisk: writ.RiskHigh, MaxUses: 1})
	exec := c.attempt(agent, post)
	c.expect(exec, writ.ExecAwaitingApproval)
	next := c.grant(t, contract.GrantCreateInput{Capability: web, MaxRisk: writ.RiskHigh, MaxUses: 1, Skills: []writ.SkillKey{"test/web"}})
	c.approve(approver, exec)
	c.expect(exec, writ.ExecCompleted)
	if got := c.taken(exec); len(got) != 1 || c.uses(t, next) != 0 {
		t.Errorf("it took %+v", got)
	}
	c.identical(exec)
}

func TestADelegatedGrantUsesThoseAboveIt(t *testing.T) {
	c := newCounted(t, &rig{})
	top, err := c.people.GrantCreate(as(c.ada), &contract.GrantCreateInput{PrincipalID: c.ada.ID, Capability: puts, MaxUses: 3})
	if err != nil {
		t.Fatal(err)
	}
	first := c.grant(t, contract.GrantCreateInput{Parent: top.GrantID, Skills: []writ.SkillKey{"test/keep"}, MaxUses: 2})
	second := c.grant(t, contract.GrantCreateInput{Parent: top.GrantID, MaxUses: 2})
	var last writ.ExecutionID
	for n := range 3 {
		last = c.attempt(agent, keeping)
		c.expect(last, writ.ExecCompleted)
		c.identical(last)
		want := []writ.GrantUse{{ID: first, Use: n + 1}, {ID: top.GrantID, Use: n + 1, For: first}}
		if n == 2 {
			want = []writ.GrantUse{{ID: second, Use: 1}, {ID: top.GrantID, Use: 3, For: second}}
		}
		if got := c.taken(last); !slices.Equal(got, want) {
			t.Errorf("%d: took %+v, want %+v", n, got, want)
		}
	}
	last = c.attempt(agent, keeping) // the second has one left, what it comes from has none
	c.expect(last, writ.ExecBlocked)
	c.identical(last)
	if c.uses(t, first) != 2 || c.uses(t, second) != 1 || c.uses(t, top.GrantID) != 3 {
		t.Errorf("uses %d, %d of %d", c.uses(t, first), c.uses(t, second), c.uses(t, top.GrantID))
	}
}

// TestPropertyUsesUnderConcurrency: whatever grants there are, and however many
// executions want them at once, each is used at most as often as it says, each
// use has a number of its own, and all that could run did.
func TestPropertyUsesUnderConcurrency(t *testing.T) {
	c := newCounted(t, &rig{})
	rapid.Check(t, func(rt *rapid.T) {
		limits := map[string]int{}
		top, err := c.people.GrantCreate(as(c.ada), &contract.GrantCreateInput{PrincipalID: c.ada.ID, Capability: puts, MaxUses: rapid.IntRange(1, 6).Draw(rt, "top")})
		if err != nil {
			rt.Fatal(err)
		}
		list, err := c.people.GrantList(as(c.ada), &contract.GrantListInput{PrincipalID: c.ada.ID})
		if err != nil {
			rt.Fatal(err)
		}
		for _, g := range list.Items {
			limits[g.GrantID] = g.MaxUses
		}
		room, below := 0, 0
		for i := range rapid.IntRange(1, 3).Draw(rt, "grants") {
			in := contract.GrantCreateInput{MaxUses: rapid.IntRange(1, 4).Draw(rt, fmt.Sprint("limit", i))}
			if rapid.Bool().Draw(rt, fmt.Sprint("delegated", i)) && in.MaxUses <= limits[top.GrantID] {
				in.Parent = top.GrantID
				below += in.MaxUses
			} else {
				room += in.MaxUses
			}
			limits[c.grant(t, in)] = in.MaxUses
		}
		room += min(below, limits[top.GrantID])
		n := rapid.IntRange(1, 8).Draw(rt, "executions")
		ids := make([]writ.ExecutionID, n)
		var begun sync.WaitGroup
		for i := range ids {
			begun.Go(func() { ids[i] = c.attempt(agent, keeping) })
		}
		begun.Wait()
		completed, taken := 0, map[string][]int{}
		for _, id := range ids {
			if c.state(id).Status == writ.ExecCompleted {
				completed++
			}
			for _, use := range c.taken(id) {
				taken[use.ID] = append(taken[use.ID], use.Use)
			}
			c.identical(id)
		}
		if completed != min(n, room) {
			rt.Errorf("%d of %d completed, and there was room for %d", completed, n, room)
		}
		for id, uses := range taken {
			slices.Sort(uses)
			for i, use := range uses {
				if use != i+1 || use > limits[id] || len(uses) != c.uses(t, id) {
					rt.Errorf("%s of at most %d was used as %v, and says %d", id, limits[id], uses, c.uses(t, id))
				}
			}
		}
		for id := range limits { // the next case begins without grants of the agent
			if id != "" && limits[id] > 0 {
				if _, err := c.people.GrantRevoke(as(c.ada), &contract.GrantRevokeInput{GrantID: id}); err != nil && !writ.IsCode(err, writ.CodeNotFound) {
					rt.Fatal(err)
				}
			}
		}
	})
}

// TestBreakGlassWidensReachAndNotRisk: what is risky waits for as many people as
// ever, and the record says under what it began.
func TestBreakGlassWidensReachAndNotRisk(t *testing.T) {
	c := newCounted(t, &rig{})
	web := writ.Capability{Tool: abi.ToolHTTPRequest, Hosts: []string{"api.example.com"}, Methods: []string{"GET", "POST", "PUT"}, Paths: []string{"/**"}}
	ada := *c.ada
	ada.Strength = writ.StrengthToken
	out, err := c.people.GrantBreakGlass(as(&ada), &contract.GrantBreakGlassInput{
		PrincipalID: agent.ID, Capability: web, MaxRisk: writ.RiskHigh, For: abi.Duration(time.Hour), Reason: "the till is down",
	})
	if err != nil {
		t.Fatal(err)
	}
	exec := c.attempt(agent, strings.Replace(post, "test/web", "test/pay", 1))
	state := c.expect(exec, writ.ExecAwaitingApproval)
	if c.tools.count() != 0 || state.Steps[0].Verdict.Risk != writ.RiskHigh || state.Steps[0].Verdict.Approvals.Count != 2 {
		t.Fatalf("%d calls, %+v", c.tools.count(), state.Steps[0].Verdict)
	}
	c.approve(approver, exec)
	c.expect(exec, writ.ExecAwaitingApproval)
	c.approve(second, exec)
	c.expect(exec, writ.ExecCompleted)
	if got := c.taken(exec); !slices.Equal(got, []writ.GrantUse{{ID: out.GrantID, BreakGlass: true}}) {
		t.Errorf("it took %+v", got)
	}
	c.identical(exec)
}

// TestTheIterationsOfAStepShareAGrant: each is a use of its own.
func TestTheIterationsOfAStepShareAGrant(t *testing.T) {
	c := newCounted(t, &rig{})
	id := c.grant(t, contract.GrantCreateInput{MaxUses: 2})
	exec := c.attempt(agent, head+`
  - name: keep
    uses: test/keep#run
    forEach: '["k1", "k2", "k3"]'
    with: {key: "${{ item }}", value: v}
`)
	c.expect(exec, writ.ExecBlocked)
	if n := c.countRecords(exec, writ.RecStepStarted); n != 2 || c.uses(t, id) != 2 {
		t.Errorf("%d iterations began, %d uses; want 2", n, c.uses(t, id))
	}
	c.identical(exec)
}

// TestAForgedUseIsFound: a record that starts an attempt under other grants than
// it needed does not replay.
func TestAForgedUseIsFound(t *testing.T) {
	c := newCounted(t, &rig{})
	id := c.grant(t, contract.GrantCreateInput{MaxUses: 2})
	exec := c.attempt(agent, keeping)
	for name, uses := range map[string][]writ.GrantUse{
		"none":           nil,
		"another":        {{ID: "grant_x", Use: 1}},
		"more than many": {{ID: id, Use: 3}},
		"uncounted":      {{ID: id}},
		"one more":       {{ID: id, Use: 1}, {ID: "grant_x", Use: 1}},
		"an emergency":   {{ID: id, Use: 1, BreakGlass: true}},
	} {
		t.Run(name, func(t *testing.T) {
			records := c.records(exec)
			for i := range records {
				if started := records[i].Body.Started; started != nil {
					forged := *started
					forged.Grants = uses
					records[i].Body.Started = &forged
				}
			}
			c.traces = &forgery{Traces: c.journal, records: records, payloads: c.stored(exec)}
			c.reread()
			defer func() { c.traces = nil; c.reread() }()
			out := c.replay(exec)
			if out.Identical {
				t.Error("the replay is identical")
			}
			raw, err := json.Marshal(out.Report)
			if err != nil || !slices.ContainsFunc(out.Report, func(s contract.ReplayStage) bool { return s.Stage == "step" && !s.Identical }) {
				t.Errorf("%s, %v", raw, err)
			}
		})
	}
}

// reread boots an engine that reads what traces says.
func (c *counted) reread() {
	if err := c.engine.Close(context.Background()); err != nil {
		c.t.Fatal(err)
	}
	c.boot()
}

// stored are the payloads of an execution.
func (c *counted) stored(id writ.ExecutionID) map[writ.Digest][]byte {
	out := map[writ.Digest][]byte{}
	read := c.payloads(id)
	for _, record := range c.records(id) {
		for _, ref := range record.Payloads {
			data, err := read(ref)
			if err != nil {
				c.t.Fatal(err)
			}
			out[ref.Digest] = data
		}
	}
	return out
}
