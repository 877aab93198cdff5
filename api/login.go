package api

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"

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
