package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// maxEvidence bounds an evidence file that is imported.
const maxEvidence = 256 << 20

func (a *app) traceCommand() *cobra.Command {
	return group("trace", "Read, verify, export and import traces",
		a.traceGet(), a.traceList(), a.traceVerify(), a.traceExport(), a.traceImport())
}

func (a *app) traceGet() *cobra.Command {
	in := &contract.TraceGetInput{}
	c := &cobra.Command{
		Use: "get EXECUTION", Short: "Show everything that happened, in order", Args: exactly("EXECUTION"),
		Example: "  writ trace get exe_...\n  writ trace get exe_... --payloads -o json",
		RunE: func(cmd *cobra.Command, args []string) error {
			in.ExecutionID = writ.ExecutionID(args[0])
			out, err := call(cmd.Context(), a, contract.TraceGet, in)
			if err != nil {
				return err
			}
			return a.print(out, func(t *table) {
				t.head("seq", "time", "type", "step", "status", "actor", "digest")
				for _, e := range out.Entries {
					t.row(fmt.Sprint(e.Seq), e.Timestamp.Std().Format("15:04:05.000"), string(e.Type), shortID(string(e.StepID)), entryStatus(&e), actor(&e.Audit), shortDigest(e.Digest))
				}
			})
		},
	}
	c.Flags().BoolVar(&in.IncludePayloads, "payloads", false, "with the payloads (JSON and YAML output)")
	return c
}

// actor is who did something, and whom for: the nearest of the chain.
func actor(by *writ.Audit) string {
	if len(by.OnBehalfOf) == 0 {
		return string(by.ActorID)
	}
	return fmt.Sprintf("%s for %s", by.ActorID, by.OnBehalfOf[0])
}

// entryStatus says of an edit what goes on in whose place.
func entryStatus(e *contract.TraceEntry) string {
	var facts struct {
		Edit *writ.EditFacts `json:"edit"`
	}
	switch {
	case json.Unmarshal(e.Metadata, &facts) != nil || facts.Edit == nil:
		return e.Status
	case e.Type == writ.RecRunEdited:
		return "edited into " + string(facts.Edit.Execution)
	}
	return e.Status + ", edited from " + string(facts.Edit.Execution)
}

func shortID(id string) string {
	if len(id) > 12 {
		return id[:12]
	}
	return id
}

func shortDigest(d writ.Digest) string { return shortID(d.Hex()) }

func (a *app) traceList() *cobra.Command {
	in := &contract.TraceListInput{}
	c := &cobra.Command{
		Use: "list", Short: "List traces, newest first", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			out, err := call(cmd.Context(), a, contract.TraceList, in)
			if err != nil {
				return err
			}
			return a.print(out, func(t *table) {
				t.head("execution", "status", "records", "head", "updated")
				for _, item := range out.Items {
					t.row(string(item.ExecutionID), string(item.Status), fmt.Sprint(item.Records), shortDigest(item.Head), a.ago(item.UpdatedAt))
				}
				a.more(t, out.NextCursor)
			})
		},
	}
	pageFlags(c, &in.Page)
	return c
}

func (a *app) traceVerify() *cobra.Command {
	return &cobra.Command{
		Use: "verify [EXECUTION]", Short: "Check the chain, the payloads and the host's signature", Args: cobra.MaximumNArgs(1),
		Example: "  writ trace verify exe_...     exit 5 where anything was altered\n  writ trace verify             every journal of the tenant",
		RunE: func(cmd *cobra.Command, args []string) error {
			in := &contract.TraceVerifyInput{}
			if len(args) == 1 {
				in.ExecutionID = writ.ExecutionID(args[0])
			}
			out, err := call(cmd.Context(), a, contract.TraceVerify, in)
			if err != nil {
				return err
			}
			err = a.print(out, func(t *table) {
				t.pair("valid", fmt.Sprint(out.Valid))
				t.pair("records", fmt.Sprint(out.Records))
				t.pair("head", string(out.Head))
				t.pair("assurance", string(out.Assurance))
				for _, p := range out.Problems {
					t.line("  %s record %d: %s: %s", p.ExecutionID, p.Seq, p.Code, clean(p.Message))
				}
			})
			if err == nil && !out.Valid {
				return exitError(exitTampered)
			}
			return err
		},
	}
}

