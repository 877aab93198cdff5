package api

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

// maxLogin bounds the body of a login: a code of 4 KiB, a state and a verifier.
const maxLogin = 16 << 10

func (s *Server) loginBegin(w http.ResponseWriter, r *http.Request) error {
	return login(s, w, r, writ.Logins.Begin)
}

func (s *Server) loginFinish(w http.ResponseWriter, r *http.Request) error {
	return login(s, w, r, writ.Logins.Finish)
}

// login is one half of a login, from its JSON to its JSON.
func login[In, Out any](s *Server, w http.ResponseWriter, r *http.Request, half func(writ.Logins, context.Context, *In) (*Out, error)) error {
	if s.opts.Logins == nil {
		return writ.Errorf(writ.CodeUnavailable, "login", "no OpenID provider is configured").WithFix("use a token, or set oidc in the host's configuration")
	}
	if err := s.checkRequest(r); err != nil {
		return err
	}
	raw, err := io.ReadAll(io.LimitReader(r.Body, maxLogin+1))
	if err != nil || len(raw) > maxLogin {
		return writ.Errorf(writ.CodeTooLarge, "login", "the body did not arrive, or has more than %d bytes", maxLogin).WithFix("use `writ login`")
	}
	in := new(In)
	if err := canon.CheckJSON(raw); err != nil {
		return writ.Errorf(writ.CodeInvalid, "login", "the body is not JSON").WithFix("use `writ login`")
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(in); err != nil {
		return writ.Errorf(writ.CodeInvalid, "login", "the body has other members than a login has").WithFix("use `writ login`")
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.opts.RequestTimeout)
	defer cancel()
	out, err := half(s.opts.Logins, ctx, in)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, "application/json", out)
}

// Rates of logins: a person needs two requests, and a team that comes back from
// lunch behind one proxy some dozens. What strangers can cause is as little.
const (
	loginBurst  = 20
	loginEvery  = 3 * time.Second // one request more after each
	maxSources  = 1024
	otherSource = "other" // the one bucket of all for whom there is no room
)

// throttle is a bucket of requests for each source.
type throttle struct {
	clock writ.Clock

	mu      sync.Mutex
	buckets map[string]*bucket
}

type bucket struct {
	left float64
	at   time.Time
}

func newThrottle(clock writ.Clock) *throttle {
	return &throttle{clock: clock, buckets: map[string]*bucket{}}
}

// take is CodeLimited for a source that has asked too often.
func (t *throttle) take(source string, header http.Header) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.clock()
	b := t.buckets[source]
	if b == nil {
		if len(t.buckets) >= maxSources {
			t.forget(now)
		}
		if len(t.buckets) >= maxSources {
			source = otherSource
		}
		if b = t.buckets[source]; b == nil {
			b = &bucket{left: loginBurst, at: now}
			t.buckets[source] = b
		}
	}
	b.refill(now)
	if b.left < 1 {
		wait := time.Duration((1 - b.left) * float64(loginEvery))
		header.Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
		return writ.Errorf(writ.CodeLimited, "login", "too many logins from this address").WithFix("try again in a few seconds")
	}
	b.left--
	return nil
}

func (b *bucket) refill(now time.Time) {
	if passed := now.Sub(b.at); passed > 0 {
		b.left = min(loginBurst, b.left+float64(passed)/float64(loginEvery))
		b.at = now
	}
}

// forget drops the sources that are as if they had never asked.
func (t *throttle) forget(now time.Time) {
	for source, b := range t.buckets {
		if b.refill(now); b.left >= loginBurst {
			delete(t.buckets, source)
		}
	}
}

// sourceOf is the address that a request comes from; of IPv6 the network, since
// whoever has one address has 2^64.
func sourceOf(r *http.Request) string {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return "socket"
	}
	addr := at.Addr().Unmap().WithZone("")
	if addr.Is6() {
		if network, err := addr.Prefix(64); err == nil {
			return network.String()
		}
	}
	return addr.String()
}
