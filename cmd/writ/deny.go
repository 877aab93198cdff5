package main

import (
	"github.com/spf13/cobra"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
	"github.com/writ-run/writ/registry"
)

func (a *app) trustDeny() *cobra.Command {
	in := &contract.TrustDenyInput{}
	c := &cobra.Command{
		Use: "deny", Short: "Deny a publisher, key, identity, digest or skill: what is installed of it stops at its next step", Args: cobra.NoArgs,
		Example: `  writ trust deny --skill 'acme/mail <1.4.2' --reason 'sends to everybody'
  writ trust deny --publisher acme --reason 'left the house'
  writ trust deny --key acme.pub --reason 'may have leaked'
  writ trust deny --digest sha256:... --reason 'not built from its source'
  writ trust deny --issuer https://token.example.com --san 'https://git.example.com/acme/*' --reason 'compromised'`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.keyIDOf(&in.KeyID); err != nil {
				return err
			}
			out, err := call(cmd.Context(), a, contract.TrustDeny, in)
			if err != nil {
				return err
			}
			return a.printResult(out, out.Result, string(out.Kind), out.Subject)
		},
	}
	denialFlags(c, in)
	return c
}

func (a *app) trustUndeny() *cobra.Command {
	in := &contract.TrustDenyInput{}
	c := &cobra.Command{
		Use: "undeny", Short: "Take a denial of this host back; revoked keys and what feeds deny stay", Args: cobra.NoArgs,
		Example: "  writ trust undeny --skill 'acme/mail <1.4.2' --reason 'it was another skill'",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.keyIDOf(&in.KeyID); err != nil {
				return err
			}
			out, err := call(cmd.Context(), a, contract.TrustUndeny, (*contract.TrustUndenyInput)(in))
			if err != nil {
				return err
			}
			return a.printResult(out, out.Result, string(out.Kind), out.Subject)
		},
	}
	denialFlags(c, in)
	return c
}

func denialFlags(c *cobra.Command, in *contract.TrustDenyInput) {
	f := c.Flags()
	f.StringVar(&in.Publisher, "publisher", "", "everything of this publisher")
	f.StringVar(&in.KeyID, "key", "", "everything that this key signed: its id, or a PEM file of the public key")
	f.StringVar((*string)(&in.Digest), "digest", "", "a bundle or a module, by its digest")
	f.StringVar(&in.Skill, "skill", "", "a skill, or a range of its versions: 'acme/mail <1.4.2'")
	f.StringVar(&in.Issuer, "issuer", "", "issuer of a keyless identity, with --san")
	f.StringVar(&in.SAN, "san", "", "subject of a keyless identity; a star at the end is any ending")
	f.StringVar(&in.Reason, "reason", "", "why (needed)")
}

// keyIDOf reads the key where a file is named instead of an id.
func (a *app) keyIDOf(id *string) error {
	if *id == "" || registry.KeyID(*id).Valid() {
		return nil
	}
	pem, err := a.readInput(*id, maxKeyFile)
	if err != nil {
		return writ.Errorf(writ.CodeInvalid, "key", "%s is neither a key id nor a file", *id).WithFix("writ trust list -o json shows the ids")
	}
	key, err := registry.ParsePublicKey(pem)
	if err != nil {
		return err
	}
	*id = string(key.ID)
	return nil
}

// denialTable shows the deny lists below the keys.
func denialTable(t *table, denied []contract.TrustDenial) {
	if len(denied) == 0 {
		return
	}
	t.flush()
	t.head("denied", "what", "since", "by", "stays", "reason")
	for i := range denied {
		d := &denied[i]
		by, stays := string(d.By), "until undone"
		if d.Final {
			stays = "for good"
		}
		if d.Feed != "" {
			by, stays = "feed "+d.Feed, "as the feed says"
		}
		t.row(string(d.Kind), d.Subject, d.At.String(), by, stays, d.Reason)
	}
}
