//go:build linux

package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/budget"
	"github.com/writ-run/writ/contract"
	"github.com/writ-run/writ/engine"
	"github.com/writ-run/writ/freeze"
	"github.com/writ-run/writ/host"
	"github.com/writ-run/writ/host/toolbox"
	"github.com/writ-run/writ/host/wasmtest"
	"github.com/writ-run/writ/identity"
	"github.com/writ-run/writ/plan"
	"github.com/writ-run/writ/policy"
	"github.com/writ-run/writ/registry"
	"github.com/writ-run/writ/trace"
)

// node is a whole host in this process, for what cannot be done to another
// process: to hold its writer still, and to set its clock.
type node struct {
	home     string
	gate     *gate
	front    *http.Server
	journal  *trace.Journal
	people   *identity.Service
	policies *policy.Service
	skills   *registry.Registry
	sandbox  writ.Sandbox
	engine   *engine.Engine
	calls    *contract.Dispatcher
	gone     atomic.Bool // its answers reach nobody any more
}

// nodeOptions say how a node is opened.
type nodeOptions struct {
	home     string
	clock    writ.Clock
	key      ed25519.PrivateKey // of the host
	ledger   *ledger
	onCommit func(writ.Position)
}

func openNode(ctx context.Context, o nodeOptions) (*node, error) {
	n := &node{home: o.home, gate: &gate{}}
	if err := n.open(ctx, o); err != nil {
		return nil, errors.Join(err, n.close(ctx))
	}
	return n, nil
}

func (n *node) open(ctx context.Context, o nodeOptions) error {
	upstream, err := n.serve(o.ledger)
	if err != nil {
		return err
	}
	n.journal, err = trace.Open(ctx, trace.Options{Dir: o.home, Clock: o.clock, Signer: o.key, OnCommit: o.onCommit, Ballast: -1})
	if err != nil {
		return err
	}
	n.people, err = identity.New(identity.Options{Store: n.journal, Journal: n.journal, Clock: o.clock, Entropy: rand.Reader})
	if err != nil {
		return err
	}
	n.policies, err = policy.Open(ctx, policy.Options{Dir: filepath.Join(o.home, "policy"), Store: n.journal, Journal: n.journal, Traces: n.journal, Clock: o.clock})
	if err != nil {
		return err
	}
	n.skills, err = registry.New(registry.Options{
		Dir: filepath.Join(o.home, "skills"), Store: n.journal, Journal: n.journal, Inspector: host.NewInspector(), Clock: o.clock,
	})
	if err != nil {
		return err
	}
	if n.sandbox, err = host.NewSandbox(host.Options{CompileInProcessUnsafe: true}); err != nil {
		return err
	}
	tools, err := toolbox.New(toolbox.Options{Store: n.journal, Upstreams: map[string]string{upstreamHost: upstream}})
	if err != nil {
		return err
	}
	planner, err := plan.New(plan.Options{})
	if err != nil {
		return err
	}
	budgets, err := budget.New(budget.Options{Store: n.journal, Journal: n.journal, Clock: o.clock})
	if err != nil {
		return err
	}
	freezes, err := freeze.New(freeze.Options{Store: n.journal, Journal: n.journal, Clock: o.clock})
	if err != nil {
		return err
	}
	n.engine, err = engine.New(engine.Options{
		Journal: n.journal, Traces: n.journal, Planner: planner, Judges: n.policies, Skills: n.skills, Sandbox: n.sandbox,
		Toolbox: tools, Approvals: n.people, Grants: n.people, Delegations: n.people, Freezes: freezes, Budgets: budgets, Clock: o.clock, Entropy: rand.Reader, EngineID: host.EngineID(),
	})
	if err != nil {
		return err
	}
	n.bind()
	return n.engine.Recover(ctx)
}

// serve puts the ledger behind a listener that ends with the node.
func (n *node) serve(l *ledger) (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	n.front = &http.Server{
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { l.serve(w, r, n.gate) }),
		ReadHeaderTimeout: time.Minute,
	}
	go func() { _ = n.front.Serve(listener) }()
	return "http://" + listener.Addr().String(), nil
}

func (n *node) bind() {
	d := contract.NewDispatcher(contract.DispatcherOptions{})
	contract.Bind(d, contract.IntentSubmit, n.engine.IntentSubmit)
	contract.Bind(d, contract.ExecutionApprove, n.engine.ExecutionApprove)
	contract.Bind(d, contract.ExecutionResolve, n.engine.ExecutionResolve)
	contract.Bind(d, contract.ApprovalList, n.engine.ApprovalList)
	contract.Bind(d, contract.ReplayRun, n.engine.ReplayRun)
	contract.Bind(d, contract.ExecutionGet, n.journal.ExecutionGet)
	contract.Bind(d, contract.ExecutionList, n.journal.ExecutionList)
	contract.Bind(d, contract.TraceGet, n.journal.TraceGet)
	contract.Bind(d, contract.TraceVerify, n.journal.TraceVerify)
	n.calls = d
}

