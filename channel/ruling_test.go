package channel_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/channel"
	"github.com/writ-run/writ/contract"
)

// document puts one into the store, whatever it says.
func (a *asking) document(key, value string) {
	a.t.Helper()
	written, err := a.journal.Append(context.Background(), &writ.Batch{
		Tenant: writ.DefaultTenant, Stream: writ.SystemStream, Expect: writ.AnySeq, Changes: []writ.Change{{Key: key, Value: []byte(value)}},
		Records: []writ.NewRecord{{Type: writ.RecChannelChanged, Time: writ.Clock(time.Now).Now(), Body: writ.Body{System: &writ.SystemFacts{Subject: key}}}},
	})
	if err == nil {
		err = a.journal.Barrier(context.Background(), written.Position)
	}
	if err != nil {
		a.t.Fatal(err)
	}
}

// TestABareWordIsNotTakenFromWhatIsDecidedElsewhere: a thread in which two things are shown
// has two, whichever of them may be decided there.
func TestABareWordIsNotTakenFromWhatIsDecidedElsewhere(t *testing.T) {
	whileAsking(t, func(t *testing.T, a *asking) {
		id, _ := a.asks()
		_, high := a.asks(func(r *writ.ApprovalRequest) { r.Risk = writ.RiskHigh })
		if o := a.hears(words("U3", "/approve", true)); o.Code != writ.CodeConflict || !strings.Contains(o.Answer, "2 things wait here") || len(a.decisions(id)) != 0 {
			t.Errorf("%+v", o)
		}
		if o := a.hears(words("U3", "/approve "+refOf(high), true)); o.Code != writ.CodeNotFound {
			t.Errorf("%+v", o)
		}
	})
}

// TestAWordThatComesLateIsOfWhenItWasSaid: a provider brings it when the next thing waits.
func TestAWordThatComesLateIsOfWhenItWasSaid(t *testing.T) {
	whileAsking(t, func(t *testing.T, a *asking) {
		id, first := a.asks()
		late := words("U3", "/approve", true)
		late.At = writ.Clock(time.Now).Now()
		a.decided(id, first, writ.ApprovalRejected, &writ.Decision{By: "human:eve", At: 1})
		time.Sleep(2 * time.Minute)
		next, _ := a.asks()
		time.Sleep(2 * time.Minute)
		if o := a.hears(late); o.Status != writ.DeliveryRefused || o.Code != writ.CodeConflict || len(a.decisions(next)) != 0 {
			t.Errorf("%+v: %+v", o, a.decisions(next))
		}
		now := words("U3", "/approve", true)
		now.At = writ.Clock(time.Now).Now().Add(time.Hour) // a clock that is ahead
		if o := a.hears(now); o.Status != writ.DeliveryDecided || len(a.decisions(next)) != 1 {
			t.Errorf("%+v", o)
		}
	})
}

// TestAMemberWhoIsRemovedWhileAPressWaitsDecidesNothing: it is read, and in a worker's queue.
func TestAMemberWhoIsRemovedWhileAPressWaitsDecidesNothing(t *testing.T) {
	for name, change := range map[string]func(*contract.Channel){
		"no member":          func(c *contract.Channel) { c.Members = c.Members[:1] },
		"another's":          func(c *contract.Channel) { c.Members[1].PrincipalID = "human:eve" },
		"nothing is decided": func(c *contract.Channel) { c.Decides = false },
	} {
		synctest.Test(t, func(t *testing.T) {
			a := newAsking(t)
			a.opts.Workers = 1
			a.restart()
			a.live()
			id, digest := a.asks()
			c := contract.Channel{
				Name: "room/a", Secrets: []string{"hook"}, Token: "hook", Decides: true,
				Members: []contract.ChannelMember{{Sender: "U2", PrincipalID: "agent:bot"}, {Sender: "U3", PrincipalID: "human:bob"}},
			}
			change(&c)
			a.desk.submitted = func(writ.ExecutionID) {
				body, err := json.Marshal([]channel.Message{press("U3", "approve", refOf(digest), "")})
				if err == nil {
					_, err = a.serve(a.signed("/webhooks/room/a", "the press", body))
				}
				time.Sleep(time.Millisecond) // until it is read
				if _, bad := a.Add(as(writ.DefaultTenant), &contract.ChannelAddInput{Channel: c}); err != nil || bad != nil {
					t.Error(err, bad)
				}
			}
			a.says(words("U2", "open another", true))
			synctest.Wait()
			all := a.handled()
			if o := all[len(all)-1]; o.Kind != "pressed" || o.Status != writ.DeliveryRefused || o.Code != writ.CodeForbidden || len(a.decisions(id)) != 0 {
				t.Errorf("%s: %+v, %+v", name, o, a.decisions(id))
			}
			a.still()
		})
	}
}

