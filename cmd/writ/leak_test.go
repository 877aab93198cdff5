package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/contract"
)

// planted are secrets of every provider. Each needs escaping wherever it goes, and is
// injected in another way.
var planted = map[string]string{
	"stored":    `St0red+/="&<\ %41 välue-1`,
	"variable":  `V4riable+/="&<\ %42 välue-2`,
	"mounted":   `user:M0unted+/="&<\ %43 välue-3`,
	"unit":      `Un1t+/="&<\ %44 välue-4`,
	"vaulted":   `V4ulted+/="&<\ %45 välue-5`,
	"vault's":   `hvs.t0ken-of-the-vault`,
	"forgotten": `F0rgotten+/="&<\ %46 välue-6`,
	"hook's":    hookKey,
}

const leaker = `apiVersion: writ/v1
name: acme/leaker
version: 1.0.0
description: Makes the request that it is given.
abi: writ/v1
capabilities:
  - tool: http.request
    hosts: [api.acme.test, other.acme.test]
    methods: [GET]
    paths: ["/**"]
    secrets:
      - {name: stored, scheme: https, host: api.acme.test, injectAs: bearer}
      - {name: variable, scheme: https, host: api.acme.test, injectAs: "header:X-Variable"}
      - {name: mounted, scheme: https, host: api.acme.test, injectAs: "header:X-Mounted"}
      - {name: unit, scheme: https, host: api.acme.test, injectAs: "query:unit"}
      - {name: vaulted, scheme: https, host: api.acme.test, injectAs: "header:X-Vaulted"}
actions:
  - name: get
    description: Gets a page.
    effects: [read]
    input: {type: object}
    output: {type: object}
`

// sent is what a request carried, by the secrets' names.
func sent(r *http.Request) map[string]string {
	return map[string]string{
		"stored": strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), "variable": r.Header.Get("X-Variable"),
		"mounted": r.Header.Get("X-Mounted"), "unit": r.URL.Query().Get("unit"), "vaulted": r.Header.Get("X-Vaulted"),
	}
}

// providers are all of them, with their secrets in place.
func providers(t *testing.T, apis string) (configuration string, mounted string) {
	t.Helper()
	vault := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Vault-Token") != planted["vault's"] || r.URL.Path != "/v1/secret/data/apps/leaker" {
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, planted["vaulted"])
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"data": map[string]any{
			"data": map[string]any{"value": planted["vaulted"]}, "metadata": map[string]any{"version": 3},
		}})
	}))
	t.Cleanup(vault.Close)
	dir := t.TempDir()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: vault.Certificate().Raw})
	for name, text := range map[string]string{
		"mounted": planted["mounted"] + "\n", "unit": planted["unit"], "token": planted["vault's"], "ca.pem": string(ca),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o400); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	t.Setenv("WRIT_SECRET_VARIABLE", planted["variable"])
	return fmt.Sprintf(`http: {upstreams: {api.acme.test: %[1]q, other.acme.test: %[1]q}}
secrets:
  providers:
    environment: {kind: env}
    files: {kind: files, directory: %[2]q}
    units: {kind: systemd}
    vault: {kind: vault, url: %[3]q, tokenFile: %[4]q, ca: %[5]q, cacheFor: 1ms, timeout: 30s}
  names:
    variable: {provider: environment}
    mounted: {provider: files}
    unit: {provider: units}
    vaulted: {provider: vault, path: apps/leaker}
`, apis, dir, vault.URL, filepath.Join(dir, "token"), filepath.Join(dir, "ca.pem")), filepath.Join(dir, "mounted")
}

