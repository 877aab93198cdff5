package toolbox

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/egress"
)

// maxRedirects bounds one call; browsers allow 20, APIs need one or two.
const maxRedirects = 5

// exchange is one http.request with the redirects that it leads to.
type exchange struct {
	tools    *Toolbox
	permit   writ.Permit
	call     *writ.ToolCall
	guard    leakGuard
	answered bool // a hop that writes was answered
	secret   bool // a hop carried one
}

// labels are of an answer. Who has a secret may be shown what others may not.
func (e *exchange) labels() []writ.Label {
	if e.secret && e.call.Sensitivity != abi.SensitivityPublic {
		return []writ.Label{writ.LabelHTTP, writ.LabelSecret}
	}
	return []writ.Label{writ.LabelHTTP}
}

// hop is one request of an exchange, as the guest and the permit see it: before
// secrets are injected and upstreams mapped.
type hop struct {
	target     writ.Target
	url        *url.URL
	header     http.Header
	body       []byte
	capability *writ.Capability
	strayed    bool // a redirect left the host that the guest named: no secrets any more
}

func (h *hop) writes() bool {
	return h.target.Method != http.MethodGet && h.target.Method != http.MethodHead
}

// trouble is why a hop has no answer for the guest.
type trouble struct {
	failure *abi.Failure
	outcome writ.Outcome // of this hop alone
}

// httpRequest performs http.request. It is not done where nothing was sent or a
// read failed, done where an answer came, and unknown where a request that
// writes may have arrived and its answer did not.
func (t *Toolbox) httpRequest(ctx context.Context, inv *invocation) *writ.ToolResult {
	args, failure := decode[abi.HTTPRequest](inv.Arguments)
	if failure != nil {
		return notDone(failure)
	}
	h, failure := t.firstHop(inv, &args)
	if failure != nil {
		return notDone(failure)
	}
	ctx, cancel := t.limitTime(ctx, inv.Deadline, args.TimeoutMS)
	defer cancel()
	e := &exchange{tools: t, permit: inv.permit, call: inv.ToolCall}
	defer e.guard.wipe()
	if failure := e.watch(ctx); failure != nil {
		return notDone(failure)
	}
	if failure := e.holdBack(h); failure != nil {
		return notDone(failure)
	}
	response, failed := e.run(ctx, h)
	if failed == nil {
		return done(response, e.labels()...)
	}
	switch {
	case failed.outcome == writ.OutcomeUnknown:
		return unknown(failed.failure)
	case failed.outcome == writ.OutcomeDone || e.answered:
		return doneFailed(failed.failure, e.labels()...)
	}
	return notDone(failed.failure)
}

func (t *Toolbox) limitTime(ctx context.Context, deadline time.Time, timeoutMS int64) (context.Context, context.CancelFunc) {
	limit := t.opts.Timeout
	if asked := time.Duration(timeoutMS) * time.Millisecond; asked > 0 && asked < limit {
		limit = asked
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	if deadline.IsZero() {
		return ctx, cancel
	}
	ctx, cancelDeadline := context.WithDeadline(ctx, deadline)
	return ctx, func() { cancelDeadline(); cancel() }
}

// firstHop checks what the schema cannot say.
func (t *Toolbox) firstHop(inv *invocation, args *abi.HTTPRequest) (*hop, *abi.Failure) {
	body, failure := bodyBytes(args.Body, args.BodyBase64)
	if failure != nil {
		return nil, failure
	}
	if int64(len(body)) > t.opts.MaxRequest {
		return nil, failTooLarge("the body", t.opts.MaxRequest)
	}
	header, failure := guestHeader(args.Headers)
	if failure != nil {
		return nil, failure
	}
	h := &hop{target: inv.Target, header: header, body: body, capability: inv.capability}
	if !h.writes() && len(body) > 0 {
		return nil, failInvalid("a GET or HEAD request has no body", "use POST, or put it into the query")
	}
	h.url, failure = sendable(args.URL)
	return h, failure
}

// sendable parses a URL that a Target was made of.
func sendable(text string) (*url.URL, *abi.Failure) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, failInvalid("the URL cannot be parsed", "")
	}
	host := toLower(u.Hostname())
	if failure := checkHost(host); failure != nil {
		return nil, failure
	}
	// net/http writes the query as it stands: a space in it would end the URL.
	for i := range len(u.RawQuery) {
		if c := u.RawQuery[i]; c <= ' ' || c >= 0x7f {
			return nil, failInvalid("the URL's query has characters that are not escaped", "")
		}
	}
	u.Host = strings.TrimSuffix(toLower(u.Host), ":")
	if u.Path == "" {
		u.Path = "/"
	}
	return u, nil
}

