package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

func (a *app) execCommand() *cobra.Command {
	return group("exec", "Start, watch, approve, hold and resolve executions",
		a.execStart(), a.execGet(), a.execList(), a.execWatch(), a.execApprove(), a.execReject(), a.execEdit(), a.execCancel(),
		a.execPause(), a.execResume(), a.execRetry(), a.execResolve())
}

func (a *app) execStart() *cobra.Command {
	in := &contract.ExecutionStartInput{}
	var mode, plan string
	c := &cobra.Command{
		Use: "start EXECUTION", Short: "Start a compiled plan", Args: exactly("EXECUTION"),
		Example: "  writ exec start exe_... --wait\n  writ exec start exe_... --mode assist     ask a person before every step",
		RunE: func(cmd *cobra.Command, args []string) error {
			in.ExecutionID, in.Mode, in.PlanID = writ.ExecutionID(args[0]), contract.RunMode(mode), writ.PlanID(plan)
			out, err := call(cmd.Context(), a, contract.ExecutionStart, in)
			if err != nil {
				return err
			}
			if !in.Wait {
				return a.printResult(out, out.Result, "execution", args[0])
			}
			return a.showExecution(cmd.Context(), in.ExecutionID)
		},
	}
	c.Flags().BoolVar(&in.Wait, "wait", false, "answer when it has ended or waits for a person (exit 4)")
	c.Flags().StringVar(&mode, "mode", "", "autonomous, assist or dry-run; may only tighten the policy")
	c.Flags().StringVar(&plan, "plan", "", "refuse to start another plan than this one")
	return c
}

// printResult shows the answer of a command that changed one thing.
func (a *app) printResult(out any, result contract.Result, name, id string) error {
	return a.print(out, func(t *table) {
		t.pair(name, id)
		t.pair("status", result.Status)
	})
}

// showExecution prints an execution and exits with what its status amounts to.
func (a *app) showExecution(ctx context.Context, id writ.ExecutionID) error {
	out, err := call(ctx, a, contract.ExecutionGet, &contract.ExecutionGetInput{ExecutionID: id, IncludeOutputs: true})
	if err != nil {
		return err
	}
	if err := a.print(out, func(t *table) { a.executionTable(t, &out.Execution) }); err != nil {
		return err
	}
	return statusExit(out.Execution.Status)
}

func (a *app) executionTable(t *table, x *contract.Execution) {
	t.pair("execution", string(x.ExecutionID))
	t.pair("status", string(x.Status))
	t.pair("reason", x.Reason)
	t.pair("plan", string(x.PlanID))
	t.pair("risk", string(x.RiskTier))
	t.pair("asked by", string(x.ActorID))
	t.pair("created", a.ago(x.CreatedAt))
	if e := x.EditedFrom; e != nil {
		t.pair("edited from", editedBy(e))
	}
	if e := x.EditedInto; e != nil {
		t.pair("edited into", editedBy(e))
	}
	t.flush()
	for _, p := range x.Problems {
		t.line("  %s:%d:%d: %s: %s", clean(p.File), p.Line, p.Column, p.Code, clean(p.Message))
	}
	if len(x.Steps) == 0 {
		return
	}
	t.line("")
	t.head("step", "uses", "effect", "risk", "verdict", "status", "")
	for i := range x.Steps {
		s := &x.Steps[i]
		t.row(indented(s), fmt.Sprintf("%s@%s#%s", s.Skill, s.Version, s.Action), string(s.Effect), string(s.RiskTier), string(s.Mode), string(s.Status), stepNote(s))
	}
	t.flush()
	if x.Status == writ.ExecIndeterminate {
		t.line("\n  what to do: look at the other side, then: writ exec resolve %s (--retry | --done RESULT | --fail) --reason WHY", x.ExecutionID)
	}
	for i := range x.Steps {
		if output := x.Steps[i].Output; len(output) > 0 {
			t.line("\n%s:\n%s", x.Steps[i].Name, indent(output))
		}
	}
}

// editedBy is one end of an edit: "exe_...  by human:bob (send): the customer has moved".
func editedBy(e *contract.Edit) string {
	by := string(e.By)
	if e.For != "" {
		by += " for " + string(e.For)
	}
	return string(e.ExecutionID) + "  by " + by + " (" + strings.Join(e.Steps, ", ") + "): " + e.Reason
}

// indented puts the steps that belong to another under it.
func indented(s *contract.Step) string {
	return strings.Repeat("  ", strings.Count(string(s.ID), "/")) + s.Name
}

func stepNote(s *contract.Step) string {
	switch {
	case s.Failure != nil:
		return s.Failure.Code + ": " + s.Failure.Message
	case s.Status == writ.StepAwaitingApproval && s.Approval != nil:
		return s.Approval.Summary
	case s.Status == writ.StepBlocked && len(s.Reasons) > 0:
		return s.Reasons[0].Rule + ": " + s.Reasons[0].Message
	}
	return s.Reason
}

