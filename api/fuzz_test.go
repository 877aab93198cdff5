package api_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/api"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/contract"
)

// FuzzRequest drives the decoding path: path, headers and body. Whatever comes,
// the answer is JSON, a problem has a code that fits its status, and what
// reaches the handler is one canonicalisable object.
func FuzzRequest(f *testing.F) {
	f.Add(contract.IntentSubmit.Key, "application/json", "key", "Bearer good", []byte(intent))
	f.Add(contract.IntentSubmit.Key, "application/json", `"k"`, "Bearer good", []byte(`{"workspaceId":"d","text":"\ud800"}`))
	f.Add("a/../b", "text/plain", "", "bearer  x", []byte(`{"a":1,"a":2}`))
	f.Add(contract.ExecutionList.Key, "application/json;charset=utf-8", "", "Bearer good", []byte(`{"limit":1e999}`))
	d := contract.NewDispatcher(contract.DispatcherOptions{})
	auth := &callers{tokens: map[string]*writ.Principal{
		"good": {ID: "ada", Tenant: "default", Capabilities: everything(), Strength: writ.StrengthToken},
	}}
	contract.Bind(d, contract.IntentSubmit, func(_ context.Context, in *contract.IntentSubmitInput) (*contract.IntentSubmitOutput, error) {
		if _, err := canon.MarshalJSON(in); err != nil {
			return nil, err
		}
		return &contract.IntentSubmitOutput{ExecutionID: "exe_1", IntentID: "int_1"}, nil
	})
	server := api.NewServer(api.Options{Caller: d, Auth: auth, MaxBody: 1 << 16})
	f.Fuzz(func(t *testing.T, key, contentType, idempotency, authorization string, body []byte) {
		r := httptest.NewRequest(http.MethodPost, "http://localhost/v1/"+url.PathEscape(key), strings.NewReader(string(body)))
		r.Header = http.Header{"Content-Type": {contentType}, "Authorization": {authorization}}
		if idempotency != "" {
			r.Header.Set("Idempotency-Key", idempotency)
		}
		w := httptest.NewRecorder()
		server.ServeHTTP(w, r)
		if w.Code >= 300 && w.Code < 400 { // net/http cleans a path with dots
			return
		}
		if !json.Valid(w.Body.Bytes()) {
			t.Fatalf("%d: not JSON: %q", w.Code, w.Body)
		}
		if w.Code == http.StatusOK {
			if !strings.HasSuffix(authorization, " good") || key != contract.IntentSubmit.Key {
				t.Fatalf("accepted %q %q", authorization, key)
			}
			return
		}
		var p api.Problem
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Code == "" || p.Status != w.Code || p.Code == writ.CodeInternal {
			t.Fatalf("%d %s: %v", w.Code, w.Body, err)
		}
	})
}
