package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
	"github.com/writ-run/writ/registry"
	"github.com/writ-run/writ/registry/remote"
)

// maxBundle is the registry's own limit of a .skill file with room to let the
// registry say what is wrong with a larger one.
const maxBundle = 256 << 20

func decodeBase64(text string) ([]byte, error) { return base64.StdEncoding.DecodeString(text) }

func (a *app) skillCommand() *cobra.Command {
	return group("skill", "Write, sign, install and look after skills",
		a.skillNew(), a.skillImport(), a.skillBuild(), a.skillTest(), a.skillRun(), a.skillBench(), a.skillKey(), a.skillSign(), a.skillVerify(), a.skillInspect(),
		a.skillPush(), a.skillPull(), a.skillLock(), a.skillImpact(), a.skillInstall(), a.skillRollback(), a.skillList(), a.skillDisable(),
		a.skillEnable(), a.skillUninstall())
}

func (a *app) skillInstall() *cobra.Command {
	var rollback, lockFile string
	var accept, noImpact bool
	c := &cobra.Command{
		Use: "install [SOURCE...]", Short: "Verify signed bundles and install them", Args: cobra.ArbitraryArgs,
		Long: `A source is one of:
  a .skill file, or - for standard input
  the name of a skill that comes with the binary, such as writ/github or
  writ/github@0.1.2; writ skill list --available shows them
  an oci:// reference, which the host fetches itself: with the credentials of its own
  Docker configuration, and from public addresses alone unless its setting registries
  names the registry

Of an upgrade it shows what the manifest says otherwise and what the newest stored
executions would have come to (at most 200, or 10 seconds). Where capabilities widen,
effects or risk rise, or an execution would differ, somebody must accept that: on a
terminal it asks, elsewhere it refuses with exit 3. The older version stays installed;
writ skill rollback goes back to it.`,
		Example: `  writ skill install greeter-0.1.0.skill
  writ trust add writ --first-party && writ skill install writ/github
  writ skill install oci://registry.example/acme/greeter:0.1.0
  writ skill install --lock skills.lock              exactly what the lock file pins
  writ skill install greeter-0.2.0.skill --accept-changes
  writ skill install greeter-0.0.9.skill --allow-rollback 'the newer one loses mail'`,
		RunE: func(cmd *cobra.Command, args []string) error {
			inputs, err := a.installInputs(args, lockFile)
			if err != nil {
				return err
			}
			for _, in := range inputs {
				in.input.AllowRollback, in.input.AcceptChanges, in.input.SkipImpact = rollback, accept, noImpact
				_, _ = fmt.Fprintf(a.err, "verifying and compiling %s ...\n", in.name)
				out, err := a.install(cmd.Context(), in.input)
				if writ.IsCode(err, writ.CodeSkillRefused) && carriedName(in.name) {
					_, _ = fmt.Fprintln(a.err, "it comes with Writ: if nothing else is wrong, trust its key with `writ trust add writ --first-party`")
				}
				if err != nil {
					return err
				}
				if err := a.print(out, func(t *table) { a.installTable(t, out) }); err != nil {
					return err
				}
			}
			return nil
		},
	}
	c.Flags().StringVar(&rollback, "allow-rollback", "", "why a version older than what was here may be installed; it is recorded")
	c.Flags().BoolVar(&accept, "accept-changes", false, "install an upgrade that widens, raises or differs")
	c.Flags().BoolVar(&noImpact, "no-impact", false, "do not derive stored executions again")
	c.Flags().StringVar(&lockFile, "lock", "", "install what this lock file pins and nothing else; sources, where given, must be in it")
	return c
}

func (a *app) installTable(t *table, out *contract.SkillInstallOutput) {
	a.reportTable(t, &out.SkillReport, out.Status)
	if out.Upgrade != nil {
		a.upgradeTable(t, out.Upgrade)
	}
}

// bundleInput names the source to a host of this machine, which reads a file itself
// and within its limits; another machine gets the bytes. References are the host's.
func (a *app) bundleInput(source string) (*contract.SkillInstallInput, error) {
	if strings.HasPrefix(source, registry.OCIScheme) {
		_, err := remote.ParseReference(source)
		return &contract.SkillInstallInput{Source: source}, err
	}
	if carriedName(source) {
		return &contract.SkillInstallInput{Source: carriedSource(source)}, nil
	}
	if source != "-" && a.config.Server == "" {
		if _, err := os.Stat(source); err != nil {
			return nil, usage("%s: %s", source, plainCause(err)).WithFix("check the path, or use - for standard input")
		}
		return &contract.SkillInstallInput{Source: absolute(source)}, nil
	}
	raw, err := a.readInput(source, maxBundle)
	return &contract.SkillInstallInput{Bundle: raw}, err
}

