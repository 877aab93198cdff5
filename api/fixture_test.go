package api_test

import (
	"bufio"
	"context"
	"crypto/x509"
	"encoding/json"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/api"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/contract"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// callers is an Authenticator whose tokens are in a table that tests change.
type callers struct {
	mu     sync.Mutex
	tokens map[string]*writ.Principal
	peers  int // how often a peer was asked for
}

func (c *callers) Token(_ context.Context, token string) (*writ.Principal, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p, ok := c.tokens[token]; ok {
		return p, nil
	}
	return nil, &writ.Error{Code: writ.CodeUnauthenticated, Op: "token", Message: "is not valid", Fix: "make another"}
}

func (c *callers) Peer(_ context.Context, _ uint32) (*writ.Principal, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.peers++
	return &writ.Principal{ID: "local", Kind: writ.Human, Tenant: "default", Capabilities: everything(), Strength: writ.StrengthPeer}, nil
}

// Certificate knows one workload by its name, whoever signed it: a chain is
// identity's to judge.
func (c *callers) Certificate(_ context.Context, chain []*x509.Certificate) (*writ.Principal, error) {
	if chain[0].Subject.CommonName != "ci" {
		return nil, &writ.Error{Code: writ.CodeUnauthenticated, Op: "certificate", Message: "is not valid", Fix: "make another"}
	}
	return &writ.Principal{ID: "service:ci", Kind: writ.Service, Tenant: "default", Capabilities: everything(), Strength: writ.StrengthMTLS}, nil
}

func (c *callers) revoke(token string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.tokens, token)
}

func everything() []string {
	var keys []string
	for _, c := range contract.Capabilities() {
		keys = append(keys, c.Key)
	}
	return keys
}

// traces is a Traces of which only the feed and the fold are alive.
type traces struct {
	writ.Traces
	mu      sync.Mutex
	records map[writ.TenantID][]*writ.Stored
	more    chan struct{} // closed and replaced when a record comes
}

func newTraces() *traces {
	return &traces{records: map[writ.TenantID][]*writ.Stored{}, more: make(chan struct{})}
}

func (f *traces) add(tenant writ.TenantID, stream writ.StreamID, r writ.Record) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, list := range f.records {
		n += len(list)
	}
	r.Tenant, r.Stream, r.Seq, r.Time = tenant, stream, uint64(n+1), canon.Time(1)
	f.records[tenant] = append(f.records[tenant], &writ.Stored{
		Record: r, Position: writ.Position(n + 1), Digest: canon.Sum(canon.DomainRecord, []byte{byte(n)}),
	})
	close(f.more)
	f.more = make(chan struct{})
}

