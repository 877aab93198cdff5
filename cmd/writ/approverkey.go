package main

import (
	"bytes"
	"context"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/identity"
)

// approvingPerson is somebody with an unlocked approver's key.
type approvingPerson struct {
	app *app
	key *identity.ApproverKey
	who writ.PrincipalID
}

// keyFlags say which key signs, and where its passphrase is.
type keyFlags struct{ key, passphrase string }

func (k *keyFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&k.key, "key", "", "approver's key (default: the home's)")
	c.Flags().StringVar(&k.passphrase, "passphrase-file", "", "file with the key's passphrase; - for standard input")
}

// approver unlocks the approver's key of the caller.
func (a *app) approver(k keyFlags) (*approvingPerson, error) {
	if k.key == "" {
		k.key = filepath.Join(a.config.Home, approverKeyFile)
	}
	sealed, err := a.readInput(k.key, maxKeyFile)
	if err != nil {
		return nil, writ.Errorf(writ.CodeForbidden, "approve", "there is no approver's key: %w", err).WithFix("name it with --key")
	}
	passphrase, err := a.passphrase(k.passphrase, "Passphrase of the approver's key")
	if err != nil {
		return nil, err
	}
	key, err := identity.OpenApproverKey(sealed, passphrase)
	if err != nil {
		return nil, err
	}
	who, err := a.whoami()
	if err != nil {
		return nil, err
	}
	return &approvingPerson{app: a, key: key, who: who}, nil
}

func (s *approvingPerson) sign(ctx context.Context, word writ.Word) ([]byte, error) {
	return s.key.SignApproval(ctx, s.who, word, s.app.clock.Now())
}

// approvalKey makes the key of one more person. The first one's is made by init.
func (a *app) approvalKey() *cobra.Command {
	var out, passphraseFile string
	c := &cobra.Command{
		Use: "key", Short: "Make an approver's key for one more person", Args: cobra.NoArgs,
		Example: "  writ approval key --out bob          writes bob.key and bob.pub; an admin registers bob.pub with `writ token create`",
		RunE: func(*cobra.Command, []string) error {
			passphrase, err := a.newPassphrase(passphraseFile, "Passphrase for the approver's key (8 characters or more)")
			if err != nil {
				return err
			}
			key, err := identity.GenerateApproverKey(entropy)
			if err != nil {
				return err
			}
			sealed, err := key.Seal(passphrase)
			if err != nil {
				return err
			}
			public, err := key.PublicPEM()
			if err != nil {
				return err
			}
			if err := writeNew(out+".key", sealed, 0o600); err != nil {
				return err
			}
			if err := writeNew(out+".pub", public, 0o644); err != nil {
				return err
			}
			return a.print(map[string]string{"key": out + ".key", "public": out + ".pub"}, func(t *table) {
				t.pair("key", out+".key  (locked by the passphrase)")
				t.pair("public key", out+".pub")
				t.line("next, as an admin: writ token create --principal human:NAME --role approver --capability control-plane.core --capability control-plane.approval --approver-key %s.pub", out)
			})
		},
	}
	c.Flags().StringVar(&out, "out", "approver", "path without its ending")
	c.Flags().StringVar(&passphraseFile, "passphrase-file", "", "file with the passphrase; - for standard input")
	return c
}

// newPassphrase asks a person twice: a typing error would lock the key for good.
func (a *app) newPassphrase(file, prompt string) ([]byte, error) {
	first, err := a.passphrase(file, prompt)
	if err != nil || file != "" || a.config.Passphrase != "" {
		return first, err
	}
	again, err := a.passphrase("", "The same again")
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(first, again) {
		return nil, usage("the two passphrases differ; nothing was made")
	}
	return first, nil
}
