package toolbox

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
)

// rawServer answers each connection by hand.
type rawServer struct {
	url   string
	conns atomic.Int32
}

// serveRaw reads the head of a request and hands the connection over. It is
// closed when the handler returns; hold holds it until the test ends.
func serveRaw(t *testing.T, handler func(conn net.Conn, hold <-chan struct{})) *rawServer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &rawServer{url: "http://" + listener.Addr().String()}
	var wg sync.WaitGroup
	hold := make(chan struct{})
	wg.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			s.conns.Add(1)
			wg.Go(func() {
				defer conn.Close()
				for reader := bufio.NewReader(conn); ; {
					line, err := reader.ReadString('\n')
					if err != nil {
						return
					}
					if strings.TrimSpace(line) == "" {
						break
					}
				}
				handler(conn, hold)
			})
		}
	})
	t.Cleanup(func() {
		close(hold)
		_ = listener.Close()
		wg.Wait()
	})
	return s
}

func (s *rawServer) bench(t *testing.T, opts Options) *bench {
	opts.Upstreams = map[string]string{"api.test": s.url}
	return newBench(t, opts, anyHTTP())
}

func write(conn net.Conn, text string) { _, _ = io.WriteString(conn, text) }

// reset closes with RST instead of FIN.
func reset(conn net.Conn) { _ = conn.(*net.TCPConn).SetLinger(0) }

const okHead = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"

