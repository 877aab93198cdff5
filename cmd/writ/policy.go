package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

func (a *app) policyCommand() *cobra.Command {
	return group("policy", "Explain, test and change policy", a.policyExplain(), a.policyTest(), a.policyBuild(), a.policyImpact(),
		a.policyActivate(), a.policyRollback(), a.policyList())
}

func (a *app) policyExplain() *cobra.Command {
	in := &contract.PolicyExplainInput{}
	var step string
	var input bool
	c := &cobra.Command{
		Use: "explain EXECUTION", Short: "Say which rule of which layer decided, why, and what would change it", Args: exactly("EXECUTION"),
		Example: "  writ policy explain exe_...\n  writ policy explain exe_... --step stp_... --input",
		RunE: func(cmd *cobra.Command, args []string) error {
			in.ExecutionID, in.StepID = writ.ExecutionID(args[0]), writ.StepID(step)
			out, err := call(cmd.Context(), a, contract.PolicyExplain, in)
			if err != nil {
				return err
			}
			return a.print(out, func(t *table) { explainTable(t, out, input) })
		},
	}
	c.Flags().StringVar(&step, "step", "", "one step (default: the strictest)")
	c.Flags().BoolVar(&input, "input", false, "show the question that was judged, too")
	return c
}

func explainTable(t *table, out *contract.PolicyExplainOutput, input bool) {
	t.pair("verdict", string(out.Verdict))
	t.pair("risk", string(out.RiskTier))
	t.pair("step", string(out.StepID))
	t.pair("judged at", out.Stage)
	if by := out.DecidedBy; by != nil {
		t.pair("decided by", decidedBy(by.Layer, by.Rule))
		t.pair("because", by.Message)
		t.pair("to change it", by.Fix)
	}
	if asks := out.Approvals; asks != nil {
		t.pair("approvals", approvalsText(asks))
	}
	if out.Calls > 0 {
		t.pair("calls", fmt.Sprintf("at most %d", out.Calls))
	}
	t.pair("policy", out.PolicyVersion+"  "+shortDigest(out.PolicyDigest))
	for _, l := range out.Layers {
		t.pair("layer "+string(l.Layer), l.Version+"  "+shortDigest(l.Digest))
	}
	for _, clamp := range out.Clamps {
		whose := ""
		if clamp.Layer != "" {
			whose = " (what the " + string(clamp.Layer) + " answered)"
		}
		t.pair("clamped", fmt.Sprintf("%s: %s -> %s%s", clamp.Rule, clamp.From, clamp.To, whose))
	}
	t.flush()
	for _, r := range out.Reasons {
		t.line("  %s: %s", clean(decidedBy(r.Layer, r.Rule)), clean(r.Message))
		if r.Fix != "" {
			t.line("    fix: %s", clean(r.Fix))
		}
	}
	if input {
		t.line("%s", clean(indent(out.Input)))
	}
}

// decidedBy is a rule with its layer, where there is one.
func decidedBy(layer writ.Layer, rule string) string {
	switch {
	case rule == "":
		rule = "no rule"
	case strings.HasPrefix(rule, "writ."):
		return rule
	}
	if layer == "" {
		return rule
	}
	return string(layer) + ": " + rule
}

func approvalsText(asks *contract.Approvals) string {
	text := fmt.Sprintf("%d of %s", asks.Count, strings.Join(asks.Roles, ", "))
	if len(asks.Roles) == 0 {
		text = fmt.Sprint(asks.Count)
	}
	if asks.ExpiresIn > 0 {
		text += fmt.Sprintf(" within %s", asks.ExpiresIn.Std())
	}
	if asks.EscalateAfter > 0 {
		text += fmt.Sprintf("; after %s %s may too", asks.EscalateAfter.Std(), strings.Join(asks.EscalateTo, ", "))
	}
	return text
}

func (a *app) policyTest() *cobra.Command {
	var threshold float64
	c := &cobra.Command{
		Use: "test [BUNDLE]", Short: "Run a bundle's tests, and ask it about the floor", Args: cobra.MaximumNArgs(1),
		Long: `Runs the tests of the bundle twice, with and without the rule index, and shows what
lines of its rules they do not reach. As writ.floor it asks the rules what an
activation asks: none of their answers may be looser than the floor, which is code.`,
		Example: "  writ policy test                 the active bundle\n  writ policy test ./my-policy --threshold 95",
		RunE: func(cmd *cobra.Command, args []string) error {
			in := &contract.PolicyTestInput{}
			if len(args) == 1 {
				in.Source = absolute(args[0])
			}
			if threshold < 0 || threshold > 100 {
				return usage("--threshold %g: want per cent, from 0 to 100", threshold)
			}
			out, err := call(cmd.Context(), a, contract.PolicyTest, in)
			if err != nil {
				return err
			}
			low := out.Coverage < threshold
			err = a.print(out, func(t *table) {
				testTable(t, out)
				if low {
					t.line("coverage %.1f%% is below the threshold of %g%%", out.Coverage, threshold)
				}
			})
			if err == nil && (out.Status == "failed" || low) {
				return exitError(exitFailed)
			}
			return err
		},
	}
	c.Flags().Float64Var(&threshold, "threshold", 0, "exit 1 where the tests cover less, in per cent of the lines")
	return c
}

