package channel_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/channel"
	"github.com/writ-run/writ/channel/whatsappmeta"
	"github.com/writ-run/writ/channel/whatsapptwilio"
	"github.com/writ-run/writ/contract"
)

// batched is a provider that sends what happened in lists, and signs nothing.
type batched struct{}

func (batched) Traits() channel.Traits {
	return channel.Traits{Provider: "batched", Title: "Batches", Methods: []string{http.MethodPost}, MaxBody: 1 << 20, Batched: true}
}

func (batched) Receive(*channel.Request, [][]byte) (*channel.Receipt, error) {
	return &channel.Receipt{Accepted: channel.Answer{Status: http.StatusAccepted}}, nil
}

func (batched) Read(d *channel.Delivery) ([]channel.Message, error) {
	var out []channel.Message
	err := json.Unmarshal(d.Body, &out)
	return out, err
}

// happened is one thing of a list.
func happened(thread, id, text string) channel.Message {
	return channel.Message{
		Kind: channel.Happened, Event: "note.written", Thread: thread, ID: id, Text: text, Sender: channel.Sender{ID: "sender"}, Metadata: json.RawMessage(`{}`),
	}
}

// newBatches is a rig with two channels of the provider that sends lists.
func newBatches(t *testing.T) (*rig, func(name string, messages ...channel.Message)) {
	t.Helper()
	r := newRig(t)
	r.opts.Adapters = append(r.opts.Adapters, batched{})
	r.restart()
	for _, name := range []writ.ChannelName{"batched/a", "batched/b"} {
		r.add(writ.DefaultTenant, func(c *contract.Channel) {
			c.Name = name
			c.Members = append(c.Members, contract.ChannelMember{Sender: "slow", PrincipalID: "human:ada"})
		})
	}
	return r, func(name string, messages ...channel.Message) {
		t.Helper()
		body, err := json.Marshal(messages)
		if err != nil {
			t.Fatal(err)
		}
		w, err := r.serve(httptest.NewRequest(http.MethodPost, "/webhooks/batched/"+name, strings.NewReader(string(body))))
		if err != nil || w.Code != http.StatusAccepted {
			t.Fatalf("%d %v", w.Code, err)
		}
		time.Sleep(time.Millisecond) // in the order in which they are sent
	}
}

func TestWhatComesAgainWithOthersBesideItIsTakenOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, send := newBatches(t)
		send("a", happened("t", "1", "one"), happened("t", "2", "two"))
		send("a", happened("t", "2", "two"), happened("t", "3", "three"))
		r.drain()
		r.restart()
		send("a", happened("t", "2", "two"))
		send("a", happened("t", "3", "three"), happened("t", "2", "two"), happened("t", "2", "two"))
		r.drain()
		r.want("one", "two", "three")
	})
}

// TestWhatOnlyHasTheSameIDIsAnother: of another channel, thread or event, or without any.
func TestWhatOnlyHasTheSameIDIsAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, send := newBatches(t)
		other := happened("t", "1", "another event")
		other.Event = "note.erased"
		send("a", happened("t", "1", "one"), happened("u", "1", "another thread"), other)
		send("b", happened("t", "1", "another channel"))
		send("a", happened("t", "", "no id"), happened("t", "", "no id"))
		r.drain()
		got := r.taken.texts()
		slices.Sort(got) // two channels are two lanes
		if want := []string{"another channel", "another event", "another thread", "no id", "no id", "one"}; !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	})
}

// slowly takes a second to find human:ada.
type slowly struct{ people }

func (s slowly) Principal(ctx context.Context, tenant writ.TenantID, id writ.PrincipalID) (*writ.Principal, error) {
	if id == "human:ada" {
		time.Sleep(time.Second)
	}
	return s.people.Principal(ctx, tenant, id)
}

// TestWhatIsOfOneThreadIsHandledInOrderThoughBatchesMixThem: what comes later of a thread
// waits for what came with another's.
func TestWhatIsOfOneThreadIsHandledInOrderThoughBatchesMixThem(t *testing.T) {
	for _, before := range []string{"a", "b", "c", "d", "e", "f"} { // some of them have another lane than t
		synctest.Test(t, func(t *testing.T) {
			r, send := newBatches(t)
			r.opts.Principals = slowly{}
			r.restart()
			slow := happened(before, "1", "slow")
			slow.Sender.ID = "slow"
			send("a", slow, happened("t", "2", "first"))
			send("a", happened("t", "3", "second"))
			r.begin()
			time.Sleep(10 * time.Second)
			r.halt()
			r.want("slow", "first", "second")
		})
	}
}

