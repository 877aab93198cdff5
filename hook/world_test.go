package hook

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/contract"
)

// world is what outlasts a crash: journals and documents, as they are on disk.
type world struct {
	mu      sync.Mutex
	records []writ.Stored // of all tenants, in order
	docs    map[string][]byte
	changed chan struct{}
	secrets map[string][][]byte // the one in force first
	failing error               // of a Note
	notes   int
}

func newWorld() *world {
	return &world{docs: map[string][]byte{}, changed: make(chan struct{}), secrets: map[string][][]byte{"default/key": {key(1)}, "acme/key": {key(2)}}}
}

// key is a secret in the form of Standard Webhooks.
func key(n byte) []byte {
	return []byte("whsec_" + encode(bytes.Repeat([]byte{n}, 32)))
}

func (w *world) Secret(_ context.Context, tenant writ.TenantID, name string) ([]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	values := w.secrets[string(tenant)+"/"+name]
	if len(values) == 0 {
		return nil, writ.Errorf(writ.CodeNotFound, "secret "+name, "is not set").WithFix("set it")
	}
	return slices.Clone(values[0]), nil
}

func (w *world) Known(_ context.Context, tenant writ.TenantID) (map[string][][]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := map[string][][]byte{}
	for _, name := range []string{"key", "other"} {
		for _, value := range w.secrets[string(tenant)+"/"+name] {
			out[name] = append(out[name], slices.Clone(value))
		}
	}
	return out, nil
}

func (w *world) Get(_ context.Context, tenant writ.TenantID, key string) ([]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if raw, ok := w.docs[string(tenant)+"/"+key]; ok {
		return slices.Clone(raw), nil
	}
	return nil, writ.Errorf(writ.CodeNotFound, key, "there is none")
}

func (w *world) List(context.Context, writ.StoreQuery) ([]writ.Document, error) { return nil, nil }

func (w *world) Note(ctx context.Context, tenant writ.TenantID, changes ...writ.Change) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.notes++
	if w.failing != nil || ctx.Err() != nil {
		return cmp.Or(w.failing, ctx.Err())
	}
	w.keep(tenant, changes)
	return nil
}

func (w *world) noted() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.notes
}

func (w *world) keep(tenant writ.TenantID, changes []writ.Change) {
	for _, c := range changes {
		w.docs[string(tenant)+"/"+c.Key] = slices.Clone(c.Value)
	}
}

func (w *world) Append(_ context.Context, batch *writ.Batch) (writ.Receipt, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range batch.Records {
		w.append(batch.Tenant, batch.Stream, r)
	}
	w.keep(batch.Tenant, batch.Changes)
	return writ.Receipt{Position: writ.Position(len(w.records))}, nil
}

// append is Append of one record. mu is held.
func (w *world) append(tenant writ.TenantID, stream writ.StreamID, r writ.NewRecord) writ.Position {
	position := writ.Position(len(w.records) + 1)
	w.records = append(w.records, writ.Stored{
		Record:   writ.Record{Tenant: tenant, Stream: stream, Seq: uint64(position), Type: r.Type, Time: r.Time, Actor: r.Actor, Step: r.Step, Body: r.Body},
		Position: position, Digest: canon.SHA256([]byte(string(tenant) + string(stream) + time.Duration(position).String())),
	})
	close(w.changed)
	w.changed = make(chan struct{})
	return position
}

func (w *world) Barrier(context.Context, writ.Position) error { return nil }

func (w *world) Epoch(context.Context, writ.TenantID) (uint64, error) { return 1, nil }

func (w *world) Records(context.Context, writ.RecordQuery) ([]writ.Stored, error) { return nil, nil }

func (w *world) Payloads(context.Context, writ.TenantID, writ.StreamID) (writ.PayloadReader, error) {
	return nil, nil
}

func (w *world) Execution(_ context.Context, tenant writ.TenantID, id writ.ExecutionID) (*writ.Execution, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	exec := &writ.Execution{ID: id, Tenant: tenant}
	for i := range w.records {
		if r := &w.records[i]; r.Tenant == tenant && string(r.Stream) == string(id) {
			exec.Apply(&r.Record)
		}
	}
	return exec, nil
}

func (w *world) Executions(context.Context, writ.ExecutionQuery) (*writ.ExecutionPage, error) {
	return nil, nil
}

