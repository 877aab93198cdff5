package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
	"github.com/writ-run/writ/host"
)

// Exit codes: the promise to scripts.
const (
	exitOK       = 0
	exitFailed   = 1
	exitUsage    = 2
	exitDenied   = 3
	exitWaiting  = 4
	exitTampered = 5
)

// stdio is where a command reads and writes.
type stdio struct {
	in       io.Reader
	out, err io.Writer
}

// app is one invocation of the command line.
type app struct {
	stdio
	config *config
	flags  struct {
		home, server, token, output     string
		clientCert, clientKey, clientCA string
		noColor                         bool
	}
	clock writ.Clock
}

// exitError ends the command with a code although nothing went wrong that the
// output has not said already.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit %d", int(e)) }

// run is the command line: it never exits and never panics past here.
func run(ctx context.Context, args []string, std stdio) int {
	if compiles(args) {
		return host.CompileMain(std.in, std.out)
	}
	a := &app{stdio: std, clock: time.Now}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(std.in)
	root.SetOut(std.out)
	root.SetErr(std.err)
	err := root.ExecuteContext(ctx)
	return a.exit(err)
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "writ",
		Short: "Run agents' actions under law",
		Long: `Writ turns an intent into a typed plan, has every step judged by policy, asks a
human where the policy says so, runs each step as a signed WebAssembly skill that
can reach only what this step was granted, and can replay the whole story.`,
		Example: `  writ init                                   make a home: an operator, an approver key, a token
  writ serve                                  run the host daemon
  writ intent submit --text "..." --draft plan.yaml --start
  writ approval list                          see what waits for people
  writ replay exe_...                         derive an execution again and compare`,
		Version:       writ.Version,
		Args:          oneOfItsCommands,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			return a.configure(cmd)
		},
	}
	flags := root.PersistentFlags()
	flags.StringVar(&a.flags.home, "home", "", "home directory (default $WRIT_HOME, else ~/.writ)")
	flags.StringVar(&a.flags.server, "server", "", "URL of a daemon; default: the home's socket, else the home itself")
	flags.StringVar(&a.flags.token, "token", "", "bearer token (default $WRIT_TOKEN, else a login, else the home's credentials)")
	flags.StringVar(&a.flags.clientCert, "client-cert", "", "certificate chain (PEM) to come with instead of a token")
	flags.StringVar(&a.flags.clientKey, "client-key", "", "key (PEM) of --client-cert")
	flags.StringVar(&a.flags.clientCA, "ca", "", "authorities (PEM) of the daemon's certificate")
	flags.StringVarP(&a.flags.output, "output", "o", "table", "table, json or yaml")
	flags.BoolVar(&a.flags.noColor, "no-color", false, "plain tables")
	root.SetFlagErrorFunc(misspelt)
	root.AddCommand(
		a.initCommand(), a.loginCommand(), a.logoutCommand(), a.serveCommand(), a.doctorCommand(), a.statusCommand(), a.configCommand(),
		a.skillCommand(), a.intentCommand(), a.planCommand(), a.execCommand(), a.approvalCommand(),
		a.traceCommand(), a.replayCommand(), a.policyCommand(), a.grantCommand(), a.tokenCommand(), a.tenantCommand(),
		a.trustCommand(), a.driftCommand(), a.freezeCommand(), a.unfreezeCommand(), a.budgetCommand(), a.channelCommand(), a.secretCommand(), a.hookCommand(), a.contractCommand(),
	)
	return root
}

// suggestDistance is how many letters a name may be off and still be meant.
const suggestDistance = 3

// group is a command that only holds others.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{
		Use: use, Short: short, Args: oneOfItsCommands,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c.AddCommand(commands...)
	return c
}

