package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
	"github.com/writ-run/writ/registry"
	"github.com/writ-run/writ/registry/keyless"
)

// maxPolicyFile is far more than 32 members have.
const maxPolicyFile = 64 << 10

// identityFlags are what a certificate must say.
type identityFlags struct{ contract.Identity }

func (i *identityFlags) add(f *pflag.FlagSet) {
	f.StringVar(&i.SAN, "identity", "", "a certificate's name, exactly: an e-mail address or a workflow's URL")
	f.StringVar(&i.SANPattern, "identity-pattern", "", "regular expression of the whole name, in place of --identity")
	f.StringVar(&i.Issuer, "issuer", "", "issuer of the OIDC tokens (with --identity)")
	f.StringVar(&i.SourceRepository, "source-repository", "", "repository that the certificate must name")
	f.StringVar(&i.SourceRef, "source-ref", "", "ref that it must name, such as refs/heads/main (default: any)")
	f.StringVar(&i.RunnerEnvironment, "runner", "", "runner that it must name, such as github-hosted (default: any)")
}

func (i *identityFlags) given() *contract.Identity {
	if i.Identity == (contract.Identity{}) {
		return nil
	}
	return &i.Identity
}

func (a *app) trustPolicy() *cobra.Command {
	in := &contract.TrustPolicySetInput{}
	var file string
	c := &cobra.Command{
		Use: "policy PUBLISHER", Short: "Say whose signatures a publisher's skills need together", Args: exactly("PUBLISHER"),
		Long: `Without a policy, any key or identity that is trusted to sign for the publisher is
enough. With one, every member of allOf must have signed and threshold of anyOf,
each of them somebody else. It counts at once, for what is installed too.

The file is YAML or JSON:

  allOf: [idn_0f3c...]                     ids of identities and keys, or
  anyOf: ["SHA256 4f2a ...", "tQ1x...="]   fingerprints of keys
  threshold: 1                             of anyOf`,
		Example: "  writ trust policy acme --file policy.yaml\n  writ trust policy acme --remove",
		RunE: func(cmd *cobra.Command, args []string) error {
			in.Publisher = args[0]
			if (file == "") == !in.Remove {
				return usage("which policy?").WithFix("give --file, or --remove")
			}
			if file != "" {
				raw, err := a.readInput(file, maxPolicyFile)
				if err != nil {
					return err
				}
				if err := readPolicyFile(file, raw, in); err != nil {
					return err
				}
			}
			out, err := call(cmd.Context(), a, contract.TrustPolicySet, in)
			if err != nil {
				return err
			}
			return a.print(out, func(t *table) {
				t.pair("publisher", in.Publisher)
				t.pair("status", out.Status)
				if out.Policy != nil {
					t.pair("policy", policyText(out.Policy))
				}
			})
		},
	}
	c.Flags().StringVar(&file, "file", "", "the policy; - for standard input")
	c.Flags().BoolVar(&in.Remove, "remove", false, "any one trusted signer is enough again")
	c.Flags().StringVar(&in.Reason, "reason", "", "why")
	return c
}

func readPolicyFile(name string, raw []byte, in *contract.TrustPolicySetInput) error {
	var file struct {
		AllOf     []string `yaml:"allOf"`
		AnyOf     []string `yaml:"anyOf"`
		Threshold int      `yaml:"threshold"`
	}
	decoder := yaml.NewDecoder(bytes.NewReader(raw))
	decoder.KnownFields(true)
	if err := decoder.Decode(&file); err != nil && err != io.EOF {
		return usage("%s: %s", name, err).WithFix("write allOf, anyOf and threshold; see `writ trust policy --help`")
	}
	in.AllOf, in.AnyOf, in.Threshold = file.AllOf, file.AnyOf, file.Threshold
	return nil
}

func policyText(p *contract.TrustPolicy) string {
	var parts []string
	if len(p.AllOf) > 0 {
		parts = append(parts, "all of "+memberNames(p.AllOf))
	}
	if len(p.AnyOf) > 0 {
		parts = append(parts, fmt.Sprintf("%d of %s", p.Threshold, memberNames(p.AnyOf)))
	}
	return strings.Join(parts, " and ")
}

// memberNames shows keys as people compare them.
func memberNames(members []string) string {
	names := make([]string, len(members))
	for i, m := range members {
		names[i] = signerName(m)
	}
	return strings.Join(names, ", ")
}

func (a *app) trustRoot() *cobra.Command {
	return group("root", "Say which Sigstore's certificates count; none is baked in", a.trustRootImport(), a.trustRootUpdate(), a.trustRootRevoke())
}

func (a *app) trustRootImport() *cobra.Command {
	in := &contract.TrustRootImportInput{}
	c := &cobra.Command{
		Use: "import FILE", Short: "Trust the authorities of a trusted_root.json", Args: exactly("FILE"),
		Example: "  writ trust root import trusted_root.json\n  writ trust root import corp.json --name corp",
		RunE: func(cmd *cobra.Command, args []string) error {
			raw, err := a.readInput(args[0], keyless.MaxRoot)
			if err != nil {
				return err
			}
			in.Root = string(raw)
			out, err := call(cmd.Context(), a, contract.TrustRootImport, in)
			if err != nil {
				return err
			}
			return a.printRoot(out)
		},
	}
	c.Flags().StringVar(&in.Name, "name", registry.DefaultRoot, "what to call it; the name's next root takes its place")
	c.Flags().StringVar(&in.Reason, "reason", "", "why")
	return c
}