// TestABareWordThatCountedIsNotRefusedAfterACrash: the word is taken, the process dies, and
// what it was about is closed when it is looked at again.
func TestABareWordThatCountedIsNotRefusedAfterACrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAsking(t)
		f := &fuse{Journal: a.journal}
		f.set(1 << 30)
		a.opts.Journal = f
		a.restart()
		a.live()
		id, _ := a.asks()
		a.still()
		a.begin()
		f.set(1) // of the delivery, and not of what came of it
		a.says(words("U3", "/approve", true))
		a.halt()
		if d := a.decisions(id); len(d) != 1 {
			t.Fatalf("%+v", d)
		}
		f.set(1 << 30)
		a.restart()
		end := a.following()
		synctest.Wait()
		end()
		a.drain()
		all := a.handled()
		if o := all[len(all)-1]; o.Status != writ.DeliveryDecided || o.Execution != id || len(a.decisions(id)) != 1 {
			t.Errorf("%+v", o)
		}
	})
}

// TestOneDeliveryWithBothWordsDecidesOnce: the second is refused, and not called decided.
func TestOneDeliveryWithBothWordsDecidesOnce(t *testing.T) {
	whileAsking(t, func(t *testing.T, a *asking) {
		id, digest := a.asks()
		yes, no := press("U3", "approve", refOf(digest), ""), press("U3", "reject", refOf(digest), "no")
		yes.ID, no.ID = "yes", "no"
		body, err := json.Marshal([]channel.Message{yes, no})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.serve(a.signed("/webhooks/room/a", "both", body)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		all := a.handled()
		one, two := all[len(all)-2], all[len(all)-1]
		if one.Status != writ.DeliveryDecided || two.Status != writ.DeliveryRefused || two.Code != writ.CodeConflict || len(a.decisions(id)) != 1 {
			t.Errorf("%+v\n%+v", one, two)
		}
	})
}

// TestAStarDecidesNothing, even where a document says that it is a person.
func TestAStarDecidesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAsking(t)
		a.document("channel/room/a", `{"name":"room/a","secrets":["hook"],"token":"hook","decides":true,"members":[{"sender":"U2","principalId":"agent:bot"},{"sender":"*","principalId":"human:bob"}]}`)
		a.restart()
		a.live()
		id, digest := a.asks()
		for _, m := range []channel.Message{press("U7", "approve", refOf(digest), ""), words("U7", "/approve", true)} {
			if o := a.hears(m); o.Status != writ.DeliveryRefused || o.Code != writ.CodeForbidden || len(a.decisions(id)) != 0 {
				t.Errorf("%+v", o)
			}
		}
		a.still()
	})
}

// TestABrokenDocumentKeepsNobodyFromBeingAsked about another execution.
func TestABrokenDocumentKeepsNobodyFromBeingAsked(t *testing.T) {
	for key, value := range map[string]string{"following/exe_0broken": `{}`, "asked/exe_0broken/apr_x": `[]`} {
		synctest.Test(t, func(t *testing.T) {
			a := newAsking(t)
			a.document(key, value)
			a.live()
			id, digest := a.asks()
			if o := a.hears(press("U3", "approve", refOf(digest), "")); o.Status != writ.DeliveryDecided || len(a.decisions(id)) != 1 {
				t.Errorf("%s: %+v", key, o)
			}
			if after := a.last(); after.Heading != "Approved: acme/door#open" {
				t.Errorf("%s: %+v", key, after)
			}
			a.still()
		})
	}
}