// oneOfItsCommands refuses what is not the name of a command.
func oneOfItsCommands(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	message := usage("%s has no command %q", cmd.CommandPath(), args[0])
	for distance := 1; distance <= suggestDistance; distance++ {
		cmd.SuggestionsMinimumDistance = distance
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			return message.WithFix("did you mean `%s %s`?", cmd.CommandPath(), near[0])
		}
	}
	return message.WithFix("see `%s --help`", cmd.CommandPath())
}

// misspelt says which flag was meant, where one is near.
func misspelt(cmd *cobra.Command, err error) error {
	message := usage("%s", err).WithFix("see `%s --help`", cmd.CommandPath())
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return message
	}
	name := unknown.GetSpecifiedName()
	if name == "json" || name == "yaml" {
		return message.WithFix("did you mean `--output %s`?", name)
	}
	var known []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { known = append(known, f.Name) })
	if near := contract.Nearest(name, known); near != "" {
		return message.WithFix("did you mean `--%s`?", near)
	}
	return message
}

// exactly is cobra.ExactArgs with a message that names what is missing.
func exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == len(names) {
			return nil
		}
		return usage("want %d argument(s): %s", len(names), strings.Join(names, " ")).WithFix("see `%s --help`", cmd.CommandPath())
	}
}

func usage(format string, args ...any) *writ.Error {
	return &writ.Error{Code: writ.CodeInvalid, Message: fmt.Sprintf(format, args...)}
}

// exit reports an error and gives its code.
func (a *app) exit(err error) int {
	if err == nil {
		return exitOK
	}
	var code exitError
	if errors.As(err, &code) {
		return int(code)
	}
	var e *writ.Error
	if !errors.As(err, &e) {
		// cobra's own: an unknown command or flag.
		e = usage("%s", strings.SplitN(err.Error(), "\n", 2)[0]).WithFix("see `writ --help`")
	}
	a.report(e)
	return exitCode(e.Code)
}

func exitCode(code writ.Code) int {
	switch code {
	case writ.CodeInvalid, writ.CodePlanRejected:
		return exitUsage
	case writ.CodeForbidden, writ.CodeUnauthenticated, writ.CodeBlocked, writ.CodeFrozen, writ.CodeSkillRefused, writ.CodeExpired:
		return exitDenied
	case writ.CodeApprovalNeeded:
		return exitWaiting
	case writ.CodeTampered, writ.CodeDiverged:
		return exitTampered
	}
	return exitFailed
}

// statusExit is the code that an execution's status amounts to.
func statusExit(status writ.ExecutionStatus) error {
	switch status {
	case writ.ExecAwaitingApproval, writ.ExecPaused, writ.ExecIndeterminate:
		return exitError(exitWaiting)
	case writ.ExecBlocked, writ.ExecRejected, writ.ExecExpired:
		return exitError(exitDenied)
	case writ.ExecFailed, writ.ExecCancelled:
		return exitError(exitFailed)
	}
	return nil
}

// call invokes an operation at the daemon or in the home.
func call[In, Out any](ctx context.Context, a *app, op *contract.Operation[In, Out], in *In) (*Out, error) {
	caller, done, err := a.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	return contract.Invoke(ctx, caller, op, in)
}

// readInput reads a file, or standard input for "-".
func (a *app) readInput(name string, limit int64) ([]byte, error) {
	reader := a.in
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, usage("%s: %s", name, plainCause(err)).WithFix("check the path, or use - for standard input")
		}
		defer func() { _ = f.Close() }()
		reader = f
	}
	data, err := io.ReadAll(io.LimitReader(reader, limit+1))
	if err != nil {
		return nil, usage("%s: %s", name, plainCause(err))
	}
	if int64(len(data)) > limit {
		return nil, writ.Errorf(writ.CodeTooLarge, name, "is larger than %d bytes", limit)
	}
	return data, nil
}

// plainCause drops the system call and path that the os package repeats.
func plainCause(err error) string {
	var e *os.PathError
	if errors.As(err, &e) {
		return e.Err.Error()
	}
	return err.Error()
}
