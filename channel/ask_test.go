package channel_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/channel"
	"github.com/writ-run/writ/contract"
)

// room is a provider whose people are asked: it says what it is given and reads what
// tests send.
type room struct {
	batched
	talk
	marks string
}

func (r *room) Traits() channel.Traits {
	traits := batched{}.Traits()
	traits.Provider, traits.Batched, traits.Writes, traits.Marks = "room", false, true, r.marks
	return traits
}

func (r *room) Receive(req *channel.Request, keys [][]byte) (*channel.Receipt, error) {
	return r.batched.Receive(req, keys)
}

func (r *room) Read(d *channel.Delivery) ([]channel.Message, error) { return r.batched.Read(d) }

// said are the messages as they stand: one that was changed is what it was changed into.
func (r *room) said() []channel.Outgoing {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []channel.Outgoing
	at := map[string]int{}
	for i := range r.took {
		if n, ok := at[r.took[i].Replaces]; ok && r.took[i].Replaces != "" {
			out[n] = r.took[i]
			at[fmt.Sprintf("id-%d", i+1)] = n
			continue
		}
		at[fmt.Sprintf("id-%d", i+1)] = len(out)
		out = append(out, r.took[i])
	}
	return out
}

// asking is a chat whose people decide.
type asking struct {
	*chat
	room *room
	end  func()
}

func newAsking(t testing.TB, change ...func(*contract.Channel)) *asking {
	t.Helper()
	a := &asking{chat: newChat(t), room: &room{}}
	a.opts.Adapters = append(a.opts.Adapters, a.room)
	a.opts.Jitter = func() float64 { return 1 }
	a.restart()
	a.add(writ.DefaultTenant, append([]func(*contract.Channel){func(c *contract.Channel) {
		c.Name, c.Token, c.Decides, c.Triggers = "room/a", "hook", true, nil
		c.Members = []contract.ChannelMember{
			{Sender: "U1", PrincipalID: "human:ada"}, {Sender: "U2", PrincipalID: "agent:bot"}, {Sender: "U3", PrincipalID: "human:bob"}, {Sender: "U4", PrincipalID: "human:eve"},
		}
	}}, change...)...)
	return a
}

// whileAsking tries something with a chat whose people decide, while everything runs.
func whileAsking(t *testing.T, try func(t *testing.T, a *asking)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		a := newAsking(t)
		a.live()
		try(t, a)
		a.still()
	})
}

// live runs everything until still.
func (a *asking) live() {
	a.begin()
	a.end = a.following()
	synctest.Wait()
}

func (a *asking) still() {
	a.end()
	a.halt()
}

// hears handles a message in the room.
func (a *asking) hears(m channel.Message) writ.DeliveryOutcome {
	a.t.Helper()
	a.says(m)
	all := a.handled()
	return all[len(all)-1]
}

// says sends a message to the room, whatever comes of it.
func (a *asking) says(m channel.Message) {
	a.t.Helper()
	a.sent++
	if m.ID == "" {
		m.ID = fmt.Sprint(a.sent)
	}
	body, err := json.Marshal([]channel.Message{m})
	if err != nil {
		a.t.Fatal(err)
	}
	if w, err := a.serve(a.signed("/webhooks/room/a", fmt.Sprint("d", a.sent), body)); err != nil || w.Code != 202 {
		a.t.Fatalf("%d %v", w.Code, err)
	}
	synctest.Wait()
	time.Sleep(time.Millisecond)
}

func press(sender, action, ref, reason string) channel.Message {
	return channel.Message{
		Kind: channel.Pressed, Thread: "t", Text: reason, Sender: channel.Sender{ID: sender}, Press: &channel.Press{Action: action, Value: ref}, Metadata: json.RawMessage(`{}`),
	}
}