// TestNoSecretIsLeftAnywhere: a server that got every secret says them back in every
// way; each echo fails its call, and nothing that Writ keeps, shows or sends on holds
// one.
func TestNoSecretIsLeftAnywhere(t *testing.T) {
	forms := echoes()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got := sent(r)
		parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
		for name, value := range got {
			if want := planted[name]; value != want && (name != "stored" || value != planted["forgotten"]) {
				t.Errorf("the server got %q as %s", value, name)
			}
		}
		i := slices.IndexFunc(forms, func(e echo) bool { return url.PathEscape(e.name) == parts[1] || e.name == parts[1] })
		if i < 0 {
			_, _ = io.WriteString(w, "canary: nothing is said back")
			return
		}
		forms[i].say(w, r, planted[parts[0]])
	}))
	defer server.Close()
	configuration, mounted := providers(t, server.URL)
	receiver := startReceiver()
	defer receiver.server.Close()
	w := newWhole(t, configuration+hearsAll(receiver.server.URL))
	w.must(planted["hook's"]+"\n", "secret", "set", "pager-key")
	w.must("", "hook", "test", "pager")
	w.must(planted["forgotten"]+"\n", "secret", "set", "stored")
	events := w.listen()
	page := func(secret, form string) map[string]any {
		return map[string]any{"method": "GET", "url": "https://api.acme.test/" + secret + "/" + url.PathEscape(form)}
	}
	fine, failure := w.get(page("stored", "none"))
	if failure.Code != "" {
		t.Fatalf("without an echo: %+v", failure)
	}
	w.must(planted["stored"], "secret", "rotate", "stored", "--reason", "canary")
	executions := []string{fine}
	leaks := func(secret, form string) {
		id, failure := w.get(page(secret, form))
		executions = append(executions, id)
		if failure.Code != abi.FailSecretLeak {
			t.Errorf("%s, %s: %+v", secret, form, failure)
		}
	}
	leaks("forgotten", "raw") // an answer that comes late
	leaks("forgotten", "base64 after one")
	names := []string{"stored", "variable", "mounted", "unit", "vaulted"}
	for i, form := range forms {
		// Each form with two of the secrets: all of both are crossed in the toolbox.
		leaks(names[i%len(names)], form.name)
		leaks(names[(i+2)%len(names)], form.name)
	}
	executions = append(executions, w.faults(mounted, page("mounted", "none"))...)
	w.look(executions)
	metrics, err := w.overSocket(t.Context(), "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(metrics)
	if err != nil || !bytes.Contains(text, []byte("writ_requests_total")) {
		t.Fatalf("%v %s", err, text)
	}
	w.allTold()
	w.stop()
	heard := <-events
	s := &searcher{t, planted}
	s.in("what a hook sent", receiver.raw.Bytes())
	if n := len(receiver.events); n < len(executions) || len(receiver.bad) > 0 || !bytes.Contains(receiver.raw.Bytes(), []byte(abi.FailSecretLeak)) {
		t.Errorf("the hook told of %d events of %d executions: %v", n, len(executions), receiver.bad)
	}
	s.in("/metrics", text)
	s.in("the event stream", heard)
	s.in("the log", w.logs.bytes())
	s.in("the command line", w.said.Bytes())
	s.below(w.home)
	w.canaries(heard, len(executions))
}

// hearsAll is a hook for all events.
func hearsAll(url string) string {
	var keys []string
	for _, e := range contract.Events() {
		keys = append(keys, e.Key)
	}
	return fmt.Sprintf("hooks: {pager: {url: %q, allowPrivate: true, secret: pager-key, events: [%s]}}\n", url, strings.Join(keys, ", "))
}

// allTold waits until the hook has told of everything.
func (w *whole) allTold() {
	w.t.Helper()
	for {
		said := w.must("", "hook", "list", "-o", "json")
		if strings.Contains(said, `"behind": 0`) {
			return
		}
		if !strings.Contains(said, `"active"`) {
			w.t.Fatal(said)
		}
	}
}

// faults are what is said where a provider has nothing to give.
func (w *whole) faults(mounted string, page map[string]any) []string {
	w.t.Helper()
	var out []string
	for _, c := range []struct {
		spoil func() error
		says  string
	}{
		{func() error { return os.Chmod(mounted, 0o444) }, `secret "mounted" of provider files may not be read`},
		{func() error { return os.Remove(mounted) }, `secret "mounted" of provider files is not set`},
	} {
		if err := c.spoil(); err != nil {
			w.t.Fatal(err)
		}
		id, failure := w.get(page)
		out = append(out, id)
		if !strings.Contains(failure.Message, c.says) || !strings.Contains(failure.Fix, "writ secret list --check") {
			w.t.Errorf("%+v", failure)
		}
		if said, code := w.writ("", "secret", "list", "--check"); code != exitFailed || !strings.Contains(said, "mounted: ") {
			w.t.Errorf("exit %d: %s", code, said)
		}
	}
	return out
}

