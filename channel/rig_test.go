package channel_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/channel"
	"github.com/writ-run/writ/channel/webhook"
	"github.com/writ-run/writ/contract"
	"github.com/writ-run/writ/freeze"
	"github.com/writ-run/writ/trace"
	"github.com/writ-run/writ/trace/tracetest"
)

const (
	other  = writ.TenantID("elsewhere")
	secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
)

// rig is a Service over a real journal. What it calls is a fake that takes intents as
// the engine does: one key, one execution.
type rig struct {
	*channel.Service
	t       testing.TB
	journal *trace.Journal
	freezes *freeze.Service
	taken   *intents
	opts    channel.Options
	stop    func() // ends Run
}

// intents is the other side of contract.IntentSubmit.
type intents struct {
	mu     sync.Mutex
	by     map[string]*contract.IntentSubmitInput // by tenant and key
	order  []string                               // the texts of new ones
	calls  int
	refuse func(n int, p *writ.Principal, in *contract.IntentSubmitInput) error
}

func (i *intents) Call(ctx context.Context, key string, raw json.RawMessage) (json.RawMessage, error) {
	if key != contract.IntentSubmit.Key {
		return nil, writ.Errorf(writ.CodeNotFound, "fake", "%s", key)
	}
	p, err := writ.PrincipalFrom(ctx)
	if err != nil {
		return nil, err
	}
	if err := contract.IntentSubmit.Permits(p); err != nil {
		return nil, err
	}
	in := &contract.IntentSubmitInput{}
	if err := json.Unmarshal(raw, in); err != nil {
		return nil, err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.calls++
	if i.refuse != nil {
		if err := i.refuse(i.calls, p, in); err != nil {
			return nil, err
		}
	}
	id := string(p.Tenant) + " " + in.IdempotencyKey
	if i.by[id] == nil {
		i.by[id] = in
		i.order = append(i.order, in.Text)
	}
	return json.Marshal(&contract.IntentSubmitOutput{ExecutionID: writ.ExecutionID(canon.ID("exe", canon.DomainExecution, []byte(id)))})
}

func (i *intents) texts() []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Clone(i.order)
}

// attested is what the host signs of a person's word, without its signature.
type attested struct {
	By   writ.PrincipalID
	Word writ.Word
	Via  writ.Via
}

// people are the principals of both tenants.
type people struct{}

func (people) Principal(_ context.Context, tenant writ.TenantID, id writ.PrincipalID) (*writ.Principal, error) {
	kind, name, _ := strings.Cut(string(id), ":")
	if !slices.Contains([]string{"bot", "ada", "bob", "eve"}, name) {
		return nil, writ.Errorf(writ.CodeNotFound, "principal "+string(id), "there is no such principal")
	}
	roles := []string{"admin", "approver"}
	if name == "eve" {
		roles = nil
	}
	return &writ.Principal{
		ID: id, Kind: writ.PrincipalKind(kind), Tenant: tenant, Workspace: writ.DefaultWorkspace, Roles: roles,
		Capabilities: []string{contract.CapCore, contract.CapApproval, contract.CapAudit, contract.CapChannelRuntime}, Strength: writ.StrengthToken,
	}, nil
}

func newRig(t testing.TB) *rig {
	t.Helper()
	r := &rig{t: t, taken: &intents{by: map[string]*contract.IntentSubmitInput{}}}
	r.journal = tracetest.Memory(t, time.Now)
	var err error
	r.freezes, err = freeze.New(freeze.Options{
		Store: r.journal, Journal: r.journal, Clock: time.Now,
		Changed: func(_ context.Context, tenant writ.TenantID) { r.FreezesChanged(tenant) },
	})
	if err != nil {
		t.Fatal(err)
	}
	r.opts = channel.Options{
		Store: r.journal, Journal: r.journal, Traces: r.journal, Clock: time.Now, Caller: r.taken, Principals: people{}, Freezes: r.freezes,
		Adapters: []channel.Adapter{webhook.Adapter{}}, Notes: r.journal, Tip: r.journal.Last,
		Attest: func(_ context.Context, p *writ.Principal, word writ.Word, via *writ.Via) ([]byte, error) {
			return json.Marshal(attested{p.ID, word, *via})
		},
		Secret: func(_ context.Context, tenant writ.TenantID, name string) ([]byte, error) {
			if name != "hook" && name != "hook-"+string(tenant) {
				return nil, writ.Errorf(writ.CodeNotFound, "secret", "is not set")
			}
			return []byte(secret), nil
		},
		Tenants: func(context.Context) ([]writ.TenantID, error) { return []writ.TenantID{writ.DefaultTenant, other}, nil },
	}
	r.opts.Peek = r.opts.Secret
	r.restart()
	t.Cleanup(r.halt)
	return r
}