func (w *world) Feed(ctx context.Context, tenant writ.TenantID, after writ.Position, fn func(*writ.Stored) error) error {
	for {
		w.mu.Lock()
		changed := w.changed
		page := slices.Clone(w.records[min(int(after), len(w.records)):])
		w.mu.Unlock()
		for i := range page {
			after = page[i].Position
			if page[i].Tenant != tenant {
				continue
			}
			if ctx.Err() != nil {
				return nil
			}
			if err := fn(&page[i]); err != nil {
				return err
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

func (w *world) tip(tenant writ.TenantID) (writ.Position, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := len(w.records) - 1; i >= 0; i-- {
		if w.records[i].Tenant == tenant {
			return w.records[i].Position, nil
		}
	}
	return 0, nil
}

// last is the position of the last record of the default tenant.
func (w *world) last() writ.Position {
	last, _ := w.tip(writ.DefaultTenant)
	return last
}

// opened is an approval that is asked for in an execution of the tenant.
func (w *world) opened(tenant writ.TenantID, execution string) writ.Position {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.append(tenant, writ.StreamID(execution), writ.NewRecord{
		Type: writ.RecApprovalOpened, Time: at0, Step: "stp_a", Actor: writ.Audit{ActorID: "agent:bot", TenantID: tenant},
		Body: writ.Body{Approval: &writ.ApprovalFacts{Digest: "sha256:aa", Status: writ.ApprovalPending, Request: &writ.ApprovalRequest{
			Tenant: tenant, Execution: writ.ExecutionID(execution), Step: "stp_a", StepName: "send", Skill: writ.SkillRef{Key: "acme/mail", Version: "1.2.0"},
			Action: "send", Effect: "write-external", Risk: writ.RiskHigh, Summary: "POST https://api.acme.test/mails", DecideBy: at0.Add(time.Hour),
			Reasons: []writ.Reason{{Rule: "high_risk"}, {Rule: "external"}}, Requirement: writ.Requirement{Count: 2}, Input: json.RawMessage(`{"secretly":"private input"}`),
		}}},
	})
}

// noise is a record that is no event of the hooks of these tests.
func (w *world) noise(tenant writ.TenantID, execution string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.append(tenant, writ.StreamID(execution), writ.NewRecord{Type: writ.RecSealed, Time: at0, Body: writ.Body{Seal: &writ.SealFacts{}}})
}

var at0 = canon.TimeOf(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))

// post is what a receiver was sent.
type post struct {
	id, execution, tenant string
	message               message
	body                  []byte
	header                http.Header
	at                    time.Time
}

// receiver answers as its script says, and verifies what it is sent with code that is
// not ours.
type receiver struct {
	t      testing.TB
	keys   [][]byte // any of which must verify
	answer func(p *post) (status int, header http.Header, err error)

	mu    sync.Mutex
	posts []post         // all of them
	taken []post         // those that were answered with 2xx
	tries map[string]int // by execution, those too that broke off
}

func (r *receiver) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	for _, key := range r.keys {
		verifier, err := standardwebhooks.NewWebhook(string(key))
		if err == nil {
			err = verifier.Verify(body, req.Header)
		}
		if err != nil {
			r.t.Errorf("the signature: %v: %v", err, req.Header)
		}
	}
	p := post{id: req.Header.Get("webhook-id"), body: body, header: req.Header, at: time.Now()}
	if err := json.Unmarshal(body, &p.message); err != nil {
		r.t.Errorf("the body: %v: %s", err, body)
	}
	p.execution, p.tenant = string(p.message.Data.ExecutionID), string(p.message.Data.TenantID)
	r.mu.Lock()
	if r.tries == nil {
		r.tries = map[string]int{}
	}
	r.tries[p.execution]++
	r.mu.Unlock()
	status, header := http.StatusNoContent, http.Header{}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.answer != nil {
		if status, header, err = r.answer(&p); err != nil {
			return nil, err
		}
	}
	r.posts = append(r.posts, p)
	if status/100 == 2 {
		r.taken = append(r.taken, p)
	}
	if header == nil {
		header = http.Header{}
	}
	return &http.Response{StatusCode: status, Header: header, Body: http.NoBody, Request: req}, nil
}

func (r *receiver) says(answer func(*post) (int, http.Header, error)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = answer
}

func (r *receiver) got() []post {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.posts)
}

func (r *receiver) executions() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for _, p := range r.taken {
		out = append(out, p.execution)
	}
	return out
}

func pager() Hook {
	return Hook{Name: "pager", URL: "https://hooks.example.com/t0ken", Events: []string{contract.EventApprovalRequested}, Secret: "key"}
}

// start runs a service over the world; stop is its end, and abandons what it had in
// memory alone where the process is killed.
func (w *world) start(t testing.TB, r http.RoundTripper, hooks ...Hook) (s *Service, stop func()) {
	t.Helper()
	s = w.service(t, r, hooks...)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { s.Run(ctx); close(ended) }()
	return s, func() { cancel(); <-ended }
}

func (w *world) service(t testing.TB, r http.RoundTripper, hooks ...Hook) *Service {
	t.Helper()
	s, err := New(Options{
		Hooks: hooks, Store: w, Notes: w, Journal: w, Traces: w, Tip: w.tip, Secrets: w, Clock: time.Now, Jitter: func() float64 { return 1 },
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range s.workers {
		if r != nil {
			one.client.Transport = r
		}
	}
	return s
}

func as(tenant writ.TenantID) context.Context {
	return writ.WithPrincipal(context.Background(), &writ.Principal{ID: "human:ada", Kind: writ.Human, Tenant: tenant, Workspace: "default"})
}

// shown is the hook as its operator sees it.
func shown(t testing.TB, s *Service, tenant writ.TenantID) contract.Hook {
	t.Helper()
	out, err := s.List(as(tenant), &contract.HookListInput{})
	if err != nil || len(out.Items) != 1 {
		t.Fatalf("%+v, %v", out, err)
	}
	return out.Items[0]
}
