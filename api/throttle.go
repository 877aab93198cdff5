package api

import (
	"maps"
	"math"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/writ-run/writ"
)

// Guessing a token is hopeless: it has 256 bits. What is slowed down is trying all
// the same, which costs the host a hash and a log line each time, and what a
// leaked or mistyped token does in a loop.
const (
	// A source may mistake itself this often; one is forgiven every half minute.
	freeOfSource  = 10
	forgivenAfter = 30 * time.Second
	// A token's id is one credential: who fails thrice with it does not have it.
	freeOfToken = 3
	firstDelay  = time.Second
	longest     = time.Minute
	// forgetAfter is when nothing is left of a failure.
	forgetAfter = 15 * time.Minute
	// A person needs two requests to log in, and a team that comes back from lunch
	// behind one proxy some dozens. What strangers can cause is as little.
	freeLogins = 20
	loginEvery = 3 * time.Second // one request more after each
	// maxLogins bounds whose logins are told apart; all others share elsewhere.
	maxLogins = 1024
	elsewhere = "elsewhere"
	// maxRemembered bounds each table: some hundred bytes an entry.
	maxRemembered = 4096
)

// throttle remembers who failed to authenticate, and who asked for a login. A delay
// is for the source that failed, and for one token's id from that source: how often
// others failed with that id makes it longer, but never keeps the right token of
// another source out. Logins count whether they fail or not: each costs the host
// something before anybody is known.
type throttle struct {
	clock writ.Clock

	mu      sync.Mutex
	sources map[string]*failures
	tokens  map[string]*failures // by id, of all sources
	pairs   map[pair]*failures
	logins  map[string]*failures // requests, by source
}

// pair is a token's id as one source tried it.
type pair struct{ source, token string }

type failures struct {
	count float64 // a source is forgiven by and by
	last  time.Time
	until time.Time // no attempt before it
}

func newThrottle(clock writ.Clock) *throttle {
	return &throttle{clock: clock, sources: map[string]*failures{}, tokens: map[string]*failures{}, pairs: map[pair]*failures{}, logins: map[string]*failures{}}
}

// wait is how long the source has to wait before it may try this token; zero: it
// may now. What has to wait is not looked at, and does not count.
func (t *throttle) wait(who pair) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	now, wait := t.clock(), time.Duration(0)
	for _, f := range []*failures{t.sources[who.source], t.pairs[who]} {
		if f != nil {
			wait = max(wait, f.until.Sub(now))
		}
	}
	return wait
}

// failed counts an attempt. A token without an id counts for its source alone.
func (t *throttle) failed(who pair) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.clock()
	source := remembered(t.sources, who.source, now)
	source.forgive(now, forgivenAfter)
	source.count++
	source.until = now.Add(delay(source.count - freeOfSource))
	if who.token == "" {
		return
	}
	token := remembered(t.tokens, who.token, now)
	token.count, token.last = token.count+1, now
	tried := remembered(t.pairs, who, now)
	tried.count, tried.last = tried.count+1, now
	tried.until = now.Add(delay(token.count - freeOfToken))
}

// login counts a request to log in, unless the source has asked too often: then it
// is how long until the next one. A flood of sources shares what one has, so that
// none that is known already is forgotten for it.
func (t *throttle) login(source string) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.clock()
	if t.logins[source] == nil && len(t.logins) >= maxLogins {
		maps.DeleteFunc(t.logins, func(_ string, f *failures) bool { return f.forgive(now, loginEvery) == 0 })
		if len(t.logins) >= maxLogins {
			source = elsewhere
		}
	}
	asked := t.logins[source]
	if asked == nil {
		asked = &failures{last: now}
		t.logins[source] = asked
	}
	if over := asked.forgive(now, loginEvery) + 1 - freeLogins; over > 0 {
		return time.Duration(over * float64(loginEvery))
	}
	asked.count++
	return 0
}

// forgive takes one off the count for each period that has passed.
func (f *failures) forgive(now time.Time, every time.Duration) float64 {
	if passed := now.Sub(f.last); passed > 0 {
		f.count, f.last = max(f.count-passed.Seconds()/every.Seconds(), 0), now
	}
	return f.count
}