func (f *traces) Feed(ctx context.Context, tenant writ.TenantID, after writ.Position, fn func(*writ.Stored) error) error {
	for {
		f.mu.Lock()
		list, more := f.records[tenant], f.more
		f.mu.Unlock()
		for _, rec := range list {
			if rec.Position <= after {
				continue
			}
			if err := fn(rec); err != nil {
				return err
			}
			after = rec.Position
		}
		select {
		case <-more:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (f *traces) Execution(context.Context, writ.TenantID, writ.ExecutionID) (*writ.Execution, error) {
	return &writ.Execution{Steps: []writ.StepState{{PlannedStep: writ.PlannedStep{ID: "stp_1", Name: "file"}}}}, nil
}

// rig is a server on a TCP and a Unix listener.
type rig struct {
	t      *testing.T
	server *api.Server
	addr   string
	socket string
	auth   *callers
	traces *traces
	stop   func() error // ends Serve and returns what it said
	calls  chan string  // keys that reached a handler
}

func newRig(t *testing.T, change func(*api.Options)) *rig {
	t.Helper()
	d := contract.NewDispatcher(contract.DispatcherOptions{})
	r := &rig{t: t, traces: newTraces(), calls: make(chan string, 100), socket: filepath.Join(t.TempDir(), "w.sock")}
	r.auth = &callers{tokens: map[string]*writ.Principal{
		"good":  {ID: "ada", Kind: writ.Human, Tenant: "default", Capabilities: everything(), Strength: writ.StrengthToken},
		"other": {ID: "eve", Kind: writ.Human, Tenant: "other", Capabilities: everything(), Strength: writ.StrengthToken},
		"bare":  {ID: "bob", Kind: writ.Human, Tenant: "default", Strength: writ.StrengthToken},
	}}
	contract.Bind(d, contract.IntentSubmit, func(_ context.Context, in *contract.IntentSubmitInput) (*contract.IntentSubmitOutput, error) {
		r.calls <- contract.IntentSubmit.Key
		return &contract.IntentSubmitOutput{ExecutionID: "exe_1", IntentID: writ.IntentID("int_" + in.IdempotencyKey)}, nil
	})
	contract.Bind(d, contract.ExecutionList, func(context.Context, *contract.ExecutionListInput) (*contract.ExecutionListOutput, error) {
		r.calls <- contract.ExecutionList.Key
		return &contract.ExecutionListOutput{}, nil
	})
	contract.Bind(d, contract.PlanCompile, func(context.Context, *contract.PlanCompileInput) (*contract.PlanCompileOutput, error) {
		return nil, &writ.Error{
			Code: writ.CodePlanRejected, Op: "plan", Message: "does not compile", Fix: "fix it", Place: "a.yaml:1:2",
			Details: []writ.Problem{{Code: "c", Message: "m"}},
		}
	})
	opts := api.Options{Caller: d, Auth: r.auth, Traces: r.traces, MaxBody: 4 << 10, Heartbeat: time.Hour}
	if change != nil {
		change(&opts)
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	unix, err := api.ListenUnix(r.socket)
	if err != nil {
		t.Fatal(err)
	}
	r.addr = tcp.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	r.server = api.NewServer(opts)
	go func() { ended <- r.server.Serve(ctx, tcp, unix) }()
	r.stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return r
}

func (r *rig) client(change func(*api.ClientOptions)) *api.Client {
	r.t.Helper()
	opts := api.ClientOptions{URL: "http://" + r.addr, Token: "good", Timeout: 30 * time.Second}
	if change != nil {
		change(&opts)
	}
	c, err := api.NewClient(opts)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(c.Close)
	return c
}

// send makes one request on a connection of its own.
func (r *rig) send(method, path, body string, header http.Header) (*http.Response, *api.Problem) {
	r.t.Helper()
	req, err := http.NewRequest(method, "http://"+r.addr+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Close = true
	req.Header = http.Header{"Authorization": {"Bearer good"}, "Content-Type": {"application/json"}}
	for name, values := range header {
		if values == nil {
			req.Header.Del(name)
			continue
		}
		if name == "Host" {
			req.Host = values[0]
			continue
		}
		req.Header[name] = values
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var p api.Problem
	if resp.Header.Get("Content-Type") == "application/problem+json" {
		if err := json.NewDecoder(resp.Body).Decode(&p); err != nil {
			r.t.Fatal(err)
		}
	}
	return resp, &p
}

// raw writes bytes to the TCP listener, ends, and reads the status lines that
// come back.
func (r *rig) raw(text string) []string { return r.exchange(text, true) }

// rawOpen leaves its side open, as if more were to come.
func (r *rig) rawOpen(text string) []string { return r.exchange(text, false) }

func (r *rig) exchange(text string, end bool) []string {
	r.t.Helper()
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_, err = c.Write([]byte(text)) // the other side may have closed already
	if err == nil && end {
		err = c.(*net.TCPConn).CloseWrite()
	}
	if err != nil {
		r.t.Log(err)
	}
	var lines []string
	for in := bufio.NewScanner(c); in.Scan(); {
		if strings.HasPrefix(in.Text(), "HTTP/1") {
			lines = append(lines, in.Text())
		}
	}
	return lines
}

const (
	intent = `{"workspaceId":"default","text":"hello"}`
	submit = "/v1/controlPlane.intent.submit"
)