// TestAProviderTriesTheURLOut with the token that it was given, and nothing is kept of it.
func TestAProviderTriesTheURLOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.opts.Adapters = append(r.opts.Adapters, whatsappmeta.Adapter{})
		r.opts.PublicURL = "https://writ.example.com"
		r.restart()
		r.add(writ.DefaultTenant)
		out, err := r.Add(as(writ.DefaultTenant), &contract.ChannelAddInput{Channel: contract.Channel{Name: "whatsapp-meta/ops", Secrets: []string{"hook"}}})
		if err != nil || out.VerifyToken == "" || strings.Contains(out.VerifyToken, secret) {
			t.Fatalf("%+v, %v", out, err)
		}
		list, err := r.List(as(writ.DefaultTenant), &contract.ChannelListInput{})
		if err != nil || list.Items[0].VerifyToken != "" || list.Items[1].VerifyToken != out.VerifyToken {
			t.Errorf("%+v, %v", list, err)
		}
		ask := func(method, path, token string) (*httptest.ResponseRecorder, error) {
			return r.serve(httptest.NewRequest(method, path+"?hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token="+token, nil))
		}
		const path = "/webhooks/whatsapp-meta/ops"
		if w, err := ask(http.MethodGet, path, out.VerifyToken); err != nil || w.Code != http.StatusOK || w.Body.String() != "1158201444" || w.Header().Get("Content-Type") != "text/plain; charset=utf-8" {
			t.Errorf("%d %q, %v", w.Code, w.Body, err)
		}
		if w, err := ask(http.MethodGet, path, "guessed"); !writ.IsCode(err, writ.CodeUnauthenticated) || w.Body.Len() > 0 {
			t.Errorf("another token: %v, %q", err, w.Body)
		}
		if _, err := ask(http.MethodGet, "/webhooks/whatsapp-meta/none", out.VerifyToken); !writ.IsCode(err, writ.CodeNotFound) {
			t.Errorf("no channel: %v", err)
		}
		for _, method := range []string{http.MethodHead, http.MethodPut, http.MethodDelete} {
			if w, err := ask(method, path, out.VerifyToken); !writ.IsCode(err, writ.CodeInvalid) || w.Header().Get("Allow") != "GET, POST" {
				t.Errorf("%s: %v, %v", method, err, w.Header())
			}
		}
		if w, err := ask(http.MethodGet, "/webhooks/webhook/crm", out.VerifyToken); !writ.IsCode(err, writ.CodeInvalid) || w.Header().Get("Allow") != "POST" {
			t.Errorf("who asks nothing: %v, %v", err, w.Header())
		}
		if docs, err := r.journal.List(t.Context(), writ.StoreQuery{Tenant: writ.DefaultTenant, Prefix: "inbox/"}); err != nil || len(docs) != 0 {
			t.Errorf("%d are kept, %v", len(docs), err)
		}
	})
}

// TestPublicURL is what a provider signs that signs where it sends to.
func TestPublicURL(t *testing.T) {
	for public, taken := range map[string]bool{
		"https://writ.example.com": true, "https://writ.example.com/": true, "https://writ.example.com:443": true,
		"http://writ.example.com": false, "https://writ.example.org": false, "": false,
	} {
		r := newRig(t)
		r.opts.Adapters, r.opts.PublicURL = append(r.opts.Adapters, whatsapptwilio.Adapter{}), public
		r.restart()
		r.add(writ.DefaultTenant, func(c *contract.Channel) { c.Name = "whatsapp-twilio/sample" })
		sample, err := whatsapptwilio.Adapter{}.Sample("text", []byte(secret), canon.TimeOf(time.Now()))
		if err != nil {
			t.Fatal(err)
		}
		req := httptest.NewRequest(http.MethodPost, "/webhooks/whatsapp-twilio/sample", strings.NewReader(string(sample.Body)))
		req.Host, req.Header = "10.0.0.7:8080", sample.Header
		w, err := r.serve(req)
		switch {
		case taken && (err != nil || w.Body.String() != "<Response/>"):
			t.Errorf("%s: %v, %q", public, err, w.Body)
		case taken:
		case public == "" && !strings.Contains(err.Error(), "http://10.0.0.7:8080/webhooks/whatsapp-twilio/sample"):
			t.Errorf("%v", err)
		case !writ.IsCode(err, writ.CodeUnauthenticated) || !strings.Contains(err.Error(), public+"/") && public != "" || strings.Contains(err.Error(), secret):
			t.Errorf("%s: %v", public, err)
		}
	}
}

// TestWhatsAppHasMarks that cannot be shown, whoever brings it.
func TestWhatsAppHasMarks(t *testing.T) {
	for _, a := range []channel.Adapter{whatsappmeta.Adapter{}, whatsapptwilio.Adapter{}} {
		if got := a.Traits().Marks; got != "*_~`" {
			t.Errorf("%s: %q", a.Traits().Title, got)
		}
	}
}
