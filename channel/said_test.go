package channel_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/channel"
	"github.com/writ-run/writ/contract"
	"github.com/writ-run/writ/intent"
	"github.com/writ-run/writ/trace"
)

const doorInput = `{"type":"object","properties":{"door":{"type":"string"},"times":{"type":"integer"},"note":{"type":"string"}}}`

// doors is a skill with phrases, some of which no skill should have.
func doors() []*writ.Release {
	action := func(name string, phrases ...string) abi.Action {
		return abi.Action{Name: name, Input: json.RawMessage(doorInput), Utterances: phrases}
	}
	release := func(key writ.SkillKey, actions ...abi.Action) *writ.Release {
		return &writ.Release{SkillRef: writ.SkillRef{Key: key, Version: "1.0.0"}, Manifest: &abi.Manifest{Name: string(key), Actions: actions}}
	}
	return []*writ.Release{
		release("acme/door",
			action("open", "open {door}", "öffne {door}", "open {door} saying {note}"),
			action("knock", "knock {times} times at {door}"),
			action("lock", "lock everything")),
		release("acme/gate", action("lock", "lock everything")),
		release("evil/shadow", action("steal", "help", "whoami", "writ help", "writ status {note}", "/writ cancel {note}", "status {note}", "cancel {note}")),
	}
}

// desk is the host behind a channel: its executions are in the journal, and go on when a
// test says so.
type desk struct {
	*intents
	journal *trace.Journal
	at      writ.ExecutionStatus // in which a new execution is when submit answers
	// submitted is called before submit answers.
	submitted func(writ.ExecutionID)
}

func (d *desk) Call(ctx context.Context, key string, raw json.RawMessage) (json.RawMessage, error) {
	p, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, err
	}
	c, ok := contract.Lookup(key)
	if !ok {
		return nil, writ.Errorf(writ.CodeNotFound, "desk", "%s", key)
	}
	if err := c.Permits(p); err != nil {
		return nil, err
	}
	switch key {
	case contract.ExecutionGet.Key:
		in := &contract.ExecutionGetInput{}
		if err := json.Unmarshal(raw, in); err != nil {
			return nil, err
		}
		out, err := d.journal.ExecutionGet(ctx, in)
		if err != nil {
			return nil, err
		}
		return json.Marshal(out)
	case contract.ExecutionCancel.Key:
		in := &contract.ExecutionCancelInput{}
		if err := json.Unmarshal(raw, in); err != nil {
			return nil, err
		}
		e, err := d.journal.Execution(ctx, p.Tenant, in.ExecutionID)
		if err == nil {
			err = contract.Own(p, e)
		}
		if err != nil {
			return nil, err
		}
		d.append(p.Tenant, e.ID, ended(writ.ExecCancelled, in.Reason))
		return json.Marshal(&contract.ExecutionCancelOutput{Result: contract.Result{Status: "cancelled"}})
	}
	if key == contract.ExecutionApprove.Key || key == contract.ExecutionReject.Key {
		return d.decide(p, raw)
	}
	answer, err := d.intents.Call(ctx, key, raw)
	if err != nil {
		return nil, err
	}
	out := &contract.IntentSubmitOutput{}
	if err := json.Unmarshal(answer, out); err != nil {
		return nil, err
	}
	if _, err := d.journal.Execution(ctx, p.Tenant, out.ExecutionID); writ.IsCode(err, writ.CodeNotFound) {
		d.append(p.Tenant, out.ExecutionID,
			writ.NewRecord{Type: writ.RecIntentReceived, Body: writ.Body{Intent: &writ.IntentFacts{ID: "int_1", Workspace: p.Workspace, Principal: p}}},
			writ.NewRecord{Type: writ.RecPlanCompiled, Body: writ.Body{Plan: &writ.CompiledFacts{Steps: []writ.PlannedStep{{
				ID: "stp_do", Name: "do", Skill: writ.SkillRef{Key: "acme/door", Version: "1.0.0"}, Action: "open", Effect: abi.EffectWriteExternal, Risk: writ.RiskMedium,
			}}}}},
			writ.NewRecord{Type: writ.RecRunStarted, Body: writ.Body{Run: &writ.RunFacts{ID: "run_1", Mode: writ.Autonomous}}},
		)
		d.reach(p.Tenant, out.ExecutionID, d.at, writ.LabelChannel)
		if d.submitted != nil {
			d.submitted(out.ExecutionID)
		}
	}
	return answer, nil
}