func (a *app) trustRootUpdate() *cobra.Command {
	in := &contract.TrustRootUpdateInput{}
	var root string
	c := &cobra.Command{
		Use: "update", Short: "Fetch a trusted root from a TUF repository", Args: cobra.NoArgs,
		Long: `The host fetches it, and remembers the repository's metadata: what is older than
what it has seen, expired or not signed as root.json says is refused.`,
		Example: "  writ trust root update --tuf https://tuf.example.com --root root.json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if in.URL == "" || root == "" {
				return usage("from which repository?").WithFix("give --tuf URL and --root root.json")
			}
			raw, err := a.readInput(root, keyless.MaxRoot)
			if err != nil {
				return err
			}
			in.TUFRoot = string(raw)
			out, err := call(cmd.Context(), a, contract.TrustRootUpdate, in)
			if err != nil {
				return err
			}
			return a.printRoot(out)
		},
	}
	f := c.Flags()
	f.StringVar(&in.URL, "tuf", "", "URL of the TUF repository (required)")
	f.StringVar(&root, "root", "", "its root.json, which you got over a way that you trust (required)")
	f.StringVar(&in.Target, "target", keyless.DefaultTarget, "name of the target")
	f.StringVar(&in.Name, "name", registry.DefaultRoot, "what to call it; the name's next root takes its place")
	f.StringVar(&in.Reason, "reason", "", "why")
	return c
}

func (a *app) printRoot(out *contract.TrustRootOutput) error {
	return a.print(out, func(t *table) {
		t.pair("root", out.Root.Name)
		t.pair("digest", string(out.Root.Digest))
		t.pair("status", out.Status)
		t.pair("demands", demands(&out.Root))
	})
}

// demands says what a signature must bring along under a root.
func demands(r *contract.TrustedRoot) string {
	var parts []string
	switch {
	case r.TimestampAuthorities > 0 && r.Logs > 0:
		parts = append(parts, "a signed time", "a log entry")
	case r.Logs > 0:
		parts = append(parts, "a log entry with its time")
	default:
		parts = append(parts, "a timestamp")
	}
	if r.CertificateLogs > 0 {
		parts = append(parts, "a certificate log's timestamp")
	}
	return strings.Join(parts, ", ")
}

func (a *app) trustRootRevoke() *cobra.Command {
	in := &contract.TrustRootRevokeInput{}
	c := &cobra.Command{
		Use: "revoke NAME", Short: "Revoke a root: skills that were verified under it stop at their next load", Args: exactly("NAME"),
		Example: "  writ trust root revoke corp --reason \"its authority was compromised\"",
		RunE: func(cmd *cobra.Command, args []string) error {
			in.Name = args[0]
			out, err := call(cmd.Context(), a, contract.TrustRootRevoke, in)
			if err != nil {
				return err
			}
			return a.printResult(out, out.Result, "root", args[0])
		},
	}
	c.Flags().StringVar(&in.Reason, "reason", "", "why")
	return c
}

func (a *app) trustList() *cobra.Command {
	in := &contract.TrustListInput{}
	c := &cobra.Command{
		Use: "list", Short: "List who is trusted: keys, identities, policies and roots, and who is denied", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			out, err := call(cmd.Context(), a, contract.TrustList, in)
			if err != nil {
				return err
			}
			return a.print(out, func(t *table) {
				trustTable(t, out)
				denialTable(t, out.Denied)
			})
		},
	}
	c.Flags().StringVar(&in.Publisher, "publisher", "", "of one publisher; roots are left out then")
	return c
}

func trustTable(t *table, out *contract.TrustListOutput) {
	if len(out.Items)+len(out.Identities) == 0 {
		t.line("nobody is trusted: every skill is refused")
	}
	if len(out.Items) > 0 {
		t.head("publisher", "fingerprint", "purposes", "until", "revoked")
		for _, k := range out.Items {
			t.row(k.Publisher, registry.KeyID(k.KeyID).Fingerprint(), fmt.Sprint(k.Purposes), k.ValidUntil.String(), k.RevokedAt.String())
		}
		t.flush()
	}
	if len(out.Identities) > 0 {
		t.head("publisher", "identity", "name", "issuer", "source", "purposes", "until", "revoked")
		for i := range out.Identities {
			id := &out.Identities[i]
			name, source := id.Identity.SAN, strings.Trim(id.Identity.SourceRepository+"@"+id.Identity.SourceRef, "@")
			if name == "" {
				name = "/" + id.Identity.SANPattern + "/"
			}
			t.row(id.Publisher, id.IdentityID, clean(name), clean(id.Identity.Issuer), clean(source), fmt.Sprint(id.Purposes), id.ValidUntil.String(), id.RevokedAt.String())
		}
		t.flush()
	}
	for i := range out.Policies {
		t.line("%s needs %s", out.Policies[i].Publisher, policyText(&out.Policies[i]))
	}
	if len(out.Roots) > 0 {
		t.head("root", "digest", "demands", "from", "revoked")
		for i := range out.Roots {
			r := &out.Roots[i]
			source := r.Source
			if source == "" {
				source = "file"
			}
			t.row(r.Name, string(r.Digest), demands(r), clean(source), r.RevokedAt.String())
		}
	}
}

// identityToken reads a token from a file, or from a variable as env:NAME.
func (a *app) identityToken(from string) (string, error) {
	name, fromEnv := strings.CutPrefix(from, "env:")
	if fromEnv {
		if token := strings.TrimSpace(os.Getenv(name)); token != "" {
			return token, nil
		}
		return "", usage("the variable %s is not set", name).WithFix("set it to the OIDC token")
	}
	raw, err := a.readInput(from, maxKeyFile)
	if err != nil {
		return "", err
	}
	token := strings.TrimSpace(string(raw))
	if token == "" {
		return "", writ.Errorf(writ.CodeInvalid, from, "is empty").WithFix("write the OIDC token into it")
	}
	return token, nil
}