func (a *app) reportTable(t *table, r *contract.SkillReport, status string) {
	if r.SkillKey != "" { // what nobody signed is not believed even about its name
		t.pair("skill", fmt.Sprintf("%s@%s", r.SkillKey, r.Version))
	}
	t.pair("status", status)
	t.pair("signature", verified(r.SignatureVerified))
	t.pair("publisher", verified(r.PublisherTrusted))
	t.pair("provenance", verified(r.ProvenanceVerified))
	t.pair("compatible", verified(r.CompatibilityVerified))
	t.pair("digest", string(r.ManifestDigest))
	for _, who := range r.Signers {
		t.pair("signer", clean(signerName(who)))
	}
	t.flush()
	for _, issue := range r.Issues {
		t.line("  %s: %s", issue.Code, clean(issue.Message))
		if issue.Fix != "" {
			t.line("    fix: %s", clean(issue.Fix))
		}
	}
}

// signerName shows a key as people compare it, an identity as it is.
func signerName(who string) string {
	if id := registry.KeyID(who); id.Valid() {
		return id.Fingerprint()
	}
	return who
}

func verified(ok bool) string {
	if ok {
		return "verified"
	}
	return "NOT verified"
}

func (a *app) skillVerify() *cobra.Command {
	return &cobra.Command{
		Use: "verify SOURCE", Short: "Say everything that an install would refuse; nothing is installed", Args: exactly("SOURCE"),
		Example: "  writ skill verify greeter-0.1.0.skill       exit 3 where it would be refused\n  writ skill verify oci://registry.example/acme/greeter:0.1.0",
		RunE: func(cmd *cobra.Command, args []string) error {
			in, err := a.bundleInput(args[0])
			if err != nil {
				return err
			}
			out, err := call(cmd.Context(), a, contract.SkillVerify, (*contract.SkillVerifyInput)(in))
			if err != nil {
				return err
			}
			status := out.Status
			if !out.Verified {
				status = "refused"
			}
			err = a.print(out, func(t *table) { a.reportTable(t, &out.SkillReport, status) })
			if err == nil && !out.Verified {
				return exitError(exitDenied)
			}
			return err
		},
	}
}

func (a *app) skillInspect() *cobra.Command {
	var to export
	c := &cobra.Command{
		Use: "inspect FILE|SKILL", Short: "Show what a bundle says of itself, without judging it", Args: exactly("FILE"),
		Example: `  writ skill inspect greeter-0.1.0.skill
  writ skill inspect greeter-0.1.0.skill --export out    manifest, Sigstore bundles and statements, for cosign and the like`,
		RunE: func(_ *cobra.Command, args []string) error {
			raw, err := a.bundleBytes(args[0])
			if err != nil {
				return err
			}
			about, err := registry.Inspect(raw)
			if err != nil {
				return err
			}
			document := map[string]any{
				"skill": about.Ref, "manifest": about.Manifest, "keys": about.KeyIDs, "identities": about.Identities, "moduleBytes": len(about.Module),
			}
			var written []string
			if to.dir != "" {
				if written, err = a.exportBundle(to, raw, about); err != nil {
					return err
				}
				document["exported"] = written
			}
			return a.print(document, func(t *table) { inspectTable(t, about, written) })
		},
	}
	c.Flags().StringVar(&to.dir, "export", "", "directory to write manifest, Sigstore bundles and statements to")
	provenanceFlags(c.Flags(), &to.in)
	return c
}

