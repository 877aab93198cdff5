package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/contract"
	"github.com/writ-run/writ/identity"
	"github.com/writ-run/writ/registry"
)

// rehearsal is a throwaway home in which an author's unsigned work runs: signed
// with a key that is forgotten, under the default policy, as an agent that may
// use any tool up to high risk and a person who can approve.
type rehearsal struct {
	home     *home
	work     *work
	dir      string
	played   *playback       // a recording that answers; nil: the tools themselves
	author   *writ.Principal // approves
	agent    *writ.Principal // asks
	approver *identity.ApproverKey
}

func (a *app) rehearse(ctx context.Context, w *work) (*rehearsal, error) {
	return a.rehearseWith(ctx, w, nil)
}

func (a *app) rehearseWith(ctx context.Context, w *work, played *playback) (*rehearsal, error) {
	dir, err := os.MkdirTemp("", "writ-rehearsal-")
	if err != nil {
		return nil, usage("no temporary directory: %s", plainCause(err))
	}
	r := &rehearsal{work: w, dir: dir, played: played}
	if err := r.open(ctx, a); err != nil {
		r.close(ctx)
		return nil, err
	}
	return r, nil
}

func (r *rehearsal) open(ctx context.Context, a *app) error {
	if err := makeKeys(r.dir); err != nil {
		return err
	}
	c := *a.config
	c.Home = r.dir
	var err error
	clock := a.clock
	if r.played != nil {
		clock = r.played.now
	}
	if r.home, err = openHome(ctx, &c, a.logger(hclog.Warn), clock); err != nil {
		return err
	}
	if err := r.follow(ctx); err != nil {
		return err
	}
	r.home.heard.listen(a.err)
	if r.approver, err = identity.GenerateApproverKey(entropy); err != nil {
		return err
	}
	if err := r.people(ctx); err != nil {
		return err
	}
	_, err = r.home.registry.Rehearse(ctx, registry.Rehearsal{
		By: r.author, Entropy: entropy, Drafts: []registry.Draft{{Manifest: r.work.manifest, Module: r.work.module}},
	})
	return err
}

// people makes the one who asks and the one who approves.
func (r *rehearsal) people(ctx context.Context) error {
	made, err := r.home.identity.Bootstrap(ctx, "author", r.approver)
	if err != nil {
		return err
	}
	if r.author, err = r.home.identity.Token(ctx, made.Token); err != nil {
		return err
	}
	asAuthor := writ.WithPrincipal(ctx, r.author)
	token, err := r.home.identity.TokenCreate(asAuthor, &contract.TokenCreateInput{PrincipalID: "service:rehearsal", Kind: writ.Service})
	if err != nil {
		return err
	}
	if r.agent, err = r.home.identity.Token(ctx, token.Token); err != nil {
		return err
	}
	_, err = r.home.identity.GrantCreate(asAuthor, &contract.GrantCreateInput{
		PrincipalID: r.agent.ID, Capability: writ.Capability{Tool: "*"}, MaxRisk: writ.RiskHigh, MaxSensitivity: writ.SensitivitySecret,
	})
	return err
}

// close leaves nothing behind.
func (r *rehearsal) close(ctx context.Context) {
	if r.home != nil {
		_ = r.home.close(context.WithoutCancel(ctx))
	}
	_ = os.RemoveAll(r.dir)
}

// start runs one action as a plan of one step, through the whole pipeline.
func (r *rehearsal) start(ctx context.Context, action string, input []byte) (*contract.Execution, error) {
	draft, err := json.Marshal(map[string]any{
		"apiVersion": "writ/v1", "kind": "Plan",
		"steps": []any{map[string]any{
			"name": "run", "uses": r.work.manifest.Name + "@" + r.work.manifest.Version + "#" + action, "with": json.RawMessage(input),
		}},
	})
	if err != nil {
		return nil, err
	}
	r.home.heard.traced() // what an earlier run left
	ctx = writ.WithPrincipal(ctx, r.agent)
	submitted, err := r.home.engine.IntentSubmit(ctx, &contract.IntentSubmitInput{
		Text: "rehearse " + action, Draft: string(draft), DraftFormat: "json", DraftName: "input",
	})
	if err != nil {
		return nil, err
	}
	if _, err := r.home.engine.PlanCompile(ctx, &contract.PlanCompileInput{ExecutionID: submitted.ExecutionID}); err != nil {
		return nil, err
	}
	return r.proceed(ctx, submitted.ExecutionID)
}