// decide is what the engine does with a word, as far as channels rest on it.
func (d *desk) decide(p *writ.Principal, raw json.RawMessage) (json.RawMessage, error) {
	var in struct {
		ExecutionID    writ.ExecutionID
		StepID         writ.StepID
		ApprovalDigest writ.Digest
		Note, Reason   string
		Signature      []byte
	}
	var said attested
	if err := json.Unmarshal(raw, &in); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(in.Signature, &said); err != nil || said.By != p.ID || said.Word.Digest != in.ApprovalDigest || said.Word.Rejected != (in.Reason != "") {
		return nil, writ.Errorf(writ.CodeForbidden, "approval", "the word is not attested")
	}
	e, err := d.journal.Execution(context.Background(), p.Tenant, in.ExecutionID)
	if err != nil {
		return nil, err
	}
	a := e.Step(string(in.StepID)).Approval
	decision := &writ.Decision{By: p.ID, Approved: !said.Word.Rejected, Note: in.Note + in.Reason, Via: &said.Via, Roles: p.Roles, At: writ.Clock(time.Now).Now()}
	refuse := func(code writ.Code, why string) (json.RawMessage, error) {
		return nil, writ.Errorf(code, "approval", "%s", why)
	}
	switch {
	case p.Kind != writ.Human:
		return refuse(writ.CodeForbidden, "only people decide")
	case a.Digest != in.ApprovalDigest:
		return refuse(writ.CodeConflict, "what is pending is not what you saw")
	case !a.Open():
		return refuse(writ.CodeConflict, "nothing is pending")
	case !a.Request.Takes(decision):
		return refuse(writ.CodeForbidden, "its risk is too high")
	case !slices.Contains(p.Roles, "approver"):
		return refuse(writ.CodeForbidden, "has none of the roles")
	case a.Request.Excludes(p) != "":
		return refuse(writ.CodeForbidden, "asked for it")
	case a.Repeats(decision) != nil:
		return refuse(writ.CodeConflict, "has approved already")
	}
	d.append(p.Tenant, in.ExecutionID, writ.NewRecord{Type: writ.RecApprovalDecided, Step: in.StepID, Attempt: 1, Body: writ.Body{
		Approval: &writ.ApprovalFacts{Digest: a.Digest, Status: a.After(decision), Decision: decision},
	}})
	return json.Marshal(&contract.ExecutionApproveOutput{})
}

func ended(status writ.ExecutionStatus, reason string) writ.NewRecord {
	return writ.NewRecord{Type: writ.RecExecutionEnded, Body: writ.Body{End: &writ.EndFacts{Status: status, Reason: reason}}}
}

// reach takes an execution on to a status.
func (d *desk) reach(tenant writ.TenantID, id writ.ExecutionID, status writ.ExecutionStatus, labels ...writ.Label) {
	step := writ.NewRecord{Step: "stp_do", Attempt: 1}
	switch status {
	case writ.ExecAwaitingApproval:
		step.Type, step.Body = writ.RecApprovalOpened, writ.Body{Approval: &writ.ApprovalFacts{Digest: "sha256:1", Status: writ.ApprovalPending, Request: &writ.ApprovalRequest{}}}
		d.append(tenant, id, step)
	case writ.ExecCompleted:
		step.Type, step.Body = writ.RecStepCompleted, writ.Body{Ended: &writ.EndedFacts{Labels: labels}}
		step.Payloads = []writ.Payload{{Name: writ.PayloadOutput, Data: []byte(`{"text":"the door is open"}`)}}
		d.append(tenant, id, step, ended(status, ""))
	case writ.ExecFailed:
		step.Type, step.Body = writ.RecStepFailed, writ.Body{Ended: &writ.EndedFacts{Labels: labels, Failure: &abi.Failure{Code: "locked", Message: "the door is locked"}}}
		d.append(tenant, id, step, ended(status, "step do failed"))
	}
}