func inspectTable(t *table, about *registry.Inspection, written []string) {
	m := about.Manifest
	t.pair("skill", m.Name+"@"+m.Version)
	t.pair("what", m.Description)
	t.pair("abi", m.ABI)
	t.pair("digest", string(about.Ref.Digest))
	t.pair("module", fmt.Sprintf("%s  (%d bytes)", about.Ref.Module, len(about.Module)))
	for _, id := range about.KeyIDs {
		t.pair("signed by", id.Fingerprint())
	}
	for _, identity := range about.Identities {
		t.pair("signed by", clean(identity))
	}
	for i := range m.Capabilities {
		t.pair("may", contract.CapabilityText(&m.Capabilities[i]))
	}
	for i := range m.Actions {
		t.pair("action", m.Actions[i].Name+": "+m.Actions[i].Description)
	}
	for _, path := range written {
		t.pair("wrote", path)
	}
}

func (a *app) bundleBytes(file string) ([]byte, error) {
	if carriedName(file) {
		return carriedBundle(file)
	}
	return a.readInput(file, maxBundle)
}

func (a *app) skillList() *cobra.Command {
	in := &contract.SkillListInput{}
	var available bool
	c := &cobra.Command{
		Use: "list", Short: "List installed skills", Args: cobra.NoArgs,
		Example: "  writ skill list\n  writ skill list --available      the skills that come with the binary",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if available {
				return a.listCarried()
			}
			out, err := call(cmd.Context(), a, contract.SkillList, in)
			if err != nil {
				return err
			}
			return a.print(out, func(t *table) {
				if len(out.Items) == 0 {
					t.line("no skills; install one with `writ skill install FILE`")
					return
				}
				t.head("skill", "version", "status", "verified", "actions", "installed")
				for i := range out.Items {
					s := &out.Items[i]
					names := make([]string, 0, len(s.Actions))
					for _, action := range s.Actions {
						names = append(names, action.Name)
					}
					t.row(string(s.SkillKey), s.Version, string(s.Status), fmt.Sprint(s.Verified), strings.Join(names, ","), a.ago(s.InstalledAt))
				}
				a.more(t, out.NextCursor)
			})
		},
	}
	c.Flags().BoolVar(&in.IncludeDisabled, "all", false, "with the disabled ones")
	c.Flags().BoolVar(&available, "available", false, "what this binary carries and can be installed by name")
	pageFlags(c, &in.Page)
	return c
}

// skillChange is a command that changes one installed skill.
func (a *app) skillChange(verb, short string, do func(ctx context.Context, key writ.SkillKey, version, reason string) (any, contract.Result, error)) *cobra.Command {
	var version, reason string
	c := &cobra.Command{
		Use: verb + " SKILL", Short: short, Args: exactly("SKILL"),
		Example: "  writ skill " + verb + " acme/mail\n  writ skill " + verb + " acme/mail --version 1.2.0 --reason \"...\"",
		RunE: func(cmd *cobra.Command, args []string) error {
			out, result, err := do(cmd.Context(), writ.SkillKey(args[0]), version, reason)
			if err != nil {
				return err
			}
			return a.printResult(out, result, "skill", args[0])
		},
	}
	c.Flags().StringVar(&version, "version", "", "one version (default: every one)")
	c.Flags().StringVar(&reason, "reason", "", "why")
	return c
}

func (a *app) skillDisable() *cobra.Command {
	return a.skillChange("disable", "Keep a skill from being used", func(ctx context.Context, key writ.SkillKey, version, reason string) (any, contract.Result, error) {
		out, err := call(ctx, a, contract.SkillDisable, &contract.SkillDisableInput{SkillKey: key, Version: version, Reason: reason})
		if err != nil {
			return nil, contract.Result{}, err
		}
		return out, out.Result, nil
	})
}

func (a *app) skillEnable() *cobra.Command {
	return a.skillChange("enable", "Let a disabled skill be used again", func(ctx context.Context, key writ.SkillKey, version, reason string) (any, contract.Result, error) {
		out, err := call(ctx, a, contract.SkillEnable, &contract.SkillEnableInput{SkillKey: key, Version: version, Reason: reason})
		if err != nil {
			return nil, contract.Result{}, err
		}
		return out, out.Result, nil
	})
}

func (a *app) skillUninstall() *cobra.Command {
	return a.skillChange("uninstall", "Remove a skill; traces that name it then replay only from evidence", func(ctx context.Context, key writ.SkillKey, version, reason string) (any, contract.Result, error) {
		out, err := call(ctx, a, contract.SkillUninstall, &contract.SkillUninstallInput{SkillKey: key, Version: version, Reason: reason})
		if err != nil {
			return nil, contract.Result{}, err
		}
		return out, out.Result, nil
	})
}
