package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/contract"
)

// maxKeyFile is far above any PEM key.
const maxKeyFile = 64 << 10

func (a *app) tokenCommand() *cobra.Command {
	return group("token", "Make, rotate and revoke bearer tokens", a.tokenCreate(), a.tokenRotate(), a.tokenRevoke(), a.tokenList())
}

func (a *app) tokenCreate() *cobra.Command {
	in := &contract.TokenCreateInput{}
	var kind, principal, approverKey string
	var expires time.Duration
	create := &cobra.Command{
		Use: "create", Short: "Make a bearer token; it is shown once", Args: cobra.NoArgs,
		Example: `  writ token create --kind agent --name triage-bot --expires 720h
  writ token create --principal human:bob --role approver --capability control-plane.core \
    --capability control-plane.approval --approver-key bob.pub        a second person who approves`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			in.PrincipalID, in.ExpiresIn = writ.PrincipalID(principal), abi.Duration(expires)
			if in.PrincipalID != "" && !cmd.Flags().Changed("kind") {
				// The id says it: human:ada is a human.
				kind, _, _ = strings.Cut(principal, ":")
			}
			in.Kind = writ.PrincipalKind(kind)
			if in.PrincipalID != "" && !cmd.Flags().Changed("capability") {
				in.Capabilities = nil // those that the principal has, or a new one gets
			}
			if in.PrincipalID == "" {
				if in.Name == "" {
					return usage("whose token?").WithFix("give --name for a new %s, or --principal", kind)
				}
				in.PrincipalID = writ.PrincipalID(kind + ":" + in.Name)
			}
			if approverKey != "" {
				pem, err := a.readInput(approverKey, maxKeyFile)
				if err != nil {
					return err
				}
				in.ApproverPublicKeyPEM = string(pem)
			}
			out, err := call(cmd.Context(), a, contract.TokenCreate, in)
			if err != nil {
				return err
			}
			return a.print(out, func(t *table) {
				t.pair("principal", string(out.PrincipalID))
				t.pair("token id", out.TokenID)
				t.pair("expires", out.ExpiresAt.String())
				t.pair("token", out.Token)
				t.line("Keep the token now: it is not shown again.")
			})
		},
	}
	f := create.Flags()
	f.StringVar(&kind, "kind", "agent", "human, service or agent; with --principal: what its id says")
	f.StringVar(&in.Name, "name", "", "name of a new principal")
	f.StringVar(&principal, "principal", "", "principal, such as human:ada; a new one is added")
	f.StringSliceVar(&in.Roles, "role", nil, "role of a new principal, repeatable")
	f.StringSliceVar(&in.Capabilities, "capability", []string{"control-plane.core", "control-plane.audit"}, "capability of the control plane, repeatable; with --principal of one who is there: the principal's own")
	f.DurationVar(&expires, "expires", 0, "validity, such as 720h (default: the host's)")
	f.StringVar(&approverKey, "approver-key", "", "public key with which this person approves, a PEM `file`; writ approval key makes one")
	return create
}

func (a *app) tokenRotate() *cobra.Command {
	in := &contract.TokenRotateInput{}
	var overlap, expires time.Duration
	c := &cobra.Command{
		Use: "rotate [TOKEN-ID]", Short: "Replace a token's secret; the new one is shown once", Args: cobra.MaximumNArgs(1),
		Long: `Without an id it rotates the token that the command runs with. The old secret is valid
for the overlap, and then gone. The token that lies in the home is replaced there too.`,
		Example: `  writ token rotate
  writ token rotate kzq2x5w7m3a4b6c7 --overlap 1h --reason 'yearly'
  writ token rotate kzq2x5w7m3a4b6c7 --overlap 0s --reason 'it may have leaked'`,
		RunE: func(cmd *cobra.Command, args []string) error {
			in.ExpiresIn = abi.Duration(expires)
			if len(args) == 1 {
				in.TokenID = args[0]
			}
			if cmd.Flags().Changed("overlap") {
				in.Overlap = (*abi.Duration)(&overlap)
			}
			out, err := call(cmd.Context(), a, contract.TokenRotate, in)
			if err != nil {
				return err
			}
			kept, keepErr := a.replaceCredentials(out)
			err = a.print(out, func(t *table) {
				t.pair("principal", string(out.PrincipalID))
				t.pair("token id", out.TokenID)
				t.pair("expires", out.ExpiresAt.String())
				t.pair("old token", out.Replaces+"  (valid until "+out.OldEndsAt.String()+")")
				t.pair("token", out.Token)
				if kept != "" {
					t.line("It is in %s.", kept)
					return
				}
				t.line("Keep the token now: it is not shown again.")
			})
			return cmp.Or(err, keepErr)
		},
	}
	f := c.Flags()
	f.DurationVar(&overlap, "overlap", 10*time.Minute, "how long the old secret is still valid, 0s to 24h")
	f.DurationVar(&expires, "expires", 0, "validity of the new secret, for an admin (default: until the old one would have ended)")
	f.StringVar(&in.Reason, "reason", "", "why")
	return c
}

