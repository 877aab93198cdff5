package channel

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/writ-run/writ"
)

// Speaker is an adapter that can say something where its provider's people are.
type Speaker interface {
	// Home is the base URL of the provider's API: "https://slack.com".
	Home() string
	// Longest is how many bytes of what is said are shown whole, whatever buttons are below.
	Longest() int
	// Send says one thing with one request, and gives back the provider's id of it, empty
	// where it gives none. What a provider cannot show, such as buttons, is left out; text
	// that is too long is cut and says so. Of what is replaced nothing stays, and that it
	// reads so already is no error. Errors are those of writ.Messenger.
	Send(ctx context.Context, account *Account, out *Outgoing) (id string, err error)
}

// Account is who speaks.
type Account struct {
	Token []byte // of the provider's; never in an error
	// Base stands in for the provider's home, such as a proxy or a test; empty: the home.
	Base   string
	Client *http.Client // nil: one that follows no redirects
}

// Bounds of one request.
const (
	sendTimeout = 20 * time.Second
	maxReply    = 1 << 20
	maxWait     = time.Hour // that a provider may ask for
	maxSaid     = 200       // bytes of what a provider says of an error
)

// speakClient has no proxy of the environment and holds no connection: what is said is
// seldom, and a connection that died meanwhile would make an outcome unknown.
var speakClient = sync.OnceValue(func() *http.Client {
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true, DisableKeepAlives: true,
		TLSHandshakeTimeout: 10 * time.Second, MaxResponseHeaderBytes: 64 << 10,
	}}
})

// Attempt is one request to a provider and what is known of it. A library may be given
// its client: the attempt sees what the library would not tell.
type Attempt struct {
	ctx     context.Context // some libraries take none
	account *Account
	home    string
	title   string

	mu     sync.Mutex
	used   bool // a request has been handed to the network
	wrote  atomic.Bool
	unmade string // why there is no connection
	status int    // 0: no answer came
	header http.Header
	body   []byte
}

// NewAttempt of a provider with this home.
func (a *Account) NewAttempt(ctx context.Context, home, title string) *Attempt {
	return &Attempt{ctx: ctx, account: a, home: home, title: title}
}

// Client makes the one request.
func (t *Attempt) Client() *http.Client {
	return &http.Client{
		Transport: t, Timeout: sendTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

var errOneRequest = errors.New("one attempt is one request to the provider's home")

// RoundTrip implements http.RoundTripper. It refuses a second request, and one to
// another host than the provider's home.
func (t *Attempt) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		defer r.Body.Close()
	}
	t.mu.Lock()
	again := t.used
	t.used = true
	t.mu.Unlock()
	to, err := t.target(r.URL)
	if again || err != nil {
		return nil, errOneRequest
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(t.ctx, cancel)()
	out := r.Clone(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { t.wrote.Store(true) }, // from here on it may arrive
	}))
	out.URL, out.Host = to, ""
	out.Header.Del("Idempotency-Key") // with it net/http would send again by itself
	client := t.account.Client
	if client == nil {
		client = speakClient()
	}
	transport := client.Transport
	if transport == nil {
		transport = http.DefaultTransport
	}
	response, err := transport.RoundTrip(out)
	if err != nil {
		t.mu.Lock()
		t.unmade = err.Error()
		t.mu.Unlock()
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxReply))
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	t.status, t.header, t.body = response.StatusCode, response.Header, body
	t.mu.Unlock()
	response.Body = io.NopCloser(bytes.NewReader(body))
	return response, nil
}

// target is where a request for the provider's home really goes.
func (t *Attempt) target(u *url.URL) (*url.URL, error) {
	home, err := url.Parse(t.home)
	if err != nil || u.Scheme != home.Scheme || u.Host != home.Host {
		return nil, errOneRequest
	}
	if t.account.Base == "" {
		return u, nil
	}
	base, err := url.Parse(t.account.Base)
	if err != nil || base.Host == "" {
		return nil, errOneRequest
	}
	out := *u
	out.Scheme, out.Host = base.Scheme, base.Host
	prefix := strings.TrimSuffix(base.Path, "/")
	out.Path, out.RawPath = prefix+u.Path, prefix+u.EscapedPath()
	return &out, nil
}

// Do makes the request itself, for providers without a library, and gives back the body
// of an answer that the provider calls a success. said reads what it says of an error.
func (t *Attempt) Do(r *http.Request, said func(body []byte) string) ([]byte, error) {
	response, err := t.Client().Do(r)
	if err == nil {
		response.Body.Close()
	}
	t.mu.Lock()
	status, body := t.status, t.body
	t.mu.Unlock()
	if status >= 200 && status < 300 {
		return body, nil
	}
	return nil, t.Failed(said(body))
}

