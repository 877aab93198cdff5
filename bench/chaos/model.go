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

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/api"
	"github.com/writ-run/writ/bench/peers/process"
	"github.com/writ-run/writ/contract"
	"github.com/writ-run/writ/host/wasmtest"
	"github.com/writ-run/writ/identity"
)

const (
	operatorName = "ada"
	agentID      = writ.PrincipalID("agent:bot")
	upstreamHost = "api.chaos.test"
	itemsPath    = "/v1/items"
	passphrase   = "correct horse battery staple"
)

// sender is the manifest of a skill whose actions hand their input to http.request.
const sender = `apiVersion: writ/v1
name: conformance/send
version: 1.0.0
description: Sends a request.
abi: writ/v1
capabilities:
  - tool: http.request
    hosts: [` + upstreamHost + `]
    methods: [PUT, POST]
    paths: [` + itemsPath + `]
actions:
  - name: run
    description: Sends its input as a request.
    effects: [write-external]
    input: {type: object}
    output: {type: object}
`

// model is a home that was set up as an operator would, for scenes to copy.
type model struct {
	home       string
	token      string // of the operator
	agentToken string
	approver   *identity.ApproverKey
}

// command runs the binary on a home.
func (s *stage) command(ctx context.Context, home string, args ...string) ([]byte, error) {
	return process.Run(ctx, process.Spec{Args: append([]string{s.binary, "--home", home}, args...)})
}

func (s *stage) makeModel(ctx context.Context) (*model, error) {
	m := &model{home: filepath.Join(s.dir, "model")}
	if err := s.initHome(ctx, m); err != nil {
		return nil, err
	}
	key := filepath.Join(s.dir, "publisher")
	for _, args := range [][]string{
		{"skill", "key", "--out", key},
		{"trust", "add", "conformance", "--key", key + ".pub"},
	} {
		if _, err := s.command(ctx, m.home, args...); err != nil {
			return nil, err
		}
	}
	c := filepath.Join(s.source, "examples", "conformance")
	if err := errors.Join(
		s.install(ctx, m, filepath.Join(c, "c"), filepath.Join(c, "built", "c.wasm")),
		s.installSender(ctx, m),
		s.admitAgent(ctx, m),
	); err != nil {
		return nil, err
	}
	config := fmt.Sprintf("http:\n  upstreams:\n    %s: %s\n", upstreamHost, s.ledger.url)
	return m, os.WriteFile(filepath.Join(m.home, "config.yaml"), []byte(config), 0o600)
}

func (s *stage) initHome(ctx context.Context, m *model) error {
	pass := filepath.Join(s.dir, "passphrase")
	if err := os.WriteFile(pass, []byte(passphrase+"\n"), 0o600); err != nil {
		return err
	}
	if _, err := s.command(ctx, m.home, "init", "--name", operatorName, "--passphrase-file", pass); err != nil {
		return err
	}
	token, err := os.ReadFile(filepath.Join(m.home, "credentials"))
	if err != nil {
		return err
	}
	m.token = strings.TrimSpace(string(token))
	sealed, err := os.ReadFile(filepath.Join(m.home, "keys", "approver.key"))
	if err != nil {
		return err
	}
	// Once: unlocking is slow, so that a passphrase cannot be guessed.
	m.approver, err = identity.OpenApproverKey(sealed, []byte(passphrase))
	return err
}

func (s *stage) installSender(ctx context.Context, m *model) error {
	dir := filepath.Join(s.dir, "sender")
	module := filepath.Join(dir, "sender.wasm")
	if err := errors.Join(
		os.MkdirAll(dir, 0o755),
		os.WriteFile(filepath.Join(dir, "skill.yaml"), []byte(sender), 0o644),
		os.WriteFile(module, wasmtest.ToolCaller(abi.ToolHTTPRequest), 0o644),
	); err != nil {
		return err
	}
	return s.install(ctx, m, dir, module)
}

// install builds, signs and installs a skill with a ready module.
func (s *stage) install(ctx context.Context, m *model, dir, module string) error {
	bundle := filepath.Join(s.dir, filepath.Base(dir)+".skill")
	for _, args := range [][]string{
		{"skill", "build", dir, "--module", module, "--to", bundle},
		{"skill", "sign", bundle, "--key", filepath.Join(s.dir, "publisher.key")},
		{"skill", "install", bundle},
	} {
		if _, err := s.command(ctx, m.home, args...); err != nil {
			return err
		}
	}
	return nil
}

// admitAgent lets an agent send, so that a person may approve: nobody approves
// what they have asked for.
func (s *stage) admitAgent(ctx context.Context, m *model) error {
	raw, err := s.command(ctx, m.home, "token", "create", "--kind", "agent", "--name", "bot", "-o", "json")
	if err != nil {
		return err
	}
	var made struct {
		Token string `json:"token"`
	}
	if err := json.Unmarshal(raw[max(0, bytes.IndexByte(raw, '{')):], &made); err != nil || made.Token == "" {
		return fmt.Errorf("token create: %q: %w", raw, err)
	}
	m.agentToken = made.Token
	for _, scope := range [][]string{
		{"--tool", abi.ToolHTTPRequest, "--host", upstreamHost, "--method", "PUT", "--method", "POST", "--path", itemsPath, "--max-risk", "medium"},
		{"--tool", abi.ToolKVGet, "--prefix", "conformance/"},
		{"--tool", abi.ToolKVPut, "--prefix", "conformance/"},
		{"--tool", abi.ToolLog},
	} {
		if _, err := s.command(ctx, m.home, append([]string{"grant", "create", "--principal", string(agentID)}, scope...)...); err != nil {
			return err
		}
	}
	return nil
}

// copy makes a home of its own for a scene.
func (m *model) copy(to string) (string, error) { return to, copyTree(m.home, to) }

// doors are how the two who work with a host reach it.
type doors struct{ agent, operator contract.Caller }

// over the socket of a home's daemon, whichever process that is.
func (m *model) over(home string) (doors, error) {
	socket := filepath.Join(home, "writ.sock")
	agent, err := api.NewClient(api.ClientOptions{Socket: socket, Token: m.agentToken, Timeout: callTimeout})
	if err != nil {
		return doors{}, err
	}
	operator, err := api.NewClient(api.ClientOptions{Socket: socket, Token: m.token, Timeout: callTimeout})
	return doors{agent, operator}, err
}

// call is one operation through a door.
func call[In, Out any](ctx context.Context, to contract.Caller, op *contract.Operation[In, Out], in *In) (*Out, error) {
	raw, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	if raw, err = to.Call(ctx, op.Key, raw); err != nil {
		return nil, err
	}
	out := new(Out)
	return out, json.Unmarshal(raw, out)
}
