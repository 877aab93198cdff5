package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/contract"
	compiler "github.com/writ-run/writ/plan"
)

func checkJSON(name string, raw []byte) error {
	err := canon.CheckJSON(raw)
	var e *canon.InputError
	if errors.As(err, &e) {
		return &writ.Error{
			Code: writ.CodeInvalid, Place: fmt.Sprintf("%s: byte %d", name, e.Offset), Message: e.Message, Err: err,
			Fix: "correct the JSON; integers beyond 2^53-1 are written as strings",
		}
	}
	return err
}

func (a *app) planCommand() *cobra.Command {
	return group("plan", "Compile, verify and show plans", a.planCompile(), a.planVerify(), a.planShow())
}

func (a *app) planCompile() *cobra.Command {
	in := &contract.PlanCompileInput{}
	var draft string
	c := &cobra.Command{
		Use: "compile EXECUTION", Short: "Compile the draft of an intent into a plan", Args: exactly("EXECUTION"),
		Example: "  writ plan compile exe_...\n  writ plan compile exe_... --draft corrected.yaml",
		RunE: func(cmd *cobra.Command, args []string) error {
			in.ExecutionID = writ.ExecutionID(args[0])
			if draft != "" {
				raw, err := a.readInput(draft, maxMetadataFile)
				if err != nil {
					return err
				}
				in.Draft, in.DraftFormat, in.DraftName = string(raw), draftFormat(draft), filepath.Base(draft)
			}
			out, err := call(cmd.Context(), a, contract.PlanCompile, in)
			if err != nil {
				return err
			}
			return a.print(out, func(t *table) {
				t.pair("plan", string(out.PlanID))
				t.pair("hash", string(out.DeterministicHash))
				t.pair("steps", fmt.Sprint(out.StepCount))
				t.line("next: writ plan verify %s", args[0])
			})
		},
	}
	c.Flags().StringVar(&draft, "draft", "", "another draft than the intent's; - for standard input")
	return c
}

func (a *app) planVerify() *cobra.Command {
	in := &contract.PlanVerifyInput{}
	c := &cobra.Command{
		Use: "verify EXECUTION", Short: "Have every step of the plan judged by policy", Args: exactly("EXECUTION"),
		Example: "  writ plan verify exe_...      exit 3 where a step is blocked, 4 where people must approve",
		RunE: func(cmd *cobra.Command, args []string) error {
			in.ExecutionID = writ.ExecutionID(args[0])
			out, err := call(cmd.Context(), a, contract.PlanVerify, in)
			if err != nil {
				return err
			}
			state, err := call(cmd.Context(), a, contract.ExecutionGet, &contract.ExecutionGetInput{ExecutionID: in.ExecutionID})
			if err != nil {
				return err
			}
			err = a.print(out, func(t *table) {
				t.pair("verdict", string(out.Verdict))
				t.flush()
				t.head("step", "effect", "risk", "verdict", "rule", "why")
				for i := range state.Execution.Steps {
					s := &state.Execution.Steps[i]
					rule, why := "", ""
					if len(s.Reasons) > 0 {
						rule, why = s.Reasons[0].Rule, s.Reasons[0].Message
					}
					t.row(s.Name, string(s.Effect), string(s.RiskTier), string(s.Mode), rule, why)
				}
				for _, r := range out.BlockedReasons {
					t.line("  fix: %s", clean(r.Fix))
				}
			})
			if err != nil {
				return err
			}
			switch out.Verdict {
			case writ.Blocked:
				return exitError(exitDenied)
			case writ.Assist:
				return exitError(exitWaiting)
			}
			return nil
		},
	}
	c.Flags().StringVar(&in.PolicyVersion, "policy", "", "digest of another bundle: an advisory verdict, which starts nothing")
	return c
}

func (a *app) planShow() *cobra.Command {
	return &cobra.Command{
		Use: "show EXECUTION", Short: "Show the compiled plan", Args: exactly("EXECUTION"),
		RunE: func(cmd *cobra.Command, args []string) error {
			trace, err := call(cmd.Context(), a, contract.TraceGet, &contract.TraceGetInput{ExecutionID: writ.ExecutionID(args[0]), IncludePayloads: true})
			if err != nil {
				return err
			}
			raw := planPayload(trace.Entries)
			if raw == nil {
				return writ.Errorf(writ.CodeConflict, "execution "+args[0], "it has no plan").WithFix("run `writ plan compile %s`", args[0])
			}
			var plan writ.Plan
			if err := json.Unmarshal(raw, &plan); err != nil {
				return writ.Errorf(writ.CodeTampered, "execution "+args[0], "its plan does not decode")
			}
			planner, err := compiler.New(compiler.Options{})
			if err != nil {
				return err
			}
			out := shownPlan{Plan: &plan, Flows: planner.FlowsOf(&plan)}
			return a.print(&out, func(t *table) {
				for i := range plan.Steps {
					a.stepTable(t, &plan.Steps[i])
				}
				t.head("step", "parameter", "value", "from", "labels", "sink")
				for _, step := range out.Flows {
					flowRows(t, step.Step, step.Flows)
				}
			})
		},
	}
}

// shownPlan is a compiled plan with what follows from it about its data.
type shownPlan struct {
	*writ.Plan
	Flows []writ.StepFlows `json:"flows"`
}

// flowTable says where the parameters of a step come from. What literals say is
// in the input beside it.
func flowTable(t *table, step string, flows []writ.Flow) {
	if len(flows) == 0 {
		return
	}
	t.line("where its input comes from:")
	t.head("step", "parameter", "expression", "from", "labels", "sink")
	flowRows(t, step, flows)
	t.flush()
}

// maxShownValue bounds a value in a column: -o json has it whole.
const maxShownValue = 48

func flowRows(t *table, step string, flows []writ.Flow) {
	for i := range flows {
		f := &flows[i]
		value, sink := string(f.Value), ""
		if f.Expression != "" {
			value = "${{ " + f.Expression + " }}"
		}
		if runes := []rune(value); len(runes) > maxShownValue {
			value = string(runes[:maxShownValue]) + "..."
		}
		if f.Sink {
			sink = "sink"
		}
		t.row(step, f.Parameter, value, strings.Join(f.From, ", "), labels(f.Labels), sink)
	}
}

func planPayload(entries []contract.TraceEntry) []byte {
	var raw []byte
	for _, entry := range entries {
		for _, payload := range entry.Payloads {
			if payload.Name == writ.PayloadPlan {
				raw = payload.Data
			}
		}
	}
	return raw
}

func (a *app) stepTable(t *table, s *writ.Step) {
	t.pair("step", s.Name)
	t.pair("  id", string(s.ID))
	t.pair("  uses", s.Skill.String()+"#"+s.Action)
	t.pair("  effect", string(s.Effect))
	t.pair("  risk", string(s.Risk))
	t.pair("  data from", labels(s.Taint))
	if d := s.Declassified; d != nil {
		t.pair("  declassified", clean(string(d.From)+" to "+string(d.To)+", by the policy's rule "+d.Rule+": "+d.Reason))
	}
	for _, need := range s.Needs {
		t.pair("  needs", need)
	}
	if s.ForEach != nil {
		t.pair("  for each", s.ForEach.CEL)
	}
	for i := range s.Capabilities {
		t.pair("  may", contract.CapabilityText(&s.Capabilities[i]))
	}
	t.flush()
	if s.Compensate != nil {
		a.stepTable(t, s.Compensate)
	}
}