// asks has an execution wait for people. It was asked for in the thread, unless by is empty.
func (a *asking) asks(change ...func(*writ.ApprovalRequest)) (writ.ExecutionID, writ.Digest) {
	a.t.Helper()
	id := a.hears(words("U2", fmt.Sprint("open ", a.sent), true)).Execution
	return id, a.opens(id, change...)
}

func (a *asking) opens(id writ.ExecutionID, change ...func(*writ.ApprovalRequest)) writ.Digest {
	a.t.Helper()
	digest := a.opened(id, change...)
	synctest.Wait()
	time.Sleep(time.Millisecond)
	return digest
}

func (a *asking) opened(id writ.ExecutionID, change ...func(*writ.ApprovalRequest)) writ.Digest {
	a.t.Helper()
	now := writ.Clock(time.Now).Now()
	r := &writ.ApprovalRequest{
		Tenant: writ.DefaultTenant, Execution: id, Step: "stp_do", StepName: "do", Skill: writ.SkillRef{Key: "acme/door", Version: "1.0.0"}, Action: "open",
		Effect: abi.EffectWriteExternal, Risk: writ.RiskMedium, Input: json.RawMessage(`{"door":"cellar"}`), Taint: []writ.Label{writ.LabelChannel},
		Summary: "acme/door open", Reasons: []writ.Reason{{Rule: "writes", Message: "it writes to the outside"}}, Requirement: writ.Requirement{Count: 1, Roles: []string{"approver"}},
		Requester: "agent:bot", OpenedAt: now, DecideBy: now.Add(time.Hour),
	}
	for _, f := range change {
		f(r)
	}
	digest, err := r.Digest()
	if err != nil {
		a.t.Fatal(err)
	}
	raw, err := canon.MarshalJSON(r)
	if err != nil {
		a.t.Fatal(err)
	}
	public := *r
	public.Input = nil
	a.desk.append(writ.DefaultTenant, id, writ.NewRecord{
		Type: writ.RecApprovalOpened, Step: "stp_do", Attempt: 1, Payloads: []writ.Payload{{Name: writ.PayloadRequest, Data: raw}},
		Body: writ.Body{Approval: &writ.ApprovalFacts{Digest: digest, Status: writ.ApprovalPending, Request: &public}},
	})
	return digest
}

// decided is another's word, said elsewhere.
func (a *asking) decided(id writ.ExecutionID, digest writ.Digest, status writ.ApprovalStatus, d *writ.Decision) {
	a.t.Helper()
	a.desk.append(writ.DefaultTenant, id, writ.NewRecord{
		Type: writ.RecApprovalDecided, Step: "stp_do", Attempt: 1, Body: writ.Body{Approval: &writ.ApprovalFacts{Digest: digest, Status: status, Decision: d}},
	})
	synctest.Wait()
	time.Sleep(time.Millisecond)
}

func refOf(digest writ.Digest) string { return canon.ID("apr", canon.DomainApproval, []byte(digest)) }

// decisions are those of a step, as the journal has them.
func (a *asking) decisions(id writ.ExecutionID) []writ.Decision {
	a.t.Helper()
	e, err := a.journal.Execution(context.Background(), writ.DefaultTenant, id)
	if err != nil {
		a.t.Fatal(err)
	}
	return e.Steps[0].Approval.Decisions
}

// last is the last message as it stands.
func (a *asking) last() *channel.Outgoing {
	a.t.Helper()
	all := a.room.said()
	if len(all) == 0 {
		a.t.Fatal("nothing was said")
	}
	return &all[len(all)-1]
}

