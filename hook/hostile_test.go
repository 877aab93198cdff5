package hook

import (
	"context"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
	"github.com/writ-run/writ/egress"
)

// names answers the n-th question with the n-th list, and goes on with the last.
type names struct {
	mu   sync.Mutex
	list [][]string
	n    int
}

func (a *names) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.list) == 0 {
		return nil, errors.New("no such host")
	}
	var out []netip.Addr
	for _, text := range a.list[min(a.n, len(a.list)-1)] {
		out = append(out, netip.MustParseAddr(text))
	}
	a.n++
	return out, nil
}

// tested is one sample, sent by a hook that is otherwise as h says.
func tested(t *testing.T, h Hook, resolver egress.Resolver) *contract.HookTestOutput {
	t.Helper()
	w := newWorld()
	h.Name, h.Events, h.Secret = "pager", []string{contract.EventApprovalRequested}, "key"
	s, err := New(Options{Hooks: []Hook{h}, Store: w, Notes: w, Journal: w, Traces: w, Tip: w.tip, Secrets: w, Clock: time.Now, Resolver: resolver})
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.Test(as("default"), &contract.HookTestInput{Name: "pager"})
	if err != nil {
		t.Fatal(err)
	}
	if last := w.records[len(w.records)-1]; last.Type != writ.RecHookChanged || last.Actor.ActorID != "human:ada" || last.Body.System.Details["outcome"] != out.Status {
		t.Errorf("the record is %+v", last)
	}
	return out
}

// Where a hook may connect to. Whatever a name says, the address that is dialled was
// looked at.
func TestWhereAHookMayConnect(t *testing.T) {
	var hits atomic.Int64
	count := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) })
	plain, secure := httptest.NewServer(count), httptest.NewTLSServer(count)
	defer plain.Close()
	defer secure.Close()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw})
	_, port, _ := net.SplitHostPort(secure.Listener.Addr().String())
	_, plainPort, _ := net.SplitHostPort(plain.Listener.Addr().String())
	named := "https://example.com:" + port // which the certificate is for
	for name, c := range map[string]struct {
		hook  Hook
		names [][]string
		want  writ.Code // empty: it arrives
	}{
		"loopback, not allowed":                {Hook{URL: secure.URL, CA: ca}, nil, writ.CodeForbidden},
		"loopback, allowed":                    {Hook{URL: secure.URL, CA: ca, AllowPrivate: true}, nil, ""},
		"loopback, allowed, in the clear":      {Hook{URL: plain.URL, AllowPrivate: true}, nil, ""},
		"a name of loopback":                   {Hook{URL: named, CA: ca}, [][]string{{"127.0.0.1"}}, writ.CodeForbidden},
		"a name of loopback, mapped":           {Hook{URL: named, CA: ca}, [][]string{{"::ffff:127.0.0.1"}}, writ.CodeForbidden},
		"a name of loopback, allowed":          {Hook{URL: named, CA: ca, AllowPrivate: true}, [][]string{{"127.0.0.1"}}, ""},
		"a name of both":                       {Hook{URL: named, CA: ca}, [][]string{{"93.184.215.14", "127.0.0.1"}}, writ.CodeForbidden},
		"a name of metadata, allowed":          {Hook{URL: named, CA: ca, AllowPrivate: true}, [][]string{{"169.254.169.254"}}, writ.CodeForbidden},
		"a name of both metadata and loopback": {Hook{URL: named, CA: ca, AllowPrivate: true}, [][]string{{"127.0.0.1", "169.254.169.254"}}, writ.CodeForbidden},
		"in the clear to the world":            {Hook{URL: "http://example.com:" + plainPort, AllowPrivate: true}, [][]string{{"93.184.215.14"}}, writ.CodeForbidden},
		"a certificate of nobody":              {Hook{URL: named, AllowPrivate: true}, [][]string{{"127.0.0.1"}}, writ.CodeUnavailable},
		"a certificate of somebody else":       {Hook{URL: "https://other.test:" + port, CA: ca, AllowPrivate: true}, [][]string{{"127.0.0.1"}}, writ.CodeUnavailable},
		"no such name":                         {Hook{URL: named, CA: ca}, [][]string{}, writ.CodeUnavailable},
		"a port where nobody is":               {Hook{URL: "https://127.0.0.1:1", CA: ca, AllowPrivate: true}, nil, writ.CodeUnavailable},
	} {
		before := hits.Load()
		out := tested(t, c.hook, &names{list: c.names})
		if arrived := hits.Load() - before; (c.want == "") != (arrived == 1) || out.Delivered != (c.want == "") {
			t.Errorf("%s: %d arrived, %+v", name, arrived, out.Failure)
		}
		if c.want != "" && (out.Failure == nil || out.Failure.Code != c.want || out.Failure.Fix == "") {
			t.Errorf("%s: %+v, want %s", name, out.Failure, c.want)
		}
	}
}

// A name that is public first and private then gains nothing: each connection asks and
// looks for itself.
func TestRebinding(t *testing.T) {
	resolver := &names{list: [][]string{{"93.184.215.14"}, {"127.0.0.1"}}}
	h := Hook{Name: "pager", URL: "https://example.com", Events: []string{contract.EventApprovalRequested}, Secret: "key"}
	target, err := h.check()
	if err != nil {
		t.Fatal(err)
	}
	if target.Host != "example.com" {
		t.Fatal(target)
	}
	d := &egress.Dialer{Resolver: resolver, Admit: h.admit("https")}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.Dial(ended, "tcp", "example.com:443"); errors.Is(err, egress.ErrRefused) {
		t.Errorf("a public address: %v", err)
	}
	resolver.n = 1
	if _, err := d.Dial(t.Context(), "tcp", "example.com:443"); !errors.Is(err, egress.ErrRefused) {
		t.Errorf("a private one: %v", err)
	}
}

