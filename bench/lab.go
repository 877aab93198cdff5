//go:build linux

package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
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

// lab is a whole host in a temporary home, with one small hand-made skill and
// those that were asked for.
type lab struct {
	labOptions
	dir      string
	journal  *trace.Journal
	sandbox  writ.Sandbox
	policies *policy.Service
	engine   *engine.Engine
	budgets  *budget.Service
	caller   *writ.Principal
	skills   map[writ.SkillKey]*writ.Skill
}

// labOptions are what labs differ in.
type labOptions struct {
	inMemory bool             // nothing is synced
	drafts   []registry.Draft // skills besides the hand-made one
}

// handMade echoes its input in a few instructions.
const handMade writ.SkillKey = "bench/echo"

func newLab(ctx context.Context, o labOptions) (*lab, error) {
	dir, err := os.MkdirTemp("", "writ-bench-")
	if err != nil {
		return nil, err
	}
	l := &lab{labOptions: o, dir: dir}
	if err := l.open(ctx); err != nil {
		l.close(ctx)
		return nil, err
	}
	return l, nil
}

func (l *lab) open(ctx context.Context) error {
	journal := trace.Options{Clock: time.Now, InMemory: l.inMemory}
	var err error
	if !l.inMemory {
		journal.Dir = l.dir
		if _, journal.Signer, err = ed25519.GenerateKey(rand.Reader); err != nil {
			return err
		}
	}
	if l.journal, err = trace.Open(ctx, journal); err != nil {
		return err
	}
	people, err := identity.New(identity.Options{Store: l.journal, Journal: l.journal, Clock: time.Now, Entropy: rand.Reader})
	if err != nil {
		return err
	}
	made, err := people.Bootstrap(ctx, "bench", nil)
	if err != nil {
		return err
	}
	if l.caller, err = people.Token(ctx, made.Token); err != nil {
		return err
	}
	l.policies, err = policy.Open(ctx, policy.Options{Dir: filepath.Join(l.dir, "policy"), Store: l.journal, Journal: l.journal, Traces: l.journal, Clock: time.Now})
	if err != nil {
		return err
	}
	skills, err := l.install(ctx)
	if err != nil {
		return err
	}
	if l.sandbox, err = host.NewSandbox(host.Options{CompileInProcessUnsafe: true}); err != nil {
		return err
	}
	tools, err := toolbox.New(toolbox.Options{Store: l.journal})
	if err != nil {
		return err
	}
	planner, err := plan.New(plan.Options{})
	if err != nil {
		return err
	}
	freezes, err := freeze.New(freeze.Options{Store: l.journal, Journal: l.journal, Clock: time.Now})
	if err != nil {
		return err
	}
	if l.budgets, err = budget.New(budget.Options{Store: l.journal, Journal: l.journal, Clock: time.Now}); err != nil {
		return err
	}
	l.engine, err = engine.New(engine.Options{
		Journal: l.journal, Traces: l.journal, Planner: planner, Judges: l.policies, Skills: skills, Sandbox: l.sandbox,
		Toolbox: tools, Approvals: people, Grants: people, Delegations: people, Freezes: freezes, Budgets: l.budgets, Clock: time.Now, Entropy: rand.Reader, EngineID: host.EngineID(),
	})
	return err
}

func (l *lab) install(ctx context.Context) (writ.Skills, error) {
	skills, err := registry.New(registry.Options{
		Dir: filepath.Join(l.dir, "skills"), Store: l.journal, Journal: l.journal, Inspector: host.NewInspector(), Clock: time.Now,
	})
	if err != nil {
		return nil, err
	}
	echo := registry.Draft{
		Module: wasmtest.Echo(),
		Manifest: &abi.Manifest{
			APIVersion: abi.ManifestVersion, Name: string(handMade), Version: "1.0.0", Description: "answers with its input", ABI: abi.V1,
			Actions: []abi.Action{{
				Name: "echo", Description: "answers with its input", Input: json.RawMessage(`{"type":"object"}`),
				Output: json.RawMessage(`{"type":"object"}`), Effects: []writ.Effect{abi.EffectNone},
			}},
		},
	}
	refs, err := skills.Rehearse(ctx, registry.Rehearsal{By: l.caller, Entropy: rand.Reader, Drafts: append(l.drafts[:len(l.drafts):len(l.drafts)], echo)})
	if err != nil {
		return nil, err
	}
	l.skills = map[writ.SkillKey]*writ.Skill{}
	for _, ref := range refs {
		if l.skills[ref.Key], err = skills.Load(ctx, writ.LoadRequest{Tenant: l.caller.Tenant, Ref: ref}); err != nil {
			return nil, err
		}
	}
	return skills, nil
}

// close ends the lab and removes what it kept.
func (l *lab) close(ctx context.Context) {
	if err := errors.Join(l.shut(ctx), os.RemoveAll(l.dir)); err != nil {
		_, _ = os.Stderr.WriteString("bench: " + err.Error() + "\n")
	}
}

// shut ends the lab and leaves its files. Again it does nothing.
func (l *lab) shut(ctx context.Context) error {
	var errs []error
	if l.engine != nil {
		errs = append(errs, l.engine.Close(ctx))
	}
	if l.sandbox != nil {
		errs = append(errs, l.sandbox.Close(ctx))
	}
	if l.journal != nil {
		errs = append(errs, l.journal.Close(ctx))
	}
	l.engine, l.sandbox, l.journal = nil, nil, nil
	return errors.Join(errs...)
}

// ready submits, compiles and verifies an execution that only has to be started.
func (l *lab) ready(ctx context.Context, draft string) (writ.ExecutionID, error) {
	ctx = writ.WithPrincipal(ctx, l.caller)
	submitted, err := l.engine.IntentSubmit(ctx, &contract.IntentSubmitInput{Text: "bench", Draft: draft})
	if err != nil {
		return "", err
	}
	if _, err := l.engine.PlanCompile(ctx, &contract.PlanCompileInput{ExecutionID: submitted.ExecutionID}); err != nil {
		return "", err
	}
	_, err = l.engine.PlanVerify(ctx, &contract.PlanVerifyInput{ExecutionID: submitted.ExecutionID})
	return submitted.ExecutionID, err
}

func (l *lab) start(ctx context.Context, id writ.ExecutionID) error {
	out, err := l.engine.ExecutionStart(writ.WithPrincipal(ctx, l.caller), &contract.ExecutionStartInput{ExecutionID: id, Wait: true})
	if err == nil && out.Status != string(writ.ExecCompleted) {
		err = writ.Errorf(writ.CodeInternal, "bench", "execution %s is %s", id, out.Status)
	}
	return err
}

// whole goes from the intent to the durable end in one request.
func (l *lab) whole(ctx context.Context, draft string) error {
	out, err := l.engine.IntentSubmit(writ.WithPrincipal(ctx, l.caller), &contract.IntentSubmitInput{Text: "bench", Draft: draft, Run: true, Wait: true})
	if err == nil && out.Status != string(writ.ExecCompleted) {
		err = writ.Errorf(writ.CodeInternal, "bench", "execution %s is %s", out.ExecutionID, out.Status)
	}
	return err
}