func (d *desk) append(tenant writ.TenantID, id writ.ExecutionID, records ...writ.NewRecord) {
	ctx := context.Background()
	have, err := d.journal.Records(ctx, writ.RecordQuery{Tenant: tenant, Stream: writ.StreamID(id)})
	if err != nil && !writ.IsCode(err, writ.CodeNotFound) {
		panic(err)
	}
	for i := range records {
		records[i].Time = canon.TimeOf(time.Now())
		records[i].Actor = writ.Audit{ActorID: "service:engine", ActorType: writ.Service, TenantID: tenant, WorkspaceID: writ.DefaultWorkspace, CapabilityGrants: []string{}, CapabilitySource: "engine", OnBehalfOf: []writ.PrincipalID{}}
	}
	written, err := d.journal.Append(ctx, &writ.Batch{Tenant: tenant, Stream: writ.StreamID(id), Expect: uint64(len(have)), Records: records})
	if err == nil {
		err = d.journal.Barrier(ctx, written.Position)
	}
	if err != nil {
		panic(err)
	}
}

// chat is a rig with one chat, whose members are ada and bot, and skills with phrases.
type chat struct {
	*rig
	desk *desk
	sent int
}

func newChat(t testing.TB, change ...func(*contract.Channel)) *chat {
	t.Helper()
	c := &chat{rig: newRig(t)}
	c.desk = &desk{intents: c.taken, journal: c.journal}
	c.opts.Caller = c.desk
	c.opts.Adapters = append(c.opts.Adapters, batched{})
	c.opts.Books = &intent.Books{
		Epoch:    c.journal.Epoch,
		Releases: func(context.Context, writ.TenantID) ([]*writ.Release, bool, error) { return doors(), true, nil },
	}
	c.opts.May = func(_ context.Context, p *writ.Principal, r *writ.Release, action string) bool {
		return r.Key == "acme/door" && (p.ID == "human:ada" || action == "open")
	}
	c.restart()
	c.add(writ.DefaultTenant, append([]func(*contract.Channel){func(ch *contract.Channel) {
		ch.Name = "batched/a"
		ch.Members = []contract.ChannelMember{{Sender: "U1", PrincipalID: "human:ada"}, {Sender: "U2", PrincipalID: "agent:bot"}}
	}}, change...)...)
	return c
}

// words are said in a thread by a sender.
func words(sender, text string, addressed bool) channel.Message {
	return channel.Message{Kind: channel.Said, Thread: "t", Text: text, Addressed: addressed, Sender: channel.Sender{ID: sender}, Metadata: json.RawMessage(`{"from":"` + sender + `"}`)}
}

// hear handles a message as a delivery of its own, and gives what came of it.
func (c *chat) hear(m channel.Message) writ.DeliveryOutcome {
	c.t.Helper()
	c.post(m)
	c.drain()
	all := c.handled()
	return all[len(all)-1]
}

func (c *chat) post(messages ...channel.Message) {
	c.t.Helper()
	c.sent++
	for i := range messages {
		if messages[i].ID == "" {
			messages[i].ID = fmt.Sprintf("%d.%d", c.sent, i)
		}
	}
	body, err := json.Marshal(messages)
	if err != nil {
		c.t.Fatal(err)
	}
	if w, err := c.serve(c.signed("/webhooks/batched/a", "x", body)); err != nil || w.Code != 202 {
		c.t.Fatalf("%d %v", w.Code, err)
	}
	time.Sleep(time.Millisecond) // synctest's: the next one comes later
}

// handled are the outcomes of all deliveries, in order.
func (c *chat) handled() []writ.DeliveryOutcome { return c.recorded(writ.RecDeliveryHandled) }

// told are what threads were told of executions afterwards.
func (c *chat) told() []writ.DeliveryOutcome { return c.recorded(writ.RecDeliveryAnswered) }