// run follows redirects until there is an answer for the guest.
func (e *exchange) run(ctx context.Context, h *hop) (*abi.HTTPResponse, *trouble) {
	for range maxRedirects + 1 {
		a, failed := e.send(ctx, h)
		if failed != nil {
			return nil, failed
		}
		e.answered = e.answered || h.writes()
		if a.location == "" {
			return a.response(), nil
		}
		next, failure := e.redirect(h, a)
		if failure != nil {
			return nil, &trouble{failure, writ.OutcomeDone}
		}
		h = next
	}
	return nil, &trouble{failUnavailable("the server redirects too often"), writ.OutcomeDone}
}

// redirect makes the next hop, which needs the permit as much as the first.
func (e *exchange) redirect(h *hop, a *answer) (*hop, *abi.Failure) {
	refused := failDenied("the server redirects to what this step was not granted", "name the final URL, or grant it")
	target, err := h.url.Parse(a.location)
	if err != nil {
		return nil, refused
	}
	target.Fragment, target.RawFragment = "", ""
	if up, ok := e.tools.upstreams[h.target.Host]; ok {
		target = up.restore(target, h.url)
	}
	if h.url.Scheme == "https" && target.Scheme != "https" {
		return nil, failDenied("the server redirects from https to http", "")
	}
	next := &hop{header: h.header.Clone(), body: h.body}
	method := redirectMethod(h.target.Method, a.status)
	if method != h.target.Method {
		next.body = nil
		dropContent(next.header)
	}
	facts, err := redirectFacts(method, target, next.body)
	if err != nil {
		return nil, refused
	}
	if next.capability, err = e.permit.Covers(facts); err != nil {
		return nil, refused
	}
	var failure *abi.Failure
	if next.url, failure = sendable(target.String()); failure != nil {
		return nil, refused
	}
	next.target = facts.Target
	if h.strayed || next.target.Host != h.target.Host || next.target.Scheme != h.target.Scheme {
		next.strayed = true
		keepHarmless(next.header)
	}
	return next, nil
}

// redirectFacts are those of the call that the guest would have made itself.
func redirectFacts(method string, target *url.URL, body []byte) (*writ.CallFacts, error) {
	request := abi.HTTPRequest{Method: method, URL: target.String()}
	if utf8.Valid(body) {
		request.Body = string(body)
	} else {
		request.BodyBase64 = base64.StdEncoding.EncodeToString(body)
	}
	args, err := canon.MarshalJSON(request)
	if err != nil {
		return nil, err
	}
	return writ.CallFactsOf(abi.ToolHTTPRequest, args)
}

// redirectMethod is RFC 9110 section 15.4: 303 asks for the result with GET, 301
// and 302 turn POST into GET as every browser does, 307 and 308 change nothing.
func redirectMethod(method string, status int) string {
	switch {
	case status == http.StatusSeeOther && method != http.MethodHead,
		(status == http.StatusMovedPermanently || status == http.StatusFound) && method == http.MethodPost:
		return http.MethodGet
	}
	return method
}

func isRedirect(status int) bool {
	switch status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther,
		http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	}
	return false
}

// failedBefore words an error that came before anything was sent.
func failedBefore(ctx context.Context, err error) *abi.Failure {
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return failTimeout("the time was up before anything was sent")
	case ctx.Err() != nil:
		return failUnavailable("the call was cancelled before anything was sent")
	case errors.Is(err, egress.ErrRefused):
		return failDenied(egress.ErrRefused.Error(), "an operator may allow its range, or map the host to an upstream")
	case errors.Is(err, egress.ErrResolve), errors.Is(err, egress.ErrConnect):
		return failUnavailable(unwrapDial(err).Error())
	}
	return failUnavailable("no connection that can be trusted could be made")
}

func unwrapDial(err error) error {
	if errors.Is(err, egress.ErrResolve) {
		return egress.ErrResolve
	}
	return egress.ErrConnect
}

// failedAfter words an error that came after something may have been sent.
func failedAfter(ctx context.Context) *abi.Failure {
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return failTimeout("the server took too long")
	case ctx.Err() != nil:
		return failUnavailable("the call was cancelled before its answer came")
	}
	return failUnavailable("the server's answer broke off or is not HTTP")
}
