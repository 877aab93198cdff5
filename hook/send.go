package hook

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
	"github.com/writ-run/writ/egress"
)

// Of one attempt. Standard Webhooks asks receivers to answer within 15 to 30 s; the
// answer's header is read and its body is not.
const (
	sendTimeout = 15 * time.Second
	maxHeader   = 16 << 10
)

// How long an event is tried. An attempt is followed by a wait of firstWait, then
// twice that and so on up to longestWait, each between its half and its whole, or as
// long as the receiver asks for, at most maxRetryAfter.
const (
	firstWait     = 5 * time.Second
	longestWait   = 15 * time.Minute
	maxRetryAfter = 24 * time.Hour

	refusedAttempts = 8  // that the receiver refuses: about 10 minutes
	faultAttempts   = 24 // at which it fails: about 4 hours, the others wait behind it
)

// outcome is what comes of an attempt.
type outcome string

const (
	delivered outcome = "delivered"
	later     outcome = "later"   // nobody took it: it is tried without end
	refused   outcome = "refused" // given up after refusedAttempts
	fault     outcome = "fault"   // given up after faultAttempts
	gone      outcome = "gone"    // the hook is disabled
)

// outcomes are all of them, for the metrics.
var outcomes = []outcome{delivered, later, refused, fault, gone}

// result is one attempt.
type result struct {
	outcome    outcome
	status     int
	signatures int
	retryAfter time.Duration
	took       time.Duration
	failure    *contract.HookFailure
}

// outcomeOf reads a status. What a proxy says of a receiver that is away is no word of
// the receiver's.
func outcomeOf(status int) outcome {
	switch {
	case status >= 200 && status < 300:
		return delivered
	case status == http.StatusGone:
		return gone
	case status == http.StatusRequestTimeout, status == http.StatusTooEarly, status == http.StatusTooManyRequests,
		status == http.StatusBadGateway, status == http.StatusServiceUnavailable, status == http.StatusGatewayTimeout:
		return later
	case status >= 500:
		return fault
	}
	return refused
}