func (c *chat) recorded(kind writ.RecordType) []writ.DeliveryOutcome {
	c.t.Helper()
	var all []writ.DeliveryOutcome
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- c.journal.Feed(ctx, writ.DefaultTenant, 0, func(rec *writ.Stored) error {
			if rec.Type == kind {
				all = append(all, rec.Body.Delivery.Outcomes...)
			}
			return nil
		})
	}()
	synctest.Wait()
	cancel()
	if err := <-ended; err != nil {
		c.t.Fatal(err)
	}
	return all
}

// submitted is the last intent that was taken.
func (c *chat) submitted() *contract.IntentSubmitInput {
	c.taken.mu.Lock()
	defer c.taken.mu.Unlock()
	var last *contract.IntentSubmitInput
	for _, in := range c.taken.by {
		if len(c.taken.order) > 0 && in.Text == c.taken.order[len(c.taken.order)-1] {
			last = in
		}
	}
	return last
}

func TestAPhraseBecomesTheOneStepThatItMeans(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChat(t)
		o := c.hear(words("U1", "@writ Open cellar saying ${{ intent.text }}", true))
		in := c.submitted()
		if o.Status != writ.DeliverySubmitted || o.Principal != "human:ada" || o.Execution == "" || !strings.Contains(o.Answer, string(o.Execution)) || in == nil {
			t.Fatalf("%+v", o)
		}
		if in.Origin != writ.OriginChannel || in.ChannelKey != "batched:a" || in.Text != "@writ Open cellar saying ${{ intent.text }}" || !in.Run {
			t.Errorf("%+v", in)
		}
		if got, want := string(in.Metadata), `{"from":"U1","input":{"door":"cellar","note":"${{ intent.text }}"}}`; got != want {
			t.Errorf("%s, want %s", got, want)
		}
		if strings.Contains(in.Draft, "intent.text") || strings.Contains(in.Draft, "cellar") || !strings.Contains(in.Draft, "acme/door@1.0.0#open") {
			t.Errorf("the draft has what was said, or means something else: %s", in.Draft)
		}
		if o = c.hear(words("U2", "öffne Keller", false)); o.Status != writ.DeliverySubmitted || o.Principal != "agent:bot" {
			t.Errorf("in another language, to nobody: %+v", o)
		}
		if got, want := string(c.submitted().Metadata), `{"from":"U2","input":{"door":"Keller"}}`; got != want {
			t.Errorf("%s, want %s", got, want)
		}
	})
}

func TestWhatFitsNothingOrSeveralDoesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChat(t)
		for _, test := range []struct {
			text      string
			addressed bool
			status    writ.DeliveryStatus
			answers   []string // empty: silence
		}{
			{"lock everything", false, writ.DeliveryAnswered, []string{"1. lock everything  (lock of acme/door)", "2. lock everything  (lock of acme/gate)", "nothing was done"}},
			{"please knock at the cellar", true, writ.DeliveryAnswered, []string{"did nothing", "- knock {times} times at {door}", "help:"}},
			{"please knock at the cellar", false, writ.DeliveryIgnored, nil},
			{"good morning", true, writ.DeliveryAnswered, []string{"did nothing", "help:"}},
			{"writ is useful, I think", false, writ.DeliveryIgnored, nil},
			{"writ help is what you want", false, writ.DeliveryIgnored, nil},
			{"writ", false, writ.DeliveryIgnored, nil},
			{"", true, writ.DeliveryIgnored, nil},
			{strings.Repeat("open ", 820), true, writ.DeliveryAnswered, []string{"too long"}},
			{strings.Repeat("open ", 820), false, writ.DeliveryIgnored, nil},
		} {
			o := c.hear(words("U1", test.text, test.addressed))
			if o.Status != test.status || (o.Answer == "") != (len(test.answers) == 0) {
				t.Errorf("%.40q, addressed %v: %+v", test.text, test.addressed, o)
			}
			for _, part := range test.answers {
				if !strings.Contains(o.Answer, part) {
					t.Errorf("%.40q: %q is not in %q", test.text, part, o.Answer)
				}
			}
		}
		c.want()
	})
}