// indent is JSON for people.
func indent(raw []byte) string {
	var b bytes.Buffer
	if json.Indent(&b, raw, "  ", "  ") != nil {
		return "  " + clean(string(raw))
	}
	return "  " + clean(b.String())
}

func (a *app) execGet() *cobra.Command {
	return &cobra.Command{
		Use: "get EXECUTION", Short: "Show an execution with its steps and outputs", Args: exactly("EXECUTION"),
		Example: "  writ exec get exe_...\n  writ exec get exe_... -o json | jq .execution.steps",
		RunE: func(cmd *cobra.Command, args []string) error {
			out, err := call(cmd.Context(), a, contract.ExecutionGet, &contract.ExecutionGetInput{ExecutionID: writ.ExecutionID(args[0]), IncludeOutputs: true})
			if err != nil {
				return err
			}
			return a.print(out, func(t *table) { a.executionTable(t, &out.Execution) })
		},
	}
}

func (a *app) execList() *cobra.Command {
	in := &contract.ExecutionListInput{}
	var status, risk string
	c := &cobra.Command{
		Use: "list", Short: "List executions, newest first", Args: cobra.NoArgs,
		Example: "  writ exec list --status awaiting_approval",
		RunE: func(cmd *cobra.Command, _ []string) error {
			in.Status, in.RiskTier = writ.ExecutionStatus(status), writ.Risk(risk)
			out, err := call(cmd.Context(), a, contract.ExecutionList, in)
			if err != nil {
				return err
			}
			return a.print(out, func(t *table) {
				if len(out.Items) == 0 {
					t.line("no executions; make one with `writ intent submit`")
					return
				}
				t.head("execution", "status", "risk", "steps", "asked by", "created", "why")
				for i := range out.Items {
					x := &out.Items[i]
					t.row(string(x.ExecutionID), string(x.Status), string(x.RiskTier), fmt.Sprint(len(x.Steps)), string(x.ActorID), a.ago(x.CreatedAt), x.Reason)
				}
				a.more(t, out.NextCursor)
			})
		},
	}
	c.Flags().StringVar(&status, "status", "", "only executions of this status")
	c.Flags().StringVar(&risk, "risk", "", "only executions of this risk tier")
	pageFlags(c, &in.Page)
	return c
}

func pageFlags(c *cobra.Command, page *contract.Page) {
	c.Flags().IntVar(&page.Limit, "limit", 0, "entries of a page, at most 500 (default 50)")
	c.Flags().StringVar(&page.Cursor, "cursor", "", "go on after the page before")
}

func (a *app) more(t *table, cursor string) {
	if cursor != "" {
		t.line("more: add --cursor %s", cursor)
	}
}

func (a *app) execWatch() *cobra.Command {
	return &cobra.Command{
		Use: "watch EXECUTION", Short: "Follow an execution until it ends or waits for a person", Args: exactly("EXECUTION"),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, last := writ.ExecutionID(args[0]), ""
			for {
				out, err := call(cmd.Context(), a, contract.ExecutionGet, &contract.ExecutionGetInput{ExecutionID: id})
				if err != nil {
					return err
				}
				x := &out.Execution
				if line := progress(x); line != last {
					_, _ = fmt.Fprintln(a.err, line)
					last = line
				}
				if x.Status.Final() || statusExit(x.Status) != nil || x.RunID == "" {
					return a.showExecution(cmd.Context(), id)
				}
				select {
				case <-cmd.Context().Done():
					return exitError(exitFailed)
				case <-time.After(watchInterval):
				}
			}
		},
	}
}

// watchInterval is short enough to feel live and costs one read of a projection.
const watchInterval = 200 * time.Millisecond

func progress(x *contract.Execution) string {
	parts := []string{string(x.Status)}
	for i := range x.Steps {
		parts = append(parts, x.Steps[i].Name+"="+string(x.Steps[i].Status))
	}
	return strings.Join(parts, " ")
}

func (a *app) execCancel() *cobra.Command {
	in := &contract.ExecutionCancelInput{}
	c := &cobra.Command{
		Use: "cancel EXECUTION", Short: "Cancel an execution; a write in flight is waited for", Args: exactly("EXECUTION"),
		RunE: func(cmd *cobra.Command, args []string) error {
			in.ExecutionID = writ.ExecutionID(args[0])
			out, err := call(cmd.Context(), a, contract.ExecutionCancel, in)
			if err != nil {
				return err
			}
			return a.printResult(out, out.Result, "execution", args[0])
		},
	}
	c.Flags().StringVar(&in.Reason, "reason", "", "why")
	return c
}