// client makes the connections of one hook. No proxy of the environment is between:
// the address that is checked is the one that is reached.
func (h *Hook) client(target *url.URL, resolver egress.Resolver) (*http.Client, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if h.CA != nil {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(h.CA) {
			return nil, writ.Errorf(writ.CodeInvalid, "hook "+h.Name, "ca: holds no certificate").WithFix("give a file of PEM certificates")
		}
	}
	d := &egress.Dialer{Resolver: resolver, Admit: h.admit(target.Scheme)}
	return &http.Client{
		Transport: &http.Transport{
			DialContext: d.Dial, TLSClientConfig: config, ForceAttemptHTTP2: true, DisableKeepAlives: true,
			DisableCompression: true, MaxResponseHeaderBytes: maxHeader,
		},
		// A redirect would carry the event to where the operator did not send it.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// admit: in the clear to the house alone, and to the house where the operator says so.
func (h *Hook) admit(scheme string) func(netip.Addr) bool {
	return func(addr netip.Addr) bool {
		if h.AllowPrivate && egress.Private(addr) {
			return true
		}
		return scheme == "https" && egress.Reachable(addr, nil)
	}
}

// attempt makes one POST.
func (w *worker) attempt(ctx context.Context, id string, body []byte) result {
	began := w.opts.Clock()
	r := w.post(ctx, id, body)
	r.took = w.opts.Clock().Sub(began)
	if r.outcome != delivered && r.failure == nil {
		r.failure = answered(r.status)
	}
	if r.failure != nil {
		r.failure.At, r.failure.StatusCode = w.opts.Clock.Now(), r.status
	}
	return r
}

func (w *worker) post(ctx context.Context, id string, body []byte) result {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	keys, err := w.keys(ctx)
	if err != nil {
		return result{outcome: later, failure: spoken(err)}
	}
	at := w.opts.Clock()
	header := http.Header{}
	header.Set("Content-Type", "application/json")
	header.Set("User-Agent", "writ/"+writ.Version)
	header.Set("Webhook-Id", id)
	header.Set("Webhook-Timestamp", strconv.FormatInt(at.Unix(), 10))
	header.Set("Webhook-Signature", signature(keys, id, at, body))
	for _, key := range keys {
		clear(key)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, w.hook.URL, bytes.NewReader(body))
	if err != nil {
		return result{outcome: later, failure: &contract.HookFailure{Code: writ.CodeInternal, Message: "the request cannot be made"}}
	}
	request.Header = header
	response, err := w.client.Do(request)
	if err != nil {
		return result{outcome: later, signatures: len(keys), failure: silent(ctx, err)}
	}
	_ = response.Body.Close() // whatever it holds
	return result{
		outcome: outcomeOf(response.StatusCode), status: response.StatusCode, signatures: len(keys),
		retryAfter: retryAfter(response.Header.Get("Retry-After"), at),
	}
}

// retryAfter reads the header in both of its forms (RFC 9110 section 10.2.3).
func retryAfter(text string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(text, 10, 32); err == nil {
		return min(time.Duration(seconds)*time.Second, maxRetryAfter)
	}
	if at, err := http.ParseTime(text); err == nil {
		return min(max(at.Sub(now), 0), maxRetryAfter)
	}
	return 0
}

// wait is how long to wait after the n-th attempt, from 1.
func (w *worker) wait(n int, r *result) time.Duration {
	d := longestWait
	if n < 10 { // 5 s doubled 10 times is more than any wait
		d = min(firstWait<<(n-1), longestWait)
	}
	d = d/2 + time.Duration(w.opts.Jitter()*float64(d/2))
	return max(d, r.retryAfter)
}

// exhausted reports whether an event is given up after the n-th answer that turned it
// down.
func (r *result) exhausted(n int) bool {
	return (r.outcome == refused && n >= refusedAttempts) || (r.outcome == fault && n >= faultAttempts)
}

// answered words an answer that is no yes.
func answered(status int) *contract.HookFailure {
	f := &contract.HookFailure{Code: writ.CodeUnavailable, Message: "the receiver answered " + strconv.Itoa(status), Fix: "see what the receiver's own log says"}
	switch {
	case status == http.StatusGone:
		f.Fix = "configure another receiver, or `writ hook redeliver` where this one is back"
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		f.Code, f.Fix = writ.CodeForbidden, "see whether the receiver has the secret that the hook names"
	case status >= 300 && status < 400:
		f.Code, f.Fix = writ.CodeInvalid, "no redirect is followed: write where it leads to as the hook's url"
	case status >= 400 && status < 500:
		f.Code = writ.CodeInvalid
	}
	return f
}

// spoken words what a secret store says; its errors hold no values.
func spoken(err error) *contract.HookFailure {
	var e *writ.Error
	if !errors.As(err, &e) || e.Code == writ.CodeInternal {
		return &contract.HookFailure{Code: writ.CodeInternal, Message: "the secret cannot be read", Fix: "see `writ secret list --check`"}
	}
	return &contract.HookFailure{Code: e.Code, Message: writ.Clip(e.Op+": "+e.Message, 300), Fix: e.Fix}
}

// silent words an error that came in the place of an answer. The error itself holds
// the URL.
func silent(ctx context.Context, err error) *contract.HookFailure {
	var certificate *tls.CertificateVerificationError
	switch {
	case ctx.Err() != nil:
		return &contract.HookFailure{Code: writ.CodeTimeout, Message: "the receiver did not answer in " + sendTimeout.String(), Fix: "have it answer first and work afterwards"}
	case errors.Is(err, egress.ErrRefused):
		return &contract.HookFailure{
			Code: writ.CodeForbidden, Message: "the receiver's address is not one that the hook may reach",
			Fix: "allowPrivate: true lets it reach the house; link-local addresses and metadata services are never reached, and http leaves the house never",
		}
	case errors.Is(err, egress.ErrResolve):
		return &contract.HookFailure{Code: writ.CodeUnavailable, Message: "the receiver's name cannot be resolved", Fix: "correct the hook's url, or the name server"}
	case errors.As(err, &certificate):
		return &contract.HookFailure{Code: writ.CodeUnavailable, Message: "the receiver shows a certificate that is not trusted here", Fix: "name its authority's certificates as the hook's ca"}
	}
	return &contract.HookFailure{Code: writ.CodeUnavailable, Message: "the receiver cannot be reached, or its answer broke off", Fix: "see whether it runs, and whether it can be reached from here"}
}