// look lets the command line show all that it can.
func (w *whole) look(executions []string) {
	w.t.Helper()
	for i, id := range executions {
		w.writ("", "trace", "get", id, "--payloads", "-o", "json")
		if i < 3 || i == len(executions)-1 {
			file := filepath.Join(w.home, "evidence-"+id+".json") // the home is looked through
			w.must("", "trace", "export", id, "--to", file)
			w.must("", "trace", "verify", id)
			w.must("", "replay", id)
			w.writ("", "exec", "watch", id)
		}
	}
	for _, args := range [][]string{
		{"status"},
		{"status", "-o", "json"},
		{"exec", "list"},
		{"trace", "list", "-o", "json"},
		{"config", "show", "--origin"},
		{"secret", "list", "-o", "json"},
		{"doctor"},
		{"drift", "list"},
		{"hook", "list"},
		{"hook", "test", "pager"},
		{"skill", "list", "-o", "json"},
		{"secret", "set", "variable"},
		{"secret", "rotate", "nobody"},
	} {
		w.writ(planted["stored"], args...)
	}
}

// listen collects the event stream until the daemon stops.
func (w *whole) listen() <-chan []byte {
	w.t.Helper()
	stream, err := w.overSocket(context.Background(), "/v1/events")
	if err != nil {
		w.t.Fatal(err)
	}
	out := make(chan []byte, 1)
	go func() {
		text, _ := io.ReadAll(stream) // it breaks off where the daemon stops
		_ = stream.Close()
		out <- text
	}()
	return out
}

// canaries show that what was looked through holds what it should.
func (w *whole) canaries(heard []byte, executions int) {
	w.t.Helper()
	if n := bytes.Count(heard, []byte("controlPlane.")); n < executions {
		w.t.Errorf("%d events of %d executions", n, executions)
	}
	db, found := 0, false
	files, err := filepath.Glob(filepath.Join(w.home, "db", "*"))
	if err != nil {
		w.t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			w.t.Fatal(err)
		}
		db += len(text)
		found = found || bytes.Contains(text, []byte("canary: get a page"))
	}
	if !found {
		w.t.Errorf("the intents are not in the %d bytes of the store", db)
	}
	for _, text := range []string{"canary: nothing is said back", "secret_leaked"} {
		if !bytes.Contains(w.said.Bytes(), []byte(text)) {
			w.t.Errorf("the command line never said %q", text)
		}
	}
	if !bytes.Contains(w.logs.bytes(), []byte("a secret cannot be read")) {
		w.t.Error("the log does not say that a secret cannot be read")
	}
}

// TestWhatAGuestSendsElsewhere: secrets that found their way into a step's input do not
// leave by it, to whatever host.
func TestWhatAGuestSendsElsewhere(t *testing.T) {
	requests := make(chan string, 64)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { requests <- r.URL.String() }))
	defer server.Close()
	configuration, _ := providers(t, server.URL)
	w := newWhole(t, configuration)
	w.must(planted["stored"], "secret", "set", "stored")
	// What Vault keeps is known from when it was asked for.
	w.must("", "secret", "list", "--check")
	for name, secret := range planted {
		if name == "vault's" || name == "forgotten" || name == "hook's" {
			continue // no secrets of this host
		}
		for where, args := range map[string]map[string]any{
			"query":  {"url": "https://other.acme.test/?q=" + url.QueryEscape("see "+secret)},
			"path":   {"url": "https://other.acme.test/a/" + base64.RawURLEncoding.EncodeToString([]byte("ab"+secret))},
			"header": {"url": "https://other.acme.test/", "headers": map[string]string{"x-note": base64.StdEncoding.EncodeToString([]byte("a" + secret))}},
		} {
			args["method"] = "GET"
			if _, failure := w.get(args); failure.Code != abi.FailSecretLeak || !strings.Contains(failure.Message, "nothing was sent") {
				t.Errorf("%s in the %s: %+v", name, where, failure)
			}
		}
	}
	if len(requests) != 0 {
		t.Errorf("sent: %s", <-requests)
	}
	if _, failure := w.get(map[string]any{"method": "GET", "url": "https://other.acme.test/?q=harmless"}); failure.Code != "" || len(requests) != 1 {
		t.Errorf("%d requests, %+v", len(requests), failure)
	}
}