// restart is a new process on the same store, in which nobody handles anything yet.
func (r *rig) restart() {
	r.t.Helper()
	r.halt()
	var err error
	if r.Service, err = channel.New(r.opts); err != nil {
		r.t.Fatal(err)
	}
	if err := r.Recover(context.Background()); err != nil {
		r.t.Fatal(err)
	}
}

// begin handles what waits, until halt.
func (r *rig) begin() {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	service := r.Service
	go func() {
		defer close(ended)
		service.Run(ctx)
	}()
	r.stop = func() {
		cancel()
		<-ended
	}
}

func (r *rig) halt() {
	if r.stop != nil {
		r.stop()
		r.stop = nil
	}
}

// drain handles what waits and returns when nothing does.
func (r *rig) drain() {
	r.t.Helper()
	r.begin()
	synctest.Wait()
	r.halt()
}

func as(tenant writ.TenantID) context.Context {
	return writ.WithPrincipal(context.Background(), &writ.Principal{ID: "human:ada", Kind: writ.Human, Tenant: tenant, Workspace: writ.DefaultWorkspace})
}

// add lets the sender of webhooks in, as agent:bot, with one trigger.
func (r *rig) add(tenant writ.TenantID, change ...func(*contract.Channel)) {
	r.t.Helper()
	c := contract.Channel{
		Name: "webhook/crm", Secrets: []string{"hook"}, Members: []contract.ChannelMember{{Sender: "sender", PrincipalID: "agent:bot"}},
		Triggers: []contract.ChannelTrigger{{Event: "note.*", Draft: "draft"}},
	}
	for _, f := range change {
		f(&c)
	}
	if _, err := r.Add(as(tenant), &contract.ChannelAddInput{Channel: c}); err != nil {
		r.t.Fatal(err)
	}
}

// sent is a request of the provider's: one id is one delivery.
func (r *rig) sent(id, text string) *http.Request {
	r.t.Helper()
	body, err := json.Marshal(map[string]any{"type": "note.written", "data": map[string]string{"thread": "t", "text": text}})
	if err != nil {
		r.t.Fatal(err)
	}
	return r.signed("/webhooks/webhook/crm", id, body)
}

func (r *rig) signed(path, id string, body []byte) *http.Request {
	req := httptest.NewRequest(http.MethodPost, path, strings.NewReader(string(body)))
	for name, values := range webhook.Sign([]byte(secret), id, body, time.Now()) {
		req.Header[name] = values
	}
	return req
}

// serve answers a request as the API's guard would, without its document.
func (r *rig) serve(req *http.Request) (*httptest.ResponseRecorder, error) {
	w := httptest.NewRecorder()
	mux, err := http.NewServeMux(), error(nil)
	mux.HandleFunc(channel.Pattern, func(w http.ResponseWriter, req *http.Request) { err = r.ServeWebhook(w, req) })
	mux.ServeHTTP(w, req)
	return w, err
}

func (r *rig) deliver(id, text string) {
	r.t.Helper()
	w, err := r.serve(r.sent(id, text))
	if err != nil || w.Code != http.StatusAccepted {
		r.t.Fatalf("%s: %d %v", id, w.Code, err)
	}
}

// want demands the texts that became intents, in order.
func (r *rig) want(texts ...string) {
	r.t.Helper()
	if got := r.taken.texts(); !slices.Equal(got, texts) {
		r.t.Errorf("became intents: %q, want %q", got, texts)
	}
}

func numbered(format string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf(format, i)
	}
	return out
}

// outcome of the only message of a delivery.
func (r *rig) outcome(id string) writ.DeliveryOutcome {
	r.t.Helper()
	stream := writ.StreamID(canon.ID("dlv", canon.DomainDelivery, []byte("webhook/crm"), []byte(id)))
	records, err := r.journal.Records(context.Background(), writ.RecordQuery{Tenant: writ.DefaultTenant, Stream: stream})
	if err != nil || len(records) != 2 || len(records[1].Body.Delivery.Outcomes) != 1 {
		r.t.Fatalf("%s: %d records, %v", id, len(records), err)
	}
	return records[1].Body.Delivery.Outcomes[0]
}

// cutJournal loses the connection to the disk.
type cutJournal struct {
	writ.Journal
	cut atomic.Bool
}

func (c *cutJournal) Append(ctx context.Context, b *writ.Batch) (writ.Receipt, error) {
	if c.cut.Load() {
		return writ.Receipt{}, writ.Errorf(writ.CodeUnavailable, "journal", "the process is dead")
	}
	return c.Journal.Append(ctx, b)
}