func TestAtTheLimitOfATextItIsReadAndOnePastItNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChat(t)
		full := "open " + strings.Repeat("x", intent.MaxText-len("open "))
		if o := c.hear(words("U1", full, true)); o.Status != writ.DeliverySubmitted {
			t.Errorf("%d bytes: %s", len(full), o.Status)
		}
		if o := c.hear(words("U1", full+"x", true)); o.Status == writ.DeliverySubmitted {
			t.Errorf("%d bytes: %s", len(full)+1, o.Status)
		}
	})
}

func TestHelpListsWhatThisPersonMayDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChat(t)
		ada, bot := c.hear(words("U1", "/writ help", false)), c.hear(words("U2", "help", true))
		for part, inBots := range map[string]bool{"- open {door}": true, "- knock {times} times at {door}": false, "- lock everything": false} {
			if !strings.Contains(ada.Answer, part) || strings.Contains(bot.Answer, part) != inBots {
				t.Errorf("%q: ada %q, bot %q", part, ada.Answer, bot.Answer)
			}
		}
		c.opts.May = func(_ context.Context, _ *writ.Principal, r *writ.Release, _ string) bool {
			return r.Key == "acme/many"
		}
		many := &writ.Release{SkillRef: writ.SkillRef{Key: "acme/many"}, Manifest: &abi.Manifest{}}
		for i := range 50 {
			many.Manifest.Actions = append(many.Manifest.Actions, abi.Action{Name: fmt.Sprintf("a%02d", i), Utterances: []string{fmt.Sprintf("do thing %d", i)}})
		}
		c.opts.Books = &intent.Books{Epoch: c.journal.Epoch, Releases: func(context.Context, writ.TenantID) ([]*writ.Release, bool, error) {
			return []*writ.Release{many}, true, nil
		}}
		c.restart()
		o := c.hear(words("U1", "/writ help", false))
		if n := strings.Count(o.Answer, "\n") + 1; n != 20 || !strings.Contains(o.Answer, "and 34 more") || strings.Count(o.Answer, "- do thing") != 16 {
			t.Errorf("%d lines: %q", n, o.Answer)
		}
		c.opts.May = nil
		c.restart()
		if o = c.hear(words("U1", "/writ help", false)); !strings.Contains(o.Answer, "Nothing can be asked for") {
			t.Errorf("nobody says who may: %q", o.Answer)
		}
	})
}

func TestNoPhraseStandsInForACommand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChat(t)
		for _, text := range []string{
			"writ help", "/writ help", "/writ HELP!", "/writ@writ_bot help", "@U0WRIT writ help", "help", "whoami", "/start", "writ whoami", "/writ, help", "/writ",
			"/writ status", "/writ status of my order", "/writ cancel everything", "writ status exe_abc", "/writ cancel exe_abc", "writ: help", "Writ Help",
			"@writ status exe_abc", "cancel exe_abc", "/status exe_abc",
		} {
			if o := c.hear(words("U1", text, true)); o.Status == writ.DeliverySubmitted || o.Answer == "" {
				t.Errorf("%q: %+v", text, o)
			}
		}
		c.want()
		if o := c.hear(words("U1", "whoami", true)); !strings.Contains(o.Answer, "human:ada") || !strings.Contains(o.Answer, "U1") {
			t.Errorf("%q", o.Answer)
		}
	})
}

func TestMembersSeeAndCancelTheirOwnAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChat(t)
		c.desk.at = writ.ExecAwaitingApproval
		asked := c.hear(words("U1", "open cellar", true))
		if !strings.Contains(asked.Answer, "step do (open of acme/door, risk medium) waits for somebody to approve it") {
			t.Errorf("%q", asked.Answer)
		}
		if o := c.hear(words("U1", "writ status "+string(asked.Execution), false)); o.Status != writ.DeliveryAnswered || !strings.Contains(o.Answer, "waits for a person") {
			t.Errorf("%+v", o)
		}
		nothing := c.hear(words("U2", "writ status exe_nothing", false))
		for _, verb := range []string{"status", "cancel"} {
			o := c.hear(words("U2", "writ "+verb+" "+string(asked.Execution), false))
			if o.Status != writ.DeliveryRefused || o.Code != writ.CodeNotFound || o.Answer != nothing.Answer {
				t.Errorf("another's %s: %+v", verb, o)
			}
		}
		if e, err := c.journal.Execution(t.Context(), writ.DefaultTenant, asked.Execution); err != nil || e.Status != writ.ExecAwaitingApproval {
			t.Errorf("%+v, %v", e, err)
		}
		if o := c.hear(words("U1", "writ cancel "+string(asked.Execution), false)); o.Status != writ.DeliveryAnswered || !strings.Contains(o.Answer, "cancelled by you") {
			t.Errorf("%+v", o)
		}
		if e, err := c.journal.Execution(t.Context(), writ.DefaultTenant, asked.Execution); err != nil || e.Status != writ.ExecCancelled || e.Reason != "asked for by human:ada in batched/a" {
			t.Errorf("%+v, %v", e, err)
		}
	})
}

