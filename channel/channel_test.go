package channel_test

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

func TestADeliveryIsKeptBeforeItIsAnsweredAndHandledOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.add(writ.DefaultTenant)
		r.deliver("m1", "hello")
		r.want() // nobody has looked
		r.restart()
		r.deliver("m1", "hello") // the provider tries again after the crash
		r.drain()
		r.want("hello")
		r.deliver("m1", "hello")
		r.restart()
		r.deliver("m1", "hello")
		r.drain()
		r.want("hello")
		if r.taken.calls != 1 {
			t.Errorf("%d calls", r.taken.calls)
		}
		in := r.taken.by["default "+only(t, r)]
		if in.ChannelKey != "webhook:crm" || in.Origin != writ.OriginChannel || !in.Run || in.Draft != "draft" {
			t.Errorf("%+v", in)
		}
	})
}

// only is the one idempotency key that there is.
func only(t *testing.T, r *rig) string {
	t.Helper()
	if len(r.taken.by) != 1 {
		t.Fatalf("%d intents", len(r.taken.by))
	}
	for key := range r.taken.by {
		_, key, _ = strings.Cut(key, " ")
		return key
	}
	return ""
}

// TestACrashAfterTheIntentSubmitsNothingTwice: it was taken, and then nothing more was
// written.
func TestACrashAfterTheIntentSubmitsNothingTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.add(writ.DefaultTenant)
		r.deliver("m1", "hello")
		journal := &cutJournal{Journal: r.journal}
		r.opts.Journal = journal
		r.restart()
		journal.cut.Store(true)
		r.drain() // submits, and cannot record it
		r.want("hello")
		r.opts.Journal = r.journal
		r.restart()
		r.drain()
		r.want("hello")
		if r.taken.calls != 2 {
			t.Errorf("%d calls, want the same one twice", r.taken.calls)
		}
		r.restart()
		r.drain()
		if r.taken.calls != 2 {
			t.Errorf("%d calls: it was handled already", r.taken.calls)
		}
	})
}

func TestWhatIsOfOneThreadIsHandledInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.add(writ.DefaultTenant)
		const n = 600 // more than a page, more than a lane
		texts := numbered("note %03d", n)
		r.begin()
		for i, text := range texts {
			if i == n/2 {
				synctest.Wait()
				r.restart()
			}
			r.deliver(text, text)
			time.Sleep(time.Millisecond)
		}
		r.drain()
		r.want(texts...)
	})
}

func TestWhatCannotBeHandledNowWaits(t *testing.T) {
	for _, code := range []writ.Code{writ.CodeUnavailable, writ.CodeFrozen, writ.CodeTimeout, writ.CodeLimited, writ.CodeInternal} {
		t.Run(string(code), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.add(writ.DefaultTenant)
				r.taken.refuse = func(n int, _ *writ.Principal, _ *contract.IntentSubmitInput) error {
					if n < 4 {
						return writ.Errorf(code, "fake", "not now")
					}
					return nil
				}
				r.begin()
				r.deliver("m1", "hello")
				synctest.Wait()
				r.want()
				time.Sleep(time.Minute)
				synctest.Wait()
				r.want("hello")
			})
		})
	}
}

func TestWhatIsRefusedIsNotTriedAgain(t *testing.T) {
	for _, code := range []writ.Code{writ.CodeInvalid, writ.CodeForbidden, writ.CodePlanRejected, writ.CodeBlocked, writ.CodeTooLarge} {
		t.Run(string(code), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.add(writ.DefaultTenant)
				r.taken.refuse = func(_ int, _ *writ.Principal, in *contract.IntentSubmitInput) error {
					if !in.Run {
						return nil // the intent itself was taken
					}
					return writ.Errorf(code, "fake", "no: %s", strings.Repeat("x", 9999))
				}
				r.deliver("m1", "hello")
				r.drain()
				calls := r.taken.calls
				r.restart()
				r.drain()
				o := r.outcome("m1")
				kept := code == writ.CodePlanRejected || code == writ.CodeBlocked
				if r.taken.calls != calls || o.Status != writ.DeliveryRefused || o.Code != code || len(o.Message) > 500 || (o.Execution != "") != kept {
					t.Errorf("%d calls after %d: %+v", r.taken.calls, calls, o)
				}
			})
		})
	}
}

