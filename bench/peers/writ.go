//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/writ-run/writ/bench/home"
	"github.com/writ-run/writ/bench/peers/process"
	"github.com/writ-run/writ/contract"
)

// writ is the daemon in a home with the conformance skill in C and in Go, each
// signed, verified and installed as an operator would.
func (f *field) writ(ctx context.Context) (*subject, error) {
	port, err := f.port()
	if err != nil {
		return nil, err
	}
	h, err := home.New(ctx, f.writProgram, f.path("writ"))
	if err != nil {
		return nil, err
	}
	token, err := h.Token()
	if err != nil {
		return nil, err
	}
	at := "http://" + address(port)
	s := &subject{
		name: "Writ", version: "this tree", sync: "every commit (`SyncWrites`)",
		specs: []process.Spec{h.Daemon("--listen", address(port))},
	}
	for _, language := range []string{"c", "go"} {
		bundle := f.path(language + ".skill")
		if err := home.Build(ctx, f.writProgram, language, bundle); err != nil {
			return nil, err
		}
		if err := h.Install(ctx, bundle); err != nil {
			return nil, err
		}
		r, err := execution(at, home.Publisher+"/"+language)
		if err != nil {
			return nil, err
		}
		r.name = map[string]string{"c": "Writ, C skill", "go": "Writ, Go skill"}[language]
		r.auth, r.ours = token, true
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