func TestPeopleAreAskedAndDecideByAButton(t *testing.T) {
	whileAsking(t, func(t *testing.T, a *asking) {
		id, digest := a.asks()
		ask := a.last()
		ref := refOf(digest)
		want := []channel.Button{
			{Label: "Approve", Press: channel.Press{Action: "approve", Value: ref}, Style: channel.StyleGood},
			{Label: "Reject", Press: channel.Press{Action: "reject", Value: ref}, Style: channel.StyleBad},
		}
		if ask.Heading != "Approval needed: acme/door#open" || !slices.Equal(ask.Buttons, want) || ask.Field == nil || ask.Thread != "t" || ask.Replaces != "" {
			t.Errorf("%+v", ask)
		}
		for _, part := range []string{
			"What: acme/door open", "Effect: write-external", "Risk: medium", "Asked by: agent:bot", "Because: it writes to the outside", "Data from: channel",
			"Needs: 1 of 1 people, of the role approver", "Until: 1 January 2000, 01:00 UTC", `"door": "cellar"`, "/writ approve " + ref, "/writ reject " + ref + " REASON", string(id),
		} {
			if !strings.Contains(ask.Plain(), part) {
				t.Errorf("%q is not in\n%s", part, ask.Plain())
			}
		}
		o := a.hears(press("U3", "approve", ref, ""))
		if o.Status != writ.DeliveryDecided || o.Principal != "human:bob" || o.Execution != id || o.Answer != "" {
			t.Errorf("%+v", o)
		}
		d := a.decisions(id)
		if len(d) != 1 || !d[0].Approved || d[0].Via == nil || d[0].Via.Channel != "room/a" || d[0].Via.Sender != "U3" || !strings.HasPrefix(string(d[0].Via.Delivery), "dlv_") {
			t.Fatalf("%+v", d)
		}
		if after := a.last(); after.Heading != "Approved: acme/door#open" || after.Buttons != nil || after.Field != nil || after.Replaces == "" || !strings.Contains(after.Plain(), "Approved by: human:bob") {
			t.Errorf("%+v", after)
		}
		if n := len(a.room.said()); n != 2 { // that it is under way, and what is asked
			t.Errorf("%d messages: %+v", n, a.room.said())
		}
	})
}

func TestARejectionHasAReason(t *testing.T) {
	whileAsking(t, func(t *testing.T, a *asking) {
		id, digest := a.asks()
		if o := a.hears(press("U3", "reject", refOf(digest), " \n")); o.Status != writ.DeliveryRefused || o.Code != writ.CodeInvalid || !strings.Contains(o.Answer, "write the reason") || len(a.decisions(id)) != 0 {
			t.Errorf("%+v", o)
		}
		if o := a.hears(words("U3", "writ reject", true)); o.Status != writ.DeliveryRefused || o.Code != writ.CodeInvalid || len(a.decisions(id)) != 0 {
			t.Errorf("%+v", o)
		}
		if o := a.hears(press("U3", "reject", refOf(digest), "wrong door")); o.Status != writ.DeliveryDecided || o.Message != "rejected" {
			t.Errorf("%+v", o)
		}
		if d := a.decisions(id); len(d) != 1 || d[0].Approved || d[0].Note != "wrong door" || d[0].Via == nil {
			t.Errorf("%+v", d)
		}
		if after := a.room.said()[1].Plain(); !strings.Contains(after, "Rejected: acme/door#open") || !strings.Contains(after, "Rejected by: human:bob: wrong door") {
			t.Error(after)
		}
	})
}