// lostAnswers are what a server may do instead of answering.
var lostAnswers = map[string]struct {
	code   string
	handle func(net.Conn, <-chan struct{})
}{
	"silence":            {abi.FailTimeout, func(_ net.Conn, hold <-chan struct{}) { <-hold }},
	"closed":             {abi.FailUnavailable, func(net.Conn, <-chan struct{}) {}},
	"reset":              {abi.FailUnavailable, func(c net.Conn, _ <-chan struct{}) { reset(c) }},
	"no HTTP":            {abi.FailUnavailable, func(c net.Conn, _ <-chan struct{}) { write(c, "SSH-2.0-x\r\n\r\n") }},
	"half a status line": {abi.FailUnavailable, func(c net.Conn, _ <-chan struct{}) { write(c, "HTTP/1.1 20") }},
	"half the headers":   {abi.FailUnavailable, func(c net.Conn, _ <-chan struct{}) { write(c, "HTTP/1.1 200 OK\r\nA: b\r\n") }},
	"half the body":      {abi.FailUnavailable, func(c net.Conn, _ <-chan struct{}) { write(c, okHead+"12345") }},
	"body reset": {abi.FailUnavailable, func(c net.Conn, _ <-chan struct{}) {
		write(c, okHead+"12345")
		reset(c)
	}},
	"body silence": {abi.FailTimeout, func(c net.Conn, hold <-chan struct{}) {
		write(c, okHead+"12345")
		<-hold
	}},
	"broken chunk": {abi.FailUnavailable, func(c net.Conn, _ <-chan struct{}) {
		write(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
	}},
	"broken gzip": {abi.FailUnavailable, func(c net.Conn, _ <-chan struct{}) {
		write(c, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 20\r\n\r\nthis is not any gzip")
	}},
	"two lengths": {abi.FailUnavailable, func(c net.Conn, _ <-chan struct{}) {
		write(c, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx")
	}},
	"header bomb": {abi.FailUnavailable, func(c net.Conn, _ <-chan struct{}) {
		write(c, "HTTP/1.1 200 OK\r\n"+strings.Repeat("A: "+strings.Repeat("b", 1000)+"\r\n", 100)+"\r\n")
	}},
	"endless head": {abi.FailUnavailable, func(c net.Conn, _ <-chan struct{}) { flood(c, "HTTP/1.1 200 OK\r\n", "A: b\r\n") }},
	"endless 1xx": {abi.FailUnavailable, func(c net.Conn, _ <-chan struct{}) {
		flood(c, "", "HTTP/1.1 103 Early Hints\r\nA: "+strings.Repeat("b", 4000)+"\r\n\r\n")
	}},
	"other protocol": {abi.FailUnavailable, func(c net.Conn, _ <-chan struct{}) {
		write(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")
	}},
}

// TestWhatIsLostIsUnknown: once a write may have arrived, only a whole answer
// says that it is done. A read that fails has no effect.
func TestWhatIsLostIsUnknown(t *testing.T) {
	for name, c := range lostAnswers {
		t.Run(name, func(t *testing.T) {
			s := serveRaw(t, c.handle)
			b := s.bench(t, Options{Timeout: 200 * time.Millisecond})
			for method, outcome := range map[string]writ.Outcome{
				"GET": writ.OutcomeNotDone, "POST": writ.OutcomeUnknown, "PUT": writ.OutcomeUnknown, "DELETE": writ.OutcomeUnknown,
			} {
				s.conns.Store(0)
				wantFailure(t, b.request(method, "https://api.test/"), c.code, outcome)
				if n := s.conns.Load(); n != 1 {
					t.Errorf("%s was sent %d times", method, n)
				}
			}
		})
	}
}

// flood writes until the other side has had enough.
func flood(conn net.Conn, first, then string) {
	write(conn, first)
	chunk := []byte(strings.Repeat(then, 64))
	for {
		if _, err := conn.Write(chunk); err != nil {
			return
		}
	}
}

func TestSlowLoris(t *testing.T) {
	for name, first := range map[string]string{
		"head": "HTTP/1.1 200 OK\r\nX-A: ", "body": "HTTP/1.1 200 OK\r\n\r\n", "chunks": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			s := serveRaw(t, func(c net.Conn, hold <-chan struct{}) {
				write(c, first)
				drip := time.NewTicker(5 * time.Millisecond)
				defer drip.Stop()
				for {
					select {
					case <-hold:
						return
					case <-drip.C:
						if _, err := io.WriteString(c, map[bool]string{true: "1\r\nx\r\n", false: "x"}[name == "chunks"]); err != nil {
							return
						}
					}
				}
			})
			b := s.bench(t, Options{})
			result := b.do(abi.ToolHTTPRequest, abi.HTTPRequest{Method: "POST", URL: "https://api.test/", TimeoutMS: 100})
			wantFailure(t, result, abi.FailTimeout, writ.OutcomeUnknown)
		})
	}
}

// TestNothingWasSent: every failure before the request leaves is not done, for
// a write too.
func TestNothingWasSent(t *testing.T) {
	var hits atomic.Int32
	count := func(http.ResponseWriter, *http.Request) { hits.Add(1) }
	secure := httptest.NewTLSServer(http.HandlerFunc(count))
	t.Cleanup(secure.Close)
	secure.Config.ErrorLog = quiet()
	old := httptest.NewUnstartedServer(http.HandlerFunc(count))
	old.TLS = &tls.Config{MaxVersion: tls.VersionTLS11}
	old.Config.ErrorLog = quiet()
	old.StartTLS()
	t.Cleanup(old.Close)
	plain := serve(t, count)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead := "http://" + listener.Addr().String()
	_ = listener.Close()
	roots := x509.NewCertPool()
	roots.AddCert(secure.Certificate())
	roots.AddCert(old.Certificate())
	cases := map[string]struct {
		base string
		opts Options
		code string
	}{
		"refused":             {dead, Options{}, abi.FailUnavailable},
		"unknown authority":   {secure.URL, Options{}, abi.FailUnavailable},
		"old TLS":             {old.URL, Options{RootCAs: roots}, abi.FailUnavailable},
		"another name":        {strings.Replace(secure.URL, "127.0.0.1", "127.0.0.2", 1), Options{RootCAs: roots}, abi.FailUnavailable},
		"TLS to a plain port": {strings.Replace(plain.URL, "http:", "https:", 1), Options{}, abi.FailUnavailable},
		"unknown name":        {"http://nowhere.test", Options{Resolver: answers{}}, abi.FailUnavailable},
		"time is up":          {plain.URL, Options{Timeout: time.Nanosecond}, abi.FailTimeout},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			c.opts.Upstreams = map[string]string{"api.test": c.base}
			b := newBench(t, c.opts, anyHTTP())
			result := b.request("POST", "https://api.test/")
			wantFailure(t, result, c.code, writ.OutcomeNotDone)
			if strings.ContainsAny(result.Failure.Message, ":/0123456789") {
				t.Errorf("the failure is not a stable text: %q", result.Failure.Message)
			}
		})
	}
	if hits.Load() != 0 {
		t.Error("something was sent")
	}
}