func TestWhoMayNotGetsNothing(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*contract.Channel)
		want   writ.DeliveryStatus
	}{
		"no member":            {func(c *contract.Channel) { c.Members[0].Sender = "somebody" }, writ.DeliveryRefused},
		"no member, and quiet": {func(c *contract.Channel) { c.Members, c.Unmapped = nil, contract.UnmappedIgnore }, writ.DeliveryIgnored},
		"no trigger":           {func(c *contract.Channel) { c.Triggers[0].Event = "note.writte" }, writ.DeliveryIgnored},
		"a member":             {func(*contract.Channel) {}, writ.DeliverySubmitted},
		"anybody":              {func(c *contract.Channel) { c.Members[0].Sender = "*" }, writ.DeliverySubmitted},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.add(writ.DefaultTenant, c.change)
				r.deliver("m1", "hello")
				r.drain()
				if o := r.outcome("m1"); o.Status != c.want || len(r.taken.by) == 1 != (c.want == writ.DeliverySubmitted) {
					t.Errorf("%+v, %d intents", o, len(r.taken.by))
				}
			})
		})
	}
}

func TestWhatWaitsOfARemovedChannelIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.add(writ.DefaultTenant)
		r.deliver("m1", "hello")
		if _, err := r.Remove(as(writ.DefaultTenant), &contract.ChannelRemoveInput{Name: "webhook/crm"}); err != nil {
			t.Fatal(err)
		}
		if _, err := r.serve(r.sent("m2", "again")); !writ.IsCode(err, writ.CodeNotFound) {
			t.Errorf("it is still taken: %v", err)
		}
		r.drain()
		r.want()
		if o := r.outcome("m1"); o.Status != writ.DeliveryRefused || o.Code != writ.CodeNotFound {
			t.Errorf("%+v", o)
		}
	})
}

// TestNothingIsKeptOfWhatIsRefusedAtTheDoor and each refusal says what is wrong.
func TestNothingIsKeptOfWhatIsRefusedAtTheDoor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.opts.Pending = 1
		r.restart()
		r.add(writ.DefaultTenant)
		refuse := func(what string, req *http.Request, code writ.Code) {
			t.Helper()
			if w, err := r.serve(req); !writ.IsCode(err, code) || strings.Contains(err.Error(), secret) {
				t.Errorf("%s: %v, want %s", what, err, code)
			} else if code == writ.CodeUnavailable && w.Header().Get("Retry-After") == "" {
				t.Errorf("%s: nobody says when to try again", what)
			}
		}
		unsigned := r.sent("m1", "hello")
		unsigned.Header.Del("Webhook-Signature")
		refuse("no signature", unsigned, writ.CodeUnauthenticated)
		get := r.sent("m1", "hello")
		get.Method = http.MethodPut
		refuse("another method", get, writ.CodeInvalid)
		const most = 1 << 20
		refuse("one byte too many", r.signed("/webhooks/webhook/crm", "m1", bytes.Repeat([]byte(" "), most+1)), writ.CodeTooLarge)
		nowhere := ""
		for _, path := range []string{"/webhooks/webhook/none", "/webhooks/none/crm", "/webhooks/webhook/elsewhere.crm", "/webhooks/webhook/nobody.crm", "/webhooks/webhook/a.b.crm", "/webhooks/webhook/..crm"} {
			req := r.signed(path, "m1", []byte(`{}`))
			refuse(path, req, writ.CodeNotFound)
			_, err := r.serve(r.signed(path, "m1", []byte(`{}`)))
			if nowhere == "" {
				nowhere = err.Error()
			}
			if err.Error() != nowhere {
				t.Errorf("%s says what is there: %v", path, err)
			}
		}
		if w, err := r.serve(r.signed("/webhooks/webhook/crm", "m1", bytes.Repeat([]byte(" "), most))); err != nil || w.Code != http.StatusAccepted {
			t.Errorf("as many bytes as may be: %v", err)
		}
		refuse("one more than may wait", r.sent("m2", "hello"), writ.CodeUnavailable)
		r.drain()
		r.deliver("m2", "hello")
		r.drain()
		r.want("hello")
	})
}