func (r *rehearsal) proceed(ctx context.Context, id writ.ExecutionID) (*contract.Execution, error) {
	ctx = writ.WithPrincipal(ctx, r.agent)
	if _, err := r.home.engine.ExecutionStart(ctx, &contract.ExecutionStartInput{ExecutionID: id, Wait: true}); err != nil {
		return nil, err
	}
	out, err := r.home.journal.ExecutionGet(ctx, &contract.ExecutionGetInput{ExecutionID: id, IncludeOutputs: true})
	if err != nil {
		return nil, err
	}
	return &out.Execution, nil
}

// proposed is what an execution waits for.
func (r *rehearsal) proposed(ctx context.Context, x *contract.Execution) (*contract.Approval, error) {
	list, err := r.home.engine.ApprovalList(writ.WithPrincipal(ctx, r.author), &contract.ApprovalListInput{ExecutionID: x.ExecutionID})
	if err != nil {
		return nil, err
	}
	if len(list.Items) == 0 {
		return nil, writ.Errorf(writ.CodeApprovalNeeded, "the action", "waits for something that nobody here can approve")
	}
	return &list.Items[0], nil
}

// approve gives the author's word for what is proposed, and goes on.
func (r *rehearsal) approve(ctx context.Context, item *contract.Approval) (*contract.Execution, error) {
	signature, err := r.approver.SignApproval(ctx, r.author.ID, writ.Word{Digest: item.Digest}, r.home.clock.Now())
	if err != nil {
		return nil, err
	}
	_, err = r.home.engine.ExecutionApprove(writ.WithPrincipal(ctx, r.author), &contract.ExecutionApproveInput{
		ExecutionID: item.ExecutionID, StepID: item.StepID, ApprovalDigest: item.Digest, Signature: signature,
	})
	if err != nil {
		return nil, err
	}
	return r.proceed(ctx, item.ExecutionID)
}

func (a *app) skillRun() *cobra.Command {
	o := &runOptions{}
	c := &cobra.Command{
		Use: "run ACTION [INPUT]", Short: "Run an action of your own work, through policy, in the sandbox", Args: cobra.MaximumNArgs(2),
		Long: `Builds the skill, signs it with a key that is forgotten at once, installs it in a
throwaway home and runs one action as a plan of one step. There is no other way
for unsigned work to run. INPUT is JSON, or - for standard input.

With --record the run is also written to a file: input, seed, clock, tool calls with
their answers, output and fuel. With --replay the skill, which may have changed, runs
against such a file instead of the world, and the first difference is named: exit 5.`,
		Example: "  writ skill run greet '{\"name\":\"Ada\"}'\n  writ skill run count_vowels '{\"input\":\"hello\"}' --module count_vowels.wasm\n" +
			"  writ skill run greet '{\"name\":\"Ada\"}' --record ada.json\n  writ skill run --replay ada.json",
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.replay != "" {
				return a.replayRecording(cmd.Context(), args, o)
			}
			if len(args) == 0 {
				return usage("which action?").WithFix("see `%s --help`", cmd.CommandPath())
			}
			return a.runAction(cmd.Context(), args, o)
		},
	}
	c.Flags().StringVar(&o.dir, "dir", ".", "directory of the skill")
	c.Flags().StringVar(&o.module, "module", "", "a ready WebAssembly module instead of the source")
	c.Flags().BoolVar(&o.approve, "approve", false, "approve what the action proposes to do")
	c.Flags().StringVar(&o.record, "record", "", "file to write the run to")
	c.Flags().StringVar(&o.replay, "replay", "", "recording to run against; the action and its input are in it")
	return c
}