// Redirects are not followed, and bodies are not read.
func TestWhatAReceiverSaysIsIgnored(t *testing.T) {
	var elsewhere atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	status := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if status >= 300 {
			w.Header().Set("Location", other.URL)
		}
		w.WriteHeader(status)
		for {
			if _, err := io.WriteString(w, strings.Repeat("endless ", 1<<12)); err != nil || r.Context().Err() != nil {
				return
			}
		}
	}))
	defer server.Close()
	for _, status = range []int{200, 301, 302, 303, 307, 308, 500} {
		out := tested(t, Hook{URL: server.URL, AllowPrivate: true}, nil)
		if out.Delivered != (status == 200) || out.StatusCode != status || elsewhere.Load() != 0 {
			t.Errorf("%d: %+v, %d were sent elsewhere", status, out, elsewhere.Load())
		}
		if out.Failure != nil && strings.Contains(out.Failure.Message+out.Failure.Fix, "endless") {
			t.Errorf("%d: the answer is said again: %+v", status, out.Failure)
		}
	}
}

// piped is a receiver at the other end of a pipe, which takes part in a test's time.
func piped(serve func(net.Conn)) *http.Transport {
	return &http.Transport{DisableKeepAlives: true, MaxResponseHeaderBytes: maxHeader, DialContext: func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go serve(theirs)
		return ours, nil
	}}
}

// A receiver that does not come to an end costs 15 seconds, and one that says too much
// nothing.
func TestSlowReceivers(t *testing.T) {
	for name, c := range map[string]struct {
		serve func(net.Conn)
		took  time.Duration
		want  writ.Code
	}{
		"never answers": {func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }, sendTimeout, writ.CodeTimeout},
		"never reads":   {func(net.Conn) {}, sendTimeout, writ.CodeTimeout},
		"a letter a second": {func(c net.Conn) {
			go func() { _, _ = io.Copy(io.Discard, c) }()
			for _, letter := range "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" {
				time.Sleep(time.Second)
				if _, err := c.Write([]byte(string(letter))); err != nil {
					return
				}
			}
		}, sendTimeout, writ.CodeTimeout},
		"an endless header": {func(c net.Conn) {
			go func() { _, _ = io.Copy(io.Discard, c) }()
			_, err := io.WriteString(c, "HTTP/1.1 200 OK\r\n")
			for err == nil {
				_, err = io.WriteString(c, "X-More: "+strings.Repeat("x", 1000)+"\r\n")
			}
		}, 0, writ.CodeUnavailable},
		"no HTTP": {func(c net.Conn) {
			go func() { _, _ = io.Copy(io.Discard, c) }()
			_, _ = io.WriteString(c, "SSH-2.0-OpenSSH_9.7\r\n\r\n")
		}, 0, writ.CodeUnavailable},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			h := pager()
			h.URL, h.AllowPrivate = "http://127.0.0.1/", true
			s := w.service(t, piped(c.serve), h)
			out, err := s.Test(as("default"), &contract.HookTestInput{Name: "pager"})
			if err != nil || out.Delivered || out.Took.Std() != c.took || out.Failure.Code != c.want {
				t.Errorf("%s: %+v %+v, %v", name, out, out.Failure, err)
			}
			time.Sleep(time.Minute) // the receiver notices that nobody is there
		})
	}
}

// No proxy of the environment comes between, and what is not HTTPS is not spoken
// otherwise.
func TestTheClient(t *testing.T) {
	h := pager()
	target, err := url.Parse(h.URL)
	if err != nil {
		t.Fatal(err)
	}
	client, err := h.client(target, &names{})
	if err != nil {
		t.Fatal(err)
	}
	transport := client.Transport.(*http.Transport)
	if transport.Proxy != nil || transport.DialTLSContext != nil || !transport.DisableKeepAlives || transport.MaxResponseHeaderBytes != maxHeader || client.CheckRedirect == nil {
		t.Errorf("%+v", transport)
	}
	h.CA = []byte("none")
	if _, err := h.client(target, &names{}); !writ.IsCode(err, writ.CodeInvalid) {
		t.Errorf("no certificate: %v", err)
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "0": 0, "120": 2 * time.Minute, "86400": maxRetryAfter, "86401": maxRetryAfter, "4294967295": maxRetryAfter, "4294967296": 0, "-5": 0, "soon": 0,
		"Sun, 01 Mar 2026 12:10:00 GMT": 10 * time.Minute, "Sun, 01 Mar 2026 11:00:00 GMT": 0, "Mon, 01 Mar 2027 12:00:00 GMT": maxRetryAfter,
	} {
		if got := retryAfter(text, now); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

func TestWaits(t *testing.T) {
	jitter := 0.0
	w := &worker{opts: &Options{Jitter: func() float64 { return jitter }}}
	for n, want := range map[int]time.Duration{1: 5 * time.Second, 2: 10 * time.Second, 8: 640 * time.Second, 9: longestWait, 10: longestWait, 100000: longestWait} {
		jitter = 0
		least := w.wait(n, &result{})
		jitter = 1
		if most := w.wait(n, &result{}); least != want/2 || most != want {
			t.Errorf("after %d: %v to %v, want %v", n, least, most, want)
		}
	}
	if d := w.wait(1, &result{retryAfter: time.Hour}); d != time.Hour {
		t.Errorf("asked for an hour: %v", d)
	}
}
