package main

import (
	"context"
	"encoding/json"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

func (a *app) execPause() *cobra.Command {
	in := &contract.ExecutionPauseInput{}
	c := &cobra.Command{
		Use: "pause EXECUTION", Short: "Hold an execution: nothing new begins, over restarts too", Args: exactly("EXECUTION"),
		Example: "  writ exec pause exe_... --reason 'the customer asked us to wait'",
		RunE: func(cmd *cobra.Command, args []string) error {
			in.ExecutionID = writ.ExecutionID(args[0])
			out, err := call(cmd.Context(), a, contract.ExecutionPause, in)
			if err != nil {
				return err
			}
			return a.printResult(out, out.Result, "execution", args[0])
		},
	}
	c.Flags().StringVar(&in.Reason, "reason", "", "why")
	return c
}

func (a *app) execResume() *cobra.Command {
	in := &contract.ExecutionResumeInput{}
	c := &cobra.Command{
		Use: "resume EXECUTION", Short: "Let a paused execution go on", Args: exactly("EXECUTION"),
		Example: "  writ exec resume exe_... --wait",
		RunE: func(cmd *cobra.Command, args []string) error {
			in.ExecutionID = writ.ExecutionID(args[0])
			out, err := call(cmd.Context(), a, contract.ExecutionResume, in)
			if err != nil {
				return err
			}
			return a.wentOn(cmd.Context(), in.ExecutionID, in.Wait, func() error { return a.printResult(out, out.Result, "execution", args[0]) })
		},
	}
	goesOnFlags(c, &in.Reason, &in.Wait)
	return c
}

func (a *app) execRetry() *cobra.Command {
	in := &contract.ExecutionRetryInput{}
	c := &cobra.Command{
		Use: "retry EXECUTION", Short: "Try again what did not complete; what was done is not done again", Args: exactly("EXECUTION"),
		Example: "  writ exec retry exe_... --reason 'the server is back' --wait",
		RunE: func(cmd *cobra.Command, args []string) error {
			in.ExecutionID = writ.ExecutionID(args[0])
			out, err := call(cmd.Context(), a, contract.ExecutionRetry, in)
			if err != nil {
				return err
			}
			return a.wentOn(cmd.Context(), in.ExecutionID, in.Wait, func() error { return a.printResult(out, out.Result, "execution", args[0]) })
		},
	}
	goesOnFlags(c, &in.Reason, &in.Wait)
	return c
}

func (a *app) execResolve() *cobra.Command {
	in := &contract.ExecutionResolveInput{}
	var step, answer string
	var again, fail bool
	c := &cobra.Command{
		Use: "resolve EXECUTION (--retry | --done RESULT | --fail) --reason WHY", Args: exactly("EXECUTION"),
		Short: "Decide about a write that began and whose outcome is not known",
		Long: `A process or a connection ended while a write was under way that the server cannot
be asked again. Look at the other side first, then say what you found: --retry sends
the call again under the same idempotency key, --done RESULT takes RESULT as the
tool's answer (JSON, as in docs/tools.md), --fail ends the step.`,
		Example: "  writ exec resolve exe_... --done '{\"status\":201,\"headers\":{}}' --reason 'the comment is there'\n" +
			"  writ exec resolve exe_... --step send --retry --reason 'their log does not have it' --wait",
		RunE: func(cmd *cobra.Command, args []string) error {
			done := cmd.Flags().Changed("done")
			in.ExecutionID, in.StepID = writ.ExecutionID(args[0]), writ.StepID(step)
			switch {
			case again && !done && !fail:
				in.Ruling = writ.RulingRetry
			case fail && !done && !again:
				in.Ruling = writ.RulingFail
			case done && !again && !fail:
				in.Ruling, in.Answer = writ.RulingDone, json.RawMessage(answer)
			default:
				return usage("say one of --retry, --done RESULT and --fail")
			}
			if done && !json.Valid(in.Answer) {
				return usage("--done: the result is not JSON").WithFix("quote it for the shell: --done '{\"status\":201,\"headers\":{}}'")
			}
			out, err := call(cmd.Context(), a, contract.ExecutionResolve, in)
			if err != nil {
				return err
			}
			return a.wentOn(cmd.Context(), in.ExecutionID, in.Wait, func() error { return a.printResult(out, out.Result, "execution", args[0]) })
		},
	}
	c.Flags().StringVar(&step, "step", "", "name or id of the step; may be left out where one is indeterminate")
	c.Flags().BoolVar(&again, "retry", false, "it did not happen, or may happen again: send it again")
	c.Flags().StringVar(&answer, "done", "", "it happened, and this is what the tool answered")
	c.Flags().BoolVar(&fail, "fail", false, "the step fails")
	goesOnFlags(c, &in.Reason, &in.Wait)
	return c
}

func goesOnFlags(c *cobra.Command, reason *string, wait *bool) {
	c.Flags().StringVar(reason, "reason", "", "why")
	c.Flags().BoolVar(wait, "wait", false, "answer when it has ended or waits for a person (exit 4)")
}

// wentOn shows what an execution came to where the caller waited for it.
func (a *app) wentOn(ctx context.Context, id writ.ExecutionID, waited bool, otherwise func() error) error {
	if waited {
		return a.showExecution(ctx, id)
	}
	return otherwise()
}