// settleDown is how long a node may take to close.
const settleDown = 30 * time.Second

func (n *node) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleDown)
	defer cancel()
	n.gate.shut()
	var errs []error
	if n.front != nil {
		errs = append(errs, n.front.Close())
	}
	if n.engine != nil {
		errs = append(errs, n.engine.Close(ctx))
	}
	if n.sandbox != nil {
		errs = append(errs, n.sandbox.Close(ctx))
	}
	if n.journal != nil {
		errs = append(errs, n.journal.Close(ctx))
	}
	return errors.Join(errs...)
}

// crew are the two who work with nodes, whichever node is there.
type crew struct {
	operator, agent *writ.Principal
	approver        *identity.ApproverKey
}

// settle makes the people and skills of a new home.
func (n *node) settle(ctx context.Context) (*crew, error) {
	c := &crew{}
	var err error
	if c.approver, err = identity.GenerateApproverKey(rand.Reader); err != nil {
		return nil, err
	}
	made, err := n.people.Bootstrap(ctx, operatorName, c.approver)
	if err != nil {
		return nil, err
	}
	if c.operator, err = n.people.Token(ctx, made.Token); err != nil {
		return nil, err
	}
	as := writ.WithPrincipal(ctx, c.operator)
	token, err := n.people.TokenCreate(as, &contract.TokenCreateInput{PrincipalID: agentID, Kind: writ.Agent})
	if err != nil {
		return nil, err
	}
	if c.agent, err = n.people.Token(ctx, token.Token); err != nil {
		return nil, err
	}
	_, err = n.people.GrantCreate(as, &contract.GrantCreateInput{PrincipalID: agentID, MaxRisk: writ.RiskMedium, Capability: writ.Capability{
		Tool: abi.ToolHTTPRequest, Hosts: []string{upstreamHost}, Methods: []string{"PUT", "POST"}, Paths: []string{itemsPath},
	}})
	if err != nil {
		return nil, err
	}
	_, err = n.skills.Rehearse(ctx, registry.Rehearsal{By: c.operator, Entropy: rand.Reader, Drafts: []registry.Draft{
		draftOf("conformance/c#echo", wasmtest.Echo(), abi.EffectNone),
		draftOf("conformance/fail#fail", wasmtest.Fail("busy"), abi.EffectNone),
		draftOf("conformance/send#run", wasmtest.ToolCaller(abi.ToolHTTPRequest), abi.EffectWriteExternal, writ.Capability{
			Tool: abi.ToolHTTPRequest, Hosts: []string{upstreamHost}, Methods: []string{"PUT", "POST"}, Paths: []string{itemsPath},
		}),
	}})
	return c, err
}

// draftOf is a skill with one action, which is used as SKILL#ACTION.
func draftOf(use string, module []byte, effect writ.Effect, capabilities ...writ.Capability) registry.Draft {
	name, action, _ := strings.Cut(use, "#")
	return registry.Draft{Module: module, Manifest: &abi.Manifest{
		APIVersion: abi.ManifestVersion, Name: name, Version: "1.0.0", Description: name, ABI: abi.V1, Capabilities: capabilities,
		Actions: []abi.Action{{
			Name: action, Description: action, Input: json.RawMessage(`{"type":"object"}`), Output: json.RawMessage(`{"type":"object"}`),
			Effects: []writ.Effect{effect},
		}},
	}}
}

// door leads one of the crew to the node that is there.
type door struct {
	who  *writ.Principal
	node atomic.Pointer[node]
}

// Call implements contract.Caller. What a node answers after it has gone is not heard.
func (d *door) Call(ctx context.Context, key string, in json.RawMessage) (json.RawMessage, error) {
	n := d.node.Load()
	if n == nil || n.gone.Load() {
		return nil, writ.Errorf(writ.CodeUnavailable, key, "no host is there")
	}
	out, err := n.calls.Call(writ.WithPrincipal(ctx, d.who), key, in)
	if n.gone.Load() {
		return nil, writ.Errorf(writ.CodeUnavailable, key, "the host has gone")
	}
	return out, err
}

// doors are the crew's; what is returned with them leads them to a node.
func (c *crew) doors() (doors, func(*node)) {
	agent, operator := &door{who: c.agent}, &door{who: c.operator}
	return doors{agent, operator}, func(n *node) {
		agent.node.Store(n)
		operator.node.Store(n)
	}
}