func (a *app) traceExport() *cobra.Command {
	in := &contract.EvidenceExportInput{}
	var file string
	c := &cobra.Command{
		Use: "export EXECUTION", Short: "Write one evidence file that verifies and replays elsewhere", Args: exactly("EXECUTION"),
		Example: "  writ trace export exe_... --to incident.evidence.json",
		RunE: func(cmd *cobra.Command, args []string) error {
			in.ExecutionID = writ.ExecutionID(args[0])
			if file == "" {
				file = args[0] + ".evidence.json"
			}
			out, err := call(cmd.Context(), a, contract.EvidenceExport, in)
			if err != nil {
				return err
			}
			if err := os.WriteFile(file, out.Bundle, 0o600); err != nil {
				return usage("%s: %s", file, plainCause(err))
			}
			out.Bundle = nil
			return a.print(out, func(t *table) {
				t.pair("file", file)
				t.pair("digest", string(out.Digest))
				t.pair("records", fmt.Sprint(out.Records))
				t.pair("assurance", string(out.Assurance))
			})
		},
	}
	c.Flags().StringVar(&file, "to", "", "file to write (default EXECUTION.evidence.json)")
	c.Flags().BoolVar(&in.ExcludePayloads, "no-payloads", false, "leave the payloads out: it verifies, but does not replay")
	return c
}

func (a *app) traceImport() *cobra.Command {
	in := &contract.EvidenceImportInput{}
	var key string
	c := &cobra.Command{
		Use: "import FILE", Short: "Verify an evidence file and keep it for replay", Args: exactly("FILE"),
		Example: "  writ trace import incident.evidence.json --key other-host.pub",
		RunE: func(cmd *cobra.Command, args []string) error {
			raw, err := a.readInput(args[0], maxEvidence)
			if err != nil {
				return err
			}
			in.Bundle = raw
			if key != "" {
				pem, err := a.readInput(key, maxKeyFile)
				if err != nil {
					return err
				}
				in.PublicKeyPEM = string(pem)
			}
			out, err := call(cmd.Context(), a, contract.EvidenceImport, in)
			if err != nil {
				return err
			}
			return a.print(out, func(t *table) {
				t.pair("execution", string(out.ExecutionID))
				t.pair("records", fmt.Sprint(out.Records))
				t.pair("assurance", string(out.Assurance))
				t.line("next: writ replay %s", out.ExecutionID)
			})
		},
	}
	c.Flags().StringVar(&key, "key", "", "public key of the host that made it")
	return c
}

func (a *app) replayCommand() *cobra.Command {
	in := &contract.ReplayRunInput{}
	var policy, skill string
	c := &cobra.Command{
		Use: "replay EXECUTION", Short: "Derive an execution again from its records and compare", Args: exactly("EXECUTION"),
		Example: `  writ replay exe_...                      exit 5 where anything differs
  writ replay exe_... --policy sha256:...  what if: judge with another kept bundle
  writ replay exe_... --skill NEW.skill    what if: another version of a skill had run`,
		RunE: func(cmd *cobra.Command, args []string) error {
			in.ExecutionID, in.PolicyDigest = writ.ExecutionID(args[0]), writ.Digest(policy)
			if skill != "" {
				install, err := a.bundleInput(skill)
				if err != nil {
					return err
				}
				in.SkillSource, in.SkillBundle = install.Source, install.Bundle
			}
			return a.replay(cmd.Context(), in)
		},
	}
	c.Flags().StringVar(&policy, "policy", "", "digest of the bundle to judge with instead")
	c.Flags().StringVar(&skill, "skill", "", "a .skill file whose version runs instead of others of that skill")
	return c
}

func (a *app) replay(ctx context.Context, in *contract.ReplayRunInput) error {
	out, err := call(ctx, a, contract.ReplayRun, in)
	if err != nil {
		return err
	}
	err = a.print(out, func(t *table) {
		t.head("stage", "step", "result", "first difference", "recorded", "replayed")
		for _, s := range out.Report {
			result, field, recorded, replayed := "identical", "", "", ""
			if d := s.FirstDifference; d != nil {
				result, field, recorded, replayed = "diverged", d.Field, short(d.Recorded), short(d.Replayed)
			}
			if s.Unreplayable != "" {
				result, field = "unreplayable", s.Unreplayable
			}
			t.row(s.Stage, shortID(string(s.StepID)), result, field, recorded, replayed)
		}
		t.flush()
		for _, engine := range out.RecordedOn {
			t.line("recorded on %s, replayed on %s", engine, out.Engine)
		}
		t.line("%s", a.status(out.Status))
	})
	if err == nil && !out.Identical {
		return exitError(exitTampered)
	}
	return err
}

// short keeps a table's column readable; -o json has the whole value.
func short(raw json.RawMessage) string {
	const most = 60
	if len(raw) > most {
		return string(raw[:most]) + "..."
	}
	return string(raw)
}
