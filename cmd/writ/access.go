package main

import (
	"encoding/json"
	"fmt"
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
	return group("token", "Make and revoke bearer tokens", a.tokenCreate(), a.tokenRevoke(), a.tokenList())
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

func (a *app) grantCommand() *cobra.Command {
	in := &contract.GrantCreateInput{}
	var principal, risk string
	var skills []string
	var expires time.Duration
	create := &cobra.Command{
		Use: "create", Short: "Let a principal's steps use a tool within a scope", Args: cobra.NoArgs,
		Example: `  writ grant create --principal agent:triage-bot --tool http.request --host api.github.com --method GET --method POST --path '/repos/**' --max-risk medium
  writ grant create --principal agent:triage-bot --tool '*' --skill writ/text`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			in.PrincipalID, in.MaxRisk, in.ExpiresIn = writ.PrincipalID(principal), writ.Risk(risk), abi.Duration(expires)
			for _, s := range skills {
				in.Skills = append(in.Skills, writ.SkillKey(s))
			}
			out, err := call(cmd.Context(), a, contract.GrantCreate, in)
			if err != nil {
				return err
			}
			return a.printResult(out, out.Result, "grant", out.GrantID)
		},
	}
	f := create.Flags()
	f.StringVar(&principal, "principal", "", "whose steps (required)")
	f.StringVar(&in.Capability.Tool, "tool", "", "tool, or * for every tool (required)")
	f.StringArrayVar(&in.Capability.Hosts, "host", nil, "http.request: host pattern, repeatable")
	f.StringArrayVar(&in.Capability.Methods, "method", nil, "http.request: method, repeatable")
	f.StringArrayVar(&in.Capability.Paths, "path", nil, "http.request and file.*: path pattern, repeatable")
	f.StringArrayVar(&in.Capability.Prefixes, "prefix", nil, "kv.*: key prefix, repeatable; '' covers every key")
	f.StringArrayVar(&in.Capability.Skills, "action", nil, "skill.call: publisher/skill#action pattern, repeatable")
	f.StringSliceVar(&skills, "skill", nil, "only for this skill, repeatable (default: any)")
	f.StringVar(&risk, "max-risk", "low", "highest risk tier: low, medium or high")
	f.DurationVar(&expires, "expires", 0, "validity, such as 24h (default: no end)")
	f.StringVar(&in.Reason, "reason", "", "why")

	revoke := &contract.GrantRevokeInput{}
	revokeCommand := &cobra.Command{
		Use: "revoke GRANT", Short: "Take a grant back", Args: exactly("GRANT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			revoke.GrantID = args[0]
			out, err := call(cmd.Context(), a, contract.GrantRevoke, revoke)
			if err != nil {
				return err
			}
			return a.printResult(out, out.Result, "grant", args[0])
		},
	}
	revokeCommand.Flags().StringVar(&revoke.Reason, "reason", "", "why")
	return group("grant", "Say which tools whose steps may use", create, revokeCommand, a.grantList())
}

func (a *app) grantList() *cobra.Command {
	var principal string
	c := &cobra.Command{
		Use: "list", Short: "List grants", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			out, err := call(cmd.Context(), a, contract.GrantList, &contract.GrantListInput{PrincipalID: writ.PrincipalID(principal)})
			if err != nil {
				return err
			}
			return a.print(out, func(t *table) {
				t.head("grant", "principal", "max risk", "capability", "skills", "expires")
				for i := range out.Items {
					g := &out.Items[i]
					skills, _ := json.Marshal(g.Skills)
					t.row(g.GrantID, string(g.PrincipalID), string(g.MaxRisk), capability(&g.Capability), string(skills), a.ago(g.ExpiresAt))
				}
			})
		},
	}
	c.Flags().StringVar(&principal, "principal", "", "only of this principal")
	return c
}

func (a *app) secretCommand() *cobra.Command {
	var file string
	set := &cobra.Command{
		Use: "set NAME", Short: "Set a secret; its value is read from standard input or a file", Args: exactly("NAME"),
		Example: "  writ secret set github-token < token.txt\n  writ secret set github-token --file token.txt",
		RunE: func(cmd *cobra.Command, args []string) error {
			raw, err := a.readInput(file, maxKeyFile)
			if err != nil {
				return err
			}
			out, err := call(cmd.Context(), a, contract.SecretSet, &contract.SecretSetInput{Name: args[0], Value: strings.TrimRight(string(raw), "\r\n")})
			if err != nil {
				return err
			}
			return a.printResult(out, out.Result, "secret", args[0])
		},
	}
	set.Flags().StringVar(&file, "file", "-", "file with the value; - for standard input")
	remove := &cobra.Command{
		Use: "remove NAME", Short: "Remove a secret", Args: exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			out, err := call(cmd.Context(), a, contract.SecretRemove, &contract.SecretRemoveInput{Name: args[0]})
			if err != nil {
				return err
			}
			return a.printResult(out, out.Result, "secret", args[0])
		},
	}
	list := &cobra.Command{
		Use: "list", Short: "List the names of secrets, never their values", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			out, err := call(cmd.Context(), a, contract.SecretList, &contract.SecretListInput{})
			if err != nil {
				return err
			}
			return a.print(out, func(t *table) {
				t.head("secret", "updated")
				for _, s := range out.Items {
					t.row(s.Name, a.ago(s.UpdatedAt))
				}
			})
		},
	}
	return group("secret", "Keep secrets that the host injects and no guest sees", set, remove, list)
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