// TestALongTargetKeepsNobodyFromBeingAsked, and leaves room for how it is decided.
func TestALongTargetKeepsNobodyFromBeingAsked(t *testing.T) {
	for _, size := range []int{5_000, 400_000} {
		whileAsking(t, func(t *testing.T, a *asking) {
			long, _ := a.asks(func(r *writ.ApprovalRequest) {
				r.Summary = "acme/door open: GET https://a.example/" + strings.Repeat("x", size)
			})
			if text := a.last().Plain(); len(text) > (*talk)(nil).Longest() || !strings.Contains(text, "writ exec approve "+string(long)+" do") || !strings.Contains(text, "GET https://a.example/x") {
				t.Errorf("%d: %.300s", size, text)
			}
			_, digest := a.asks()
			if o := a.hears(press("U3", "approve", refOf(digest), "")); o.Status != writ.DeliveryDecided {
				t.Errorf("%d: %+v", size, o)
			}
		})
	}
}

// TestWhereACallGoesIsDataToo: a target may be made of what is private, and so may what
// people note.
func TestWhereACallGoesIsDataToo(t *testing.T) {
	for _, label := range []writ.Label{writ.LabelPrivate, writ.LabelSecret} {
		synctest.Test(t, func(t *testing.T) {
			a := newAsking(t, func(c *contract.Channel) { c.AskIn = "approvals" })
			a.live()
			id, digest := a.asks(func(r *writ.ApprovalRequest) {
				r.Taint, r.Summary, r.Requirement.Count = []writ.Label{label}, "acme/door open: DELETE https://a.example/people/ada", 2
			})
			a.decided(id, digest, writ.ApprovalPending, &writ.Decision{By: "human:eve", Approved: true, Note: "people/ada asked me"})
			if label == writ.LabelPrivate {
				if o := a.hears(words("U3", "/approve "+refOf(digest), true)); o.Status != writ.DeliveryDecided || strings.Contains(o.Answer, "people/ada") {
					t.Errorf("%+v", o)
				}
			} else {
				a.decided(id, digest, writ.ApprovalApproved, &writ.Decision{By: "human:bob", Approved: true})
			}
			room := false
			for _, m := range a.room.took {
				shown := strings.Contains(m.Plain(), "people/ada")
				room = room || shown
				if shown && (m.Thread != "approvals" || label == writ.LabelSecret) {
					t.Errorf("%s: %+v", label, m)
				}
			}
			if room != (label == writ.LabelPrivate) {
				t.Errorf("%s: shown %v", label, room)
			}
			a.still()
		})
	}
}

// TestWhatWasShownWithoutButtonsGetsNone, whatever an admin changes meanwhile: nobody would
// be right to press them.
func TestWhatWasShownWithoutButtonsGetsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAsking(t, func(c *contract.Channel) { c.Decides, c.AskIn = false, "approvals" })
		a.live()
		id, digest := a.asks(func(r *writ.ApprovalRequest) { r.Requirement.Count = 2 })
		a.add(writ.DefaultTenant, func(c *contract.Channel) {
			c.Name, c.Token, c.Decides, c.AskIn, c.Triggers = "room/a", "hook", true, "approvals", nil
			c.Members = []contract.ChannelMember{{Sender: "U3", PrincipalID: "human:bob"}}
		})
		a.decided(id, digest, writ.ApprovalPending, &writ.Decision{By: "human:eve", Approved: true})
		for _, m := range a.room.said() {
			if m.Thread == "approvals" && (m.Buttons != nil || !strings.Contains(m.Plain(), "Approved by: human:eve") || !strings.Contains(m.Plain(), "it is not decided in this channel")) {
				t.Errorf("%+v", m)
			}
		}
		a.still()
	})
}

