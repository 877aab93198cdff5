package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/contract"
)

// operation answers POST /v1/{key}. The caller's permission is checked before a
// byte of the body is read.
func (s *Server) operation(w http.ResponseWriter, r *http.Request) error {
	key := r.PathValue("key")
	v := visitOf(r)
	v.operation = operationName(key)
	if s.opts.Caller == nil || s.stopped() {
		return writ.Errorf(writ.CodeUnavailable, v.operation, "the host is stopping or serves no operations").WithFix("try again later")
	}
	c, known := contract.Lookup(key)
	if known {
		if err := c.Permits(v.principal); err != nil {
			return err
		}
		if err := s.checkRequest(r); err != nil {
			return err
		}
	}
	var raw json.RawMessage
	if known {
		body, err := s.body(w, r)
		if err != nil {
			return err
		}
		if raw, err = withIdempotencyKey(c, r.Header.Values("Idempotency-Key"), body); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.opts.RequestTimeout)
	defer cancel()
	out, err := s.opts.Caller.Call(ctx, key, raw)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	_, err = w.Write(append(out, '\n'))
	return aborted(err)
}

// checkRequest looks at the headers that say what the body is.
func (s *Server) checkRequest(r *http.Request) error {
	media, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	charset := strings.ToLower(params["charset"])
	if err != nil || media != "application/json" || (charset != "" && charset != "utf-8") || len(r.Header.Values("Content-Type")) != 1 {
		return withStatus(http.StatusUnsupportedMediaType,
			writ.Errorf(writ.CodeInvalid, "content type", "the body must be JSON in UTF-8").WithFix("send Content-Type: application/json"))
	}
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		return withStatus(http.StatusUnsupportedMediaType,
			writ.Errorf(writ.CodeInvalid, "content encoding", "a compressed body is not taken").WithFix("send the body as it is"))
	}
	if r.ContentLength > s.opts.MaxBody {
		return s.tooLarge()
	}
	return nil
}

func (s *Server) tooLarge() error {
	return writ.Errorf(writ.CodeTooLarge, "body", "more than %d bytes", s.opts.MaxBody).
		WithFix("send less, or put the bytes on the server and name their path")
}

// body reads at most MaxBody bytes; the guard has set how long they may take.
func (s *Server) body(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if v, ok := w.(*visit); ok {
		w = v.ResponseWriter // net/http's own, which closes the connection past the limit
	}
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, s.opts.MaxBody))
	var large *http.MaxBytesError
	switch {
	case err == nil:
		return raw, nil
	case errors.As(err, &large):
		return nil, s.tooLarge()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, withStatus(http.StatusRequestTimeout,
			writ.Errorf(writ.CodeTimeout, "body", "did not arrive within %s", s.opts.BodyTimeout).WithFix("send it in one go"))
	}
	return nil, writ.Errorf(writ.CodeInvalid, "body", "could not be read to its end").WithFix("send as many bytes as Content-Length says")
}

// maxIdempotencyKey is what a UUID, a digest or a message id needs, with room.
const maxIdempotencyKey = 255

// withIdempotencyKey puts the header's key into the input of intent.submit. An
// operation that is idempotent by itself needs none; of one that is not, a
// caller who sends the header would expect what nobody promises.
func withIdempotencyKey(c *contract.Contract, headers []string, body []byte) ([]byte, error) {
	if len(headers) == 0 {
		return body, nil
	}
	bad := func(message, fix string) error {
		return &writ.Error{Code: writ.CodeInvalid, Op: "Idempotency-Key", Message: message, Fix: fix}
	}
	if c.Key != contract.IntentSubmit.Key {
		if c.Idempotent {
			return body, nil
		}
		return nil, bad("this operation takes no idempotency key", "leave the header out and look before you call again")
	}
	key := headers[0]
	if inner, ok := strings.CutPrefix(key, `"`); ok { // a structured field's string, RFC 8941
		key = strings.TrimSuffix(inner, `"`)
	}
	printable := strings.IndexFunc(key, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' }) < 0
	if len(headers) > 1 || key == "" || len(key) > maxIdempotencyKey || !printable {
		return nil, bad("must be one key of at most 255 printable ASCII characters", "use a UUID")
	}
	if err := canon.CheckJSON(body); err != nil {
		return body, nil // the dispatcher says what is wrong with it
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(body, &members) != nil || members == nil {
		return body, nil
	}
	quoted, err := json.Marshal(key)
	if err != nil {
		return nil, err
	}
	if have, ok := members["idempotencyKey"]; ok {
		var text string
		if json.Unmarshal(have, &text) == nil && text == key {
			return body, nil
		}
		return nil, bad("differs from idempotencyKey in the body", "send one of the two")
	}
	members["idempotencyKey"] = quoted
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(members); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
