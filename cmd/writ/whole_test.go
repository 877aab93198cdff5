package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/host/wasmtest"
	"github.com/writ-run/writ/registry"
)

// whole is a daemon with everything real, driven by its command line in this process.
type whole struct {
	t    *testing.T
	home string
	said bytes.Buffer // by commands
	logs lockedBuffer // of the daemon
	stop func()
}

type lockedBuffer struct {
	mu   sync.Mutex
	data bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.data.Write(p)
}

func (b *lockedBuffer) bytes() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return bytes.Clone(b.data.Bytes())
}

// writ runs a command and returns what it says and its code.
func (w *whole) writ(stdin string, args ...string) (string, int) {
	var out bytes.Buffer
	code := run(context.Background(), append([]string{"--home", w.home}, args...), stdio{in: strings.NewReader(stdin), out: &out, err: &out})
	w.said.Write(out.Bytes())
	return out.String(), code
}

func (w *whole) must(stdin string, args ...string) string {
	w.t.Helper()
	out, code := w.writ(stdin, args...)
	if code != exitOK {
		w.t.Fatalf("writ %v: exit %d: %s", args, code, out)
	}
	return out
}

// newWhole makes a home with the skill and this configuration, and serves it.
func newWhole(t *testing.T, configuration string) *whole {
	t.Helper()
	home, err := shortDir(t)
	if err != nil {
		t.Fatal(err)
	}
	w := &whole{t: t, home: home}
	t.Setenv("WRIT_PASSPHRASE", "correct horse battery")
	dir := t.TempDir()
	key, err := registry.GenerateKey(registry.KeyECDSA, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"acme.pub":     key.Public().PEM,
		"leaker.skill": signedBundle(t, key, []byte(leaker), wasmtest.ToolCaller(abi.ToolHTTPRequest)),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w.must("", "init", "--name", "ada")
	if err := os.WriteFile(filepath.Join(home, "config.yaml"), []byte("log: {level: trace}\n"+configuration), 0o600); err != nil {
		t.Fatal(err)
	}
	w.must("", "trust", "add", "acme", "--key", filepath.Join(dir, "acme.pub"))
	w.must("", "skill", "install", filepath.Join(dir, "leaker.skill"))
	w.serve()
	return w
}

func (w *whole) serve() {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"--home", w.home, "serve"}, stdio{in: strings.NewReader(""), out: &w.logs, err: &w.logs})
	}()
	w.stop = sync.OnceFunc(func() {
		cancel()
		if code := <-ended; code != exitOK {
			w.t.Errorf("the daemon ended with %d: %s", code, w.logs.bytes())
		}
	})
	w.t.Cleanup(w.stop)
	for socket := filepath.Join(w.home, socketFile); !listens(socket); {
		select {
		case code := <-ended:
			w.t.Fatalf("the daemon ended with %d: %s", code, w.logs.bytes())
		default:
		}
	}
}

// overSocket asks the daemon for a path, as the operator.
func (w *whole) overSocket(ctx context.Context, path string) (io.ReadCloser, error) {
	token, err := os.ReadFile(filepath.Join(w.home, credentialsFile))
	if err != nil {
		return nil, err
	}
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(w.home, socketFile))
	}}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost"+path, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", path, response.Status)
	}
	return response.Body, nil
}

// get runs the skill on a request, and returns the execution and its step's failure.
func (w *whole) get(args map[string]any) (string, abi.Failure) {
	w.t.Helper()
	draft, err := json.Marshal(map[string]any{"apiVersion": "writ/v1", "kind": "Plan", "steps": []any{
		map[string]any{"name": "get", "uses": "acme/leaker#get", "with": args},
	}})
	if err != nil {
		w.t.Fatal(err)
	}
	out, _ := w.writ(string(draft), "intent", "submit", "--text", "canary: get a page", "--draft", "-", "--start", "-o", "json")
	var got struct {
		Execution struct {
			ExecutionID string
			Steps       []struct{ Failure *abi.Failure }
		}
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil || len(got.Execution.Steps) != 1 {
		w.t.Fatalf("%v: %s", err, out)
	}
	if f := got.Execution.Steps[0].Failure; f != nil {
		return got.Execution.ExecutionID, *f
	}
	return got.Execution.ExecutionID, abi.Failure{}
}
