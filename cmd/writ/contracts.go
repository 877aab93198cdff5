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