func TestWhatIsRefusedIsSaidWithItsReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChat(t)
		for code, want := range map[writ.Code]string{
			writ.CodePlanRejected: "the door has no handle\nWhat to do: use another", writ.CodeForbidden: "the door has no handle", writ.CodeBlocked: "the door has no handle",
		} {
			c.taken.refuse = func(_ int, _ *writ.Principal, in *contract.IntentSubmitInput) error {
				if !in.Run {
					return nil
				}
				return writ.Errorf(code, "plan", "the door has no handle").WithFix("use another")
			}
			o := c.hear(words("U1", "open "+string(code), true))
			if o.Status != writ.DeliveryRefused || o.Code != code || !strings.Contains(o.Answer, want) || (o.Execution != "") != (code != writ.CodeForbidden) {
				t.Errorf("%+v", o)
			}
		}
	})
}

// TestADeliveryOfVeryManyMessagesIsHandled: what is said about them has its bounds, as the
// batch has in which all of it is kept.
func TestADeliveryOfVeryManyMessagesIsHandled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChat(t)
		for _, of := range []struct {
			sender, text string
			status       writ.DeliveryStatus
		}{{"U1", "/writ help", writ.DeliveryAnswered}, {"U1", "open cellar", writ.DeliverySubmitted}, {"X", "open cellar", writ.DeliveryRefused}} {
			many := make([]channel.Message, 1000)
			for i := range many {
				many[i] = words(of.sender, of.text, true)
				if of.sender == "X" {
					many[i].Sender.ID = fmt.Sprintf("X%d", i)
				}
				many[i].Thread = fmt.Sprintf("%0512d", i)
			}
			many[0].Thread += "0" // one past the limit
			before := len(c.handled())
			c.post(many...)
			c.drain()
			all := c.handled()[before:]
			answers := 0
			for _, o := range all {
				if o.Status != of.status {
					t.Fatalf("%s: %+v", of.text, o)
				}
				if o.Answer != "" {
					answers++
				}
			}
			if len(all) != 1000 || answers < 100 || answers == 1000 || all[0].Answer != "" || all[1].Answer == "" {
				t.Errorf("%s by %s: %d outcomes, %d answers", of.text, of.sender, len(all), answers)
			}
		}
	})
}

// TestTheSameWordsInAnotherEventAskForNothingNew: Slack can send both a message and that
// the app is mentioned in it.
func TestTheSameWordsInAnotherEventAskForNothingNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChat(t)
		c.taken.refuse = func(int, *writ.Principal, *contract.IntentSubmitInput) error {
			return writ.Errorf(writ.CodeConflict, "intent", "the key was used for another intent")
		}
		if o := c.hear(words("U1", "open cellar", true)); o.Status != writ.DeliveryIgnored || o.Answer != "" {
			t.Errorf("%+v", o)
		}
	})
}

func TestWhoIsNoMemberIsToldOnceInAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChat(t)
		told := func(sender string, addressed bool) bool {
			t.Helper()
			o := c.hear(words(sender, "open cellar", addressed))
			if o.Status != writ.DeliveryRefused || o.Code != writ.CodeForbidden {
				t.Fatalf("%+v", o)
			}
			return o.Answer != ""
		}
		if told("X", false) || !told("X", true) || told("X", true) {
			t.Error("not told once")
		}
		c.restart()
		if told("X", true) || !told("Y", true) {
			t.Error("another process tells it again, or tells nobody")
		}
		time.Sleep(time.Hour)
		if !told("X", true) {
			t.Error("not told after an hour")
		}
		for i := range 255 {
			c.post(words(fmt.Sprint("crowd", i), "open cellar", true))
		}
		c.drain()
		if told("Z", true) {
			t.Error("a crowd makes the host talk")
		}
		c.want()
	})
}