type runOptions struct {
	dir, module, record, replay string
	approve                     bool
}

func (a *app) runAction(ctx context.Context, args []string, o *runOptions) error {
	input, err := a.actionInput(args)
	if err != nil {
		return err
	}
	w, err := a.buildFor(ctx, o, args[0])
	if err != nil {
		return err
	}
	r, err := a.rehearse(ctx, w)
	if err != nil {
		return err
	}
	defer r.close(ctx)
	x, err := a.rehearseAction(ctx, r, args[0], rehearsed{input: input, approve: o.approve})
	if err != nil {
		return err
	}
	if o.record != "" {
		if err := a.record(ctx, r, x, o.record); err != nil {
			return err
		}
	}
	return a.showOutput(r, args[0], x)
}

// buildFor builds a skill that must have the action.
func (a *app) buildFor(ctx context.Context, o *runOptions, name string) (*work, error) {
	w, err := a.build(ctx, o.dir, o.module)
	if err == nil && action(w.manifest, name) == nil {
		err = usage("%s has no action %q", w.manifest.Name, name).WithFix("one of: %s", actionNames(w.manifest))
	}
	return w, err
}

func (a *app) actionInput(args []string) ([]byte, error) {
	if len(args) == 1 {
		return []byte("{}"), nil
	}
	raw := []byte(args[1])
	if args[1] == "-" {
		var err error
		if raw, err = a.readInput("-", writ.MaxDraft); err != nil {
			return nil, err
		}
	}
	if err := checkJSON("INPUT", raw); err != nil {
		return nil, err
	}
	return raw, nil
}

func action(m *abi.Manifest, name string) *abi.Action {
	for i := range m.Actions {
		if m.Actions[i].Name == name {
			return &m.Actions[i]
		}
	}
	return nil
}

func actionNames(m *abi.Manifest) string {
	text := ""
	for i := range m.Actions {
		if i > 0 {
			text += ", "
		}
		text += m.Actions[i].Name
	}
	return text
}

// rehearsed is what an action is given in a rehearsal.
type rehearsed struct {
	input   []byte
	approve bool // what it proposes
}

// rehearseAction runs an action to its end, or shows what it wants to do and may
// not without a person.
func (a *app) rehearseAction(ctx context.Context, r *rehearsal, name string, given rehearsed) (*contract.Execution, error) {
	x, err := r.start(ctx, name, given.input)
	if err != nil {
		return nil, err
	}
	for x.Status == writ.ExecAwaitingApproval {
		item, err := r.proposed(ctx, x)
		if err != nil {
			return nil, err
		}
		if !given.approve {
			t := &table{app: a}
			a.approvalTable(t, item)
			t.flush()
			return nil, writ.Errorf(writ.CodeApprovalNeeded, "action "+name, "it wants to do the above, which needs a person's approval").WithFix("add --approve to let this rehearsal do it")
		}
		if x, err = r.approve(ctx, item); err != nil {
			return nil, err
		}
	}
	return x, nil
}

// showOutput writes the output of an action; its failure is an error.
func (a *app) showOutput(r *rehearsal, name string, x *contract.Execution) error {
	if err := r.failed(name, x); err != nil {
		return err
	}
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, x.Steps[0].Output, "", "  "); err != nil {
		return err
	}
	_, err := fmt.Fprintln(a.out, pretty.String())
	return err
}

// failed is why an action did not complete, nil where it did.
func (r *rehearsal) failed(name string, x *contract.Execution) error {
	if f := x.Steps[0].Failure; f != nil {
		failed := writ.Errorf(writ.CodeSkillFailed, "action "+name, "%s: %s", f.Code, f.Message).WithFix("%s", f.Fix)
		if at := r.home.heard.traced(); at != nil {
			failed.Details = at
		}
		return failed
	}
	if x.Status != writ.ExecCompleted {
		return writ.Errorf(writ.CodeSkillFailed, "action "+name, "the execution is %s: %s", x.Status, x.Reason)
	}
	return nil
}
