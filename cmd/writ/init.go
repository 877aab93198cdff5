package main

import (
	"context"
	"errors"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/identity"
)

func (a *app) initCommand() *cobra.Command {
	var name, passphraseFile string
	c := &cobra.Command{
		Use: "init", Short: "Make a home: an operator, an approver's key, a token", Args: cobra.NoArgs,
		Long: `Makes one operator, one approver's key that a passphrase unlocks, and one token.
Nothing else can do anything: no skill is trusted, and no agent has a grant.`,
		Example: "  writ init\n  writ --home /var/lib/writ init --name ops --passphrase-file pass",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if name == "" {
				name = userName()
			}
			return a.initHome(cmd.Context(), name, passphraseFile)
		},
	}
	c.Flags().StringVar(&name, "name", "", "name of the operator (default: your user name)")
	c.Flags().StringVar(&passphraseFile, "passphrase-file", "", "file with the passphrase of the approver's key; - for standard input")
	return c
}

// operatorForm is what follows human: in a principal's id. It is held before
// anything is written, so that a typing mistake leaves no half a home.
var operatorForm = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$`)

var notInNames = regexp.MustCompile(`[^a-z0-9._-]+`)

func userName() string {
	u, err := user.Current()
	if err != nil {
		return "operator"
	}
	if name := strings.Trim(notInNames.ReplaceAllString(strings.ToLower(u.Username), "-"), "-._"); name != "" {
		return name
	}
	return "operator"
}

func (a *app) initHome(ctx context.Context, name, passphraseFile string) error {
	dir := a.config.Home
	if _, err := os.Stat(filepath.Join(dir, hostKeyFile)); err == nil {
		return writ.Errorf(writ.CodeConflict, "home "+dir, "it is set up already").WithFix("use it, or name another with --home")
	}
	passphrase, err := a.newPassphrase(passphraseFile, "Passphrase for the approver's key (8 characters or more)")
	if err != nil {
		return err
	}
	if !operatorForm.MatchString(name) {
		return usage("--name %q cannot be an operator's name", name).WithFix("use lower-case letters, digits, dots and dashes, 64 at most")
	}
	approver, err := identity.GenerateApproverKey(entropy)
	if err != nil {
		return err
	}
	sealed, err := approver.Seal(passphrase)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return usage("%s: %s", dir, plainCause(err)).WithFix("choose another directory with --home")
	}
	if err := makeKeys(dir); err != nil {
		return err
	}
	h, err := openHome(ctx, a.config, a.logger(hclog.Warn), a.clock)
	if err != nil {
		return err
	}
	made, err := h.identity.Bootstrap(ctx, name, approver)
	if err := errors.Join(err, h.close(ctx)); err != nil {
		return err
	}
	err = errors.Join(
		writeNew(filepath.Join(dir, approverKeyFile), sealed, 0o600),
		writeNew(filepath.Join(dir, credentialsFile), []byte(made.Token+"\n"), 0o600),
	)
	if err != nil {
		return err
	}
	return a.printHome(dir, made)
}

func (a *app) printHome(dir string, made *identity.Bootstrapped) error {
	document := map[string]string{
		"home": dir, "operator": string(made.Operator.ID), "approverKey": filepath.Join(dir, approverKeyFile),
		"credentials": filepath.Join(dir, credentialsFile), "tokenExpires": made.Expires.String(),
	}
	return a.print(document, func(t *table) {
		t.pair("home", dir)
		t.pair("operator", document["operator"])
		t.pair("approver's key", document["approverKey"]+"  (locked by your passphrase)")
		t.pair("token", document["credentials"]+"  (until "+document["tokenExpires"]+")")
		t.line("Nothing is trusted yet and no agent may do anything. Next:")
		t.line("  writ trust add --first-party                     trust the skills that come with Writ")
		t.line("  writ token create --kind agent --name NAME       let an agent in")
		t.line("  writ serve                                       run the host daemon")
	})
}
