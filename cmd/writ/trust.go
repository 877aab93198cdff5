package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ/contract"
	"github.com/writ-run/writ/registry"
)

func (a *app) trustCommand() *cobra.Command {
	return group("trust", "Say whose skills may be installed", a.trustAdd(), a.trustRevoke(), a.trustDeny(), a.trustUndeny(), a.trustList(),
		a.trustPolicy(), a.trustRoot(), a.feedCommand())
}

func (a *app) trustAdd() *cobra.Command {
	in := &contract.TrustAddInput{}
	var key string
	var purposes []string
	var identity identityFlags
	add := &cobra.Command{
		Use: "add [PUBLISHER]", Short: "Trust a publisher's key, or an identity that certificates name", Args: cobra.MaximumNArgs(1),
		Example: `  writ trust add acme --key acme.pub
  writ trust add acme --key builder.pub --purpose provenance
  writ trust add acme --identity https://github.com/acme/skills/.github/workflows/release.yml@refs/heads/main \
    --issuer https://token.actions.githubusercontent.com --source-repository https://github.com/acme/skills
  writ trust add --first-party                the key of the skills that come with Writ`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				in.Publisher = args[0]
			}
			for _, p := range purposes {
				in.Purposes = append(in.Purposes, contract.TrustPurpose(p))
			}
			if key != "" {
				pem, err := a.readInput(key, maxKeyFile)
				if err != nil {
					return err
				}
				in.PublicKeyPEM = string(pem)
			}
			in.Identity = identity.given()
			if in.Publisher == "" && !in.FirstParty {
				return usage("whose key?").WithFix("name the publisher, or give --first-party")
			}
			out, err := call(cmd.Context(), a, contract.TrustAdd, in)
			if err != nil {
				return err
			}
			return a.print(out, func(t *table) { trustedTable(t, out) })
		},
	}
	f := add.Flags()
	f.StringVar(&key, "key", "", "PEM public key")
	f.BoolVar(&in.FirstParty, "first-party", false, "the key that this binary carries, for publisher writ")
	f.StringSliceVar(&purposes, "purpose", nil, "signature or provenance, repeatable (default: both)")
	f.StringVar(&in.Reason, "reason", "", "why")
	f.StringSliceVar(&in.Builders, "builder", nil, "builder that its provenance may name, repeatable; URI@ lets any ref follow")
	f.StringSliceVar(&in.BuildTypes, "build-type", nil, "build type that its provenance may name, repeatable")
	identity.add(f)
	return add
}

func trustedTable(t *table, out *contract.TrustAddOutput) {
	t.pair("publisher", out.Publisher)
	if out.IdentityID != "" {
		t.pair("identity", out.IdentityID)
		t.pair("status", out.Status)
		t.line("Certificates count under a trusted root alone: `writ trust list` shows them, `writ trust root import` adds one.")
		return
	}
	t.pair("fingerprint", registry.KeyID(out.KeyID).Fingerprint())
	t.pair("status", out.Status)
	t.line("Compare the fingerprint with the one that the publisher shows elsewhere.")
}

func (a *app) trustRevoke() *cobra.Command {
	revoke := &contract.TrustRevokeInput{}
	revokeCommand := &cobra.Command{
		Use: "revoke PUBLISHER", Short: "Revoke a publisher's key or identity: its skills stop at their next load", Args: exactly("PUBLISHER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			revoke.Publisher = args[0]
			out, err := call(cmd.Context(), a, contract.TrustRevoke, revoke)
			if err != nil {
				return err
			}
			return a.printResult(out, out.Result, "publisher", args[0])
		},
	}
	revokeCommand.Flags().StringVar(&revoke.KeyID, "key-id", "", "one key (default: every key and identity of the publisher)")
	revokeCommand.Flags().StringVar(&revoke.IdentityID, "identity-id", "", "one identity")
	revokeCommand.Flags().StringVar(&revoke.Reason, "reason", "", "why")
	return revokeCommand
}

func (a *app) skillKey() *cobra.Command {
	var kind, out, passphrase string
	c := &cobra.Command{
		Use: "key", Short: "Make a publisher's signing key", Args: cobra.NoArgs,
		Example: "  writ skill key --out acme            writes acme.key and acme.pub",
		RunE: func(*cobra.Command, []string) error {
			return a.makePublisherKey(registry.KeyKind(kind), out, passphrase)
		},
	}
	c.Flags().StringVar(&kind, "kind", string(registry.KeyECDSA), "ecdsa-p256 or ed25519")
	c.Flags().StringVar(&out, "out", "publisher", "path without its ending")
	c.Flags().StringVar(&passphrase, "passphrase-file", "", "encrypt the key with this passphrase; - for standard input")
	return c
}

func (a *app) makePublisherKey(kind registry.KeyKind, out, passphraseFile string) error {
	key, err := registry.GenerateKey(kind, entropy)
	if err != nil {
		return err
	}
	var passphrase []byte
	if passphraseFile != "" {
		if passphrase, err = a.passphrase(passphraseFile, "Passphrase of the new key"); err != nil {
			return err
		}
	}
	pem, err := key.PEM(passphrase)
	if err != nil {
		return err
	}
	if err := writeNew(out+".key", pem, 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(out+".pub", key.Public().PEM, 0o644); err != nil {
		return usage("%s: %s", out+".pub", plainCause(err))
	}
	document := map[string]string{"key": out + ".key", "public": out + ".pub", "fingerprint": key.Public().ID.Fingerprint()}
	return a.print(document, func(t *table) {
		t.pair("key", document["key"])
		t.pair("public key", document["public"])
		t.pair("fingerprint", document["fingerprint"])
	})
}