// succeeded forgets what was held against a token: whoever has it has shown it.
func (t *throttle) succeeded(who pair) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.tokens, who.token)
	delete(t.pairs, who)
}

// delay doubles with each failure over the free ones.
func delay(over float64) time.Duration {
	if over <= 0 {
		return 0
	}
	return min(firstDelay<<min(int(math.Ceil(over))-1, 10), longest)
}

// remembered finds or makes an entry. Where there is no room, the oldest of a few
// goes: a flood of sources costs it its own memory first, and no search.
func remembered[K comparable](table map[K]*failures, key K, now time.Time) *failures {
	f, ok := table[key]
	if ok && now.Sub(f.last) < forgetAfter {
		return f
	}
	if !ok && len(table) >= maxRemembered {
		forgetOne(table)
	}
	f = &failures{last: now}
	table[key] = f
	return f
}

// forgetOne looks at a few: the order in which Go gives them is random.
func forgetOne[K comparable](table map[K]*failures) {
	const looked = 8
	var oldest K
	n := 0
	for key, f := range table {
		if n == 0 || f.last.Before(table[oldest].last) {
			oldest = key
		}
		if n++; n == looked {
			break
		}
	}
	delete(table, oldest)
}

// sourceOf is who is at the other end: an address, of IPv6 the network of one
// subscriber, or the user behind the socket. What a proxy says is not believed.
func sourceOf(r *http.Request) string {
	if c := connOf(r); c != nil && c.unix {
		return "unix:" + strconv.FormatUint(uint64(c.uid), 10)
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return "unknown"
	}
	if addr = addr.Unmap().WithZone(""); addr.Is4() {
		return addr.String()
	}
	network, err := addr.Prefix(64)
	if err != nil {
		return "unknown"
	}
	return network.String()
}

// tokenID is the public part of a token, writ_ID_SECRET or writ_TENANT_ID_SECRET;
// empty where it has none. Neither is longer than a tenant's name and an id.
func tokenID(token string) string {
	const length, longest = 16, 32
	parts := strings.SplitN(token, "_", 4)
	switch {
	case parts[0] != "writ":
	case len(parts) == 3 && len(parts[1]) == length:
		return parts[1]
	case len(parts) == 4 && len(parts[1]) <= longest && len(parts[2]) == length:
		return parts[1] + "_" + parts[2]
	}
	return ""
}

// guarded is an authentication by token or certificate that failures slow down.
// Whether the token is one of this host changes nothing of the way there. It is for
// the request: a failure of the same credential later, whose stream is open, is the
// end of that stream and no attempt.
func (s *Server) guarded(v *visit, r *http.Request, token string) (*writ.Principal, error) {
	who := pair{source: sourceOf(r), token: token}
	door, _, _ := strings.Cut(who.source, ":")
	if door != "unix" {
		door = "tcp"
	}
	if wait := s.throttle.wait(who); wait > 0 {
		seconds := retryAfter(v, wait)
		s.meters.failures.WithLabelValues(door, "throttled").Inc()
		return nil, writ.Errorf(writ.CodeLimited, "authenticate", "too many attempts have failed").WithFix("try again in %s s, with a credential that is valid", seconds)
	}
	p, err := v.again(r.Context())
	switch {
	case err == nil:
		s.throttle.succeeded(who)
	case writ.IsCode(err, writ.CodeUnauthenticated):
		s.throttle.failed(who)
		s.meters.failures.WithLabelValues(door, "invalid").Inc()
	}
	return p, err
}

// letLogin lets a request to log in through, which nobody vouches for yet.
func (s *Server) letLogin(v *visit, r *http.Request) error {
	if wait := s.throttle.login(sourceOf(r)); wait > 0 {
		return writ.Errorf(writ.CodeLimited, "login", "too many logins from this address").WithFix("try again in %s s", retryAfter(v, wait))
	}
	return nil
}

// retryAfter sets the header, in whole seconds.
func retryAfter(v *visit, wait time.Duration) string {
	seconds := strconv.Itoa(int(math.Ceil(wait.Seconds())))
	v.Header().Set("Retry-After", seconds)
	return seconds
}
