package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// maxBaseline is far above any snapshot of the contracts.
const maxBaseline = 16 << 20

func (a *app) contractCommand() *cobra.Command {
	return group("contract", "Read the contracts and hold them against their baseline",
		a.contractList(), a.contractShow(), a.contractDocs(), a.contractCheck(), a.contractImpact())
}

func (a *app) contractList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the operations", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			type item struct {
				Key, Version, Kind, Capability, Auth, CLI string
			}
			items := []item{}
			for _, c := range contract.All() {
				items = append(items, item{c.Key, c.Version, string(c.Kind), c.Capability, string(c.Auth), c.CLI})
			}
			return a.print(items, func(t *table) {
				t.head("operation", "version", "kind", "capability", "auth", "command")
				for _, i := range items {
					t.row(i.Key, i.Version, i.Kind, i.Capability, i.Auth, i.CLI)
				}
			})
		},
	}
}

func (a *app) contractShow() *cobra.Command {
	return &cobra.Command{
		Use: "show KEY", Short: "Show one operation with its schemas", Args: exactly("KEY"),
		Example: "  writ contract show controlPlane.intent.submit",
		RunE: func(_ *cobra.Command, args []string) error {
			c, ok := contract.Lookup(args[0])
			if !ok {
				return writ.Errorf(writ.CodeNotFound, "contract "+args[0], "there is no such operation").WithFix("see `writ contract list`")
			}
			document := map[string]any{
				"key": c.Key, "version": c.Version, "kind": c.Kind, "description": c.Description, "goal": c.Goal,
				"capability": c.Capability, "auth": c.Auth, "idempotent": c.Idempotent, "errors": c.Errors,
				"emits": c.Emits, "input": c.InputSchema(), "output": c.OutputSchema(), "command": c.CLI,
			}
			return a.print(document, func(t *table) {
				t.pair("operation", c.Key+" "+c.Version)
				t.pair("what", c.Description)
				t.pair("why", c.Goal)
				t.pair("capability", c.Capability)
				t.pair("auth", string(c.Auth))
				t.pair("command", c.CLI)
				for _, e := range c.Errors {
					t.pair("error "+string(e.Code), fmt.Sprintf("%d  %s", e.HTTP, e.When))
				}
				for _, e := range c.Emits {
					t.pair("emits", e)
				}
				for name, schema := range map[string]any{"input": c.InputSchema(), "output": c.OutputSchema()} {
					raw, _ := json.Marshal(schema)
					t.line("%s:\n%s", name, indent(raw))
				}
			})
		},
	}
}

func (a *app) contractDocs() *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use: "docs", Short: "Write the documents that are generated from the contracts", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			docs, err := contract.Docs()
			if err != nil {
				return err
			}
			root, err := openDocs(dir)
			if err != nil {
				return err
			}
			defer func() { _ = root.Close() }()
			for name, text := range docs {
				if err := root.WriteFile(name, text, 0o644); err != nil {
					return usage("%s: %s", name, plainCause(err))
				}
			}
			return a.print(map[string]any{"written": len(docs), "directory": dir}, func(t *table) {
				t.line("%d documents written to %s", len(docs), dir)
			})
		},
	}
	c.Flags().StringVar(&dir, "to", "docs/contracts", "directory")
	return c
}

func openDocs(dir string) (*os.Root, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, usage("%s: %s", dir, plainCause(err))
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, usage("%s: %s", dir, plainCause(err))
	}
	return root, nil
}

func (a *app) policyCommand() *cobra.Command {
	return group("policy", "Explain, test and activate policy", a.policyExplain(), a.policyTest(), a.policyActivate(), a.policyList())
}

func (a *app) policyExplain() *cobra.Command {
	in := &contract.PolicyExplainInput{}
	var step string
	c := &cobra.Command{
		Use: "explain EXECUTION", Short: "Say which rule decided, why, and what would change it", Args: exactly("EXECUTION"),
		Example: "  writ policy explain exe_...\n  writ policy explain exe_... --step stp_... -o json | jq .input",
		RunE: func(cmd *cobra.Command, args []string) error {
			in.ExecutionID, in.StepID = writ.ExecutionID(args[0]), writ.StepID(step)
			out, err := call(cmd.Context(), a, contract.PolicyExplain, in)
			if err != nil {
				return err
			}
			return a.print(out, func(t *table) {
				t.pair("verdict", string(out.Verdict))
				t.pair("risk", string(out.RiskTier))
				t.pair("policy", out.PolicyVersion+"  "+shortDigest(out.PolicyDigest))
				for _, clamp := range out.Clamps {
					t.pair("clamped", fmt.Sprintf("%s: %s -> %s", clamp.Rule, clamp.From, clamp.To))
				}
				t.flush()
				for _, r := range out.Reasons {
					t.line("  %s: %s", clean(r.Rule), clean(r.Message))
					if r.Fix != "" {
						t.line("    fix: %s", clean(r.Fix))
					}
				}
			})
		},
	}
	c.Flags().StringVar(&step, "step", "", "one step (default: the strictest)")
	return c
}