func testTable(t *table, out *contract.PolicyTestOutput) {
	for _, r := range out.Results {
		word := "pass"
		if !r.Passed {
			word = "FAIL"
		}
		t.row(word, r.Name, r.Message)
	}
	t.flush()
	t.head("file", "coverage", "lines", "not reached")
	for _, f := range out.Files {
		t.row(f.File, fmt.Sprintf("%.1f%%", f.Coverage), fmt.Sprint(f.Lines), strings.Join(f.Uncovered, ", "))
	}
	t.flush()
	t.line("%d passed, %d failed, coverage %.1f%%, bundle %s", out.Passed, out.Failed, out.Coverage, shortDigest(out.Digest))
}

func (a *app) policyActivate() *cobra.Command {
	in := &contract.PolicyActivateInput{}
	var digest, layer string
	c := &cobra.Command{
		Use: "activate [BUNDLE]", Short: "Judge with this bundle from now on", Args: cobra.MaximumNArgs(1),
		Long: `Makes a bundle active in a layer. It must be signed by a key of policy.keys, its tests
must pass, and none of its answers may be looser than the floor. Of what the floor,
the organisation and the tenant say the strictest counts.`,
		Example: "  writ policy activate ./my-policy.tar.gz --reason \"nothing by itself at night\"\n  writ policy activate ./team.tar.gz --layer tenant\n  writ policy activate --digest sha256:...    one that this host has kept",
		RunE: func(cmd *cobra.Command, args []string) error {
			in.Digest, in.Layer = writ.Digest(digest), writ.Layer(layer)
			if len(args) == 1 {
				in.Source = absolute(args[0])
			}
			out, err := call(cmd.Context(), a, contract.PolicyActivate, in)
			if err != nil {
				return err
			}
			return a.print(out, func(t *table) {
				t.pair("layer", string(out.Layer))
				t.pair("policy", string(out.Digest))
				t.pair("version", out.Version)
				t.pair("status", out.Status)
				t.pair("before", string(out.Previous))
				t.pair("in force", string(out.InForce))
			})
		},
	}
	c.Flags().StringVar(&digest, "digest", "", "a bundle that this host has kept")
	c.Flags().StringVar(&layer, "layer", string(writ.LayerOrganisation), "organisation or tenant")
	c.Flags().StringVar(&in.Reason, "reason", "", "why")
	return c
}

func (a *app) policyRollback() *cobra.Command {
	in := &contract.PolicyRollbackInput{}
	var layer string
	c := &cobra.Command{
		Use: "rollback", Short: "Go back to the policy that was active before", Args: cobra.NoArgs,
		Long: `Makes active in the layer what was active there before; for the tenant that may be
nothing. Once more goes one further back.`,
		Example: "  writ policy rollback --reason \"blocks the night run\"\n  writ policy rollback --layer tenant --reason \"the trial is over\"",
		RunE: func(cmd *cobra.Command, _ []string) error {
			in.Layer = writ.Layer(layer)
			out, err := call(cmd.Context(), a, contract.PolicyRollback, in)
			if err != nil {
				return err
			}
			return a.print(out, func(t *table) {
				now := string(out.Digest)
				if now == "" {
					now = "nothing, as before"
				}
				t.pair("layer", string(out.Layer))
				t.pair("policy", now)
				t.pair("version", out.Version)
				t.pair("status", out.Status)
				t.pair("gone back from", string(out.Previous))
				t.pair("in force", string(out.InForce))
			})
		},
	}
	c.Flags().StringVar(&layer, "layer", string(writ.LayerOrganisation), "organisation or tenant")
	c.Flags().StringVar(&in.Reason, "reason", "", "why (required)")
	return c
}

func (a *app) policyList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the bundles that this host keeps, by layer", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			out, err := call(cmd.Context(), a, contract.PolicyList, &contract.PolicyListInput{})
			if err != nil {
				return err
			}
			return a.print(out, func(t *table) {
				t.head("layer", "digest", "version", "active", "signer", "since", "by")
				for _, b := range out.Items {
					active := ""
					if b.Active {
						active = "active"
					}
					t.row(string(b.Layer), string(b.Digest), b.Version, active, b.Signer, a.ago(b.ActivatedAt), string(b.ActivatedBy))
				}
				t.line("in force: %s (%s), above it the floor of this binary", out.InForce, clean(out.Version))
			})
		},
	}
}