// Failed is why the request came to nothing, as far as the network and the status tell.
// said are the provider's words.
func (t *Attempt) Failed(said string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.status == 0 && !t.wrote.Load():
		return writ.Errorf(writ.CodeUnavailable, t.title, "no connection was made, and nothing was sent%s", t.words(t.unmade)).
			WithFix("see that this host reaches %s, at a public address where neither http.upstreams nor http.allowPrivate says otherwise", t.home)
	case t.status == 0:
		return writ.Errorf(writ.CodeIndeterminate, t.title, "the request was sent and no answer came").WithFix("look whether it was said")
	}
	wait, asked := t.wait()
	limited := t.status == http.StatusTooManyRequests ||
		t.status == http.StatusServiceUnavailable && asked ||
		t.status == http.StatusForbidden && (asked || t.header.Get("X-Ratelimit-Remaining") == "0")
	if limited {
		return Limited(t.title, wait)
	}
	code := writ.CodeInvalid
	switch {
	case t.status >= 200 && t.status < 300: // it was taken, and the answer is not understood
		return writ.Errorf(writ.CodeIndeterminate, t.title, "the answer is not understood").WithFix("look whether it was said")
	case t.status >= 500, t.status == http.StatusRequestTimeout:
		code = writ.CodeIndeterminate
	case t.status == http.StatusUnauthorized:
		code = writ.CodeUnauthenticated
	case t.status == http.StatusForbidden:
		code = writ.CodeForbidden
	case t.status == http.StatusNotFound, t.status == http.StatusGone:
		code = writ.CodeNotFound
	}
	return t.refused(code, said)
}

// Refused is what a provider said in an answer that is a success to HTTP.
func (t *Attempt) Refused(code writ.Code, said string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.refused(code, said)
}

func (t *Attempt) refused(code writ.Code, said string) error {
	err := writ.Errorf(code, t.title, "it answered %d%s", t.status, t.words(said))
	return err.WithFix("%s", fixes[code])
}

var fixes = map[writ.Code]string{
	writ.CodeInvalid:         "look at the thread and the text",
	writ.CodeUnauthenticated: "set the token again: `writ secret set NAME`, as docs/channels.md says",
	writ.CodeForbidden:       "give the token the permissions that docs/channels.md names, and let the bot into the thread",
	writ.CodeNotFound:        "look at the thread, and let the bot into it",
	writ.CodeIndeterminate:   "look whether it was said",
	writ.CodeUnavailable:     "it is tried again by itself",
}

// words are a provider's, for people: short, printable, and never with the token in them.
func (t *Attempt) words(said string) string {
	said = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(said, ""))
	for part := range strings.SplitSeq(string(t.account.Token), ":") {
		if part != "" && strings.Contains(said, part) {
			return ""
		}
	}
	if said == "" {
		return ""
	}
	return ": " + writ.Clip(said, maxSaid)
}

// wait is how long the provider asks to wait, and whether it does.
func (t *Attempt) wait() (time.Duration, bool) {
	if seconds, err := strconv.ParseInt(t.header.Get("Retry-After"), 10, 32); err == nil && seconds >= 0 {
		return time.Duration(seconds) * time.Second, true
	}
	return 0, t.header.Get("Retry-After") != ""
}

// limited is why a provider takes no more for now.
type limited struct{ wait time.Duration }

func (limited) Error() string { return "the provider takes no more for now" }

// Limited is CodeLimited with the time after which the provider takes more; 0: it does
// not say.
func Limited(title string, wait time.Duration) error {
	return &writ.Error{
		Code: writ.CodeLimited, Op: title, Message: "it takes no more for now", Fix: "say less at once, or wait", Err: limited{min(wait, maxWait)},
	}
}

// RetryAfter is the time that Limited was given; 0 for any other error.
func RetryAfter(err error) time.Duration {
	var l limited
	if errors.As(err, &l) {
		return l.wait
	}
	return 0
}

// cutMark ends a text that was cut.
const cutMark = "\n[cut]"

// Fit is text that has at most limit of what size counts; what is longer is cut between
// two runes and ends with a mark.
func Fit(text string, limit int, size func(string) int) string {
	if size(text) <= limit {
		return text
	}
	var ends []int
	for i := range text {
		ends = append(ends, i)
	}
	low, high := 0, len(ends)-1
	for low < high {
		middle := (low + high + 1) / 2
		if size(text[:ends[middle]]+cutMark) <= limit {
			low = middle
		} else {
			high = middle - 1
		}
	}
	return text[:ends[low]] + cutMark
}

// UTF16 counts text as most providers do.
func UTF16(text string) int {
	n := 0
	for _, r := range text {
		n++
		if r > 0xffff {
			n++
		}
	}
	return n
}

// quiet is an invisible word joiner: behind an at sign no provider takes what follows for
// somebody's name, and nobody is called.
const quiet = "\u2060"

// Quiet lets no at sign that begins a word call anybody. An address keeps its own.
func Quiet(text string) string {
	var out strings.Builder
	before := ' '
	for _, r := range text {
		_, _ = out.WriteRune(r)
		if r == '@' && !alphanumeric(before) {
			_, _ = out.WriteString(quiet)
		}
		before = r
	}
	return out.String()
}

func alphanumeric(r rune) bool {
	return r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
}