// TestWordsDecide: the name of a request, or a bare word where one thing waits.
func TestWordsDecide(t *testing.T) {
	for said, want := range map[string]struct {
		status writ.DeliveryStatus
		yes    bool
		note   string
	}{
		"/approve":                     {writ.DeliveryDecided, true, ""},
		"/approve fine by me":          {writ.DeliveryDecided, true, "fine by me"},
		"/APPROVE REF":                 {writ.DeliveryDecided, true, ""},
		"/approve REF go":              {writ.DeliveryDecided, true, "go"},
		"/approve@writbot REF":         {writ.DeliveryDecided, true, ""},
		"@writ /approve":               {writ.DeliveryDecided, true, ""},
		"approve":                      {writ.DeliveryDecided, true, ""},
		"approve REF":                  {writ.DeliveryDecided, true, ""},
		"writ approve":                 {writ.DeliveryDecided, true, ""},
		"/writ approve REF":            {writ.DeliveryDecided, true, ""},
		"/reject not this door":        {writ.DeliveryDecided, false, "not this door"},
		"/writ reject REF not this":    {writ.DeliveryDecided, false, "not this"},
		"approve the budget":           {writ.DeliveryAnswered, false, ""},
		"/approve apr_0000":            {writ.DeliveryDecided, true, "apr_0000"},
		"/approve " + refOf("another"): {writ.DeliveryRefused, false, ""},
		"please /approve":              {writ.DeliveryAnswered, false, ""},
	} {
		whileAsking(t, func(t *testing.T, a *asking) {
			id, digest := a.asks()
			o := a.hears(words("U3", strings.ReplaceAll(said, "REF", refOf(digest)), true))
			d := a.decisions(id)
			if o.Status != want.status || len(d) != 0 != (want.status == writ.DeliveryDecided) || len(d) == 1 && (d[0].Approved != want.yes || d[0].Note != want.note) {
				t.Errorf("%s: %+v, %+v", said, o, d)
			}
			if want.status == writ.DeliveryDecided && !strings.Contains(o.Answer, "by human:bob: acme/door open, of "+string(id)) {
				t.Errorf("%s: %q", said, o.Answer)
			}
		})
	}
}

// TestWhoMayNotDecide: the law of approvals is the engine's, and a channel opens no way
// round it.
func TestWhoMayNotDecide(t *testing.T) {
	for name, test := range map[string]struct {
		sender string
		change func(*writ.ApprovalRequest)
		closed bool // the channel does not decide
		code   writ.Code
	}{
		"an agent":                 {sender: "U2", code: writ.CodeForbidden},
		"nobody here":              {sender: "U9", code: writ.CodeForbidden},
		"who has not the role":     {sender: "U4", code: writ.CodeForbidden},
		"who asked for it":         {sender: "U3", change: func(r *writ.ApprovalRequest) { r.Requester = "human:bob" }, code: writ.CodeForbidden},
		"about a high risk":        {sender: "U3", change: func(r *writ.ApprovalRequest) { r.Risk = writ.RiskHigh }, code: writ.CodeNotFound},
		"about private data":       {sender: "U3", change: func(r *writ.ApprovalRequest) { r.Taint = []writ.Label{writ.LabelPrivate} }, code: writ.CodeNotFound},
		"about what is not shown":  {sender: "U3", change: func(r *writ.ApprovalRequest) { r.Input = json.RawMessage(`{"x":"` + strings.Repeat("y", 4000) + `"}`) }, code: writ.CodeNotFound},
		"where nothing is decided": {sender: "U3", closed: true, code: writ.CodeForbidden},
	} {
		synctest.Test(t, func(t *testing.T) {
			a := newAsking(t, func(c *contract.Channel) { c.Decides = !test.closed })
			a.live()
			var changes []func(*writ.ApprovalRequest)
			if test.change != nil {
				changes = append(changes, test.change)
			}
			id, digest := a.asks(changes...)
			for _, m := range []channel.Message{press(test.sender, "approve", refOf(digest), ""), words(test.sender, "/approve "+refOf(digest), true), words(test.sender, "/approve", true)} {
				if o := a.hears(m); o.Status != writ.DeliveryRefused || o.Code != test.code {
					t.Errorf("%s: %+v", name, o)
				}
			}
			if len(a.decisions(id)) != 0 {
				t.Errorf("%s: it was decided", name)
			}
			a.still()
		})
	}
}