// replaceCredentials puts a rotated token into the home where the old one lies
// there: the next command would be refused. It returns the file.
func (a *app) replaceCredentials(out *contract.TokenRotateOutput) (string, error) {
	path := filepath.Join(a.config.Home, credentialsFile)
	raw, err := os.ReadFile(path)
	if err != nil || !strings.HasPrefix(strings.TrimSpace(string(raw)), "writ_"+out.Replaces+"_") {
		return "", nil // it is somebody else's, or this is another machine
	}
	next := path + ".new"
	if err := os.Remove(next); err != nil && !os.IsNotExist(err) { // of a rotation that was cut off
		return "", writ.Errorf(writ.CodeUnavailable, next, "is in the way: %s", plainCause(err)).WithFix("remove it, and write the new token to %s yourself", path)
	}
	err = writeNew(next, []byte(out.Token+"\n"), 0o600)
	if err == nil {
		err = os.Rename(next, path)
	}
	if err != nil {
		return "", writ.Errorf(writ.CodeUnavailable, path, "the new token could not be kept there: %s", plainCause(err)).WithFix("write it there yourself")
	}
	return path, nil
}

func (a *app) tokenRevoke() *cobra.Command {
	revoke := &contract.TokenRevokeInput{}
	revokeCommand := &cobra.Command{
		Use: "revoke TOKEN-ID", Short: "Revoke a token at once", Args: exactly("TOKEN-ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			revoke.TokenID = args[0]
			out, err := call(cmd.Context(), a, contract.TokenRevoke, revoke)
			if err != nil {
				return err
			}
			return a.printResult(out, out.Result, "token id", args[0])
		},
	}
	revokeCommand.Flags().StringVar(&revoke.Reason, "reason", "", "why")
	return revokeCommand
}

func (a *app) tokenList() *cobra.Command {
	in := &contract.TokenListInput{}
	c := &cobra.Command{
		Use: "list", Short: "List tokens and the sessions of logins, never their values", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			out, err := call(cmd.Context(), a, contract.TokenList, in)
			if err != nil {
				return err
			}
			return a.print(out, func(t *table) {
				t.head("token id", "credential", "principal", "kind", "roles", "created", "expires")
				for _, k := range out.Items {
					t.row(k.TokenID, string(k.Credential), string(k.PrincipalID), string(k.Kind), strings.Join(k.Roles, ","), a.ago(k.CreatedAt), a.ago(k.ExpiresAt))
				}
			})
		},
	}
	c.Flags().BoolVar(&in.IncludeRevoked, "revoked", false, "with the revoked ones")
	return c
}

func (a *app) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Show the state of the host", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			out, err := call(cmd.Context(), a, contract.SystemStatus, &contract.SystemStatusInput{})
			if err != nil {
				return err
			}
			return a.print(out, func(t *table) {
				a.frozenBanner(t, out.Frozen)
				t.pair("status", out.Status)
				t.pair("version", out.Version)
				t.pair("engine", out.Engine)
				t.pair("policy", out.PolicyVersion+"  "+shortDigest(out.PolicyDigest))
				t.pair("skills", fmt.Sprint(out.Skills))
				t.pair("waiting for people", fmt.Sprint(out.PendingApprovals))
				for status, n := range out.Executions {
					t.pair("executions "+status, fmt.Sprint(n))
				}
				for _, check := range out.Checks {
					t.pair(check.Name, checkWord(check))
				}
				t.flush()
				a.emergencies(t, out.BreakGlass)
			})
		},
	}
}

func checkWord(c contract.SystemCheck) string {
	if c.OK {
		return "ok  " + c.Message
	}
	return "FAILED  " + c.Message + "  what to do: " + c.Fix
}