func TestDeadlinesAndCancellation(t *testing.T) {
	arrived := make(chan struct{}, 1)
	s := serveRaw(t, func(_ net.Conn, hold <-chan struct{}) {
		arrived <- struct{}{}
		<-hold
	})
	b := s.bench(t, Options{})
	call := b.callOf(abi.ToolHTTPRequest, abi.HTTPRequest{Method: "POST", URL: "https://api.test/"})
	past := *call
	past.Deadline = time.Unix(1, 0)
	result, err := b.Perform(t.Context(), b.permit, &past)
	if err != nil {
		t.Fatal(err)
	}
	wantFailure(t, result, abi.FailTimeout, writ.OutcomeNotDone)

	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-arrived
		cancel()
	}()
	if result, err = b.Perform(ctx, b.permit, call); err != nil {
		t.Fatal(err)
	}
	wantFailure(t, result, abi.FailUnavailable, writ.OutcomeUnknown)

	if result, err = b.Perform(ctx, b.permit, call); err != nil {
		t.Fatal(err)
	}
	wantFailure(t, result, abi.FailUnavailable, writ.OutcomeNotDone)
}

// TestAnAnsweredWriteStaysDone: a POST that was answered by a redirect has
// happened, whatever becomes of the page that it leads to.
func TestAnAnsweredWriteStaysDone(t *testing.T) {
	s := serveRaw(t, func(net.Conn, <-chan struct{}) {})
	first := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "https://broken.test/")
		w.WriteHeader(atoi(r.URL.Path[1:]))
	})
	b := newBench(t, Options{Upstreams: map[string]string{"api.test": first.URL, "broken.test": s.url}}, anyHTTP())
	wantFailure(t, b.request("POST", "https://api.test/303"), abi.FailUnavailable, writ.OutcomeDone)
	wantFailure(t, b.request("POST", "https://api.test/307"), abi.FailUnavailable, writ.OutcomeUnknown)
	wantFailure(t, b.request("GET", "https://api.test/307"), abi.FailUnavailable, writ.OutcomeNotDone)
}

func http2Server(t *testing.T, handler http.HandlerFunc) (*httptest.Server, Options) {
	server := httptest.NewUnstartedServer(handler)
	server.EnableHTTP2 = true
	server.Config.ErrorLog = quiet()
	server.StartTLS()
	t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	return server, Options{Upstreams: map[string]string{"api.test": server.URL}, RootCAs: roots}
}

func TestHTTP2(t *testing.T) {
	var hits atomic.Int32
	_, opts := http2Server(t, func(w http.ResponseWriter, r *http.Request) {
		hits.Add(1)
		if r.URL.Path == "/abort" {
			panic(http.ErrAbortHandler)
		}
		body, _ := io.ReadAll(r.Body)
		_, _ = fmt.Fprint(w, r.Proto, " ", r.Method, " ", string(body))
	})
	b := newBench(t, opts, anyHTTP())
	result := b.do(abi.ToolHTTPRequest, abi.HTTPRequest{Method: "POST", URL: "https://api.test/", Body: "x"})
	if got := bodyOf[abi.HTTPResponse](t, result).Body; got != "HTTP/2.0 POST x" {
		t.Errorf("got %q", got)
	}
	for method, outcome := range map[string]writ.Outcome{"POST": writ.OutcomeUnknown, "DELETE": writ.OutcomeUnknown, "GET": writ.OutcomeNotDone} {
		hits.Store(0)
		wantFailure(t, b.request(method, "https://api.test/abort"), abi.FailUnavailable, outcome)
		if hits.Load() != 1 {
			t.Errorf("%s was sent %d times", method, hits.Load())
		}
	}
}

func TestHTTP2HeaderBomb(t *testing.T) {
	_, opts := http2Server(t, func(w http.ResponseWriter, _ *http.Request) {
		for i := range 100 {
			w.Header().Set(fmt.Sprint("X-", i), strings.Repeat("b", 1000))
		}
	})
	b := newBench(t, opts, anyHTTP())
	wantFailure(t, b.request("POST", "https://api.test/"), abi.FailUnavailable, writ.OutcomeUnknown)
}