// TestWhatIsNotShownWholeAnyMoreIsNotDecidedThere: what others said leaves no room for it.
func TestWhatIsNotShownWholeAnyMoreIsNotDecidedThere(t *testing.T) {
	whileAsking(t, func(t *testing.T, a *asking) {
		id, digest := a.asks(func(r *writ.ApprovalRequest) {
			r.Requirement.Count, r.Input = 2, json.RawMessage(`{"x":"`+strings.Repeat("y", 3_200)+`"}`)
		})
		a.decided(id, digest, writ.ApprovalPending, &writ.Decision{By: "human:eve", Approved: true, Note: strings.Repeat("z", 600)})
		if m := a.last(); m.Buttons != nil || !strings.Contains(m.Plain(), "too long to be shown here") {
			t.Errorf("%+v", m)
		}
		for _, m := range []channel.Message{press("U3", "approve", refOf(digest), ""), words("U3", "/approve", true)} {
			if o := a.hears(m); o.Status != writ.DeliveryRefused || o.Code != writ.CodeNotFound || len(a.decisions(id)) != 1 {
				t.Errorf("%+v", o)
			}
		}
	})
}

// TestNeedsNamesTheSeatsThatAreOpen where enough people said yes, and not the right ones.
func TestNeedsNamesTheSeatsThatAreOpen(t *testing.T) {
	whileAsking(t, func(t *testing.T, a *asking) {
		id, digest := a.asks(func(r *writ.ApprovalRequest) {
			r.Requirement = writ.Requirement{Count: 2, Quorum: []writ.Seats{{Role: "security", Count: 1}, {Role: "legal", Count: 1}}}
		})
		for _, by := range []writ.PrincipalID{"human:eve", "human:ada", "human:cleo"} {
			a.decided(id, digest, writ.ApprovalPending, &writ.Decision{By: by, Approved: true, Roles: []string{"security"}})
		}
		if text := a.last().Plain(); !strings.Contains(text, "Needs: 1 of 2 people, of the role legal or security, among them 1 of legal\n") {
			t.Error(text)
		}
	})
}

// TestWhatShowsNothingIsWritten as JSON escapes it.
func TestWhatShowsNothingIsWritten(t *testing.T) {
	for _, r := range []rune{
		0x34f, 0x115f, 0x1160, 0x17b4, 0x17b5, 0x180b, 0x180f, 0x2800, 0x3164, 0xfe0f, 0xffa0, 0x16fe4, 0x1d159, 0x13441, 0x13442, 0xe0100,
		0xad, 0x200b, 0x202e, 0x2060, 0x2066, 0xa0, 0x3000, 0x2028, 0xe000, 0xe0041,
	} {
		raw, err := json.Marshal("a" + string(r) + "b")
		if err != nil {
			t.Fatal(err)
		}
		if shown := channel.Values(raw); strings.ContainsRune(shown, r) {
			t.Errorf("%U is in %q", r, shown)
		}
	}
}

// TestWhatAProviderMarksUpIsNotDecidedThere: who decides would see text without its marks.
func TestWhatAProviderMarksUpIsNotDecidedThere(t *testing.T) {
	for input, decides := range map[string]bool{
		`{"files":"*.log*"}`: false, `{"a":"~1~2"}`: false, "{\"a\":\"`x`\"}": false, `{"_id_":1}`: false, `{"a":"x **b** y"}`: false,
		`{"files":"*.log"}`: true, `{"repo_name":"a_b_c"}`: true, `{"_id":"2 * 3 * 4"}`: true, `{"a":"*","b":"*"}`: true,
	} {
		synctest.Test(t, func(t *testing.T) {
			a := newAsking(t)
			a.room.marks = "*_~`"
			a.live()
			_, digest := a.asks(func(r *writ.ApprovalRequest) { r.Input = json.RawMessage(input) })
			if m := a.last(); m.Buttons != nil != decides || !decides && !strings.Contains(m.Plain(), "would not be shown here as it is") {
				t.Errorf("%s: %+v", input, m)
			}
			if o := a.hears(press("U3", "approve", refOf(digest), "")); (o.Status == writ.DeliveryDecided) != decides {
				t.Errorf("%s: %+v", input, o)
			}
			a.still()
		})
	}
}
