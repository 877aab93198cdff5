//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/writ-run/writ/bench/peers/process"
	"github.com/writ-run/writ/contract"
)

// conformance is where the skills are whose action `echo` answers its input.
const conformance = "examples/conformance"

// writ is the daemon in a home with the conformance skill in C and in Go, each
// signed, verified and installed as an operator would.
func (f *field) writ(ctx context.Context) (*subject, error) {
	port, err := f.port()
	if err != nil {
		return nil, err
	}
	home, pass := f.path("writ"), f.path("passphrase")
	if err := os.WriteFile(pass, []byte("benchmark\n"), 0o600); err != nil {
		return nil, err
	}
	command := func(args ...string) error {
		_, err := process.Run(ctx, process.Spec{Args: append([]string{f.writProgram, "--home", home}, args...)})
		return err
	}
	key := f.path("publisher")
	if err := errors.Join(
		command("init", "--name", "bench", "--passphrase-file", pass),
		command("skill", "key", "--out", key),
		command("trust", "add", "conformance", "--key", key+".pub"),
	); err != nil {
		return nil, err
	}
	at := "http://" + address(port)
	s := &subject{
		name: "Writ", version: "this tree", sync: "every commit (`SyncWrites`)",
		specs: []process.Spec{{
			Name: "writ", Args: []string{f.writProgram, "--home", home, "serve", "--listen", address(port)},
			Env: []string{"WRIT_LOG_LEVEL=warn"}, Log: f.path("writ.log"),
		}},
	}
	token, err := os.ReadFile(filepath.Join(home, "credentials"))
	if err != nil {
		return nil, err
	}
	for _, language := range []string{"c", "go"} {
		bundle := f.path(language + ".skill")
		build := []string{"skill", "build", filepath.Join(conformance, language), "--to", bundle}
		if language != "go" {
			build = append(build, "--module", filepath.Join(conformance, "built", language+".wasm"))
		}
		if err := errors.Join(command(build...), command("skill", "sign", bundle, "--key", key+".key"), command("skill", "install", bundle)); err != nil {
			return nil, err
		}
		r, err := execution(at, "conformance/"+language)
		if err != nil {
			return nil, err
		}
		r.name = map[string]string{"c": "Writ, C skill", "go": "Writ, Go skill"}[language]
		r.auth, r.ours = strings.TrimSpace(string(token)), true
		s.routes = append(s.routes, r)
	}
	s.check = func(ctx context.Context) error { return s.outputs(ctx, at) }
	return s, nil
}

// execution is one request that submits, compiles, verifies, starts and waits:
// three steps, each with the output of the one before as its input.
func execution(at, skill string) (*route, error) {
	type step struct {
		Name string         `json:"name"`
		Uses string         `json:"uses"`
		With map[string]any `json:"with"`
	}
	draft, err := json.Marshal(map[string]any{
		"apiVersion": "writ/v1", "kind": "Plan",
		"steps": []step{
			{"a", skill + "#echo", map[string]any{"n": 1}},
			{"b", skill + "#echo", map[string]any{"n": "${{ steps.a.output.n }}"}},
			{"c", skill + "#echo", map[string]any{"n": "${{ steps.b.output.n }}"}},
		},
	})
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(contract.IntentSubmitInput{
		WorkspaceID: "default", Text: "count", Draft: string(draft), DraftFormat: "json", Run: true, Wait: true,
	})
	if err != nil {
		return nil, err
	}
	return newRoute(skill, at+"/v1/"+contract.IntentSubmit.Key, string(body), `"status":"completed"`), nil
}

// outputs holds that an execution of each skill has carried the number through.
func (s *subject) outputs(ctx context.Context, at string) error {
	for _, r := range s.routes {
		answer, err := r.ask(ctx)
		if err != nil {
			return err
		}
		var submitted contract.IntentSubmitOutput
		if err := json.Unmarshal(answer, &submitted); err != nil {
			return err
		}
		body, err := json.Marshal(contract.ExecutionGetInput{ExecutionID: submitted.ExecutionID, IncludeOutputs: true})
		if err != nil {
			return err
		}
		get := newRoute(r.name, at+"/v1/"+contract.ExecutionGet.Key, string(body), `"completed"`)
		get.auth = r.auth
		if answer, err = get.ask(ctx); err != nil {
			return err
		}
		var got contract.ExecutionGetOutput
		if err := json.Unmarshal(answer, &got); err != nil {
			return err
		}
		if n := len(got.Execution.Steps); n != 3 {
			return fmt.Errorf("%s: %d steps, not 3", r.name, n)
		}
		for _, step := range got.Execution.Steps {
			if !bytes.Contains(step.Output, []byte(`"n":1`)) {
				return fmt.Errorf("%s: step %s answered %s", r.name, step.Name, step.Output)
			}
		}
	}
	return nil
}
