package main

import (
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/contract"
)

func (a *app) secretCommand() *cobra.Command {
	return group("secret", "Keep secrets that the host injects and no guest sees", a.secretSet(), a.secretRotate(), a.secretRemove(), a.secretList())
}

// readSecret reads a value: never from the arguments, which every user of the machine
// sees and the shell's history keeps.
func (a *app) readSecret(file string) (string, error) {
	raw, err := a.readInput(file, maxKeyFile)
	return strings.TrimRight(string(raw), "\r\n"), err
}

const secretFileFlag = "file with the value; - for standard input"

func (a *app) secretSet() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use: "set NAME", Short: "Set a secret; its value is read from standard input or a file", Args: exactly("NAME"),
		Example: "  writ secret set github-token < token.txt\n  writ secret set github-token --file token.txt",
		RunE: func(cmd *cobra.Command, args []string) error {
			value, err := a.readSecret(file)
			if err != nil {
				return err
			}
			out, err := call(cmd.Context(), a, contract.SecretSet, &contract.SecretSetInput{Name: args[0], Value: value})
			if err != nil {
				return err
			}
			return a.printResult(out, out.Result, "secret", args[0])
		},
	}
	c.Flags().StringVar(&file, "file", "-", secretFileFlag)
	return c
}

func (a *app) secretRotate() *cobra.Command {
	var file string
	var keep time.Duration
	in := &contract.SecretRotateInput{}
	c := &cobra.Command{
		Use: "rotate NAME", Short: "Give a secret a new value, read from standard input or a file", Args: exactly("NAME"),
		Long: `The new value counts for the next call. The old one is not sent any more; for a
while it is still looked for in what comes in and goes out, since answers that
hold it may come late.`,
		Example: "  writ secret rotate github-token < new.txt\n  writ secret rotate github-token --file new.txt --keep-old 1h --reason 'it was shown on a screen'",
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("keep-old") && keep <= 0 {
				return usage("--keep-old %s: want more than 0", keep).WithFix("give a time such as 1h; `writ secret remove`, then `writ secret set`, leaves nothing of the old value")
			}
			value, err := a.readSecret(file)
			if err != nil {
				return err
			}
			in.Name, in.Value, in.KeepOld = args[0], value, abi.Duration(keep)
			out, err := call(cmd.Context(), a, contract.SecretRotate, in)
			if err != nil {
				return err
			}
			return a.print(out, func(t *table) {
				t.pair("secret", args[0])
				t.pair("status", out.Status)
				t.pair("version", strconv.Itoa(out.Version))
				t.pair("old value looked for", "until "+out.OldUntil.String())
			})
		},
	}
	c.Flags().StringVar(&file, "file", "-", secretFileFlag)
	c.Flags().DurationVar(&keep, "keep-old", 0, "how long the old value is looked for, 720h at most (default: setting secrets.keepOld)")
	c.Flags().StringVar(&in.Reason, "reason", "", "why")
	return c
}

func (a *app) secretRemove() *cobra.Command {
	in := &contract.SecretRemoveInput{}
	c := &cobra.Command{
		Use: "remove NAME", Short: "Remove a secret", Args: exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			in.Name = args[0]
			out, err := call(cmd.Context(), a, contract.SecretRemove, in)
			if err != nil {
				return err
			}
			return a.printResult(out, out.Result, "secret", args[0])
		},
	}
	c.Flags().StringVar(&in.Reason, "reason", "", "why")
	return c
}

func (a *app) secretList() *cobra.Command {
	in := &contract.SecretListInput{}
	c := &cobra.Command{
		Use: "list", Short: "List the names of secrets, never their values", Args: cobra.NoArgs,
		Example: "  writ secret list --check        ask each provider whether it has a value; exit 1 where one has none",
		RunE: func(cmd *cobra.Command, _ []string) error {
			out, err := call(cmd.Context(), a, contract.SecretList, in)
			if err != nil {
				return err
			}
			failed := false
			err = a.print(out, func(t *table) {
				t.head("secret", "provider", "version", "updated", "last used", "old value looked for")
				for i := range out.Items {
					s := &out.Items[i]
					t.row(s.Name, providerWord(s), versionWord(s.Version), a.ago(s.UpdatedAt), a.ago(s.LastUsedAt), a.ago(s.OldUntil))
				}
				t.flush()
				for i := range out.Items {
					if s := &out.Items[i]; s.Failure != nil {
						t.line("%s: %s: %s", s.Name, s.Failure.Code, clean(s.Failure.Message))
						t.line("  fix: %s", clean(s.Failure.Fix))
					}
				}
			})
			for i := range out.Items {
				failed = failed || out.Items[i].Failure != nil
			}
			if err == nil && failed {
				return exitError(exitFailed)
			}
			return err
		},
	}
	c.Flags().BoolVar(&in.Check, "check", false, "ask each provider whether it has a value")
	return c
}

func providerWord(s *contract.SecretName) string {
	if s.Shadowed {
		return s.Provider + " (not used)"
	}
	return s.Provider
}

func versionWord(version int) string {
	if version == 0 {
		return ""
	}
	return strconv.Itoa(version)
}
