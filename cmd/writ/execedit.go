package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

func (a *app) execEdit() *cobra.Command {
	in := &contract.ExecutionEditInput{}
	var file, digest, absent string
	var also []string
	c := &cobra.Command{
		Use: "edit EXECUTION [STEP] [--input FILE --reason WHY]", Short: "Go on with another input than the one that waits", Args: cobra.RangeArgs(1, 2),
		Long: `Makes a new execution with another input for the step that waits for people, and ends
the old one. The policy judges the new plan from the start, and nothing that was
approved carries over; who edits cannot approve it. Without --input the input that
waits is printed, to be changed and given back.`,
		Example: `  writ exec edit exe_... > input.json                      the input that waits
  writ exec edit exe_... send --input input.json --reason "the customer has moved"
  writ exec edit exe_... send --input - --also tell=tell.json --reason "both have"`,
		RunE: func(cmd *cobra.Command, args []string) error {
			in.ExecutionID, in.For = writ.ExecutionID(args[0]), writ.PrincipalID(absent)
			step := contract.StepEdit{ApprovalDigest: writ.Digest(digest)}
			if len(args) == 2 {
				step.StepID = writ.StepID(args[1])
			}
			if file == "" || step.StepID == "" {
				item, err := a.editable(cmd, args)
				if err != nil {
					return err
				}
				if file == "" {
					return a.printInput(item, args)
				}
				step.StepID = item.StepID
			}
			if in.Reason == "" {
				return usage("an edit needs a reason").WithFix("add --reason WHY: it stays in the record")
			}
			var err error
			if step.Input, err = a.inputFrom(file); err != nil {
				return err
			}
			if in.Steps, err = a.alsoEdited(step, also); err != nil {
				return err
			}
			out, err := call(cmd.Context(), a, contract.ExecutionEdit, in)
			if err != nil {
				return err
			}
			return a.wentOn(cmd.Context(), out.ExecutionID, in.Wait, func() error { return a.printEdit(out) })
		},
	}
	f := c.Flags()
	f.StringVar(&file, "input", "", "file with the whole input as JSON, - for standard input; what is the same stays the draft's")
	f.StringArrayVar(&also, "also", nil, "STEP=FILE: the input of a step that has not begun, or waits too; repeatable")
	f.StringVar(&digest, "digest", "", "refuse if something else is pending")
	f.StringVar(&absent, "for", "", "edit for this absent person, who has delegated to you")
	f.StringVar(&in.IdempotencyKey, "idempotency-key", "", "the same key again completes the same edit, or answers with what it made")
	goesOnFlags(c, &in.Reason, &in.Wait)
	return c
}

// alsoEdited are the first edit and those of STEP=FILE.
func (a *app) alsoEdited(first contract.StepEdit, pairs []string) ([]contract.StepEdit, error) {
	out := []contract.StepEdit{first}
	for _, pair := range pairs {
		name, file, ok := strings.Cut(pair, "=")
		if !ok {
			return nil, usage("--also %s: is not STEP=FILE", clean(pair)).WithFix("write --also tell=tell.json")
		}
		input, err := a.inputFrom(file)
		if err != nil {
			return nil, err
		}
		out = append(out, contract.StepEdit{StepID: writ.StepID(name), Input: input})
	}
	return out, nil
}

func (a *app) printEdit(out *contract.ExecutionEditOutput) error {
	return a.print(out, func(t *table) {
		t.pair("execution", string(out.ExecutionID))
		t.pair("status", out.Status)
		t.pair("plan", string(out.PlanID))
		t.pair("edited from", string(out.EditedFrom))
	})
}

// editable is the approval that is meant, by the id or the name of its step.
func (a *app) editable(cmd *cobra.Command, args []string) (*contract.Approval, error) {
	if len(args) == 2 && !strings.HasPrefix(args[1], "stp_") {
		out, err := call(cmd.Context(), a, contract.ExecutionGet, &contract.ExecutionGetInput{ExecutionID: writ.ExecutionID(args[0])})
		if err != nil {
			return nil, err
		}
		for i := range out.Execution.Steps {
			if s := &out.Execution.Steps[i]; s.Name == args[1] {
				args = []string{args[0], string(s.ID)}
				break
			}
		}
	}
	return a.pending(cmd.Context(), args)
}

// printInput writes the input to standard output and nothing else, so that it can be
// kept in a file.
func (a *app) printInput(item *contract.Approval, args []string) error {
	var request writ.ApprovalRequest
	if err := json.Unmarshal(item.Request, &request); err != nil {
		return writ.Errorf(writ.CodeTampered, "step "+string(item.StepID), "the request does not decode; do not approve it")
	}
	var b bytes.Buffer
	if err := json.Indent(&b, request.Input, "", "  "); err != nil {
		return writ.Errorf(writ.CodeTampered, "step "+string(item.StepID), "the request does not decode; do not approve it")
	}
	_, err := fmt.Fprintln(a.out, escaped(b.String()))
	_, _ = fmt.Fprintf(a.err, "change it and give it back: writ exec edit %s %s --input FILE --reason WHY\n", clean(args[0]), clean(request.StepName))
	return err
}

// escaped is JSON that means the same and cannot steer a terminal: what clean would
// take out stands in strings alone.
func escaped(text string) string {
	var b strings.Builder
	for _, r := range text {
		if r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)) {
			fmt.Fprintf(&b, `\u%04x`, r)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

func (a *app) inputFrom(file string) (contract.Object, error) {
	raw, err := a.readInput(file, writ.MaxDraft)
	if err != nil {
		return nil, err
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(raw, &object); err != nil {
		return nil, usage("%s: is no JSON object", clean(file)).WithFix("give the whole input, as `writ exec edit EXECUTION` prints it")
	}
	return raw, nil
}
