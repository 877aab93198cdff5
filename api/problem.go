package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// Problem is a problem document, RFC 9457, with our members.
type Problem struct {
	Type     string          `json:"type"` // urn:writ:error: and the code
	Title    string          `json:"title"`
	Status   int             `json:"status"`
	Detail   string          `json:"detail,omitempty"`
	Instance string          `json:"instance,omitempty"` // urn:writ:request: and the id in the log
	Code     writ.Code       `json:"code"`
	Op       string          `json:"op,omitempty"`
	Fix      string          `json:"fix,omitempty"`
	Place    string          `json:"place,omitempty"`
	Details  json.RawMessage `json:"details,omitempty"`
}

const (
	problemType     = "application/problem+json"
	errorURN        = "urn:writ:error:"
	requestURN      = "urn:writ:request:"
	bearerChallenge = `Bearer realm="writ"`
)

// statusError carries a status that is more exact than the code's.
type statusError struct {
	status int
	err    *writ.Error
}

func (e *statusError) Error() string { return e.err.Error() }
func (e *statusError) Unwrap() error { return e.err }

func withStatus(status int, err *writ.Error) error { return &statusError{status: status, err: err} }

// errAborted says that the answer has begun and cannot become a problem.
var errAborted = errors.New("api: the answer was cut")

func aborted(err error) error {
	if err != nil {
		return errors.Join(errAborted, err)
	}
	return nil
}

// codeOf sees what a context says besides our own codes.
func codeOf(err error) writ.Code {
	var e *writ.Error
	switch {
	case errors.As(err, &e):
		return writ.CodeOf(err)
	case errors.Is(err, context.DeadlineExceeded):
		return writ.CodeTimeout
	case errors.Is(err, context.Canceled):
		return writ.CodeCancelled
	}
	return writ.CodeInternal
}

// problemOf turns an error into what a caller may see. Of a fault of ours that is
// the request's id alone.
func problemOf(err error, requestID string) *Problem {
	code := codeOf(err)
	p := &Problem{
		Type: errorURN + string(code), Title: contract.MeaningOf(code), Status: contract.HTTPStatus(code),
		Code: code, Instance: requestURN + requestID,
	}
	var e *writ.Error
	if !errors.As(err, &e) {
		if code == writ.CodeTimeout {
			p.Fix = "ask again; a command may have had its effect, so look first"
		}
		return p.hidden()
	}
	if code == writ.CodeInternal {
		return p.hidden()
	}
	p.Detail, p.Op, p.Fix, p.Place = e.Message, e.Op, e.Fix, e.Place
	if e.Details != nil {
		if raw, merr := json.Marshal(e.Details); merr == nil {
			p.Details = raw
		}
	}
	var exact *statusError
	if errors.As(err, &exact) {
		p.Status = exact.status
	}
	return p
}

func (p *Problem) hidden() *Problem {
	if p.Code == writ.CodeInternal {
		p.Detail = "the host failed; its log has the request's id"
		p.Fix = "tell the operator the id in instance"
	}
	return p
}

// Err is the error that the problem was made of. Status and title are dropped:
// they follow from the code.
func (p *Problem) Err() *writ.Error {
	err := &writ.Error{Code: p.Code, Op: p.Op, Message: p.Detail, Fix: p.Fix, Place: p.Place}
	if err.Message == "" {
		err.Message = p.Title
	}
	if p.Code == writ.CodeInternal && p.Instance != "" {
		err.Message += " (" + p.Instance + ")"
	}
	if len(p.Details) > 0 {
		err.Details = p.Details
	}
	return err
}

func writeJSON(w http.ResponseWriter, status int, contentType string, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, err = w.Write(append(raw, '\n'))
	return aborted(err)
}