func TestWhatIsNotShownWholeIsDecidedElsewhere(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*writ.ApprovalRequest)
		why    string
		hidden string
	}{
		"a high risk":   {func(r *writ.ApprovalRequest) { r.Risk = writ.RiskHigh }, "its risk is high", ""},
		"private data":  {func(r *writ.ApprovalRequest) { r.Taint = []writ.Label{writ.LabelChannel, writ.LabelPrivate} }, "some of its data is private", "cellar"},
		"a secret":      {func(r *writ.ApprovalRequest) { r.Taint = []writ.Label{writ.LabelSecret} }, "some of its data is private", "cellar"},
		"too much data": {func(r *writ.ApprovalRequest) { r.Input = json.RawMessage(`{"x":"` + strings.Repeat("y", 4000) + `"}`) }, "too long to be shown here", "yyy"},
	} {
		whileAsking(t, func(t *testing.T, a *asking) {
			id, _ := a.asks(test.change)
			said := a.last()
			if text := said.Plain(); said.Buttons != nil || said.Field != nil || !strings.Contains(text, test.why) || !strings.Contains(text, "writ exec approve "+string(id)+" do") || test.hidden != "" && strings.Contains(text, test.hidden) {
				t.Errorf("%s: %+v", name, said)
			}
		})
	}
}

// TestARoomIsAskedAboutWhateverWaits, wherever it comes from, and private data is shown
// there.
func TestARoomIsAskedAboutWhateverWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAsking(t)
		id := a.hear(words("U1", "open cellar", true)).Execution // in another channel, which decides nothing
		digest := a.opens(id, func(r *writ.ApprovalRequest) { r.Taint = []writ.Label{writ.LabelPrivate} })
		a.live()
		if len(a.room.said()) != 0 {
			t.Fatalf("%+v", a.room.said())
		}
		a.add(writ.DefaultTenant, func(c *contract.Channel) {
			c.Name, c.Token, c.Decides, c.AskIn, c.Triggers = "room/a", "hook", true, "approvals", nil
			c.Members = []contract.ChannelMember{{Sender: "U3", PrincipalID: "human:bob"}}
		})
		time.Sleep(time.Minute)
		synctest.Wait()
		if ask := a.last(); ask.Thread != "approvals" || ask.Buttons == nil || !strings.Contains(ask.Plain(), "cellar") {
			t.Errorf("%+v", ask)
		}
		m := press("U3", "approve", refOf(digest), "")
		m.Thread = "approvals/of that message"
		if o := a.hears(m); o.Status != writ.DeliveryDecided {
			t.Errorf("%+v", o)
		}
		if after := a.last(); after.Heading != "Approved: acme/door#open" || len(a.room.said()) != 1 {
			t.Errorf("%+v", a.room.said())
		}
		a.still()
	})
}

// TestAThreadIsAskedAfterARoom: what waits before its delivery is handled is asked in the
// room, and in the thread as soon as it is known to be one; once in each, and decided in
// either.
func TestAThreadIsAskedAfterARoom(t *testing.T) {
	for name, thread := range map[string]string{"in the room": "approvals", "in the thread": "t"} {
		synctest.Test(t, func(t *testing.T) {
			a := newAsking(t, func(c *contract.Channel) { c.AskIn = "approvals" })
			var digest writ.Digest
			a.desk.submitted = func(id writ.ExecutionID) {
				digest = a.opened(id)
				time.Sleep(time.Microsecond) // until the room was asked
				if all := a.room.said(); len(all) != 1 || all[0].Thread != "approvals" {
					t.Errorf("%+v", all)
				}
			}
			a.live()
			id := a.hears(words("U2", "open it", true)).Execution
			asked := map[string]int{}
			for _, m := range a.room.said() {
				if len(m.Buttons) > 0 {
					asked[m.Thread]++
				}
			}
			if asked["approvals"] != 1 || asked["t"] != 1 || len(asked) != 2 {
				t.Errorf("%s: %v: %+v", name, asked, a.room.said())
			}
			m := press("U3", "approve", refOf(digest), "")
			m.Thread = thread
			if o := a.hears(m); o.Status != writ.DeliveryDecided || len(a.decisions(id)) != 1 {
				t.Errorf("%s: %+v", name, o)
			}
			for _, m := range a.room.said() {
				if m.Heading != "" && (m.Heading != "Approved: acme/door#open" || m.Buttons != nil) {
					t.Errorf("%s: %+v", name, m)
				}
			}
			a.still()
		})
	}
}