// TestTenantsHaveTheirOwnDoors: the same name, the same id, two deliveries.
func TestTenantsHaveTheirOwnDoors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.add(writ.DefaultTenant)
		r.add(other)
		body := []byte(`{"type":"note.written","data":{"text":"theirs"}}`)
		if _, err := r.serve(r.signed("/webhooks/webhook/elsewhere.crm", "m1", body)); err != nil {
			t.Fatal(err)
		}
		r.deliver("m1", "ours")
		r.drain()
		if len(r.taken.by) != 2 {
			t.Errorf("%d intents", len(r.taken.by))
		}
		out, err := r.List(as(other), &contract.ChannelListInput{})
		if err != nil || len(out.Items) != 1 || out.Items[0].URL != "/webhooks/webhook/elsewhere.crm" {
			t.Errorf("%+v %v", out, err)
		}
	})
}

func TestWhatCannotWorkIsNotAdded(t *testing.T) {
	r := newRig(t)
	for name, change := range map[string]func(*contract.Channel){
		"no provider":      func(c *contract.Channel) { c.Name = "none/crm" },
		"no name":          func(c *contract.Channel) { c.Name = "webhook/" },
		"a path":           func(c *contract.Channel) { c.Name = "webhook/../x" },
		"a dot":            func(c *contract.Channel) { c.Name = "webhook/elsewhere.crm" },
		"no secret":        func(c *contract.Channel) { c.Secrets = nil },
		"three secrets":    func(c *contract.Channel) { c.Secrets = []string{"hook", "hook", "hook"} },
		"a secret not set": func(c *contract.Channel) { c.Secrets = []string{"none"} },
		"nobody":           func(c *contract.Channel) { c.Members[0].PrincipalID = "agent:none" },
		"anybody is a person": func(c *contract.Channel) {
			c.Members[0] = contract.ChannelMember{Sender: "*", PrincipalID: "human:ada"}
		},
		"no sender":        func(c *contract.Channel) { c.Members[0].Sender = "" },
		"no draft":         func(c *contract.Channel) { c.Triggers[0].Draft = "" },
		"a draft too long": func(c *contract.Channel) { c.Triggers[0].Draft = strings.Repeat("x", 64<<10+1) },
		"many members":     func(c *contract.Channel) { c.Members = make([]contract.ChannelMember, 4097) },
		"many triggers":    func(c *contract.Channel) { c.Triggers = make([]contract.ChannelTrigger, 65) },
		"unmapped":         func(c *contract.Channel) { c.Unmapped = "allow" },
	} {
		c := contract.Channel{
			Name: "webhook/crm", Secrets: []string{"hook"}, Members: []contract.ChannelMember{{Sender: "sender", PrincipalID: "agent:bot"}},
			Triggers: []contract.ChannelTrigger{{Event: "x", Draft: "draft"}},
		}
		change(&c)
		if _, err := r.Add(as(writ.DefaultTenant), &contract.ChannelAddInput{Channel: c}); err == nil || writ.CodeOf(err) == writ.CodeInternal {
			t.Errorf("%s: %v", name, err)
		}
	}
	if out, err := r.List(as(writ.DefaultTenant), &contract.ChannelListInput{}); err != nil || len(out.Items) != 0 {
		t.Errorf("%+v %v", out, err)
	}
}

// TestASecretThatIsReplacedCountsAtOnce: the keys of a channel are kept, and not for
// longer than they count.
func TestASecretThatIsReplacedCountsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		read, value := 0, secret
		r.opts.Secret = func(context.Context, writ.TenantID, string) ([]byte, error) {
			read++
			return []byte(value), nil
		}
		r.restart()
		r.add(writ.DefaultTenant)
		for _, id := range numbered("m%d", 20) {
			r.deliver(id, id)
		}
		if read != 1 {
			t.Errorf("it was read %d times for 20 deliveries", read)
		}
		value = "another"
		r.deliver("kept elsewhere", "x") // nobody said that it changed
		time.Sleep(31 * time.Second)
		if _, err := r.serve(r.sent("m21", "x")); !writ.IsCode(err, writ.CodeUnauthenticated) {
			t.Errorf("the old one counts after a while: %v", err)
		}
		value = secret
		r.add(writ.DefaultTenant) // a record of the system journal, as setting a secret is
		r.deliver("m22", "x")
	})
}
