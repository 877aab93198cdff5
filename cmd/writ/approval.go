package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

func (a *app) approvalCommand() *cobra.Command {
	return group("approval", "See what waits for people, and who decides for whom",
		a.approvalList(), a.approvalApprove(), a.approvalStats(), a.approvalDelegate(), a.approvalUndelegate(), a.approvalDelegations(), a.approvalKey())
}

func (a *app) approvalList() *cobra.Command {
	in := &contract.ApprovalListInput{}
	var status, execution string
	list := &cobra.Command{
		Use: "list", Short: "Show what waits for a person: high risk first, then the nearest deadline", Args: cobra.NoArgs,
		Example: "  writ approval list --mine            what you could decide now\n  writ approval list --role security\n  writ approval list -o json | jq '.items[].request'",
		RunE: func(cmd *cobra.Command, _ []string) error {
			in.Status, in.ExecutionID = writ.ApprovalStatus(status), writ.ExecutionID(execution)
			out, err := call(cmd.Context(), a, contract.ApprovalList, in)
			if err != nil {
				return err
			}
			return a.print(out, func(t *table) {
				if len(out.Items) == 0 {
					t.line("nothing waits for a person")
					return
				}
				for i := range out.Items {
					a.approvalTable(t, &out.Items[i])
					t.line("")
				}
				if out.Total > len(out.Items) {
					t.line("%d of %d", len(out.Items), out.Total)
				}
				a.more(t, out.NextCursor)
			})
		},
	}
	f := list.Flags()
	f.StringVar(&status, "status", "", "approvals of this status instead of those that can be decided")
	f.StringVar(&execution, "execution", "", "only of this execution")
	f.BoolVar(&in.Mine, "mine", false, "only what you could approve now, as yourself or for somebody who is away")
	f.StringVar(&in.Role, "role", "", "only what people of this role may decide now")
	f.StringSliceVar(&in.Rules, "rule", nil, "only what is asked because of exactly these rules, repeatable")
	f.StringVar(&in.Template, "template", "", "only of this publisher/skill#action")
	pageFlags(list, &in.Page)
	return list
}

// approvalTable shows a person everything that an approval would allow.
func (a *app) approvalTable(t *table, item *contract.Approval) {
	var request writ.ApprovalRequest
	if json.Unmarshal(item.Request, &request) != nil {
		t.line("  the request does not decode; do not approve it")
		return
	}
	if item.Priority > 0 {
		t.pair("place", fmt.Sprint(item.Priority))
	}
	t.pair("execution", string(item.ExecutionID))
	t.pair("step", string(item.StepID)+"  ("+request.StepName+")")
	t.pair("what", item.Summary)
	t.pair("skill", request.Skill.String())
	t.pair("effect", string(request.Effect))
	t.pair("risk", string(request.Risk))
	for _, reason := range request.Reasons {
		t.pair("because", reason.Rule+": "+reason.Message)
	}
	t.pair("asked by", string(request.Requester))
	t.pair("data from", labels(request.Taint))
	t.pair("status", string(item.Status))
	t.pair("approvals", fmt.Sprintf("%d of %d", item.Granted, item.Required))
	t.pair("still needed", seats(item.Missing))
	for _, d := range item.Decisions {
		t.pair("decided", decided(&d)+"  ("+a.ago(d.At)+")")
	}
	t.pair("may decide", strings.Join(item.Roles, ", "))
	t.pair("you could as", principals(item.DecideAs))
	t.pair("asked", a.ago(item.OpenedAt))
	t.pair("decide by", item.DecideBy.String()+"  ("+a.ago(item.DecideBy)+")")
	t.pair("digest", string(item.Digest))
	for _, e := range item.Earlier {
		t.pair("before", earlierWords(&e)+"  ("+a.ago(e.At)+")")
	}
	if request.Call != nil {
		t.line("call %s:\n%s", request.Call.Tool, indent(request.Call.Arguments))
	} else {
		t.line("input:\n%s", indent(request.Input))
	}
	flowTable(t, request.StepName, request.Flows)
	if item.Status == writ.ApprovalPending || item.Status == writ.ApprovalEscalated {
		t.line("to have another input approved instead: writ exec edit %s %s", item.ExecutionID, clean(request.StepName))
	}
	if undo := request.Compensation; undo != nil {
		t.line("undone, if it must be, without asking again, by %s#%s:\n%s", clean(undo.Skill.String()), clean(undo.Action), indent(undo.Template))
		for _, b := range undo.Bindings {
			t.line("  %s: %s", clean(b.Path), clean(b.CEL))
		}
		for i := range undo.Capabilities {
			t.line("  may %s", clean(contract.CapabilityText(&undo.Capabilities[i])))
		}
	}
}

