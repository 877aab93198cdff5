package toolbox

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"strings"
	"sync/atomic"
	"unicode/utf8"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/egress"
)

// maxResponseHeader bounds status line and headers: servers send one to four
// KiB, and net/http would allow ten MiB.
const maxResponseHeader = 64 << 10

// gzipSlack is how much longer than its content a compressed body may be.
const gzipSlack = 64 << 10

// answer is what a hop was answered.
type answer struct {
	status   int
	header   http.Header
	body     []byte
	location string // of a redirect that is to be followed; else empty
}

// send makes the request of a hop and reads its answer.
func (e *exchange) send(ctx context.Context, h *hop) (*answer, *trouble) {
	request, d, failure := e.request(ctx, h)
	if failure != nil {
		return nil, &trouble{failure, writ.OutcomeNotDone}
	}
	hopCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	// From the moment there is a connection, something may have been sent. HTTP/2
	// would send some requests again on an error of the stream: a write is sent
	// once.
	var sent atomic.Bool
	request = request.WithContext(httptrace.WithClientTrace(hopCtx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) {
			if again := sent.Swap(true); again && h.writes() {
				cancel()
			}
		},
		WroteHeaders: func() { sent.Store(true) },
	}))
	transport := e.tools.transport(d)
	defer transport.CloseIdleConnections()
	response, err := transport.RoundTrip(request)
	if err != nil {
		if !sent.Load() {
			return nil, &trouble{failedBefore(ctx, err), writ.OutcomeNotDone}
		}
		return nil, &trouble{failedAfter(ctx), h.lost()}
	}
	defer response.Body.Close()
	return e.read(ctx, h, response)
}

// lost is the outcome of a hop whose answer did not come, or not wholly.
func (h *hop) lost() writ.Outcome {
	if h.writes() {
		return writ.OutcomeUnknown
	}
	return writ.OutcomeNotDone
}

// transport makes connections for one hop. They are never shared: not between
// tenants, not between a mapped and an unmapped host, and net/http sends a
// request with an Idempotency-Key again by itself when a reused connection dies,
// which would be an effect that no record names.
func (t *Toolbox) transport(d *egress.Dialer) *http.Transport {
	return &http.Transport{
		DialContext:            d.Dial,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: t.opts.RootCAs},
		ForceAttemptHTTP2:      true,
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxResponseHeader,
	}
}

// onceBody is read once: without http.Request.GetBody nothing is sent twice.
type onceBody struct{ *bytes.Reader }

func (onceBody) Close() error { return nil }

// request is what really leaves: with secrets, the idempotency key and the
// upstream's address.
func (e *exchange) request(ctx context.Context, h *hop) (*http.Request, *egress.Dialer, *abi.Failure) {
	u := *h.url
	request := &http.Request{Method: h.target.Method, URL: &u, Header: h.header.Clone()}
	if failure := e.inject(ctx, h, request); failure != nil {
		return nil, nil, failure
	}
	d := &egress.Dialer{Resolver: e.tools.opts.Resolver, Admit: func(addr netip.Addr) bool {
		return egress.Reachable(addr, e.tools.opts.AllowPrivate)
	}}
	if up, ok := e.tools.upstreams[h.target.Host]; ok {
		request.URL = up.rewrite(request.URL)
		d.Admit = func(netip.Addr) bool { return true } // an upstream that the operator named
	}
	if h.writes() {
		if len(h.body) > 0 {
			request.Body, request.ContentLength = onceBody{bytes.NewReader(h.body)}, int64(len(h.body))
		}
		if e.call.Key != "" {
			request.Header.Set("Idempotency-Key", e.call.Key)
		}
	}
	request.Header.Set("Accept-Encoding", "gzip")
	if request.Header.Get("Range") != "" {
		request.Header.Set("Accept-Encoding", "identity") // a part of a gzip stream cannot be read
	}
	if request.Header.Get("User-Agent") == "" {
		request.Header.Set("User-Agent", "writ/"+writ.Version)
	}
	return request, d, nil
}

// read takes the answer in, bounded, and lets nothing pass that holds a secret.
func (e *exchange) read(ctx context.Context, h *hop, response *http.Response) (*answer, *trouble) {
	leaked := &abi.Failure{Code: abi.FailSecretLeak, Message: "the server's answer holds a secret and was withheld"}
	if response.StatusCode < 200 {
		return nil, &trouble{failUnavailable("the server wants another protocol"), h.lost()}
	}
	if e.guard.foundInHeader(response.Status, response.Header) {
		return nil, &trouble{leaked, writ.OutcomeDone}
	}
	a := &answer{status: response.StatusCode, header: response.Header}
	if isRedirect(a.status) {
		a.location = response.Header.Get("Location")
	}
	if a.location != "" {
		return a, nil
	}
	var err error
	a.body, err = e.tools.readBody(response)
	switch {
	case errors.Is(err, errTooLarge):
		return nil, &trouble{failTooLarge("the server's answer", e.tools.opts.MaxResponse), writ.OutcomeDone}
	case errors.Is(err, errEncoding):
		return nil, &trouble{failUnsupported("the server's answer has a content encoding that was not asked for"), writ.OutcomeDone}
	case err != nil:
		return nil, &trouble{failedAfter(ctx), h.lost()}
	case e.guard.found(a.body):
		return nil, &trouble{leaked, writ.OutcomeDone}
	}
	return a, nil
}

var errEncoding = errors.New("content encoding is not known")

// readBody reads and unpacks a body, bounding both forms: one megabyte of gzip
// can stand for a gigabyte, and endless gzip for nothing at all.
func (t *Toolbox) readBody(response *http.Response) ([]byte, error) {
	var source io.Reader = response.Body
	encoding := strings.TrimSpace(toLower(strings.Join(response.Header["Content-Encoding"], ",")))
	switch encoding {
	case "", "identity":
	case "gzip", "x-gzip":
		packed := &bounded{source: source, left: t.opts.MaxResponse + gzipSlack}
		unpacked, err := gzip.NewReader(packed)
		if errors.Is(err, io.EOF) {
			return nil, nil // HEAD, 204 and 304 name the encoding of a body that is not there
		}
		if err != nil {
			return nil, err
		}
		response.Header.Del("Content-Encoding")
		response.Header.Del("Content-Length")
		source = unpacked
	default:
		return nil, errEncoding
	}
	return io.ReadAll(&bounded{source: source, left: t.opts.MaxResponse})
}

// bounded is a reader that fails with errTooLarge at the first byte too many.
type bounded struct {
	source io.Reader
	left   int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.source.Read(p)
	if int64(n) > b.left {
		return 0, errTooLarge
	}
	b.left -= int64(n)
	return n, err
}

// response is what the guest sees.
func (a *answer) response() *abi.HTTPResponse {
	out := &abi.HTTPResponse{Status: a.status, Headers: visibleHeader(a.header)}
	if utf8.Valid(a.body) {
		out.Body = string(a.body)
	} else {
		out.BodyBase64 = base64.StdEncoding.EncodeToString(a.body)
	}
	return out
}