func TestEventsAreAnsweredWhereTheTriggerAsksForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChat(t, func(ch *contract.Channel) {
			ch.Members = append(ch.Members, contract.ChannelMember{Sender: "sender", PrincipalID: "agent:bot"})
			ch.Triggers = []contract.ChannelTrigger{{Event: "note.written", Draft: "a"}, {Event: "note.*", Draft: "b", Answer: true}}
		})
		c.post(happened("t", "1", "one"))
		c.drain()
		if all := c.handled(); len(all) != 2 || all[0].Answer != "" || all[1].Answer == "" {
			t.Errorf("%+v", all)
		}
		c.post(happened("", "2", "without a thread"))
		c.drain()
		if all := c.handled(); len(all) != 4 || all[2].Answer+all[3].Answer != "" {
			t.Errorf("%+v", all)
		}
	})
}

// TestPropertyWordsSetOffNothingThatNoPhraseNames: whatever is said, every intent has the
// one step of the one action whose phrase the words are, and nothing of them in its draft.
func TestPropertyWordsSetOffNothingThatNoPhraseNames(t *testing.T) {
	pieces := []string{
		"writ", "/writ", "@bot", "help", "status", "cancel", "whoami", "exe_abc", "open", "the cellar", "saying", "knock", "3", "times", "at", "lock everything", "evil/shadow#steal",
		"${{ intent.text }}", "{door}", "steps:", "uses: evil/shadow#steal", "\n", "\x00", "„", "\"", " ", "öffne", ".", "!", "\u202e", "acme/door@1.0.0#knock",
	}
	book := intent.NewBook(doors())
	type saying struct {
		text      string
		addressed bool
	}
	wrong := func(c *chat, said saying) string {
		if o := c.hear(words("U1", said.text, said.addressed)); o.Status != writ.DeliverySubmitted {
			return ""
		}
		in := c.submitted()
		var plan struct {
			Steps []struct {
				Uses string
				With map[string]string
			}
		}
		if err := json.Unmarshal([]byte(in.Draft), &plan); err != nil || len(plan.Steps) != 1 {
			return in.Draft
		}
		for name, value := range plan.Steps[0].With {
			if value != "${{ intent.metadata.input."+name+" }}" {
				return "the words are in the draft: " + in.Draft
			}
		}
		stripped := strings.TrimSpace(said.text)
		for _, prefix := range []string{"@bot", "/writ", "writ"} {
			if rest, ok := strings.CutPrefix(stripped, prefix); ok {
				stripped = strings.TrimSpace(rest)
			}
		}
		found := book.Read(stripped)
		if len(found) != 1 || plan.Steps[0].Uses != string(found[0].Skill.Key)+"@1.0.0#"+found[0].Action {
			return fmt.Sprintf("%+v became %s", found, in.Draft)
		}
		return ""
	}
	submitted := 0
	rapid.Check(t, func(rt *rapid.T) {
		all := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) saying {
			text := strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces), 0, 6).Draw(rt, "pieces"), rapid.SampledFrom([]string{" ", " ", ""}).Draw(rt, "between"))
			return saying{text, rapid.Bool().Draw(rt, "addressed")}
		}), 1, 4).Draw(rt, "all")
		failed := ""
		synctest.Test(t, func(t *testing.T) {
			c := newChat(t)
			for _, said := range all {
				if why := wrong(c, said); why != "" && failed == "" {
					failed = fmt.Sprintf("%q: %s", said.text, why)
				}
			}
			submitted += len(c.taken.texts())
		})
		if failed != "" {
			rt.Fatal(failed)
		}
	})
	if submitted == 0 {
		t.Error("nothing that was said meant anything")
	}
}
