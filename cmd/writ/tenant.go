package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
)

func (a *app) tenantCommand() *cobra.Command {
	in := &contract.TenantCreateInput{}
	var approverKey string
	create := &cobra.Command{
		Use: "create NAME", Short: "Make a tenant with its first person; the token is shown once", Args: exactly("NAME"),
		Long: `Makes a tenant of this host and its first person, who is operator, admin and
approver there. Nothing is trusted in it yet, and nothing of another tenant is
seen from it. Admins of the tenant default alone may do this.`,
		Example: "  writ tenant create acme --operator ada\n  writ tenant create acme --operator ada --approver-key ada.pub     who may approve as well",
		RunE: func(cmd *cobra.Command, args []string) error {
			in.TenantID = writ.TenantID(args[0])
			if approverKey != "" {
				pem, err := a.readInput(approverKey, maxKeyFile)
				if err != nil {
					return err
				}
				in.ApproverPublicKeyPEM = string(pem)
			}
			out, err := call(cmd.Context(), a, contract.TenantCreate, in)
			if err != nil {
				return err
			}
			return a.print(out, func(t *table) {
				t.pair("tenant", string(out.TenantID))
				t.pair("operator", string(out.Operator))
				t.pair("expires", out.ExpiresAt.String())
				t.pair("token", out.Token)
				t.line("Give it to that person now: it is not shown again. It says which tenant it is of.")
			})
		},
	}
	f := create.Flags()
	f.StringVar(&in.Operator, "operator", "", "name of the first person (required)")
	f.StringVar(&approverKey, "approver-key", "", "public key with which this person approves, a PEM `file`; writ approval key makes one")
	f.StringVar(&in.Reason, "reason", "", "why")
	list := &cobra.Command{
		Use: "list", Short: "List the tenants of the host", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			out, err := call(cmd.Context(), a, contract.TenantList, &contract.TenantListInput{})
			if err != nil {
				return err
			}
			return a.print(out, func(t *table) {
				t.head("tenant", "created", "by")
				for _, one := range out.Items {
					t.row(string(one.TenantID), a.ago(one.CreatedAt), string(one.CreatedBy))
				}
			})
		},
	}
	return group("tenant", "Keep teams or customers apart on one host", create, list)
}

// activatePolicy is the handler of contract.PolicyActivate. What was judged under
// the policy before is judged again in every tenant.
func (h *home) activatePolicy(ctx context.Context, in *contract.PolicyActivateInput) (*contract.PolicyActivateOutput, error) {
	out, err := h.policies.Activate(ctx, in)
	if err != nil {
		return nil, err
	}
	_, err = h.identity.Announce(ctx)
	return out, err
}

// rollBackPolicy is the handler of contract.PolicyRollback.
func (h *home) rollBackPolicy(ctx context.Context, in *contract.PolicyRollbackInput) (*contract.PolicyRollbackOutput, error) {
	out, err := h.policies.Rollback(ctx, in)
	if err != nil {
		return nil, err
	}
	_, err = h.identity.Announce(ctx)
	return out, err
}
