package api

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// visit is what is known of one request, for its log line and its metrics.
type visit struct {
	http.ResponseWriter
	id        string
	operation string // a contract key or a pattern, never what a caller made up
	status    int
	principal *writ.Principal
	signed    bool                                           // the route is a provider's, who signs
	again     func(context.Context) (*writ.Principal, error) // authenticates the same credential again
}

// WriteHeader implements http.ResponseWriter.
func (v *visit) WriteHeader(status int) {
	if v.status == 0 {
		v.status = status
	}
	v.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (v *visit) Write(b []byte) (int, error) {
	if v.status == 0 {
		v.status = http.StatusOK
	}
	return v.ResponseWriter.Write(b)
}

// Unwrap serves http.ResponseController.
func (v *visit) Unwrap() http.ResponseWriter { return v.ResponseWriter }

type visitKey struct{}

func visitOf(r *http.Request) *visit {
	v, _ := r.Context().Value(visitKey{}).(*visit)
	return v
}

// guard is the one adapter between routes and net/http: host check, bounds,
// authentication, permission, panics, errors, log and metrics.
func (s *Server) guard(route Route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := &visit{ResponseWriter: w, id: s.requestID(), operation: route.Pattern, signed: route.Permission == BySignature}
		r = r.WithContext(context.WithValue(r.Context(), visitKey{}, v))
		header := w.Header()
		header.Set("X-Request-Id", v.id)
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Cache-Control", "no-store")
		began := s.opts.Clock()
		s.hurry(v, r)
		err := s.attempt(route, v, r)
		if err != nil && v.status == 0 {
			s.answer(v, err)
		}
		s.report(v, r, err, s.opts.Clock().Sub(began))
		if err != nil && errors.Is(err, http.ErrAbortHandler) {
			panic(http.ErrAbortHandler) // net/http cuts the connection
		}
	})
}

// hurry gives the body BodyTimeout to arrive. It holds for refusals too: before
// it answers, net/http reads what is left of a body, and would wait for ever.
func (s *Server) hurry(v *visit, r *http.Request) {
	if r.ContentLength == 0 {
		return
	}
	control := http.NewResponseController(v)
	if control.SetReadDeadline(s.opts.Clock().Add(s.opts.BodyTimeout)) == nil {
		r.Body = &timedBody{ReadCloser: r.Body, control: control}
	}
}

// timedBody lifts the deadline at the body's end: past it, net/http reads ahead
// to notice a client that goes, and a deadline would look like that.
type timedBody struct {
	io.ReadCloser
	control *http.ResponseController
}

// Read implements io.Reader.
func (b *timedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		if lift := b.control.SetReadDeadline(time.Time{}); lift != nil {
			return n, lift
		}
	}
	return n, err
}

func (s *Server) attempt(route Route, v *visit, r *http.Request) (err error) {
	defer func() {
		cause := recover()
		if cause == nil {
			return
		}
		s.opts.Log.Error("panic", "request", v.id, "operation", v.operation, "cause", cause, "stack", string(debug.Stack()))
		err = writ.Errorf(writ.CodeInternal, v.operation, "panic")
		if v.status != 0 {
			err = errors.Join(err, http.ErrAbortHandler)
		}
	}()
	if err := s.checkHost(r); err != nil {
		return err
	}
	slots, what := s.flights, "requests"
	if route.Stream {
		slots, what = s.streams, "streams"
	}
	select {
	case slots <- struct{}{}:
		defer func() { <-slots }()
	default:
		v.Header().Set("Retry-After", "1")
		return writ.Errorf(writ.CodeLimited, "api", "%d %s are open already", cap(slots), what).WithFix("try again in a second")
	}
	r, err = s.admit(route, v, r)
	if err != nil {
		return err
	}
	return route.Handler(v, r)
}

// admit authenticates where the route asks for somebody, and refuses the zero
// Permission.
func (s *Server) admit(route Route, v *visit, r *http.Request) (*http.Request, error) {
	switch route.Permission {
	case Public, BySignature:
		return r, nil
	case ByLogin:
		return r, s.letLogin(v, r)
	case "":
		return nil, writ.Errorf(writ.CodeForbidden, "route", "nobody may use this route").
			WithFix("give the route a permission")
	}
	p, err := s.authenticate(v, r)
	if err != nil {
		return nil, err
	}
	v.principal = p
	if need := string(route.Permission); route.Permission != ByContract && (p.Strength == "" || !slices.Contains(p.Capabilities, need)) {
		return nil, writ.Errorf(writ.CodeForbidden, "route", "%s has not the capability %s", p.ID, need).
			WithFix("use a token with it: `writ token create --capability %s`", need)
	}
	return r.WithContext(writ.WithPrincipal(r.Context(), p)), nil
}