// TestWhatChangedIsNotDecidedBlindly: a stale button says what became of it, and a bare
// word is not taken for what came after.
func TestWhatChangedIsNotDecidedBlindly(t *testing.T) {
	whileAsking(t, func(t *testing.T, a *asking) {
		id, first := a.asks()
		a.decided(id, first, writ.ApprovalRejected, &writ.Decision{By: "human:eve", Edited: "exe_after", At: 1})
		if after := a.last().Plain(); !strings.Contains(after, "Edited: acme/door#open") || !strings.Contains(after, "exe_after") || !strings.Contains(after, "Edited by: human:eve") {
			t.Error(after)
		}
		second := a.opens(id, func(r *writ.ApprovalRequest) { r.Input = json.RawMessage(`{"door":"vault"}`) })
		if o := a.hears(press("U3", "approve", refOf(first), "")); o.Status != writ.DeliveryRefused || o.Code != writ.CodeConflict || !strings.Contains(o.Answer, "not what you saw") {
			t.Errorf("%+v", o)
		}
		if o := a.hears(words("U3", "/approve", true)); o.Status != writ.DeliveryRefused || o.Code != writ.CodeConflict || !strings.Contains(o.Answer, "a moment ago") || !strings.Contains(o.Answer, refOf(second)) {
			t.Errorf("%+v", o)
		}
		time.Sleep(2 * time.Minute)
		if o := a.hears(words("U3", "/approve", true)); o.Status != writ.DeliveryDecided {
			t.Errorf("%+v", o)
		}
	})
}

func TestABareWordWhereSeveralThingsWaitIsRefused(t *testing.T) {
	whileAsking(t, func(t *testing.T, a *asking) {
		one, _ := a.asks()
		two, digest := a.asks()
		if o := a.hears(words("U3", "/approve", true)); o.Code != writ.CodeConflict || !strings.Contains(o.Answer, "2 things wait here") {
			t.Errorf("%+v", o)
		}
		if o := a.hears(words("U3", "/approve "+refOf(digest), true)); o.Status != writ.DeliveryDecided || len(a.decisions(one)) != 0 || len(a.decisions(two)) != 1 {
			t.Errorf("%+v", o)
		}
	})
}

// TestWhatWasNotShownYetIsNotApproved: the provider takes nothing, and somebody says yes.
func TestWhatWasNotShownYetIsNotApproved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAsking(t)
		a.room.answer = func(int, *channel.Outgoing) (bool, error) { return false, channel.Limited("room", time.Minute) }
		a.live()
		id, _ := a.asks()
		if o := a.hears(words("U3", "/approve", true)); o.Code != writ.CodeConflict || !strings.Contains(o.Answer, "not shown yet") || len(a.decisions(id)) != 0 {
			t.Errorf("%+v", o)
		}
		a.still()
	})
}

func TestTwoPeopleDecideAndTheMessageSaysWhoHas(t *testing.T) {
	whileAsking(t, func(t *testing.T, a *asking) {
		id, digest := a.asks(func(r *writ.ApprovalRequest) { r.Requirement.Count = 2 })
		if o := a.hears(press("U3", "approve", refOf(digest), "")); o.Status != writ.DeliveryDecided {
			t.Errorf("%+v", o)
		}
		if half := a.last(); half.Buttons == nil || !strings.Contains(half.Plain(), "Approved by: human:bob") || !strings.Contains(half.Plain(), "1 of 2 people") {
			t.Errorf("%+v", half)
		}
		if o := a.hears(press("U3", "approve", refOf(digest), "")); o.Code != writ.CodeConflict || len(a.decisions(id)) != 1 {
			t.Errorf("the same person again: %+v", o)
		}
		if o := a.hears(words("U1", "/approve", true)); o.Status != writ.DeliveryDecided || len(a.decisions(id)) != 2 {
			t.Errorf("%+v", o)
		}
		if n := len(a.room.said()); a.room.said()[1].Heading != "Approved: acme/door#open" || n != 4 {
			t.Errorf("%d: %+v", n, a.room.said())
		}
	})
}