// seats says of which roles people must still approve: "1 of finance".
func seats(missing []contract.Seats) string {
	parts := make([]string, 0, len(missing))
	for _, s := range missing {
		parts = append(parts, fmt.Sprintf("%d of %s", s.Count, s.Role))
	}
	return strings.Join(parts, " and ")
}

// decided is one word in words: "approved by human:bob in slack/acme: fine".
func decided(d *contract.Decision) string {
	text := "rejected by "
	if d.Approved {
		text = "approved by "
	}
	text += string(d.By)
	if d.For != "" {
		text += " for " + string(d.For)
	}
	if d.Channel != "" {
		text += " in " + string(d.Channel)
	}
	if d.Note != "" {
		text += ": " + d.Note
	}
	return text
}

// earlierWords is how one of its kind was decided: "approved by human:bob: fine".
func earlierWords(e *contract.EarlierDecision) string {
	text := string(e.Status)
	if e.By != "" {
		text += " by " + string(e.By)
	}
	if e.Note != "" {
		text += ": " + e.Note
	}
	return text + "  " + e.Summary
}

func principals(list []writ.PrincipalID) string {
	parts := make([]string, 0, len(list))
	for _, id := range list {
		parts = append(parts, string(id))
	}
	return strings.Join(parts, ", ")
}

func labels(list []writ.Label) string {
	parts := make([]string, 0, len(list))
	for _, l := range list {
		parts = append(parts, string(l))
	}
	return strings.Join(parts, ", ")
}

func (a *app) execApprove() *cobra.Command {
	in := &contract.ExecutionApproveInput{}
	var digest, absent string
	var keys keyFlags
	c := &cobra.Command{
		Use: "approve EXECUTION [STEP]", Short: "Approve exactly what is shown, with the approver's key", Args: cobra.RangeArgs(1, 2),
		Example: `  writ exec approve exe_...                         shows the request and asks
  writ exec approve exe_... stp_... --digest sha256:... --passphrase-file pass`,
		RunE: func(cmd *cobra.Command, args []string) error {
			item, err := a.pending(cmd.Context(), args)
			if err != nil {
				return err
			}
			if digest != "" && digest != string(item.Digest) {
				return writ.Errorf(writ.CodeConflict, "approve", "what is pending is %s, not %s", item.Digest, digest).WithFix("look at it again with `writ approval list`")
			}
			if digest == "" {
				if err := a.confirm(item); err != nil {
					return err
				}
			}
			by, err := a.approver(keys)
			if err != nil {
				return err
			}
			in.ExecutionID, in.StepID, in.ApprovalDigest, in.For = item.ExecutionID, item.StepID, item.Digest, writ.PrincipalID(absent)
			if in.Signature, err = by.sign(cmd.Context(), writ.Word{Digest: item.Digest, For: in.For}); err != nil {
				return err
			}
			out, err := call(cmd.Context(), a, contract.ExecutionApprove, in)
			if err != nil {
				return err
			}
			return a.print(out, func(t *table) {
				t.pair("execution", args[0])
				t.pair("status", out.Status)
				t.pair("approvals", fmt.Sprintf("%d of %d", out.Granted, out.Required))
				t.pair("still needed", seats(out.Missing))
			})
		},
	}
	c.Flags().StringVar(&digest, "digest", "", "digest of the request that you have seen; without it the request is shown and asked about")
	c.Flags().StringVar(&in.Note, "note", "", "why")
	c.Flags().StringVar(&absent, "for", "", "decide for this absent person, who has delegated to you")
	keys.add(c)
	return c
}