func (a *app) policyTest() *cobra.Command {
	return &cobra.Command{
		Use: "test [BUNDLE]", Short: "Run a bundle's tests, with and without rule indexing", Args: cobra.MaximumNArgs(1),
		Example: "  writ policy test                 the active bundle\n  writ policy test ./my-policy",
		RunE: func(cmd *cobra.Command, args []string) error {
			in := &contract.PolicyTestInput{}
			if len(args) == 1 {
				in.Source = absolute(args[0])
			}
			out, err := call(cmd.Context(), a, contract.PolicyTest, in)
			if err != nil {
				return err
			}
			err = a.print(out, func(t *table) {
				for _, r := range out.Results {
					word := "pass"
					if !r.Passed {
						word = "FAIL"
					}
					t.row(word, r.Name, r.Message)
				}
				t.flush()
				t.line("%d passed, %d failed, coverage %.1f%%, bundle %s", out.Passed, out.Failed, out.Coverage, shortDigest(out.Digest))
			})
			if err == nil && out.Failed > 0 {
				return exitError(exitFailed)
			}
			return err
		},
	}
}

func (a *app) policyActivate() *cobra.Command {
	in := &contract.PolicyActivateInput{}
	var digest string
	c := &cobra.Command{
		Use: "activate [BUNDLE]", Short: "Judge with this bundle from now on; its tests must pass", Args: cobra.MaximumNArgs(1),
		Example: "  writ policy activate ./my-policy.tar.gz\n  writ policy activate --digest sha256:...    one that this host has kept",
		RunE: func(cmd *cobra.Command, args []string) error {
			in.Digest = writ.Digest(digest)
			if len(args) == 1 {
				in.Source = absolute(args[0])
			}
			out, err := call(cmd.Context(), a, contract.PolicyActivate, in)
			if err != nil {
				return err
			}
			return a.printResult(out, out.Result, "policy", string(out.Digest))
		},
	}
	c.Flags().StringVar(&digest, "digest", "", "a bundle that this host has kept")
	c.Flags().StringVar(&in.Reason, "reason", "", "why")
	return c
}

func (a *app) policyList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the bundles that this host keeps", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			out, err := call(cmd.Context(), a, contract.PolicyList, &contract.PolicyListInput{})
			if err != nil {
				return err
			}
			return a.print(out, func(t *table) {
				t.head("digest", "version", "active", "since")
				for _, b := range out.Items {
					t.row(string(b.Digest), b.Version, fmt.Sprint(b.Active), a.ago(b.ActivatedAt))
				}
			})
		},
	}
}

func (a *app) contractCheck() *cobra.Command {
	return &cobra.Command{
		Use: "check", Short: "Fail where a contract changed without the right version", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			baseline, err := contract.Baseline()
			if err != nil {
				return err
			}
			drifts := contract.Check(baseline)
			err = a.print(map[string]any{"contracts": len(contract.All()), "drift": drifts}, func(t *table) {
				for _, d := range drifts {
					t.line("%s: version %s, want at least %s", d.Key, d.Have, d.Want)
					for _, change := range d.Changes {
						t.line("  %s %s: %s", change.Class, change.Place, change.Message)
					}
				}
				if len(drifts) == 0 {
					t.line("%d contracts, %d events: none changed without the right version", len(contract.All()), len(contract.Events()))
				}
			})
			if err == nil && len(drifts) > 0 {
				return exitError(exitFailed)
			}
			return err
		},
	}
}

func (a *app) contractImpact() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use: "impact", Short: "Say what changed since a baseline: breaking, additive or editorial", Args: cobra.NoArgs,
		Example: "  writ contract impact --baseline contract/baseline.json      exit 1 where a change is breaking",
		RunE: func(*cobra.Command, []string) error {
			raw, err := a.readInput(file, maxBaseline)
			if err != nil {
				return err
			}
			baseline, err := contract.ParseSnapshot(raw)
			if err != nil {
				return err
			}
			changes, breaking := contract.Impact(baseline, contract.Current()), false
			for _, change := range changes {
				breaking = breaking || change.Class == contract.Breaking
			}
			err = a.print(changes, func(t *table) {
				if len(changes) == 0 {
					t.line("nothing changed")
					return
				}
				t.head("class", "contract", "place", "change")
				for _, change := range changes {
					t.row(string(change.Class), change.Key, change.Place, change.Message)
				}
			})
			if err == nil && breaking {
				return exitError(exitFailed)
			}
			return err
		},
	}
	c.Flags().StringVar(&file, "baseline", "", "snapshot to compare with (required)")
	return c
}