// maxToken bounds what is handed to the authenticator.
const maxToken = 4096

// authenticate takes the caller's one credential. A header that is there and wrong
// is never passed over in favour of the socket's peer.
func (s *Server) authenticate(v *visit, r *http.Request) (*writ.Principal, error) {
	refuse := func(why, fix string) (*writ.Principal, error) {
		return nil, &writ.Error{Code: writ.CodeUnauthenticated, Op: "authenticate", Message: why, Fix: fix}
	}
	const bearer = "send one header: Authorization: Bearer TOKEN"
	if s.opts.Auth == nil {
		return refuse("this host knows no callers", bearer)
	}
	headers := r.Header.Values("Authorization")
	if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		if len(headers) > 0 {
			// Whichever were believed, the caller would act as somebody that it may not have meant.
			return refuse("a client certificate and a token were sent", "send one of the two")
		}
		chain := r.TLS.PeerCertificates
		v.again = func(ctx context.Context) (*writ.Principal, error) { return s.opts.Auth.Certificate(ctx, chain) }
		return s.guarded(v, r, "")
	}
	if len(headers) > 1 {
		return refuse("more than one credential was sent", bearer)
	}
	if len(headers) == 1 {
		scheme, token, _ := strings.Cut(headers[0], " ")
		if !strings.EqualFold(scheme, "Bearer") || token == "" || len(token) > maxToken || strings.ContainsAny(token, " \t,") {
			return refuse("the Authorization header is not a bearer token", bearer)
		}
		v.again = func(ctx context.Context) (*writ.Principal, error) { return s.opts.Auth.Token(ctx, token) }
		return s.guarded(v, r, tokenID(token))
	}
	if c := connOf(r); c != nil && c.peer { // it shows no secret, so there is nothing to guess
		v.again = func(ctx context.Context) (*writ.Principal, error) { return s.opts.Auth.Peer(ctx, c.uid) }
		return v.again(r.Context())
	}
	return refuse("no credential was sent", bearer)
}

// checkHost refuses names that are not ours, on everything but a Unix socket: a
// web page that rebinds its name to this address still sends its name.
func (s *Server) checkHost(r *http.Request) error {
	if c := connOf(r); c != nil && c.unix {
		return nil
	}
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	addr, err := netip.ParseAddr(host)
	if host == "localhost" || s.hosts[host] || (err == nil && addr.IsLoopback()) {
		return nil
	}
	return withStatus(http.StatusMisdirectedRequest,
		writ.Errorf(writ.CodeForbidden, "host", "this host does not answer to the name in the Host header").
			WithFix("address it by a loopback name, or add the name to the hosts in the configuration"))
}

func (s *Server) requestID() string {
	var raw [12]byte
	if _, err := io.ReadFull(s.opts.Entropy, raw[:]); err != nil {
		return "unknown" // the id finds a log line; nothing depends on it
	}
	return hex.EncodeToString(raw[:])
}

func (s *Server) answer(v *visit, err error) {
	p := problemOf(err, v.id)
	// RFC 9110 section 15.5.2 wants a challenge with each 401. No scheme that is registered
	// says what a provider's own header holds. Bearer would ask whoever calls for a token,
	// with which nobody gets in here, and a name that we made up would say no more to any
	// client and could be taken for one of a scheme to come: so there is none.
	if p.Status == http.StatusUnauthorized && !v.signed {
		v.Header().Set("WWW-Authenticate", bearerChallenge)
	}
	if werr := writeJSON(v, p.Status, problemType, p); werr != nil {
		s.opts.Log.Debug("answer", "request", v.id, "error", werr)
	}
}

// report writes the request's one log line: no body, no token, no path that a
// caller made up.
func (s *Server) report(v *visit, r *http.Request, err error, took time.Duration) {
	code := "ok"
	if err != nil {
		code = string(codeOf(err))
	}
	if errors.Is(err, errAborted) {
		code = string(writ.CodeCancelled)
	}
	s.meters.observe(v.operation, code, took)
	args := []any{"request", v.id, "operation", v.operation, "method", methodOf(r), "status", v.status, "code", code, "took", took}
	if v.principal != nil {
		args = append(args, "tenant", v.principal.Tenant, "principal", v.principal.ID)
	}
	if code == string(writ.CodeInternal) {
		s.opts.Log.Error("request", append(args, "error", err)...)
		return
	}
	s.opts.Log.Info("request", args...)
}

// methodOf keeps invented methods out of the log.
func methodOf(r *http.Request) string {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return r.Method
	}
	return "other"
}

// operationName is a known key, or the pattern.
func operationName(key string) string {
	if _, ok := contract.Lookup(key); ok {
		return key
	}
	return "unknown"
}
