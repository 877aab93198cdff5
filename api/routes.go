package api

import (
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// Permission is what a route asks of its caller: one of the constants, or the
// key of a capability that an authenticated caller must hold. The zero
// Permission refuses everybody.
type Permission string

// The permissions that are no capability.
const (
	// Public is open to everybody: the answer holds nothing of a tenant.
	Public Permission = "public"
	// ByContract leaves it to the contract that the path names.
	ByContract Permission = "contract"
	// ByLogin is for people who have no credential yet: anybody may ask, a little at
	// a time, and the OpenID provider says who it is.
	ByLogin Permission = "login"
	// BySignature leaves it to the handler, which verifies the sender's signature.
	BySignature Permission = "signature"
)

// Route is one line of the table. An error of its Handler becomes a problem
// document, unless the handler has begun its answer.
type Route struct {
	Method     string
	Pattern    string // of http.ServeMux, without the method
	Permission Permission
	Stream     bool // an answer without end: not counted as in flight
	Handler    func(w http.ResponseWriter, r *http.Request) error
}

// table is every route of this package.
func (s *Server) table() []Route {
	return []Route{
		{http.MethodPost, "/v1/{key}", ByContract, false, s.operation},
		{http.MethodPost, "/v1/login/begin", ByLogin, false, s.loginBegin},
		{http.MethodPost, "/v1/login/finish", ByLogin, false, s.loginFinish},
		{http.MethodGet, "/v1/events", contract.CapAudit, true, s.events},
		{http.MethodGet, "/openapi.json", Public, false, document(contract.OpenAPI)},
		{http.MethodGet, "/asyncapi.json", Public, false, document(contract.AsyncAPI)},
		{http.MethodGet, "/healthz", Public, false, s.healthz},
		{http.MethodGet, "/readyz", Public, false, s.readyz},
		{http.MethodGet, "/metrics", contract.CapAudit, false, s.metrics},
	}
}

// Routes lists what the server serves.
func (s *Server) Routes() []Route { return slices.Clone(s.routes) }

// unknown answers for what no route matches.
func (s *Server) unknown(w http.ResponseWriter, r *http.Request) error {
	var allow []string
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete} {
		probe := *r
		probe.Method = method
		if _, pattern := s.mux.Handler(&probe); pattern != "/" && pattern != "" {
			allow = append(allow, method)
		}
	}
	if len(allow) > 0 {
		w.Header().Set("Allow", strings.Join(allow, ", "))
		return withStatus(http.StatusMethodNotAllowed,
			writ.Errorf(writ.CodeInvalid, "route", "the method is not allowed here").WithFix("use %s", strings.Join(allow, " or ")))
	}
	return writ.Errorf(writ.CodeNotFound, "route", "there is nothing at this path").
		WithFix("POST /v1/{contract key}; /openapi.json lists them")
}

// document makes what anybody may ask for once, since it takes some time.
func document(make func() ([]byte, error)) func(http.ResponseWriter, *http.Request) error {
	once := sync.OnceValues(make)
	return func(w http.ResponseWriter, _ *http.Request) error {
		doc, err := once()
		if err != nil {
			return err
		}
		w.Header().Set("Content-Type", "application/json")
		_, err = w.Write(doc)
		return aborted(err)
	}
}

func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, http.StatusOK, "application/json", map[string]string{"status": "ok"})
}

func (s *Server) readyz(w http.ResponseWriter, r *http.Request) error {
	if s.stopped() {
		return writ.Errorf(writ.CodeUnavailable, "readiness", "the host is stopping").WithFix("ask another host")
	}
	if s.opts.Ready != nil {
		if err := s.opts.Ready(r.Context()); err != nil {
			s.opts.Log.Warn("not ready", "error", err)
			return writ.Errorf(writ.CodeUnavailable, "readiness", "the host is not ready").
				WithFix("`writ status` says what is missing")
		}
	}
	return writeJSON(w, http.StatusOK, "application/json", map[string]string{"status": "ready"})
}