// TestAProcessThatDiesAsksAndDecidesOnce: at each batch in turn, the disk is gone.
func TestAProcessThatDiesAsksAndDecidesOnce(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		lives := rapid.SliceOfN(rapid.IntRange(0, 12), 1, 4).Draw(rt, "batches that each life writes")
		synctest.Test(t, func(t *testing.T) {
			a := newAsking(t)
			a.live()
			id := a.hears(words("U2", "open cellar", true)).Execution
			a.still()
			f := &fuse{Journal: a.journal}
			a.opts.Journal = f
			f.set(1 << 30)
			digest := a.opens(id)
			pressed := false
			for _, n := range append(lives, 1<<30) {
				f.set(n)
				a.restart()
				a.live()
				time.Sleep(2 * time.Minute)
				synctest.Wait()
				if asked := slices.ContainsFunc(a.room.said(), func(o channel.Outgoing) bool { return o.Buttons != nil }); asked && !pressed {
					pressed = true
					body, _ := json.Marshal([]channel.Message{press("U3", "approve", refOf(digest), "")})
					f.set(n)
					if _, err := a.serve(a.signed("/webhooks/room/a", "the press", body)); err != nil {
						pressed = false
					}
					time.Sleep(2 * time.Minute)
					synctest.Wait()
				}
				a.still()
			}
			if d := a.decisions(id); !pressed || len(d) != 1 || !d[0].Approved {
				t.Fatalf("pressed %v: %+v", pressed, d)
			}
			said := map[string]int{} // where a process died while it spoke, nobody knows and nothing is said again
			for i := range a.room.took {
				said[a.room.took[i].Heading]++
			}
			if said["Approval needed: acme/door#open"] != 1 || said["Approved: acme/door#open"] > 1 || len(said) > 3 {
				t.Fatalf("%+v", said)
			}
			if docs, err := a.journal.List(context.Background(), writ.StoreQuery{Tenant: writ.DefaultTenant, Prefix: "asked/"}); err != nil || len(docs) != 0 {
				t.Fatalf("%d are still asked: %v", len(docs), err)
			}
			a.restart()
			for _, o := range a.handled() {
				if o.Kind == "pressed" && o.Status != writ.DeliveryDecided {
					t.Errorf("%+v", o)
				}
			}
		})
	})
}

// TestNothingHidesInWhatIsApproved: what people would not see, or would turn other text
// around, is written out.
func TestNothingHidesInWhatIsApproved(t *testing.T) {
	whileAsking(t, func(t *testing.T, a *asking) {
		a.asks(func(r *writ.ApprovalRequest) {
			r.Input = json.RawMessage("{\"door\":\"a\u202eb\u200bc\u00a0d\u3164e\U000e0041f\u2028g \u05d0 \U0001f600\"}")
			r.Summary = "open\nApproved by: human:bob"
			r.Reasons[0].Message = "x\u202ey"
		})
		text := a.last().Plain()
		if want := `"a\u202eb\u200bc\u00a0d\u3164e\udb40\udc41f\u2028g ` + "\u05d0 \U0001f600" + `"`; !strings.Contains(text, want) || !strings.Contains(text, `x\u202ey`) {
			t.Errorf("%q", text)
		}
		if strings.Contains(text, "\nApproved by") {
			t.Errorf("%q", text)
		}
	})
}

func TestWhatWasClosedLongAgoIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAsking(t)
		a.live()
		_, digest := a.asks()
		a.hears(press("U3", "approve", refOf(digest), ""))
		count := func() (n int) {
			for _, prefix := range []string{"asked/", "askref/", "askin/", "askold/"} {
				docs, err := a.journal.List(context.Background(), writ.StoreQuery{Tenant: writ.DefaultTenant, Prefix: prefix})
				if err != nil {
					t.Fatal(err)
				}
				n += len(docs)
			}
			return n
		}
		if n := count(); n != 3 {
			t.Errorf("%d documents of what was closed", n)
		}
		a.still()
		a.opts.Clock = func() time.Time { return time.Now().Add(7 * 24 * time.Hour) }
		a.restart()
		a.live()
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if n := count(); n != 0 {
			t.Errorf("%d documents are left", n)
		}
		if o := a.hears(press("U3", "approve", refOf(digest), "")); o.Code != writ.CodeNotFound {
			t.Errorf("%+v", o)
		}
		a.still()
	})
}

// FuzzVisible: what is shown has nothing that hides, and is JSON where that was.
func FuzzVisible(f *testing.F) {
	f.Add("a\u202e")
	f.Add("\U000e0041\u3164\u200d")
	f.Fuzz(func(t *testing.T, text string) {
		raw, err := canon.MarshalJSON(map[string]string{"text": strings.ToValidUTF8(text, "?")})
		if err != nil {
			return // it is no text
		}
		shown := channel.Values(raw)
		var back map[string]string
		if err := json.Unmarshal([]byte(shown), &back); err != nil || back["text"] != strings.ToValidUTF8(text, "?") {
			t.Fatalf("%q shows %q: %v", text, shown, err)
		}
	})
}

// TestAFullOutboxKeepsNoThreadFromBeingTold: who is to decide is asked once there is room.
func TestAFullOutboxKeepsNoThreadFromBeingTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAsking(t)
		var free atomic.Bool
		a.room.answer = func(int, *channel.Outgoing) (bool, error) {
			if !free.Load() {
				return false, channel.Limited("room", 0)
			}
			return true, nil
		}
		a.opts.Outbox = 1
		a.restart()
		a.live()
		id, digest := a.asks() // that it is under way fills the outbox
		done := a.hears(words("U1", "open gate", true)).Execution
		a.desk.reach(writ.DefaultTenant, done, writ.ExecCompleted, writ.LabelChannel)
		synctest.Wait()
		if told := a.told(); len(told) != 1 || told[0].Execution != done {
			t.Errorf("%+v", told)
		}
		free.Store(true)
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		if o := a.hears(press("U3", "approve", refOf(digest), "")); o.Status != writ.DeliveryDecided || len(a.decisions(id)) != 1 {
			t.Errorf("%+v", o)
		}
		a.still()
	})
}

// TestWhatIsClosedIsNotAskedAgain: a message that was given up is sent again only while
// what it asks can be decided.
func TestWhatIsClosedIsNotAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAsking(t)
		a.room.answer = func(_ int, out *channel.Outgoing) (bool, error) {
			if len(out.Buttons) > 0 {
				return false, writ.Errorf(writ.CodeForbidden, "room", "not in the room")
			}
			return true, nil
		}
		a.live()
		_, digest := a.asks()
		box, err := a.Outbox(as(writ.DefaultTenant), &contract.ChannelOutboxInput{})
		if err != nil || len(box.Items) != 1 || box.Items[0].Status != contract.MessageFailed {
			t.Fatalf("%+v, %v", box, err)
		}
		again := &contract.ChannelResendInput{MessageID: box.Items[0].MessageID, Reason: "the bot is in the room"}
		if _, err := a.Resend(as(writ.DefaultTenant), again); err != nil {
			t.Errorf("while it waits: %v", err)
		}
		synctest.Wait()
		a.hears(words("U3", "/approve "+refOf(digest), true))
		if _, err := a.Resend(as(writ.DefaultTenant), again); !writ.IsCode(err, writ.CodeConflict) {
			t.Errorf("after it was decided: %v", err)
		}
		a.still()
	})
}