// pending finds the one approval that is meant.
func (a *app) pending(ctx context.Context, args []string) (*contract.Approval, error) {
	out, err := call(ctx, a, contract.ApprovalList, &contract.ApprovalListInput{ExecutionID: writ.ExecutionID(args[0])})
	if err != nil {
		return nil, err
	}
	var found []contract.Approval
	for _, item := range out.Items {
		if len(args) == 1 || args[1] == string(item.StepID) {
			found = append(found, item)
		}
	}
	switch len(found) {
	case 0:
		return nil, writ.Errorf(writ.CodeConflict, "approve", "nothing of %s waits for a person", args[0]).WithFix("see `writ exec get %s`", args[0])
	case 1:
		return &found[0], nil
	}
	return nil, usage("%d steps of %s wait: name one", len(found), args[0]).WithFix("see `writ approval list --execution %s`", args[0])
}

// confirm shows a person the request and asks. Without a terminal it refuses:
// a script must name the digest that somebody has seen.
func (a *app) confirm(item *contract.Approval) error {
	t := &table{app: a}
	a.approvalTable(t, item)
	t.flush()
	return a.ask("Approve exactly this?", item.Digest)
}

// ask wants a person's yes. A script names the digest instead.
func (a *app) ask(question string, digest writ.Digest) error {
	if f, ok := a.in.(*os.File); !ok || !term.IsTerminal(int(f.Fd())) {
		return usage("nobody is at the terminal to confirm").WithFix("add --digest %s once a person has seen the request", digest)
	}
	_, _ = fmt.Fprint(a.err, "\n"+question+" Type yes: ")
	line, err := bufio.NewReader(a.in).ReadString('\n')
	if err != nil || strings.TrimSpace(line) != "yes" {
		return writ.Errorf(writ.CodeCancelled, "approve", "nothing was approved")
	}
	return nil
}

// passphrase reads it from a file, the environment or the terminal.
func (a *app) passphrase(file, prompt string) ([]byte, error) {
	switch {
	case file != "":
		raw, err := a.readInput(file, maxPassphrase)
		return []byte(strings.TrimRight(string(raw), "\r\n")), err
	case a.config.Passphrase != "":
		return []byte(a.config.Passphrase), nil
	}
	f, ok := a.in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return nil, usage("a passphrase is needed and nobody is at the terminal").WithFix("use --passphrase-file, or set WRIT_PASSPHRASE")
	}
	_, _ = fmt.Fprint(a.err, prompt+": ")
	line, err := term.ReadPassword(int(f.Fd()))
	_, _ = fmt.Fprintln(a.err)
	if err != nil && err != io.EOF {
		return nil, usage("the passphrase could not be read")
	}
	return line, nil
}

// maxPassphrase is far above any passphrase and far below a wrong file.
const maxPassphrase = 4 << 10

func (a *app) execReject() *cobra.Command {
	in := &contract.ExecutionRejectInput{}
	var digest, absent string
	c := &cobra.Command{
		Use: "reject EXECUTION [STEP]", Short: "Reject what waits; it ends the step", Args: cobra.RangeArgs(1, 2),
		Example: `  writ exec reject exe_... --reason "wrong repository"`,
		RunE: func(cmd *cobra.Command, args []string) error {
			item, err := a.pending(cmd.Context(), args)
			if err != nil {
				return err
			}
			in.ExecutionID, in.StepID, in.ApprovalDigest = item.ExecutionID, item.StepID, writ.Digest(digest)
			in.For = writ.PrincipalID(absent)
			out, err := call(cmd.Context(), a, contract.ExecutionReject, in)
			if err != nil {
				return err
			}
			return a.printResult(out, out.Result, "execution", args[0])
		},
	}
	c.Flags().StringVar(&in.Reason, "reason", "", "why (required)")
	c.Flags().StringVar(&digest, "digest", "", "refuse if something else is pending")
	c.Flags().StringVar(&absent, "for", "", "decide for this absent person, who has delegated to you")
	return c
}
