package main

import (
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

// maxMetadataFile leaves the host to say what is too large; it only keeps a
// wrong path from filling the memory.
const maxMetadataFile = 8 << 20

func (a *app) intentCommand() *cobra.Command {
	in := &contract.IntentSubmitInput{}
	var draft, metadata, origin string
	var start bool
	submit := &cobra.Command{
		Use: "submit", Short: "Submit an intent, with a draft of its plan", Args: cobra.NoArgs,
		Example: `  writ intent submit --text "greet Ada" --draft examples/hello/draft.yaml --start
  writ intent submit --channel github --metadata webhook.json --draft triage.yaml
  writ intent submit --draft plan.yaml --idempotency-key build-42      the same again answers with the same execution`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.intentFiles(in, draft, metadata); err != nil {
				return err
			}
			in.Origin, in.Run, in.Wait = writ.Origin(origin), start, start
			out, err := call(cmd.Context(), a, contract.IntentSubmit, in)
			if err != nil {
				return err
			}
			if !start {
				return a.print(out, func(t *table) {
					t.pair("execution", string(out.ExecutionID))
					t.pair("intent", string(out.IntentID))
					t.pair("status", out.Status)
					t.line("next: writ plan compile %s", out.ExecutionID)
				})
			}
			return a.showExecution(cmd.Context(), out.ExecutionID)
		},
	}
	f := submit.Flags()
	f.StringVar(&in.Text, "text", "", "what is wanted, in words")
	f.StringVar(&draft, "draft", "", "file with a draft of the plan (YAML or JSON); - for standard input")
	f.StringVar(&metadata, "metadata", "", "file with a JSON object that the plan may read; - for standard input")
	f.StringVar(&in.ChannelKey, "channel", "", "channel that the words came from; makes them untrusted")
	f.StringVar(&origin, "origin", "", "human, automation, model or channel; may only be less trusted than you")
	f.StringVar(&in.IdempotencyKey, "idempotency-key", "", "the same key again answers with the same execution")
	f.StringVar(&in.TraceID, "trace-id", "", "W3C trace id")
	f.BoolVar(&start, "start", false, "compile and start at once, and wait")
	return group("intent", "State what is wanted", submit)
}

func (a *app) intentFiles(in *contract.IntentSubmitInput, draft, metadata string) error {
	if draft != "" {
		raw, err := a.readInput(draft, maxMetadataFile)
		if err != nil {
			return err
		}
		in.Draft, in.DraftFormat, in.DraftName = string(raw), draftFormat(draft), filepath.Base(draft)
	}
	if metadata != "" {
		raw, err := a.readInput(metadata, maxMetadataFile)
		if err != nil {
			return err
		}
		in.Metadata = contract.Object(raw)
		if err := checkJSON(metadata, raw); err != nil {
			return err
		}
	}
	if in.Text == "" && draft == "" && metadata == "" {
		return usage("there is nothing to submit").WithFix("give --text, --draft or --metadata")
	}
	return nil
}

func draftFormat(name string) string {
	if strings.EqualFold(filepath.Ext(name), ".json") {
		return "json"
	}
	return "yaml"
}
